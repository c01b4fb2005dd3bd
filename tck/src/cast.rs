//! (4) The cast plays every party that is not under test: it does what [`Play`] says next and tells it what
//! arrived.
//!
//! [`stage`] holds the connections and processes that scenarios share, [`door`] is where the kit listens as
//! function or as interceptor; [`perform`] plays one scenario on a stage. Everything is recorded, nothing is
//! judged here.

pub mod announce;
pub mod door;
pub mod relay;
pub mod stage;
mod standin;

use crate::party::{Party, Role};
use crate::play::{Act, Play};
use crate::protocol::EntityType;
use crate::scenario::Fault;
use crate::script::Script;
use crate::tasks::Panics;
use crate::transcript::{Entry, Hop, Lost, Recorder, StreamId, Transcript, What};
use crate::wire::{Called, Connection, Event, HangUp, Receiver, Sender};
use bytes::Bytes;
use stage::Stage;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long the kit waits, and how much it takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For one thing that must happen.
    pub patience: Duration,
    /// For a whole scenario.
    pub scenario: Duration,
    /// Entries of one transcript; a flood ends the scenario.
    pub entries: usize,
}

impl Limits {
    /// 4 s for each thing, 4 ms more for each message that was sent since the last came, and 60 s for a scenario, both scaled; 200,000 entries.
    pub fn scaled(time_scale: f64) -> Limits {
        let scale = time_scale.max(0.01);
        Limits {
            patience: Duration::from_secs(4).mul_f64(scale),
            scenario: Duration::from_secs(60).mul_f64(scale),
            entries: 200_000,
        }
    }
}

