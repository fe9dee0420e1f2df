//! Any bytes to a server's handshake (RFC 6455 §4.2.1), at once, byte by byte and as the input says: one
//! outcome. What is accepted is a request by the rules read plainly, and by httparse; what is refused breaks
//! the rule that the error names, and is answered in HTTP; what stands behind the head is what the connection
//! gets.
//!
//! While the head arrives, a handshake owns 2 bytes for each that came, and 1 KiB; the peak within a call is
//! twice that and 64 bytes for each field. A request owns its head, 16 bytes for each of its fields, and what
//! stands behind it. A failed handshake owns no bytes.
//!
//! An input is, byte by byte:
//!
//! 1. switches: 1 deflate is accepted, 2 the request is refused by the application, 4 it chooses the first
//!    subprotocol, 8 a limit for heads, 16 for fields, 32 time runs out where else the transport ends, 64 the
//!    bytes stand behind the fields that there have to be;
//! 2. the limits: of a head in units of 4 bytes, of fields the lowest four bits;
//! 3. how many sizes of reads follow, up to 15, each one more than the byte;
//! 4. what the client sends.

#![no_main]

mod behind;
mod counted;
mod head;
mod input;

use std::time::Duration;

use bytes::{Buf, BufMut};
use libfuzzer_sys::fuzz_target;
use sansock::deflate::{self, Deflate};
use sansock::handshake::server::{Accept, Handshake, Rejection, Request};
use sansock::handshake::{HandshakeError, Response, accept_key, extension};
use sansock::{Config, Connection, Timestamp};

use crate::behind::{events, take};
use crate::counted::{Meter, aside};
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

/// A request that lacks but its last line end.
const COMPLETE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// RFC 9112 §3, and the server's documentation.
const MAX_REQUEST_LINE: usize = 8 << 10;

struct Setup {
    config: Config,
    refuses: bool,
    chooses: bool,
    times_out: bool,
    is_complete: bool,
}

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The connection's output, and the events of what stood behind the head.
    Accepted(Vec<u8>, String),
    Refused(Vec<u8>),
    Failed(HandshakeError, Vec<u8>),
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
        Setup { config, refuses: has(2), chooses: has(4), times_out: has(32), is_complete: has(64) }
    }

    /// Gives the bytes in reads of these sizes, and the transport's end or the deadline if that is not
    /// enough.
    fn feed(&self, wire: &[u8], sizes: &[usize]) -> Outcome {
        let mut meter = Meter::default();
        let mut handshake = meter.run(|| Handshake::new(self.config.clone(), NOW));
        let new = meter.owned();
        let mut sizes = sizes.iter().copied().cycle();
        let mut given = 0;
        let rejection = loop {
            let len = sizes.next().unwrap_or(wire.len()).min(wire.len() - given);
            meter.run(|| handshake.input().put_slice(&wire[given..given + len]));
            given += len;
            let polled = meter.run(|| handshake.poll());
            let peak = meter.peak();
            let fields = self.config.max_headers.min(given / 4);
            assert!(peak <= new + 4 * given + 64 * fields + 2048, "{peak} bytes within a call");
            match polled {
                Ok(Some(request)) => {
                    let most = new + 3 * given + 16 * fields + 1024;
                    assert!(meter.owned() <= most, "{} bytes, not {most}", meter.owned());
                    assert!(handshake.poll().is_ok_and(|again| again.is_none()), "it is handed out once");
                    assert_eq!(handshake.poll_timeout(), None);
                    return self.judge_request(request, wire, given);
                }
                Ok(None) => assert!(meter.owned() <= new + 2 * given + 1024),
                Err(rejection) => break rejection,
            }
            assert_eq!(handshake.poll_timeout(), Some(NOW + self.config.handshake_timeout));
            if given == wire.len() {
                let expected = if self.times_out {
                    handshake.handle_timeout(
                        NOW + self.config.handshake_timeout.saturating_sub(Duration::from_nanos(1)),
                    );
                    assert!(meter.run(|| handshake.poll()).is_ok_and(|request| request.is_none()));
                    meter.run(|| handshake.handle_timeout(NOW + self.config.handshake_timeout));
                    HandshakeError::TimedOut
                } else {
                    handshake.handle_eof();
                    HandshakeError::UnexpectedEof
                };
                let rejection = meter.run(|| handshake.poll()).expect_err("nothing more comes");
                assert_eq!(rejection.error(), expected);
                break rejection;
            }
        };
        self.judge_failure(handshake, rejection, &wire[..given], new, meter)
    }
}

