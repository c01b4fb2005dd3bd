//! Commands that reach a function: whose they are.

use super::{Play, is_soon_after};
use crate::protocol::{Command, Key};
use crate::requirement::names;
use crate::script::{MoveKind, Origin};
use crate::transcript::{Entry, StreamId};

impl Play {
    pub(super) fn command(&mut self, stream: StreamId, entry: &Entry, command: &Command) {
        let key = self.track(stream).and_then(|track| track.key.clone());
        if (self.track(stream)).is_some_and(|track| track.last_id == command.id && command.id > 0) {
            // The very same again: that is its own finding, and nobody waits for an answer to it.
            return;
        }
        let found = self.find_command(key.as_ref(), command);
        if let Some(call) = self.repeated(key.as_ref(), command, found) {
            let text = format!("the command {} again", command.name);
            let once = match self.script.calls[call].origin {
                Origin::Effect { .. } => names::EFFECTS_EXECUTED,
                _ => names::COMMANDS_DELIVERED_ONCE,
            };
            return self.breaks(entry, text, Some(once));
        }
        let Some(index) = found else {
            let text = format!(
                "the command {} that no call of the client asked for",
                command.name
            );
            return self.unexpected(entry, text);
        };
        let MoveKind::Command(call) = self.script.moves[index].kind else {
            return;
        };
        self.backs.insert(call, stream);
        self.consult(stream, call, command);
        if let Some(track) = self.track(stream) {
            track.commands += 1;
            track.last_id = command.id;
            track.outstanding = Some((command.id, call));
        }
        self.complete(index, entry.seq, command.id);
        let crossed = self.track(stream).and_then(|track| track.ended_idle_at);
        if crossed.is_some_and(|ended| is_soon_after(entry.at, ended)) {
            self.lose(stream, call, entry.seq);
        }
    }

    /// A command and the end of its stream crossed, which passivation.voluntary-end permits: it is not answered, what
    /// its answer would have asked for never comes, and its client gets a status (failures.stream-lost).
    pub(super) fn lose(&mut self, stream: StreamId, call: usize, entry: u64) {
        let script = self.script.clone();
        if let Some(track) = self.track(stream) {
            track.outstanding = None;
        }
        self.lost.insert(call);
        for (index, this) in script.moves.iter().enumerate() {
            let needless = match this.kind {
                MoveKind::Answer(of) => script.comes_from(of, call),
                MoveKind::Command(of) => of != call && script.comes_from(of, call),
                _ => false,
            };
            if needless && self.done[index].is_none() {
                self.made(index, entry);
            }
        }
    }

    /// Its command was on its way when the function let go of its entity.
    pub fn is_lost(&self, call: usize) -> bool {
        self.lost
            .iter()
            .any(|lost| *lost == call || self.script.client_call(*lost) == call)
    }

    /// The call that a command belongs to: by entity and method, and among several by payload.
    fn find_command(&self, key: Option<&Key>, command: &Command) -> Option<usize> {
        let payload = command
            .payload
            .as_ref()
            .map(|any| any.value.as_slice())
            .unwrap_or_default();
        let same = |call: usize| self.script.calls[call].payload == payload;
        let entity = |call: usize| self.script.calls[call].key.as_ref() == key;
        let method = |call: usize| self.script.calls[call].method == command.name;
        let stateful = |call: usize| self.script.calls[call].key.is_some();
        let command = |is: &dyn Fn(usize) -> bool| {
            self.find(|kind| matches!(kind, MoveKind::Command(call) if is(*call)))
        };
        let asked = |call: usize| self.was_asked_for(call);
        // What nobody has asked for yet can only be meant where nothing else can.
        command(&|call| asked(call) && entity(call) && same(call) && method(call))
            .or_else(|| command(&|call| asked(call) && stateful(call) && same(call)))
            .or_else(|| command(&|call| asked(call) && entity(call)))
            .or_else(|| command(&|call| entity(call) && same(call) && method(call)))
            .or_else(|| command(&|call| stateful(call) && same(call)))
            .or_else(|| command(&entity))
    }

    /// Its client has called, or the function has answered what asks for it.
    fn was_asked_for(&self, call: usize) -> bool {
        let asks = |kind: &MoveKind| match (self.script.calls[call].origin, kind) {
            (Origin::Client, MoveKind::Request(asking)) => *asking == call,
            (
                Origin::Effect { parent, .. }
                | Origin::Forward { parent }
                | Origin::Element { parent },
                MoveKind::Answer(asking),
            ) => *asking == parent,
            _ => false,
        };
        let moves = self.script.moves.iter().zip(&self.done);
        let mut made = moves.filter(|(_, done)| done.is_some());
        made.any(|(this, _)| asks(&this.kind))
    }

    /// The command of a call that the function has had already, though no other asks for the same.
    fn repeated(
        &self,
        key: Option<&Key>,
        command: &Command,
        found: Option<usize>,
    ) -> Option<usize> {
        let payload = (command.payload.as_ref()).map_or(&[][..], |any| any.value.as_slice());
        let same = |call: usize| {
            let plan = &self.script.calls[call];
            plan.key.as_ref() == key && plan.method == command.name && plan.payload == payload
        };
        let pending = found.is_some_and(|index| match self.script.moves[index].kind {
            MoveKind::Command(call) => self.was_asked_for(call),
            _ => false,
        });
        let mut aligned = self.aligned.iter().filter(|_| !pending);
        aligned.find_map(|aligned| match self.script.moves[aligned.index].kind {
            MoveKind::Command(call) if same(call) => Some(call),
            _ => None,
        })
    }
}
