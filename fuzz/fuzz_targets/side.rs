//! One endpoint: its machine, whole or in halves, and what it must say by the model.

use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes};
use sansock::deflate::Deflate;
use sansock::{
    CloseCode, CloseFrame, Config, Connection, Data, Delivery, Endpoint, Error, Event, Message, Prepared,
    ReceiveHalf, SendError, SendHalf, Spare, Timer, Timestamp,
};

use crate::deadlines::{Deadlines, Due, nanos};
use crate::sent::{Item, Last, Sent};
use crate::tally::tallied;

pub enum Machine {
    Whole(Connection),
    /// The third is a fork of the second, if there is one: it is what writes, and answers.
    Apart(ReceiveHalf, SendHalf, Option<SendHalf>),
    Moved,
}

impl Machine {
    pub fn receive(&mut self) -> &mut ReceiveHalf {
        match self {
            Machine::Whole(connection) => connection.halves().0,
            Machine::Apart(receive, ..) => receive,
            Machine::Moved => unreachable!("it was put back"),
        }
    }

    /// The half that is given commands.
    pub fn send(&mut self) -> &mut SendHalf {
        match self {
            Machine::Whole(connection) => connection.halves().1,
            Machine::Apart(_, send, _) => send,
            Machine::Moved => unreachable!("it was put back"),
        }
    }

    /// The half that writes.
    pub fn wire(&mut self) -> &mut SendHalf {
        match self {
            Machine::Apart(_, _, Some(wire)) => wire,
            machine => machine.send(),
        }
    }

    fn is_forked(&self) -> bool {
        matches!(self, Machine::Apart(_, _, Some(_)))
    }
}

/// Gives a command to the whole connection, or to its sending half.
macro_rules! command {
    ($machine:expr, $by_half:expr, |$to:ident| $run:expr) => {
        match &mut $machine {
            Machine::Whole($to) if !$by_half => $run,
            machine => {
                let $to = machine.send();
                $run
            }
        }
    };
}

/// How a message is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Giving {
    Borrowed,
    Owned,
    Prepared,
    PreparedCompressed,
    /// The transport takes so many bytes, if it is asked.
    Offered(usize),
    Part,
    LastPart,
}

/// How an event is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    Lent,
    Owned,
    /// Owned, and kept for a while.
    Kept,
    /// Dropped unseen.
    Left,
    /// Relayed by the own sending half.
    Relayed,
    /// The data is sent back.
    Answered,
}

/// What was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Data { is_text: bool, len: usize, is_final: bool },
    Ping,
    Pong,
    Nothing,
    Failed(Error),
}

/// How the conversation ended for the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed(Option<CloseFrame>),
    HungUp,
    Failed(Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Eof,
    TimedOut(Timer),
}

pub struct Side {
    pub machine: Machine,
    pub sent: Sent,
    deadlines: Deadlines,
    is_client: bool,
    is_in_chunks: bool,
    idle_close: CloseCode,
    high_water: usize,
    /// Messages that were taken out.
    pub kept: Vec<Message>,
    /// How many bytes it was given.
    received: u64,
    /// Where in the stream the last item ends that was seen, and how much of the next message was.
    seen: u64,
    passed: usize,
    cut: Option<Cut>,
    end: Option<End>,
    began: Option<Endpoint>,
    /// What the receiving half said first of the end, for the sending half.
    order: Option<Last>,
    /// The receiving half was told that a Close frame was sent.
    knows_of_close: bool,
}

impl Side {
    pub fn new(is_client: bool, config: &Config, connection: Connection, now: Timestamp) -> Self {
        Side {
            sent: Sent::new(is_client, connection.deflate().is_some()),
            machine: Machine::Whole(connection),
            deadlines: Deadlines::new(config, now),
            is_client,
            is_in_chunks: config.delivery == Delivery::Chunks,
            idle_close: config.idle_close,
            high_water: config.output_high_water,
            kept: Vec::new(),
            received: 0,
            seen: 0,
            passed: 0,
            cut: None,
            end: None,
            began: None,
            order: None,
            knows_of_close: false,
        }
    }

    pub fn is_cut_off(&self) -> bool {
        self.cut == Some(Cut::Eof)
    }

    pub fn is_ended(&self) -> bool {
        self.end.is_some()
    }

