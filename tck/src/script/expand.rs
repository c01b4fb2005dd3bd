//! From a scenario to a script: defaults, fresh ids, and the order of moves.

use crate::fill::fill;
use crate::party::{Party, Role};
use crate::protocol::EntityType;
use crate::protocol::Key;
use crate::protocol::Kind;
use crate::scenario::message::{self, Bindings, MessageError, Scope};
use crate::scenario::service;
use crate::scenario::{Answer, Call, Raw, Scenario, Step, StepKind, Stream, StreamLine};
use crate::script::reason::{NotPlayable, NotYet};
use crate::script::{CallPlan, Move, MoveKind, Origin, Place, Returns, Script, StepInfo};
use crate::services;
use crate::status::{UNKNOWN, status_code};
use crate::yaml::{Node, Span};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use std::sync::Arc;

/// How often the chart is played in this role: once for each alternative of a choice that the kit has.
pub fn choices(scenario: &Scenario, role: Role) -> usize {
    if !role.kit_plays(Party::Function) {
        return 1;
    }
    let mut most = 1;
    each_answer(&scenario.chart, &mut |answer| {
        if let Some(("$either", Some(options))) = answer.restart.as_ref().and_then(Node::operator) {
            most = most.max(options.items().map_or(1, <[Node]>::len));
        }
    });
    most
}

fn each_answer(steps: &[Step], see: &mut impl FnMut(&Answer)) {
    for step in steps {
        match &step.kind {
            StepKind::Call(call) => {
                see(&call.answer);
                let lines = call.stream.iter().flat_map(|stream| &stream.lines);
                lines
                    .filter_map(|line| line.answer.as_ref())
                    .for_each(&mut *see);
            }
            StepKind::Concurrent { each, .. } => each_answer(each, see),
            StepKind::Unordered(lists) | StepKind::OneOf(lists) => {
                lists.iter().for_each(|list| each_answer(list, see));
            }
            _ => {}
        }
    }
}

/// Does the chart need an entity that passivates soon?
pub fn passivates(scenario: &Scenario) -> bool {
    scenario
        .chart
        .iter()
        .any(|step| matches!(step.kind, StepKind::Passivate))
}

/// The service that calls to the scenario's own service go to: a proxy under test gets its renamed copy with a
/// short passivation timeout, where the chart passivates.
pub fn service_in_role(scenario: &Scenario, role: Role) -> String {
    let brief = format!("{}Brief", scenario.service);
    let known = services::descriptor_pool()
        .get_service_by_name(&brief)
        .is_some();
    if role == Role::Proxy && passivates(scenario) && known {
        brief
    } else {
        scenario.service.clone()
    }
}

/// The script of a scenario in a role.
///
/// `bindings` has a fresh value for `id` and for each of the scenario's `ids`.
///
/// # Errors
/// The chart can't be played in this role.
pub fn expand(
    scenario: &Arc<Scenario>,
    role: Role,
    choice: usize,
    bindings: Bindings,
) -> Result<Script, NotPlayable> {
    let service = service_in_role(scenario, role);
    let scenario = Arc::new(fill(scenario, &bindings).scenario);
    let package = scenario
        .service
        .rsplit_once('.')
        .map_or("", |(package, _)| package)
        .to_owned();
    let key = Key {
        service,
        entity: bindings.get("id").cloned().unwrap_or_default(),
    };
    let mut builder = Builder {
        scenario: scenario.clone(),
        role,
        bindings,
        package,
        key,
        calls: Vec::new(),
        moves: Vec::new(),
        steps: Vec::new(),
        client: None,
        within: None,
        waiting: Vec::new(),
        live: false,
    };
    let mut frontier = builder.steps(&scenario.chart, Vec::new())?;
    if role != Role::Sdk && scenario.spec.is_none() {
        frontier = builder.fence(scenario.span, frontier, "")?;
    }
    let _ = frontier;
    Ok(Script {
        scenario: scenario.clone(),
        role,
        choice,
        bindings: builder.bindings,
        package: builder.package,
        key: builder.key,
        calls: builder.calls,
        moves: builder.moves,
        steps: builder.steps,
    })
}

