//! Any bytes to a client's handshake (RFC 6455 §4.1), at once, byte by byte and as the input says: one
//! outcome. What is established obeys the rules read plainly, and httparse; any other status is handed out as
//! it came, with as much of its body as it announces; what stands behind a 101 is what the connection gets.
//!
//! While the head arrives, a handshake owns 2 bytes for each that came, and 1 KiB; the peak within a call is
//! twice that and 64 bytes for each field. A response owns its head, 16 bytes for each of its fields, and
//! what stands behind it. A failed handshake owns no bytes.
//!
//! An input is, byte by byte:
//!
//! 1. switches: 1 deflate is offered, 2 subprotocols are, 8 a limit for heads, 16 for fields, 32 time runs
//!    out where else the transport ends, 64 the bytes stand behind the fields that there have to be;
//! 2. the limits: of a head in units of 4 bytes, of fields the lowest four bits;
//! 3. how many sizes of reads follow, up to 15, each one more than the byte;
//! 4. what the server sends.

#![no_main]

mod behind;
mod counted;
mod head;
mod input;

use std::time::Duration;

use bytes::{Buf, BufMut};
use libfuzzer_sys::fuzz_target;
use sansock::deflate::{Deflate, Offer, agree};
use sansock::handshake::HandshakeError;
use sansock::handshake::client::{self, ClientRequest, Established, Handshake, Refused};
use sansock::{Config, Connection, Timestamp};

use crate::behind::{events, take};
use crate::counted::Meter;
use crate::head::Head;
use crate::input::Input;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let setup = Setup::read(&mut input);
    let count = input.byte() & 15;
    let sizes: Vec<usize> = input.take(count.into()).iter().map(|&size| usize::from(size) + 1).collect();
    let mut wire = if setup.is_complete { COMPLETE.to_vec() } else { Vec::new() };
    wire.extend_from_slice(input.0);

    let whole = setup.feed(&wire, &[]);
    assert_eq!(whole, setup.feed(&wire, &[1]));
    assert_eq!(whole, setup.feed(&wire, &sizes));
});

const NOW: Timestamp = Timestamp::EPOCH;

/// A response that lacks but its last line end.
const COMPLETE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: ACCEPT\r\n";

const PROTOCOLS: [&str; 2] = ["v2.chat", "v1.chat"];

struct Setup {
    config: Config,
    offers_protocols: bool,
    times_out: bool,
    is_complete: bool,
}

/// What came of a response.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The subprotocol, the connection's output, and the events of what stood behind the head.
    Established(Option<String>, Vec<u8>, String),
    /// The status and the body, as far as it was announced.
    Refused(u16, Vec<u8>),
    Failed(HandshakeError),
}

impl Setup {
    fn read(input: &mut Input<'_>) -> Self {
        let (switches, limits) = (input.byte(), usize::from(input.byte()));
        let has = |bit| switches & bit != 0;
        let mut config = Config::default();
        config.deflate = has(1).then(Deflate::default);
        if has(8) {
            config.max_head = 4 * limits;
        }
        if has(16) {
            config.max_headers = limits & 15;
        }
        Setup { config, offers_protocols: has(2), times_out: has(32), is_complete: has(64) }
    }

    fn handshake(&self) -> Handshake {
        let mut request = ClientRequest::new("ws://example.com/chat").expect("a legal URL");
        for name in PROTOCOLS.iter().filter(|_| self.offers_protocols) {
            request = request.protocol(name).expect("a token");
        }
        Handshake::new(request, self.config.clone(), [7; 32], NOW)
    }

