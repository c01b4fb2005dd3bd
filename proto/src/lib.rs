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
    tonic::include_proto!("cloudstate");

    /// Package `cloudstate.eventsourced`: event sourced entities.
    pub mod eventsourced {
        tonic::include_proto!("cloudstate.eventsourced");
    }

    /// Package `cloudstate.valueentity`: value entities.
    pub mod valueentity {
        tonic::include_proto!("cloudstate.valueentity");
    }

    /// Package `cloudstate.crdt`: CRDTs.
    pub mod crdt {
        tonic::include_proto!("cloudstate.crdt");
    }

    /// Package `cloudstate.action`: actions.
    pub mod action {
        tonic::include_proto!("cloudstate.action");
    }

    /// Packages below `cloudstate.tck`: the TCK models.
    pub mod tck {
        /// Package `cloudstate.tck.model`: the event sourced TCK models.
        pub mod model {
            tonic::include_proto!("cloudstate.tck.model");

            /// Package `cloudstate.tck.model.valueentity`: the value entity TCK models.
            pub mod valueentity {
                tonic::include_proto!("cloudstate.tck.model.valueentity");
            }

            /// Package `cloudstate.tck.model.crdt`: the CRDT TCK models.
            pub mod crdt {
                tonic::include_proto!("cloudstate.tck.model.crdt");
            }

            /// Package `cloudstate.tck.model.action`: the action TCK models.
            pub mod action {
                tonic::include_proto!("cloudstate.tck.model.action");
            }

            /// Package `cloudstate.tck.model.eventlogeventing`: the eventing TCK models.
            pub mod eventlogeventing {
                tonic::include_proto!("cloudstate.tck.model.eventlogeventing");
            }

            /// Package `cloudstate.tck.model.entitykeys`: services that tell entity keys apart.
            pub mod entitykeys {
                tonic::include_proto!("cloudstate.tck.model.entitykeys");
            }
        }
    }
}

/// Packages below `google` that protobuf itself doesn't bring.
#[allow(missing_docs, non_camel_case_types)]
pub mod google {
    /// Package `google.api`: HTTP rules and bodies.
    pub mod api {
        tonic::include_proto!("google.api");
    }
}
