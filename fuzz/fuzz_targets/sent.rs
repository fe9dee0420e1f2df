//! What one endpoint was told to send, and what it has sent: the bytes it has written, taken apart by a
//! parser of its own and held against the commands.

use std::collections::VecDeque;

use sansock::{CloseFrame, SendError};

/// A frame, or a message of several, that the peer is to see.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// The content is that of the next of the [`Body`]s.
    Data,
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Vec<u8>),
}

/// Something that was written, and where in the stream it ends.
pub struct OnWire {
    pub item: Item,
    pub end: u64,
}

/// A data message.
pub struct Body {
    pub is_text: bool,
    pub bytes: Vec<u8>,
    /// Its last fragment was sent.
    pub is_whole: bool,
    /// It must not be compressed.
    is_plain: bool,
}

/// A command that is not on the wire yet.
struct Command {
    item: Item,
    /// How much memory the application gave away for it.
    given: usize,
}

/// A frame of data on the wire.
struct Span {
    payload_at: u64,
    end: u64,
    body: u64,
    is_compressed: bool,
}

#[derive(Clone, Copy)]
struct Head {
    first: u8,
    size: usize,
    len: usize,
    key: Option<[u8; 4]>,
}

/// The end of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    Close(Option<CloseFrame>),
    /// There is nobody to send a Close frame to.
    Silence,
}

pub struct Sent {
    is_client: bool,
    may_compress: bool,
    commands: VecDeque<Command>,
    bodies: VecDeque<Body>,
    /// How many bodies the peer is done with.
    done: u64,
    uncompressed: bool,
    pongs: Pongs,
    /// How many keepalive pings may be sent, and whether one must be.
    keepalives: (usize, bool),
    /// How it ended, or will with what is queued.
    pub last: Option<Last>,
    /// What the Close frame says that waits in the sending half, where a fork writes.
    pub close_of_fork: Option<CloseFrame>,
    /// How many commands the fork knows of.
    handed_over: usize,

    /// What the peer has yet to see.
    pub on_wire: VecDeque<OnWire>,
    spans: VecDeque<Span>,
    /// How much was written.
    pub written: u64,
    /// The frame under way.
    bytes: Vec<u8>,
    head: Option<Head>,
    /// The message under way: its number, whether it has begun, whether it is compressed, and how much of it
    /// went by.
    body: u64,
    has_begun: bool,
    is_compressed: bool,
    passed: usize,
    has_closed: bool,
}

/// The pongs that are owed, the oldest first, and whether each may be left out.
#[derive(Default)]
struct Pongs {
    owed: VecDeque<(Vec<u8>, bool)>,
    /// How many bytes of them and of keepalive pings there were since none was owed.
    burst: usize,
}

/// Where more than this waits of what nobody asked to send, pongs and keepalive pings may be left out.
const MOST_UNASKED: usize = 1024;

impl Pongs {
    /// RFC 6455 §5.5.3 allows to answer only the newest of several pings. It is done where many wait.
    fn owe(&mut self, payload: &[u8], is_slow: bool) {
        self.burst += 14 + payload.len();
        self.owed.push_back((payload.to_vec(), false));
        if self.burst > MOST_UNASKED || (is_slow && self.owed.len() > 8) {
            self.owed.iter_mut().for_each(|(_, may_lack)| *may_lack = true);
        }
    }

    fn pay(&mut self, payload: &[u8]) {
        loop {
            let (owed, may_lack) = self.owed.pop_front().expect("a pong that no ping asked for");
            if owed == payload {
                break;
            }
            assert!(may_lack, "a ping was not answered: {owed:?}");
        }
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        if self.owed.is_empty() {
            self.burst = 0;
        }
    }
}

impl Sent {
    pub fn new(is_client: bool, may_compress: bool) -> Self {
        Sent {
            is_client,
            may_compress,
            commands: VecDeque::new(),
            bodies: VecDeque::new(),
            done: 0,
            uncompressed: false,
            pongs: Pongs::default(),
            keepalives: (0, false),
            last: None,
            close_of_fork: None,
            handed_over: 0,
            on_wire: VecDeque::new(),
            spans: VecDeque::new(),
            written: 0,
            bytes: Vec::new(),
            head: None,
            body: 0,
            has_begun: false,
            is_compressed: false,
            passed: 0,
            has_closed: false,
        }
    }

    /// What a command for a whole message says, or for a part of one, if no Close frame was sent.
    pub fn allows(&self, is_text: bool, is_part: bool) -> Result<(), SendError> {
        match self.bodies.back().filter(|body| !body.is_whole) {
            None => Ok(()),
            Some(_) if !is_part => Err(SendError::MessageOpen),
            Some(open) if open.is_text != is_text => Err(SendError::KindMismatch),
            Some(_) => Ok(()),
        }
    }

