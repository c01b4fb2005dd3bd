//! Steps below the level of calls.

use super::super::keys;
use super::super::{Fault, Raw, message};
use super::Reader;
use super::kind::form;
use crate::yaml::source::allowed;
use crate::yaml::{Node, Span, Value};

impl Reader<'_> {
    pub(super) fn raw(&mut self, node: &Node, value: &Node) -> Option<Raw> {
        let raw = match &value.value {
            Value::Text(word) => self.raw_word(node, value.span, word)?,
            Value::Map(_) => self.raw_map(node, value)?,
            _ => return None,
        };
        let belongs = [
            ("text", matches!(raw, Raw::Reported(_))),
            ("returns", matches!(raw, Raw::Call { .. })),
        ];
        for (key, value) in node.entries().unwrap_or_default() {
            if belongs.contains(&(key.text.as_str(), false)) {
                self.error(
                    key.span,
                    format!("{} says nothing beside this", key.text),
                    None,
                );
            } else if key.text == "text"
                && value.value != Value::Null
                && matches!(raw, Raw::Reported(None))
            {
                self.error(key.span, "the text of the report stands here twice", None);
            }
        }
        Some(raw)
    }

    fn raw_word(&mut self, node: &Node, span: Span, word: &str) -> Option<Raw> {
        Some(match word {
            "ends" => Raw::Ends(None),
            "resets" => Raw::Resets,
            "fails" => Raw::Fails,
            "refuses" => Raw::Refuses,
            "vanishes" => Raw::Fault(Fault::NoTrailers),
            "disconnects" => Raw::Fault(Fault::Disconnects),
            "goes-away" => Raw::Fault(Fault::GoesAway),
            "reported" => Raw::Reported(node.get("text").cloned()),
            _ => {
                let help = allowed(word, keys::RAW.iter().map(|(word, _)| *word));
                self.error(
                    span,
                    format!("no party does {word}"),
                    format!("{help}, or a message as a map"),
                );
                return None;
            }
        })
    }

    fn raw_map(&mut self, node: &Node, value: &Node) -> Option<Raw> {
        let Some(form) = form(value, keys::RAW_FORMS) else {
            return Some(Raw::Message(value.clone()));
        };
        self.form(value, form);
        let content = value.get(form.head.key)?;
        let default = |node: &Node| (node.as_text() != Some("default")).then(|| node.clone());
        let hex = |node: &Node| node.as_text().and_then(message::hex_bytes);
        Some(match form.head.key {
            "bytes" => Raw::Bytes(hex(content)?),
            "frame" => Raw::Fault(Fault::Frame(hex(content)?.into())),
            "ends" => Raw::Ends(Some(content.clone())),
            "reported" => {
                Raw::Reported(Some(content.clone()).filter(|text| text.value != Value::Bool(true)))
            }
            "report_error" => Raw::Reported(content.get("message").cloned()),
            "discover" => Raw::Discover(default(content)),
            "spec" => Raw::Spec(default(content)),
            _ => {
                if let (Some(_), Some(bytes)) = (value.get("request"), value.get("bytes")) {
                    self.error(bytes.span, "a call has a request or bytes, not both", None);
                }
                Raw::Call {
                    target: content.as_text().unwrap_or_default().to_owned(),
                    request: value.get("request").cloned(),
                    bytes: value.get("bytes").and_then(hex),
                    frame: value.get("frame").and_then(hex),
                    metadata: value.get("metadata").cloned(),
                    returns: value.get("returns").or(node.get("returns")).cloned(),
                }
            }
        })
    }
}
