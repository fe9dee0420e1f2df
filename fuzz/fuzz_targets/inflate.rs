//! Compressed messages as a hostile peer sends them (RFC 7692 §7.2.2), given to a connection twice, cut in
//! two ways, and to another decoder.
//!
//! An input is, byte by byte:
//!
//! 1. switches: 1 a client, 2 without context takeover, 4 chunks, 8 `handle_would_block` between reads, 16
//!    through `read_buffer`, 32 events are owned, 64 a limit for frames, 128 a pool with somebody else in it;
//! 2. the window of what is received, 8 and the lowest three bits; above these the other window; 64 and 128
//!    are the capacity of the pool;
//! 3. the limit of a message, two bytes, the lower one first;
//! 4. the peer's level in the lower half; above it by how much the limit is shifted to the left, up to 3;
//! 5. how many sizes of reads follow, up to 15: below 128 each is that many bytes and one, above it counts
//!    256 of them;
//! 6. frames, each a byte as `script.rs` has it, the length, and the payload.

#![no_main]

mod counted;
mod input;
mod reference;
mod script;

use bytes::{Buf, BufMut};
use libfuzzer_sys::fuzz_target;
use sansock::deflate::{Agreed, Deflate, Pool, WindowBits};
use sansock::{Config, Connection, DeflateError, Delivery, Error, Event, Timestamp};

use crate::counted::within;
use crate::input::Input;
use crate::reference::{End, Reference};
use crate::script::{Encoder, Item, Message, Script};

// Two connections and a decoder, what each has made of a message of 512 KiB at the most, and copies of it.
fuzz_target!(|bytes: &[u8]| within(16 << 20, || run(bytes)));

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let setup = Setup::read(&mut input);
    let encoder = Encoder::new(setup.level, setup.window, setup.takes_over);
    let script = Script::read(&mut input, !setup.is_client, encoder);

    let whole = setup.feed_whole(&script.wire);
    let cut = setup.feed_cut(&script.wire);
    assert!(whole.seen == cut.seen, "{:?}, cut {:?}", whole.seen, cut.seen);
    assert_eq!(whole.error, cut.error);
    assert_eq!(whole.is_ended, cut.is_ended);
    assert_eq!(whole.output, cut.output);
    setup.judge(&script, &cut);
}

struct Setup {
    is_client: bool,
    takes_over: bool,
    window: WindowBits,
    agreed: Agreed,
    config: Config,
    level: u8,
    reads: Reads,
}

/// How the second connection gets its bytes.
struct Reads {
    sizes: Vec<usize>,
    delivery: Delivery,
    would_block: bool,
    through_read_buffer: bool,
    are_owned: bool,
    pool: Option<Pool>,
}

/// What a connection said.
#[derive(Default)]
struct Outcome {
    seen: Vec<Seen>,
    /// The chunks of a message whose end has not come.
    open: Option<Seen>,
    error: Option<Error>,
    is_ended: bool,
    output: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Data { is_text: bool, bytes: Vec<u8> },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

const NOW: Timestamp = Timestamp::EPOCH;

/// More reads than this say nothing new: the rest comes at once.
const MOST_READS: usize = 1000;

impl Setup {
    fn read(input: &mut Input<'_>) -> Self {
        let switches = input.byte();
        let has = |bit| switches & bit != 0;
        let (is_client, takes_over) = (has(1), !has(2));

        let windows = input.byte();
        let bits = |shift: u8| WindowBits::new(8 + (windows >> shift & 7)).expect("8 to 15");
        let (received, sent) = (bits(0), bits(3));
        let mut agreed = Agreed::default();
        (agreed.server_max_window_bits, agreed.client_max_window_bits) =
            if is_client { (Some(received), Some(sent)) } else { (Some(sent), Some(received)) };
        agreed.server_no_context_takeover = !takes_over;
        agreed.client_no_context_takeover = !takes_over;

        let limit = u64::from(u16::from_le_bytes([input.byte(), input.byte()]));
        let levels = input.byte();
        let mut config = Config::default();
        config.max_message = limit << (levels >> 4 & 3);
        config.max_frame = has(64).then_some(config.max_message / 2);

        let count = input.byte() & 15;
        let size = |byte: &u8| match usize::from(*byte) {
            byte @ ..128 => byte + 1,
            byte => (byte - 127) << 8,
        };
        let reads = Reads {
            sizes: input.take(count.into()).iter().map(size).collect(),
            delivery: if has(4) { Delivery::Chunks } else { Delivery::Messages },
            would_block: has(8),
            through_read_buffer: has(16),
            are_owned: has(32),
            pool: has(128).then(|| Pool::new(usize::from(windows >> 6))),
        };
        Setup { is_client, takes_over, window: received, agreed, config, level: (levels & 15).min(9), reads }
    }

