//! The moves of an action's call, message by message.
//!
//! A call that streams both ways, where a proxy is under test:
//!
//! ```text
//! client     proxy        function     waits for
//! Request
//!            Command                   Request
//! Send 0                               Command
//!            Deliver 0                 Send 0
//!                         Answer 0     Deliver 0
//!            Pass 0                    Answer 0
//! Send 1                               Pass 0
//!            Deliver 1                 Send 1, Deliver 0
//! Sent                                 Deliver 1
//!            Delivered                 Sent, Deliver 1
//!                         Answer 1     Deliver 1, Answer 0
//!            Pass 1                    Answer 1, Pass 0
//!                         End          Answer 1, Delivered
//! Return                               Pass 1
//! ```
//!
//! In a burst, clients and functions wait only for what they did themselves: Send 1 for Send 0, Answer 1 for Answer 0.
//! An answer's effects and forward lie between Answer and Pass, as between the Answer of an entity and Return. After a
//! failure the client's call returns, and the proxy cancels its call to the function.

use super::expand::{Expansion, Frontier, Ran, leaves};
use crate::party::{Party, Role};
use crate::scenario::{Answer, Call, Raw, Step, StepKind, Stream, StreamLine};
use crate::script::reason::NotPlayable;
use crate::script::{CallPlan, MoveKind, Origin};
use crate::yaml::Node;

/// The moves of an action's call while they are made.
struct ActionRun {
    info: usize,
    index: usize,
    /// There is a client.
    front: bool,
    /// Its messages are messages of a client's stream.
    passes: bool,
    /// Nobody waits for anybody.
    burst: bool,
    /// The last move, in lock-step.
    chain: Frontier,
    /// The last move of the client, of the proxy towards the function, of the function.
    client: Frontier,
    proxy: Frontier,
    function: Frontier,
    /// The last message that the client got.
    passed: Frontier,
    /// What nothing of the call waits for.
    late: Frontier,
    /// A failure has ended the client's call.
    over: bool,
    /// The last move then: what the function sends after it, nobody waits for.
    settled: Option<Frontier>,
    /// The client has left.
    left: bool,
    /// One of the two ended the call between them by hand.
    ended: bool,
}

/// What an answer comes to.
enum Conclusion {
    Message,
    Failure,
    Nothing,
}

impl Expansion {
    /// An action's call: from the client to the function and back.
    pub(super) fn action(
        &mut self,
        info: usize,
        call: &Call,
        index: usize,
        after: Frontier,
    ) -> Result<Ran, NotPlayable> {
        let mut run = self.opened(info, call, index, after);
        run.chain = self.during(call, index, std::mem::take(&mut run.chain))?;
        let kind = self.calls[index].kind;
        match self.lines(call, index) {
            Some(stream) => self.lines_of(&mut run, &stream)?,
            None if !kind.streams_in() => self.delivered(&mut run),
            None => {}
        }
        let answers = !kind.streams_out() && !self.calls[index].silent;
        if answers && !run.ended && !run.left {
            self.answered(&mut run, index)?;
        }
        self.closed(&mut run, call);
        Ok(self.returned(run, call))
    }

    /// The call reaches the function.
    fn opened(&mut self, info: usize, call: &Call, index: usize, after: Frontier) -> ActionRun {
        let front = self.role != Role::Sdk && self.calls[index].origin == Origin::Client;
        let mut chain = after;
        let mut client = Vec::new();
        if front {
            chain = vec![self.add(info, chain, MoveKind::Request(index))];
            client.clone_from(&chain);
        }
        chain = vec![self.add(info, chain, MoveKind::Command(index))];
        ActionRun {
            info,
            index,
            front,
            passes: self.role != Role::Sdk && self.passes(index),
            burst: false,
            client,
            proxy: chain.clone(),
            function: chain.clone(),
            chain,
            passed: Vec::new(),
            late: Vec::new(),
            over: false,
            settled: None,
            left: leaves(&call.during),
            ended: ends_raw(&call.during),
        }
    }

