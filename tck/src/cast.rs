//! (4) The parties that the kit plays.