    pub fn has_failed(&self) -> bool {
        matches!(self.end, Some(End::Failed(_) | End::HungUp))
    }

    /// How many bytes were received of what was not seen.
    pub fn unfinished(&self) -> u64 {
        if self.end.is_some() { 0 } else { self.received - self.seen }
    }

    pub fn deadline(&self) -> Option<u64> {
        self.deadlines.next()
    }

    // ---- the sending side ----

    fn may_send(&mut self, otherwise: Result<(), SendError>) -> Result<(), SendError> {
        if self.machine.send().is_closed() { Err(SendError::Closed) } else { otherwise }
    }

    /// Sends a message or a part of one; gives what the transport was offered and took.
    pub fn give(&mut self, how: Giving, is_text: bool, bytes: &[u8], by_half: bool) -> Vec<u8> {
        let is_part = matches!(how, Giving::Part | Giving::LastPart);
        let expected = self.may_send(self.sent.allows(is_text, is_part));
        let is_forked = self.machine.is_forked();
        let text = || std::str::from_utf8(bytes).expect("it was made as text");
        let data = || if is_text { Data::Text(text()) } else { Data::Binary(bytes) };
        let owned = || match is_text {
            true => Message::from(text()),
            false => Message::from(Bytes::copy_from_slice(bytes)),
        };
        let mut taken = Vec::with_capacity(bytes.len() + 14);
        let mut write = |head: &[u8], payload: &[u8], most: usize| {
            // What the other half has queued comes first.
            let most = if is_forked { 0 } else { most };
            taken.extend_from_slice(head);
            taken.extend_from_slice(payload);
            taken.truncate(most);
            taken.len()
        };
        let result = tallied(|| {
            command!(self.machine, by_half, |to| match how {
                Giving::Borrowed if is_text => to.text(text()),
                Giving::Borrowed => to.binary(bytes),
                Giving::Owned => to.send(owned()),
                Giving::Prepared => to.prepared(&Prepared::new(owned())),
                Giving::PreparedCompressed => to.prepared(&Prepared::with_deflate(owned(), &prepared_with())),
                Giving::Offered(most) => to.offer(data(), |head, payload| write(head, payload, most)),
                Giving::Part => to.fragment(data()),
                Giving::LastPart => to.last_fragment(data()),
            })
        });
        assert_eq!(result, expected);
        if result.is_ok() {
            let is_given = matches!(how, Giving::Owned | Giving::Prepared | Giving::PreparedCompressed);
            let given = if is_given { 2 * bytes.len() + 256 } else { 0 };
            self.sent.data(is_text, bytes, how != Giving::Part, given);
        } else {
            assert!(taken.is_empty(), "what fails writes nothing");
        }
        taken
    }

    pub fn uncompressed(&mut self, by_half: bool) {
        if by_half {
            self.machine.send().uncompressed();
        } else {
            command!(self.machine, false, |to| {
                to.uncompressed();
            });
        }
        self.sent.uncompressed();
    }

    /// Sends a ping, or a pong that nobody asked for.
    pub fn control(&mut self, item: Item, by_half: bool) {
        let (Item::Ping(payload) | Item::Pong(payload)) = &item else { unreachable!("only these") };
        let is_long = payload.len() > 125;
        let expected = self.may_send(if is_long { Err(SendError::ControlTooLong) } else { Ok(()) });
        let result = tallied(|| {
            command!(self.machine, by_half, |to| match &item {
                Item::Ping(payload) => to.ping(payload),
                _ => to.pong(payload),
            })
        });
        assert_eq!(result, expected);
        if result.is_ok() {
            self.sent.control(item);
        }
    }

    pub fn close(&mut self, code: CloseCode, reason: &str, by_half: bool) {
        // The connection carries out first what the receiving half wants.
        let result = tallied(|| command!(self.machine, by_half, |to| to.close(code, reason)));
        let Ok(frame) = CloseFrame::new(code, reason) else {
            assert_eq!(result.is_ok(), false);
            return self.settle();
        };
        if result.is_ok() {
            assert!(self.sent.last.is_none() || self.machine.is_forked());
            if self.machine.is_forked() {
                self.sent.close_of_fork = Some(frame);
            } else {
                self.sent.last = Some(Last::Close(Some(frame)));
            }
        } else {
            assert!(self.machine.send().is_closed());
            assert_eq!(result, Err(SendError::Closed));
        }
        self.settle();
    }

