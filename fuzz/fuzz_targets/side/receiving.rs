//! Bytes and times that are told, and the events that must come of them.

use bytes::BufMut;
use sansock::{
    CloseCode, CloseFrame, Endpoint, Error, Event, Message, SendError, SendHalf, Timer, Timestamp,
};

use super::{Cut, End, Machine, Side};
use crate::deadlines::Due;
use crate::sent::{Item, Last, Sent};
use crate::tally::tallied;

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

impl Side {
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

    /// Takes the next event, which must be what the peer has sent. If it is relayed, that is to a third
    /// endpoint, if there is one.
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
            (Seen::Ping, Item::Ping(payload)) => self.sent.owe_pong(payload, true),
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
        self.deadlines.starved();
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
