//! The server's end of the opening handshake: RFC 6455 §4.2, and items 1 to 21 of hostile inputs.
//!
//! Each request is delivered as one blob, byte by byte, and in random pieces; the outcome must be one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;
#[path = "common/opening.rs"]
mod opening;

use core::time::Duration;

use bytes::{Buf, BufMut};
use common::Seen;
use opening::{GOOD, KEY, NOW, Opened, deliveries, head, request_with as with, server_opens};
use proptest::prelude::*;
use sansock::handshake::server::{Accept, Handshake, Rejection, Request};
use sansock::handshake::{HandshakeError, InvalidHeader, Response};
use sansock::{CloseCode, Config, Connection, Error, Event, Output};

fn with_target(target: &str) -> String {
    head(&format!("GET {target} HTTP/1.1"), &GOOD)
}

/// Feeds pieces until there is an outcome; gives it with what was not fed.
fn feed<'a>(config: &Config, pieces: &'a [&'a [u8]]) -> (Result<Option<Request>, Rejection>, &'a [&'a [u8]]) {
    let mut handshake = Handshake::new(config.clone(), NOW);
    for (index, piece) in pieces.iter().enumerate() {
        handshake.input().put_slice(piece);
        match handshake.poll() {
            Ok(None) => {}
            Err(rejection) => {
                // The first error is the only one, whatever else comes.
                handshake.input().put_slice(head("GET / HTTP/1.1", &GOOD).as_bytes());
                assert_eq!(handshake.poll().unwrap_err().error(), rejection.error());
                assert_eq!(handshake.poll_timeout(), None);
                return (Err(rejection), &pieces[index + 1..]);
            }
            Ok(request) => {
                assert!(handshake.poll().unwrap().is_none(), "a request is handed out once");
                assert_eq!(handshake.poll_timeout(), None);
                return (Ok(request), &pieces[index + 1..]);
            }
        }
    }
    (Ok(None), &[])
}

/// The request, the same in every delivery.
fn accepted(config: &Config, bytes: impl AsRef<[u8]>) -> Request {
    let parse = |pieces: &[&[u8]]| feed(config, pieces).0.expect("legal").expect("complete");
    let mut requests =
        deliveries(bytes.as_ref()).into_iter().map(|pieces| parse(&pieces)).collect::<Vec<_>>();
    let first = requests.remove(0);
    for other in requests {
        assert_eq!(first.target(), other.target());
        assert!(first.headers().iter().eq(other.headers()));
    }
    first
}

fn accept(bytes: impl AsRef<[u8]>) -> Request {
    accepted(&Config::default(), bytes)
}

/// The error, the same in every delivery, each time answered with its status and a close.
fn rejected(config: &Config, bytes: impl AsRef<[u8]>) -> HandshakeError {
    let is_head = bytes.as_ref().iter().take(config.max_head).take(5).eq(b"HEAD ");
    let mut errors = deliveries(bytes.as_ref()).into_iter().map(|pieces| {
        let rejection = feed(config, &pieces).0.expect_err("illegal");
        let error = rejection.error();
        let (start, fields, body) = parts(rejection.into_output());
        let status = error.status().expect("somebody is there to be told");
        assert!(start.starts_with(&format!("HTTP/1.1 {status} ")), "{start}");
        // Rule F: every answer other than 101 carries `Connection: close`.
        assert!(fields.iter().any(|(name, value)| name == "Connection" && value.starts_with("close")));
        let expected = if is_head { String::new() } else { format!("{error}\n") };
        assert_eq!(body, expected);
        error
    });
    let first = errors.next().unwrap();
    assert!(errors.all(|error| error == first), "another delivery, another error than {first:?}");
    first
}

fn reject(bytes: impl AsRef<[u8]>) -> HandshakeError {
    rejected(&Config::default(), bytes)
}

/// All that waits to be written.
fn drain(output: &mut Output) -> String {
    let len = output.remaining();
    String::from_utf8(output.copy_to_bytes(len).to_vec()).unwrap()
}

/// Start line, fields and body of a response.
fn parts(mut output: Output) -> (String, Vec<(String, String)>, String) {
    let text = drain(&mut output);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let start = lines.next().unwrap().to_string();
    let fields =
        lines.map(|line| line.split_once(": ").unwrap()).map(|(n, v)| (n.into(), v.into())).collect();
    (start, fields, body.into())
}

/// The events of a connection, in words.
fn events(connection: &mut Connection) -> Result<Vec<String>, Error> {
    let mut events = Vec::new();
    while let Some(event) = connection.poll_event()? {
        match event {
            Event::Text(text) => events.push(text.to_string()),
            other => events.push(format!("{other:?}")),
        }
    }
    Ok(events)
}

#[test]
fn section_1_3_the_example() {
    let request = accept(
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
         Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    assert_eq!((request.method(), request.target(), request.query()), ("GET", "/chat", None));
    assert_eq!((request.host(), request.origin()), ("server.example.com", Some("http://example.com")));
    assert!(request.protocols().eq(["chat", "superchat"]));
    assert_eq!(request.headers().iter().len(), 7);
    assert_eq!(request.header("upgrade"), Some(&b"websocket"[..]));
    let mut connection = request.accept(Accept::new().protocol("chat"), NOW).unwrap();
    assert_eq!(
        drain(connection.output()),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    );
}

#[test]
fn section_4_2_2_a_subprotocol_is_one_that_was_offered() {
    for (offered, chosen, is_legal) in [
        (&["a, b", "c"][..], "c", true),
        (&["a"], "A", false),
        (&["a, b"], "a, b", false),
        (&["a"], "", false),
        (&[], "a", false),
    ] {
        let request = accept(with("Sec-WebSocket-Protocol", offered));
        match request.accept(Accept::new().protocol(chosen), NOW) {
            Ok(mut connection) => {
                assert!(is_legal);
                assert!(drain(connection.output()).contains("\r\nSec-WebSocket-Protocol: c\r\n"));
            }
            Err(error) => {
                assert!(!is_legal);
                let mut connection = error.into_request().accept(Accept::new(), NOW).unwrap();
                assert!(!drain(connection.output()).contains("Protocol:"));
            }
        }
    }
}

#[test]
fn rfc_6265_4_2_1_cookies() {
    let request = accept(with("Cookie", &["a=1; b=x=y;c= 3 ;; =4; 5; d=", "\u{1f36a}=\"q\""]));
    let found: Vec<_> = request.cookies().collect();
    assert_eq!(found, [("a", "1"), ("b", "x=y"), ("c", "3"), ("d", ""), ("\u{1f36a}", "\"q\"")]);
    // One that cannot be read hides none of the others.
    let mut head = with("Cookie", &["session=7; x=?; y=8"]).into_bytes();
    let place = head.iter().position(|byte| *byte == b'?').unwrap();
    head[place] = 0xff;
    assert_eq!(accept(head).cookies().collect::<Vec<_>>(), [("session", "7"), ("y", "8")]);
}

#[test]
fn hostile_01_method() {
    for method in ["POST", "HEAD", "CONNECT", "OPTIONS", "get", "GETS", "G"] {
        assert_eq!(reject(head(&format!("{method} / HTTP/1.1"), &GOOD)), HandshakeError::Method);
    }
    // A tunnel is refused as such, and what a POST brings is not looked at.
    assert_eq!(reject(head("CONNECT example.com:443 HTTP/1.1", &GOOD)), HandshakeError::Method);
    let with_body = head("POST / HTTP/1.1", &[&GOOD[..], &[("Content-Length", "5")]].concat());
    assert_eq!(reject(with_body + "hello"), HandshakeError::Method);
    let (.., fields, _) = parts(blob(&head("POST / HTTP/1.1", &GOOD)).unwrap_err().into_output());
    assert!(fields.contains(&("Allow".into(), "GET".into())));
}

fn blob(text: &str) -> Result<Option<Request>, Rejection> {
    feed(&Config::default(), &[text.as_bytes()]).0
}

#[test]
fn hostile_02_http_version() {
    for version in ["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "HTTP/3.0"] {
        assert_eq!(
            reject(head(&format!("GET / {version}"), &GOOD)),
            HandshakeError::HttpVersion,
            "{version}"
        );
    }
    for start in [
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.11",
        "GET /",
        "GET",
        "GET  / HTTP/1.1",
        " GET / HTTP/1.1",
        "G\tT",
        "GET / http/1.1",
        "GET / HTTP/11",
        "GET /a b HTTP/1.1",
        "GET / HTTP/1.1\t",
        "GET / HTTP/1.",
        "GET / HTTP/1,1",
    ] {
        assert_eq!(reject(head(start, &GOOD)), HandshakeError::Malformed, "{start}");
    }
    assert_eq!(reject("\r\nGET / HTTP/1.1\r\n\r\n"), HandshakeError::Malformed);
    assert_eq!(reject("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), HandshakeError::HttpVersion);
    // The version is all that follows the target.
    assert_eq!(reject("GET / HTTP/2.0 x\r\n\r\n"), HandshakeError::Malformed);
    assert_eq!(reject("GET / x HTTP/2.0\r\n\r\n"), HandshakeError::Malformed);
    // A TLS client is told at its first byte, not at the deadline.
    assert_eq!(reject(b"\x16\x03\x01\x02\x00\x01"), HandshakeError::Malformed);
}

#[test]
fn hostile_03_host() {
    #[rustfmt::skip]
    let bad = [
        "", "a b", "a\tb", "a/b", "a@b", "a:b", "a:65536", "a:1:2", ":80", "[::1", "[::g]", "[::1]x",
        "h\u{f6}st",
    ];
    for value in bad {
        assert_eq!(reject(with("Host", &[value])), HandshakeError::Host, "{value:?}");
    }
    for values in [&[][..], &["a", "a"], &["a", "b"]] {
        assert_eq!(reject(with("Host", values)), HandshakeError::Host);
    }
    for value in
        ["a", "a:80", "a:", "127.0.0.1:9001", "[::1]", "[::1]:80", "under_score.example", "xn--hst-sna"]
    {
        assert_eq!(accept(with("Host", &[value])).host(), value);
    }
}

#[test]
fn hostile_04_absolute_form() {
    for (target, host, path, query) in [
        ("http://a.example/chat?x=1", "a.example", "/chat", Some("x=1")),
        ("WS://a.example:8080/chat", "a.example:8080", "/chat", None),
        ("https://[::1]", "[::1]", "/", None),
        ("wss://a.example?", "a.example", "/", Some("")),
        ("/chat?a?b", "example.com", "/chat", Some("a?b")),
        ("//a//b", "example.com", "//a//b", None),
    ] {
        let request = accept(with_target(target));
        assert_eq!((request.target(), request.host()), (target, host));
        assert_eq!((request.path(), request.query()), (path, query));
    }
    for target in
        ["*", "chat", "example.com:80", "ftp://a/", "http://", "http:///x", "http://u@a/", "http://a b/"]
    {
        assert_eq!(reject(with_target(target)).status(), Some(400), "{target}");
    }
}

#[test]
fn hostile_05_target_characters_and_length() {
    for target in ["/#f", "/a#", "/\0", "/\x7f", "/\x01", "/h\u{f6}", "/\u{1f36a}"] {
        assert_eq!(reject(with_target(target)).status(), Some(400), "{target:?}");
    }
    assert_eq!(reject([b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n".as_slice()].concat()).status(), Some(400));
    // Browsers leave some characters in a query that RFC 3986 does not have.
    drop(accept(with_target("/a?{\"b\"}|^`<>\\")));

    let fits = "x".repeat((8 << 10) - "GET / HTTP/1.1".len());
    assert_eq!(accept(with_target(&format!("/{fits}"))).target().len(), fits.len() + 1);
    assert_eq!(reject(with_target(&format!("/{fits}x"))), HandshakeError::UriTooLong);
    assert_eq!(reject("x".repeat(8195)), HandshakeError::UriTooLong);
}

#[test]
fn hostile_06_connection_tokens() {
    let good = [
        &["keep-alive, UPGRADE"][..],
        &["close", "upgrade"],
        &[",,upgrade,"],
        &["Upgrade\t, x"],
        &["", "upgrade"],
    ];
    for values in good {
        drop(accept(with("Connection", values)));
    }
    let bad = [
        &["notupgrade"][..],
        &["up grade"],
        &["upgrade;q=1"],
        &["close"],
        &[""],
        &[],
        &["upgrade, \"x"],
        &["x/y, upgrade"],
    ];
    for values in bad {
        assert_eq!(reject(with("Connection", values)), HandshakeError::Connection, "{values:?}");
    }
}

#[test]
fn hostile_07_upgrade() {
    for value in ["WebSocket", "websocket, h2c", "TLS/1.0,websocket", ",websocket,"] {
        drop(accept(with("Upgrade", &[value])));
    }
    for values in [
        &["websocketx"][..],
        &["web socket"],
        &["websocket/13"],
        &[""],
        &["h2c"],
        &["websocket, h2 c"],
        &["websocket, h2c/"],
        &["websocket", "websocket"],
    ] {
        assert_eq!(reject(with("Upgrade", values)), HandshakeError::Upgrade, "{values:?}");
    }
    assert_eq!(reject(with("Upgrade", &[])), HandshakeError::UpgradeMissing);

    let rejection = blob("GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n").unwrap_err();
    assert_eq!(rejection.head().map(|head| (head.method(), head.target())), Some(("GET", "/index.html")));
    assert_eq!(rejection.head().and_then(|head| head.header("host")), Some(&b"a"[..]));
    let (start, fields, _) = parts(rejection.into_output());
    assert_eq!(start, "HTTP/1.1 426 Upgrade Required");
    for (name, value) in
        [("Upgrade", "websocket"), ("Connection", "close, Upgrade"), ("Sec-WebSocket-Version", "13")]
    {
        assert!(fields.contains(&(name.into(), value.into())), "{name}");
    }
}

#[test]
fn hostile_08_key() {
    let long = "A".repeat(10 << 10);
    for values in [
        &[][..],
        &[""],
        &[KEY, KEY],
        &["dGhlIHNhbXBsZSBub25j"],     // 15 bytes
        &["dGhlIHNhbXBsZSBub25jZQA="], // 17 bytes
        &["dGhlIHNhbXBsZSBub25jZQAA"], // 18 bytes
        &["dGhlIHNhbXBsZSBub25jZQ"],   // no padding
        &["dGhlIHNhbXBsZSBub25jZR=="], // bits behind the last byte
        &["AQIDBAUGBwgJCgsMDQ4PEC=="], // as in RFC 6455 §4.1, which errs
        &["_-hlIHNhbXBsZSBub25jZQ=="], // another alphabet
        &["dGhlIHNhbXBs ZSBub25jZQ=="],
        &["dGhlIHNhbXBsZSBub25jZQ==dGhl"],
        &[&long],
    ] {
        assert_eq!(reject(with("Sec-WebSocket-Key", values)), HandshakeError::Key, "{values:?}");
    }
}

#[test]
fn hostile_09_version() {
    #[rustfmt::skip]
    let bad = [
        &["8"][..], &["13", "13"], &["13, 8"], &["8, 13"], &["8", "13"], &["013"], &["0xd"], &["+13"], &["13."],
        &["1 3"], &["\u{a0}13"], &["\"13\""], &["13;"], &[""], &[],
    ];
    for values in bad {
        let request = with("Sec-WebSocket-Version", values);
        assert_eq!(reject(&request), HandshakeError::WebSocketVersion, "{values:?}");
        let (start, fields, _) = parts(blob(&request).unwrap_err().into_output());
        assert!(start.starts_with("HTTP/1.1 426 "));
        assert!(fields.contains(&("Sec-WebSocket-Version".into(), "13".into())));
    }
    // RFC 9110 §5.5: "A field value does not include leading or trailing whitespace."
    drop(accept(with("Sec-WebSocket-Version", &[" 13 "])));
    drop(accept(with("Sec-WebSocket-Version", &["\t13\t "])));
}

#[test]
fn hostile_10_line_ends_and_names() {
    let good = head("GET / HTTP/1.1", &GOOD);
    for (from, to) in [
        ("\r\nUpgrade", "\nUpgrade"),
        ("\r\nUpgrade", "\rUpgrade"),
        ("\r\nUpgrade", "\r\r\nUpgrade"),
        ("HTTP/1.1\r\n", "HTTP/1.1\n"),
        ("\r\n\r\n", "\n\n"),
        ("\r\n\r\n", "\r\n\n"),
        ("\r\n\r\n", "\r\n\rx"),
        ("example.com", "exa\rmple.com"),
        ("example.com", "exa\nmple.com"),
        ("example.com", "exa\0mple.com"),
        ("example.com", "example.com\r\n folded"),
        ("example.com", "example.com\r\n\tfolded"),
        ("Host: example.com", " folded\r\nHost: example.com"),
        ("Host:", "Host :"),
        ("Host:", "Host\t:"),
        ("Host:", ":"),
        ("Host:", "Ho st:"),
        ("Host:", "H\u{f6}st:"),
        ("Host:", "Ho\0st:"),
        ("Host:", "Ho\x1bst:"),
        ("Host:", "Host"),
        ("Host:", "(Host):"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_eq!(reject(&bad), HandshakeError::Malformed, "{bad:?}");
    }
    // Values may hold tabs, and bytes that have no defined meaning.
    let request = accept([b"GET / HTTP/1.1\r\nX-Y:\t a\t\xff \t\r\n", &good.as_bytes()[16..]].concat());
    assert_eq!(request.header("x-y"), Some(&b"a\t\xff"[..]));
}

#[test]
fn hostile_11_bodies() {
    #[rustfmt::skip]
    let bad = [
        &[("Content-Length", "5")][..], &[("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
        &[("Transfer-Encoding", "chunked")], &[("transfer-encoding", "identity")],
        &[("Transfer-Encoding", "")], &[("Content-Length", "0"), ("Transfer-Encoding", "identity")],
        &[("Content-Length", "0"), ("Content-Length", "0")], &[("Content-Length", "0, 0")],
        &[("Content-Length", "0"), ("Content-Length", "5")], &[("Content-Length", "5"), ("Content-Length", "5")],
        &[("Content-Length", "+0")], &[("Content-Length", "-0")], &[("Content-Length", "00")],
        &[("Content-Length", "0x0")], &[("Content-Length", "")],
        &[("Content-Length", "18446744073709551616")],
    ];
    for fields in bad {
        for body in ["", "hello", "5\r\nhello\r\n0\r\n\r\n"] {
            let request = head("GET / HTTP/1.1", &[&GOOD, fields].concat());
            assert_eq!(reject(request + body), HandshakeError::Body, "{fields:?}");
        }
    }
    drop(accept(with("Content-Length", &["0"])));
}

#[test]
fn hostile_12_header_count_and_size() {
    let count = |count| head("GET / HTTP/1.1", &[&GOOD[..], &vec![("X", ""); count - GOOD.len()]].concat());
    assert_eq!(accept(count(100)).headers().iter().len(), 100);
    for count in [count(101), count(10_000)] {
        assert_eq!(reject(count), HandshakeError::TooManyHeaders);
    }
    let mut config = Config::default();
    (config.max_headers, config.max_head) = (usize::MAX, usize::MAX);
    assert_eq!(accepted(&config, count(1000)).headers().iter().len(), 1000);
    for count in [count(1001), count(10_000)] {
        assert_eq!(rejected(&config, count), HandshakeError::TooManyHeaders);
    }

    let size = |size| {
        let rest = size - head("GET / HTTP/1.1", &GOOD).len() - "X: \r\n".len();
        with("X", &[&"x".repeat(rest)])
    };
    for legal in [(16 << 10) - 1, 16 << 10] {
        assert_eq!(accept(size(legal)).header("x").map(|value| value.len() > 15 << 10), Some(true));
    }
    for illegal in [(16 << 10) + 1, 1 << 20] {
        assert_eq!(reject(size(illegal)), HandshakeError::HeadTooLarge);
    }
    assert_eq!(blob(&size(20 << 20)).unwrap_err().error(), HandshakeError::HeadTooLarge);
    // Of an endless header nothing is looked at beyond the limit: there it is told of.
    let (endless, mut handshake) = (size(20 << 20), Handshake::new(Config::default(), NOW));
    handshake.input().put_slice(&endless.as_bytes()[..(16 << 10) - 1]);
    assert!(handshake.poll().unwrap().is_none());
    handshake.input().put_slice(&endless.as_bytes()[(16 << 10) - 1..16 << 10]);
    assert_eq!(handshake.poll().unwrap_err().error(), HandshakeError::HeadTooLarge);
    // Which of the two limits a request line breaks: the lower one, or the head's if they are one.
    let line = with_target(&format!("/{}", "x".repeat(10_000)));
    for (max_head, error) in [(8194, HandshakeError::HeadTooLarge), (8195, HandshakeError::UriTooLong)] {
        config.max_head = max_head;
        assert_eq!(rejected(&config, &line), error);
    }
    assert_eq!(HandshakeError::HeadTooLarge.status(), Some(431));
    assert_eq!(HandshakeError::TooManyHeaders.status(), Some(431));
}

#[test]
fn hostile_13_deadline() {
    let request = head("GET / HTTP/1.1", &GOOD);
    for len in [0, 1, request.len() / 2, request.len() - 1] {
        let mut handshake = Handshake::new(Config::default(), NOW + Duration::from_secs(5));
        let deadline = handshake.poll_timeout().unwrap();
        assert_eq!(deadline, NOW + Duration::from_secs(15));
        for (second, byte) in request.as_bytes()[..len].iter().enumerate() {
            handshake.input().put_u8(*byte);
            handshake.handle_timeout(NOW + Duration::from_secs(second as u64 % 15));
            assert!(handshake.poll().unwrap().is_none());
            assert_eq!(handshake.poll_timeout(), Some(deadline), "traffic does not extend it");
        }
        handshake.handle_timeout(deadline);
        handshake.input().put_slice(&request.as_bytes()[len..]);
        let rejection = handshake.poll().unwrap_err();
        assert_eq!(rejection.error(), HandshakeError::TimedOut);
        assert!(parts(rejection.into_output()).0.starts_with("HTTP/1.1 408 "));
    }
}

#[test]
fn hostile_13_the_end_of_the_transport() {
    let request = head("GET / HTTP/1.1", &GOOD);
    for len in [0, 1, request.len() - 1] {
        let mut handshake = Handshake::new(Config::default(), NOW);
        handshake.input().put_slice(&request.as_bytes()[..len]);
        handshake.handle_eof();
        let rejection = handshake.poll().unwrap_err();
        assert_eq!(rejection.error(), HandshakeError::UnexpectedEof);
        assert_eq!(rejection.into_output().remaining(), 0);
    }
    // A client that says all at once and hangs up is answered; then its connection ends.
    let mut handshake = Handshake::new(Config::default(), NOW);
    handshake.input().put_slice(request.as_bytes());
    handshake.handle_eof();
    let mut connection = handshake.poll().unwrap().unwrap().accept(Accept::new(), NOW).unwrap();
    assert_eq!(connection.poll_event().err(), Some(Error::UnexpectedEof));
}

#[test]
fn hostile_14_single_bytes_are_no_offence() {
    let request = with("X", &["y"; 94]);
    let pieces: Vec<_> = request.as_bytes().chunks(1).collect();
    let (outcome, rest) = feed(&Config::default(), &pieces);
    assert_eq!(outcome.unwrap().unwrap().headers().all("x").count(), 94);
    assert!(rest.is_empty());
}

#[test]
fn hostile_15_frames_behind_the_head_are_delivered() {
    let frames = b"\x81\x82\0\0\0\0hi\x81\x83\x01\x01\x01\x01xnt";
    let bytes = [with("Origin", &["null"]).as_bytes(), frames].concat();
    for pieces in deliveries(&bytes) {
        let (outcome, rest) = feed(&Config::default(), &pieces);
        let mut connection = outcome.unwrap().unwrap().accept(Accept::new(), NOW).unwrap();
        let mut found = events(&mut connection).unwrap();
        for piece in rest {
            connection.input().put_slice(piece);
            connection.handle_input(NOW);
            found.extend(events(&mut connection).unwrap());
        }
        assert_eq!(found, ["hi", "you"]);
    }
}

#[test]
fn hostile_16_a_second_request_is_a_bad_frame() {
    let two = head("GET / HTTP/1.1", &GOOD).repeat(2);
    let Opened::Open { seen, said, .. } = server_opens(&Config::default(), two) else { panic!("refused") };
    let [Seen::Failed(error)] = seen[..] else { panic!("{seen:?}") };
    assert_eq!(error.close_code(), Some(CloseCode::PROTOCOL_ERROR));
    assert!(said.starts_with(b"HTTP/1.1 101 "), "the 101 comes first");
    assert_eq!(said.windows(5).filter(|window| window == b"HTTP/").count(), 1);
    assert!(said.windows(4).any(|window| window == [0x88, 2, 0x03, 0xea]), "then a Close frame with 1002");
}

#[test]
fn hostile_17_expect_is_not_answered() {
    let mut connection = accept(with("Expect", &["100-continue"])).accept(Accept::new(), NOW).unwrap();
    assert!(drain(connection.output()).starts_with("HTTP/1.1 101 "));
    // Nor is it where there is a body to continue with: the refusal is the answer.
    let fields = [&GOOD[..], &[("Expect", "100-continue"), ("Content-Length", "5")]].concat();
    assert_eq!(reject(head("GET / HTTP/1.1", &fields)), HandshakeError::Body);
}

#[test]
fn hostile_18_extensions() {
    const NAME: &str = "Sec-WebSocket-Extensions";
    let mut config = Config::default();
    config.max_head = 32 << 10;
    let many = vec!["x-ext; a=1; a=1"; 1000].join(",");
    let of_8_kib = "a;b=\"c\",".repeat((8 << 10) / 8);
    #[rustfmt::skip]
    let declined = [
        &["permessage-deflate; client_max_window_bits"][..], &["unknown", "a, b"], &[&many], &[&of_8_kib],
        &["a; b=\"c\"; b=\"c\""], &["a; b=\"\\c\\d\""], &["permessage-deflate, permessage-deflate"],
        &["", "a"],
    ];
    for values in declined {
        let request = accepted(&config, with(NAME, values));
        assert!(request.extensions().next().is_some());
        let mut connection = request.accept(Accept::new(), NOW).unwrap();
        assert!(!drain(connection.output()).contains(NAME), "nothing was agreed to");
    }
    let quote = format!("a; b=\"{}", "\\c".repeat(4000));
    let (unfinished, trailing) = (format!("{of_8_kib}a;"), format!("{many};"));
    #[rustfmt::skip]
    let bad = [
        &quote, &unfinished, &trailing, "permessage-deflate;", "a;;b", "", ",", "a b", "a; b=\"c d\"",
        "a; b=\"\"", "a=b", "a; =b", "a; b=", "a; b=\"c\\", "permessage-deflate; ",
    ];
    for value in bad {
        assert_eq!(rejected(&config, with(NAME, &[value])), HandshakeError::Extensions, "{value:?}");
    }
    let request = accept(with(NAME, &["foo", "bar; baz=2"]));
    assert!(request.extensions().map(|offer| offer.name()).eq(["foo", "bar"]));
}

#[test]
fn hostile_19_protocols() {
    const NAME: &str = "Sec-WebSocket-Protocol";
    let mut config = Config::default();
    config.max_head = 64 << 10;
    let spaces = format!("b{}x", " ".repeat(30_000));
    let copies = vec!["a"; 15_000].join(",");
    #[rustfmt::skip]
    let bad = [
        &[""][..], &[","], &["a,"], &["a,,b"], &["a, a"], &["a", "b", "a"], &["a b"], &["a/b"], &["\"a\""],
        &["h\u{f6}"], &[&spaces], &[&copies],
    ];
    for values in bad {
        assert_eq!(rejected(&config, with(NAME, values)), HandshakeError::Protocol);
    }
    for control in ["a\0", "a\x01", "\x7f", "a\nb", "a\rb"] {
        assert_eq!(reject(with(NAME, &[control])), HandshakeError::Malformed, "{control:?}");
    }
    assert_eq!(reject(with(NAME, &["a\tb"])), HandshakeError::Protocol);
    let request = accept(with(NAME, &["b ,a", "A"]));
    assert!(request.protocols().eq(["b", "a", "A"]));
}

#[test]
fn hostile_20_headers_of_the_application() {
    for value in ["a\r\nX: b", "a\nb", "a\rb", "a\0b", "\x7f", "\x1b[1m"] {
        assert_eq!(Accept::new().header("X", value).err(), Some(InvalidHeader::Value));
        assert_eq!(Response::new(403).unwrap().header("X", value).err(), Some(InvalidHeader::Value));
    }
    for name in ["", "X ", "X:", "X\r\nY", "\u{f6}"] {
        assert_eq!(Accept::new().header(name, "a").err(), Some(InvalidHeader::Name));
        assert_eq!(Response::new(403).unwrap().header(name, "a").err(), Some(InvalidHeader::Name));
    }
    for name in ["connection", "Content-Length", "Transfer-Encoding"] {
        assert_eq!(Accept::new().header(name, "a").err(), Some(InvalidHeader::Managed));
        assert_eq!(Response::new(403).unwrap().header(name, "a").err(), Some(InvalidHeader::Managed));
    }
    for name in ["upgrade", "Sec-WebSocket-Accept", "SEC-WEBSOCKET-EXTENSIONS", "Sec-WebSocket-Protocol"] {
        assert_eq!(Accept::new().header(name, "a").err(), Some(InvalidHeader::Managed));
    }
    let accepted = Accept::new().header("Set-Cookie", "a=1").unwrap().header("Set-Cookie", "b=2").unwrap();
    let mut connection = accept(with("X", &[])).accept(accepted, NOW).unwrap();
    assert!(drain(connection.output()).ends_with("xOo=\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n"));
}

#[test]
fn hostile_20_responses() {
    for status in [0, 100, 101, 199, 1000, u16::MAX] {
        assert!(Response::new(status).is_err());
    }
    let response = || Response::new(401).unwrap().header("WWW-Authenticate", "Basic").unwrap().body("no");
    assert_eq!(
        drain(&mut accept(with("X", &[])).reject(response())),
        "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 2\r\nWWW-Authenticate: Basic\r\n\r\nno"
    );
    // The answer to a HEAD has the head alone, and a 204 has no body.
    let (_, fields, body) = parts(blob(&head("HEAD / HTTP/1.1", &GOOD)).unwrap_err().respond(response()));
    assert!(fields.contains(&("Content-Length".into(), "2".into())) && body.is_empty());
    // Also if that head could not be read, or never came.
    let long = format!("HEAD /{} HTTP/1.1", "x".repeat(9 << 10));
    for text in [&*head(&long, &GOOD), "HEAD / HTTP/1.1\r\nno field\r\n\r\n", "HEAD / HTTP/2.0\r\n\r\n"] {
        let rejection = blob(text).unwrap_err();
        assert!(rejection.head().is_none());
        let (_, fields, body) = parts(rejection.into_output());
        let length = fields.iter().find(|(name, _)| name == "Content-Length").unwrap();
        assert!(length.1 != "0" && body.is_empty(), "{text:.40}");
    }
    let mut tiny = Config::default();
    tiny.max_head = 4;
    assert_eq!(rejected(&tiny, "HEAD / HTTP/1.1\r\n\r\n"), HandshakeError::HeadTooLarge);
    let mut waiting = Handshake::new(Config::default(), NOW);
    waiting.input().put_slice(b"HEAD / HTTP/1.1\r\n");
    assert!(waiting.poll().unwrap().is_none());
    waiting.handle_timeout(waiting.poll_timeout().unwrap());
    let (start, _, body) = parts(waiting.poll().unwrap_err().into_output());
    assert!(start.starts_with("HTTP/1.1 408 ") && body.is_empty());
    let (_, fields, body) = parts(accept(with("X", &[])).reject(Response::new(204).unwrap().body("no")));
    assert!(fields == [("Connection".into(), "close".into())] && body.is_empty());
}

#[test]
fn hostile_21_origin() {
    assert_eq!(accept(with("Origin", &[])).origin(), None);
    for value in ["null", "https://evil.example", ""] {
        assert_eq!(accept(with("Origin", &[value])).origin(), Some(value));
    }
    for values in [&["http://a", "http://b"][..], &["h\u{f6}st"], &["a\tb"]] {
        assert_eq!(reject(with("Origin", values)), HandshakeError::Origin);
    }
}

#[test]
fn hostile_89_nonsense_configurations() {
    let mut config = Config::default();
    (config.max_head, config.max_headers) = (0, 0);
    assert_eq!(rejected(&config, head("GET / HTTP/1.1", &GOOD)), HandshakeError::HeadTooLarge);
    config.max_head = usize::MAX;
    assert_eq!(rejected(&config, head("GET / HTTP/1.1", &GOOD)), HandshakeError::TooManyHeaders);
    config.handshake_timeout = Duration::ZERO;
    assert_eq!(Handshake::new(config.clone(), NOW).poll_timeout(), Some(NOW));
    config.handshake_timeout = Duration::MAX;
    let mut handshake = Handshake::new(config, NOW + Duration::from_secs(1));
    handshake.handle_timeout(NOW);
    assert!(handshake.poll().unwrap().is_none());
}

#[test]
fn section_4_2_2_a_refusal_has_the_usual_words_of_its_status() {
    let words = |status| {
        let output = blob(&with("X", &[])).unwrap().unwrap().reject(Response::new(status).unwrap());
        let (start, ..) = parts(output);
        start.strip_prefix(&format!("HTTP/1.1 {status} ")).unwrap().to_owned()
    };
    for (status, expected) in [
        (200, "OK"),
        (204, "No Content"),
        (301, "Moved Permanently"),
        (302, "Found"),
        (303, "See Other"),
        (304, "Not Modified"),
        (307, "Temporary Redirect"),
        (308, "Permanent Redirect"),
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (408, "Request Timeout"),
        (410, "Gone"),
        (414, "URI Too Long"),
        (421, "Misdirected Request"),
        (426, "Upgrade Required"),
        (429, "Too Many Requests"),
        (431, "Request Header Fields Too Large"),
        (500, "Internal Server Error"),
        (502, "Bad Gateway"),
        (503, "Service Unavailable"),
        (504, "Gateway Timeout"),
        (505, "HTTP Version Not Supported"),
        // RFC 9112 §4: the words may be missing.
        (299, ""),
    ] {
        assert_eq!(words(status), expected);
    }
}

#[test]
fn section_4_2_2_a_refusal_that_names_an_upgrade_says_so_in_connection() {
    for (name, connection) in [("upgrade", "close, Upgrade"), ("X", "close")] {
        let response =
            Response::new(426).unwrap().header(name, "websocket").unwrap().header("Y", "z").unwrap();
        let (_, fields, _) = parts(blob(&with("X", &[])).unwrap().unwrap().reject(response));
        assert!(fields.contains(&("Connection".into(), connection.into())), "{fields:?}");
    }
}

#[test]
fn hostile_93_nothing_of_the_peer_is_echoed() {
    let secret = "Z3cr3t";
    let request = with_target(&format!("/{secret}")).replacen(
        "Host:",
        &format!("Cookie: {secret}\r\nSec-WebSocket-Protocol: {secret},{secret}\r\nHost:"),
        1,
    );
    let rejection = blob(&request).unwrap_err();
    assert_eq!(rejection.error(), HandshakeError::Protocol);
    assert!(!format!("{rejection} {rejection:?}").contains(secret));
    assert!(!drain(&mut rejection.into_output()).contains(secret));
    let request = blob(&request.replacen(&format!("{secret},"), "", 1)).unwrap().unwrap();
    assert!(!format!("{request:?}").contains(secret));
}

/// In one word: what became of bytes.
fn outcome(pieces: &[&[u8]]) -> Result<Option<(String, usize)>, HandshakeError> {
    let (outcome, rest) = feed(&Config::default(), pieces);
    let unfed: usize = rest.iter().map(|piece| piece.len()).sum();
    match outcome {
        Ok(request) => Ok(request.map(|request| {
            let target = request.target().to_string();
            let mut connection = request.accept(Accept::new(), NOW).unwrap();
            (target, isize::MAX as usize - connection.input().remaining_mut() + unfed)
        })),
        Err(rejection) => Err(rejection.error()),
    }
}

proptest! {
    #[test]
    fn rule_e_any_bytes_have_one_outcome(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let all = deliveries(&bytes);
        for pieces in &all {
            prop_assert_eq!(outcome(pieces), outcome(&all[0]));
        }
    }

    /// A good request with some bytes replaced by some that matter.
    #[test]
    fn rule_e_any_damage_has_one_outcome(
        damage in proptest::collection::vec((0_usize..220, "[\0\t\r\n :,;=/\"a\u{80}]{0,3}"), 1..4),
    ) {
        let mut bytes = with("Sec-WebSocket-Extensions", &["a; b=\"c\", d"]).into_bytes();
        for (at, replacement) in damage {
            let at = at.min(bytes.len());
            bytes.splice(at..(at + 1).min(bytes.len()), replacement.bytes());
        }
        let all = deliveries(&bytes);
        for pieces in &all {
            prop_assert_eq!(outcome(pieces), outcome(&all[0]));
        }
    }
}