    pub fn uncompressed(&mut self) {
        self.uncompressed = true;
    }

    /// A message was given, or a part of one.
    pub fn data(&mut self, is_text: bool, bytes: &[u8], is_final: bool, given: usize) {
        match self.bodies.back_mut().filter(|body| !body.is_whole) {
            Some(open) => {
                open.bytes.extend_from_slice(bytes);
                open.is_whole = is_final;
            }
            None => self.bodies.push_back(Body {
                is_text,
                bytes: bytes.to_vec(),
                is_whole: is_final,
                is_plain: std::mem::take(&mut self.uncompressed),
            }),
        }
        if is_final {
            self.commands.push_back(Command { item: Item::Data, given });
        }
    }

    pub fn control(&mut self, item: Item) {
        self.commands.push_back(Command { item, given: 0 });
    }

    /// A ping was seen; `is_slow` if its answer may wait for the driver.
    pub fn owe_pong(&mut self, payload: &[u8], is_slow: bool) {
        self.pongs.owe(payload, is_slow);
        self.keepalives.1 &= self.pongs.burst <= MOST_UNASKED;
    }

    pub fn owe_keepalive(&mut self) {
        self.keepalives = (self.keepalives.0 + 1, self.pongs.burst <= MOST_UNASKED);
        self.pongs.burst += 14;
    }

    /// What waits in the sending half goes to the fork, or nowhere.
    pub fn hand_over(&mut self, is_refused: bool) {
        if is_refused {
            self.commands.truncate(self.handed_over);
        }
        self.handed_over = self.commands.len();
    }

    /// How much memory the application gave away for what waits.
    pub fn given(&self) -> usize {
        self.commands.iter().map(|command| command.given).sum()
    }

    /// The message that the peer sees next, if it has begun.
    pub fn next_body(&self) -> Option<&Body> {
        self.bodies.front()
    }

    /// The peer has seen the whole message.
    pub fn body_is_done(&mut self) -> Body {
        self.done += 1;
        while self.spans.front().is_some_and(|span| span.body < self.done) {
            self.spans.pop_front();
        }
        self.bodies.pop_front().expect("there is one")
    }

    /// How many bytes a receiver of so many lacks of the frame of data under way.
    pub fn missing(&self, received: u64) -> u64 {
        let span = self.spans.iter().find(|span| (span.payload_at..span.end).contains(&received));
        span.map_or(0, |span| span.end - received)
    }

    /// Where the message begins that a receiver of so many bytes has only a part of.
    pub fn open_from(&self, received: u64) -> Option<u64> {
        let span = self.spans.iter().find(|span| span.body == self.done)?;
        (span.payload_at < received).then_some(span.payload_at)
    }

    /// How many bytes of the message it is to see next a receiver of so many has, unless they are compressed.
    pub fn received_of_body(&self, received: u64) -> Option<u64> {
        let spans = self.spans.iter().filter(|span| span.body == self.done);
        let part = |span: &Span| received.clamp(span.payload_at, span.end) - span.payload_at;
        spans.map(|span| (!span.is_compressed).then(|| part(span))).sum()
    }

    /// There is no peer to see it.
    pub fn forget(&mut self) {
        for written in std::mem::take(&mut self.on_wire) {
            if written.item == Item::Data {
                self.body_is_done();
            }
        }
    }

    /// Whether all that was to be sent is written; pongs only until the conversation `is_ended`.
    pub fn assert_all_is_written(&self, is_ended: bool) {
        assert!(self.bytes.is_empty(), "the output ends within a frame");
        assert!(is_ended || self.pongs.owed.is_empty(), "a ping was not answered");
        if self.last.is_some() {
            assert!(self.has_closed || self.last == Some(Last::Silence), "no Close frame was sent");
            return;
        }
        assert!(self.commands.is_empty(), "a message was not sent");
        assert!(!self.keepalives.1, "no keepalive ping was sent");
    }

    /// Sees what the transport takes.
    pub fn write(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.written += bytes.len() as u64;
        loop {
            if self.head.is_none() {
                self.head = self.parse_head();
            }
            let Some(head) = self.head else { return };
            let size = head.size + head.len;
            if self.bytes.len() < size {
                return;
            }
            let mut payload = self.bytes[head.size..size].to_vec();
            self.bytes.drain(..size);
            if let Some(key) = head.key {
                unmask(&mut payload, key);
            }
            self.head = None;
            self.frame(head, payload);
        }
    }

