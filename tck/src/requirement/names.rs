//! A constant for each requirement of the embedded specification: a name that there isn't doesn't compile.

use super::RequirementName;

include!(concat!(env!("OUT_DIR"), "/names.rs"));