    /// Gives the bytes in reads of these sizes, and the transport's end or the deadline if that is not
    /// enough.
    fn feed(&self, wire: &[u8], sizes: &[usize]) -> Outcome {
        let mut meter = Meter::default();
        let mut handshake = meter.run(|| self.handshake());
        let request = take(handshake.output());
        let request = Head::read(&request).expect("a well-formed head");
        let accept = head::answer(request.only("sec-websocket-key").expect("there is one"));
        // Whatever is right, the input may have it.
        let wire = with_accept(wire, &accept);

        let new = meter.owned();
        let mut sizes = sizes.iter().copied().cycle();
        let mut given = 0;
        let mut is_over = false;
        loop {
            let len = sizes.next().unwrap_or(wire.len()).min(wire.len() - given);
            meter.run(|| handshake.input().put_slice(&wire[given..given + len]));
            given += len;
            let polled = meter.run(|| handshake.poll());
            let peak = meter.peak();
            let fields = self.config.max_headers.min(given / 4);
            assert!(peak <= new + 4 * given + 64 * fields + 2048, "{peak} bytes within a call");
            let most = new + 3 * given + 16 * fields + 1024;
            assert!(meter.owned() <= most, "{} bytes, not {most}", meter.owned());
            match polled {
                Ok(Some(outcome)) => {
                    assert!(handshake.poll().is_ok_and(|again| again.is_none()), "it is handed out once");
                    assert_eq!(handshake.poll_timeout(), None);
                    return match outcome {
                        client::Outcome::Established(it) => self.judge_established(it, &wire, given, &accept),
                        client::Outcome::Refused(it) => self.judge_refused(&it, &wire, given, is_over),
                    };
                }
                // A head under way, or the body of a refusal behind one.
                Ok(None) if self.last_head(&wire[..given]).is_none() => {
                    assert!(meter.owned() <= new + 2 * given + 1024, "{} bytes", meter.owned());
                }
                Ok(None) => {}
                Err(error) => {
                    return self.judge_failure(handshake, error, &wire[..given], &accept, new, meter);
                }
            }
            assert!(!is_over, "nothing more comes");
            assert_eq!(handshake.poll_timeout(), Some(NOW + self.config.handshake_timeout));
            if given == wire.len() {
                is_over = true;
                if self.times_out {
                    let before = self.config.handshake_timeout.saturating_sub(Duration::from_nanos(1));
                    handshake.handle_timeout(NOW + before);
                    assert!(meter.run(|| handshake.poll()).is_ok_and(|outcome| outcome.is_none()));
                    meter.run(|| handshake.handle_timeout(NOW + self.config.handshake_timeout));
                } else {
                    handshake.handle_eof();
                }
            }
        }
    }

