//! The Cloudstate conformance kit.
//!
//! The modules in the order of the pipeline; each imports from those above it only, which `tests/layering/` holds:
//!
//! ```text
//! 0 the ground ────────────▶ text, party, door, yaml, finding, status, protocol, services
//! 1 spec/*.md ─────────────▶ requirement
//! 2 scenarios/*.yaml ──────▶ scenario (chart) ─▶ check
//! 3 model, explore ────────▶ scenario (chart) ─▶ fill (answers) ─▶ script (moves) ─▶ play: a state machine for one role
//! 4 the cast does what play says next and tells it what arrived; the recorder writes the transcript
//! 5 judge: the same play over the transcript, + invariants ─▶ findings ─▶ verdict
//! 6 report ─▶ JSON ─▶ terminal, JUnit XML, Markdown
//! 7 a failing generated chart ─▶ explore::shrink ─▶ YAML: an ordinary scenario file (back to 2)
//! ```

// The ground.
mod embedded;
mod text;
mod tasks;
pub mod party;
pub mod door;
pub mod yaml;
pub mod finding;
mod status;
mod protocol;
mod services;
// What should happen.
pub mod requirement;
pub mod scenario;
mod transcript;
pub mod model;
mod fill;
mod script;
pub mod check;
mod explore;
// What happens, and what it means.
mod play;
mod judge;
mod diagram;
pub mod report;
pub mod mutant;
// With whom it happens.
pub mod system;
mod wire;
mod cast;
pub mod run;
#[cfg(feature = "harness")]
pub mod harness;
pub mod cli;
