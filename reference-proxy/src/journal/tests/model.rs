//! What a log is: a model of it, held against both engines with random acts.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::*;

/// Something done to the log.
#[derive(Debug, Clone)]
enum Act {
    Claim { owner: u128 },
    Release(When),
    Renew(When),
    Head(When),
    Append { when: When, writes: Vec<Change> },
    Together(Vec<Vec<Change>>),
    Load { entity: usize },
    Replay { entity: usize, after: u64 },
    Value { entity: usize },
    Tail { after: u64 },
    Reopen,
}

/// With which epoch: the latest, or the one before.
#[derive(Debug, Clone, Copy)]
enum When {
    Now,
    Before,
}

/// A write; what it expects is said by how far it is off.
#[derive(Debug, Clone)]
enum Change {
    Events {
        entity: usize,
        off: i64,
        events: Vec<u64>,
        snapshot: Option<u64>,
    },
    Value {
        entity: usize,
        off: Option<i64>,
        value: Option<u64>,
    },
}

/// Ids that would run into each other, were they only put side by side.
const ENTITIES: [(&str, &str); 5] = [("a", "b"), ("ab", ""), ("", "ab"), ("a", "b\0"), ("a", "")];

fn at(position: usize) -> EntityRef {
    entity(ENTITIES[position].0, ENTITIES[position].1)
}

/// Mostly as expected.
fn off() -> impl Strategy<Value = i64> {
    prop_oneof![8 => Just(0), 1 => Just(-1_i64), 1 => 1..3_i64]
}

fn change() -> impl Strategy<Value = Change> {
    let entity = 0..ENTITIES.len();
    let events = prop::collection::vec(any::<u64>(), 1..5);
    prop_oneof![
        (entity.clone(), off(), events, any::<Option<u64>>()).prop_map(
            |(entity, off, events, snapshot)| Change::Events {
                entity,
                off,
                events,
                snapshot,
            }
        ),
        (entity, prop::option::of(off()), any::<Option<u64>>())
            .prop_map(|(entity, off, value)| Change::Value { entity, off, value }),
    ]
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![6 => Just(When::Now), 1 => Just(When::Before)]
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let entity = 0..ENTITIES.len();
    let writes = || prop::collection::vec(change(), 0..4);
    let act = prop_oneof![
        2 => (1..3_u128).prop_map(|owner| Act::Claim { owner }),
        1 => when().prop_map(Act::Release),
        1 => when().prop_map(Act::Renew),
        2 => when().prop_map(Act::Head),
        8 => (when(), writes()).prop_map(|(when, writes)| Act::Append { when, writes }),
        2 => prop::collection::vec(writes(), 1..4).prop_map(Act::Together),
        2 => entity.clone().prop_map(|entity| Act::Load { entity }),
        2 => (entity.clone(), 0..20_u64).prop_map(|(entity, after)| Act::Replay { entity, after }),
        2 => entity.prop_map(|entity| Act::Value { entity }),
        2 => (0..40_u64).prop_map(|after| Act::Tail { after }),
        1 => Just(Act::Reopen),
    ];
    // Without a claim little happens.
    prop::collection::vec(act, 1..60).prop_map(|mut acts| {
        acts.insert(0, Act::Claim { owner: 1 });
        acts
    })
}

/// What is there.
#[derive(Debug, Default, Clone)]
struct Model {
    epoch: u64,
    owner: Option<Owner>,
    head: u64,
    histories: HashMap<usize, (Vec<Bytes>, Option<Snapshot>)>,
    values: HashMap<usize, Versioned>,
    order: Vec<Recorded>,
}

impl Model {
    fn epoch(&self, when: When) -> Epoch {
        match when {
            When::Now => Epoch(self.epoch),
            When::Before => Epoch(self.epoch.saturating_sub(1)),
        }
    }

    fn is_current(&self, when: When) -> bool {
        self.owner.is_some() && self.epoch(when).0 == self.epoch
    }

    fn last(&self, entity: usize) -> u64 {
        let history = self.histories.get(&entity);
        history.map_or(0, |(events, _)| events.len()) as u64
    }

    fn after(&self, entity: usize, after: u64) -> Vec<Bytes> {
        let history = self.histories.get(&entity);
        let events = history.map(|(events, _)| events.clone());
        let events = events.unwrap_or_default().into_iter();
        events.skip(after as usize).collect()
    }

