//! (4) The cast plays every party that is not under test: it does what [`Play`] says next and tells it what
//! arrived.
//!
//! [`stage`] holds the connections and processes that scenarios share, [`endpoint`] is where the kit listens as
//! function or as interceptor; [`perform`] plays one scenario on a stage, its client through one door of the proxy.
//! Everything is recorded, nothing is judged here.

mod act;
pub mod announce;
mod arrive;
mod claims;
pub mod endpoint;
pub mod relay;
pub mod stage;
mod stub;
mod unary;

pub use unary::unary;

use crate::door::Door;
use crate::party::{Party, Role};
use crate::play::Play;
use crate::script::Script;
use crate::system::StartError;
use crate::tasks::Panics;
use crate::transcript::{Entry, Hop, Recorder, StreamId, Transcript, What};
use crate::wire::door::CallSender;
use crate::wire::{Event, IncomingCall, Sender};
use stage::Stage;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long the kit waits, and how much it takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For one thing that must happen.
    pub patience: Duration,
    /// For a whole scenario.
    pub scenario: Duration,
    /// Entries of one transcript; a flood ends the scenario.
    pub entries: usize,
    /// How long it must have been quiet before the kit goes on after something came.
    pub pause: Duration,
}

impl Limits {
    /// 4 s for each thing, 4 ms more for each message that was sent since the last came, and 60 s for a scenario, both scaled; 200,000 entries.
    pub fn scaled(time_scale: f64) -> Limits {
        let scale = time_scale.max(0.01);
        Limits {
            patience: Duration::from_secs(4).mul_f64(scale),
            scenario: Duration::from_secs(60).mul_f64(scale),
            entries: 200_000,
            pause: Duration::ZERO,
        }
    }

    /// The same, with pauses.
    pub fn unhurried(self, pause: Duration) -> Limits {
        Limits { pause, ..self }
    }
}

/// What arrives for a scenario.
#[derive(Debug)]
pub enum Arrival {
    /// The proxy called the kit's endpoint; what was read to find out whose call it is comes with it.
    Call(Box<IncomingCall>, Vec<Event>),
    /// Something on a stream of the scenario.
    On {
        /// The stream.
        stream: StreamId,
        /// Who sent it.
        from: Party,
        /// What.
        event: Event,
    },
}

/// A scenario's letter box.
pub type Mailbox = mpsc::UnboundedSender<Arrival>;

/// Why a scenario could not be played: the kit's own fault, or its surroundings'.
#[derive(Debug)]
pub enum PerformError {
    /// A party that the kit plays doesn't start.
    CantStart {
        /// Which.
        party: Party,
        /// Why.
        error: StartError,
    },
    /// A task of the kit panicked, so that a silence proves nothing.
    Panicked(String),
}

impl fmt::Display for PerformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PerformError::CantStart { party, error } => {
                write!(f, "the kit as {party} can't start: {error}")
            }
            PerformError::Panicked(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for PerformError {}

/// Plays a script to its end, or to where it stops; its client calls the proxy through this door.
///
/// # Errors
/// A party that the kit plays can't do its part.
pub async fn perform(
    script: Arc<Script>,
    door: Door,
    stage: &Stage,
    limits: &Limits,
) -> Result<Transcript, PerformError> {
    let _alone = if script.has_actions() && script.role != Role::Sdk {
        Some(stage.actions.lock().await)
    } else {
        None
    };
    let (mailbox, arrivals) = mpsc::unbounded_channel();
    let panicked = stage.endpoint().map_or(0, |own| own.panics().count());
    let claim = stage
        .endpoint()
        .map(|own| own.claim(&script, mailbox.clone()));
    let mut actor = Actor {
        play: Play::new(script.clone()),
        door,
        stage,
        limits,
        recorder: Recorder::default(),
        mailbox,
        arrivals,
        streams: BTreeMap::new(),
        panics: Panics::default(),
        failed: None,
    };
    actor.run().await;
    drop(claim);
    let while_listening = || {
        stage
            .endpoint()
            .and_then(|own| own.panics().after(panicked))
    };
    let panic = actor.panics.after(0).or_else(while_listening);
    if let Some(why) = actor.failed.or(panic.map(PerformError::Panicked)) {
        return Err(why);
    }
    Ok(Transcript {
        scenario: script.scenario.name(),
        role: script.role,
        bindings: script.bindings.clone().into_iter().collect(),
        entries: actor.recorder.into_entries(),
    })
}

/// Everything that the kit plays in one scenario.
struct Actor<'a> {
    play: Play,
    door: Door,
    stage: &'a Stage,
    limits: &'a Limits,
    recorder: Recorder,
    mailbox: Mailbox,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    streams: BTreeMap<StreamId, OpenStream>,
    /// Of the tasks that read: what they would have read seems not to have come.
    panics: Panics,
    /// Why the kit can't go on.
    failed: Option<PerformError>,
}

