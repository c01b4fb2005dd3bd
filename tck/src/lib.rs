//! The Cloudstate conformance kit.
//!
//! The modules in the order of the pipeline; each imports from those above it only, which `tests/layering.rs` holds:
//!
//! ```text
//! 0 the ground ────────────▶ text, party, yaml, finding, status, protocol, services
//! 1 spec/*.md ─────────────▶ requirement
//! 2 scenarios/*.yaml ──────▶ scenario (chart) ─▶ check
//! 3 model, explore ────────▶ scenario (chart) ─▶ script (moves) ─▶ play: a state machine for one role
//! 4 the cast does what play says next and tells it what arrived; the recorder writes the transcript
//! 5 judge: the same play over the transcript, + invariants ─▶ findings ─▶ verdict
//! 6 report ─▶ JSON ─▶ terminal, JUnit XML, Markdown
//! 7 a failing generated chart ─▶ explore::shrink ─▶ YAML: an ordinary scenario file (back to 2)
//! ```

#[allow(missing_docs)]
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

pub mod cast;
pub mod check;
pub mod cli;
pub mod diagram;
pub mod explore;
pub mod finding;
pub mod harness;
pub mod judge;
pub mod model;
pub mod mutant;
pub mod party;
pub mod play;
pub mod protocol;
pub mod report;
pub mod requirement;
pub mod run;
pub mod scenario;
pub mod script;
pub mod services;
pub mod status;
pub mod system;
pub mod text;
pub mod transcript;
pub mod wire;
pub mod yaml;
