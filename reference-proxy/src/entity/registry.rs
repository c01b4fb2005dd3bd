//! Which entities are awake, and the way to each.
//!
//! A command for an entity that is asleep wakes it: the entity gets a task, which stays until it
//! has nothing to do. Under the registry's lock either a command reaches the task or the task has
//! left; a command is never put into the mailbox of a task that is gone.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::mailbox::{Address, Mail, Mailbox, mailbox};
use crate::command::Command;
use crate::journal::EntityRef;

/// Too many commands wait for an entity.
#[derive(Debug, thiserror::Error)]
#[error("{0} commands are waiting for this entity already")]
pub struct Full(usize);

/// Starts the task of an entity.
type Wake = dyn Fn(Arc<Entities>, EntityRef, Mailbox) + Send + Sync;

/// The entities that are awake.
pub struct Entities {
    awake: Mutex<HashMap<EntityRef, Address>>,
    count: watch::Sender<usize>,
    stopping: AtomicBool,
    max_queue: usize,
    wake: Box<Wake>,
}

impl fmt::Debug for Entities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entities", self.len())
    }
}

impl Entities {
    /// All are asleep, and will be woken so; for each only so many commands of clients may wait.
    pub fn new(
        max_queue: usize,
        wake: impl Fn(Arc<Self>, EntityRef, Mailbox) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            awake: Mutex::default(),
            count: watch::Sender::default(),
            stopping: AtomicBool::default(),
            max_queue,
            wake: Box::new(wake),
        })
    }

    /// Delivers a command, unless too many are waiting for the entity.
    pub fn deliver_if_room(self: &Arc<Self>, command: Command) -> Result<(), Full> {
        let mut awake = self.lock();
        if let Some(address) = awake.get(&command.entity) {
            let waiting = address.waiting();
            if waiting >= self.max_queue {
                return Err(Full(waiting));
            }
        }
        self.put(&mut awake, command);
        Ok(())
    }

    /// Delivers a command that belongs to a reply that took effect.
    pub fn deliver(self: &Arc<Self>, command: Command) {
        // spec: effects.executed
        self.put(&mut self.lock(), command);
    }

    fn put(self: &Arc<Self>, awake: &mut HashMap<EntityRef, Address>, command: Command) {
        let entity = command.entity.clone();
        let mail = Mail::Command(Box::new(command));
        let unsent = match awake.get(&entity) {
            Some(address) => address.send(mail),
            None => Err(mail),
        };
        // It is asleep, or its task was cut off without leaving.
        if let Err(mail) = unsent {
            let (address, mailbox) = mailbox();
            (self.wake)(Arc::clone(self), entity.clone(), mailbox);
            let _ = address.send(mail);
            if self.stopping.load(Ordering::Relaxed) {
                let _ = address.send(Mail::Passivate);
            }
            awake.insert(entity, address);
            self.count.send_replace(awake.len());
        }
    }

    /// Tells all entities to passivate, and waits until they have.
    pub async fn passivate_all(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        for address in self.lock().values() {
            // One that is gone needs no telling.
            let _ = address.send(Mail::Passivate);
        }
        // The sender is ours, so this can't fail.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// How many entities are awake.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether all entities are asleep.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next mail of an entity; where there is none it is asleep from now on.
    pub fn next_or_leave(&self, entity: &EntityRef, mailbox: &mut Mailbox) -> Option<Mail> {
        let mut awake = self.lock();
        let next = mailbox.next_now();
        if next.is_none() {
            awake.remove(entity);
            self.count.send_replace(awake.len());
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EntityRef, Address>> {
        self.awake.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