struct Builder {
    scenario: Arc<Scenario>,
    role: Role,
    bindings: Bindings,
    package: String,
    key: Key,
    calls: Vec<CallPlan>,
    moves: Vec<Move>,
    steps: Vec<StepInfo>,
    /// Of a concurrent step: which client.
    client: Option<usize>,
    /// Between a command and its answer: which call's.
    within: Option<usize>,
    /// Calls to the entity of the call that they stand in: they wait until it is answered.
    waiting: Vec<Waiting>,
    /// The model answers when it is asked, not now: the order of commands isn't known before.
    live: bool,
}

type Frontier = Vec<usize>;

impl Builder {
    fn entity_type(&self) -> Option<EntityType> {
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

    fn add(&mut self, step: usize, after: Frontier, kind: MoveKind) -> usize {
        self.moves.push(Move { step, after, kind });
        self.moves.len() - 1
    }

    fn step(&mut self, step: &Step, after: Frontier) -> Result<Frontier, NotPlayable> {
        let info = self.info(step);
        match &step.kind {
            StepKind::Call(call) => {
                let ran = self.call(info, call, Origin::Client, after)?;
                Ok(ran.all())
            }
            StepKind::Passivate => {
                let half = self.add(info, after, MoveKind::HalfClose(self.key.clone()));
                Ok(vec![self.add(
                    info,
                    vec![half],
                    MoveKind::Complete(self.key.clone()),
                )])
            }
            StepKind::Raw { party, what } => {
                let done = self.raw(info, *party, what, after)?;
                let stream = self.moves.last().map(|last| &last.kind);
                let ends = matches!(
                    stream,
                    Some(
                        MoveKind::Ends {
                            from: Party::Function,
                            ..
                        } | MoveKind::Resets {
                            from: Party::Function,
                            ..
                        } | MoveKind::Fault {
                            from: Party::Function,
                            ..
                        }
                    )
                );
                // Nothing shows that the proxy has seen the end of an idle stream; what goes through the same
                // proxy afterwards comes after it.
                match ends && self.role == Role::Proxy && self.within.is_none() {
                    true => self.fence(step.span, done, "-fence"),
                    false => Ok(done),
                }
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
            self.client = Some(client);
            self.bindings
                .insert("client".to_owned(), client.to_string());
            all.extend(self.steps(each, after.clone())?);
        }
        self.live = false;
        self.client = None;
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
        let Some(method) = self.fence_method() else {
            return Ok(after);
        };
        let step = Step {
            span,
            verifies: Vec::new(),
            kind: StepKind::Fence,
        };
        let info = self.info(&step);
        let id = Node::text(span, format!("{}{suffix}", self.key.entity));
        let mut call = fence_call(span, &method, id.clone());
        if self.entity_type() == Some(EntityType::Action) {
            call.request = Some(Node::map(span, [("id", id)]));
        }
        let live = std::mem::replace(&mut self.live, true);
        let ran = self.call(info, &call, Origin::Client, after)?;
        self.live = live;
        self.calls[ran.index].fence = true;
        Ok(ran.all())
    }

    /// The method of the fence: the scenario's own service, or the one beside it that needs no lease.
    fn fence_method(&self) -> Option<MethodDescriptor> {
        let service = match self.entity_type()? {
            EntityType::Action => format!("{}.ActionTwo", self.package),
            EntityType::Crdt => return None,
            _ => self.key.service.clone(),
        };
        let service = services::descriptor_pool().get_service_by_name(&service)?;
        service.methods().next()
    }

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
        if self.calls[index].entity_type == Some(EntityType::Action) {
            let (chain, late) = self.action(info, call, index, after)?;
            return Ok(Ran { index, chain, late });
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
        if self.calls[index].origin == Origin::Client && !self.leaves(&call.during) {
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

    fn during(
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

    /// The client leaves its call here, so it gets nothing.
    fn leaves(&self, steps: &[Step]) -> bool {
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

    /// An action's call: from the client to the function and back, message by message.
    fn action(
        &mut self,
        info: usize,
        call: &Call,
        index: usize,
        after: Frontier,
    ) -> Result<(Frontier, Frontier), NotPlayable> {
        let mut run = ActionRun {
            info,
            index,
            front: self.role != Role::Sdk && self.calls[index].origin == Origin::Client,
            passes: self.role != Role::Sdk && self.passes(index),
            chain: after,
            client: Vec::new(),
            proxy: Vec::new(),
            function: Vec::new(),
            passed: Vec::new(),
            late: Vec::new(),
            over: false,
            settled: None,
            left: false,
            ended: ends_raw(&call.during),
        };
        if run.front {
            run.chain = vec![self.add(info, run.chain, MoveKind::Request(index))];
            run.client.clone_from(&run.chain);
        }
        run.chain = vec![self.add(info, run.chain, MoveKind::Command(index))];
        run.proxy.clone_from(&run.chain);
        run.function.clone_from(&run.chain);
        run.chain = self.during(call, index, run.chain)?;
        let kind = self.calls[index].kind;
        run.left |= self.leaves(&call.during);
        match self.lines(call, index) {
            Some(stream) => self.lines_of(&mut run, &stream)?,
            None if !kind.streams_in() => {
                let done = self.add(info, run.proxy.clone(), MoveKind::Delivered(index));
                run.late.push(done);
            }
            None => {}
        }
        let answers = !kind.streams_out() && !self.calls[index].silent;
        if answers && !run.ended && !run.left {
            self.answered(&mut run, index, false)?;
        }
        let silent = self.calls[index].silent;
        let timeout = call.metadata.as_ref().and_then(|m| m.get("grpc-timeout"));
        if !(silent || run.ended || run.over || run.left) {
            let half_closed =
                |late: &&usize| matches!(self.moves[**late].kind, MoveKind::Delivered(_));
            let mut after = run.function.clone();
            after.extend(run.late.iter().filter(half_closed));
            let end = self.add(info, after, MoveKind::End(index));
            run.late.push(end);
        }
        let settled = run.settled.clone().unwrap_or_else(|| run.chain.clone());
        let unwanted = run.over || run.left || (timeout.is_some() && silent);
        if self.role != Role::Sdk && !run.ended && unwanted {
            let cancel = self.add(info, settled.clone(), MoveKind::Cancel(index));
            run.late.push(cancel);
        }
        if run.front && !run.left {
            let mut after = settled;
            after.extend(&run.passed);
            self.calls[index].returns = self.returns(call, index);
            // What the function sends after its failure is nobody's any more, but the next step waits for it.
            let dropped = std::mem::take(&mut run.chain);
            run.late.extend(dropped);
            run.chain = vec![self.add(info, after, MoveKind::Return(index))];
        }
        Ok((run.chain, run.late))
    }

    /// The lines of a stream. Those of a forward or an effect begin with its one request.
    fn lines(&self, call: &Call, index: usize) -> Option<Stream> {
        let plan = &self.calls[index];
        let one = plan.origin != Origin::Client && plan.kind.streams_in();
        let answers = plan.kind.streams_out() && !plan.silent;
        let mut stream = match &call.stream {
            Some(stream) => stream.clone(),
            None if one || answers => Stream {
                lines: Vec::new(),
                burst: false,
                ends: None,
            },
            None => return None,
        };
        if one {
            let request = call.request.clone();
            let request = request.unwrap_or_else(|| Node::map::<&str>(call.span, []));
            let line = StreamLine {
                span: call.span,
                request: Some(request),
                answer: None,
                step: None,
            };
            stream.lines.insert(0, line);
        }
        Some(stream)
    }

    fn lines_of(&mut self, run: &mut ActionRun, stream: &Stream) -> Result<(), NotPlayable> {
        let kind = self.calls[run.index].kind;
        let closes = stream.lines.iter().any(|line| {
            matches!(
                line.step.as_deref().map(|step| &step.kind),
                Some(StepKind::Raw {
                    party: Party::Client | Party::Proxy,
                    what: Raw::Ends(_) | Raw::Resets
                })
            )
        });
        let last = stream.lines.iter().rposition(|line| line.request.is_some());
        if kind.streams_in() && last.is_none() && !closes {
            self.no_more(run, stream.burst);
        }
        let mut number = 0;
        for (at, line) in stream.lines.iter().enumerate() {
            // What the function sends after its failure is dropped; where it is under test, it may send nothing more.
            let dropped = line.answer.is_some() && self.role == Role::Proxy;
            if run.over && !dropped {
                continue;
            }
            if line.request.is_some() {
                self.requested(run, number, stream.burst);
                number += 1;
                if Some(at) == last && !closes {
                    self.no_more(run, stream.burst);
                }
            }
            if let Some(answer) = &line.answer {
                self.calls[run.index].silent = false;
                let element = self.element_plan(run.index, answer);
                self.answered(run, element, stream.burst)?;
            }
            if let Some(step) = &line.step {
                let outside = self.within.replace(run.index);
                run.chain = self.step(step, std::mem::take(&mut run.chain))?;
                self.within = outside;
                if let StepKind::Raw { party, what } = &step.kind {
                    let ends = matches!(
                        what,
                        Raw::Ends(_) | Raw::Resets | Raw::Fails | Raw::Fault(_)
                    );
                    match party {
                        Party::Client => run.left |= matches!(what, Raw::Resets),
                        Party::Proxy => run.ended |= matches!(what, Raw::Resets),
                        Party::Function => run.ended |= ends,
                    }
                }
            }
        }
        if !kind.streams_in() {
            let done = self.add(run.info, run.proxy.clone(), MoveKind::Delivered(run.index));
            run.late.push(done);
        }
        Ok(())
    }

    /// One request of a stream: from the client to the function.
    fn requested(&mut self, run: &mut ActionRun, number: usize, burst: bool) {
        let mut after = if burst {
            run.client.clone()
        } else {
            run.chain.clone()
        };
        if run.front {
            run.client = vec![self.add(run.info, after, MoveKind::Send(run.index, number))];
            after = run.client.clone();
        }
        after.extend(&run.proxy);
        run.proxy = vec![self.add(run.info, after, MoveKind::Deliver(run.index, number))];
        run.chain.clone_from(&run.proxy);
    }

    /// The client has sent its last request.
    fn no_more(&mut self, run: &mut ActionRun, burst: bool) {
        let mut after = if burst {
            run.client.clone()
        } else {
            run.chain.clone()
        };
        if run.front {
            run.client = vec![self.add(run.info, after, MoveKind::Sent(run.index))];
            after = run.client.clone();
        }
        after.extend(&run.proxy);
        run.proxy = vec![self.add(run.info, after, MoveKind::Delivered(run.index))];
        if self.calls[run.index].kind.streams_out() {
            run.late.extend(&run.proxy);
        } else {
            run.chain.clone_from(&run.proxy);
        }
    }

    /// One answer: from the function to the client, with what it sets off.
    fn answered(
        &mut self,
        run: &mut ActionRun,
        answer: usize,
        burst: bool,
    ) -> Result<(), NotPlayable> {
        let mut after = if burst { Vec::new() } else { run.chain.clone() };
        after.extend(&run.function);
        run.function = vec![self.add(run.info, after, MoveKind::Answer(answer))];
        run.chain.clone_from(&run.function);
        if self.role == Role::Sdk || run.over {
            return Ok(());
        }
        let (gate, late) = self.consequences(run.info, answer, run.chain.clone())?;
        run.late.extend(late);
        run.chain = gate;
        if answer == run.index {
            return Ok(());
        }
        match self.conclusion(answer) {
            Conclusion::Message if run.passes => {
                let mut after = run.chain.clone();
                after.extend(&run.passed);
                run.passed = vec![self.add(run.info, after, MoveKind::Pass(answer))];
                run.chain.clone_from(&run.passed);
            }
            Conclusion::Message | Conclusion::Nothing => {}
            Conclusion::Failure => {
                run.over = true;
                run.settled = Some(run.chain.clone());
            }
        }
        Ok(())
    }

    /// One message of a streamed answer, as a plan of its own.
    fn element_plan(&mut self, parent: usize, answer: &Answer) -> usize {
        let plan = CallPlan {
            origin: Origin::Element { parent },
            answer: Some(answer.clone()),
            silent: false,
            requests: Vec::new(),
            effects: Vec::new(),
            forward: None,
            metadata: Vec::new(),
            returns_written: false,
            ..self.calls[parent].clone()
        };
        self.calls.push(plan);
        self.calls.len() - 1
    }

    /// The messages that this call is answered with go to a client that takes a stream.
    fn passes(&self, index: usize) -> bool {
        match self.calls[index].origin {
            Origin::Client => true,
            Origin::Forward { parent } | Origin::Element { parent } => {
                self.calls[parent].kind.streams_out() && self.passes(parent)
            }
            Origin::Effect { .. } => false,
        }
    }

    /// What an answer comes to in the end.
    fn conclusion(&self, mut index: usize) -> Conclusion {
        while let Some(forward) = self.calls[index].forward {
            index = forward;
        }
        // Its messages have taken the place of this one.
        if self.calls[index].kind.streams_out()
            && matches!(self.calls[index].origin, Origin::Forward { .. })
        {
            return Conclusion::Nothing;
        }
        match &self.calls[index].answer {
            None => Conclusion::Message,
            Some(answer) if answer.reply.is_some() => Conclusion::Message,
            Some(answer) if answer.failure.is_some() => Conclusion::Failure,
            Some(_) => Conclusion::Nothing,
        }
    }

    /// Side effects and forward: what the client's answer waits for, and what may come late.
    fn consequences(
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
            match synchronous {
                true => gate = ran.chain,
                false => late.extend(ran.chain),
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

    fn plan(&mut self, call: &Call, origin: Origin) -> Result<usize, NotPlayable> {
        let method = self.method(&call.target)?;
        let (request, entity) = self.request(call, &method)?;
        let service = method.parent_service().full_name().to_owned();
        let entity_type = services::entity_type(&service);
        let key = Key { service, entity };
        let payload = request.encode_to_vec();
        let answer = (!call.answer.is_unwritten()).then(|| call.answer.clone());
        let scripted = self.scenario.scripted == Some(Party::Function);
        let requests = match origin {
            Origin::Client => self.stream_requests(call, &method)?,
            // A forward or an effect has one request, also where the target takes more.
            _ if method.is_client_streaming() => vec![payload.clone().into()],
            _ => Vec::new(),
        };
        let streams = call.stream.is_some() && method.is_server_streaming();
        self.calls.push(CallPlan {
            origin,
            path: format!("/{}/{}", key.service, method.name()),
            entity_type,
            kind: Kind::of(&method),
            key: (entity_type != Some(EntityType::Action)).then_some(key),
            bare: false,
            requests,
            method: method.name().to_owned(),
            payload: payload.into(),
            input: Some(method.input()),
            output: Some(method.output()),
            metadata: metadata(call.metadata.as_ref()),
            silent: answer.is_none() && scripted && !self.live && !streams,
            answer,
            effects: Vec::new(),
            forward: None,
            returns: Returns::Anything,
            returns_written: call.returns.is_some()
                || call
                    .stream
                    .as_ref()
                    .is_some_and(|stream| stream.ends.is_some()),
            replay: call.replay.clone(),
            fence: false,
            client: self.client,
        });
        Ok(self.calls.len() - 1)
    }

    fn method(&self, target: &str) -> Result<MethodDescriptor, NotPlayable> {
        let (service, method) = match target.rsplit_once('.') {
            None => (self.key.service.clone(), target),
            Some((service, method)) if service.contains('.') => (service.to_owned(), method),
            Some((service, method)) => (format!("{}.{service}", self.package), method),
        };
        services::descriptor_pool()
            .get_service_by_name(&service)
            .and_then(|s| s.methods().find(|m| m.name() == method))
            .ok_or_else(|| NotPlayable::UnknownMethod(format!("{service}/{method}")))
    }

    /// The request with the entity id in its key field.
    fn request(
        &self,
        call: &Call,
        method: &MethodDescriptor,
    ) -> Result<(DynamicMessage, String), NotPlayable> {
        let scope = Scope {
            package: &self.package,
            bindings: &self.bindings,
        };
        service::request(call, &method.input(), &scope)
            .map_err(|error| bad_request("the", &call.target, error))
    }

    /// The requests of a stream, encoded.
    fn stream_requests(
        &self,
        call: &Call,
        method: &MethodDescriptor,
    ) -> Result<Vec<bytes::Bytes>, NotPlayable> {
        let scope = Scope {
            package: &self.package,
            bindings: &self.bindings,
        };
        let lines = call.stream.iter().flat_map(|stream| &stream.lines);
        let requests = lines.filter_map(|line| line.request.as_ref());
        let encoded = requests.map(|node| {
            let message = message::build(node, &method.input(), &scope)
                .map_err(|error| bad_request("a", &call.target, error))?;
            Ok(message.encode_to_vec().into())
        });
        encoded.collect()
    }

    fn returns(&self, call: &Call, index: usize) -> Returns {
        let ends = call.stream.as_ref().and_then(|stream| stream.ends.as_ref());
        if let Some(written) = call.returns.as_ref().or(ends) {
            return read_returns(written);
        }
        if self.calls[index].kind.streams_out() {
            return self.stream_returns(index);
        }
        let mut last = &self.calls[index];
        while let Some(forward) = last.forward {
            last = &self.calls[forward];
        }
        match &last.answer {
            None => Returns::Model,
            Some(answer) => match (&answer.reply, &answer.failure) {
                (Some(reply), _) => Returns::Message(reply.clone()),
                (None, Some(text)) => Returns::Status {
                    codes: vec![UNKNOWN],
                    message: Some(text.clone()),
                },
                (None, None) => Returns::Status {
                    codes: Vec::new(),
                    message: None,
                },
            },
        }
    }

    /// How a streamed answer ends: as its last message says.
    fn stream_returns(&self, index: usize) -> Returns {
        let of_call = |other: &usize| matches!(self.calls[*other].origin, Origin::Element { parent } if parent == index);
        let failure = (0..self.calls.len())
            .filter(of_call)
            .map(|mut last| {
                while let Some(forward) = self.calls[last].forward {
                    last = forward;
                }
                last
            })
            .find_map(|last| self.calls[last].answer.as_ref()?.failure.clone());
        match failure {
            Some(text) => Returns::Status {
                codes: vec![UNKNOWN],
                message: Some(text),
            },
            None => Returns::Status {
                codes: vec![0],
                message: None,
            },
        }
    }

    /// The stream of an entity.
    fn place(&self, key: &Key) -> Result<Place, NotPlayable> {
        match services::entity_type(&key.service) {
            Some(entity_type) => Ok(Place::Entity(entity_type, key.clone())),
            None => Err(NotPlayable::UnknownService(key.service.clone())),
        }
    }

    fn raw(
        &mut self,
        info: usize,
        party: Party,
        what: &Raw,
        after: Frontier,
    ) -> Result<Frontier, NotPlayable> {
        let place = match self.within.map(|call| (call, &self.calls[call].key)) {
            Some((call, _)) if party == Party::Client => Place::Call(call),
            Some((call, None)) => Place::Call(call),
            Some((_, Some(key))) => self.place(key)?,
            None => self.place(&self.key)?,
        };
        let from = party;
        let kind = match what {
            Raw::Message(node) => MoveKind::Message {
                from,
                place,
                node: node.clone(),
            },
            Raw::Bytes(bytes) => MoveKind::Bytes {
                from,
                place,
                bytes: bytes.clone().into(),
            },
            Raw::Ends(status) if party == Party::Function && self.discovering(&after) => {
                MoveKind::NoSpec(status.clone())
            }
            Raw::Ends(status) => MoveKind::Ends {
                from,
                place,
                status: status.clone(),
            },
            Raw::Resets => MoveKind::Resets { from, place },
            Raw::Fault(fault) => MoveKind::Fault {
                from,
                place,
                fault: fault.clone(),
            },
            Raw::Fails => MoveKind::Fails {
                place,
                or_command: false,
            },
            Raw::Refuses => MoveKind::Fails {
                place,
                or_command: true,
            },
            Raw::Reported(text) => {
                let reported = self.add(info, after, MoveKind::Reported(text.clone()));
                let sdk = self.role == Role::Sdk;
                let answered = sdk.then(|| self.add(info, vec![reported], MoveKind::Acknowledged));
                return Ok(vec![answered.unwrap_or(reported)]);
            }
            Raw::Discover(info) => MoveKind::Discover(info.clone()),
            Raw::Spec(spec) => MoveKind::Spec(spec.clone()),
            Raw::Call {
                target,
                request,
                bytes,
                frame,
                metadata: headers,
                returns,
            } => {
                return self.raw_call(
                    info,
                    target,
                    request,
                    (bytes, frame),
                    headers,
                    returns,
                    after,
                );
            }
        };
        Ok(vec![self.add(info, after, kind)])
    }

    /// The proxy has just called `discover`: what ends is that call.
    fn discovering(&self, after: &Frontier) -> bool {
        let discover = |index: &usize| matches!(self.moves[*index].kind, MoveKind::Discover(_));
        self.role == Role::Proxy && after.iter().any(discover)
    }

    #[allow(clippy::too_many_arguments)] // the parts of one raw step
    fn raw_call(
        &mut self,
        info: usize,
        target: &str,
        request: &Option<Node>,
        (bytes, frame): (&Option<Vec<u8>>, &Option<Vec<u8>>),
        headers: &Option<Node>,
        returns: &Option<Node>,
        after: Frontier,
    ) -> Result<Frontier, NotPlayable> {
        if self.role == Role::Sdk {
            return Err(NotPlayable::NoProxy);
        }
        let method = if target.starts_with('/') {
            None
        } else {
            Some(self.method(target)?)
        };
        let path = match &method {
            Some(method) => format!("/{}/{}", method.parent_service().full_name(), method.name()),
            None => target.to_owned(),
        };
        let payload = match (bytes.as_ref().or(frame.as_ref()), request, &method) {
            (Some(bytes), _, _) => bytes.clone(),
            (None, Some(node), Some(method)) => {
                let scope = Scope {
                    package: &self.package,
                    bindings: &self.bindings,
                };
                message::build(node, &method.input(), &scope)
                    .map_err(|error| bad_request("the", target, error))?
                    .encode_to_vec()
            }
            _ => Vec::new(),
        };
        self.calls.push(CallPlan {
            origin: Origin::Client,
            path,
            entity_type: None,
            kind: method.as_ref().map(Kind::of).unwrap_or_default(),
            key: None,
            bare: frame.is_some(),
            requests: Vec::new(),
            method: method.as_ref().map_or(target, |m| m.name()).to_owned(),
            payload: payload.into(),
            input: method.as_ref().map(MethodDescriptor::input),
            output: method.as_ref().map(MethodDescriptor::output),
            metadata: metadata(headers.as_ref()),
            answer: None,
            silent: true,
            effects: Vec::new(),
            forward: None,
            returns: returns.as_ref().map_or(Returns::Anything, read_returns),
            returns_written: returns.is_some(),
            replay: None,
            fence: false,
            client: None,
        });
        let index = self.calls.len() - 1;
        let request = self.add(info, after, MoveKind::Request(index));
        Ok(vec![self.add(info, vec![request], MoveKind::Return(index))])
    }
}

/// The moves of an action's call while they are made.
struct ActionRun {
    info: usize,
    index: usize,
    /// There is a client.
    front: bool,
    /// Its messages are messages of a client's stream.
    passes: bool,
    /// The last move, in lock-step.
    chain: Frontier,
    /// The last move of the client, of the proxy towards the function, of the function.
    client: Frontier,
    proxy: Frontier,
    function: Frontier,
    /// The last message that the client got.
    passed: Frontier,
    /// What nothing of the call waits for.
    late: Frontier,
    /// A failure has ended the client's call.
    over: bool,
    /// The last move then: what the function sends after it, nobody waits for.
    settled: Option<Frontier>,
    /// The client has left.
    left: bool,
    /// One of the two ended the call between them by hand.
    ended: bool,
}

/// A call that the client has made, to an entity whose command is outstanding.
struct Waiting {
    info: usize,
    index: usize,
    call: Call,
    request: Frontier,
}

/// A call's last moves: those that what comes next waits for, and those that nothing but the next step waits for.
struct Ran {
    index: usize,
    chain: Frontier,
    late: Frontier,
}

impl Ran {
    fn all(mut self) -> Frontier {
        self.chain.extend(self.late);
        self.chain
    }
}

/// What an answer comes to.
enum Conclusion {
    Message,
    Failure,
    Nothing,
}

/// The function ends or resets its stream by hand.
fn ends_raw(steps: &[Step]) -> bool {
    steps.iter().any(|step| {
        matches!(
            step.kind,
            StepKind::Raw {
                party: Party::Function,
                what: Raw::Ends(_) | Raw::Resets | Raw::Fails | Raw::Fault(_)
            }
        )
    })
}

fn fence_call(span: Span, method: &MethodDescriptor, id: Node) -> Call {
    Call {
        span,
        target: method.full_name().to_owned(),
        alias: None,
        id: Some(id),
        node: None,
        request: None,
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

fn bad_request(which: &'static str, target: &str, error: MessageError) -> NotPlayable {
    let target = target.to_owned();
    NotPlayable::Request {
        which,
        target,
        error,
    }
}

fn metadata(node: Option<&Node>) -> Vec<(String, String)> {
    let entries = node.and_then(Node::entries).unwrap_or_default();
    let named = |(key, value): &(crate::yaml::node::Key, Node)| {
        let values = value
            .items()
            .unwrap_or(std::slice::from_ref(value))
            .to_vec();
        let name = key.text.to_lowercase();
        values
            .into_iter()
            .filter_map(move |value| Some((name.clone(), value.as_text()?.to_owned())))
    };
    entries.iter().flat_map(named).collect()
}

fn read_returns(node: &Node) -> Returns {
    match node.operator() {
        Some(("$either", Some(options))) => {
            return Returns::Either(
                options
                    .items()
                    .unwrap_or_default()
                    .iter()
                    .map(read_returns)
                    .collect(),
            );
        }
        Some(("$any", _)) => return Returns::Anything,
        _ => {}
    }
    if node.as_text() == Some("nothing") {
        return Returns::Status {
            codes: Vec::new(),
            message: None,
        };
    }
    let Some(status) = node.get("status") else {
        return Returns::Message(node.clone());
    };
    let names: Vec<&str> = match status.operator() {
        Some(("$either", Some(options))) => options
            .items()
            .unwrap_or_default()
            .iter()
            .filter_map(Node::as_text)
            .collect(),
        _ => status
            .as_text()
            .into_iter()
            .filter(|name| !name.starts_with('$'))
            .collect(),
    };
    let codes = names.into_iter().filter_map(status_code).collect();
    Returns::Status {
        codes,
        message: node.get("message").cloned(),
    }
}