/// What the kit holds of one stream: where it sends, and the tasks that read it.
struct OpenStream {
    to_callee: Option<Box<dyn CallSender>>,
    to_caller: Option<Sender>,
    /// Dropping them cancels what is still open.
    readers: JoinSet<Option<()>>,
}

impl Actor<'_> {
    async fn run(&mut self) {
        let end = Instant::now() + self.limits.scenario;
        loop {
            while self.recorder.entries().len() < self.limits.entries
                && let Ok(arrival) = self.arrivals.try_recv()
            {
                self.arrive(arrival).await;
            }
            if self.failed.is_some() {
                return;
            }
            if let Some(act) = self.play.next() {
                match self.overheard(end).await {
                    Some(arrival) => self.arrive(arrival).await,
                    None => self.act(act).await,
                }
                continue;
            }
            if self.play.is_over() {
                return;
            }
            let deadline = end.min(Instant::now() + self.patience());
            match tokio::time::timeout_at(deadline, self.arrivals.recv()).await {
                Ok(Some(arrival)) if self.recorder.entries().len() < self.limits.entries => {
                    self.arrive(arrival).await;
                }
                _ => {
                    let waited_for = self.play.waits_for();
                    self.gave_up(waited_for);
                }
            }
        }
    }

    /// What still comes before the kit goes on, if it makes pauses.
    /// One that never is quiet, or floods, is not listened to for ever.
    async fn overheard(&mut self, end: Instant) -> Option<Arrival> {
        let pause = self
            .limits
            .pause
            .min(end.saturating_duration_since(Instant::now()));
        let entries = self.recorder.entries();
        let full = entries.len() >= self.limits.entries;
        if pause.is_zero() || full || entries.last().is_none_or(|entry| entry.by_kit) {
            return None;
        }
        tokio::time::timeout(pause, self.arrivals.recv())
            .await
            .ok()
            .flatten()
    }

    /// For the next thing: longer, where the other side has much to read first.
    fn patience(&self) -> Duration {
        let sent = self
            .recorder
            .entries()
            .iter()
            .rev()
            .take_while(|entry| entry.by_kit)
            .count();
        self.limits.patience + self.limits.patience / 1000 * u32::try_from(sent).unwrap_or(u32::MAX)
    }

    // === What is recorded, and seen by the play ===

    /// What the kit sends as a party.
    fn sent(&mut self, stream: StreamId, from: Party, what: What) {
        self.record(Some(hop_of(from)), Some(stream), from, true, what);
    }

    /// What the kit receives.
    fn received(&mut self, hop: Hop, stream: StreamId, from: Party, what: What) {
        self.record(Some(hop), Some(stream), from, false, what);
    }

    /// What the kit does to a party, on no stream.
    fn did(&mut self, party: Party, what: What) {
        self.record(None, None, party, true, what);
    }

    fn gave_up(&mut self, waited_for: String) {
        self.did(Party::Client, What::Deadline { waited_for });
    }

    fn record(
        &mut self,
        hop: Option<Hop>,
        stream: Option<StreamId>,
        from: Party,
        by_kit: bool,
        what: What,
    ) {
        let entry: &Entry = self.recorder.record(hop, stream, from, by_kit, what);
        self.play.observe(entry);
    }
}

/// On which hop a party that the kit plays sends.
fn hop_of(from: Party) -> Hop {
    if from == Party::Client {
        Hop::Front
    } else {
        Hop::Back
    }
}