    fn parse_head(&mut self) -> Option<Head> {
        let (&first, &second) = (self.bytes.first()?, self.bytes.get(1)?);
        assert_eq!(second & 0x80 != 0, self.is_client, "RFC 6455 section 5.1");
        let (len, at) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*self.bytes.get(2..)?.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*self.bytes.get(2..)?.first_chunk()?), 10),
            len => (u64::from(len), 2),
        };
        assert_eq!(
            at,
            if len > 0xffff {
                10
            } else if len > 125 {
                4
            } else {
                2
            },
            "not the shortest form"
        );
        let key = if self.is_client { Some(*self.bytes.get(at..)?.first_chunk::<4>()?) } else { None };
        let size = at + if self.is_client { 4 } else { 0 };
        let begins = matches!(first & 0x0f, 1 | 2);
        assert!(first & 0x70 == 0 || (first & 0x70 == 0x40 && begins && self.may_compress), "{first:#x}");
        assert!(!self.has_closed || first == 0x8a, "a frame after the Close frame, and no pong");
        if first & 0x08 != 0 {
            assert!(first & 0x80 != 0 && len <= 125, "RFC 6455 section 5.5");
        } else {
            assert_eq!(begins, !self.has_begun, "RFC 6455 section 5.4");
            if begins {
                self.is_compressed = first & 0x40 != 0;
            }
            self.has_begun = true;
            let payload_at = self.written - (self.bytes.len() - size) as u64;
            let end = payload_at + len;
            self.spans.push_back(Span {
                payload_at,
                end,
                body: self.body,
                is_compressed: self.is_compressed,
            });
        }
        Some(Head { first, size, len: usize::try_from(len).expect("it fits"), key })
    }

    fn frame(&mut self, head: Head, payload: Vec<u8>) {
        let item = match head.first & 0x0f {
            0x8 => {
                let frame = CloseFrame::parse(&payload).expect("a legal Close frame");
                assert_eq!(self.last, Some(Last::Close(frame)), "another Close frame than was to be sent");
                self.has_closed = true;
                self.commands.clear();
                Item::Close(payload)
            }
            0x9 if payload.is_empty() => {
                assert!(self.keepalives.0 > 0, "a ping that nobody asked for");
                self.keepalives = (self.keepalives.0 - 1, false);
                self.pongs.begin_anew();
                Item::Ping(payload)
            }
            0x9 => self.next_command(Item::Ping(payload)),
            0xa if payload.first() == Some(&UNSOLICITED) => self.next_command(Item::Pong(payload)),
            0xa => {
                self.pongs.pay(&payload);
                Item::Pong(payload)
            }
            opcode => {
                if !self.data_frame(opcode, head.first & 0x80 != 0, &payload) {
                    return;
                }
                self.next_command(Item::Data)
            }
        };
        // The peer drops what follows a Close frame.
        if !self.has_closed || matches!(item, Item::Close(_)) {
            let end = self.written - self.bytes.len() as u64;
            self.on_wire.push_back(OnWire { item, end });
        }
    }

    /// Whether this is the last frame of a message.
    fn data_frame(&mut self, opcode: u8, is_final: bool, payload: &[u8]) -> bool {
        let body = self.bodies.get((self.body - self.done) as usize).expect("a message that nobody sent");
        assert!(opcode == 0 || (opcode == 1) == body.is_text);
        assert!(!(self.is_compressed && body.is_plain), "a message was to be sent as it is");
        if !self.is_compressed {
            assert!(body.bytes[self.passed..].starts_with(payload), "other bytes than were sent");
            self.passed += payload.len();
            assert!(!is_final || self.passed == body.bytes.len(), "a message was cut off");
        }
        if is_final {
            assert!(body.is_whole);
            (self.body, self.has_begun, self.passed) = (self.body + 1, false, 0);
        }
        is_final
    }

    fn next_command(&mut self, item: Item) -> Item {
        let command = self.commands.pop_front().expect("more was sent than commanded");
        self.handed_over = self.handed_over.saturating_sub(1);
        assert_eq!(command.item, item, "sent in another order");
        item
    }
}

/// In words, because a fuzzer watches each step of a loop.
fn unmask(payload: &mut [u8], key: [u8; 4]) {
    let word = u128::from_ne_bytes(std::array::from_fn(|at| key[at % 4]));
    let (words, rest) = payload.as_chunks_mut::<16>();
    for bytes in words {
        *bytes = (u128::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (at, byte) in rest.iter_mut().enumerate() {
        *byte ^= key[at % 4];
    }
}

/// The first byte of a pong that no ping asks for; pings of the application begin with another.
pub const UNSOLICITED: u8 = b'U';
