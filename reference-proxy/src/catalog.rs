//! What the user function serves: services, methods and entity keys, parsed once at discovery and
//! looked up by every command ever after.

mod key;

pub use key::{Key, UnusableKey};

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cloudstate_protocol::names::{ACTION, EVENT_SOURCED, VALUE_ENTITY};
use cloudstate_protocol::payload::PROTOBUF_PREFIX;
use tokio::sync::watch;

/// What the proxy serves at the moment: nothing before the first specification was accepted, and
/// nothing after one was refused.
pub type Serving = watch::Receiver<Option<Arc<Catalog>>>;

/// Every method of every announced entity, by its path.
#[derive(Debug, Default)]
pub struct Catalog {
    methods: HashMap<String, Arc<Method>>,
}

impl Catalog {
    /// The method at an HTTP path: `/<service>/<method>`.
    pub fn at(&self, path: &str) -> Option<&Arc<Method>> {
        self.methods.get(path)
    }

    /// The method with a service's full name and a command's bare one.
    pub fn find(&self, service: &str, command: &str) -> Option<&Arc<Method>> {
        self.at(&path(service, command))
    }

    /// How many methods there are.
    pub fn len(&self) -> usize {
        self.methods.len()
    }

    /// Whether there is no method.
    pub fn is_empty(&self) -> bool {
        self.methods.is_empty()
    }
}

impl FromIterator<Method> for Catalog {
    fn from_iter<T: IntoIterator<Item = Method>>(methods: T) -> Self {
        let by_path = |m: Method| (path(&m.entity.service_name, &m.name), Arc::new(m));
        Self {
            methods: methods.into_iter().map(by_path).collect(),
        }
    }
}

fn path(service: &str, method: &str) -> String {
    format!("/{service}/{method}")
}

/// What is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Entities with state.
    Entity(StateModel),
    /// An action, which has none.
    Action,
}

/// How the state of entities is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateModel {
    /// By the events that led to it.
    EventSourced,
    /// As a value.
    Value,
}

impl Kind {
    /// All kinds that this proxy supports.
    pub const ALL: [Self; 3] = [
        Self::Entity(StateModel::EventSourced),
        Self::Entity(StateModel::Value),
        Self::Action,
    ];

    /// The entity type, as user functions announce it.
    pub fn entity_type(self) -> &'static str {
        match self {
            Self::Entity(StateModel::EventSourced) => EVENT_SOURCED,
            Self::Entity(StateModel::Value) => VALUE_ENTITY,
            Self::Action => ACTION,
        }
    }
}

/// One announced entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityType {
    /// What it is.
    pub kind: Kind,
    /// The full name of its service.
    pub service_name: Arc<str>,
    /// Under which name its state is kept.
    pub persistence_id: Arc<str>,
    /// How long an entity may be idle.
    pub passivation_timeout: Duration,
}

/// Which sides of a method send any number of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streams {
    /// The client.
    pub input: bool,
    /// The user function.
    pub output: bool,
}

impl Streams {
    /// The call of the user function for an action's method of this kind.
    pub fn path(self) -> &'static str {
        match (self.input, self.output) {
            (false, false) => "/cloudstate.action.ActionProtocol/handleUnary",
            (true, false) => "/cloudstate.action.ActionProtocol/handleStreamedIn",
            (false, true) => "/cloudstate.action.ActionProtocol/handleStreamedOut",
            (true, true) => "/cloudstate.action.ActionProtocol/handleStreamed",
        }
    }
}

/// What the calls of a method are brought to.
#[derive(Debug)]
pub enum Callee {
    /// An entity with state.
    Entity {
        /// How its state is kept.
        state_model: StateModel,
        /// Which fields of a request make up its id.
        key: Key,
    },
    /// An action.
    Action(Streams),
}

/// One method of an announced entity.
#[derive(Debug)]
pub struct Method {
    /// Whose method it is.
    pub entity: Arc<EntityType>,
    /// Its bare name.
    pub name: String,
    /// The type URL of its requests.
    pub input: String,
    /// The type URL of its responses.
    pub output: String,
    /// Where its calls go.
    pub callee: Callee,
    /// Whether a reply of another type than `output` was reported already.
    pub wrong_output_reported: AtomicBool,
}

impl Method {
    /// A method with these names, input and output given as full names of messages.
    pub fn new(
        entity: &Arc<EntityType>,
        name: &str,
        input: &str,
        output: &str,
        callee: Callee,
    ) -> Self {
        Self {
            entity: Arc::clone(entity),
            name: name.to_owned(),
            input: format!("{PROTOBUF_PREFIX}{input}"),
            output: format!("{PROTOBUF_PREFIX}{output}"),
            callee,
            wrong_output_reported: AtomicBool::new(false),
        }
    }

    /// Which sides of a call send any number of messages.
    pub fn streams(&self) -> Streams {
        match &self.callee {
            // A command has one answer.
            Callee::Entity { .. } => Streams::default(),
            Callee::Action(streams) => *streams,
        }
    }
}
