//! What a connection has said.

#![allow(dead_code, reason = "shared by targets that use parts of it")]

use sansock::{CloseReport, Error, Event};

use crate::counted::{Meter, aside};

#[derive(Debug, Default)]
pub struct Outcome {
    /// Chunks are joined.
    pub seen: Vec<Seen>,
    /// The chunks of a message whose end has not come.
    pub open: Option<Seen>,
    pub error: Option<Error>,
    pub is_ended: bool,
    pub output: Vec<u8>,
    pub closed: Option<CloseReport>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Data { is_text: bool, bytes: Vec<u8> },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

impl Outcome {
    /// Notes an event; an owned one is dropped right away.
    pub fn note(&mut self, event: Event<'_>, is_owned: bool, limit: u64, meter: &mut Meter) {
        let (is_text, is_final) = match &event {
            Event::Text(text) => (true, text.is_final()),
            Event::Binary(data) => (false, data.is_final()),
            Event::Ping(payload) => return self.control(Seen::Ping(payload.to_vec())),
            Event::Pong(payload) => return self.control(Seen::Pong(payload.to_vec())),
            event => panic!("unknown: {event:?}"),
        };
        let mut part = Vec::new();
        match event {
            event if is_owned => meter.run(|| {
                let message = event.into_message().expect("it is data");
                aside(|| part.extend_from_slice(message.as_bytes()));
                drop(message);
            }),
            Event::Text(text) => part.extend_from_slice(text.as_bytes()),
            Event::Binary(data) => part.extend_from_slice(&data),
            _ => unreachable!("it is data"),
        }
        assert!(!is_text || std::str::from_utf8(&part).is_ok(), "text that is none: {part:02x?}");
        let is_first = self.open.is_none();
        let open = self.open.get_or_insert_with(|| Seen::Data { is_text, bytes: Vec::new() });
        if let Seen::Data { is_text: was_text, bytes } = open {
            assert_eq!(*was_text, is_text, "a message changes its type");
            assert!(is_first || is_final || !part.is_empty(), "a chunk of nothing");
            bytes.extend(part);
            assert!(bytes.len() as u64 <= limit, "{} bytes of {limit}", bytes.len());
        }
        if is_final {
            self.seen.extend(self.open.take());
        }
    }

    fn control(&mut self, seen: Seen) {
        if let Seen::Ping(payload) | Seen::Pong(payload) = &seen {
            assert!(payload.len() <= 125);
        }
        self.seen.push(seen);
    }

    /// The other outcome, of the same bytes, must say the same. Of a message that fails, more or less may
    /// have been handed out in chunks.
    pub fn assert_same(&self, other: &Outcome) {
        assert!(self.seen == other.seen, "{:?}, and then {:?}", self.seen, other.seen);
        assert_eq!((self.error, self.is_ended), (other.error, other.is_ended));
        assert!(self.output == other.output, "{:02x?}, and then {:02x?}", self.output, other.output);
        assert_eq!(self.closed, other.closed);
        if let (Some(one), Some(two)) = (&self.open, &other.open) {
            let (Seen::Data { is_text, bytes }, Seen::Data { is_text: was_text, bytes: others }) = (one, two)
            else {
                panic!("no control frame is open");
            };
            assert_eq!(is_text, was_text);
            assert!(bytes.starts_with(others) || others.starts_with(bytes), "{bytes:?}, and then {others:?}");
        }
    }
}
