//! (2) The keys of the language, in one table: the reader checks against it, the writer lays out by it, the JSON
//! Schema and the documentation in the schema are made of it.

/// What stands under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// One text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Truth,
    /// A text, or an operator that stands for several.
    Pattern,
    /// Bytes, as pairs of hexadecimal digits.
    Hex,
    /// A name, or a list of names.
    Names,
    /// One or several of these names.
    NamesOf(&'static [&'static str]),
    /// A message, an operator, or one of these words.
    Message(&'static [&'static str]),
    /// A list of messages, or an operator.
    Messages,
    /// Name and value of each, the values being patterns.
    Metadata,
    /// A list of scenarios.
    Scenarios,
    /// One step.
    Step,
    /// A list of steps.
    Steps,
    /// A list of steps or of lists of steps.
    Branches,
    /// A side effect or a forward.
    Nested,
    /// A list of side effects.
    NestedList,
    /// The lines of a streamed call.
    Lines,
    /// A raw message, end or fault.
    Raw,
    /// `{ clients: 8 }`.
    Clients,
}

/// A key and what it means.
#[derive(Clone, Copy, Debug)]
pub struct KeyDoc {
    /// As it is written.
    pub key: &'static str,
    /// What stands under it.
    pub kind: KeyKind,
    /// For people and editors.
    pub doc: &'static str,
    /// It can't be left out.
    pub required: bool,
}

/// A map that is told by one of its keys.
#[derive(Clone, Copy, Debug)]
pub struct FormDoc {
    /// What it is called in errors.
    pub what: &'static str,
    /// The key that tells it.
    pub head: KeyDoc,
    /// The keys that can stand beside it.
    pub beside: &'static [&'static [KeyDoc]],
}

const fn key(key: &'static str, kind: KeyKind, doc: &'static str) -> KeyDoc {
    KeyDoc {
        key,
        kind,
        doc,
        required: false,
    }
}

const fn required(key: &'static str, kind: KeyKind, doc: &'static str) -> KeyDoc {
    KeyDoc {
        key,
        kind,
        doc,
        required: true,
    }
}

/// The parties that a step can name.
pub const PARTIES: &[&str] = &["client", "proxy", "function"];

/// Features that a scenario can need.
pub const FEATURES: &[&str] = &[
    "managed",
    "durable",
    "replication",
    "eventing",
    "http",
    "single-node",
    "two-nodes",
    "relay-timeout",
    "half-close-timeout",
];

/// A file.
pub const SUITE: &[KeyDoc] = &[
    required(
        "suite",
        KeyKind::Text,
        "The suite's name: the first part of every scenario's name.",
    ),
    key(
        "service",
        KeyKind::Text,
        "Full name of the service that `call: Method` means.",
    ),
    required(
        "scenarios",
        KeyKind::Scenarios,
        "The scenarios of this suite.",
    ),
];

/// A scenario.
pub const SCENARIO: &[KeyDoc] = &[
    required(
        "id",
        KeyKind::Text,
        "Unique in the suite, lower-case words joined by `-`; says the behaviour.",
    ),
    required(
        "title",
        KeyKind::Text,
        "One sentence that a protocol engineer would say.",
    ),
    key(
        "service",
        KeyKind::Text,
        "Another service than the suite's.",
    ),
    key(
        "verifies",
        KeyKind::Names,
        "Requirements for the steps that name none themselves.",
    ),
    key(
        "scripted",
        KeyKind::Word(PARTIES),
        "This party departs from model or protocol on purpose; playable only where the kit plays it.",
    ),
    key(
        "needs",
        KeyKind::NamesOf(FEATURES),
        "Features that the system under test must have.",
    ),
    key(
        "ids",
        KeyKind::Names,
        "Fresh ids beside `$id`, each used as `$name`.",
    ),
    key(
        "spec",
        KeyKind::Message(&[]),
        "Merged over the entity spec that the kit announces; the scenario gets a proxy of its own.",
    ),
    required("chart", KeyKind::Steps, "What should happen, step by step."),
];

