//! A minimal, complete Cloudstate proxy.
//!
//! A command passes the modules in this order:
//!
//! ```text
//!  front ──▶ catalog ──▶ router ──▶ entity ──▶ function ──▶ (the user function)
//!  a call    a method,   its        its task,  a stream
//!            its key     entity     its queue      │
//!                                                  ▼
//!  front ◀── router ◀────────────── entity ◀── function
//!  answer    effects,               journal:   a reply
//!            forwards               events
//! ```
//!
//! An [`action`] has no state: its calls go from the router to the function directly, message by
//! message. A [`trace`] is the way by which forwards and side effects led to a command.
//!
//! Before that, [`discovery`] has asked the user function what it serves and made a [`catalog`] of
//! it. [`violation`] has the words for what a user function does wrong.

pub mod action;
pub mod catalog;
pub mod config;
pub mod discovery;
pub mod entity;
pub mod front;
pub mod function;
pub mod journal;
mod proxy;
pub mod router;
pub mod trace;
pub mod violation;
pub mod wire;

pub use proxy::{ServeError, serve};
