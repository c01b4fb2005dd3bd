//! From a scenario to a script: defaults, the model's answers, fresh ids, and the order of moves.

use super::script::{CallPlan, Key, Move, MoveKind, Origin, Returns, Script, StepInfo};
use crate::model;
pub use crate::scenario::keys::STATUS;
use crate::scenario::message::{self, Bindings, Scope};
use crate::scenario::service;
use crate::scenario::{Answer, Call, Node, Party, Raw, Role, Scenario, Span, Step, StepKind};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a chart can't be played in a role: it is not applicable, and the report lists it with this reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotPlayable(pub String);

fn not_playable<T>(reason: impl Into<String>) -> Result<T, NotPlayable> {
    Err(NotPlayable(reason.into()))
}

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
            StepKind::Call(call) => see(&call.answer),
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
    let known = model::spec::descriptor_pool()
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
        models: BTreeMap::new(),
        client: None,
        inside: false,
        live: false,
    };
    let mut frontier = builder.steps(&scenario.chart, Vec::new())?;
    if role != Role::Sdk && scenario.spec.is_none() && builder.has_entities() {
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
    models: BTreeMap<Key, model::event_sourced::Entity>,
    /// Of a concurrent step: which client.
    client: Option<usize>,
    /// Between a command and its answer.
    inside: bool,
    /// The model answers when it is asked, not now: the order of commands isn't known before.
    live: bool,
}

type Frontier = Vec<usize>;

impl Builder {
    fn has_entities(&self) -> bool {
        model::event_sourced::Entity::new(&self.key.service).is_some()
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
                let (_, frontier) = self.call(info, call, Origin::Client, after)?;
                Ok(frontier)
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
                let ends = *party == Party::Function && matches!(what, Raw::Ends(_) | Raw::Resets);
                // Nothing shows that the proxy has seen the end of an idle stream; what goes through the same
                // proxy afterwards comes after it.
                match ends && self.role == Role::Proxy && !self.inside {
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
            StepKind::OneOf(_) => not_playable("`one_of` is played for no entity type yet"),
            StepKind::Streamed { .. } | StepKind::Cancel { .. } => {
                not_playable("streamed calls are not played yet")
            }
            StepKind::Consume(_) => not_playable("eventing is not played yet"),
            StepKind::Replicate { .. } => not_playable("replicated changes are not played yet"),
            StepKind::Returns => not_playable("`returns` stands only in `none`"),
        }
    }

