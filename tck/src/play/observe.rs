//! What others do: entries aligned with the moves they are.

use super::draft::Deed;
use super::{Play, StreamState, Track};
use crate::party::{Party, Role};
use crate::protocol;
use crate::protocol::EntityType;
use crate::protocol::Key;
use crate::protocol::{Begin, FromFunction, FromProxy};
use crate::requirement::names;
use crate::script::{MoveKind, Place, Returns};
use crate::status;
use crate::transcript::{Entry, StreamId, What};

impl Play {
    pub(super) fn received(&mut self, entry: &Entry) {
        let Some(stream) = entry.stream else { return };
        if let What::Open { path, .. } = &entry.what {
            let kind = match (path.as_str(), EntityType::of_path(path)) {
                (protocol::DISCOVER, _) => StreamState::Discover,
                (protocol::REPORT_ERROR, _) => StreamState::Report { answered: false },
                (_, Some(entity_type)) => StreamState::of(entity_type, None),
                (_, None) => StreamState::Other,
            };
            self.streams.insert(stream, kind);
            return;
        }
        match self.streams.get(&stream) {
            Some(StreamState::Front { call, .. }) => self.front_received(stream, *call, entry),
            Some(StreamState::Entity(_)) if entry.from == Party::Proxy => {
                self.proxy_on_entity(stream, entry)
            }
            Some(StreamState::Entity(_)) => self.function_on_entity(stream, entry),
            Some(StreamState::Action(_)) if entry.from == Party::Proxy => {
                self.proxy_on_action(stream, entry)
            }
            Some(StreamState::Action(_)) => self.function_on_action(stream, entry),
            Some(StreamState::Discover) => self.discovery(entry),
            Some(StreamState::Report { .. }) => self.report(stream, entry),
            _ => {}
        }
    }

    /// What comes back to a client.
    fn front_received(&mut self, stream: StreamId, call: usize, entry: &Entry) {
        let streamed = self.script.calls[call].kind.streams_out();
        match &entry.what {
            What::Message { .. } if streamed => {
                let script = self.script.clone();
                let passed = |kind: &MoveKind| matches!(kind, MoveKind::Pass(c) if script.client_call(*c) == call);
                if !self.align(entry, passed) {
                    self.unexpected(
                        entry,
                        "a message that the function's answers don't account for",
                    );
                }
            }
            What::End { .. } => {
                self.without_the_function(call, entry);
                self.align(
                    entry,
                    |kind| matches!(kind, MoveKind::Return(c) if *c == call),
                );
            }
            _ => {}
        }
        if let Some(StreamState::Front {
            messages, headers, ..
        }) = self.streams.get_mut(&stream)
        {
            match &entry.what {
                What::Message { .. } => messages.push(entry.seq),
                What::Headers { .. } => *headers = Some(entry.seq),
                _ => {}
            }
        }
    }

    /// A client is answered though its command never came: where the chart has that among others, nobody waits for
    /// the command any more.
    fn without_the_function(&mut self, call: usize, entry: &Entry) {
        let Returns::Either(_) = self.script.calls[call].returns else {
            return;
        };
        let script = self.script.clone();
        let command = |kind: &MoveKind| matches!(kind, MoveKind::Command(c) if *c == call);
        let answer = |kind: &MoveKind| matches!(kind, MoveKind::Answer(c) if *c == call);
        if self.find(command).is_none() {
            return;
        }
        for (index, this) in script.moves.iter().enumerate() {
            if command(&this.kind) || answer(&this.kind) {
                self.made(index, entry.seq);
            }
        }
    }

    fn report(&mut self, stream: StreamId, entry: &Entry) {
        match (&entry.what, entry.from) {
            (What::Message { .. }, Party::Proxy) => {
                self.align(entry, |kind| matches!(kind, MoveKind::Reported(_)));
            }
            (What::Message { .. }, Party::Function) => {
                if let Some(StreamState::Report { answered }) = self.streams.get_mut(&stream) {
                    *answered = true;
                }
            }
            (What::End { code: 0, .. }, Party::Function) => {
                let empty = matches!(
                    self.streams.get(&stream),
                    Some(StreamState::Report { answered: false })
                );
                if empty {
                    let text = "OK and no google.protobuf.Empty";
                    return self.breaks(entry, text, Some(names::DISCOVERY_ANSWERS_REPORT_ERROR));
                }
                self.align(entry, |kind| matches!(kind, MoveKind::Acknowledged));
            }
            (What::End { code, message, .. }, Party::Function) => {
                let status = status::status_name(*code);
                self.unexpected(
                    entry,
                    format!("the end of reportError with {status} {message}"),
                );
            }
            _ => {}
        }
    }

    fn discovery(&mut self, entry: &Entry) {
        match (&entry.what, entry.from) {
            (What::Message { .. }, Party::Proxy) => {
                self.align(entry, |kind| matches!(kind, MoveKind::Discover(_)));
            }
            (What::Message { .. }, _) => {
                self.align(entry, |kind| matches!(kind, MoveKind::Spec(_)));
            }
            (What::End { code, message, .. }, Party::Function) if *code != 0 => {
                self.unexpected(
                    entry,
                    format!(
                        "discover ended with {} {message}",
                        status::status_name(*code)
                    ),
                );
            }
            _ => {}
        }
    }

