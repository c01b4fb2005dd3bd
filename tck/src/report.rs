//! (6) The versioned result type and its renderings.