    fn connection(&self, delivery: Delivery, pool: Option<&Pool>) -> Connection {
        let mut config = self.config.clone();
        config.delivery = delivery;
        let connection = if self.is_client {
            Connection::client(config, [7; 32], NOW)
        } else {
            Connection::server(config, NOW)
        };
        let mut deflate = Deflate::default();
        deflate.pool = pool.cloned();
        connection.with_deflate(self.agreed, &deflate)
    }

    /// All at once, as whole messages.
    fn feed_whole(&self, wire: &[u8]) -> Outcome {
        let mut connection = self.connection(Delivery::Messages, None);
        let mut outcome = Outcome::default();
        connection.input().put_slice(wire);
        connection.handle_input(NOW);
        outcome.take_events(&mut connection, false);
        outcome.finish(connection, self.is_client)
    }

    /// As the input says.
    fn feed_cut(&self, mut wire: &[u8]) -> Outcome {
        let reads = &self.reads;
        let mut connection = self.connection(reads.delivery, reads.pool.as_ref());
        let mut rival = reads.pool.as_ref().map(Rival::new);
        let mut outcome = Outcome::default();
        let mut sizes = reads.sizes.iter().copied().cycle().take(MOST_READS);
        while !wire.is_empty() {
            let mut size = sizes.next().unwrap_or(wire.len()).min(wire.len());
            if reads.through_read_buffer {
                let mut buffer = connection.read_buffer();
                size = size.min(buffer.remaining_mut());
                assert!(size > 0, "a read always has room");
                buffer.put_slice(&wire[..size]);
            } else {
                connection.input().put_slice(&wire[..size]);
            }
            wire = &wire[size..];
            connection.handle_input(NOW);
            outcome.take_events(&mut connection, reads.are_owned);
            if let Some(rival) = &mut rival {
                rival.takes_a_turn();
            }
            if reads.would_block {
                connection.handle_would_block();
            }
        }
        outcome.finish(connection, self.is_client)
    }

