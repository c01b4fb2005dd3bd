//! From a chart to a script: defaults, and the order of moves.
//!
//! A call of an entity, where a proxy is under test. A move waits for those that an arrow leads from; `▷` leads to what
//! nothing of the call waits for, only the next step.
//!
//! ```text
//! client    proxy     function   then, for what the answer asks
//! Request ▶ Command ▶ Answer ──▶ Command ▶ Answer ──▶ Command ▶ Answer ──▶ Return
//!                              │ of a synchronous   │ of the forward
//!                              │ effect             │
//!                              └ ▷ Command ▷ Answer └ ▷ ...
//!                                of an effect that nobody waits for
//! ```
//!
//! What stands in `during` lies between Command and Answer, what stands in `then` right behind the Answer; in a chart
//! for a function there are Command and Answer alone. Calls of actions are messages on streams: see [`super::action`].

use crate::fill::fill;
use crate::party::{Party, Role};
use crate::protocol::{EntityType, Key};
use crate::scenario::message::Bindings;
use crate::scenario::{Answer, Call, Raw, Scenario, Step, StepKind};
use crate::script::choice::taken;
use crate::script::needs::service_in_role;
use crate::script::reason::{NotPlayable, NotYet};
use crate::script::{CallPlan, Move, MoveKind, Origin, Script, StepInfo};
use crate::services;
use crate::yaml::{Node, Span};
use prost_reflect::MethodDescriptor;
use std::sync::Arc;

/// The script of a scenario in a role.
///
/// `alternative` is that of one of its [`super::choice::instances`]. `bindings` has a fresh value for `id` and for each of
/// the scenario's `ids`.
///
/// # Errors
/// The chart can't be played in this role.
pub fn expand(
    scenario: &Arc<Scenario>,
    role: Role,
    alternative: usize,
    bindings: Bindings,
) -> Result<Script, NotPlayable> {
    let service = service_in_role(scenario, role);
    let scenario = taken(scenario, role, alternative);
    let scenario = Arc::new(fill(&scenario, &bindings).scenario);
    let package = scenario
        .service
        .rsplit_once('.')
        .map_or("", |(package, _)| package)
        .to_owned();
    let key = Key {
        service,
        entity: bindings.get("id").cloned().unwrap_or_default(),
    };
    let mut expansion = Expansion {
        scenario: scenario.clone(),
        role,
        bindings,
        package,
        key,
        calls: Vec::new(),
        moves: Vec::new(),
        steps: Vec::new(),
        within: None,
        waiting: Vec::new(),
        live: false,
    };
    let mut frontier = expansion.steps(&scenario.chart, Vec::new())?;
    if role != Role::Sdk && scenario.spec.is_none() {
        frontier = expansion.fence(scenario.span, frontier, "")?;
    }
    let _ = frontier;
    Ok(Script {
        scenario: scenario.clone(),
        role,
        bindings: expansion.bindings,
        package: expansion.package,
        key: expansion.key,
        calls: expansion.calls,
        moves: expansion.moves,
        steps: expansion.steps,
    })
}

/// A script while it is made.
pub(super) struct Expansion {
    pub(super) scenario: Arc<Scenario>,
    pub(super) role: Role,
    pub(super) bindings: Bindings,
    pub(super) package: String,
    pub(super) key: Key,
    pub(super) calls: Vec<CallPlan>,
    pub(super) moves: Vec<Move>,
    pub(super) steps: Vec<StepInfo>,
    /// Between a command and its answer: which call's.
    pub(super) within: Option<usize>,
    /// Calls to the entity of the call that they stand in: they wait until it is answered.
    waiting: Vec<Waiting>,
    /// A call without an answer is the model's to answer, when it comes; else the function is silent.
    pub(super) live: bool,
}

/// The moves that what comes next waits for.
///
/// They are there already, so `after` leads back only and the order has no circles. Who waits for all of them waits for
/// every move of the steps so far: each of those is in the frontier, or before one that is.
pub(super) type Frontier = Vec<usize>;

/// A call that the client has made, to an entity whose command is outstanding.
struct Waiting {
    info: usize,
    index: usize,
    call: Call,
    request: Frontier,
}

/// A call's last moves: those that what comes next waits for, and those that nothing but the next step waits for.
pub(super) struct Ran {
    pub(super) index: usize,
    pub(super) chain: Frontier,
    pub(super) late: Frontier,
}

impl Ran {
    fn all(mut self) -> Frontier {
        self.chain.extend(self.late);
        self.chain
    }
}

impl Expansion {
    // === Steps ===

    pub(super) fn entity_type(&self) -> Option<EntityType> {
        services::entity_type(&self.key.service)
    }

    fn steps(&mut self, steps: &[Step], mut after: Frontier) -> Result<Frontier, NotPlayable> {
        for step in steps {
            after = self.step(step, after)?;
        }
        Ok(after)
    }

    fn info(&mut self, step: &Step) -> usize {
        let verifies = step.verifies.iter().map(|v| v.name.clone()).collect();
        self.steps.push(StepInfo {
            span: step.span,
            verifies,
        });
        self.steps.len() - 1
    }

