//! The compiled `.proto` files at run time, for whoever handles messages without their types.
//!
//! The kit resolves scenarios against these descriptors, a user function announces itself with
//! them, and a proxy reads out of them (or out of a user function's own) which fields make up an
//! entity id.

use std::collections::HashSet;
use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor};
use prost_reflect::{FileDescriptor, MessageDescriptor, ServiceDescriptor};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto};

/// The files of this crate and everything that they import, as a serialized
/// `google.protobuf.FileDescriptorSet` with all options and comments.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptor_set.bin");

/// The file of [`pool`] that has the messages of primitive values. No `.proto` file stands behind
/// it.
pub const PRIMITIVES_FILE: &str = "cloudstate/primitives.proto";

/// The primitive types that an `Any` may hold, each as a message with the value in field 1. The
/// messages have no package: the type URL `p.cloudstate.io/string` names a message `string`.
const PRIMITIVES: [(&str, Type); 7] = [
    ("string", Type::String),
    ("bytes", Type::Bytes),
    ("int32", Type::Int32),
    ("int64", Type::Int64),
    ("float", Type::Float),
    ("double", Type::Double),
    ("bool", Type::Bool),
];

/// The protocol's descriptors, and those of the primitive values.
pub fn pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(build_pool);
    &POOL
}

#[expect(clippy::expect_used, reason = "made of constants, and tested")]
fn build_pool() -> DescriptorPool {
    let mut pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the compiler's own output");
    pool.add_file_descriptor_proto(primitives_file())
        .expect("names that no other file has");
    pool
}

fn primitives_file() -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some(PRIMITIVES_FILE.to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: PRIMITIVES
            .map(|(name, value)| primitive_message(name, value))
            .to_vec(),
        ..Default::default()
    }
}