    /// The call to the function ends: by the function, or because nobody wants the rest.
    fn closed(&mut self, run: &mut ActionRun, call: &Call) {
        let (info, index) = (run.info, run.index);
        let silent = self.calls[index].silent;
        if !(silent || run.ended || run.over || run.left) {
            let half_closed =
                |late: &&usize| matches!(self.moves[**late].kind, MoveKind::Delivered(_));
            let mut after = run.function.clone();
            after.extend(run.late.iter().filter(half_closed));
            let end = self.add(info, after, MoveKind::End(index));
            run.late.push(end);
        }
        let timeout = call.metadata.as_ref().and_then(|m| m.get("grpc-timeout"));
        let unwanted = run.over || run.left || (timeout.is_some() && silent);
        if self.role != Role::Sdk && !run.ended && unwanted {
            let settled = run.settled.clone().unwrap_or_else(|| run.chain.clone());
            let cancel = self.add(info, settled, MoveKind::Cancel(index));
            run.late.push(cancel);
        }
    }

    /// The client's call ends.
    fn returned(&mut self, mut run: ActionRun, call: &Call) -> Ran {
        let index = run.index;
        if run.front && !run.left {
            let mut after = run.settled.take().unwrap_or_else(|| run.chain.clone());
            after.extend(&run.passed);
            self.calls[index].returns = self.returns(call, index);
            // What the function sends after its failure is nobody's any more, but the next step waits for it.
            run.late.append(&mut run.chain);
            run.chain = vec![self.add(run.info, after, MoveKind::Return(index))];
        }
        Ran {
            index,
            chain: run.chain,
            late: run.late,
        }
    }

    // === Lines ===

    /// The lines of a stream. Those of a forward or an effect begin with its one request.
    fn lines(&self, call: &Call, index: usize) -> Option<Stream> {
        let plan = &self.calls[index];
        let one = plan.origin != Origin::Client && plan.kind.streams_in();
        let answers = plan.kind.streams_out() && !plan.silent;
        let mut stream = match &call.stream {
            Some(stream) => stream.clone(),
            None if one || answers => Stream {
                lines: Vec::new(),
                burst: false,
                ends: None,
            },
            None => return None,
        };
        if one {
            let request = call.request.clone();
            let request = request.unwrap_or_else(|| Node::map::<&str>(call.span, []));
            let line = StreamLine {
                span: call.span,
                request: Some(request),
                answer: None,
                step: None,
            };
            stream.lines.insert(0, line);
        }
        Some(stream)
    }

    fn lines_of(&mut self, run: &mut ActionRun, stream: &Stream) -> Result<(), NotPlayable> {
        let kind = self.calls[run.index].kind;
        let closes = stream.lines.iter().any(closes_requests);
        let last = stream.lines.iter().rposition(|line| line.request.is_some());
        run.burst = stream.burst;
        if kind.streams_in() && last.is_none() && !closes {
            self.no_more(run);
        }
        let mut number = 0;
        for (at, line) in stream.lines.iter().enumerate() {
            // What the function sends after its failure is dropped; where it is under test, it may send nothing more.
            let dropped = line.answer.is_some() && self.role == Role::Proxy;
            if run.over && !dropped {
                continue;
            }
            if line.request.is_some() {
                self.requested(run, number);
                number += 1;
                if Some(at) == last && !closes {
                    self.no_more(run);
                }
            }
            if let Some(answer) = &line.answer {
                self.calls[run.index].silent = false;
                let element = self.element_plan(run.index, answer);
                self.answered(run, element)?;
            }
            if let Some(step) = &line.step {
                self.meanwhile(run, step)?;
            }
        }
        if !kind.streams_in() {
            self.delivered(run);
        }
        run.burst = false;
        Ok(())
    }

    /// A step between the lines.
    fn meanwhile(&mut self, run: &mut ActionRun, step: &Step) -> Result<(), NotPlayable> {
        let outside = self.within.replace(run.index);
        run.chain = self.step(step, std::mem::take(&mut run.chain))?;
        self.within = outside;
        if let StepKind::Raw { party, what } = &step.kind {
            match party {
                Party::Client => run.left |= matches!(what, Raw::Resets),
                Party::Proxy => run.ended |= matches!(what, Raw::Resets),
                Party::Function => run.ended |= ends(what),
            }
        }
        Ok(())
    }

    /// One request of a stream: from the client to the function.
    fn requested(&mut self, run: &mut ActionRun, number: usize) {
        let mut after = if run.burst {
            run.client.clone()
        } else {
            run.chain.clone()
        };
        if run.front {
            run.client = vec![self.add(run.info, after, MoveKind::Send(run.index, number))];
            after = run.client.clone();
        }
        after.extend(&run.proxy);
        run.proxy = vec![self.add(run.info, after, MoveKind::Deliver(run.index, number))];
        run.chain.clone_from(&run.proxy);
    }

