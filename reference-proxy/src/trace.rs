//! The way of a command: which commands led to it, by forwards and side effects.
//!
//! It grows by one hop with each, so that a loop ends at the limit, and its report shows the way.

use std::fmt;
use std::sync::Arc;

use crate::catalog::Method;

/// The hops behind a command; a client's own command has none.
#[derive(Debug, Clone, Default)]
pub struct Trace(Option<Arc<Hop>>);

#[derive(Debug)]
struct Hop {
    method: Arc<Method>,
    before: Trace,
    count: usize,
}

impl Trace {
    /// The way that goes on from a command of this method.
    pub fn after(&self, method: &Arc<Method>) -> Self {
        Self(Some(Arc::new(Hop {
            method: Arc::clone(method),
            before: self.clone(),
            count: self.hops() + 1,
        })))
    }

    /// How many hops there are.
    pub fn hops(&self) -> usize {
        self.0.as_ref().map_or(0, |hop| hop.count)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(hop) = &self.0 else { return Ok(()) };
        let service = &hop.method.entity.service_name;
        write!(f, "{}{service}/{} -> ", hop.before, hop.method.name)
    }
}
