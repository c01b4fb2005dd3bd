//! (3) Random inputs of the model, from a seed.
//!
//! What is drawn is what a user chooses: the calls and what they ask for. Names and values are given out later
//! (see [`mod@super::expand`]), so that a shrunk chart reads A, B, C whatever was removed from it.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// One thing that happens to the entity under exploration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A call of the model, with these actions.
    Process(Vec<Ask>),
    /// A call of the second service, with these actions, which it ignores.
    Two(Target, Vec<Ask>),
    /// The entity is passivated.
    Passivate,
}

/// An action in a request to the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Emit an event.
    Emit(Text),
    /// Fail the command.
    Fail(Text),
    /// Forward the command to the second service.
    Forward(Target),
    /// A synchronous side effect on the second service.
    Effect(Target),
    /// A side effect that nobody waits for. Its entity is its own: what else is sent there could overtake it.
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

/// An entity of the second service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// One that nothing else in the chart calls.
    Fresh,
    /// One that all of them call.
    Shared,
}

/// Steps in one chart, at most.
const STEPS: usize = 8;

/// Actions in one request, at most: enough for a reply that passes a snapshot by.
const ACTIONS: usize = 6;

/// The drawn inputs of one chart, which can be simplified.
pub(super) type Tree = Box<dyn ValueTree<Value = Vec<Input>> + Send>;

/// The inputs of `count` charts. A longer run with the same seed begins with the same charts.
pub(super) fn trees(seed: u64, count: usize) -> Vec<Tree> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = inputs();
    // Few inputs come to nothing, so drawing again has always an end.
    let draw = |_| {
        strategy
            .new_tree(&mut runner)
            .ok()
            .map(|tree| Box::new(tree) as Tree)
    };
    (0..count).filter_map(draw).collect()
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

fn inputs() -> impl Strategy<Value = Vec<Input>, Tree: Send + 'static> {
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

fn ask() -> impl Strategy<Value = Ask, Tree: Send + 'static> {
    prop_oneof![
        10 => text().prop_map(Ask::Emit),
        1 => text().prop_map(Ask::Fail),
        2 => target().prop_map(Ask::Forward),
        2 => target().prop_map(Ask::Effect),
        1 => Just(Ask::AsynchronousEffect),
    ]
}

fn text() -> impl Strategy<Value = Text, Tree: Send + 'static> {
    prop_oneof![8 => Just(Text::Plain), 1 => Just(Text::Unicode), 1 => Just(Text::Empty)]
}

fn target() -> impl Strategy<Value = Target, Tree: Send + 'static> {
    any::<bool>().prop_map(|shared| {
        if shared {
            Target::Shared
        } else {
            Target::Fresh
        }
    })
}

#[cfg(test)]
mod tests;
