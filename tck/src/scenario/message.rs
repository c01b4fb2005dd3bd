//! Messages written as trees: to send, to compare.