const VERIFIES: KeyDoc = key("verifies", KeyKind::Names, "The requirements of this step.");
const RETURNS: KeyDoc = key(
    "returns",
    KeyKind::Message(&["nothing"]),
    "What the client gets: a message, `{ status, message }`, `nothing`, or `$either`. By default it follows from the answer.",
);
const REQUEST: KeyDoc = key(
    "request",
    KeyKind::Message(&[]),
    "client ▶ proxy, and the payload of the command proxy ▶ function.",
);
const METADATA: KeyDoc = key(
    "metadata",
    KeyKind::Metadata,
    "Request headers, or the metadata of an effect, forward or event: name and value.",
);
const TARGET: &str = "`Method` of the suite's service, or `Service.Method`";

/// What a function answers; part of a call and of other steps. What is not written must not be there.
pub const ANSWER: &[KeyDoc] = &[
    key(
        "reply",
        KeyKind::Message(&[]),
        "The reply's message, of the method's output type; `{}` is an empty one.",
    ),
    key(
        "forward",
        KeyKind::Nested,
        "The command goes on to another service: a call with an answer of its own.",
    ),
    key(
        "failure",
        KeyKind::Pattern,
        "The command fails with this description.",
    ),
    key("nothing", KeyKind::Truth, "No client action at all."),
    key(
        "restart",
        KeyKind::Pattern,
        "Whether the failure asks for a restart.",
    ),
    key(
        "reply_metadata",
        KeyKind::Metadata,
        "The reply's metadata: name and value.",
    ),
    key(
        "events",
        KeyKind::Messages,
        "Events to persist, in order; each an Any, for example `{ Persisted: { value: A } }`.",
    ),
    key("snapshot", KeyKind::Message(&[]), "A snapshot, as an Any."),
    key(
        "state",
        KeyKind::Message(&[]),
        "A value entity's new value, as an Any.",
    ),
    key(
        "delta",
        KeyKind::Message(&[]),
        "A CRDT's change, as a CrdtDelta.",
    ),
    key("delete", KeyKind::Truth, "The state is deleted."),
    key(
        "effects",
        KeyKind::NestedList,
        "Side effects, in order: calls with answers of their own.",
    ),
    key(
        "unordered",
        KeyKind::Branches,
        "Messages that may come in any order: parts of this answer, and of open streamed calls.",
    ),
];

/// A call or a consumed event, beside its answer.
pub const CALL: &[KeyDoc] = &[
    key("as", KeyKind::Text, "A name for later steps."),
    key("id", KeyKind::Text, "The entity id, where it isn't `$id`."),
    key("node", KeyKind::Text, "The node that the client calls."),
    REQUEST,
    METADATA,
    key(
        "replay",
        KeyKind::Message(&["nothing"]),
        "What is replayed before the command: `nothing`, `$any`, `{ snapshot: { sequence, value }, events }`, `{ state }` or `{ delta }`. By default what was stored.",
    ),
    key(
        "during",
        KeyKind::Steps,
        "Between the command's arrival and its answer.",
    ),
    key(
        "stream",
        KeyKind::Lines,
        "A streamed call, message by message; each line waits for those above it.",
    ),
    key("burst", KeyKind::Truth, "Nobody waits for the lines above."),
    key(
        "ends",
        KeyKind::Message(&[]),
        "What the client sees at the end of a streamed call: `{ status, message }`.",
    ),
    RETURNS,
    key(
        "then",
        KeyKind::Step,
        "Right after the answer left, for example `{ kill: proxy }`.",
    ),
    VERIFIES,
];