    /// Lets the transport take up to `most` bytes from up to `pieces` pieces of the output.
    pub fn write(&mut self, most: usize, pieces: usize, now: Timestamp, tells: bool) -> Vec<u8> {
        // It must not grow where the machine's memory is counted: answers may be added.
        let mut taken = Vec::with_capacity(self.machine.wire().buffered() + (4 << 10));
        tallied(|| {
            let output = match &mut self.machine {
                Machine::Whole(connection) => connection.output(),
                machine => machine.wire().output(),
            };
            let before = output.remaining();
            if pieces == 0 {
                taken.extend_from_slice(output.chunk());
            } else {
                let mut slices = [IoSlice::new(&[]); 16];
                let count = output.chunks_vectored(&mut slices[..pieces]);
                slices[..count].iter().for_each(|slice| taken.extend_from_slice(slice));
                assert!(count == pieces || taken.len() == before, "not all of the output");
            }
            assert_eq!(taken.is_empty(), before == 0);
            assert!(taken.len() <= before);
            taken.truncate(most);
            output.advance(taken.len());
            assert_eq!(output.remaining(), before - taken.len());
        });
        self.settle();
        if tells && !taken.is_empty() {
            tallied(|| match &mut self.machine {
                Machine::Whole(connection) => connection.handle_written(now),
                machine => machine.receive().handle_written(now),
            });
            self.deadlines.alive(now);
        }
        self.sent.write(&taken);
        taken
    }

    // ---- the halves ----

    /// Splits it, if it is whole; if it is not, has a fork write from there on.
    pub fn split(&mut self, forks: bool) {
        let machine = std::mem::replace(&mut self.machine, Machine::Moved);
        self.machine = tallied(|| match machine {
            Machine::Whole(connection) => {
                let (receive, send) = connection.split();
                Machine::Apart(receive, send, None)
            }
            Machine::Apart(receive, mut send, None) if forks => {
                let mut wire = send.fork();
                assert_eq!(wire.append(&mut send), Ok(()));
                assert_eq!(wire.is_closed(), send.is_closed());
                self.sent.hand_over(false);
                Machine::Apart(receive, send, Some(wire))
            }
            machine => machine,
        });
    }

    /// Hands over what the sending half has queued, where there is a fork.
    pub fn append(&mut self) {
        let Machine::Apart(_, send, Some(wire)) = &mut self.machine else { return };
        let (was_closed, waits) = (wire.is_closed(), send.buffered() > 0);
        let result = tallied(|| wire.append(send));
        assert_eq!(send.buffered(), 0);
        assert_eq!(result.is_err(), was_closed && waits);
        self.sent.hand_over(result.is_err());
        if !was_closed && wire.is_closed() {
            let frame = self.sent.close_of_fork.take().expect("a Close frame for no reason");
            self.sent.last = Some(Last::Close(Some(frame)));
        }
    }

    /// Carries what the halves tell each other.
    pub fn carry(&mut self) {
        if let Machine::Apart(receive, send, wire) = &mut self.machine {
            let wire = wire.as_mut().unwrap_or(send);
            tallied(|| {
                while let Some(control) = receive.poll_control() {
                    wire.handle_control(control);
                }
            });
            assert!(!receive.has_control());
        }
        self.settle();
        if self.sent.last.is_some() {
            self.tell_of_close();
        }
    }

    fn tell_of_close(&mut self) {
        tallied(|| self.machine.receive().handle_close_sent());
        self.knows_of_close = true;
        self.began.get_or_insert(Endpoint::Local);
        self.deadlines.closing_begins();
    }

    /// Learns from the machine that it sends nothing more, which must be for a reason.
    pub fn settle(&mut self) {
        if self.machine.wire().is_closed() && self.sent.last.is_none() {
            self.sent.last = Some(self.order.expect("a Close frame for no reason"));
        }
        let is_whole = matches!(self.machine, Machine::Whole(_));
        if is_whole && self.sent.last.is_some() && !self.knows_of_close {
            self.tell_of_close();
        }
    }

    // ---- the receiving side ----

