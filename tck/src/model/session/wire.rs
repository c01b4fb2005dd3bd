//! (3) The messages of each type of stateful entity.

use super::{SessionInput, Stateful};
use crate::model::{ModelError, event_sourced, value_entity};
use cloudstate_protocol::cloudstate::{Command, Failure};
use cloudstate_protocol::{eventsourced, valueentity};
use std::convert::Infallible;

impl Stateful for event_sourced::EventSourcedEntity {
    type In = eventsourced::EventSourcedStreamIn;
    type Out = eventsourced::EventSourcedStreamOut;
    type Init = eventsourced::EventSourcedInit;
    type Event = eventsourced::EventSourcedEvent;

    fn read(message: Self::In) -> Option<SessionInput<Self>> {
        use eventsourced::event_sourced_stream_in::Message;
        Some(match message.message? {
            Message::Init(init) => SessionInput::Init(init),
            Message::Event(event) => SessionInput::Event(event),
            Message::Command(command) => SessionInput::Command(command),
        })
    }

    fn begin(init: Self::Init) -> Result<(String, Self), ModelError> {
        let fresh = event_sourced::EventSourcedEntity::new(&init.service_name);
        let mut entity = fresh.ok_or(ModelError::Service(init.service_name))?;
        if let Some(snapshot) = init.snapshot {
            let state = snapshot.snapshot.unwrap_or_default();
            entity.restore(snapshot.snapshot_sequence, &state)?;
        }
        Ok((init.entity_id, entity))
    }

    fn replay(&mut self, event: Self::Event) -> Result<(), ModelError> {
        self.apply(event.sequence, &event.payload.unwrap_or_default())
    }

    fn reply(&mut self, command: Command) -> Result<Self::Out, ModelError> {
        let outcome = self.handle(&command.name, &command.payload.unwrap_or_default())?;
        Ok(eventsourced::EventSourcedStreamOut {
            message: Some(eventsourced::event_sourced_stream_out::Message::Reply(
                outcome.into_reply(command.id),
            )),
        })
    }

    fn failure(failure: Failure) -> Self::Out {
        eventsourced::EventSourcedStreamOut {
            message: Some(eventsourced::event_sourced_stream_out::Message::Failure(
                failure,
            )),
        }
    }
}

impl Stateful for value_entity::ValueEntity {
    type In = valueentity::ValueEntityStreamIn;
    type Out = valueentity::ValueEntityStreamOut;
    type Init = valueentity::ValueEntityInit;
    /// All there is comes with init.
    type Event = Infallible;

    fn read(message: Self::In) -> Option<SessionInput<Self>> {
        use valueentity::value_entity_stream_in::Message;
        Some(match message.message? {
            Message::Init(init) => SessionInput::Init(init),
            Message::Command(command) => SessionInput::Command(command),
        })
    }

    fn begin(init: Self::Init) -> Result<(String, Self), ModelError> {
        let fresh = value_entity::ValueEntity::new(&init.service_name);
        let mut entity = fresh.ok_or(ModelError::Service(init.service_name))?;
        // No state and a state without a value are the same: nothing is stored.
        if let Some(value) = init.state.and_then(|state| state.value) {
            entity.restore(&value)?;
        }
        Ok((init.entity_id, entity))
    }

    fn replay(&mut self, event: Infallible) -> Result<(), ModelError> {
        match event {}
    }

    fn reply(&mut self, command: Command) -> Result<Self::Out, ModelError> {
        let outcome = self.handle(&command.name, &command.payload.unwrap_or_default())?;
        Ok(valueentity::ValueEntityStreamOut {
            message: Some(valueentity::value_entity_stream_out::Message::Reply(
                outcome.into_reply(command.id),
            )),
        })
    }

    fn failure(failure: Failure) -> Self::Out {
        valueentity::ValueEntityStreamOut {
            message: Some(valueentity::value_entity_stream_out::Message::Failure(
                failure,
            )),
        }
    }
}