    /// Holds what a connection said against what the frames are, and the other decoder makes of them.
    fn judge(&self, script: &Script, outcome: &Outcome) {
        let limit = usize::try_from(self.config.max_message).expect("it is small");
        for seen in &outcome.seen {
            assert!(
                !matches!(seen, Seen::Data { bytes, .. } if bytes.len() > limit),
                "longer than the limit"
            );
        }
        // A server's compressor for 8 bits uses 9: zlib has no other.
        let window = self.window.size().max(512);
        let mut reference = Reference::new(if self.takes_over { window } else { 0 }, limit);
        let mut items = script.items.iter();
        for event in &outcome.seen {
            match (items.next(), event) {
                (Some(Item::Ping(sent)), Seen::Ping(payload)) => assert_eq!(sent, payload),
                (Some(Item::Message(message)), Seen::Data { is_text, bytes }) if message.is_whole => {
                    assert_eq!(message.is_text, *is_text);
                    if !message.is_compressed {
                        assert!(message.payload == *bytes);
                        continue;
                    }
                    let decoded = reference.decode(&message.payload);
                    assert!(decoded.bytes == *bytes, "{:?}, not {bytes:?}", decoded.bytes);
                    assert!(decoded.end.is_whole(), "but {:?}", decoded.end);
                    // A stream that the last byte ends is not counted any more.
                    let cost = message.payload.len() as u64 + RESTART * decoded.streams.saturating_sub(1);
                    assert!(cost <= FOR_NOTHING + 16 * bytes.len() as u64, "{cost} for {}", bytes.len());
                    reference.push(bytes);
                }
                // From here on it is not known what should come.
                _ if script.is_wild => return,
                _ => panic!("an event of nothing that was sent: {event:?}"),
            }
        }
        // A ping may stand behind a fragment that failed.
        let mut next = items.skip_while(|item| outcome.error.is_some() && matches!(item, Item::Ping(_)));
        let next = match next.next() {
            Some(Item::Message(message)) if message.is_whole || !script.is_wild => message,
            Some(Item::Ping(_)) => panic!("a ping was swallowed"),
            _ if script.is_wild => return,
            _ => return assert_eq!((outcome.error, outcome.is_ended), (None, false)),
        };
        match outcome.error {
            Some(error) => self.judge_error(error, next, &reference),
            None => assert!(!next.is_whole && !outcome.is_ended, "a message was swallowed"),
        }
        if let Some(Seen::Data { is_text, bytes }) = &outcome.open {
            assert_eq!(next.is_text, *is_text);
            let made =
                if next.is_compressed { reference.decode(&next.payload).bytes } else { next.payload.clone() };
            assert!(bytes.len() <= limit && made.starts_with(bytes), "{made:?}, not {bytes:?}");
        }
    }

    /// Whether this message is a reason for this error.
    fn judge_error(&self, error: Error, message: &Message, reference: &Reference) {
        let sent = message.payload.len() as u64;
        let (limit, frame_limit) = (self.config.max_message, self.config.max_frame);
        let is_over = |limit| message.longest_frame as u64 > limit;
        if error == Error::TooBig && frame_limit.is_some_and(is_over) {
            return;
        }
        if !message.is_compressed {
            return match error {
                Error::TooBig => assert!(sent > limit),
                Error::InvalidUtf8 => {
                    assert!(message.is_text && !is_text(&message.payload, message.is_whole))
                }
                error => panic!("{error:?} of plain bytes"),
            };
        }
        let decoded = reference.decode(&message.payload);
        // Of a message that is cut off the tail makes something, and that may be what fails.
        let tail_counts = message.is_whole && decoded.end == End::CutOff;
        match error {
            Error::TooBig => {
                // Some encoders make a message longer: an eighth is allowed, and what may be for nothing.
                let is_too_long = decoded.end == End::TooLong || sent > limit + limit / 8 + FOR_NOTHING;
                let is_full = decoded.bytes.len() as u64 == limit;
                assert!(is_too_long || (is_full && tail_counts), "but {:?}", decoded.end);
            }
            Error::InvalidUtf8 => {
                let is_text = is_text(&decoded.bytes, message.is_whole && decoded.end.is_whole());
                assert!(message.is_text && (!is_text || tail_counts), "but {:?}", decoded.end);
            }
            Error::Deflate(DeflateError::ForNothing) => {
                assert!(sent + RESTART * decoded.streams > FOR_NOTHING);
            }
            Error::Deflate(DeflateError::Truncated) => {
                // The reference sees earlier that a block's codes are none.
                let is_broken = matches!(decoded.end, End::CutOff | End::Corrupt | End::Ragged);
                assert!(message.is_whole && is_broken, "but {:?}", decoded.end);
            }
            Error::Deflate(DeflateError::Corrupt) => {
                assert!(decoded.end == End::Corrupt, "but {:?}", decoded.end);
            }
            error => panic!("{error:?} of compressed bytes"),
        }
    }
}

/// What `DeflateError::ForNothing` allows to a message without content, besides 16 bytes for each inflated one.
const FOR_NOTHING: u64 = 64 << 10;

/// For how many bytes the end of a stream counts there.
const RESTART: u64 = 512;

/// Whether these bytes are UTF-8, or begin it.
fn is_text(bytes: &[u8], is_whole: bool) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => !is_whole && error.error_len().is_none(),
    }
}