fn primitive_message(name: &str, value: Type) -> DescriptorProto {
    DescriptorProto {
        name: Some(name.to_owned()),
        field: vec![FieldDescriptorProto {
            name: Some("value".to_owned()),
            number: Some(1),
            label: Some(Label::Optional.into()),
            r#type: Some(value.into()),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// A service that no `.proto` file of this crate has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no service {0:?} in the protocol's files; write its full name, package included")]
pub struct UnknownService(pub String);

/// What a user function with these services announces in `EntitySpec.proto`: a serialized
/// `google.protobuf.FileDescriptorSet` with the services' files and all that these import.
pub fn descriptor_set_for(services: &[&str]) -> Result<Vec<u8>, UnknownService> {
    let find = |name: &&str| {
        pool()
            .get_service_by_name(name)
            .ok_or_else(|| UnknownService((*name).to_owned()))
    };
    let services = services
        .iter()
        .map(find)
        .collect::<Result<Vec<ServiceDescriptor>, _>>()?;
    Ok(descriptor_set_of(
        services.iter().map(ServiceDescriptor::parent_file),
    ))
}

/// A serialized `google.protobuf.FileDescriptorSet` with these files, of whatever pool, and all
/// that they import. Each file comes once, after its imports, with all options.
pub fn descriptor_set_of(files: impl IntoIterator<Item = FileDescriptor>) -> Vec<u8> {
    let mut set = EncodedFiles::default();
    let mut seen = HashSet::new();
    for file in files {
        add_after_imports(&file, &mut seen, &mut set);
    }
    set.encode_to_vec()
}

fn add_after_imports(file: &FileDescriptor, seen: &mut HashSet<String>, set: &mut EncodedFiles) {
    if !seen.insert(file.name().to_owned()) {
        return;
    }
    for import in file.dependencies() {
        add_after_imports(&import, seen, set);
    }
    set.file.push(file.encode_to_vec());
}

/// A `google.protobuf.FileDescriptorSet` whose files are still encoded: the type that prost has
/// for it would drop the custom options.
#[derive(Clone, PartialEq, Message)]
struct EncodedFiles {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

/// A file whose descriptors nobody here can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownSyntax {
    /// The file's name.
    pub file: String,
    /// The syntax as it is written there.
    pub syntax: String,
}

/// Whether descriptors of this file can be read.
///
/// # Errors
/// The file's syntax is neither proto2, which need not be written, nor proto3.
pub fn check_syntax(file: &FileDescriptorProto) -> Result<(), UnknownSyntax> {
    match file.syntax() {
        "" | "proto2" | "proto3" => Ok(()),
        syntax => Err(UnknownSyntax {
            file: file.name().to_owned(),
            syntax: syntax.to_owned(),
        }),
    }
}

/// The files of a serialized `google.protobuf.FileDescriptorSet` that are wanted, as a set again. Each
/// keeps its bytes, custom options included.
///
/// # Errors
/// The bytes are no set of files.
pub fn only(
    set: &[u8],
    wanted: impl Fn(&FileDescriptorProto) -> bool,
) -> Result<Vec<u8>, prost::DecodeError> {
    let mut kept = EncodedFiles::default();
    for raw in EncodedFiles::decode(set)?.file {
        if wanted(&FileDescriptorProto::decode(raw.as_slice())?) {
            kept.file.push(raw);
        }
    }
    Ok(kept.encode_to_vec())
}

/// Why descriptors of somebody else can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotLinked {
    /// They are none.
    #[error("it is no serialized FileDescriptorSet: {0}")]
    Undecodable(String),
    /// A file is written in a language that isn't known here.
    #[error(
        "the file {file:?} has {language}, which can't be read; \
         compile it with syntax = \"proto3\" or \"proto2\""
    )]
    Language {
        /// The file.
        file: String,
        /// Its syntax, and its edition if it has one.
        language: String,
    },
    /// They don't fit together.
    #[error("its files can't be linked: {0}")]
    Unlinkable(String),
}

/// The descriptors in a serialized `google.protobuf.FileDescriptorSet` of any origin, as a user
/// function announces it.
///
/// Whatever comes from outside is linked here: the linker below panics at a syntax that it doesn't
/// know.
pub fn link(descriptor_set: &[u8]) -> Result<DescriptorPool, NotLinked> {
    let undecodable = |error: prost::DecodeError| NotLinked::Undecodable(error.to_string());
    let mut set = EncodedFiles::decode(descriptor_set).map_err(undecodable)?;
    for file in &mut set.file {
        let language = Language::decode(file.as_slice()).map_err(undecodable)?;
        match language.syntax.as_deref() {
            None | Some("proto2" | "proto3") => {}
            // It means proto2. Of a field that comes twice the last counts.
            Some("") => file.extend(Language::of_syntax("proto2").encode_to_vec()),
            Some(_) => return Err(language.unknown()),
        }
    }
    DescriptorPool::decode(set.encode_to_vec().as_slice())
        .map_err(|error| NotLinked::Unlinkable(error.to_string()))
}

/// The part of `google.protobuf.FileDescriptorProto` that says how the rest is to be read.
#[derive(Clone, PartialEq, Message)]
struct Language {
    #[prost(string, optional, tag = "1")]
    file: Option<String>,
    #[prost(string, optional, tag = "12")]
    syntax: Option<String>,
    #[prost(int32, optional, tag = "14")]
    edition: Option<i32>,
}

impl Language {
    fn of_syntax(syntax: &str) -> Self {
        Self {
            syntax: Some(syntax.to_owned()),
            ..Self::default()
        }
    }

    fn unknown(&self) -> NotLinked {
        let mut language = format!("syntax {:?}", self.syntax());
        if let Some(edition) = self.edition {
            language += match edition {
                1000 => ", edition 2023".to_owned(),
                1001 => ", edition 2024".to_owned(),
                number => format!(", edition number {number}"),
            }
            .as_str();
        }
        NotLinked::Language {
            file: self.file().to_owned(),
            language,
        }
    }
}

/// The fields of a request that make up its entity id, in the order in which the message declares
/// them. Fields of messages within it don't count.
///
/// The message may come from a user function's own descriptors, which need not define the option
/// under our name, or at all: it is recognized by its number.
pub fn entity_key_fields(message: &MessageDescriptor) -> Vec<FieldDescriptor> {
    // `MessageDescriptor::fields` goes by number; the declarations are in the file's own order.
    let declared = message.descriptor_proto().field.iter();
    declared
        .filter_map(|field| message.get_field_by_name(field.name()))
        .filter(|field| is_entity_key(&field.options()))
        .collect()
}

/// Whether these `google.protobuf.FieldOptions` mark an entity key, by today's option or by the
/// one before. Each is read for itself: the old number was for anybody's use, so that what stands
/// there may not even be a bool.
fn is_entity_key(options: &DynamicMessage) -> bool {
    let key = options
        .transcode_to::<EntityKeyOption>()
        .is_ok_and(|option| option.entity_key);
    let legacy = || {
        options
            .transcode_to::<LegacyEntityKeyOption>()
            .is_ok_and(|o| o.entity_key)
    };
    key || legacy()
}

/// The part of `google.protobuf.FieldOptions` that is `cloudstate.entity_key`.
#[derive(Clone, Copy, PartialEq, Message)]
struct EntityKeyOption {
    #[prost(bool, tag = "1080")]
    entity_key: bool,
}

/// The part of `google.protobuf.FieldOptions` that is `cloudstate.legacy.legacy_entity_key`.
#[derive(Clone, Copy, PartialEq, Message)]
struct LegacyEntityKeyOption {
    #[prost(bool, tag = "50002")]
    entity_key: bool,
}

#[cfg(test)]
mod tests;
