//! Steps below the level of calls.

use crate::check::Checker;
use crate::party::Party;
use crate::scenario::Raw;
use crate::services;
use crate::yaml::{Node, Span};

impl Checker<'_> {
    pub(super) fn raw(&mut self, span: Span, party: Party, what: &Raw) {
        match what {
            Raw::Message(node) => self.raw_message(node, party),
            Raw::Bytes(_) | Raw::Resets | Raw::Fails | Raw::Refuses | Raw::Ends(None) => {}
            Raw::Ends(Some(status)) => self.status(status),
            Raw::Fault(_) if self.scenario.scripted != Some(party) => {
                let help = format!("write `scripted: {party}` on the scenario");
                self.error(span, "a fault is always on purpose", Some(help));
            }
            Raw::Fault(_) => {}
            Raw::Reported(text) => self.text(text.as_ref()),
            Raw::Discover(info) => self.optional(info.as_ref(), "cloudstate.ProxyInfo"),
            Raw::Spec(spec) => self.optional(spec.as_ref(), "cloudstate.EntitySpec"),
            Raw::Call {
                target,
                request,
                bytes: _,
                frame: _,
                metadata,
                returns,
            } => {
                if party != Party::Client {
                    self.error(span, format!("the {party} makes no calls by hand"), None);
                }
                let known = !target.starts_with('/');
                let method = known.then(|| self.method(span, target)).flatten();
                match (request, &method) {
                    (Some(request), Some(method)) => self.typed(request, &method.input()),
                    (Some(request), None) if !known => {
                        let help = Some("write bytes: hexadecimal digits".to_owned());
                        self.error(
                            request.span,
                            "the request of an unknown method has no type",
                            help,
                        );
                    }
                    _ => {}
                }
                self.optional(metadata.as_ref(), "cloudstate.Metadata");
                if let Some(returns) = returns {
                    self.returns(returns, method.map(|method| method.output()).as_ref());
                }
            }
        }
    }

    fn raw_message(&mut self, node: &Node, party: Party) {
        let entity_type = services::entity_type(&self.scenario.service);
        match entity_type.filter(|_| party != Party::Client) {
            Some(entity_type) => self.message(node, entity_type.message(party)),
            None => {
                let help = Some("write { call: Method, request: … }".to_owned());
                self.error(node.span, "a client sends calls, not messages", help);
            }
        }
    }
}