impl Setup {
    fn judge_request(&self, request: Request, wire: &[u8], given: usize) -> Outcome {
        let end = head::end(wire).expect("a whole head");
        let head = Head::read(&wire[..end]).expect("a well-formed head");
        let faults = self.faults(&head, end);
        assert!(faults.sure.is_empty(), "{:?}", faults.sure);
        // httparse sees the same.
        let mut fields = [httparse::EMPTY_HEADER; 1000];
        let mut parsed = httparse::Request::new(&mut fields);
        assert_eq!(parsed.parse(wire), Ok(httparse::Status::Complete(end)));
        assert_eq!((parsed.method, parsed.version), (Some("GET"), Some(1)));
        assert_eq!(parsed.path, Some(request.target()));
        assert!(request.headers().iter().eq(parsed.headers.iter().map(|field| (field.name, field.value))));
        // So does what the request says.
        assert_eq!((request.method(), request.target().as_bytes()), ("GET", head.start[1]));
        assert!(request.headers().iter().eq(head.fields.iter().copied()));
        assert!(request.path().starts_with('/') && request.target().contains(request.query().unwrap_or("")));
        assert!(
            !request.host().is_empty()
                && wire[..end].windows(request.host().len()).any(|part| part == request.host().as_bytes())
        );
        assert_eq!(request.origin().map(str::as_bytes), head.only("origin"));
        let protocols: Vec<&str> = request.protocols().collect();
        assert!(protocols.iter().map(|name| name.as_bytes()).eq(head.list("sec-websocket-protocol")));
        let extensions = head.all("sec-websocket-extensions");
        let extensions = || extensions.iter().flat_map(|value| extension::parse(value));
        assert!(request.extensions().map(Ok).eq(extensions()));
        for (name, value) in request.cookies() {
            assert!(!name.is_empty() && !name.contains([';', '=']) && !value.contains(';'));
        }

        if self.refuses {
            let response = Response::new(403).expect("a final status").body("no");
            let output = take(&mut request.reject(response));
            assert_refuses(&output, 403, b"no");
            return Outcome::Refused(output);
        }
        let key = head.only("sec-websocket-key").expect("there is one");
        let agreed = self
            .config
            .deflate
            .as_ref()
            .and_then(|deflate| deflate::accept(head.all("sec-websocket-extensions"), deflate));
        let protocol = protocols.first().filter(|_| self.chooses).map(|name| String::from(*name));
        let accept = protocol.iter().fold(Accept::new(), |accept, name| accept.protocol(name));
        let accept = accept.header("X-Mine", "1").expect("a legal field");
        let request = match request.accept(Accept::new().protocol("never offered"), NOW) {
            Err(error) => error.into_request(),
            Ok(_) => panic!("nobody has offered it"),
        };
        let mut connection = request.accept(accept, NOW).expect("it was offered");
        assert_eq!(connection.deflate(), agreed);

        // The answer, and what stood behind the head: the connection does what a new one does with it.
        let mut fresh = Connection::server(self.config.clone(), NOW);
        if let (Some(agreed), Some(deflate)) = (agreed, &self.config.deflate) {
            fresh = fresh.with_deflate(agreed, deflate);
        }
        fresh.input().put_slice(&wire[end..]);
        fresh.handle_input(NOW);
        connection.input().put_slice(&wire[given..]);
        connection.handle_input(NOW);
        let seen = events(&mut connection);
        assert_eq!(seen, events(&mut fresh));
        let output = take(connection.output());
        let (answer, behind) = output.split_at(head::end(&output).expect("a whole head"));
        assert_eq!(behind, take(fresh.output()));
        let (status, answer, _) = head::response(answer);
        assert_eq!(status, 101);
        let expected = head::answer(key);
        assert_eq!(accept_key(std::str::from_utf8(key).expect("it is base64")), expected);
        assert_eq!(answer.only("sec-websocket-accept"), Some(expected.as_bytes()));
        assert_eq!(answer.only("upgrade"), Some(&b"websocket"[..]));
        assert!(answer.names("connection", "upgrade") && answer.only("x-mine").is_some());
        assert_eq!(answer.only("sec-websocket-protocol"), protocol.as_ref().map(String::as_bytes));
        let agreed = agreed.map(|agreed| agreed.to_string());
        assert_eq!(answer.only("sec-websocket-extensions"), agreed.as_ref().map(String::as_bytes));
        Outcome::Accepted(output, seen)
    }