    /// The client has sent its last request.
    fn no_more(&mut self, run: &mut ActionRun) {
        let mut after = if run.burst {
            run.client.clone()
        } else {
            run.chain.clone()
        };
        if run.front {
            run.client = vec![self.add(run.info, after, MoveKind::Sent(run.index))];
            after = run.client.clone();
        }
        after.extend(&run.proxy);
        run.proxy = vec![self.add(run.info, after, MoveKind::Delivered(run.index))];
        if self.calls[run.index].kind.streams_out() {
            run.late.extend(&run.proxy);
        } else {
            run.chain.clone_from(&run.proxy);
        }
    }

    /// Of a call with one request: the proxy half-closes when it likes.
    fn delivered(&mut self, run: &mut ActionRun) {
        let done = MoveKind::Delivered(run.index);
        run.late.push(self.add(run.info, run.proxy.clone(), done));
    }

    /// One answer: from the function to the client, with what it sets off.
    fn answered(&mut self, run: &mut ActionRun, answer: usize) -> Result<(), NotPlayable> {
        let mut after = if run.burst {
            Vec::new()
        } else {
            run.chain.clone()
        };
        after.extend(&run.function);
        run.function = vec![self.add(run.info, after, MoveKind::Answer(answer))];
        run.chain.clone_from(&run.function);
        if self.role == Role::Sdk || run.over {
            return Ok(());
        }
        let (gate, late) = self.consequences(run.info, answer, run.chain.clone())?;
        run.late.extend(late);
        run.chain = gate;
        if answer == run.index {
            return Ok(());
        }
        match self.conclusion(answer) {
            Conclusion::Message if run.passes => {
                let mut after = run.chain.clone();
                after.extend(&run.passed);
                run.passed = vec![self.add(run.info, after, MoveKind::Pass(answer))];
                run.chain.clone_from(&run.passed);
            }
            Conclusion::Message | Conclusion::Nothing => {}
            Conclusion::Failure => {
                run.over = true;
                run.settled = Some(run.chain.clone());
            }
        }
        Ok(())
    }

    /// One message of a streamed answer, as a plan of its own.
    fn element_plan(&mut self, parent: usize, answer: &Answer) -> usize {
        let plan = CallPlan {
            origin: Origin::Element { parent },
            answer: Some(answer.clone()),
            silent: false,
            requests: Vec::new(),
            effects: Vec::new(),
            forward: None,
            metadata: Vec::new(),
            returns_written: false,
            ..self.calls[parent].clone()
        };
        self.calls.push(plan);
        self.calls.len() - 1
    }

    /// The messages that this call is answered with go to a client that takes a stream.
    fn passes(&self, index: usize) -> bool {
        match self.calls[index].origin {
            Origin::Client => true,
            Origin::Forward { parent } | Origin::Element { parent } => {
                self.calls[parent].kind.streams_out() && self.passes(parent)
            }
            Origin::Effect { .. } => false,
        }
    }

    /// What an answer comes to in the end.
    fn conclusion(&self, mut index: usize) -> Conclusion {
        while let Some(forward) = self.calls[index].forward {
            index = forward;
        }
        // Its messages have taken the place of this one.
        if self.calls[index].kind.streams_out()
            && matches!(self.calls[index].origin, Origin::Forward { .. })
        {
            return Conclusion::Nothing;
        }
        match &self.calls[index].answer {
            None => Conclusion::Message,
            Some(answer) if answer.reply.is_some() => Conclusion::Message,
            Some(answer) if answer.failure.is_some() => Conclusion::Failure,
            Some(_) => Conclusion::Nothing,
        }
    }
}

/// A line with which the client or the proxy ends the requests by hand.
fn closes_requests(line: &StreamLine) -> bool {
    let step = line.step.as_deref().map(|step| &step.kind);
    matches!(
        step,
        Some(StepKind::Raw {
            party: Party::Client | Party::Proxy,
            what: Raw::Ends(_) | Raw::Resets
        })
    )
}

/// The function ends or resets its stream by hand.
fn ends_raw(steps: &[Step]) -> bool {
    steps.iter().any(|step| match &step.kind {
        StepKind::Raw { party, what } => *party == Party::Function && ends(what),
        _ => false,
    })
}

fn ends(what: &Raw) -> bool {
    matches!(
        what,
        Raw::Ends(_) | Raw::Resets | Raw::Fails | Raw::Fault(_)
    )
}