    /// Gives it bytes, as many as it has room for, and says how many.
    pub fn read(&mut self, bytes: &[u8], by_half: bool, through_read_buffer: bool) -> usize {
        let len = tallied(|| match (&mut self.machine, through_read_buffer) {
            (Machine::Whole(connection), true) if !by_half => put(connection.read_buffer(), bytes),
            (Machine::Whole(connection), false) if !by_half => put(connection.input(), bytes),
            (machine, true) => put(machine.receive().read_buffer(), bytes),
            (machine, false) => put(machine.receive().input(), bytes),
        });
        self.received += len as u64;
        len
    }

    pub fn handle_input(&mut self, now: Timestamp, by_half: bool) {
        tallied(|| match &mut self.machine {
            Machine::Whole(connection) if !by_half => connection.handle_input(now),
            machine => machine.receive().handle_input(now),
        });
        // The closing handshake begins to count first, but that is the same.
        let due = self.deadlines.told_of_input(now);
        self.due(due);
    }

    pub fn handle_timeout(&mut self, now: Timestamp, by_half: bool) {
        tallied(|| match &mut self.machine {
            Machine::Whole(connection) if !by_half => connection.handle_timeout(now),
            machine => machine.receive().handle_timeout(now),
        });
        let due = self.deadlines.told(now);
        self.due(due);
    }

    fn due(&mut self, due: Option<Due>) {
        let timed_out = |timer| Some(Cut::TimedOut(timer));
        match due {
            None => {}
            Some(Due::Ping) => self.sent.owe_keepalive(),
            Some(Due::Idle) => {
                self.order.get_or_insert(Last::Close(Some(CloseFrame::from_code(self.idle_close))));
                self.began.get_or_insert(Endpoint::Local);
            }
            Some(Due::PongMissing) => self.cut = self.cut.or(timed_out(Timer::Pong)),
            Some(Due::ClosingOver) => self.cut = self.cut.or(timed_out(Timer::Closing)),
        }
        self.settle();
    }

    pub fn handle_eof(&mut self) {
        tallied(|| match &mut self.machine {
            Machine::Whole(connection) => connection.handle_eof(),
            machine => machine.receive().handle_eof(),
        });
        self.cut = Some(Cut::Eof);
    }

    /// Finds the next event; nothing must change by that but the end.
    pub fn advance(&mut self, peer: &mut Sent, by_half: bool) {
        let advance = |machine: &mut Machine| match machine {
            Machine::Whole(connection) if !by_half => connection.advance(),
            machine => machine.receive().advance(),
        };
        let advanced = tallied(|| {
            let advanced = advance(&mut self.machine);
            assert_eq!(advance(&mut self.machine), advanced);
            advanced
        });
        self.notice_end(peer);
        match advanced {
            Ok(true) => assert!(self.is_ended() || self.has_something(peer)),
            Ok(false) => self.assert_starved(peer),
            Err(error) => assert_eq!(self.end, Some(End::Failed(error))),
        }
    }

