//! The proxy's side of an entity's stream: init, replay, commands, half-close.

use super::{EntityStream, Monitor};
use crate::judge::evaluation::Evaluation;
use crate::model::oracle;
use crate::party::{Party, Role};
use crate::protocol;
use crate::protocol::{Begin, Command, FromProxy, Key};
use crate::requirement::{RequirementName, names};
use crate::script::Origin;
use crate::transcript::{Entry, What};
use prost_types::Any;

impl Monitor<'_, '_> {
    pub(super) fn proxy(&mut self, entry: &Entry, watched: &mut EntityStream) {
        match &entry.what {
            What::Message { bytes } => {
                let message = protocol::read_in(watched.entity_type, bytes);
                self.proxy_message(entry, watched, message);
            }
            // That the proxy is done after its function is says nothing.
            What::HalfClose if watched.ended => watched.half_closed = true,
            What::HalfClose => self.half_close(entry, watched),
            What::Cancel | What::End { .. } => watched.ended = true,
            _ => {}
        }
    }

    fn proxy_message(&mut self, entry: &Entry, watched: &mut EntityStream, message: FromProxy) {
        let init = matches!(message, FromProxy::Init { .. });
        let first = std::mem::take(&mut watched.first);
        let init_first = |holds, text| Evaluation::new(names::COMMANDS_INIT_FIRST, holds, text);
        let text = "the first message of the stream is not init";
        self.rule(entry, watched, init_first(init || !first, text));
        match message {
            FromProxy::Init {
                service,
                entity,
                state,
            } => {
                let text = "the proxy sent init a second time on a stream";
                let once = Evaluation::new(names::COMMANDS_INIT_ONCE, first, text);
                self.rule(entry, watched, once);
                self.init(entry, watched, Key { service, entity }, state);
            }
            FromProxy::Event { sequence, payload } => self.event(entry, watched, sequence, payload),
            FromProxy::Command(command) => self.command(entry, watched, &command),
            FromProxy::Request(_) | FromProxy::Empty | FromProxy::Garbage(_) => {
                let text = "the proxy sent a message that is none of the protocol's";
                self.rule(entry, watched, init_first(false, text));
            }
        }
    }

    fn init(&mut self, entry: &Entry, watched: &mut EntityStream, key: Key, begin: Begin) {
        let known = oracle::Entity::new(&key.service).is_some() && !key.entity.is_empty();
        let text = format!(
            "init names the service {:?} and the entity {:?}",
            key.service, key.entity
        );
        let identifies = Evaluation::new(names::COMMANDS_INIT_IDENTIFIES_ENTITY, known, text);
        self.rule(entry, watched, identifies);
        let mut earlier = self.streams.values();
        // One that its function gave up is the proxy's to end, and nothing tells which came first.
        let open = earlier.any(|other| {
            other.key.as_ref() == Some(&key) && !(other.ended || other.failed || other.exempt)
        });
        let text =
            format!("the proxy opened a stream for {key} though an earlier one has not ended");
        let one_stream = Evaluation::new(names::COMMANDS_ONE_STREAM, !open, text);
        self.rule(entry, watched, one_stream);
        for rule in watched.rules.of_init(&begin) {
            self.rule(entry, watched, rule);
        }
        let snapshot = begin.snapshot.as_ref();
        watched.replayed.sequence = snapshot.map_or(0, |(sequence, _)| *sequence);
        watched.replayed.begin = begin;
        watched.key = Some(key);
    }

    fn event(&mut self, entry: &Entry, watched: &mut EntityStream, sequence: i64, payload: Any) {
        let name = if watched.emitted.contains(&payload) {
            names::EVENT_SOURCED_EMITTED_EVENTS_NOT_ECHOED
        } else {
            names::EVENT_SOURCED_REPLAY_BEFORE_COMMANDS
        };
        let text = "the proxy sent an event after a command";
        let before = Evaluation::new(name, watched.last_id == 0, text);
        self.rule(entry, watched, before);
        let replayed = &watched.replayed;
        let name = if replayed.events.is_empty() && replayed.begin.snapshot.is_some() {
            names::EVENT_SOURCED_SNAPSHOT_THEN_LATER_EVENTS
        } else {
            names::EVENT_SOURCED_SEQUENCE_WITHOUT_GAPS
        };
        let text = "the replayed event has not the next sequence number";
        let expected = replayed.sequence + 1;
        let next = Evaluation::equal(name, "event.sequence", expected, sequence, text);
        self.rule(entry, watched, next);
        watched.replayed.sequence = sequence;
        let event = (sequence, payload, entry.seq);
        watched.replayed.events.push(event);
    }