    fn process(
        &mut self,
        info: usize,
        kind: MoveKind,
        party: Party,
        after: Frontier,
    ) -> Result<Frontier, NotPlayable> {
        if self.role.kit_plays(party) {
            return not_playable(format!(
                "the chart starts or kills the {party}, which the kit plays"
            ));
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
            return not_playable("the proxy hands an entity one command at a time");
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
        // What the model's state is after that depends on the order in which the proxy delivered.
        self.models.clear();
        Ok(all)
    }

    /// A call of the client that every proxy must answer: what has not come by then, was not sent before.
    fn fence(
        &mut self,
        span: Span,
        after: Frontier,
        suffix: &str,
    ) -> Result<Frontier, NotPlayable> {
        let Some(method) = model::spec::descriptor_pool()
            .get_service_by_name(&self.key.service)
            .and_then(|service| service.methods().next())
        else {
            return Ok(after);
        };
        let step = Step {
            span,
            verifies: Vec::new(),
            kind: StepKind::Fence,
        };
        let info = self.info(&step);
        let id = Node::text(span, format!("{}{suffix}", self.key.entity));
        let call = fence_call(span, &method, id);
        let live = std::mem::replace(&mut self.live, true);
        let (index, frontier) = self.call(info, &call, Origin::Client, after)?;
        self.live = live;
        self.calls[index].fence = true;
        Ok(frontier)
    }

    fn call(
        &mut self,
        info: usize,
        call: &Call,
        origin: Origin,
        after: Frontier,
    ) -> Result<(usize, Frontier), NotPlayable> {
        if call.stream.is_some() || call.alias.is_some() {
            return not_playable("streamed calls are not played yet");
        }
        let index = self.plan(call, origin)?;
        let mut frontier = after;
        if self.role != Role::Sdk && origin == Origin::Client {
            frontier = vec![self.add(info, frontier, MoveKind::Request(index))];
        }
        frontier = vec![self.add(info, frontier, MoveKind::Command(index))];
        let outside = std::mem::replace(&mut self.inside, true);
        frontier = self.steps(&call.during, frontier)?;
        self.inside = outside;
        let answer = self.calls[index].answer.clone();
        if !self.calls[index].silent {
            frontier = vec![self.add(info, frontier, MoveKind::Answer(index))];
        }
        if let Some(then) = &call.then {
            frontier = self.step(then, frontier)?;
        }
        if self.role == Role::Sdk {
            return Ok((index, frontier));
        }
        let mut late = Vec::new();
        if let Some(answer) = answer {
            (frontier, late) = self.consequences(info, index, &answer, frontier)?;
        }
        if origin == Origin::Client {
            self.calls[index].returns = self.returns(call, index);
            frontier = vec![self.add(info, frontier, MoveKind::Return(index))];
        }
        frontier.extend(late);
        Ok((index, frontier))
    }

    /// Side effects and forward: what the client's answer waits for, and what may come late.
    fn consequences(
        &mut self,
        info: usize,
        parent: usize,
        answer: &Answer,
        mut gate: Frontier,
    ) -> Result<(Frontier, Frontier), NotPlayable> {
        let mut late = Vec::new();
        for effect in &answer.effects {
            let synchronous = effect.synchronous;
            let origin = Origin::Effect {
                parent,
                synchronous,
            };
            let (index, done) = self.call(info, effect, origin, gate.clone())?;
            self.calls[parent].effects.push(index);
            if synchronous {
                gate = done
            } else {
                late.extend(done)
            }
        }
        if let Some(forward) = &answer.forward {
            let (index, done) = self.call(info, forward, Origin::Forward { parent }, gate)?;
            self.calls[parent].forward = Some(index);
            gate = done;
        }
        Ok((gate, late))
    }

    fn plan(&mut self, call: &Call, origin: Origin) -> Result<usize, NotPlayable> {
        let method = self.method(&call.target)?;
        let (request, entity) = self.request(call, &method)?;
        let key = Key {
            service: method.parent_service().full_name().to_owned(),
            entity,
        };
        let payload = request.encode_to_vec();
        if let Some(node) = call
            .replay
            .as_ref()
            .filter(|_| !self.models.contains_key(&key))
            && let Some(stored) = self.stored(node)
        {
            self.begin_from(&key, &stored);
        }
        let written = !call.answer.is_unwritten();
        let scripted = self.scenario.scripted == Some(Party::Function);
        let answer = if written {
            Some(call.answer.clone())
        } else if scripted || self.live {
            None
        } else {
            self.model_answer(call.span, &key, &method, &payload)
        };
        if written && !scripted && !self.live {
            self.model_answer(call.span, &key, &method, &payload);
        }
        self.calls.push(CallPlan {
            origin,
            path: format!("/{}/{}", key.service, method.name()),
            key: Some(key),
            method: method.name().to_owned(),
            payload: payload.into(),
            input: Some(method.input()),
            output: Some(method.output()),
            metadata: metadata(call.metadata.as_ref()),
            silent: answer.is_none() && scripted && !self.live,
            answer,
            effects: Vec::new(),
            forward: None,
            returns: Returns::Anything,
            returns_written: call.returns.is_some(),
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
        model::spec::descriptor_pool()
            .get_service_by_name(&service)
            .and_then(|s| s.methods().find(|m| m.name() == method))
            .ok_or_else(|| NotPlayable(format!("the kit doesn't know {service}/{method}")))
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
            .map_err(|error| NotPlayable(format!("the request of {}: {error}", call.target)))
    }

    /// What the model answers, as a scenario would write it; advances the model's state.
    fn model_answer(
        &mut self,
        span: Span,
        key: &Key,
        method: &MethodDescriptor,
        payload: &[u8],
    ) -> Option<Answer> {
        if !self.models.contains_key(key) {
            self.models.insert(
                key.clone(),
                model::event_sourced::Entity::new(&key.service)?,
            );
        }
        let entity = self.models.get_mut(key)?;
        let any = prost_types::Any {
            type_url: format!("type.googleapis.com/{}", method.input().full_name()),
            value: payload.to_vec(),
        };
        let outcome = entity.handle(method.name(), &any).ok()?;
        Some(super::protocol::answer_of(span, &outcome, &self.package))
    }

    fn stored(&self, node: &Node) -> Option<super::protocol::Stored> {
        let scope = Scope {
            package: &self.package,
            bindings: &self.bindings,
        };
        super::replay_of(node, &scope).ok()?
    }

    /// The model's state where the chart gives the history instead of making it.
    fn begin_from(&mut self, key: &Key, stored: &super::protocol::Stored) {
        let Some(mut entity) = model::event_sourced::Entity::new(&key.service) else {
            return;
        };
        if let Some((sequence, snapshot)) = &stored.snapshot {
            let _ = entity.restore(*sequence, snapshot);
        }
        for (sequence, event) in stored.replay() {
            let _ = entity.apply(sequence, event);
        }
        self.models.insert(key.clone(), entity);
    }

    fn returns(&self, call: &Call, index: usize) -> Returns {
        if let Some(written) = &call.returns {
            return read_returns(written);
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

    fn raw(
        &mut self,
        info: usize,
        party: Party,
        what: &Raw,
        after: Frontier,
    ) -> Result<Frontier, NotPlayable> {
        let key = self.key.clone();
        let from = party;
        let kind = match what {
            Raw::Message(node) => MoveKind::Message {
                from,
                key,
                node: node.clone(),
            },
            Raw::Bytes(bytes) => MoveKind::Bytes {
                from,
                key,
                bytes: bytes.clone().into(),
            },
            Raw::Ends(status) => MoveKind::Ends {
                from,
                key,
                status: status.clone(),
            },
            Raw::Resets => MoveKind::Resets { from, key },
            Raw::Fails => MoveKind::Fails {
                key,
                or_command: false,
            },
            Raw::Refuses => MoveKind::Fails {
                key,
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
                metadata: headers,
                returns,
            } => {
                return self.raw_call(info, target, request, bytes, headers, returns, after);
            }
        };
        Ok(vec![self.add(info, after, kind)])
    }

    #[allow(clippy::too_many_arguments)] // the parts of one raw step
    fn raw_call(
        &mut self,
        info: usize,
        target: &str,
        request: &Option<Node>,
        bytes: &Option<Vec<u8>>,
        headers: &Option<Node>,
        returns: &Option<Node>,
        after: Frontier,
    ) -> Result<Frontier, NotPlayable> {
        if self.role == Role::Sdk {
            return not_playable("a call of the client doesn't reach the function without a proxy");
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
        let payload = match (bytes, request, &method) {
            (Some(bytes), _, _) => bytes.clone(),
            (None, Some(node), Some(method)) => {
                let scope = Scope {
                    package: &self.package,
                    bindings: &self.bindings,
                };
                message::build(node, &method.input(), &scope)
                    .map_err(|error| NotPlayable(format!("the request of {target}: {error}")))?
                    .encode_to_vec()
            }
            _ => Vec::new(),
        };
        self.calls.push(CallPlan {
            origin: Origin::Client,
            path,
            key: None,
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

fn metadata(node: Option<&Node>) -> Vec<(String, String)> {
    let entries = node.and_then(Node::entries).unwrap_or_default();
    entries
        .iter()
        .filter_map(|(key, value)| Some((key.text.to_lowercase(), value.as_text()?.to_owned())))
        .collect()
}

/// gRPC status code UNKNOWN.
pub const UNKNOWN: i32 = 2;

/// A status code's name.
pub fn status_name(code: i32) -> String {
    let known = usize::try_from(code).ok().and_then(|code| STATUS.get(code));
    known.map_or_else(|| code.to_string(), ToString::to_string)
}

fn status_code(name: &str) -> Option<i32> {
    STATUS
        .iter()
        .position(|s| *s == name)
        .map(|code| code as i32)
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
