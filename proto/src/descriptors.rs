//! The compiled `.proto` files at run time.

/// The files of this crate and everything they import, as a serialized
/// `google.protobuf.FileDescriptorSet` with all options.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));