    /// The first head that is final, and where it begins.
    fn last_head<'a>(&self, wire: &'a [u8]) -> Option<(usize, &'a [u8])> {
        let mut start = 0;
        loop {
            let len = head::end(&wire[start..])?;
            let bytes = &wire[start..start + len];
            if !Head::read(bytes).is_some_and(|head| is_interim(&head)) {
                return Some((start, bytes));
            }
            start += len;
        }
    }

    fn judge_established(&self, it: Established, wire: &[u8], given: usize, accept: &str) -> Outcome {
        let (start, bytes) = self.last_head(wire).expect("a whole head");
        let end = start + bytes.len();
        assert!(end <= self.config.max_head);
        let head = Head::read(bytes).expect("a well-formed head");
        let faults = self.faults(&head, accept);
        assert_eq!(faults, []);
        assert_eq!(head.start[1], b"101");
        self.assert_parses(bytes, 101, it.headers().iter());
        assert!(it.headers().iter().eq(head.fields.iter().copied()));
        let protocol = it.protocol().map(String::from);
        assert_eq!(protocol.as_ref().map(String::as_bytes), head.only("sec-websocket-protocol"));
        let agreed = agree(head.all("sec-websocket-extensions"), &self.offers()).expect("no fault");
        assert_eq!(it.deflate(), agreed);

        // The connection does what a new one does with what stands behind the head.
        let mut connection = it.into_connection(NOW);
        let mut fresh = Connection::client(self.config.clone(), [8; 32], NOW);
        if let (Some(agreed), Some(deflate)) = (agreed, &self.config.deflate) {
            fresh = fresh.with_deflate(agreed, deflate);
        }
        fresh.input().put_slice(&wire[end..]);
        fresh.handle_input(NOW);
        connection.input().put_slice(&wire[given..]);
        connection.handle_input(NOW);
        let seen = events(&mut connection);
        assert_eq!(seen, events(&mut fresh));
        // Their masks are not the same.
        assert_eq!(connection.output().remaining(), fresh.output().remaining());
        let output = take(connection.output());
        Outcome::Established(protocol, output, seen)
    }

    fn judge_refused(&self, it: &Refused, wire: &[u8], given: usize, is_over: bool) -> Outcome {
        let (start, bytes) = self.last_head(wire).expect("a whole head");
        let end = start + bytes.len();
        assert!(end <= self.config.max_head);
        let head = Head::read(bytes).expect("a well-formed head");
        assert!(head.fields.len() <= self.config.max_headers);
        assert_eq!(status_of(head.start[1]), Some(it.status()).filter(|status| *status >= 200));
        assert!(matches!(head::version(head.start[0]), Some((1, 0 | 1))));
        self.assert_parses(bytes, it.status(), it.headers().iter());
        assert!(it.headers().iter().eq(head.fields.iter().copied()));
        assert!(it.reason().as_bytes() == head.start[2] || !head.start[2].is_ascii());
        assert!(it.reason().is_ascii());
        // What came of the body, up to the end that was announced, and within the limit.
        let length = body_length(&head).expect("one length, or none");
        let most = length.unwrap_or(usize::MAX).min(self.config.max_head);
        let came = &wire[end..given];
        assert_eq!(it.body(), &came[..came.len().min(most)]);
        let announced = length.map_or(0, |_| most);
        assert!(it.body().len() >= announced || is_over, "{} of {announced} bytes", it.body().len());
        let body = &it.body()[..it.body().len().min(announced)];
        Outcome::Refused(it.status(), body.to_vec())
    }

    fn judge_failure(
        &self,
        mut handshake: Handshake,
        error: HandshakeError,
        wire: &[u8],
        accept: &str,
        new: usize,
        mut meter: Meter,
    ) -> Outcome {
        let is_within = |(start, bytes): &(usize, &[u8])| start + bytes.len() <= self.config.max_head;
        let last = self.last_head(wire).filter(is_within);
        let head = last.and_then(|(_, bytes)| Head::read(bytes));
        match (&head, error) {
            (_, HandshakeError::UnexpectedEof | HandshakeError::TimedOut) => assert!(last.is_none()),
            // An interim response may have too many as well.
            (_, HandshakeError::TooManyHeaders) => {
                assert!(wire.iter().filter(|byte| **byte == b'\n').count() > self.config.max_headers);
            }
            (Some(head), error) => {
                let faults = self.faults(head, accept);
                assert!(faults.contains(&error), "{error:?}, not {faults:?}");
            }
            (None, HandshakeError::HeadTooLarge) => assert!(wire.len() >= self.config.max_head),
            (None, error) => {
                assert!(matches!(error, HandshakeError::Malformed | HandshakeError::ResponseVersion));
            }
        }
        // It stays like that, and nothing of what still comes is kept.
        for more in [&b""[..], COMPLETE, b"\r\n\r\n", &[b'a'; 3000]] {
            meter.run(|| handshake.input().put_slice(more));
            assert_eq!(meter.run(|| handshake.poll()).err(), Some(error));
            assert_eq!(handshake.poll_timeout(), None);
        }
        assert!(meter.owned() <= new, "{} bytes of a failed handshake", meter.owned());
        Outcome::Failed(error)
    }

    fn offers(&self) -> Vec<Offer> {
        self.config.deflate.iter().flat_map(Offer::all_of).collect()
    }

    fn assert_parses<'a>(
        &self,
        head: &'a [u8],
        status: u16,
        expected: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) {
        let mut fields = [httparse::EMPTY_HEADER; 1000];
        let mut parsed = httparse::Response::new(&mut fields);
        assert_eq!(parsed.parse(head), Ok(httparse::Status::Complete(head.len())));
        assert_eq!(parsed.code, Some(status));
        assert!(expected.eq(parsed.headers.iter().map(|field| (field.name, field.value))));
    }

    /// What is wrong with a well-formed head, if it is meant to be a 101.
    fn faults(&self, head: &Head<'_>, accept: &str) -> Vec<HandshakeError> {
        use HandshakeError::*;
        let [version, status, reason] = head.start;
        let mut faults = Vec::new();
        let mut sure = |is_wrong: bool, error| faults.extend(is_wrong.then_some(error));
        let version = head::version(version);
        sure(version.is_none() || status_of(status).is_none() || !is_reason(reason), Malformed);
        sure(version.is_some_and(|version| version != (1, 1)), ResponseVersion);
        sure(head.fields.len() > self.config.max_headers, TooManyHeaders);
        if status_of(status) != Some(101) {
            sure(body_length(head).is_err(), Malformed);
        }
        let upgrade = head.only("upgrade");
        sure(!upgrade.is_some_and(|value| value.eq_ignore_ascii_case(b"websocket")), ResponseUpgrade);
        sure(!head.names("connection", "upgrade"), ResponseConnection);
        sure(head.only("sec-websocket-accept") != Some(accept.as_bytes()), Accept);
        let chosen = head.all("sec-websocket-protocol");
        let is_offered =
            |value: &[u8]| self.offers_protocols && PROTOCOLS.iter().any(|it| it.as_bytes() == value);
        sure(!chosen.is_empty() && !matches!(chosen[..], [value] if is_offered(value)), ProtocolNotOffered);
        faults.extend(agree(head.all("sec-websocket-extensions"), &self.offers()).err());
        faults
    }
}