    /// Takes the next event, which must be what the peer has sent. If it is relayed, that is to a third endpoint,
    /// if there is one.
    pub fn take(
        &mut self,
        peer: &mut Sent,
        taking: Taking,
        mut third: Option<&mut Side>,
        by_half: bool,
    ) -> Seen {
        let is_text = peer.next_body().is_some_and(|body| body.is_text);
        let is_part = taking == Taking::Relayed;
        let sender = third.as_deref_mut().unwrap_or(self);
        let allowed = sender.sent.allows(is_text, is_part);
        let allowed = sender.may_send(allowed);
        // It may be carried out before the event is lent, or after.
        let closes = sender.order.is_some();

        let passed = self.passed;
        let look = |event: &Event<'_>| look(event, peer, passed, taking);
        let (mut kept, mut result) = (None, Ok(()));
        let mut finish = |event: Event<'_>, send: Option<&mut SendHalf>| {
            let seen = look(&event);
            match (taking, send) {
                (Taking::Relayed | Taking::Answered, Some(send)) => result = answer(event, send, taking),
                (Taking::Owned | Taking::Kept, _) => {
                    kept = own(event, seen, peer, passed).filter(|_| taking == Taking::Kept);
                }
                _ => {}
            }
            seen
        };
        let polled = tallied(|| match (&mut self.machine, third.as_deref_mut()) {
            (Machine::Whole(connection), None) if !by_half && is_answer(taking) => {
                let polled = connection.poll_with_send();
                polled.map(|event| event.map(|(event, send)| finish(event, Some(send))))
            }
            (Machine::Whole(connection), third) if !by_half => {
                let send = third.map(|third| third.machine.send());
                connection.poll_event().map(|event| event.map(|event| finish(event, send)))
            }
            (machine, third) => {
                let (receive, send) = match machine {
                    Machine::Whole(connection) => connection.halves(),
                    Machine::Apart(receive, send, _) => (receive, send),
                    Machine::Moved => unreachable!("it was put back"),
                };
                let send = third.map_or(send, |third| third.machine.send());
                receive.poll_event().map(|event| event.map(|event| finish(event, Some(send))))
            }
        });
        let seen = match polled {
            Ok(seen) => seen.unwrap_or(Seen::Nothing),
            Err(error) => Seen::Failed(error),
        };
        self.kept.extend(kept);
        if let Seen::Data { is_text, len, is_final } = seen
            && is_answer(taking)
        {
            assert!(result == allowed || (closes && result == Err(SendError::Closed)), "{result:?}");
            if result.is_ok() {
                let bytes = &peer.next_body().expect("it was looked at").bytes[passed..][..len];
                let sent = third.map_or(&mut self.sent, |third| &mut third.sent);
                sent.data(is_text, bytes, is_final || taking == Taking::Answered, 0);
            }
        }
        self.note(seen, peer);
        seen
    }

    /// Moves the model on.
    fn note(&mut self, seen: Seen, peer: &mut Sent) {
        if matches!(seen, Seen::Nothing | Seen::Failed(_)) {
            self.notice_end(peer);
            match seen {
                Seen::Failed(error) => assert_eq!(self.end, Some(End::Failed(error)), "another error"),
                _ if self.is_ended() => assert!(!self.has_failed() || self.end == Some(End::HungUp)),
                _ => self.assert_starved(peer),
            }
            return;
        }
        assert!(self.end.is_none(), "an event after the end");
        if let Seen::Data { len, is_final, .. } = seen {
            self.deadlines.data_was_handed_out();
            let body = peer.next_body().expect("it was looked at");
            self.passed += len;
            if !is_final {
                assert!(self.is_in_chunks, "a part of a message");
                assert!(!body.is_text || is_boundary(&body.bytes, self.passed));
                return;
            }
            let body = peer.body_is_done();
            assert!(body.is_whole && self.passed == body.bytes.len(), "a message was cut off");
            self.passed = 0;
        }
        let next = peer.on_wire.pop_front().expect("an event of nothing that was sent");
        assert!(next.end <= self.received, "an event of what has not arrived");
        self.seen = next.end;
        match (seen, &next.item) {
            (Seen::Data { .. }, Item::Data) | (Seen::Pong, Item::Pong(_)) => {}
            (Seen::Ping, Item::Ping(payload)) => {
                if self.sent.last.is_none() {
                    self.sent.owe_pong(payload, true);
                }
            }
            (seen, item) => panic!("{seen:?}, not {item:?}"),
        }
    }

    /// Whether there is something to see by the model.
    fn has_something(&self, peer: &Sent) -> bool {
        let is_whole = peer.on_wire.front().is_some_and(|next| next.end <= self.received);
        let body = peer.next_body();
        is_whole || (self.is_in_chunks && body.is_some_and(|body| body.bytes.len() > self.passed))
    }

    /// All that has arrived was seen.
    fn assert_starved(&mut self, peer: &Sent) {
        assert!(self.cut.is_none(), "the end was swallowed");
        if let Some(next) = peer.on_wire.front().filter(|next| next.end <= self.received) {
            panic!("this was swallowed: {:?}", next.item);
        }
        let missing = match &mut self.machine {
            Machine::Whole(connection) => connection.missing(),
            machine => machine.receive().missing(),
        };
        assert_eq!(missing, peer.missing(self.received));
        if self.is_in_chunks
            && let Some(received) = peer.received_of_body(self.received)
        {
            let body = peer.next_body().map_or(&[][..], |body| &body.bytes);
            let rest = &body[self.passed..received as usize];
            let is_text = peer.next_body().is_some_and(|body| body.is_text);
            assert!(rest.is_empty() || (is_text && rest.len() < 4 && std::str::from_utf8(rest).is_err()));
        }
    }

    /// Learns from the machine that the conversation is over, which must be for a reason.
    fn notice_end(&mut self, peer: &mut Sent) {
        let is_ended = self.machine.receive().is_ended();
        assert!(is_ended || self.end.is_none());
        if is_ended && self.end.is_none() {
            let end = match peer.on_wire.front().filter(|next| next.end <= self.received) {
                Some(next) => {
                    let Item::Close(body) = &next.item else { panic!("{:?} was swallowed", next.item) };
                    let frame = CloseFrame::parse(body).expect("it is legal");
                    peer.on_wire.pop_front();
                    End::Closed(frame)
                }
                None => match self.cut.expect("an end for no reason") {
                    Cut::Eof if self.began.is_some() => End::HungUp,
                    Cut::Eof => End::Failed(Error::UnexpectedEof),
                    Cut::TimedOut(timer) => End::Failed(Error::TimedOut(timer)),
                },
            };
            let (order, began) = match end {
                End::Closed(frame) => {
                    let code = frame.map(|frame| CloseFrame::from_code(frame.code()));
                    (Last::Close(code), Endpoint::Peer)
                }
                End::HungUp | End::Failed(Error::UnexpectedEof) => (Last::Silence, Endpoint::Peer),
                End::Failed(Error::TimedOut(Timer::Pong)) => {
                    (Last::Close(Some(CloseFrame::from_code(CloseCode::POLICY))), Endpoint::Local)
                }
                End::Failed(_) => (Last::Silence, Endpoint::Local),
            };
            self.end = Some(end);
            self.order.get_or_insert(order);
            self.began.get_or_insert(began);
            self.deadlines.closing_begins();
        }
        self.settle();
    }

    // ---- memory ----

    pub fn borrow_buffers(&mut self, spare: &mut Spare) {
        tallied(|| match &mut self.machine {
            Machine::Whole(connection) => connection.borrow_buffers(spare),
            machine => {
                machine.receive().borrow_buffer(spare);
                machine.send().borrow_buffer(spare);
                machine.wire().borrow_buffer(spare);
            }
        });
    }

    /// Gives back what is not needed, to others or to the allocator.
    pub fn rest(&mut self, spare: Option<&mut Spare>) {
        tallied(|| match (&mut self.machine, spare) {
            (Machine::Whole(connection), None) => connection.handle_would_block(),
            (Machine::Whole(connection), Some(spare)) => connection.return_buffers(spare),
            (machine, None) => {
                machine.receive().handle_would_block();
                machine.send().handle_would_block();
                machine.wire().handle_would_block();
            }
            (machine, Some(spare)) => {
                machine.receive().return_buffer(spare);
                machine.send().return_buffer(spare);
                machine.wire().return_buffer(spare);
            }
        });
    }

    /// How many bytes wait to be written.
    pub fn buffered(&mut self) -> usize {
        let buffered = match &mut self.machine {
            Machine::Apart(_, send, Some(wire)) => send.buffered() + wire.buffered(),
            machine => machine.send().buffered(),
        };
        buffered
    }

    // ---- what holds at any time ----

    pub fn check(&mut self) {
        let (deadline, high_water) = (self.deadlines.next(), self.high_water);
        let is_over = self.deadlines.closing_is_over();
        let overdue = match self.cut {
            Some(Cut::TimedOut(timer)) => Some(Error::TimedOut(timer)),
            _ => is_over.then_some(Error::TimedOut(Timer::Closing)),
        };
        let is_finished = self.is_ended() && (self.is_cut_off() || is_over);
        let ends_transport = match self.end {
            None => false,
            Some(End::Closed(_)) => !self.is_client || self.is_cut_off(),
            Some(End::HungUp | End::Failed(_)) => true,
        };
        let is_cut_off = self.is_cut_off();
        let is_ended = self.is_ended();

        let receive = self.machine.receive();
        assert_eq!(receive.poll_timeout().map(nanos), deadline);
        assert_eq!((receive.is_ended(), receive.is_finished()), (is_ended, is_finished));
        assert_eq!((receive.ends_transport(), receive.is_out_of_time()), (ends_transport, is_over));
        assert_eq!((receive.wants_input(), receive.overdue()), (!is_cut_off, overdue));
        assert!((1..=512 << 10).contains(&receive.read_size()));
        let send = self.machine.send();
        assert_eq!(send.is_above_high_water(), send.buffered() > high_water);

        let Machine::Whole(connection) = &self.machine else { return };
        let buffered = connection.buffered();
        assert_eq!(connection.poll_timeout().map(nanos), deadline);
        assert_eq!(connection.is_ended(), is_ended);
        assert_eq!(connection.is_finished(), is_finished && (buffered == 0 || is_over));
        assert_eq!(connection.wants_shutdown(), ends_transport && buffered == 0);
        assert_eq!(connection.wants_input(), !is_cut_off && buffered <= high_water);
        assert_eq!(connection.overdue(), overdue);
        let Some(report) = connection.closed() else { return assert!(!is_ended) };
        let end = self.end.expect("a report before the end");
        assert_eq!(Some(report.began), self.began);
        let (received, is_clean) = match end {
            End::Closed(frame) => (frame, true),
            End::HungUp | End::Failed(_) => (None, false),
        };
        let sent = match self.sent.last {
            Some(Last::Close(frame)) => frame,
            _ => None,
        };
        assert_eq!((report.received, report.clean), (received, is_clean));
        assert_eq!(report.sent, sent);
        let code = received.map_or(if is_clean { 1005 } else { 1006 }, |frame| frame.code().get());
        assert_eq!(report.code(), code);
    }
}

