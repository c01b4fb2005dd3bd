//! What waits for an entity: commands, in order, and how many they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::command::Command;

/// What an entity is told.
#[derive(Debug)]
pub enum Mail {
    /// A command.
    Command(Box<Command>),
    /// To passivate as soon as nothing else is to be done.
    Passivate,
}

/// A mailbox, and the way to it.
pub fn mailbox() -> (Address, Mailbox) {
    let (sender, mail) = unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let address = Address {
        mail: sender,
        waiting: Arc::clone(&waiting),
    };
    (address, Mailbox { mail, waiting })
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

/// A mailbox, as everybody else sees it.
#[derive(Debug)]
pub struct Address {
    mail: UnboundedSender<Mail>,
    waiting: Arc<AtomicUsize>,
}

impl Address {
    /// Puts something into the mailbox, unless its owner is gone.
    pub fn send(&self, mail: Mail) -> Result<(), Mail> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.mail.send(mail).map_err(|unsent| unsent.0)
    }

    /// How much is in the mailbox.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}
