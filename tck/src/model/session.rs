//! (3) One entity's stream as the model function holds it: the protocol's function side, without the network.
//!
//! The same for every type of stateful entity; what differs is in [`Stateful`].

mod wire;

use super::ModelError;
use cloudstate_protocol::cloudstate::{Command, Failure};

/// A type of stateful entity: the messages of its streams, and what they do.
pub trait Stateful: Sized {
    /// What the proxy sends.
    type In;
    /// What the function sends.
    type Out;
    /// What begins a stream.
    type Init;
    /// What is replayed after it.
    type Event;

    /// The member of a message; `None`: it has none.
    fn read(message: Self::In) -> Option<SessionInput<Self>>;

    /// The entity's id, and the entity as it begins.
    ///
    /// # Errors
    /// There is no such service, or the state is not one of it.
    fn begin(init: Self::Init) -> Result<(String, Self), ModelError>;

    /// Replay of one event.
    ///
    /// # Errors
    /// The event does not belong here.
    fn replay(&mut self, event: Self::Event) -> Result<(), ModelError>;

    /// The reply to a command.
    ///
    /// # Errors
    /// The model can't make sense of the command.
    fn reply(&mut self, command: Command) -> Result<Self::Out, ModelError>;

    /// The message that gives a stream up.
    fn failure(failure: Failure) -> Self::Out;
}

/// A message of the proxy.
#[derive(Debug)]
pub enum SessionInput<E: Stateful> {
    /// The first one.
    Init(E::Init),
    /// Replay.
    Event(E::Event),
    /// Something to do.
    Command(Command),
}

/// What a function does after a message.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionStep<Out> {
    /// Wait for the next message.
    Wait,
    /// Send this, then wait for the next message.
    Send(Out),
    /// Send this failure, then end the stream.
    Fail(Out),
}

/// A stream, from its first message on.
#[derive(Clone, Debug)]
pub struct Session<E> {
    activation: Option<Activated<E>>,
}

#[derive(Clone, Debug)]
struct Activated<E> {
    entity_id: String,
    entity: E,
    replaying: bool,
}

/// Why a stream is given up, and the command at fault (0: none).
struct Violation {
    command_id: i64,
    description: String,
}

impl<E> Default for Session<E> {
    fn default() -> Self {
        Session { activation: None }
    }
}

impl<E: Stateful> Session<E> {
    /// One message of the proxy.
    pub fn receive(&mut self, message: E::In) -> SessionStep<E::Out> {
        match self.answer(message) {
            Ok(None) => SessionStep::Wait,
            Ok(Some(out)) => SessionStep::Send(out),
            Err(violation) => violation.fail::<E>(),
        }
    }

    /// A message of the proxy that could not be read.
    pub fn unreadable(&self, reason: &str) -> SessionStep<E::Out> {
        Violation::of(0, format!("the message cannot be read: {reason}")).fail::<E>()
    }

    fn answer(&mut self, message: E::In) -> Result<Option<E::Out>, Violation> {
        match (E::read(message), &mut self.activation) {
            (Some(SessionInput::Init(init)), activation @ None) => {
                *activation = Some(Activated::begin(init)?);
                Ok(None)
            }
            (Some(SessionInput::Init(_)), Some(_)) => {
                Err(Violation::of(0, "a second init on one stream"))
            }
            (Some(SessionInput::Event(event)), Some(activation)) => {
                activation.replay(event)?;
                Ok(None)
            }
            (Some(SessionInput::Command(command)), Some(activation)) => {
                activation.handle(command).map(Some)
            }
            (Some(SessionInput::Event(_)), None) => Err(Violation::of(0, "an event before init")),
            (Some(SessionInput::Command(command)), None) => {
                Err(Violation::of(command.id, "a command before init"))
            }
            (None, _) => Err(Violation::of(0, "an empty message")),
        }
    }
}

impl<E: Stateful> Activated<E> {
    fn begin(init: E::Init) -> Result<Activated<E>, Violation> {
        let (entity_id, entity) = E::begin(init).map_err(before_commands)?;
        Ok(Activated {
            entity_id,
            entity,
            replaying: true,
        })
    }

    fn replay(&mut self, event: E::Event) -> Result<(), Violation> {
        if !self.replaying {
            return Err(Violation::of(0, "an event after a command"));
        }
        self.entity.replay(event).map_err(before_commands)
    }

    fn handle(&mut self, command: Command) -> Result<E::Out, Violation> {
        self.replaying = false;
        let id = command.id;
        if command.entity_id != self.entity_id {
            let text = format!(
                "a command for entity {:?} on the stream of entity {:?}",
                command.entity_id, self.entity_id
            );
            return Err(Violation::of(id, text));
        }
        self.entity
            .reply(command)
            .map_err(|error| Violation::of(id, error.to_string()))
    }
}

fn before_commands(error: ModelError) -> Violation {
    Violation::of(0, error.to_string())
}

impl Violation {
    fn of(command_id: i64, description: impl Into<String>) -> Violation {
        Violation {
            command_id,
            description: description.into(),
        }
    }

    fn fail<E: Stateful>(self) -> SessionStep<E::Out> {
        SessionStep::Fail(E::failure(Failure {
            command_id: self.command_id,
            description: format!("Protocol error: {}", self.description),
            restart: false,
        }))
    }
}

#[cfg(test)]
mod tests;