/// How a message is compressed for many.
fn prepared_with() -> Deflate {
    let mut deflate = Deflate::for_many_connections();
    deflate.send_takeover = false;
    deflate
}

fn put(mut buffer: impl BufMut, bytes: &[u8]) -> usize {
    assert!(buffer.has_remaining_mut(), "a read always has room");
    let len = bytes.len().min(buffer.remaining_mut());
    buffer.put_slice(&bytes[..len]);
    len
}

/// Holds an event against what the peer has sent. Nothing is allocated here.
fn look(event: &Event<'_>, peer: &Sent, passed: usize, taking: Taking) -> Seen {
    let same = |payload: &[u8]| {
        let next = peer.on_wire.front().map(|next| &next.item);
        assert!(matches!(next, Some(Item::Ping(sent) | Item::Pong(sent)) if sent == payload));
    };
    let (is_text, bytes, is_final) = match event {
        Event::Text(text) => (true, text.as_bytes(), text.is_final()),
        Event::Binary(data) => (false, &**data, data.is_final()),
        Event::Ping(payload) => {
            same(payload);
            return Seen::Ping;
        }
        Event::Pong(payload) => {
            same(payload);
            return Seen::Pong;
        }
        event => panic!("unknown: {event:?}"),
    };
    let body = peer.next_body().expect("a message that nobody sent");
    assert_eq!(body.is_text, is_text);
    assert!(is_final || !bytes.is_empty(), "a chunk of nothing");
    assert!(taking == Taking::Left || body.bytes[passed..].starts_with(bytes), "other bytes than were sent");
    Seen::Data { is_text, len: bytes.len(), is_final }
}

fn is_answer(taking: Taking) -> bool {
    matches!(taking, Taking::Relayed | Taking::Answered)
}

fn answer(event: Event<'_>, send: &mut SendHalf, taking: Taking) -> Result<(), SendError> {
    match (event, taking) {
        (event, Taking::Relayed) => send.relay(event),
        (Event::Text(text), _) => send.text(&text),
        (Event::Binary(data), _) => send.binary(&data),
        _ => Ok(()),
    }
}

fn own(event: Event<'_>, seen: Seen, peer: &Sent, passed: usize) -> Option<Message> {
    let message = event.into_message();
    if let (Some(message), Seen::Data { len, .. }) = (&message, seen) {
        let body = peer.next_body().expect("it was seen");
        assert!(message.as_bytes() == &body.bytes[passed..][..len], "other bytes when owned");
    }
    message
}

/// Whether a character begins here.
fn is_boundary(text: &[u8], at: usize) -> bool {
    text.get(at).is_none_or(|byte| byte & 0xc0 != 0x80)
}
