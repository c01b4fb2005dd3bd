//! The four kinds of calls.

use prost_reflect::MethodDescriptor;

/// Which of the four calls a method is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One request, one response.
    #[default]
    Unary,
    /// Many requests, one response.
    StreamedIn,
    /// One request, many responses.
    StreamedOut,
    /// Many requests, many responses.
    Streamed,
}

impl Kind {
    /// All four.
    pub const ALL: [Kind; 4] = [
        Kind::Unary,
        Kind::StreamedIn,
        Kind::StreamedOut,
        Kind::Streamed,
    ];

    /// By the streaming flags of a method.
    pub fn of(method: &MethodDescriptor) -> Kind {
        match (method.is_client_streaming(), method.is_server_streaming()) {
            (false, false) => Kind::Unary,
            (true, false) => Kind::StreamedIn,
            (false, true) => Kind::StreamedOut,
            (true, true) => Kind::Streamed,
        }
    }

    /// The path of the user function's call.
    pub fn path(self) -> &'static str {
        match self {
            Kind::Unary => "/cloudstate.action.ActionProtocol/handleUnary",
            Kind::StreamedIn => "/cloudstate.action.ActionProtocol/handleStreamedIn",
            Kind::StreamedOut => "/cloudstate.action.ActionProtocol/handleStreamedOut",
            Kind::Streamed => "/cloudstate.action.ActionProtocol/handleStreamed",
        }
    }

    /// The method of the model.
    pub fn method(self) -> &'static str {
        match self {
            Kind::Unary => "ProcessUnary",
            Kind::StreamedIn => "ProcessStreamedIn",
            Kind::StreamedOut => "ProcessStreamedOut",
            Kind::Streamed => "ProcessStreamed",
        }
    }

    /// The client sends any number of requests.
    pub fn streams_in(self) -> bool {
        matches!(self, Kind::StreamedIn | Kind::Streamed)
    }

    /// The function sends any number of responses.
    pub fn streams_out(self) -> bool {
        matches!(self, Kind::StreamedOut | Kind::Streamed)
    }
}