    pub(super) fn add(&mut self, step: usize, after: Frontier, kind: MoveKind) -> usize {
        self.moves.push(Move { step, after, kind });
        self.moves.len() - 1
    }

    pub(super) fn step(&mut self, step: &Step, after: Frontier) -> Result<Frontier, NotPlayable> {
        let info = self.info(step);
        match &step.kind {
            StepKind::Call(call) => {
                let ran = self.call(info, call, Origin::Client, after)?;
                Ok(ran.all())
            }
            StepKind::Passivate => Ok(self.passivated(info, after)),
            StepKind::Raw { party, what } => {
                let done = self.raw(info, *party, what, after)?;
                self.seen(step.span, done)
            }
            StepKind::Kill(party) => self.process(info, MoveKind::Kill(*party), *party, after),
            StepKind::Start(party) => self.process(info, MoveKind::Start(*party), *party, after),
            StepKind::None(_) | StepKind::Fence if self.role == Role::Proxy => {
                self.fence(step.span, after, "-fence")
            }
            StepKind::None(_) | StepKind::Fence => Ok(after),
            StepKind::Concurrent { clients, each } => self.concurrent(*clients, each, &after),
            StepKind::Unordered(lists) => {
                let mut all = Vec::new();
                for list in lists {
                    all.extend(self.steps(list, after.clone())?);
                }
                Ok(all)
            }
            StepKind::OneOf(_) => Err(NotYet::OneOf.into()),
            StepKind::Streamed { .. } | StepKind::Cancel { .. } => Err(NotYet::Streamed.into()),
            StepKind::Consume(_) => Err(NotYet::Eventing.into()),
            StepKind::Replicate { .. } => Err(NotYet::Replicated.into()),
            StepKind::Returns => Err(NotPlayable::StrayReturns),
        }
    }

    fn passivated(&mut self, info: usize, after: Frontier) -> Frontier {
        let half = self.add(info, after, MoveKind::HalfClose(self.key.clone()));
        let complete = MoveKind::Complete(self.key.clone());
        vec![self.add(info, vec![half], complete)]
    }

    /// Nothing shows that the proxy has seen the end of an idle stream; what goes through the same proxy afterwards
    /// comes after it.
    fn seen(&mut self, span: Span, done: Frontier) -> Result<Frontier, NotPlayable> {
        let ends = match self.moves.last().map(|last| &last.kind) {
            Some(
                MoveKind::Ends { from, .. }
                | MoveKind::Resets { from, .. }
                | MoveKind::Fault { from, .. },
            ) => *from == Party::Function,
            _ => false,
        };
        if ends && self.role == Role::Proxy && self.within.is_none() {
            self.fence(span, done, "-fence")
        } else {
            Ok(done)
        }
    }

    fn process(
        &mut self,
        info: usize,
        kind: MoveKind,
        party: Party,
        after: Frontier,
    ) -> Result<Frontier, NotPlayable> {
        if self.role.kit_plays(party) && (self.role, party) != (Role::Proxy, Party::Function) {
            return Err(NotPlayable::StartsTheKit(party));
        }
        Ok(vec![self.add(info, after, kind)])
    }

    fn concurrent(
        &mut self,
        clients: usize,
        each: &[Step],
        after: &Frontier,
    ) -> Result<Frontier, NotPlayable> {
        if self.role == Role::Sdk {
            return Err(NotPlayable::OneAtATime);
        }
        let mut all = Vec::new();
        self.live = true;
        for client in 1..=clients {
            self.bindings
                .insert("client".to_owned(), client.to_string());
            all.extend(self.steps(each, after.clone())?);
        }
        self.live = false;
        self.bindings.remove("client");
        Ok(all)
    }

    /// A call of the client that every proxy must answer: what has not come by then, was not sent before.
    fn fence(
        &mut self,
        span: Span,
        after: Frontier,
        suffix: &str,
    ) -> Result<Frontier, NotPlayable> {
        let Some(call) = self.fence_call(span, suffix) else {
            return Ok(after);
        };
        let step = Step {
            span,
            verifies: Vec::new(),
            kind: StepKind::Fence,
        };
        let info = self.info(&step);
        let live = std::mem::replace(&mut self.live, true);
        let ran = self.call(info, &call, Origin::Client, after)?;
        self.live = live;
        self.calls[ran.index].fence = true;
        Ok(ran.all())
    }

    /// The fence goes to the scenario's own service, or to the one beside it that needs no lease.
    fn fence_call(&self, span: Span, suffix: &str) -> Option<Call> {
        let id = Node::text(span, format!("{}{suffix}", self.key.entity));
        let (service, request) = match self.entity_type()? {
            EntityType::EventSourced | EntityType::Value => (self.key.service.clone(), None),
            EntityType::Action => {
                let request = Node::map(span, [("id", id.clone())]);
                (format!("{}.ActionTwo", self.package), Some(request))
            }
            EntityType::Crdt => return None,
        };
        let service = services::descriptor_pool().get_service_by_name(&service)?;
        let method = service.methods().next()?;
        Some(fence_call(span, &method, id, request))
    }

