//! (3) One entity's stream as the model function holds it: the protocol's function side, without the network.

use super::ModelError;
use super::event_sourced::Entity;
use cloudstate_protocol::cloudstate::{Command, Failure};
use cloudstate_protocol::eventsourced::event_sourced_stream_in::Message as In;
use cloudstate_protocol::eventsourced::event_sourced_stream_out::Message as Out;
use cloudstate_protocol::eventsourced::{
    EventSourcedInit, EventSourcedStreamIn, EventSourcedStreamOut,
};

/// What a function does after a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Wait for the next message.
    Wait,
    /// Send this, then wait for the next message.
    Send(EventSourcedStreamOut),
    /// Send this failure, then end the stream.
    Fail(EventSourcedStreamOut),
}

/// A stream, from its first message on.
#[derive(Clone, Debug, Default)]
pub struct Session {
    activation: Option<Activation>,
}

#[derive(Clone, Debug)]
struct Activation {
    entity_id: String,
    entity: Entity,
    replaying: bool,
}

/// Why a stream is given up, and the command at fault (0: none).
struct Violation {
    command_id: i64,
    description: String,
}

impl Session {
    /// One message of the proxy.
    pub fn receive(&mut self, message: EventSourcedStreamIn) -> Step {
        match self.answer(message) {
            Ok(None) => Step::Wait,
            Ok(Some(out)) => Step::Send(EventSourcedStreamOut { message: Some(out) }),
            Err(violation) => Step::Fail(violation.into()),
        }
    }

    /// A message of the proxy that could not be read.
    pub fn unreadable(&self, reason: &str) -> Step {
        Step::Fail(Violation::of(0, format!("the message cannot be read: {reason}")).into())
    }

    fn answer(&mut self, message: EventSourcedStreamIn) -> Result<Option<Out>, Violation> {
        match (message.message, &mut self.activation) {
            (Some(In::Init(init)), activation @ None) => {
                *activation = Some(Activation::begin(init)?);
                Ok(None)
            }
            (Some(In::Init(_)), Some(_)) => Err(Violation::of(0, "a second init on one stream")),
            (Some(In::Event(event)), Some(activation)) => {
                let payload = event.payload.unwrap_or_default();
                activation.replay(event.sequence, &payload)?;
                Ok(None)
            }
            (Some(In::Command(command)), Some(activation)) => activation.handle(command).map(Some),
            (Some(In::Event(_)), None) => Err(Violation::of(0, "an event before init")),
            (Some(In::Command(command)), None) => {
                Err(Violation::of(command.id, "a command before init"))
            }
            (None, _) => Err(Violation::of(0, "an empty message")),
        }
    }
}

impl Activation {
    fn begin(init: EventSourcedInit) -> Result<Activation, Violation> {
        let unknown = || format!("there is no service {:?} here", init.service_name);
        let mut entity =
            Entity::new(&init.service_name).ok_or_else(|| Violation::of(0, unknown()))?;
        if let Some(snapshot) = init.snapshot {
            let state = snapshot.snapshot.unwrap_or_default();
            entity
                .restore(snapshot.snapshot_sequence, &state)
                .map_err(during_replay)?;
        }
        Ok(Activation {
            entity_id: init.entity_id,
            entity,
            replaying: true,
        })
    }

    fn replay(&mut self, sequence: i64, event: &prost_types::Any) -> Result<(), Violation> {
        if !self.replaying {
            return Err(Violation::of(0, "an event after a command"));
        }
        self.entity.apply(sequence, event).map_err(during_replay)
    }

    fn handle(&mut self, command: Command) -> Result<Out, Violation> {
        self.replaying = false;
        let violation = |description: String| Violation::of(command.id, description);
        if command.entity_id != self.entity_id {
            return Err(violation(format!(
                "a command for entity {:?} on the stream of entity {:?}",
                command.entity_id, self.entity_id
            )));
        }
        let payload = command.payload.unwrap_or_default();
        let outcome = self
            .entity
            .handle(&command.name, &payload)
            .map_err(|error| violation(error.to_string()))?;
        Ok(Out::Reply(outcome.into_reply(command.id)))
    }
}

fn during_replay(error: ModelError) -> Violation {
    Violation::of(0, error.to_string())
}

impl Violation {
    fn of(command_id: i64, description: impl Into<String>) -> Violation {
        Violation {
            command_id,
            description: description.into(),
        }
    }
}

impl From<Violation> for EventSourcedStreamOut {
    fn from(violation: Violation) -> Self {
        let failure = Failure {
            command_id: violation.command_id,
            description: format!("Protocol error: {}", violation.description),
            restart: false,
        };
        EventSourcedStreamOut {
            message: Some(Out::Failure(failure)),
        }
    }
}

#[cfg(test)]
mod tests;
