//! The model answers in place of the kit's user function: late effects, old entities, whatever no scenario waits
//! for.

use crate::model::oracle;
use crate::model::oracle::Entity;
use crate::protocol;
use crate::protocol::EntityType;
use crate::protocol::{Command, FromProxy, Kind};
use crate::wire::{Event, IncomingCall};
use prost_types::Any;

/// Answers what was seen of a call, and then what comes, up to its end.
pub async fn answer(mut called: IncomingCall, seen: Vec<Event>) {
    let Some(mut session) = StubCall::on(&called.path) else {
        return called
            .sender
            .end(12, "the kit's function doesn't serve this")
            .await;
    };
    let mut seen = seen.into_iter();
    loop {
        let event = match seen.next() {
            Some(event) => event,
            None => called.receiver.next().await,
        };
        let (answers, over) = match event {
            Event::Message(bytes) => match session.receive(&bytes) {
                Ok(answers) => (answers, false),
                Err(error) => return called.sender.end(3, &error.to_string()).await,
            },
            Event::HalfClose => (session.half_closed(), true),
            _ => return,
        };
        for answer in answers {
            called.sender.send(answer.into()).await;
        }
        if over {
            return called.sender.end(0, "").await;
        }
    }
}

/// Why the stub ends a call.
#[derive(Debug, thiserror::Error)]
enum StubError {
    #[error("the kit has no model of {0}")]
    NoModel(String),
    #[error("the model has no answer to {0}")]
    NoAnswer(String),
    #[error("not expected here: {0:?}")]
    Unexpected(Box<FromProxy>),
    #[error("not an ActionCommand")]
    NoCommand,
}

/// One call as the model's function holds it.
enum StubCall {
    Entity(EntityType, Option<Entity>),
    Action(Kind, Option<Command>, Vec<Any>),
}

impl StubCall {
    fn on(path: &str) -> Option<StubCall> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.path() == path);
        let action = kind.map(|kind| StubCall::Action(kind, None, Vec::new()));
        action.or_else(|| Some(StubCall::Entity(EntityType::of_path(path)?, None)))
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, StubError> {
        match self {
            StubCall::Entity(entity_type, entity) => {
                match (protocol::read_in(*entity_type, bytes), entity) {
                    (FromProxy::Init { service, state, .. }, entity @ None) => {
                        let mut fresh = Entity::new(&service).ok_or(StubError::NoModel(service))?;
                        // What the model can't read it leaves alone: the judge has its word on it.
                        let _ = fresh.begin(&state);
                        *entity = Some(fresh);
                        Ok(Vec::new())
                    }
                    (FromProxy::Event { sequence, payload }, Some(entity)) => {
                        let _ = entity.apply(sequence, &payload);
                        Ok(Vec::new())
                    }
                    (FromProxy::Command(command), Some(entity)) => {
                        let payload = command.payload.unwrap_or_default();
                        let reply = entity
                            .handle(&command.name, &payload)
                            .ok_or(StubError::NoAnswer(command.name))?;
                        Ok(encoded(*entity_type, [reply.for_command(command.id)]))
                    }
                    (message, _) => Err(StubError::Unexpected(Box::new(message))),
                }
            }
            StubCall::Action(kind, command, requests) => {
                let (FromProxy::Command(message) | FromProxy::Request(message)) =
                    protocol::read_in(EntityType::Action, bytes)
                else {
                    return Err(StubError::NoCommand);
                };
                let payload = message.payload.clone();
                let command = command.get_or_insert(message);
                match payload {
                    Some(payload) if kind.streams_out() => {
                        let replies = oracle::respond(&command.service, &command.name, &payload);
                        Ok(encoded(EntityType::Action, replies.into_iter().flatten()))
                    }
                    payload => {
                        requests.extend(payload);
                        Ok(Vec::new())
                    }
                }
            }
        }
    }

    fn half_closed(&mut self) -> Vec<Vec<u8>> {
        match self {
            StubCall::Action(kind, Some(command), requests) if !kind.streams_out() => {
                let reply = oracle::answer(&command.service, &command.name, requests);
                encoded(EntityType::Action, reply)
            }
            _ => Vec::new(),
        }
    }
}

fn encoded(
    entity_type: EntityType,
    replies: impl IntoIterator<Item = protocol::Reply>,
) -> Vec<Vec<u8>> {
    let protocol = entity_type.protocol();
    replies
        .into_iter()
        .map(|reply| protocol.reply(reply))
        .collect()
}
