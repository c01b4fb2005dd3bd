//! A call with everything filled in: its request encoded, and what its client gets.

use super::expand::Expansion;
use crate::party::Party;
use crate::protocol::{Key, Kind};
use crate::scenario::Call;
use crate::scenario::message::{self, MessageError, Scope};
use crate::scenario::service;
use crate::script::reason::NotPlayable;
use crate::script::{CallPlan, Origin, Returns};
use crate::services;
use crate::status::{UNKNOWN, status_code};
use crate::yaml::Node;
use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor};

impl CallPlan {
    /// A call of which nothing is known but where it goes; `name` is the method, or the path of an unknown one.
    pub(super) fn to(origin: Origin, name: &str, method: Option<&MethodDescriptor>) -> CallPlan {
        let path = |method: &MethodDescriptor| {
            format!("/{}/{}", method.parent_service().full_name(), method.name())
        };
        CallPlan {
            origin,
            path: method.map_or_else(|| name.to_owned(), path),
            entity_type: None,
            kind: method.map(Kind::of).unwrap_or_default(),
            key: None,
            method: method.map_or(name, |method| method.name()).to_owned(),
            payload: Bytes::new(),
            bare: false,
            requests: Vec::new(),
            input: method.map(MethodDescriptor::input),
            output: method.map(MethodDescriptor::output),
            metadata: Vec::new(),
            answer: None,
            silent: true,
            effects: Vec::new(),
            forward: None,
            returns: Returns::Anything,
            returns_written: false,
            replay: None,
            fence: false,
        }
    }
}

impl Expansion {
    pub(super) fn plan(&mut self, call: &Call, origin: Origin) -> Result<usize, NotPlayable> {
        let method = self.method(&call.target)?;
        let (request, entity) = self.request(call, &method)?;
        let service = method.parent_service().full_name().to_owned();
        let entity_type = services::entity_type(&service)
            .ok_or_else(|| NotPlayable::UnknownService(service.clone()))?;
        let key = Key { service, entity };
        let payload: Bytes = request.encode_to_vec().into();
        let requests = match origin {
            Origin::Client => self.stream_requests(call, &method)?,
            // A forward or an effect has one request, also where the target takes more.
            _ if method.is_client_streaming() => vec![payload.clone()],
            _ => Vec::new(),
        };
        let answer = (!call.answer.is_unwritten()).then(|| call.answer.clone());
        let scripted = self.scenario.scripted == Some(Party::Function);
        let streams = call.stream.is_some() && method.is_server_streaming();
        let ends = call.stream.as_ref().and_then(|stream| stream.ends.as_ref());
        self.calls.push(CallPlan {
            entity_type: Some(entity_type),
            key: entity_type.has_entities().then_some(key),
            requests,
            payload,
            metadata: metadata(call.metadata.as_ref()),
            silent: answer.is_none() && scripted && !self.live && !streams,
            answer,
            returns_written: call.returns.is_some() || ends.is_some(),
            replay: call.replay.clone(),
            ..CallPlan::to(origin, method.name(), Some(&method))
        });
        Ok(self.calls.len() - 1)
    }

    pub(super) fn method(&self, target: &str) -> Result<MethodDescriptor, NotPlayable> {
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
        service::request(call, &method.input(), &self.scope())
            .map_err(|error| bad_request("the", &call.target, error))
    }

    /// The requests of a stream, encoded.
    fn stream_requests(
        &self,
        call: &Call,
        method: &MethodDescriptor,
    ) -> Result<Vec<bytes::Bytes>, NotPlayable> {
        let lines = call.stream.iter().flat_map(|stream| &stream.lines);
        let requests = lines.filter_map(|line| line.request.as_ref());
        let encoded = requests.map(|node| {
            let message = message::build(node, &method.input(), &self.scope())
                .map_err(|error| bad_request("a", &call.target, error))?;
            Ok(message.encode_to_vec().into())
        });
        encoded.collect()
    }

    pub(super) fn scope(&self) -> Scope<'_> {
        Scope {
            package: &self.package,
            bindings: &self.bindings,
        }
    }

    // === What the client gets ===

    pub(super) fn returns(&self, call: &Call, index: usize) -> Returns {
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
}

pub(super) fn bad_request(which: &'static str, target: &str, error: MessageError) -> NotPlayable {
    let target = target.to_owned();
    NotPlayable::Request {
        which,
        target,
        error,
    }
}

/// Headers as a chart writes them: a name may have several values.
pub(super) fn metadata(node: Option<&Node>) -> Vec<(String, String)> {
    let entries = node.and_then(Node::entries).unwrap_or_default();
    let named = |(key, value): &(crate::yaml::node::NodeKey, Node)| {
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

pub(super) fn read_returns(node: &Node) -> Returns {
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