    fn value(&self, entity: usize) -> Versioned {
        self.values.get(&entity).cloned().unwrap_or_default()
    }

    /// The write, and whether it fits.
    fn write(&self, change: &Change) -> (Write, bool) {
        let (entity, content, fits) = match change {
            Change::Events {
                entity,
                off,
                events,
                snapshot,
            } => {
                let last = self.last(*entity);
                let after = last.saturating_add_signed(*off);
                let append = Append {
                    events: events.iter().copied().map(event).collect(),
                    snapshot: snapshot.map(event),
                };
                (entity, Content::Events { after, append }, after == last)
            }
            Change::Value { entity, off, value } => {
                let version = self.value(*entity).version;
                let replaces = off.map(|off| Position(version.0.saturating_add_signed(off)));
                let value = value.map(event);
                let fits = replaces.is_none_or(|replaces| replaces == version);
                (entity, Content::Value { replaces, value }, fits)
            }
        };
        let entity = at(*entity);
        (Write { entity, content }, fits)
    }

    fn store(&mut self, change: &Change, write: &Write) {
        self.head += 1;
        let position = Position(self.head);
        match (&write.content, change) {
            (Content::Events { after, append }, Change::Events { entity, .. }) => {
                let (events, latest) = self.histories.entry(*entity).or_default();
                events.extend(append.events.iter().cloned());
                let sequence = events.len() as u64;
                if let Some(state) = append.snapshot.clone() {
                    *latest = Some(Snapshot { sequence, state });
                }
                self.order.push(Recorded {
                    position,
                    entity: write.entity.clone(),
                    sequence: after + 1,
                    events: append.events.clone(),
                });
            }
            (Content::Value { value, .. }, Change::Value { entity, .. }) => {
                self.values.remove(entity);
                if let Some(value) = value.clone() {
                    let (version, value) = (position, Some(value));
                    self.values.insert(*entity, Versioned { version, value });
                }
            }
            _ => unreachable!("the write is made of the change"),
        }
    }

    /// The writes, and what becomes of them: their positions, or a conflict.
    fn append(&mut self, changes: &[Change]) -> (Vec<Write>, Option<Vec<Position>>) {
        let mut after = self.clone();
        let (mut writes, mut all_fit) = (Vec::new(), true);
        for change in changes {
            let (write, fits) = after.write(change);
            all_fit &= fits;
            if all_fit {
                after.store(change, &write);
            }
            writes.push(write);
        }
        let positions = (self.head + 1..=after.head).map(Position).collect();
        if all_fit {
            *self = after;
        }
        (writes, all_fit.then_some(positions))
    }

    /// Does the same to the log, and compares what it answers.
    async fn check(&mut self, log: &dyn ShardLog, act: Act) -> TestCaseResult {
        match act {
            Act::Claim { owner } => self.check_claim(log, Owner(owner)).await?,
            Act::Release(when) => {
                let released = log.release(SHARD, self.epoch(when)).await;
                self.check_epoch(when, released.map(drop))?;
                if self.is_current(when) {
                    self.owner = None;
                }
            }
            Act::Renew(when) => self.check_epoch(when, log.renew(SHARD, self.epoch(when)).await)?,
            Act::Head(when) => {
                let head = log.head(SHARD, self.epoch(when)).await;
                if let Ok(head) = &head {
                    prop_assert_eq!(head.0, self.head);
                }
                self.check_epoch(when, head.map(drop))?;
            }
            Act::Append { when, writes } if self.is_current(when) => {
                let (writes, expected) = self.append(&writes);
                check_append(log.append(SHARD, self.epoch(when), writes).await, expected)?;
            }
            Act::Append { when, writes } => {
                let (writes, _) = self.clone().append(&writes);
                let done = log.append(SHARD, self.epoch(when), writes).await;
                self.check_epoch(when, done.map(drop))?;
            }
            Act::Together(appends) => self.check_together(log, &appends).await?,
            Act::Load { entity } => self.check_load(log, entity).await?,
            Act::Replay { entity, after } => {
                let read = replay(log, &at(entity), after).await;
                prop_assert_eq!(read, self.after(entity, after));
            }
            Act::Value { entity } => {
                prop_assert_eq!(log.value(&at(entity)).await.unwrap(), self.value(entity));
            }
            Act::Tail { after } => self.check_tail(log, Position(after)).await?,
            Act::Reopen => {}
        }
        Ok(())
    }