    fn command(&mut self, entry: &Entry, watched: &mut EntityStream, command: &Command) {
        self.replay_is_complete(entry, watched);
        let again = command.id == watched.last_id && watched.last_id > 0;
        let once = Evaluation::new(
            self.once(entry, command),
            !again,
            format!("the command {} is delivered a second time", command.id),
        );
        self.rule(entry, watched, once);
        let (name, path) = (names::COMMANDS_IDS_FROM_ONE, "command.id");
        let text = "the command's id is not the next on its stream";
        let expected = watched.last_id + 1;
        let next = Evaluation::equal(name, path, expected, command.id, text);
        self.rule(entry, watched, next);
        if watched.last_id > 0 {
            for rule in after_another(watched) {
                self.rule(entry, watched, rule);
            }
        }
        let key = watched.key.as_ref();
        // An init that names nobody was objected to.
        let own = key.is_some_and(|key| [&command.entity, ""].contains(&key.entity.as_str()));
        let text = format!(
            "the command is for the entity {:?}, not the stream's",
            command.entity
        );
        let name = names::COMMANDS_COMMAND_FOR_THE_STREAMS_ENTITY;
        self.rule(entry, watched, Evaluation::new(name, own, text));
        if let Some(key) = &watched.key
            && let Some(history) = self.histories.get_mut(key)
            && !watched.exempt
        {
            // Another command followed: what was answered before took effect.
            history.confirm(&|_| true);
        }
        watched.last_id = command.id;
        watched.outstanding = Some(command.id);
        watched.method.clone_from(&command.name);
        watched.emitted.clear();
    }

    fn half_close(&mut self, entry: &Entry, watched: &mut EntityStream) {
        self.replay_is_complete(entry, watched);
        let busy = watched.outstanding.is_some();
        let text = "the proxy half-closed the stream though a command is outstanding";
        let holds = !busy || watched.failed;
        let rule = Evaluation::new(names::PASSIVATION_QUEUE_FIRST, holds, text);
        self.rule(entry, watched, rule);
        if !watched.exempt {
            if watched.last_id > 0 && !busy {
                self.collector.covered(names::COMMANDS_STREAM_STAYS_OPEN);
            }
            if let Some(restart) = watched.restart {
                self.collector.covered(restart);
            }
        }
        watched.half_closed = true;
    }

    /// Why the command with this id comes but once on this stream: a client's by one sentence, an effect's by another.
    fn once(&self, entry: &Entry, command: &Command) -> RequirementName {
        let case = &self.collector.case;
        let origin = (entry.stream).and_then(|stream| case.command_on(stream, command.id));
        match origin.map(|call| case.script.calls[call].origin) {
            Some(Origin::Effect { .. }) => names::EFFECTS_EXECUTED,
            _ => names::COMMANDS_DELIVERED_ONCE,
        }
    }

    /// An event still comes on this stream, behind this entry: that is the finding then.
    fn goes_on_replaying(&self, entry: &Entry, watched: &EntityStream) -> bool {
        let later = self.collector.case.transcript.entries.iter();
        let mut later = later.filter(|e| e.stream == entry.stream && e.seq > entry.seq);
        later.any(|other| match &other.what {
            What::Message { bytes } if other.from == Party::Proxy => matches!(
                protocol::read_in(watched.entity_type, bytes),
                FromProxy::Event { sequence, .. } if sequence == watched.replayed.sequence + 1
            ),
            _ => false,
        })
    }

    /// Is what was replayed what is stored?
    fn replay_is_complete(&mut self, entry: &Entry, watched: &mut EntityStream) {
        if std::mem::replace(&mut watched.checked, true) || watched.exempt {
            return;
        }
        let Some(key) = watched.key.clone() else {
            return;
        };
        if self.collector.case.script.role == Role::Sdk || self.goes_on_replaying(entry, watched) {
            return;
        }
        let known = self.histories.remove(&key);
        // Of another service: what a new entity is given may be that one's.
        let mut others = self.histories.keys();
        let shared = known.is_none() && others.any(|other| other.entity == key.entity);
        let mut history = known.unwrap_or_else(|| watched.rules.history());
        for mut rule in history.compare(&watched.replayed) {
            if shared {
                rule.requirement = names::ENTITY_KEYS_SCOPED_BY_PERSISTENCE_ID;
            }
            self.rule(entry, watched, rule);
        }
        history.settle(&watched.replayed);
        self.histories.insert(key, history);
    }
}

/// A command that isn't the stream's first waits for its turn, and goes to another stream after a restart.
fn after_another(watched: &EntityStream) -> [Evaluation; 2] {
    let free = watched.outstanding.is_none();
    let text = "the proxy sent a command though an earlier one is not answered";
    let one = Evaluation::new(names::COMMANDS_ONE_OUTSTANDING, free, text);
    let stream = match watched.restart {
        None | Some(names::FAILURES_RESTART) => "whose function asked for a restart",
        Some(_) => "whose function failed a command and sent something to store with it",
    };
    let text = format!("the proxy went on with a stream {stream}");
    let name = watched.restart.unwrap_or(names::FAILURES_RESTART);
    let restart = Evaluation::new(name, watched.restart.is_none(), text);
    [one, restart]
}