/// What arrives for a scenario.
#[derive(Debug)]
pub enum Arrival {
    /// The proxy called the kit's door; what was read to find out whose call it is comes with it.
    Called(Box<Called>, Vec<Event>),
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

/// Plays a script to its end, or to where it stops.
///
/// # Errors
/// A party that the kit plays can't do its part.
pub async fn perform(
    script: Arc<Script>,
    stage: &Stage,
    limits: &Limits,
) -> Result<Transcript, String> {
    let _alone = match script.has_actions() && script.role != Role::Sdk {
        true => Some(stage.actions.lock().await),
        false => None,
    };
    let (mailbox, arrivals) = mpsc::unbounded_channel();
    let panicked = stage.door().map_or(0, |door| door.panics().count());
    let claim = stage
        .door()
        .map(|door| door.claim(&script, mailbox.clone()));
    let mut actor = Actor {
        play: Play::new(script.clone()),
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
    let at_the_door = || stage.door().and_then(|door| door.panics().after(panicked));
    let panic = actor.panics.after(0).or_else(at_the_door);
    if let Some(why) = actor.failed.or(panic) {
        return Err(why);
    }
    Ok(Transcript {
        scenario: script.scenario.name(),
        role: script.role,
        bindings: script.bindings.clone().into_iter().collect(),
        entries: actor.recorder.into_entries(),
    })
}

fn lost_by(fault: &Fault) -> Lost {
    match fault {
        Fault::Frame(_) | Fault::GoesAway => Lost::Nothing,
        Fault::NoTrailers => Lost::Stream,
        Fault::Disconnects => Lost::Connection,
    }
}

struct Actor<'a> {
    play: Play,
    stage: &'a Stage,
    limits: &'a Limits,
    recorder: Recorder,
    mailbox: Mailbox,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    streams: BTreeMap<StreamId, Ends>,
    /// Of the tasks that read: what they would have read seems not to have come.
    panics: Panics,
    /// Why the kit can't go on.
    failed: Option<String>,
}

/// The sending ends of one stream that the kit holds, and the tasks that read it.
struct Ends {
    /// Towards the called side.
    caller: Option<Sender>,
    /// Towards the calling side.
    called: Option<Sender>,
    /// Dropping them cancels what is still open.
    _readers: tokio::task::JoinSet<Option<()>>,
}

impl Actor<'_> {
    async fn run(&mut self) {
        let end = tokio::time::Instant::now() + self.limits.scenario;
        loop {
            while let Ok(arrival) = self.arrivals.try_recv() {
                self.arrive(arrival).await;
            }
            if self.failed.is_some() {
                return;
            }
            if let Some(act) = self.play.next() {
                self.act(act).await;
                continue;
            }
            if self.play.is_over() {
                return;
            }
            let deadline = end.min(tokio::time::Instant::now() + self.patience());
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

    fn gave_up(&mut self, waited_for: String) {
        let what = What::Deadline { waited_for };
        self.record(None, None, Party::Client, true, what);
    }

    // === What the kit does ===

    async fn act(&mut self, act: Act) {
        match act {
            Act::Open {
                from,
                hop,
                path,
                metadata,
            } => self.open(from, hop, path, metadata).await,
            Act::Send {
                from,
                stream,
                bytes,
            } => {
                let what = What::Message {
                    bytes: bytes.clone(),
                };
                self.record(
                    Some(hop_of(from, self.play.script().role)),
                    Some(stream),
                    from,
                    true,
                    what,
                );
                if let Some(sender) = self.sender(stream, from) {
                    sender.send(bytes).await;
                }
            }
            Act::HalfClose { from, stream } => {
                let hop = hop_of(from, self.play.script().role);
                self.record(Some(hop), Some(stream), from, true, What::HalfClose);
                if let Some(sender) = self.sender(stream, from) {
                    sender.finish();
                }
            }
            Act::End {
                stream,
                code,
                message,
            } => {
                let what = What::End {
                    code,
                    message: message.clone(),
                    trailers: true,
                };
                self.record(Some(Hop::Back), Some(stream), Party::Function, true, what);
                if let Some(sender) = self.sender(stream, Party::Function) {
                    sender.end(code, &message).await;
                }
            }
            Act::Reset { from, stream } => {
                let what = match from {
                    Party::Function => What::End {
                        code: 1,
                        message: "reset by the kit".into(),
                        trailers: false,
                    },
                    _ => What::Cancel,
                };
                let hop = hop_of(from, self.play.script().role);
                self.record(Some(hop), Some(stream), from, true, what);
                if let Some(sender) = self.sender(stream, from) {
                    sender.reset().await;
                }
                // A caller that has half-closed its side leaves by giving up the answer.
                if from != Party::Function {
                    self.streams.remove(&stream);
                }
            }
            Act::Fault {
                from,
                stream,
                fault,
            } => {
                let hop = hop_of(from, self.play.script().role);
                let what = What::Fault {
                    what_broke: fault.to_string(),
                    lost: lost_by(&fault),
                };
                self.record(Some(hop), Some(stream), from, true, what);
                if let Some(sender) = self.sender(stream, from) {
                    match fault {
                        Fault::Frame(bytes) => sender.send_raw(bytes).await,
                        Fault::NoTrailers => sender.finish(),
                        Fault::Disconnects => sender.hang_up(HangUp::Now),
                        Fault::GoesAway => sender.hang_up(HangUp::Later),
                    }
                }
            }
            Act::Kill(party) => {
                self.record(None, None, party, true, What::Killed);
                self.stage.kill(party).await;
            }
            Act::Start(party) => {
                self.record(None, None, party, true, What::Started);
                let wait = self.play.script().scenario.spec.is_none();
                match self.stage.start(party, wait, self.limits.patience).await {
                    Ok(()) => {}
                    Err(error) if self.play.script().role.kit_plays(party) => {
                        self.failed = Some(format!("the kit as {party} can't start: {error}"));
                    }
                    Err(error) => {
                        self.gave_up(format!("the {party} to start: {error}"));
                    }
                }
            }
        }
    }

    fn sender(&mut self, stream: StreamId, from: Party) -> Option<&mut Sender> {
        let ends = self.streams.get_mut(&stream)?;
        match from {
            Party::Function => ends.called.as_mut(),
            _ => ends.caller.as_mut(),
        }
    }

    async fn open(&mut self, from: Party, hop: Hop, path: String, metadata: Vec<(String, String)>) {
        let connection = match hop {
            Hop::Front => self.stage.proxy().await,
            Hop::Back => self.stage.function().await,
        };
        let stream = self.recorder.stream();
        let what = What::Open {
            path: path.clone(),
            metadata: metadata.clone(),
        };
        self.record(Some(hop), Some(stream), from, true, what);
        let to = if hop == Hop::Front {
            Party::Proxy
        } else {
            Party::Function
        };
        match connection {
            Ok(connection) => {
                let (sender, receiver) = connection.call(&path, &metadata);
                let mut readers = tokio::task::JoinSet::new();
                readers.spawn(self.reader(stream, to, receiver));
                let ends = Ends {
                    caller: Some(sender),
                    called: None,
                    _readers: readers,
                };
                self.streams.insert(stream, ends);
            }
            Err(error) => {
                let status = crate::wire::Status {
                    code: 14,
                    message: error.to_string(),
                    trailers: false,
                    lost: true,
                };
                let event = Event::End(status);
                let _ = self.mailbox.send(Arrival::On {
                    stream,
                    from: to,
                    event,
                });
            }
        }
    }

    // === What arrives ===

    async fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Called(called, first) => self.called(*called, first).await,
            Arrival::On {
                stream,
                from,
                event,
            } => self.event(stream, from, event).await,
        }
    }

