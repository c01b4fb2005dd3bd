//! What the play knows of each stream.

use crate::model::ModelError;
use crate::model::oracle::Entity;
use crate::protocol::{Begin, EntityType, Key};
use prost_types::Any;
use std::time::Duration;

/// After that long without a sound, a function that lets go of its entities by itself has done so; what is sent earlier
/// and the end of its stream may have crossed.
pub const QUIET: Duration = Duration::from_millis(250);

/// Was that so soon after this? In microseconds since the play began, which in a file can be anything.
pub fn is_soon_after(then: u64, earlier: u64) -> bool {
    Duration::from_micros(then.saturating_sub(earlier)) < QUIET
}

/// What the play knows of one stream.
#[derive(Clone, Debug)]
pub enum StreamState {
    /// A client's call.
    Front {
        /// Index into [`Script::calls`].
        call: usize,
        /// Entries of the messages that came back.
        messages: Vec<u64>,
        /// Entry of the response headers.
        headers: Option<u64>,
    },
    /// An entity's stream.
    Entity(Box<Track>),
    /// An action's call.
    Action(Exchange),
    /// A call of `discover`.
    Discover,
    /// A call of `reportError`.
    Report {
        /// The function's message has come.
        answered: bool,
    },
    /// A path that the protocol doesn't know.
    Other,
}

impl StreamState {
    /// A stream between proxy and function, of an entity where the type has any.
    pub(super) fn of(entity_type: EntityType, key: Option<Key>) -> StreamState {
        if entity_type.has_entities() {
            StreamState::Entity(Box::new(Track::new(entity_type, key)))
        } else {
            StreamState::Action(Exchange::default())
        }
    }
}

/// An action's call between proxy and function.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exchange {
    /// Index into [`Script::calls`]; known from the first message on.
    pub call: Option<usize>,
    /// Requests after the first message.
    pub(super) requests: usize,
    pub(super) proxy_done: bool,
    pub(super) function_done: bool,
}

/// An entity's stream.
#[derive(Clone, Debug)]
pub struct Track {
    /// The type of the entity.
    pub entity_type: EntityType,
    /// Whose it is; known from init on.
    pub key: Option<Key>,
    /// The highest command id so far.
    pub last_id: i64,
    /// The command that waits for its answer: id and call.
    pub outstanding: Option<(i64, usize)>,
    /// What it began with.
    pub activation: Activation,
    pub(super) commands: usize,
    pub(super) proxy_done: bool,
    pub(super) function_done: bool,
    pub(super) initialised: bool,
    /// The function gave it up, with a message that says so.
    pub(super) failed: bool,
    /// When the function let go of the entity by itself, in microseconds since the play began.
    pub(super) ended_idle_at: Option<u64>,
    /// The model in the state that the entity should have; `None`: that isn't known. Where the kit plays the function,
    /// it is what answers.
    pub(super) model: Option<Entity>,
}

impl Track {
    pub(super) fn new(entity_type: EntityType, key: Option<Key>) -> Track {
        Track {
            entity_type,
            key,
            last_id: 0,
            outstanding: None,
            activation: Activation::default(),
            commands: 0,
            proxy_done: false,
            function_done: false,
            initialised: false,
            failed: false,
            ended_idle_at: None,
            model: None,
        }
    }

    /// The model as init and replay leave it. Where the kit plays the function, a state that can't be read is the
    /// judge's affair; where another does, nothing is known of the entity then.
    pub(super) fn tell_model(
        &mut self,
        kit_answers: bool,
        what: impl FnOnce(&mut Entity) -> Result<(), ModelError>,
    ) {
        let told = self.model.as_mut().is_none_or(|model| what(model).is_ok());
        if !told && !kit_answers {
            self.model = None;
        }
    }

    /// The proxy has said that nothing more comes.
    pub fn is_half_closed(&self) -> bool {
        self.proxy_done
    }

    /// It began with a replay, and its first command isn't answered.
    pub fn at_first_command_of_a_replay(&self) -> bool {
        self.activation.is_replay() && self.commands <= 1
    }
}

/// What a stream began with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Activation {
    /// What init said of the state.
    pub begin: Begin,
    /// The replayed events with their sequence numbers.
    pub events: Vec<(i64, Any)>,
}

impl Activation {
    /// Something was stored.
    pub fn is_replay(&self) -> bool {
        let begin = &self.begin;
        begin.snapshot.is_some() || begin.value.is_some() || !self.events.is_empty()
    }
}
