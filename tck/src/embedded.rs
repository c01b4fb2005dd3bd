//! The specification, the scenarios and the mutants, so that the program is one file: written by `build.rs`.

#![allow(missing_docs, reason = "generated")]

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