    fn proxy_on_entity(&mut self, stream: StreamId, entry: &Entry) {
        let entity_type = self.entity_type(stream);
        match (&entry.what, entity_type) {
            (What::Message { bytes }, Some(entity_type)) => {
                match protocol::read_in(entity_type, bytes) {
                    FromProxy::Init {
                        service,
                        entity,
                        state,
                    } => self.init(stream, Key { service, entity }, state),
                    FromProxy::Event { sequence, payload } => {
                        self.replayed(stream, sequence, payload);
                    }
                    FromProxy::Command(command) => self.command(stream, entry, &command),
                    FromProxy::Request(_) | FromProxy::Empty => {
                        self.unexpected(entry, "a message with nothing set");
                    }
                    FromProxy::Garbage(error) => {
                        let text = format!("a message that can't be decoded ({error})");
                        self.unexpected(entry, text);
                    }
                }
            }
            (What::HalfClose, _) => self.proxy_closes(stream, entry, true),
            (What::Cancel | What::End { .. }, _) => self.proxy_closes(stream, entry, false),
            _ => {}
        }
    }

    fn init(&mut self, stream: StreamId, key: Key, state: Begin) {
        if let Some(track) = self.track(stream) {
            track.key = Some(key.clone());
        }
        self.begun(stream, state);
        self.reset.remove(&key);
        self.asleep.remove(&key);
        self.current.insert(key, stream);
    }

    fn proxy_closes(&mut self, stream: StreamId, entry: &Entry, gracefully: bool) {
        let Some(track) = self.track(stream) else {
            return;
        };
        track.proxy_done = true;
        let entity_type = track.entity_type;
        let Some(key) = track.key.clone() else { return };
        let function_done = track.function_done;
        let mut awaited = false;
        let half = gracefully
            .then(|| self.find(|kind| matches!(kind, MoveKind::HalfClose(k) if *k == key)))
            .flatten()
            .filter(|index| self.enabled(*index));
        match half {
            Some(index) => self.complete(index, entry.seq, 0),
            None => {
                let here = Place::Entity(entity_type, key.clone());
                awaited = self.align(entry, |kind| match kind {
                    MoveKind::Ends {
                        from: Party::Proxy,
                        place,
                        ..
                    } => *place == here,
                    MoveKind::Resets {
                        from: Party::Proxy,
                        place,
                    } => *place == here && !gracefully,
                    _ => false,
                });
            }
        }
        if !gracefully {
            self.reset.insert(key.clone());
            if let Some(track) = self.track(stream) {
                track.function_done = true;
            }
            return self.forget(stream);
        }
        let scripted = awaited && self.goes_on(&Place::Entity(entity_type, key.clone()));
        if self.script.role.kit_plays(Party::Function) && !function_done && !scripted {
            let owner = half.and_then(|half| {
                self.find(|kind| matches!(kind, MoveKind::Complete(k) if *k == key))
                    .filter(|index| self.script.moves[*index].after.contains(&half))
            });
            self.push_on(Party::Function, stream, Deed::End(0, String::new()), owner);
        }
    }

    /// The chart says itself how a stream goes on that the proxy has half-closed.
    fn goes_on(&self, here: &Place) -> bool {
        let ends = |kind: &MoveKind| match kind {
            MoveKind::Ends {
                from: Party::Function,
                place,
                ..
            }
            | MoveKind::Resets { place, .. } => place == here,
            _ => false,
        };
        self.find(ends).is_some()
    }

    pub(super) fn forget(&mut self, stream: StreamId) {
        self.current.retain(|_, current| *current != stream);
    }

    fn function_on_entity(&mut self, stream: StreamId, entry: &Entry) {
        let entity_type = self.entity_type(stream);
        match (&entry.what, entity_type) {
            (What::Message { bytes }, Some(entity_type)) => {
                match protocol::read_out(entity_type, bytes) {
                    FromFunction::Reply(reply) => self.reply(stream, entry, &reply),
                    FromFunction::Failure(failure) => {
                        if let Some(track) = self.track(stream) {
                            track.failed = true;
                        }
                        let text = format!("a failure of the stream ({:?})", failure.description);
                        self.gives_up(stream, entry, text);
                    }
                    FromFunction::Empty => {
                        self.raw_message(entry, "a message with nothing set".to_owned());
                    }
                    FromFunction::Garbage(error) => {
                        let text = format!("a message that can't be decoded ({error})");
                        self.raw_message(entry, text);
                    }
                }
            }
            (What::End { code, message, .. }, _) => {
                let text = format!(
                    "the end of the stream ({} {message})",
                    status::status_name(*code)
                );
                self.function_ends(stream, entry, *code, text);
            }
            _ => {}
        }
    }

    pub(super) fn raw_message(&mut self, entry: &Entry, text: String) {
        let raw = |kind: &MoveKind| {
            matches!(
                kind,
                MoveKind::Message {
                    from: Party::Function,
                    ..
                }
            )
        };
        if !self.align(entry, raw) {
            self.unexpected(entry, text);
        }
    }