    fn judge_failure(
        &self,
        mut handshake: Handshake,
        rejection: Rejection,
        wire: &[u8],
        new: usize,
        mut meter: Meter,
    ) -> Outcome {
        let error = rejection.error();
        let end = head::end(wire).filter(|end| *end <= self.config.max_head);
        let head = end.and_then(|end| Some((Head::read(&wire[..end])?, end)));
        match (&head, error) {
            (_, HandshakeError::UnexpectedEof | HandshakeError::TimedOut) => assert!(end.is_none()),
            (Some((head, end)), error) => {
                let faults = self.faults(head, *end);
                assert!(
                    faults.sure.contains(&error) || faults.perhaps.contains(&error),
                    "{error:?} of nothing"
                );
            }
            // What is no head by its lines may end with any of these.
            (None, HandshakeError::HeadTooLarge) => assert!(wire.len() >= self.config.max_head),
            (None, HandshakeError::TooManyHeaders) => {
                assert!(wire.iter().filter(|byte| **byte == b'\n').count() > self.config.max_headers);
            }
            (None, error) => {
                assert!(matches!(error, HandshakeError::Malformed | HandshakeError::HttpVersion))
            }
        }
        if let Some(request) = rejection.head() {
            let (head, _) = head.as_ref().expect("it was read");
            assert_eq!([request.method(), request.target()].map(str::as_bytes), head.start[..2]);
            assert!(request.headers().iter().eq(head.fields.iter().copied()));
        }
        let is_head = self.config.max_head >= 5 && wire.starts_with(b"HEAD ");
        let mut output = Vec::new();
        meter.run(|| {
            let mut answer = rejection.into_output();
            while answer.has_remaining() {
                let len = answer.chunk().len();
                aside(|| output.extend_from_slice(answer.chunk()));
                answer.advance(len);
            }
        });
        match error.status() {
            Some(status) => {
                let text = format!("{error}\n");
                assert_refuses(&output, status, if is_head { b"" } else { text.as_bytes() });
            }
            None => assert!(output.is_empty(), "there is nobody to answer"),
        }
        // It stays like that, and nothing of what still comes is kept.
        for more in [&b""[..], COMPLETE, b"\r\n\r\n", &[b'a'; 3000]] {
            meter.run(|| handshake.input().put_slice(more));
            let again = meter.run(|| handshake.poll()).expect_err("it has failed");
            assert_eq!(again.error(), error);
            assert!(again.head().is_none());
            assert_eq!(handshake.poll_timeout(), None);
            meter.run(|| drop(again));
        }
        let owned = meter.owned();
        assert!(owned <= new, "{owned} bytes of a failed handshake, {new} of a new one");
        Outcome::Failed(error, output)
    }