/// RFC 9110 §15.2.
fn is_interim(head: &Head<'_>) -> bool {
    head::version(head.start[0]).is_some_and(|(major, minor)| major == 1 && minor <= 1)
        && matches!(status_of(head.start[1]), Some(100 | 102..200))
        && is_reason(head.start[2])
}

/// RFC 9112 §6.3: how long the body of a refusal says it is; `Err` if its framing is invalid.
fn body_length(head: &Head<'_>) -> Result<Option<usize>, ()> {
    if matches!(status_of(head.start[1]), Some(204 | 304)) {
        return Ok(Some(0));
    }
    if !head.all("transfer-encoding").is_empty() {
        return Ok(None);
    }
    let values = head.all("content-length");
    if values.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8(values.join(&b","[..])).map_err(|_| ())?;
    let mut lengths = text.split(',').map(|value| {
        let digits = value.trim_matches([' ', '\t']);
        let is_number = !digits.is_empty() && digits.chars().all(|digit| digit.is_ascii_digit());
        // The same number may have zeros before it.
        if is_number { Ok(digits.parse().unwrap_or(usize::MAX)) } else { Err(()) }
    });
    let first = lengths.next().expect("a piece")?;
    lengths.all(|length| length == Ok(first)).then_some(Some(first)).ok_or(())
}

/// Three digits, the first of which is not 0.
fn status_of(word: &[u8]) -> Option<u16> {
    let is_status = word.len() == 3 && word.iter().all(u8::is_ascii_digit) && word[0] != b'0';
    std::str::from_utf8(word).ok().filter(|_| is_status)?.parse().ok()
}

/// RFC 9112 §4: "reason-phrase = 1*( HTAB / SP / VCHAR / obs-text )"
fn is_reason(text: &[u8]) -> bool {
    text.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t')
}

/// The bytes with the answer to the key in the place of `ACCEPT`, and all of it in small letters in that of
/// `WHISPERED`.
fn with_accept(mut wire: &[u8], accept: &str) -> Vec<u8> {
    let places: [(&[u8], String); 2] = [(b"ACCEPT", accept.into()), (b"WHISPERED", accept.to_lowercase())];
    let mut bytes = Vec::new();
    while let [first, rest @ ..] = wire {
        let found = places.iter().find_map(|(place, text)| Some((text, wire.strip_prefix(*place)?)));
        match found {
            Some((text, _)) => bytes.extend_from_slice(text.as_bytes()),
            None => bytes.push(*first),
        }
        wire = found.map_or(rest, |(_, behind)| behind);
    }
    bytes
}