    fn reply(&mut self, stream: StreamId, entry: &Entry, reply: &protocol::Reply) {
        let sdk = self.script.role == Role::Sdk;
        let Some(track) = self.track(stream) else {
            return;
        };
        let (key, outstanding) = (track.key.clone(), track.outstanding.take());
        let refused = |kind: &MoveKind| {
            matches!(
                kind,
                MoveKind::Fails {
                    or_command: true,
                    ..
                }
            )
        };
        if outstanding.is_none() && reply.failure().is_some() && self.align(entry, refused) {
            return;
        }
        let Some((id, call)) = outstanding else {
            return self.raw_message(entry, "a reply though no command is outstanding".to_owned());
        };
        let answer = self.find(|kind| matches!(kind, MoveKind::Answer(c) if *c == call));
        match answer {
            Some(index) => {
                self.compare_notes(stream, call, reply);
                self.complete(index, entry.seq, id);
            }
            None => return self.raw_message(entry, "a reply where none was expected".to_owned()),
        }
        if let (true, Some(key)) = (sdk, key) {
            self.stored.entry(key).or_default().keep(reply);
            let stores = reply.failure().is_some() && reply.stores();
            if reply.restarts() || stores {
                self.push_on(Party::Proxy, stream, Deed::HalfClose, None);
                if let Some(track) = self.track(stream) {
                    track.proxy_done = true;
                }
            }
        }
    }

    /// The function failed the stream; as proxy the kit then closes it.
    fn gives_up(&mut self, stream: StreamId, entry: &Entry, text: String) {
        let entity = |track: &mut Track| Some((track.entity_type, track.key.clone()?));
        let Some((entity_type, key)) = self.track(stream).and_then(entity) else {
            return;
        };
        let place = Place::Entity(entity_type, key);
        let fails =
            |kind: &MoveKind| matches!(kind, MoveKind::Fails { place: p, .. } if *p == place);
        let already = self
            .aligned
            .iter()
            .any(|a| fails(&self.script.moves[a.index].kind));
        // A function may fail a stream at the first of several things that the chart has the proxy do wrong.
        let wronged = self.aligned.iter().any(|a| {
            let this = &self.script.moves[a.index];
            this.from() == Party::Proxy
                && matches!(this.kind, MoveKind::Message { .. } | MoveKind::Bytes { .. })
        });
        let due = self
            .find(fails)
            .filter(|index| wronged || self.enabled(*index));
        if let Some(index) = due {
            self.complete(index, entry.seq, 0);
        }
        if due.is_some() || already {
            let done = self
                .track(stream)
                .is_none_or(|track| track.proxy_done || track.function_done);
            if self.script.role == Role::Sdk && !done {
                self.push_on(Party::Proxy, stream, Deed::HalfClose, None);
                if let Some(track) = self.track(stream) {
                    track.proxy_done = true;
                }
            }
        } else {
            self.raw_message(entry, text);
        }
    }

    fn function_ends(&mut self, stream: StreamId, entry: &Entry, code: i32, text: String) {
        let Some(track) = self.track(stream) else {
            return;
        };
        let (closed, busy) = (track.proxy_done, track.outstanding.is_some());
        let failed = track.failed;
        let entity_type = track.entity_type;
        track.function_done = true;
        let Some(key) = track.key.clone() else { return };
        self.forget(stream);
        if code == 0 && !busy && !failed {
            if let Some(track) = self.track(stream) {
                track.ended_idle_at = Some(entry.at);
            }
            self.asleep.insert(key.clone());
            self.take_back(&key, stream);
        }
        // A proxy may passivate by itself: only the end that follows the chart's own half-close is the chart's.
        let completes = self
            .find(|kind| matches!(kind, MoveKind::Complete(k) if closed && *k == key))
            .filter(|index| self.enabled(*index));
        if let Some(index) = completes {
            return self.complete(index, entry.seq, 0);
        }
        let this = Place::Entity(entity_type, key);
        let fails =
            |kind: &MoveKind| matches!(kind, MoveKind::Fails { place, .. } if *place == this);
        // That all is well is no failure.
        let awaited = self.awaited().map(|index| &self.script.moves[index].kind);
        if code == 0 && awaited.is_some_and(fails) {
            return self.unexpected(entry, text);
        }
        let found = self.align(entry, |kind| match kind {
            MoveKind::Fails { .. } => fails(kind),
            MoveKind::Ends {
                from: Party::Function,
                place,
                ..
            } => *place == this,
            MoveKind::Resets {
                from: Party::Function,
                place,
            } => *place == this,
            _ => false,
        });
        let gave_up = self
            .aligned
            .iter()
            .any(|a| fails(&self.script.moves[a.index].kind));
        let killed = |kind: &MoveKind| matches!(kind, MoveKind::Kill(_));
        let killed = self
            .aligned
            .iter()
            .any(|a| killed(&self.script.moves[a.index].kind));
        let voluntary = code == 0 && !busy;
        if !(found || closed || gave_up || killed || voluntary) {
            self.unexpected(entry, text);
        }
    }
}
