//! The log of a shard in the hands of who has claimed it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;

use super::{
    Append, Chunk, Content, EntityRef, Epoch, History, LogError, Owner, Position, Shard, ShardLog,
    Versioned, Write,
};

/// What an owner can do with its shard: everything is written with the epoch of the claim.
pub struct Claimed {
    log: Arc<dyn ShardLog>,
    shard: Shard,
    epoch: Epoch,
}

impl Claimed {
    /// Claims a shard for this incarnation of the proxy.
    pub async fn claim(log: Arc<dyn ShardLog>, shard: Shard) -> Result<Self, LogError> {
        let epoch = log.claim(shard, incarnation()).await?;
        Ok(Self { log, shard, epoch })
    }

    /// Gives the shard back.
    pub async fn release(&self) -> Result<(), LogError> {
        self.log.release(self.shard, self.epoch).await
    }

    /// The beginning of an entity's replay.
    pub async fn load(&self, entity: &EntityRef) -> Result<History, LogError> {
        self.log.load(entity).await
    }

    /// Events after the one with this sequence number.
    pub async fn replay(&self, entity: &EntityRef, after: u64) -> Result<Chunk, LogError> {
        self.log.replay(entity, after).await
    }

    /// The value of an entity.
    pub async fn value(&self, entity: &EntityRef) -> Result<Versioned, LogError> {
        self.log.value(entity).await
    }

    /// Stores events.
    pub async fn append(
        &self,
        entity: &EntityRef,
        after: u64,
        append: Append,
    ) -> Result<Position, LogError> {
        self.write(entity, Content::Events { after, append }).await
    }

    /// Stores a value, or that there is none, in place of this version.
    pub async fn put(
        &self,
        entity: &EntityRef,
        replaces: Position,
        value: Option<Bytes>,
    ) -> Result<Position, LogError> {
        let replaces = Some(replaces);
        self.write(entity, Content::Value { replaces, value }).await
    }

    async fn write(&self, entity: &EntityRef, content: Content) -> Result<Position, LogError> {
        let entity = entity.clone();
        let write = Write { entity, content };
        let positions = self.log.append(self.shard, self.epoch, vec![write]).await?;
        let position = positions.first().copied();
        position.ok_or_else(|| LogError::Unknown("the write has no position".to_owned()))
    }
}

/// A number that no other process has, nor the next one here; the standard library's hasher is
/// seeded at random.
fn incarnation() -> Owner {
    let half = || u128::from(RandomState::new().hash_one(std::process::id()));
    Owner(half() << 64 | half())
}
