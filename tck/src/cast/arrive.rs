//! What arrives: it is recorded, and as interceptor passed on.

use super::{Actor, Arrival, Mailbox, OpenStream};
use crate::party::{Party, Role};
use crate::protocol::EntityType;
use crate::transcript::{Hop, StreamId, What};
use crate::wire::door::{CallReceiver, CallSender};
use crate::wire::{Event, IncomingCall, Receiver};
use tokio::task::JoinSet;

impl Actor<'_> {
    /// Takes what came for the scenario.
    pub(super) async fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Call(call, first) => self.called(*call, first).await,
            Arrival::On {
                stream,
                from,
                event,
            } => self.event(stream, from, event).await,
        }
    }

    /// The proxy called: as function the kit will answer; as interceptor it calls the real one.
    async fn called(&mut self, call: IncomingCall, first: Vec<Event>) {
        let stream = self.recorder.stream();
        let IncomingCall {
            path,
            metadata,
            receiver,
            sender,
            begin: _,
        } = call;
        let mut readers = JoinSet::new();
        let mut to_callee = None;
        if self.play.script().role == Role::Stack
            && EntityType::of_path(&path).is_some()
            && let Ok(connection) = self.stage.function().await
        {
            let (upstream, answers) = connection.call(&path, &metadata);
            readers.spawn(self.answers(stream, Party::Function, Box::new(answers)));
            to_callee = Some(Box::new(upstream) as Box<dyn CallSender>);
        }
        let what = What::Open { path, metadata };
        self.received(Hop::Back, stream, Party::Proxy, what);
        let open = OpenStream {
            to_callee,
            to_caller: Some(sender),
            readers,
        };
        self.streams.insert(stream, open);
        for event in first {
            self.event(stream, Party::Proxy, event).await;
        }
        let requests = self.requests(stream, receiver);
        if let Some(open) = self.streams.get_mut(&stream) {
            open.readers.spawn(requests);
        }
    }

    /// Reads what comes back on a call that the kit made.
    pub(super) fn answers(
        &self,
        stream: StreamId,
        from: Party,
        receiver: Box<dyn CallReceiver>,
    ) -> impl Future<Output = Option<()>> + Send + use<> {
        let reading = read_answers(stream, from, receiver, self.mailbox.clone());
        self.panics.clone().watch(reading)
    }

    /// Reads what the proxy sends on a call that it made.
    fn requests(
        &self,
        stream: StreamId,
        receiver: Receiver,
    ) -> impl Future<Output = Option<()>> + Send + use<> {
        let reading = read_requests(stream, receiver, self.mailbox.clone());
        self.panics.clone().watch(reading)
    }

    async fn event(&mut self, stream: StreamId, from: Party, event: Event) {
        let open = self.streams.get(&stream);
        let is_back = from == Party::Function || open.is_some_and(|open| open.to_caller.is_some());
        let hop = if is_back { Hop::Back } else { Hop::Front };
        self.received(hop, stream, from, seen(&event, hop, from));
        if self.play.script().role == Role::Stack && hop == Hop::Back {
            self.pass_on(stream, from, event).await;
        }
    }

    /// The interceptor passes on what it saw, after it was recorded.
    async fn pass_on(&mut self, stream: StreamId, from: Party, event: Event) {
        let Some(open) = self.streams.get_mut(&stream) else {
            return;
        };
        if from == Party::Proxy {
            if let Some(onward) = &mut open.to_callee {
                match event {
                    Event::Headers(_) => {}
                    Event::Message(bytes) => onward.send(bytes).await,
                    Event::HalfClose => onward.finish(),
                    Event::End(_) => onward.reset().await,
                }
            }
        } else if let Some(onward) = &mut open.to_caller {
            match event {
                Event::Headers(_) => {}
                Event::Message(bytes) => onward.send(bytes).await,
                Event::HalfClose => onward.finish(),
                Event::End(status) if status.trailers => {
                    onward.end(status.code, &status.message).await;
                }
                Event::End(_) => onward.reset().await,
            }
        }
    }
}

/// An event, as it is recorded.
fn seen(event: &Event, hop: Hop, from: Party) -> What {
    match event {
        Event::Headers(metadata) => What::Headers {
            metadata: metadata.clone(),
        },
        Event::Message(bytes) => What::Message {
            bytes: bytes.clone(),
        },
        Event::HalfClose => What::HalfClose,
        Event::End(_) if from == Party::Proxy && hop == Hop::Back => What::Cancel,
        Event::End(status) => What::End {
            code: status.code,
            message: status.message.clone(),
            trailers: status.trailers,
        },
    }
}

/// Reads a caller's side of a stream into a mailbox, up to its end.
async fn read_answers(
    stream: StreamId,
    from: Party,
    mut receiver: Box<dyn CallReceiver>,
    mailbox: Mailbox,
) {
    loop {
        let event = receiver.next().await;
        if !deliver(&mailbox, stream, from, event) {
            return;
        }
    }
}

/// Reads a callee's side of a stream into a mailbox, up to its end.
async fn read_requests(stream: StreamId, mut receiver: Receiver, mailbox: Mailbox) {
    let mut half_closed = false;
    loop {
        // The request's body is kept: dropping it would reset the stream under the answer.
        let event = if half_closed {
            receiver.reset().await
        } else {
            receiver.next().await
        };
        half_closed = matches!(event, Event::HalfClose);
        if !deliver(&mailbox, stream, Party::Proxy, event) {
            return;
        }
    }
}

/// `false`: nothing more will come, or nobody waits for it.
fn deliver(mailbox: &Mailbox, stream: StreamId, from: Party, event: Event) -> bool {
    let over = matches!(event, Event::End(_));
    let arrival = Arrival::On {
        stream,
        from,
        event,
    };
    mailbox.send(arrival).is_ok() && !over
}
