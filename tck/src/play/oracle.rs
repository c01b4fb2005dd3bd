//! The model beside each entity: what answers where the kit plays the function, and what an answer is held against
//! that the chart leaves to the model.

use super::Play;
use crate::model::oracle::{self, Entity};
use crate::party::Party;
use crate::protocol::{Begin, Command, Reply};
use crate::script::{self, CallPlan};
use crate::transcript::StreamId;
use prost_types::Any;

impl Play {
    fn kit_answers(&self) -> bool {
        self.script.role.kit_plays(Party::Function)
    }

    /// Init was said.
    pub(super) fn begun(&mut self, stream: StreamId, state: Begin) {
        let kit_answers = self.kit_answers();
        if let Some(track) = self.track(stream) {
            track.initialised = true;
            track.model = (track.key.as_ref()).and_then(|key| Entity::new(&key.service));
            track.tell_model(kit_answers, |model| model.begin(&state));
            track.activation.begin = state;
        }
    }

    /// An event was replayed.
    pub(super) fn replayed(&mut self, stream: StreamId, sequence: i64, event: Any) {
        let kit_answers = self.kit_answers();
        if let Some(track) = self.track(stream) {
            track.tell_model(kit_answers, |model| model.apply(sequence, &event));
            track.activation.events.push((sequence, event));
        }
    }

    /// Asks the model about a command to a function that isn't the kit's, where the chart leaves the answer to it.
    /// In a chart in which a party departs from the protocol on purpose, what is right isn't the model's to say.
    pub(super) fn consult(&mut self, stream: StreamId, call: usize, command: &Command) {
        let plan = &self.script.calls[call];
        let open = plan.answer.is_none() && self.script.scenario.scripted.is_none();
        if self.kit_answers() || !open {
            return;
        }
        let payload = command.payload.clone().unwrap_or_default();
        let answer = match self.track(stream).map(|track| &mut track.model) {
            Some(Some(model)) => model.handle(&command.name, &payload),
            _ => None,
        };
        match answer {
            Some(reply) => {
                self.expected.insert(call, reply.for_command(command.id));
            }
            None => self.know_nothing(stream),
        }
    }

    /// A function that isn't the kit's has answered: as the model did, or as the chart says.
    pub(super) fn compare_notes(&mut self, stream: StreamId, call: usize, reply: &Reply) {
        let asked = self.expected.contains_key(&call);
        if self.kit_answers() || asked || reply.failure().is_some() {
            return;
        }
        if let Some(track) = self.track(stream) {
            track.tell_model(false, |model| model.learn(reply));
        }
    }

    fn know_nothing(&mut self, stream: StreamId) {
        if let Some(track) = self.track(stream) {
            track.model = None;
        }
    }

    /// What the model answers to a call whose answer the chart leaves to it; `None`: the chart says it, or nobody knows.
    pub fn model_answer(&self, call: usize) -> Option<Reply> {
        let plan = &self.script.calls[call];
        if plan.answer.is_some() || self.script.scenario.scripted.is_some() {
            return None;
        }
        if plan.is_action() && !plan.kind.streams_in() && !plan.kind.streams_out() {
            return self.of_action(plan);
        }
        self.expected.get(&call).cloned()
    }

    fn of_action(&self, plan: &CallPlan) -> Option<Reply> {
        let payload = script::payload(plan, &plan.payload);
        oracle::answer(plan.service(), &plan.method, &[payload])
    }
}
