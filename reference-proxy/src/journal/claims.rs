//! What an engine without a clock of its own holds claims and writes against.
//!
//! A claim here doesn't run out: the store belongs to one process, and whoever had claimed a shard
//! in the one before is gone with it.

use std::collections::HashMap;

use super::{Conflict, Content, EntityRef, Epoch, LogError, Owner, Position, Shard, Write};

/// Who has a shard, and how often it was claimed.
#[derive(Debug, Default)]
pub struct Claims {
    epoch: u64,
    owner: Option<Owner>,
}

impl Claims {
    /// After so many claims, and with no owner.
    pub fn after(epoch: u64) -> Self {
        Self { epoch, owner: None }
    }

    /// The epoch that a claim would begin.
    pub fn next(&self, shard: Shard, owner: Owner) -> Result<Epoch, LogError> {
        only(shard)?;
        match self.owner {
            Some(other) if other != owner => Err(LogError::Held {
                shard,
                owner: other,
            }),
            Some(_) | None => Ok(Epoch(self.epoch + 1)),
        }
    }

    /// Begins an epoch.
    pub fn begin(&mut self, epoch: Epoch, owner: Owner) {
        self.epoch = epoch.0;
        self.owner = Some(owner);
    }

    /// Whether this epoch is the shard's.
    pub fn check(&self, shard: Shard, epoch: Epoch) -> Result<(), LogError> {
        only(shard)?;
        match self.owner {
            Some(_) if self.epoch == epoch.0 => Ok(()),
            Some(_) | None => Err(LogError::Fenced { shard, epoch }),
        }
    }

    /// Ends an epoch.
    pub fn release(&mut self, shard: Shard, epoch: Epoch) -> Result<(), LogError> {
        self.check(shard, epoch)?;
        self.owner = None;
        Ok(())
    }
}

/// These stores aren't divided.
pub fn only(shard: Shard) -> Result<(), LogError> {
    match shard {
        Shard::ONLY => Ok(()),
        other => Err(LogError::Failed(format!("it has no {other:?}"))),
    }
}

/// What is stored of entities.
pub trait Heads {
    /// The sequence number of an entity's last event.
    fn last(&self, entity: &EntityRef) -> Result<u64, LogError>;

    /// The version of an entity's value.
    fn version(&self, entity: &EntityRef) -> Result<Position, LogError>;
}

/// What writes make of entities, as long as they are only to be stored.
#[derive(Debug, Default)]
pub struct Staged {
    /// The sequence numbers of the last events.
    pub lasts: HashMap<EntityRef, u64>,
    /// The versions of the values.
    pub versions: HashMap<EntityRef, Position>,
}

impl Staged {
    /// Takes a write that gets this position, if it fits to what is stored and to those before it.
    pub fn take(
        &mut self,
        write: &Write,
        position: Position,
        stored: &impl Heads,
    ) -> Result<(), LogError> {
        let entity = write.entity.clone();
        match &write.content {
            Content::Events { append, .. } if append.events.is_empty() => {
                Err(LogError::Failed("there are no events to append".to_owned()))
            }
            Content::Events { after, append } => {
                let last = match self.lasts.get(&entity) {
                    Some(last) => *last,
                    None => stored.last(&entity)?,
                };
                if last != *after {
                    let sequence = after + 1;
                    return Err(LogError::Conflict(Conflict::Event { entity, sequence }));
                }
                self.lasts.insert(entity, last + append.events.len() as u64);
                Ok(())
            }
            Content::Value { replaces, value } => {
                let actual = match self.versions.get(&entity) {
                    Some(version) => *version,
                    None => stored.version(&entity)?,
                };
                if let Some(expected) = replaces.filter(|expected| *expected != actual) {
                    return Err(LogError::Conflict(Conflict::Value {
                        entity,
                        expected,
                        actual,
                    }));
                }
                let version = value.as_ref().map_or(Position(0), |_| position);
                self.versions.insert(entity, version);
                Ok(())
            }
        }
    }
}
