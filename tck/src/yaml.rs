//! YAML as a tree whose every key and value knows where it stands.

pub mod node;
pub mod reader;
pub mod source;
pub mod tree;

pub use node::{Node, Value};
pub use reader::Cursor;
pub use source::{Source, SourceError, Span};
