//! (3) Random inputs of the models, from a seed.
//!
//! What is drawn is what a user chooses: the calls and what they ask for. Names and values are given out later
//! (see [`mod@super::expand`]), so that a shrunk chart reads A, B, C whatever was removed from it.

pub mod action;

use crate::protocol::EntityType;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The inputs of one chart: all of one entity type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Inputs {
    /// Of an event sourced entity.
    EventSourced(Vec<Input>),
    /// Of a value entity.
    Value(Vec<Input>),
    /// Of actions.
    Action(Vec<action::ActionInput>),
}

/// One thing that happens to the entity under exploration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A call of the model, with these actions.
    Process(Vec<Ask>),
    /// A call of the second service, with these actions, which it ignores.
    Two(TargetId, Vec<Ask>),
    /// The entity is passivated.
    Passivate,
}

/// One thing that a request asks a model for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// What the model is about: emit an event, update the value, reply.
    Value(Text),
    /// Delete the value. Only value entities have one.
    Delete,
    /// Fail the command.
    Fail(Text),
    /// Forward the command to the second service.
    Forward(TargetId),
    /// A synchronous side effect on the second service.
    Effect(TargetId),
    /// A side effect that nobody waits for. Its target is its own: what else is sent there could overtake it.
    AsynchronousEffect,
}

/// What a text is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Text {
    /// ASCII letters, others than in the other texts of the chart.
    Plain,
    /// The same with a letter that ASCII lacks.
    Unicode,
    /// No letter.
    Empty,
}

/// An id that the second service is called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetId {
    /// One that nothing else in the chart has.
    Fresh,
    /// One that all of them have.
    Shared,
}

/// Steps in one chart, at most.
const STEPS: usize = 8;

/// Actions in one request, at most: enough for a reply that passes a snapshot by.
const ACTIONS: usize = 6;

/// The drawn inputs of one chart, which can be simplified.
pub(super) type Tree = Box<dyn ValueTree<Value = Inputs> + Send>;

/// The inputs of `count` charts, of each entity type in turn. A longer run with the same seed begins with the same
/// charts.
pub(super) fn trees(seed: u64, count: usize) -> Vec<Tree> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let event_sourced = entity(ask).prop_map(Inputs::EventSourced);
    let value = entity(ask_value).prop_map(Inputs::Value);
    let actions = action::inputs().prop_map(Inputs::Action);
    let draw = |entity_type: &EntityType| match entity_type {
        EntityType::EventSourced => tree(&event_sourced, &mut runner),
        EntityType::Value => tree(&value, &mut runner),
        EntityType::Action => tree(&actions, &mut runner),
        EntityType::Crdt => None,
    };
    let in_turn = [
        EntityType::EventSourced,
        EntityType::Value,
        EntityType::Action,
    ];
    let in_turn = in_turn.iter().cycle().take(count);
    in_turn.filter_map(draw).collect()
}

/// Few inputs come to nothing, so drawing again has always an end.
fn tree<S>(strategy: &S, runner: &mut TestRunner) -> Option<Tree>
where
    S: Strategy<Value = Inputs, Tree: Send + 'static>,
{
    let tree = strategy.new_tree(runner).ok()?;
    Some(Box::new(tree))
}

/// The inputs without those that do nothing: an entity is passivated only while it has a stream.
fn effective(mut inputs: Vec<Input>) -> Vec<Input> {
    let mut active = false;
    inputs.retain(|input| match input {
        Input::Process(_) => {
            active = true;
            true
        }
        Input::Two(..) => true,
        Input::Passivate => std::mem::take(&mut active),
    });
    inputs
}

// What stands first in a choice is what the others shrink to.

fn entity<S>(ask: fn() -> S) -> impl Strategy<Value = Vec<Input>, Tree: Send + 'static>
where
    S: Strategy<Value = Ask, Tree: Send + 'static> + Send + Sync + 'static,
{
    let input = prop_oneof![
        8 => vec(ask(), 0..=ACTIONS).prop_map(Input::Process),
        1 => (target(), vec(ask(), 0..=2)).prop_map(|(target, asks)| Input::Two(target, asks)),
        2 => Just(Input::Passivate),
    ];
    vec(input, 1..=STEPS)
        .prop_map(effective)
        .prop_filter("a chart without steps checks nothing", |inputs| {
            !inputs.is_empty()
        })
}

/// What all models can be asked for.
fn ask() -> impl Strategy<Value = Ask, Tree: Send + 'static> + Send + Sync {
    prop_oneof![
        10 => text().prop_map(Ask::Value),
        1 => text().prop_map(Ask::Fail),
        2 => target().prop_map(Ask::Forward),
        2 => target().prop_map(Ask::Effect),
        1 => Just(Ask::AsynchronousEffect),
    ]
}

/// What a value entity can be asked for.
fn ask_value() -> impl Strategy<Value = Ask, Tree: Send + 'static> + Send + Sync {
    prop_oneof![5 => ask(), 1 => Just(Ask::Delete)]
}

fn text() -> impl Strategy<Value = Text, Tree: Send + 'static> {
    prop_oneof![8 => Just(Text::Plain), 1 => Just(Text::Unicode), 1 => Just(Text::Empty)]
}

fn target() -> impl Strategy<Value = TargetId, Tree: Send + 'static> {
    any::<bool>().prop_map(|shared| {
        if shared {
            TargetId::Shared
        } else {
            TargetId::Fresh
        }
    })
}

#[cfg(test)]
mod tests;