/// A side effect or a forward, beside its answer.
pub const NESTED: &[KeyDoc] = &[
    required("call", KeyKind::Text, TARGET),
    key(
        "id",
        KeyKind::Text,
        "The entity id, where it isn't in the request.",
    ),
    REQUEST,
    METADATA,
    key(
        "stream",
        KeyKind::Lines,
        "What a target that streams its answer answers.",
    ),
    key(
        "synchronous",
        KeyKind::Truth,
        "Of a side effect: the caller waits for it.",
    ),
    key(
        "replay",
        KeyKind::Message(&["nothing"]),
        "What is replayed before the command, as in a call.",
    ),
    key(
        "during",
        KeyKind::Steps,
        "Between the command's arrival and its answer.",
    ),
];

/// A line of a streamed call: a request or an answer.
pub const LINE: &[KeyDoc] = &[key("request", KeyKind::Message(&[]), "client ▶ function.")];

/// What a line of a stream may be besides: a raw step of one of these, or a word.
pub const LINE_STEPS: &[&str] = &["client", "proxy", "function", "kill", "start"];

/// Steps that are one word.
pub const WORDS: &[(&str, &str)] = &[
    (
        "passivate",
        "The entity's stream ends because the entity is idle.",
    ),
    (
        "fence",
        "A round trip through the same proxy: what hasn't come by then, was not sent before.",
    ),
    ("returns", "In `none`: the client's call has returned."),
];

const BESIDE: &[KeyDoc] = &[VERIFIES];

/// Steps that are maps. Of several keys that tell one, the first here wins.
pub const STEPS: &[FormDoc] = &[
    FormDoc {
        what: "a call",
        head: key(
            "call",
            KeyKind::Text,
            "`Method` of the suite's service, or `Service.Method`: one command all the way through.",
        ),
        beside: &[CALL, ANSWER],
    },
    FormDoc {
        what: "a consumed event",
        head: key(
            "consume",
            KeyKind::Text,
            "As `call`, but the client is an event log; may repeat.",
        ),
        beside: &[CALL, ANSWER],
    },
    FormDoc {
        what: "a streamed message",
        head: key(
            "streamed",
            KeyKind::Text,
            "A later message on the open streamed call of this name.",
        ),
        beside: &[
            &[key("end", KeyKind::Truth, "It is the last one.")],
            ANSWER,
            BESIDE,
        ],
    },
    FormDoc {
        what: "a cancellation",
        head: key(
            "cancel",
            KeyKind::Text,
            "The client leaves the open streamed call of this name; beside it what the function does then.",
        ),
        beside: &[ANSWER, BESIDE],
    },
    FormDoc {
        what: "a replicated change",
        head: key(
            "replicate",
            KeyKind::Message(&[]),
            "A change made on another node, as a CrdtDelta.",
        ),
        beside: &[
            &[key("node", KeyKind::Text, "The node that makes it.")],
            BESIDE,
        ],
    },
    FormDoc {
        what: "none",
        head: key(
            "none",
            KeyKind::Steps,
            "In `during`: none of these may have happened yet.",
        ),
        beside: &[BESIDE],
    },
    FormDoc {
        what: "a concurrent step",
        head: key(
            "concurrent",
            KeyKind::Clients,
            "Clients that each play the list under `each`; `$client` is a client's number.",
        ),
        beside: &[
            &[required(
                "each",
                KeyKind::Steps,
                "What each of the clients does.",
            )],
            BESIDE,
        ],
    },
    FormDoc {
        what: "a choice",
        head: key(
            "one_of",
            KeyKind::Branches,
            "Lists of steps of which one happens, told apart by their first message.",
        ),
        beside: &[BESIDE],
    },
    FormDoc {
        what: "a step of the client",
        head: key("client", KeyKind::Raw, "The client sends this."),
        beside: &[&[RETURNS], BESIDE],
    },
    FormDoc {
        what: "a step of the proxy",
        head: key("proxy", KeyKind::Raw, "The proxy sends this."),
        beside: &[&[TEXT], BESIDE],
    },
    FormDoc {
        what: "a step of the function",
        head: key("function", KeyKind::Raw, "The function sends this."),
        beside: &[&[TEXT], BESIDE],
    },
    FormDoc {
        what: "a kill",
        head: key(
            "kill",
            KeyKind::Word(PARTIES),
            "The process is killed, without a warning.",
        ),
        beside: &[BESIDE],
    },
    FormDoc {
        what: "a start",
        head: key(
            "start",
            KeyKind::Word(PARTIES),
            "The process is started (again).",
        ),
        beside: &[BESIDE],
    },
    FormDoc {
        what: "an unordered step",
        head: key(
            "unordered",
            KeyKind::Branches,
            "Lists of steps that may be played in any order.",
        ),
        beside: &[BESIDE],
    },
];

