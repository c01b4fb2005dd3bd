//! The Cloudstate conformance kit.
//!
//! The modules in the order of the pipeline:
//!
//! ```text
//! 1 spec/*.md ─────────────▶ requirement
//! 2 scenarios/*.yaml ──────▶ scenario (chart) ┐
//! 3 model + explore ───────▶ scenario (chart) ┴─▶ play: a state machine for one role
//! 4 the cast does what play says next and tells it what arrived; the recorder writes the transcript
//! 5 judge: the same play over the transcript, + invariants ─▶ findings ─▶ verdict
//! 6 report ─▶ JSON ─▶ terminal, JUnit XML
//! 7 a failing generated chart ─▶ explore::shrink ─▶ YAML: an ordinary scenario file (back to 2)
//! ```

#[allow(missing_docs)]
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

pub mod cast;
pub mod cli;
pub mod diagram;
pub mod explore;
pub mod harness;
pub mod invariants;
pub mod judge;
pub mod model;
pub mod mutant;
pub mod play;
pub mod report;
pub mod requirement;
pub mod run;
pub mod scenario;
pub mod system;
mod tasks;
pub mod transcript;
pub mod wire;
