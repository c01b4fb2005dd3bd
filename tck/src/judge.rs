//! (5) The same play over the transcript: findings, blame, verdict.

pub mod finding;

pub use finding::{Finding, Mismatch, Severity, Verdict};
