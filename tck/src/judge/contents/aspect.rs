//! What a deviation in a function's answer is about, and which sentence of the models says so.

use crate::protocol::EntityType;
use crate::requirement::{RequirementName, names};
use crate::script::CallPlan;
use crate::services::{Part, Service};

/// What a deviation in an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum Aspect {
    /// The command is failed, or isn't.
    Failure,
    /// Where it goes on.
    Forward,
    /// Side effects.
    Effects,
    /// A snapshot.
    Snapshot,
    /// Events.
    Events,
    /// What becomes of a value.
    Value,
    /// The first reply after a replay.
    State,
    /// What the client gets.
    Message,
}

impl Aspect {
    /// By where the deviation is in the answer.
    pub fn of(path: &str) -> Aspect {
        let prefixes = [
            ("reply.client_action.failure", Aspect::Failure),
            ("reply.client_action.forward", Aspect::Forward),
            ("reply.snapshot", Aspect::Snapshot),
            ("reply.side_effects", Aspect::Effects),
            ("reply.events", Aspect::Events),
            ("reply.state_action", Aspect::Value),
            ("failure", Aspect::Failure),
            ("forward", Aspect::Forward),
            ("side_effects", Aspect::Effects),
        ];
        let found = prefixes.iter().find(|(prefix, _)| path.starts_with(prefix));
        found.map_or(Aspect::Message, |(_, aspect)| *aspect)
    }

    /// Is this requirement about it? What else a step verifies is not to blame for this.
    pub fn is_of(self, requirement: RequirementName) -> bool {
        let of_model = |about: fn(&Aspects) -> RequirementName| {
            let mut models = [EVENT_SOURCED, VALUE_ENTITY, ACTION].into_iter();
            models.any(|model| about(&model) == requirement)
        };
        let snapshot = requirement.as_str().contains("snapshot");
        match self {
            Aspect::Failure => of_model(|model| model.failure),
            Aspect::Forward => of_model(|model| model.forward),
            Aspect::Snapshot => snapshot,
            Aspect::Effects => {
                let effects = [
                    names::EFFECTS_FUNCTION_EFFECT_ORDER,
                    names::ACTIONS_FUNCTION_KEEPS_EFFECTS,
                ];
                effects.contains(&requirement) || of_model(|model| model.effects)
            }
            Aspect::Events | Aspect::Value | Aspect::State | Aspect::Message => {
                let state = ["event-sourced", "value-entities", "actions", "tck-models"];
                state.contains(&requirement.chapter()) && !snapshot
            }
        }
    }
}

/// What the models say of each aspect, for steps that verify something else.
#[derive(Clone, Copy, Debug)]
pub(in crate::judge) struct Aspects {
    failure: RequirementName,
    forward: RequirementName,
    effects: RequirementName,
    snapshot: RequirementName,
    events: RequirementName,
    value: RequirementName,
    state: RequirementName,
    message: RequirementName,
}

const EVENT_SOURCED: Aspects = Aspects {
    failure: names::TCK_MODELS_EVENT_SOURCED_FAIL,
    forward: names::TCK_MODELS_EVENT_SOURCED_FORWARD,
    effects: names::TCK_MODELS_EVENT_SOURCED_EFFECT,
    snapshot: names::TCK_MODELS_EVENT_SOURCED_SNAPSHOT_EVERY_FIVE,
    events: names::TCK_MODELS_EVENT_SOURCED_EMIT,
    state: names::EVENT_SOURCED_APPLIES_REPLAYED_EVENTS,
    ..Aspects::all(names::TCK_MODELS_EVENT_SOURCED_STATE)
};

const VALUE_ENTITY: Aspects = Aspects {
    failure: names::TCK_MODELS_VALUE_ENTITY_FAIL,
    forward: names::TCK_MODELS_VALUE_ENTITY_FORWARD,
    effects: names::TCK_MODELS_VALUE_ENTITY_EFFECT,
    value: names::TCK_MODELS_VALUE_ENTITY_UPDATE,
    state: names::VALUE_ENTITIES_STARTS_FROM_INIT,
    ..Aspects::all(names::TCK_MODELS_VALUE_ENTITY_STATE)
};

const ACTION: Aspects = Aspects {
    failure: names::TCK_MODELS_ACTION_FAIL,
    forward: names::TCK_MODELS_ACTION_FORWARD,
    effects: names::TCK_MODELS_ACTION_EFFECT,
    ..Aspects::all(names::TCK_MODELS_ACTION_REPLY)
};

impl Aspects {
    /// Of the answer to a call. An error, if the kit has no model that could answer it.
    pub fn of(call: &CallPlan) -> Result<Aspects, String> {
        let service = call.service();
        let known = call
            .entity_type
            .and_then(|entity_type| Service::named(service, entity_type));
        known
            .and_then(|service| Aspects::of_service(service.entity_type, service.part))
            .ok_or_else(|| {
                format!("the kit has no model of {service} yet, and can't judge its answers")
            })
    }

    /// By what the service is to the protocol, and what it is for.
    fn of_service(entity_type: EntityType, part: Part) -> Option<Aspects> {
        let empty = match (entity_type, part) {
            (EntityType::EventSourced, Part::Model | Part::Brief | Part::Keys) => {
                return Some(EVENT_SOURCED);
            }
            (EntityType::Value, Part::Model | Part::Brief | Part::Keys) => {
                return Some(VALUE_ENTITY);
            }
            (EntityType::Action, Part::Model | Part::Brief | Part::Keys) => return Some(ACTION),
            (EntityType::EventSourced, Part::Two) => names::TCK_MODELS_TWO_ANSWERS_EMPTY,
            (EntityType::EventSourced, Part::Configured) => {
                names::TCK_MODELS_CONFIGURED_ANSWERS_EMPTY
            }
            (EntityType::Value, Part::Two) => names::TCK_MODELS_VALUE_ENTITY_TWO_ANSWERS_EMPTY,
            (EntityType::Value, Part::Configured) => {
                names::TCK_MODELS_VALUE_ENTITY_CONFIGURED_ANSWERS_EMPTY
            }
            // An action has nothing to passivate, so none of them is configured.
            (EntityType::Action, Part::Two | Part::Configured) => {
                names::TCK_MODELS_ACTION_TWO_ANSWERS_EMPTY
            }
            (
                EntityType::Crdt,
                Part::Model | Part::Brief | Part::Two | Part::Configured | Part::Keys,
            ) => return None,
        };
        Some(Aspects::all(empty))
    }

    /// One sentence says all of it.
    const fn all(requirement: RequirementName) -> Aspects {
        Aspects {
            failure: requirement,
            forward: requirement,
            effects: requirement,
            snapshot: requirement,
            events: requirement,
            value: requirement,
            state: requirement,
            message: requirement,
        }
    }

    /// What is said of this one.
    pub fn about(&self, aspect: Aspect) -> RequirementName {
        match aspect {
            Aspect::Failure => self.failure,
            Aspect::Forward => self.forward,
            Aspect::Effects => self.effects,
            Aspect::Snapshot => self.snapshot,
            Aspect::Events => self.events,
            Aspect::Value => self.value,
            Aspect::State => self.state,
            Aspect::Message => self.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::SERVICES;

    #[test]
    fn something_is_said_of_every_service_of_the_kit_and_nothing_of_a_crdt() {
        for service in SERVICES {
            let aspects = Aspects::of_service(service.entity_type, service.part);
            assert!(aspects.is_some(), "{}", service.name);
        }
        assert!(Aspects::of_service(EntityType::Crdt, Part::Model).is_none());
    }
}
