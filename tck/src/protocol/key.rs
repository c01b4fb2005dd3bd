//! Which entity.

use std::fmt;

/// An entity: its service and id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Full name of the service.
    pub service: String,
    /// The entity id.
    pub entity: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}",
            self.service.rsplit('.').next().unwrap_or(&self.service),
            self.entity
        )
    }
}