impl Outcome {
    /// Takes all events there are, and joins chunks.
    fn take_events(&mut self, connection: &mut Connection, are_owned: bool) {
        loop {
            let is_more = connection.advance();
            assert_eq!(connection.advance(), is_more);
            let event = match connection.poll_event() {
                Ok(Some(event)) => event,
                Ok(None) => {
                    self.is_ended = connection.is_ended();
                    return assert_eq!(is_more, Ok(self.is_ended));
                }
                Err(error) => {
                    assert_eq!(is_more, Err(error));
                    assert!(self.error.is_none_or(|first| first == error), "another error");
                    self.error = Some(error);
                    return;
                }
            };
            assert_eq!((is_more, self.error), (Ok(true), None));
            let (is_text, is_final) = match &event {
                Event::Text(text) => {
                    assert!(std::str::from_utf8(text.as_bytes()).is_ok());
                    (true, text.is_final())
                }
                Event::Binary(data) => (false, data.is_final()),
                Event::Ping(payload) => {
                    self.seen.push(Seen::Ping(payload.to_vec()));
                    continue;
                }
                Event::Pong(payload) => {
                    self.seen.push(Seen::Pong(payload.to_vec()));
                    continue;
                }
                event => panic!("unknown: {event:?}"),
            };
            let part = match event {
                event if are_owned => event.into_message().expect("it is data").as_bytes().to_vec(),
                Event::Text(text) => text.as_bytes().to_vec(),
                Event::Binary(data) => data.to_vec(),
                _ => unreachable!("it is data"),
            };
            let is_first = self.open.is_none();
            let open = self.open.get_or_insert_with(|| Seen::Data { is_text, bytes: Vec::new() });
            if let Seen::Data { is_text: was_text, bytes } = open {
                assert_eq!(*was_text, is_text, "a message changes its type");
                assert!(is_first || is_final || !part.is_empty(), "a chunk of nothing");
                bytes.extend(part);
            }
            if is_final {
                self.seen.extend(self.open.take());
            }
        }
    }

    /// Asks again for what must not change any more.
    fn finish(mut self, mut connection: Connection, is_client: bool) -> Self {
        while connection.output().has_remaining() {
            let len = connection.output().chunk().len();
            self.output.extend(connection.output().copy_to_bytes(len));
        }
        if let Some(error) = self.error {
            if let (Some(code), false) = (error.close_code(), is_client) {
                assert!(self.output.ends_with(&code.get().to_be_bytes()), "{:?}", self.output);
            }
            for more in [&b""[..], b"\x81\x02hi", b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"] {
                connection.input().put_slice(more);
                connection.handle_input(NOW);
                connection.handle_would_block();
                assert_eq!(connection.advance(), Err(error));
                assert_eq!(connection.poll_event().err(), Some(error));
                assert!(!connection.output().has_remaining());
            }
        }
        self
    }
}

/// Another connection that has the same pool.
struct Rival {
    connection: Connection,
    turns: usize,
}

impl Rival {
    fn new(pool: &Pool) -> Self {
        let mut deflate = Deflate::default();
        deflate.pool = Some(pool.clone());
        let connection = Connection::client(Config::default(), [8; 32], NOW);
        Rival { connection: connection.with_deflate(Agreed::default(), &deflate), turns: 0 }
    }

    /// Gets a message that refers to what it, and nobody else, got before (RFC 7692 §7.2.3.2).
    fn takes_a_turn(&mut self) {
        let hello: &[u8] = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00";
        let again: &[u8] = b"\xc1\x05\xf2\x00\x11\x00\x00";
        self.connection.input().put_slice(if self.turns == 0 { hello } else { again });
        self.connection.handle_input(NOW);
        assert!(matches!(self.connection.poll_event(), Ok(Some(Event::Text(text))) if &*text == "Hello"));
        // Each other time it keeps the decoder until its next turn.
        if self.turns.is_multiple_of(2) {
            assert!(matches!(self.connection.poll_event(), Ok(None)));
        }
        self.turns += 1;
    }
}