    // === Calls ===

    fn call(
        &mut self,
        info: usize,
        call: &Call,
        origin: Origin,
        after: Frontier,
    ) -> Result<Ran, NotPlayable> {
        if call.alias.is_some() {
            return Err(NotYet::StreamedCall.into());
        }
        let index = self.plan(call, origin)?;
        if self.calls[index].is_action() {
            return self.action(info, call, index, after);
        }
        let mut frontier = after;
        if self.role != Role::Sdk && origin == Origin::Client {
            frontier = vec![self.add(info, frontier, MoveKind::Request(index))];
        }
        let held = self.within.and_then(|outer| self.calls[outer].key.as_ref());
        if origin == Origin::Client && held.is_some() && held == self.calls[index].key.as_ref() {
            self.waiting.push(Waiting {
                info,
                index,
                call: call.clone(),
                request: frontier.clone(),
            });
            let (chain, late) = (frontier, Vec::new());
            return Ok(Ran { index, chain, late });
        }
        self.commanded(info, call, index, frontier)
    }

    /// A call from its command on.
    fn commanded(
        &mut self,
        info: usize,
        call: &Call,
        index: usize,
        after: Frontier,
    ) -> Result<Ran, NotPlayable> {
        let others = std::mem::take(&mut self.waiting);
        let mut frontier = vec![self.add(info, after, MoveKind::Command(index))];
        frontier = self.during(call, index, frontier)?;
        let waiting = std::mem::replace(&mut self.waiting, others);
        if !self.calls[index].silent {
            frontier = vec![self.add(info, frontier, MoveKind::Answer(index))];
        }
        if let Some(then) = &call.then {
            frontier = self.step(then, frontier)?;
        }
        if self.role == Role::Sdk {
            let (chain, late) = (frontier, Vec::new());
            return Ok(Ran { index, chain, late });
        }
        let answered = frontier.clone();
        let (mut chain, mut late) = self.consequences(info, index, frontier)?;
        if self.calls[index].origin == Origin::Client && !leaves(&call.during) {
            self.calls[index].returns = self.returns(call, index);
            chain = vec![self.add(info, chain, MoveKind::Return(index))];
        }
        late.extend(self.one_by_one(waiting, answered)?);
        Ok(Ran { index, chain, late })
    }

    /// What waited for an entity: each when the one before is answered.
    fn one_by_one(
        &mut self,
        waiting: Vec<Waiting>,
        mut free: Frontier,
    ) -> Result<Frontier, NotPlayable> {
        let mut all = Vec::new();
        for Waiting {
            info,
            index,
            call,
            request,
        } in waiting
        {
            free.extend(request);
            let ran = self.commanded(info, &call, index, free)?;
            let is = |kind: &MoveKind| matches!(kind, MoveKind::Answer(call) if *call == index);
            let answer = self.moves.iter().rposition(|this| is(&this.kind));
            let ran = ran.all();
            free = answer.map_or_else(|| ran.clone(), |answer| vec![answer]);
            all.extend(ran);
        }
        Ok(all)
    }

    pub(super) fn during(
        &mut self,
        call: &Call,
        index: usize,
        frontier: Frontier,
    ) -> Result<Frontier, NotPlayable> {
        let outside = self.within.replace(index);
        let frontier = self.steps(&call.during, frontier);
        self.within = outside;
        frontier
    }

    /// Side effects and forward: what the client's answer waits for, and what may come late.
    pub(super) fn consequences(
        &mut self,
        info: usize,
        parent: usize,
        mut gate: Frontier,
    ) -> Result<(Frontier, Frontier), NotPlayable> {
        let mut late = Vec::new();
        let Some(answer) = self.calls[parent].answer.clone() else {
            return Ok((gate, late));
        };
        for effect in &answer.effects {
            let synchronous = effect.synchronous;
            let origin = Origin::Effect {
                parent,
                synchronous,
            };
            let ran = self.call(info, effect, origin, gate.clone())?;
            self.calls[parent].effects.push(ran.index);
            late.extend(ran.late);
            if synchronous {
                gate = ran.chain;
            } else {
                late.extend(ran.chain);
            }
        }
        if let Some(forward) = &answer.forward {
            let ran = self.call(info, forward, Origin::Forward { parent }, gate)?;
            self.calls[parent].forward = Some(ran.index);
            late.extend(ran.late);
            gate = ran.chain;
        }
        Ok((gate, late))
    }
}

/// The client leaves its call here, so it gets nothing.
pub(super) fn leaves(steps: &[Step]) -> bool {
    steps.iter().any(|step| {
        matches!(
            step.kind,
            StepKind::Raw {
                party: Party::Client,
                what: Raw::Resets
            }
        )
    })
}

fn fence_call(span: Span, method: &MethodDescriptor, id: Node, request: Option<Node>) -> Call {
    Call {
        span,
        target: method.full_name().to_owned(),
        alias: None,
        id: Some(id),
        node: None,
        request,
        metadata: None,
        during: Vec::new(),
        returns: None,
        replay: None,
        synchronous: false,
        answer: Answer::default(),
        stream: None,
        then: None,
    }
}
