//! The system under test.