const TEXT: KeyDoc = key("text", KeyKind::Pattern, "What a report says.");

/// What a party can do beside sending a message.
pub const RAW: &[(&str, &str)] = &[
    ("ends", "Ends its side of the entity's stream."),
    ("resets", "Resets the stream."),
    (
        "fails",
        "Gives the stream up in any way the protocol allows.",
    ),
    ("refuses", "As `fails`, or fails the command alone."),
    (
        "vanishes",
        "Ends the stream without trailers, so without a status.",
    ),
    ("disconnects", "Closes the connection under the stream."),
    (
        "goes-away",
        "Takes no more streams on the connection (GOAWAY); open ones go on.",
    ),
    (
        "reported",
        "The proxy called `reportError`; `text` beside it says with what.",
    ),
];

/// Raw steps that are maps; any other map is a message of the entity's stream.
pub const RAW_FORMS: &[FormDoc] = &[
    FormDoc {
        what: "a call of the client",
        head: key(
            "call",
            KeyKind::Text,
            "`Method`, `Service.Method`, or a path that starts with `/`.",
        ),
        beside: &[&[
            REQUEST,
            key("bytes", KeyKind::Hex, "Sent instead of a message."),
            key(
                "frame",
                KeyKind::Hex,
                "Sent as it is, without a length in front.",
            ),
            METADATA,
            RETURNS,
        ]],
    },
    FormDoc {
        what: "a message of bytes",
        head: key(
            "bytes",
            KeyKind::Hex,
            "Sent as one message on the entity's stream.",
        ),
        beside: &[],
    },
    FormDoc {
        what: "a frame",
        head: key(
            "frame",
            KeyKind::Hex,
            "Bytes sent as they are, without gRPC's length in front.",
        ),
        beside: &[],
    },
    FormDoc {
        what: "an end",
        head: key(
            "ends",
            KeyKind::Message(&[]),
            "Ends the stream with `{ status, message }`.",
        ),
        beside: &[],
    },
    FormDoc {
        what: "a report",
        head: key(
            "reported",
            KeyKind::Pattern,
            "The proxy called `reportError` with this text; `true`: with any.",
        ),
        beside: &[],
    },
    FormDoc {
        what: "a report",
        head: key(
            "report_error",
            KeyKind::Message(&[]),
            "The proxy called `reportError` with this UserFunctionError.",
        ),
        beside: &[],
    },
    FormDoc {
        what: "a discovery",
        head: key(
            "discover",
            KeyKind::Message(&["default"]),
            "The proxy called `discover` with this ProxyInfo.",
        ),
        beside: &[],
    },
    FormDoc {
        what: "an entity spec",
        head: key(
            "spec",
            KeyKind::Message(&["default"]),
            "The answer to `discover`; `default`: the kit's own.",
        ),
        beside: &[],
    },
];

/// What stands under a key of a step; maps that are messages have keys of their own.
pub fn kind_of(name: &str) -> Option<KeyKind> {
    let heads = STEPS.iter().map(|form| &form.head);
    let tables = [SUITE, SCENARIO, ANSWER, CALL, NESTED, LINE];
    let beside = STEPS.iter().flat_map(|form| form.beside.iter()).copied();
    let mut all = tables.into_iter().chain(beside).flatten().chain(heads);
    all.find(|doc| doc.key == name).map(|doc| doc.kind)
}
