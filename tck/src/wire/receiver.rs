//! The receiving half of a call: gRPC's messages cut out of HTTP/2's frames.

use super::Event;
use super::metadata::metadata;
use super::sender::Sending;
use super::status::{Status, read_status};
use crate::protocol::MESSAGE_LIMIT;
use bytes::{Buf, Bytes, BytesMut};
use http::Response;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::future::Future;
use std::pin::Pin;

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Status>> + Send>>;

/// The receiving half of a call, of either side. Dropping a caller's receiver cancels the call.
pub struct Receiver {
    state: State,
    buffer: BytesMut,
    /// A callee's half-close is an event of its own; a caller sees an end.
    called: bool,
    /// Of the callee's side: its answer.
    answer: Option<Sending>,
}

enum State {
    Awaiting(ResponseFuture),
    Body(Incoming),
    Over,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver")
            .field("called", &self.called)
            .finish_non_exhaustive()
    }
}

impl Receiver {
    /// Caller: what comes with the response.
    pub(super) fn awaiting(response: ResponseFuture) -> Receiver {
        Receiver {
            state: State::Awaiting(response),
            buffer: BytesMut::new(),
            called: false,
            answer: None,
        }
    }

    /// A receiver with nothing more to give.
    pub fn ended() -> Receiver {
        Receiver {
            state: State::Over,
            buffer: BytesMut::new(),
            called: true,
            answer: None,
        }
    }

    /// IncomingCall side: what comes with the request; `answer` is what is being sent back.
    pub(super) fn of_request(body: Incoming, answer: Sending) -> Receiver {
        Receiver {
            state: State::Body(body),
            buffer: BytesMut::new(),
            called: true,
            answer: Some(answer),
        }
    }

    /// IncomingCall side, after the half-close: the caller resets the stream that it waits on. Never, if it is answered.
    pub async fn reset(&mut self) -> Event {
        if let Some(answer) = &mut self.answer {
            let _ = (&mut answer.dropped).await;
            let unanswered = answer.frames.upgrade().is_some();
            // It happens once, however often it is asked for.
            self.answer = None;
            if unanswered {
                return Event::End(Status::broken(1, "the caller has reset the stream"));
            }
        }
        std::future::pending().await
    }

    /// The next event. After an [`Event::End`], and on the callee's side after [`Event::HalfClose`], the call is
    /// over in this direction; asking again gives the end again.
    pub async fn next(&mut self) -> Event {
        loop {
            match self.take_message() {
                Ok(Some(message)) => return Event::Message(message),
                Ok(None) => {}
                Err(text) => return self.over(Status::broken(13, text)),
            }
            match &mut self.state {
                State::Over if self.called => return Event::HalfClose,
                State::Over => return Event::End(Status::broken(1, "the call is over")),
                State::Awaiting(response) => match response.await {
                    Ok(response) => return self.response(response),
                    Err(status) => return self.over(status),
                },
                State::Body(body) => match body.frame().await {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => self.buffer.extend_from_slice(&data),
                        Err(frame) => {
                            if let Some(status) = frame.trailers_ref().and_then(read_status) {
                                return self.over(status);
                            }
                        }
                    },
                    Some(Err(error)) => return self.over(Status::failed(1, &error)),
                    None if self.called && self.buffer.is_empty() => {
                        self.state = State::Over;
                        return Event::HalfClose;
                    }
                    None if self.called => {
                        return self.over(Status::broken(13, "the request ends inside a message"));
                    }
                    None => {
                        return self.over(Status::broken(13, "the response ends without trailers"));
                    }
                },
            }
        }
    }

    fn over(&mut self, status: Status) -> Event {
        self.state = State::Over;
        self.buffer.clear();
        Event::End(status)
    }

    fn response(&mut self, response: Response<Incoming>) -> Event {
        let (head, body) = response.into_parts();
        if let Some(status) = read_status(&head.headers) {
            return self.over(status);
        }
        let grpc = head
            .headers
            .get("content-type")
            .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        if head.status != 200 || !grpc {
            let kind = head
                .headers
                .get("content-type")
                .map_or("nothing", |v| v.to_str().unwrap_or("?"));
            let text = format!(
                "the answer is HTTP {} with {kind}, not gRPC",
                head.status.as_u16()
            );
            return self.over(Status::broken(2, text));
        }
        self.state = State::Body(body);
        Event::Headers(metadata(&head.headers))
    }

    fn take_message(&mut self) -> Result<Option<Bytes>, String> {
        let Some(prefix) = self.buffer.get(..5) else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        if prefix[0] != 0 {
            return Err("a compressed message, though no compression was offered".to_owned());
        }
        if length > MESSAGE_LIMIT {
            return Err(format!(
                "a message of {length} bytes; the kit's limit is {MESSAGE_LIMIT}"
            ));
        }
        if self.buffer.len() < 5 + length {
            return Ok(None);
        }
        self.buffer.advance(5);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}
