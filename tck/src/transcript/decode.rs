//! What the bytes of a transcript mean, as a scenario would write it.

use super::{Entry, StreamId, What};
use crate::party::Party;
use crate::scenario::message;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor};
use std::collections::BTreeMap;

/// Characters of one message.
const LONG: usize = 280;

/// Knows of each stream which method it calls.
#[derive(Debug)]
pub struct Decoder<'a> {
    methods: BTreeMap<StreamId, MethodDescriptor>,
    /// Where short type names are looked up.
    pub(super) package: &'a str,
}

impl Decoder<'_> {
    /// For these entries; `package` is where short type names are looked up.
    pub fn new<'a>(entries: &[Entry], package: &'a str) -> Decoder<'a> {
        let mut decoder = Decoder {
            methods: BTreeMap::new(),
            package,
        };
        for entry in entries {
            decoder.learn(entry);
        }
        decoder
    }

    /// One more entry.
    pub(super) fn learn(&mut self, entry: &Entry) {
        if let (What::Open { path, .. }, Some(stream)) = (&entry.what, entry.stream)
            && let Some(method) = method(path)
        {
            self.methods.insert(stream, method);
        }
    }

    /// One line; what can't be decoded is told by its size.
    pub fn summary(&self, entry: &Entry) -> String {
        let What::Message { bytes } = &entry.what else {
            return String::new();
        };
        let decoded = self
            .descriptor(entry)
            .map(|d| DynamicMessage::decode(d, bytes.clone()));
        match decoded {
            Some(Ok(message)) => message::summary(&message, self.package, LONG),
            Some(Err(error)) => format!("{} bytes that are no message: {error}", bytes.len()),
            None => format!("{} bytes", bytes.len()),
        }
    }

    /// The callers' type or the called's: on both hops the function is only ever called, the client only calls.
    pub(super) fn descriptor(&self, entry: &Entry) -> Option<MessageDescriptor> {
        let method = self.methods.get(&entry.stream?)?;
        let called = match entry.from {
            Party::Client => false,
            Party::Function => true,
            Party::Proxy => entry.hop == Some(super::Hop::Front),
        };
        Some(if called {
            method.output()
        } else {
            method.input()
        })
    }
}

fn method(path: &str) -> Option<MethodDescriptor> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let service = crate::services::descriptor_pool().get_service_by_name(service)?;
    service.methods().find(|known| known.name() == method)
}