    /// Compares all that there is.
    async fn check_all(&self, log: &dyn ShardLog) -> TestCaseResult {
        for entity in 0..ENTITIES.len() {
            self.check_load(log, entity).await?;
            prop_assert_eq!(log.value(&at(entity)).await.unwrap(), self.value(entity));
            prop_assert_eq!(replay(log, &at(entity), 0).await, self.after(entity, 0));
        }
        self.check_tail(log, Position(0)).await
    }

    async fn check_claim(&mut self, log: &dyn ShardLog, owner: Owner) -> TestCaseResult {
        match (log.claim(SHARD, owner).await, self.owner) {
            (Err(LogError::Held { owner: held, .. }), Some(holder)) if holder != owner => {
                prop_assert_eq!(held, holder);
            }
            (Ok(epoch), holder) if holder.is_none_or(|holder| holder == owner) => {
                self.epoch += 1;
                self.owner = Some(owner);
                prop_assert_eq!(epoch.0, self.epoch);
            }
            (other, holder) => prop_assert!(false, "{:?}, held by {:?}", other, holder),
        }
        Ok(())
    }

    fn check_epoch(&self, when: When, done: Result<(), LogError>) -> TestCaseResult {
        let fenced = matches!(&done,
            Err(LogError::Fenced { epoch, .. }) if *epoch == self.epoch(when));
        let expected = if self.is_current(when) {
            done.is_ok()
        } else {
            fenced
        };
        prop_assert!(expected, "{:?} {:?}", when, done);
        Ok(())
    }

    /// Appends that are queued at once, and have the same order all the same.
    async fn check_together(
        &mut self,
        log: &dyn ShardLog,
        appends: &[Vec<Change>],
    ) -> TestCaseResult {
        if !self.is_current(When::Now) {
            return Ok(());
        }
        let epoch = self.epoch(When::Now);
        let queued: Vec<_> = appends
            .iter()
            .map(|changes| {
                let (writes, expected) = self.append(changes);
                (log.append(SHARD, epoch, writes), expected)
            })
            .collect();
        for (done, expected) in queued {
            check_append(done.await, expected)?;
        }
        Ok(())
    }

    async fn check_load(&self, log: &dyn ShardLog, entity: usize) -> TestCaseResult {
        let history = self.histories.get(&entity);
        let snapshot = history.and_then(|(_, last)| last.clone());
        let after = snapshot.as_ref().map_or(0, |snapshot| snapshot.sequence);
        let events = Chunk {
            events: self.after(entity, after),
            more: false,
        };
        let loaded = log.load(&at(entity)).await.unwrap();
        prop_assert_eq!(loaded, History { snapshot, events });
        Ok(())
    }

    async fn check_tail(&self, log: &dyn ShardLog, after: Position) -> TestCaseResult {
        let expected = self.order.iter().filter(|write| write.position > after);
        prop_assert_eq!(
            tail(log, after).await,
            expected.cloned().collect::<Vec<_>>()
        );
        Ok(())
    }
}

fn check_append(
    done: Result<Vec<Position>, LogError>,
    expected: Option<Vec<Position>>,
) -> TestCaseResult {
    match (done, expected) {
        (Ok(positions), Some(expected)) => prop_assert_eq!(positions, expected),
        (Err(LogError::Conflict(_)), None) => {}
        (done, expected) => prop_assert!(false, "{:?}, and not {:?}", done, expected),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn memory_is_as_the_model(acts in acts()) {
        let mut model = Model::default();
        let log = MemoryLog::default();
        let runtime = runtime();
        for act in acts {
            runtime.block_on(model.check(&log, act))?;
        }
        runtime.block_on(model.check_all(&log))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() })]

    #[test]
    fn durable_is_as_the_model_also_when_opened_again(acts in acts()) {
        let directory = tempfile::tempdir().unwrap();
        let mut model = Model::default();
        let mut log = DurableLog::open(directory.path()).unwrap();
        let runtime = runtime();
        for act in acts {
            if matches!(act, Act::Reopen) {
                drop(log);
                log = DurableLog::open(directory.path()).unwrap();
                // Its owner is gone, and the epoch over.
                model.owner = None;
            }
            runtime.block_on(model.check(&log, act))?;
        }
        drop(log);
        let log = DurableLog::open(directory.path()).unwrap();
        runtime.block_on(model.check_all(&log))?;
    }
}
