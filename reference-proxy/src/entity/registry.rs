//! Which entities are awake, and the way to each.
//!
//! A command for an entity that is asleep wakes it: the entity gets a task, which stays until it
//! has nothing to do. Under the registry's lock either a command reaches the task or the task has
//! left; a command is never put into the mailbox of a task that is gone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use super::lifecycle;
use crate::journal::EntityRef;
use crate::router::{Command, Router};

/// What an entity is told.
#[derive(Debug)]
pub enum Mail {
    /// A command.
    Command(Box<Command>),
    /// To passivate as soon as nothing else is to be done.
    Passivate,
}

/// A mailbox, as its owner sees it.
#[derive(Debug)]
pub struct Mailbox {
    mail: UnboundedReceiver<Mail>,
    waiting: Arc<AtomicUsize>,
}

impl Mailbox {
    /// The next mail, when there is one. May be dropped and called again without loss.
    pub async fn next(&mut self) -> Option<Mail> {
        let mail = self.mail.recv().await;
        self.taken(mail)
    }

    /// The next mail, if there is one.
    pub fn next_now(&mut self) -> Option<Mail> {
        let mail = self.mail.try_recv().ok();
        self.taken(mail)
    }

    fn taken(&self, mail: Option<Mail>) -> Option<Mail> {
        if mail.is_some() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        mail
    }
}

#[derive(Debug)]
struct Address {
    mail: UnboundedSender<Mail>,
    waiting: Arc<AtomicUsize>,
}

impl Address {
    fn send(&self, mail: Mail) -> Result<(), Mail> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.mail.send(mail).map_err(|unsent| unsent.0)
    }
}

/// Too many commands wait for an entity.
#[derive(Debug, thiserror::Error)]
#[error("{0} commands are waiting for this entity already")]
pub struct Full(usize);

/// The entities that are awake.
#[derive(Debug, Default)]
pub struct Entities {
    awake: Mutex<HashMap<EntityRef, Address>>,
    count: watch::Sender<usize>,
    stopping: AtomicBool,
}

impl Entities {
    /// Delivers a command, unless too many are waiting for the entity.
    pub fn deliver_if_room(&self, command: Command, router: &Arc<Router>) -> Result<(), Full> {
        let mut awake = self.lock();
        if let Some(address) = awake.get(&command.entity) {
            let waiting = address.waiting.load(Ordering::Relaxed);
            if waiting >= router.limits.max_queue {
                return Err(Full(waiting));
            }
        }
        self.put(&mut awake, command, router);
        Ok(())
    }

    /// Delivers a command that belongs to a reply that took effect.
    pub fn deliver(&self, command: Command, router: &Arc<Router>) {
        // spec: effects.executed
        self.put(&mut self.lock(), command, router);
    }

    fn put(&self, awake: &mut HashMap<EntityRef, Address>, command: Command, router: &Arc<Router>) {
        let entity = command.entity.clone();
        let mail = Mail::Command(Box::new(command));
        let unsent = match awake.get(&entity) {
            Some(address) => address.send(mail),
            None => Err(mail),
        };
        // It is asleep, or its task was cut off without leaving.
        if let Err(mail) = unsent {
            let address = wake(&entity, router);
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

/// Starts the task of an entity.
fn wake(entity: &EntityRef, router: &Arc<Router>) -> Address {
    let (sender, mail) = unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let address = Address {
        mail: sender,
        waiting: Arc::clone(&waiting),
    };
    let mailbox = Mailbox { mail, waiting };
    let (entity, router) = (entity.clone(), Arc::clone(router));
    tokio::spawn(lifecycle::run(entity, mailbox, router));
    address
}
