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

pub mod requirement;
pub mod scenario;
pub mod model;
pub mod explore;
pub mod play;
pub mod cast;
pub mod mutant;
pub mod wire;
pub mod transcript;
pub mod judge;
pub mod invariants;
pub mod report;
pub mod diagram;
pub mod system;
pub mod run;
pub mod harness;
pub mod cli;
