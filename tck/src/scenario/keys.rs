//! The keys of the language, in one table: the reader checks against it, the JSON Schema is made of it.

/// What stands under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One line of text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Truth,
    /// A whole number.
    Count,
    /// A name, or a list of names.
    Names,
    /// A list of scenarios.
    Scenarios,
    /// A list of steps.
    Steps,
    /// A list of lists of steps.
    Branches,
    /// One step.
    Step,
    /// A call.
    Call,
    /// A list of calls.
    Calls,
    /// A message, or a part of one: whatever its type allows.
    Message,
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
    pub kind: Kind,
    /// For people and editors.
    pub doc: &'static str,
}

const fn key(key: &'static str, kind: Kind, doc: &'static str) -> KeyDoc {
    KeyDoc { key, kind, doc }
}

/// The parties a step can name.
pub const PARTIES: &[&str] = &["client", "proxy", "function"];

/// A file.
pub const SUITE: &[KeyDoc] = &[
    key("suite", Kind::Text, "The suite's name: the first part of every scenario's name."),
    key("service", Kind::Text, "Full name of the service that `call: Method` means."),
    key("scenarios", Kind::Scenarios, "The scenarios of this suite."),
];

/// A scenario.
pub const SCENARIO: &[KeyDoc] = &[
    key("id", Kind::Text, "Unique in the suite, words joined by `-`; says the behaviour."),
    key("title", Kind::Text, "One sentence that a protocol engineer would say."),
    key("service", Kind::Text, "Another service than the suite's."),
    key("verifies", Kind::Names, "Requirements for the steps that name none themselves."),
    key("scripted", Kind::Word(PARTIES), "This party departs from model or protocol on purpose; playable only where the kit plays it."),
    key("needs", Kind::Names, "Features that the system under test must have."),
    key("ids", Kind::Names, "Fresh ids beside `$id`, each used as `$name`."),
    key("spec", Kind::Message, "Merged over the entity spec that the kit announces; the scenario gets a proxy of its own."),
    key("chart", Kind::Steps, "What should happen, step by step."),
];

/// What a function answers; part of a call and of other steps.
pub const ANSWER: &[KeyDoc] = &[
    key("reply", Kind::Message, "The reply's message, of the method's output type."),
    key("reply_metadata", Kind::Message, "The reply's metadata: name and value."),
    key("forward", Kind::Call, "The command goes on to another service."),
    key("failure", Kind::Message, "The command fails with this description."),
    key("nothing", Kind::Truth, "No client action at all."),
    key("events", Kind::Message, "Events to persist, in order; each an Any, for example `{ Persisted: { value: A } }`."),
    key("snapshot", Kind::Message, "A snapshot, as an Any."),
    key("state", Kind::Message, "A value entity's new value, as an Any."),
    key("delta", Kind::Message, "A CRDT's change."),
    key("delete", Kind::Truth, "The state is deleted."),
    key("effects", Kind::Calls, "Side effects, in order."),
    key("restart", Kind::Message, "Whether the failure asks for a restart."),
    key("unordered", Kind::Branches, "Messages that may come in any order."),
];

/// A call, beside its answer.
pub const CALL: &[KeyDoc] = &[
    key("call", Kind::Text, "`Method` of the suite's service, or `Service.Method`: one command all the way through."),
    key("as", Kind::Text, "A name for later steps."),
    key("id", Kind::Text, "The entity id, where it isn't `$id`."),
    key("node", Kind::Message, "The node that the client calls."),
    key("request", Kind::Message, "client ▶ proxy, and the payload of the command proxy ▶ function."),
    key("metadata", Kind::Message, "Request headers, or the metadata of an effect or forward: name and value."),
    key("during", Kind::Steps, "Between the command's arrival and its answer."),
    key("returns", Kind::Message, "What the client gets: a message, `{ status, message }`, or `$either`. By default it follows from the answer."),
    key("replay", Kind::Message, "What is replayed before the command: `nothing`, `$any`, or `{ snapshot: { sequence, value }, events }`. By default what was stored."),
    key("synchronous", Kind::Truth, "Of a side effect: the caller waits for it."),
    key("stream", Kind::Lines, "A streamed call, message by message."),
    key("burst", Kind::Truth, "Nobody waits for the lines above."),
    key("ends", Kind::Message, "What the client sees at the end of a streamed call."),
    key("then", Kind::Step, "Right after the answer left, for example `{ kill: proxy }`."),
    key("verifies", Kind::Names, "The requirements of this step."),
];

/// Steps other than calls, each with its own key.
pub const STEP: &[KeyDoc] = &[
    key("streamed", Kind::Text, "A later message on the open streamed call of this name."),
    key("cancel", Kind::Text, "The client leaves the open streamed call of this name."),
    key("consume", Kind::Text, "As `call`, but the client is an event log."),
    key("replicate", Kind::Message, "A change made on another node."),
    key("none", Kind::Steps, "In `during`: none of these may have happened yet."),
    key("concurrent", Kind::Clients, "Clients that each play the list under `each`; `$client` is a client's number."),
    key("unordered", Kind::Branches, "Lists of steps that may be played in any order."),
    key("one_of", Kind::Branches, "Lists of steps of which one happens."),
    key("client", Kind::Raw, "The client sends this."),
    key("proxy", Kind::Raw, "The proxy sends this."),
    key("function", Kind::Raw, "The function sends this."),
    key("kill", Kind::Word(PARTIES), "The process is killed, without a warning."),
    key("start", Kind::Word(PARTIES), "The process is started (again)."),
];

/// Keys beside a step's own.
pub const BESIDE: &[KeyDoc] = &[
    key("verifies", Kind::Names, "The requirements of this step."),
    key("each", Kind::Steps, "What each of the concurrent clients does."),
    key("node", Kind::Message, "The node that makes a replicated change."),
    key("end", Kind::Truth, "A streamed message is the last one."),
    key("text", Kind::Message, "What a report says, as a pattern."),
    key("returns", Kind::Message, "What the client gets from a raw call."),
];

/// Steps that are one word.
pub const WORDS: &[&str] = &["passivate", "fence", "returns"];

/// What a party can do beside sending a message.
pub const RAW: &[&str] = &["ends", "resets", "fails", "refuses", "reported"];
