//! A minimal, complete Cloudstate proxy.
//!
//! A command passes the modules in this order:
//!
//! ```text
//!  front ──▶ catalog ──▶ router ──▶ entity ──▶ function ──▶ (the user function)
//!  a door,   a method,   its        its task,  a stream
//!  a call    its key     entity     its queue      │
//!                                                  ▼
//!  front ◀── router ◀────────────── entity ◀── function
//!  answer    effects,               journal:   a reply
//!            forwards               events
//! ```
//!
//! An action has no state: its calls go from the router to the function directly, message by
//! message. A [`trace`] is the way by which forwards and side effects led to a command.
//!
//! Before that, [`discovery`] has asked the user function what it serves and made a [`catalog`] of
//! it. [`violation`] has the words for what a user function does wrong.
//!
//! # Order
//!
//! The modules are declared below in the order in which they build on each other: the words first,
//! then both ends of a command, where it can go and where its traces are kept, then its way from
//! the entity out to the client. None makes use of a module that comes after it, which
//! the test `layering` of the kit holds them to.
//!
//! # Where it ends
//!
//! This crate is the core: what any proxy has that speaks the protocol. What may be one way or
//! another is a trait here and a crate of its own below `reference-proxy/`, behind a feature of the
//! binary, which puts the [`Parts`] together:
//!
//! | | is | and needs |
//! |---|---|---|
//! | a door (HTTP and JSON, gRPC-Web) | a [`front::Door`] | [`front::call::ClientCall`], which is one call of the router |
//! | an engine (an SQL store) | a [`journal::ShardLog`] | nothing; the property suite in `journal/tests` says what it does |
//! | an eventing source or topic | a caller of [`router::Router::open`] | [`journal::ShardLog::tail`] |
//! | ownership among several proxies | who claims which [`journal::Shard`] | [`journal::ShardLog::claim`], and forwarding before [`router::Router::open`] |
//!
//! The two engines without a server, [`journal::memory`] and [`journal::durable`], and the door for
//! gRPC are in the core, so that it can be run and tested by itself.

pub mod violation;
pub mod catalog;
pub mod trace;
pub mod function;
pub mod wire;
pub mod discovery;
pub mod journal;
pub mod command;
pub mod entity;
pub mod router;
pub mod front;
pub mod config;
mod proxy;

pub use proxy::{MakeDoor, Parts, ServeError, serve};
