//! Both implementations talk to each other: what one sends, the other one must see as it was sent.

use sansock::{CloseCode, Data, Prepared, SendError};
use tungstenite::Message;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data as DataCode, OpCode};

use crate::frames::{self, Limits};
use crate::input::Input;
use crate::other::{End, Other, Seen, close_frame};
use crate::{Ours, Setup};

pub struct Talk {
    is_client: bool,
    ours: Ours,
    theirs: Other,
    /// What each should see, and what it has seen: first this crate.
    due: (Vec<Seen>, Vec<Seen>),
    seen: (Vec<Seen>, Vec<Seen>),
    /// The fragmented messages that are open.
    open: (Option<Seen>, Option<Seen>),
    is_over: bool,
    /// What each has written.
    written: (Vec<u8>, Vec<u8>),
}

impl Talk {
    pub fn new(setup: &Setup) -> Self {
        let limits = Limits { message: 16 << 20, frame: 16 << 20 };
        let setup = Setup { limits, ..*setup };
        let (ours, theirs) = (setup.ours(), setup.theirs(!setup.is_client));
        Talk {
            is_client: setup.is_client,
            ours,
            theirs,
            due: Default::default(),
            seen: Default::default(),
            open: Default::default(),
            is_over: false,
            written: Default::default(),
        }
    }

    pub fn run(mut self, input: &mut Input<'_>) {
        while !input.0.is_empty() && !self.is_over {
            self.command(input);
            self.carry();
        }
        if !self.is_over {
            self.close_of_ours(1000, "bye");
            self.carry();
        }
        assert_eq!(self.seen, self.due);
        let limits = Limits { message: u64::MAX, frame: u64::MAX };
        let is_client = self.is_client;
        assert_eq!(frames::judge(&self.written.0, is_client, limits).faults, []);
        assert_eq!(frames::judge(&self.written.1, !is_client, limits).faults, []);
    }

    /// A command: the lowest four bits are its kind; 16 it is the other one's; 32 the payload is repeated 257
    /// times; 64 it is text; 128 it is longer by one. Then the length, and that many bytes.
    fn command(&mut self, input: &mut Input<'_>) {
        let (byte, len) = (input.byte(), input.byte());
        // 255 times that is the most that a length of 16 bits can say.
        let times = if byte & 32 != 0 { 257 } else { 1 };
        let is_text = byte & 64 != 0;
        let mut bytes = input.take(len.into()).repeat(times);
        if byte & 128 != 0 {
            bytes.push(b'x');
        }
        if is_text {
            bytes = String::from_utf8_lossy(&bytes).into_owned().into_bytes();
        }
        let short = &bytes[..bytes.len().min(125)];
        let kind = byte & 15;
        let reason = String::from_utf8_lossy(short);
        let reason = &reason[..reason.floor_char_boundary(123)];
        let code = [1000, 1001, 1011, 3000, 4999][usize::from(len % 5)];
        match (kind, byte & 16 != 0) {
            (12 | 13, false) => self.ping_of_ours(short, kind == 12),
            (12 | 13, true) => self.ping_of_theirs(short, kind == 12),
            (14, false) => self.close_of_ours(code, reason),
            (14, true) => self.close_of_theirs(code, reason),
            (_, false) => self.message_of_ours(kind, is_text, bytes),
            (_, true) => self.message_of_theirs(kind, is_text, bytes),
        }
    }

    fn message_of_ours(&mut self, kind: u8, is_text: bool, bytes: Vec<u8>) {
        let text = || std::str::from_utf8(&bytes).expect("it was made so");
        let data = || if is_text { Data::Text(text()) } else { Data::Binary(&bytes) };
        let owned = || match is_text {
            true => sansock::Message::from(text()),
            false => sansock::Message::from(bytes.clone()),
        };
        let Ours { connection, output, size, .. } = &mut self.ours;
        let result = match kind {
            0..=2 => connection.send(owned()),
            3 | 4 => connection.prepared(&Prepared::new(owned())),
            5 | 6 => connection.offer(data(), |head, payload| {
                let frame = [head, payload].concat();
                let taken = frame.len().min(*size);
                output.extend_from_slice(&frame[..taken]);
                taken
            }),
            7 | 8 => connection.last_fragment(data()),
            9..=11 => connection.fragment(data()),
            _ if is_text => connection.text(text()),
            _ => connection.binary(&bytes),
        };
        let is_part = (7..12).contains(&kind);
        let is_other = |open: &Seen| matches!(open, Seen::Text(_)) != is_text;
        let expected = match &self.open.0 {
            Some(_) if !is_part => Err(SendError::MessageOpen),
            Some(open) if is_other(open) => Err(SendError::KindMismatch),
            _ => Ok(()),
        };
        assert_eq!(result, expected);
        if result.is_ok() {
            append(&mut self.open.0, &mut self.due.1, is_text, bytes, !(9..12).contains(&kind));
        }
    }