    /// The proxy called: as function the kit will answer; as interceptor it calls the real one.
    async fn called(&mut self, called: Called, first: Vec<Event>) {
        let stream = self.recorder.stream();
        let Called {
            path,
            metadata,
            receiver,
            sender,
            begin: _,
        } = called;
        let mut readers = tokio::task::JoinSet::new();
        let mut caller = None;
        if self.play.script().role == Role::Stack
            && EntityType::of_path(&path).is_some()
            && let Ok(connection) = self.stage.function().await
        {
            let (upstream, answers) = connection.call(&path, &metadata);
            readers.spawn(self.reader(stream, Party::Function, answers));
            caller = Some(upstream);
        }
        let what = What::Open { path, metadata };
        self.record(Some(Hop::Back), Some(stream), Party::Proxy, false, what);
        self.streams.insert(
            stream,
            Ends {
                caller,
                called: Some(sender),
                _readers: readers,
            },
        );
        for event in first {
            self.event(stream, Party::Proxy, event).await;
        }
        let reader = self.reader(stream, Party::Proxy, receiver);
        if let Some(ends) = self.streams.get_mut(&stream) {
            ends._readers.spawn(reader);
        }
    }

    fn reader(
        &self,
        stream: StreamId,
        from: Party,
        receiver: Receiver,
    ) -> impl Future<Output = Option<()>> + Send + use<> {
        let reading = read(stream, from, receiver, self.mailbox.clone());
        self.panics.clone().watch(reading)
    }

    async fn event(&mut self, stream: StreamId, from: Party, event: Event) {
        let back = self
            .streams
            .get(&stream)
            .is_some_and(|ends| ends.called.is_some());
        let hop = if back || from == Party::Function {
            Hop::Back
        } else {
            Hop::Front
        };
        let what = match &event {
            Event::Headers(metadata) => What::Headers {
                metadata: metadata.clone(),
            },
            Event::Message(bytes) => What::Message {
                bytes: bytes.clone(),
            },
            Event::HalfClose => What::HalfClose,
            Event::End(_) if from == Party::Proxy && hop == Hop::Back => What::Cancel,
            Event::End(status) => What::End {
                code: status.code,
                message: status.message.clone(),
                trailers: status.trailers,
            },
        };
        self.record(Some(hop), Some(stream), from, false, what);
        if self.play.script().role == Role::Stack && hop == Hop::Back {
            self.pass_on(stream, from, event).await;
        }
    }

    /// The interceptor hands on what it saw, after it was recorded.
    async fn pass_on(&mut self, stream: StreamId, from: Party, event: Event) {
        let Some(ends) = self.streams.get_mut(&stream) else {
            return;
        };
        let onward = if from == Party::Proxy {
            &mut ends.caller
        } else {
            &mut ends.called
        };
        let Some(onward) = onward else { return };
        match event {
            Event::Headers(_) => {}
            Event::Message(bytes) => onward.send(bytes).await,
            Event::HalfClose => onward.finish(),
            Event::End(_) if from == Party::Proxy => onward.reset().await,
            Event::End(status) if status.trailers => onward.end(status.code, &status.message).await,
            Event::End(_) => onward.reset().await,
        }
    }
}

/// On which hop a party sends; the proxy's front sends are never the kit's.
fn hop_of(from: Party, _role: Role) -> Hop {
    if from == Party::Client {
        Hop::Front
    } else {
        Hop::Back
    }
}

/// Reads a stream into a mailbox, up to its end.
async fn read(stream: StreamId, from: Party, mut receiver: Receiver, mailbox: Mailbox) {
    let mut half_closed = false;
    loop {
        // The request's body is kept: dropping it would reset the stream under the answer.
        let event = match half_closed {
            true => receiver.reset().await,
            false => receiver.next().await,
        };
        let over = matches!(event, Event::End(_));
        half_closed = matches!(event, Event::HalfClose);
        let arrival = Arrival::On {
            stream,
            from,
            event,
        };
        if mailbox.send(arrival).is_err() || over {
            return;
        }
    }
}

/// A call that the kit makes outside of any scenario: discovery, readiness.
pub async fn unary<M: prost::Message + Default>(
    connection: &Connection,
    path: &str,
    request: &impl prost::Message,
) -> Result<M, String> {
    let (messages, status) = connection
        .unary(path, Bytes::from(request.encode_to_vec()))
        .await;
    if status.code != 0 {
        let code = crate::status::status_name(status.code);
        return Err(format!("{path} ended with {code} {}", status.message));
    }
    match messages.as_slice() {
        [message] => M::decode(message.clone()).map_err(|error| format!("{path}: {error}")),
        other => Err(format!(
            "{path} answered {} messages instead of one",
            other.len()
        )),
    }
}
