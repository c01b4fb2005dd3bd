//! The Cloudstate protocol: its `.proto` files, as Rust types and as descriptors.
//!
//! Every other crate of the project starts here. The modules of generated types mirror the
//! protobuf packages: what all entity types have in common, the package `cloudstate`, is in
//! [`cloudstate`](mod@cloudstate), and the packages below it are modules of it. [`descriptors`] has the same files at run time, options included, [`payload`]
//! the conventions for `google.protobuf.Any`, and [`names`] what else has a fixed spelling.

pub mod descriptors;
pub mod names;
pub mod payload;

pub use cloudstate::{action, crdt, eventsourced, tck, valueentity};

/// Package `cloudstate`: discovery, commands, replies, and the options for services.
#[allow(missing_docs, non_camel_case_types)]
pub mod cloudstate {
    include!("generated/cloudstate.rs");

    /// Package `cloudstate.eventsourced`: event sourced entities.
    pub mod eventsourced {
        include!("generated/cloudstate.eventsourced.rs");
    }

    /// Package `cloudstate.valueentity`: value entities.
    pub mod valueentity {
        include!("generated/cloudstate.valueentity.rs");
    }

    /// Package `cloudstate.crdt`: CRDTs.
    pub mod crdt {
        include!("generated/cloudstate.crdt.rs");
    }

    /// Package `cloudstate.action`: actions.
    pub mod action {
        include!("generated/cloudstate.action.rs");
    }

    /// Packages below `cloudstate.tck`: the TCK models.
    pub mod tck {
        /// Package `cloudstate.tck.model`: the event sourced TCK models.
        pub mod model {
            include!("generated/cloudstate.tck.model.rs");

            /// Package `cloudstate.tck.model.valueentity`: the value entity TCK models.
            pub mod valueentity {
                include!("generated/cloudstate.tck.model.valueentity.rs");
            }

            /// Package `cloudstate.tck.model.crdt`: the CRDT TCK models.
            pub mod crdt {
                include!("generated/cloudstate.tck.model.crdt.rs");
            }

            /// Package `cloudstate.tck.model.action`: the action TCK models.
            pub mod action {
                include!("generated/cloudstate.tck.model.action.rs");
            }

            /// Package `cloudstate.tck.model.eventlogeventing`: the eventing TCK models.
            pub mod eventlogeventing {
                include!("generated/cloudstate.tck.model.eventlogeventing.rs");
            }
        }
    }
}

/// Packages below `google` that protobuf itself doesn't bring.
#[allow(missing_docs, non_camel_case_types)]
pub mod google {
    /// Package `google.api`: HTTP rules and bodies.
    pub mod api {
        include!("generated/google.api.rs");
    }
}