    fn message_of_theirs(&mut self, kind: u8, is_text: bool, bytes: Vec<u8>) {
        let is_part = (7..12).contains(&kind);
        let is_last = !(9..12).contains(&kind);
        match &self.open.1 {
            // It leaves that to who calls it.
            Some(open) if !is_part || matches!(open, Seen::Text(_)) != is_text => return,
            _ => {}
        }
        let message = if is_part {
            let code = match (&self.open.1, is_text) {
                (Some(_), _) => DataCode::Continue,
                (None, true) => DataCode::Text,
                (None, false) => DataCode::Binary,
            };
            Message::Frame(Frame::message(bytes.clone(), OpCode::Data(code), is_last))
        } else if is_text {
            Message::text(String::from_utf8(bytes.clone()).expect("it was made so"))
        } else {
            Message::binary(bytes.clone())
        };
        self.theirs.socket.send(message).expect("it is open");
        append(&mut self.open.1, &mut self.due.0, is_text, bytes, is_last);
    }

    fn ping_of_ours(&mut self, payload: &[u8], is_ping: bool) {
        if is_ping {
            self.ours.connection.ping(payload).expect("it is open");
            self.due.1.push(Seen::Ping(payload.to_vec()));
            self.due.0.push(Seen::Pong(payload.to_vec()));
        } else {
            self.ours.connection.pong(payload).expect("it is open");
            self.due.1.push(Seen::Pong(payload.to_vec()));
        }
    }

    fn ping_of_theirs(&mut self, payload: &[u8], is_ping: bool) {
        let bytes = payload.to_vec();
        if is_ping {
            self.theirs.socket.send(Message::Ping(bytes.clone().into())).expect("it is open");
            self.due.0.push(Seen::Ping(bytes.clone()));
            self.due.1.push(Seen::Pong(bytes));
        } else {
            self.theirs.socket.send(Message::Pong(bytes.clone().into())).expect("it is open");
            self.due.0.push(Seen::Pong(bytes));
        }
    }

    fn close_of_ours(&mut self, code: u16, reason: &str) {
        let close = CloseCode::new(code).expect("it may be sent");
        self.ours.connection.close(close, reason).expect("it is open");
        let said = Seen::Close(Some((code, reason.to_owned())));
        // Its answer has the reason too.
        self.due.0.push(said.clone());
        self.due.1.push(said);
        self.is_over = true;
    }

    fn close_of_theirs(&mut self, code: u16, reason: &str) {
        self.theirs.socket.close(Some(close_frame(code, reason))).expect("it is open");
        self.due.0.push(Seen::Close(Some((code, reason.to_owned()))));
        self.due.1.push(Seen::Close(Some((code, String::new()))));
        self.is_over = true;
    }

    /// Carries bytes both ways until none are left.
    fn carry(&mut self) {
        loop {
            self.ours.write();
            let to_theirs = std::mem::take(&mut self.ours.output);
            let to_ours = std::mem::take(&mut self.theirs.pipe().output);
            if to_theirs.is_empty() && to_ours.is_empty() {
                break;
            }
            self.written.0.extend(&to_theirs);
            self.written.1.extend(&to_ours);
            self.theirs.pipe().input.extend(to_theirs);
            let end = self.theirs.read_all(&mut self.seen.1);
            assert!(end == End::Starved || (self.is_over && end == End::Closed), "theirs: {end:?}");
            let end = self.ours.read(&to_ours, &mut self.seen.0);
            assert!(end == End::Starved || (self.is_over && end == End::Closed), "ours: {end:?}");
        }
    }
}

/// Adds a part to the message that is open, and to what is due when it is whole.
fn append(open: &mut Option<Seen>, due: &mut Vec<Seen>, is_text: bool, bytes: Vec<u8>, is_last: bool) {
    let message =
        open.get_or_insert_with(|| if is_text { Seen::Text(Vec::new()) } else { Seen::Binary(Vec::new()) });
    let (Seen::Text(so_far) | Seen::Binary(so_far)) = message else { unreachable!("it is data") };
    so_far.extend(bytes);
    if is_last {
        due.extend(open.take());
    }
}