    /// What is wrong with a well-formed head.
    fn faults(&self, head: &Head<'_>, len: usize) -> Faults {
        use HandshakeError::*;
        let [method, target, version] = head.start;
        let line = method.len() + target.len() + version.len() + 2;
        let mut faults = Faults::default();
        let mut sure = |is_wrong: bool, error| faults.sure.extend(is_wrong.then_some(error));
        sure(line > MAX_REQUEST_LINE, UriTooLong);
        sure(len > self.config.max_head, HeadTooLarge);
        sure(head.fields.len() > self.config.max_headers, TooManyHeaders);
        let version = head::version(version);
        sure(version.is_some_and(|version| version != (1, 1)), HttpVersion);
        sure(version.is_none() || !head::is_token(method), Malformed);
        sure(method != b"GET", Method);
        let is_graphic = target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#');
        let is_path = target.starts_with(b"/");
        sure(!is_graphic || !(is_path || target.windows(3).any(|part| part == b"://")), Target);
        sure(head.only("host").is_none_or(|host| host.is_empty() || !host.is_ascii()), Host);
        sure(head.all("origin").len() > 1, Origin);
        sure(
            head.only("origin").is_some_and(|it| !it.iter().all(|byte| matches!(byte, b' '..=b'~'))),
            Origin,
        );
        sure(!head.all("transfer-encoding").is_empty(), Body);
        sure(!matches!(head.all("content-length")[..], [] | [b"0"]), Body);
        let upgrades = head.all("upgrade").len();
        sure(upgrades == 0, UpgradeMissing);
        sure(upgrades > 1 || (upgrades == 1 && !head.names("upgrade", "websocket")), Upgrade);
        sure(!head.names("connection", "upgrade"), Connection);
        sure(head.only("sec-websocket-version") != Some(b"13"), WebSocketVersion);
        sure(head.only("sec-websocket-key").is_none_or(|key| !head::is_key(key)), Key);
        let protocols = head.list("sec-websocket-protocol");
        let is_repeated = |(i, name): (usize, &&[u8])| protocols[..i].contains(name);
        sure(!protocols.iter().all(|name| head::is_token(name)), Protocol);
        sure(protocols.iter().enumerate().any(is_repeated), Protocol);
        let extensions = head.all("sec-websocket-extensions");
        let list: Vec<_> = extensions.iter().flat_map(|value| extension::parse(value)).collect();
        sure(!extensions.is_empty() && (list.is_empty() || list.iter().any(Result::is_err)), Extensions);

        // Rules that are not read here to the last letter: URIs, and what httparse finds in a target.
        let mut perhaps = |is_possible: bool, error| faults.perhaps.extend(is_possible.then_some(error));
        perhaps(!is_path, Target);
        let is_plain = |host: &[u8]| host.iter().all(|byte| byte.is_ascii_alphanumeric());
        perhaps(!head.only("host").is_some_and(is_plain), Host);
        perhaps(!is_graphic || !is_path, Malformed);
        faults
    }
}

/// What a request may be refused for: if there is anything sure, it must be.
#[derive(Default)]
struct Faults {
    sure: Vec<HandshakeError>,
    perhaps: Vec<HandshakeError>,
}

/// A refusal is a response by all rules, after which the connection ends.
fn assert_refuses(output: &[u8], status: u16, body: &[u8]) {
    let (code, head, content) = head::response(output);
    assert_eq!((code, content), (status, body));
    assert!(head.names("connection", "close"));
    let len = head.only("content-length").map(|len| std::str::from_utf8(len).unwrap_or("").parse());
    assert!(content.is_empty() || len == Some(Ok(content.len())), "{len:?}");
    match status {
        405 => assert!(head.list("allow").contains(&&b"GET"[..])),
        426 => assert_eq!(head.only("sec-websocket-version"), Some(&b"13"[..])),
        _ => {}
    }
}
