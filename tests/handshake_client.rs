//! The client's end of the opening handshake: RFC 6455 §3 and §4.1, and items 20 and 22 to 24 of hostile
//! inputs.
//!
//! Each response is delivered as one blob, byte by byte, and in random pieces; the outcome must be one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;
#[path = "common/opening.rs"]
mod opening;

use core::time::Duration;

use bytes::{Buf, BufMut};
use opening::{NOW, Opened, answer, client_of, client_opens, deliveries, response_with as with};
use proptest::prelude::*;
use sansock::handshake::client::{ClientRequest, Established, Handshake, Outcome, Refused, UrlError};
use sansock::handshake::server::{self, Accept};
use sansock::handshake::{HandshakeError, InvalidHeader, Response, accept_key};
use sansock::{Config, Connection, Event, Output};

fn drain(output: &mut Output) -> String {
    let len = output.remaining();
    String::from_utf8(output.copy_to_bytes(len).to_vec()).unwrap()
}

fn client() -> Handshake {
    opening::client(Config::default())
}

/// Feeds pieces until there is an outcome; gives it with what was not fed.
fn feed<'a>(pieces: &'a [&'a [u8]]) -> (Result<Option<Outcome>, HandshakeError>, &'a [&'a [u8]]) {
    let mut handshake = client();
    for (index, piece) in pieces.iter().enumerate() {
        handshake.input().put_slice(piece);
        let outcome = handshake.poll();
        match &outcome {
            Ok(None) => continue,
            Ok(_) => assert!(handshake.poll().unwrap().is_none(), "an outcome is handed out once"),
            Err(error) => {
                handshake.input().put_slice(with("X", &[]).as_bytes());
                assert_eq!(handshake.poll().unwrap_err(), *error, "the first error is the only one");
            }
        }
        assert_eq!(handshake.poll_timeout(), None);
        return (outcome, &pieces[index + 1..]);
    }
    (Ok(None), &[])
}

fn established(bytes: impl AsRef<[u8]>) -> Established {
    let parse = |pieces: Vec<&[u8]>| match feed(&pieces).0 {
        Ok(Some(Outcome::Established(established))) => established,
        other => panic!("{other:?}"),
    };
    let mut all: Vec<_> = deliveries(bytes.as_ref()).into_iter().map(parse).collect();
    all.remove(0)
}

fn refused(bytes: impl AsRef<[u8]>) -> Refused {
    let parse = |pieces: Vec<&[u8]>| match feed(&pieces).0 {
        Ok(Some(Outcome::Refused(refused))) => refused,
        other => panic!("{other:?}"),
    };
    let mut all: Vec<_> = deliveries(bytes.as_ref()).into_iter().map(parse).collect();
    let blob = all.remove(0);
    for other in all {
        assert_eq!((blob.status(), blob.reason()), (other.status(), other.reason()));
        assert!(blob.headers().iter().eq(other.headers()));
    }
    blob
}

fn failed(bytes: impl AsRef<[u8]>) -> HandshakeError {
    let mut errors = deliveries(bytes.as_ref()).into_iter().map(|pieces| feed(&pieces).0.unwrap_err());
    let first = errors.next().unwrap();
    assert!(errors.all(|error| error == first), "another delivery, another error than {first:?}");
    first
}

fn texts(connection: &mut Connection) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(event) = connection.poll_event().unwrap() {
        let Event::Text(text) = event else { panic!("{event:?}") };
        texts.push(text.to_string());
    }
    texts
}

#[test]
fn section_3_uris() {
    for (url, is_secure, host, port, resource_name) in [
        ("ws://example.com", false, "example.com", 80, "/"),
        ("WSS://Example.com/", true, "Example.com", 443, "/"),
        ("ws://a:8080/chat?x=1&y=%20?/", false, "a", 8080, "/chat?x=1&y=%20?/"),
        ("ws://a?x", false, "a", 80, "/?x"),
        ("ws://a/b?", false, "a", 80, "/b"),
        ("wss://a:/", true, "a", 443, "/"),
        ("ws://127.0.0.1:65535/%23", false, "127.0.0.1", 65535, "/%23"),
        ("ws://[2001:db8::1]/", false, "2001:db8::1", 80, "/"),
        ("wss://[::1]:00080//a/../b;c=@:!", true, "::1", 80, "//a/../b;c=@:!"),
        ("ws://xn--hst-sna_1.example/~", false, "xn--hst-sna_1.example", 80, "/~"),
    ] {
        let request = ClientRequest::new(url).unwrap();
        assert_eq!((request.is_secure(), request.host(), request.port()), (is_secure, host, port), "{url}");
        assert_eq!(request.resource_name(), resource_name);
    }
    for (url, error) in [
        ("", UrlError::Scheme),
        ("example.com", UrlError::Scheme),
        ("http://a/", UrlError::Scheme),
        (" ws://a/", UrlError::Scheme),
        ("ws:/a/", UrlError::Scheme),
        ("ws://", UrlError::Host),
        ("ws:///a", UrlError::Host),
        ("ws://:80/", UrlError::Host),
        ("ws://a b/", UrlError::Host),
        ("ws://h\u{f6}st/", UrlError::Host),
        ("ws://a%2/", UrlError::Host),
        ("ws://a\\b/", UrlError::Host),
        ("ws://[::1/", UrlError::Host),
        ("ws://[::1]a/", UrlError::Host),
        ("ws://[fe80::1%25eth0]/", UrlError::Host),
        ("ws://[v1.x]/", UrlError::Host),
        ("ws://::1/", UrlError::Host),
        ("ws://a:x/", UrlError::Port),
        ("ws://a:+80/", UrlError::Port),
        ("ws://a:65536/", UrlError::Port),
        ("ws://u:p@a/", UrlError::UserInfo),
        ("ws://a/#f", UrlError::Fragment),
        ("ws://a#", UrlError::Fragment),
        ("ws://a/b c", UrlError::Character),
        ("ws://a/\r\nX: y", UrlError::Character),
        ("ws://a/\0", UrlError::Character),
        ("ws://a/?\u{f6}", UrlError::Character),
        ("ws://a/%2", UrlError::Character),
        ("ws://a/%zz", UrlError::Character),
        ("ws://a/%1g", UrlError::Character),
        ("ws://a/<>", UrlError::Character),
    ] {
        assert_eq!(ClientRequest::new(url).err(), Some(error), "{url:?}");
    }
}

#[test]
fn section_4_1_the_request() {
    let request = ClientRequest::new("ws://[::1]:8080/chat?x=1").unwrap();
    let request = request.protocol("a").unwrap().protocol("b").unwrap().header("Origin", "null").unwrap();
    let text = |seed| drain(Handshake::new(request.clone(), Config::default(), [seed; 32], NOW).output());
    let (before, after) =
        text(1).split_once("Sec-WebSocket-Key: ").map(|(a, b)| (a.to_string(), b.to_string())).unwrap();
    assert_eq!(
        before,
        "GET /chat?x=1 HTTP/1.1\r\nHost: [::1]:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    );
    assert_eq!(
        &after[24..],
        "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a, b\r\nOrigin: null\r\n\r\n"
    );
    // "The nonce MUST be selected randomly for each connection."
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
    for (url, host) in
        [("ws://a:80/", "a"), ("wss://a:80/", "a:80"), ("wss://a:443/", "a"), ("ws://[::1]/", "[::1]")]
    {
        let request = ClientRequest::new(url).unwrap();
        let text = drain(Handshake::new(request, Config::default(), [0; 32], NOW).output());
        assert!(text.contains(&format!("\r\nHost: {host}\r\n")), "{text}");
        assert!(!text.contains("Protocol"));
    }
}

#[test]
fn section_5_3_masking_keys_go_on_where_the_nonce_ended() {
    let mut connection = established(with("X", &[])).into_connection(NOW);
    connection.binary(&[0; 16]).unwrap();
    let frame = connection.output().chunk().to_vec();
    let mut fresh = Connection::client(Config::default(), [7; 32], NOW);
    fresh.binary(&[0; 16]).unwrap();
    assert_ne!(frame, fresh.output().chunk(), "the first keys of the stream were the nonce");
}

#[test]
fn hostile_20_headers_of_the_application() {
    let request = || ClientRequest::new("ws://a/").unwrap();
    for value in ["a\r\nX: b", "a\nb", "a\rb", "a\0b"] {
        assert_eq!(request().header("X", value).err(), Some(InvalidHeader::Value));
    }
    for name in ["", "X ", "X\r\nY"] {
        assert_eq!(request().header(name, "a").err(), Some(InvalidHeader::Name));
    }
    for name in ["host", "Upgrade", "connection", "Content-Length", "Transfer-Encoding", "sec-websocket-key"]
    {
        assert_eq!(request().header(name, "a").err(), Some(InvalidHeader::Managed));
    }
    for name in ["", "a b", "a,b", "a\r\n", "h\u{f6}"] {
        assert_eq!(request().protocol(name).err(), Some(InvalidHeader::Protocol));
    }
    assert_eq!(request().protocol("a").unwrap().protocol("a").err(), Some(InvalidHeader::Protocol));
    // A tab is the one control character that a value may have (RFC 9110 §5.5).
    let tabbed = request().header("X", "a\tb").unwrap();
    let text = drain(Handshake::new(tabbed, Config::default(), [0; 32], NOW).output());
    assert!(text.contains("\r\nX: a\tb\r\n"), "{text}");
    assert!(!format!("{:?}", request().header("Authorization", "Z3cr3t").unwrap()).contains("Z3cr3t"));
}

#[test]
fn hostile_22_status() {
    for (start, status, reason) in [
        ("HTTP/1.1 200 OK", 200, "OK"),
        ("HTTP/1.1 301 Moved to 101", 301, "Moved to 101"),
        ("HTTP/1.1 401 101", 401, "101"),
        ("HTTP/1.0 503 Busy", 503, "Busy"),
        ("HTTP/1.1 299", 299, ""),
        ("HTTP/1.1 999 ", 999, ""),
    ] {
        let refused = refused(format!("{start}\r\nLocation: wss://b/\r\nlocation: x\r\n\r\nbody"));
        assert_eq!((refused.status(), refused.reason()), (status, reason));
        assert_eq!(refused.header("LOCATION"), Some(&b"wss://b/"[..]));
        assert_eq!(refused.headers().all("location").count(), 2);
        assert!(b"body".starts_with(refused.body()));
    }
    let good = with("X", &[]);
    for (start, error) in [
        ("HTTP/1.0 101 Switching Protocols", HandshakeError::ResponseVersion),
        ("HTTP/2.0 101 Switching Protocols", HandshakeError::ResponseVersion),
        ("HTTP/1.1 1010 Switching Protocols", HandshakeError::Malformed),
        ("HTTP/1.1 10", HandshakeError::Malformed),
        ("HTTP/1.1 099 x", HandshakeError::Malformed),
        ("HTTP/1.1  101 x", HandshakeError::Malformed),
        ("GET / HTTP/1.1", HandshakeError::Malformed),
        (" HTTP/1.1 101 x", HandshakeError::Malformed),
        ("\r\nHTTP/1.1 101 x", HandshakeError::Malformed),
        ("HTTP/1.1 101 x\nX: y", HandshakeError::Malformed),
        ("HTTP/1.1 101 x\r\nX : y", HandshakeError::Malformed),
        ("HTTP/1.1 101 x\r\nX: y\r\n z", HandshakeError::Malformed),
    ] {
        let bad = good.replacen("HTTP/1.1 101 Switching Protocols", start, 1);
        assert_eq!(failed(&bad), error, "{bad:?}");
    }
}

#[test]
fn hostile_22_interim_responses_are_skipped() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let found = established(format!("{interim}{}", with("X", &["y"])));
    assert_eq!((found.header("x"), found.header("link")), (Some(&b"y"[..]), None));
    assert_eq!(refused(format!("{interim}HTTP/1.1 404 Not Found\r\n\r\n")).status(), 404);
    // All heads together have the limit of one.
    assert_eq!(failed("HTTP/1.1 100 Continue\r\n\r\n".repeat(1000)), HandshakeError::HeadTooLarge);
}

#[test]
fn hostile_23_the_answer() {
    let answer = answer();
    let other_case = answer.to_ascii_lowercase();
    let of_another_key = accept_key("dGhlIHNhbXBsZSBub25jZQ==");
    let unpadded = answer.trim_end_matches('=');
    for values in [&[][..], &[""], &[&answer, &answer], &[&other_case], &[&of_another_key], &[unpadded]] {
        assert_eq!(failed(with("Sec-WebSocket-Accept", values)), HandshakeError::Accept, "{values:?}");
    }
    drop(established(with("Sec-WebSocket-Accept", &[&format!("\t {answer} \t")])));

    for values in [&[][..], &["h2c"], &["websocket, h2c"], &["websocket", "websocket"]] {
        assert_eq!(failed(with("Upgrade", values)), HandshakeError::ResponseUpgrade);
    }
    for values in [&[][..], &["close"], &["up grade"]] {
        assert_eq!(failed(with("Connection", values)), HandshakeError::ResponseConnection);
    }
    drop(established(with("Upgrade", &["WebSocket"])));
    drop(established(with("Connection", &["keep-alive", "x, UPGRADE"])));
    assert!(HandshakeError::Accept.status().is_none());
}

#[test]
fn hostile_24_what_was_not_offered() {
    const PROTOCOL: &str = "Sec-WebSocket-Protocol";
    for values in [&["v3.chat"][..], &["V1.chat"], &["v1.chat, v2.chat"], &["v1.chat", "v1.chat"], &[""]] {
        assert_eq!(failed(with(PROTOCOL, values)), HandshakeError::ProtocolNotOffered, "{values:?}");
    }
    assert_eq!(established(with(PROTOCOL, &["v1.chat"])).protocol(), Some("v1.chat"));
    assert_eq!(established(with(PROTOCOL, &[])).protocol(), None);
    for value in ["permessage-deflate", "permessage-deflate, permessage-deflate", "x", "", ";"] {
        let response = with("Sec-WebSocket-Extensions", &[value]);
        assert_eq!(failed(response), HandshakeError::ExtensionNotOffered);
    }
}

#[test]
fn hostile_24_a_large_head() {
    assert_eq!(failed(with("X", &[&"x".repeat(1 << 20)])), HandshakeError::HeadTooLarge);
    assert_eq!(failed("x".repeat(1 << 20)), HandshakeError::HeadTooLarge);
    assert_eq!(failed(with("X", &["x"; 98])), HandshakeError::TooManyHeaders);
    drop(established(with("X", &["x"; 97])));
}

#[test]
fn hostile_24_frames_behind_the_head_are_delivered() {
    let bytes = [with("X", &[]).as_bytes(), b"\x81\x02hi\x81\x03you"].concat();
    for pieces in deliveries(&bytes) {
        let (Ok(Some(Outcome::Established(established))), rest) = feed(&pieces) else { panic!("refused") };
        let mut connection = established.into_connection(NOW);
        let mut found = texts(&mut connection);
        for piece in rest {
            connection.input().put_slice(piece);
            connection.handle_input(NOW);
            found.extend(texts(&mut connection));
        }
        assert_eq!(found, ["hi", "you"]);
    }
}

/// Heads are taken off a blob without what is behind them moving each time: nothing of it may go astray.
#[test]
fn hostile_22_frames_behind_many_interim_responses_are_delivered() {
    for count in [1, 2, 3, 10, 300] {
        let heads =
            [&"HTTP/1.1 103 Early Hints\r\nX: z\r\n\r\n".repeat(count)[..], &with("X", &["y"])].concat();
        for frames in [&b""[..], b"\x81\x02hi", &b"\x81\x02hi".repeat(5000)] {
            for pieces in deliveries(&[heads.as_bytes(), frames].concat()) {
                let (Ok(Some(Outcome::Established(established))), rest) = feed(&pieces) else {
                    panic!("refused")
                };
                assert_eq!(established.header("x"), Some(&b"y"[..]));
                let mut connection = established.into_connection(NOW);
                connection.input().put_slice(&rest.concat());
                connection.handle_input(NOW);
                assert!(texts(&mut connection).len() == frames.len() / 4, "{count} before {}", frames.len());
            }
        }
    }
}

#[test]
fn section_4_our_client_and_our_server_agree() {
    let request = ClientRequest::new("wss://a.example:8443/chat?room=1").unwrap();
    let request = request.protocol("v2").unwrap().protocol("v1").unwrap();
    let request = request.header("Cookie", "id=7; lang=en").unwrap().header("Origin", "https://b").unwrap();
    let mut client = Handshake::new(request, Config::default(), [1; 32], NOW);
    let mut server = server::Handshake::new(Config::default(), NOW);
    server.input().put_slice(drain(client.output()).as_bytes());

    let request = server.poll().unwrap().unwrap();
    assert_eq!((request.path(), request.query()), ("/chat", Some("room=1")));
    assert_eq!((request.host(), request.origin()), ("a.example:8443", Some("https://b")));
    assert!(request.protocols().eq(["v2", "v1"]));
    assert!(request.cookies().eq([("id", "7"), ("lang", "en")]));
    let accept = Accept::new().protocol("v1").header("X-Served-By", "s1").unwrap();
    let mut server = request.accept(accept, NOW).unwrap();
    server.text("welcome").unwrap();

    let len = server.output().remaining();
    client.input().put_slice(&server.output().copy_to_bytes(len));
    let Ok(Some(Outcome::Established(established))) = client.poll() else { panic!("refused") };
    assert_eq!(established.protocol(), Some("v1"));
    assert_eq!(established.header("x-served-by"), Some(&b"s1"[..]));
    let mut client = established.into_connection(NOW);
    assert_eq!(texts(&mut client), ["welcome"]);

    client.text("thanks").unwrap();
    let len = client.output().remaining();
    server.input().put_slice(&client.output().copy_to_bytes(len));
    server.handle_input(NOW);
    assert_eq!(texts(&mut server), ["thanks"]);
}

#[test]
fn section_4_1_our_server_refuses_our_client() {
    let (mut client, mut server) = (client(), server::Handshake::new(Config::default(), NOW));
    server.input().put_slice(drain(client.output()).as_bytes());
    let response = Response::new(401).unwrap().header("WWW-Authenticate", "Basic").unwrap().body("who?");
    let mut output = server.poll().unwrap().unwrap().reject(response);
    client.input().put_slice(drain(&mut output).as_bytes());
    let Ok(Some(Outcome::Refused(refused))) = client.poll() else { panic!("established") };
    assert_eq!((refused.status(), refused.reason(), refused.body()), (401, "Unauthorized", &b"who?"[..]));
    assert_eq!(refused.header("connection"), Some(&b"close"[..]));
}

#[test]
fn hostile_13_deadline_and_end() {
    let response = with("X", &[]);
    for len in [0, response.len() - 1] {
        let mut handshake = client();
        handshake.input().put_slice(&response.as_bytes()[..len]);
        let deadline = handshake.poll_timeout().unwrap();
        assert_eq!(deadline, NOW + Duration::from_secs(10));
        handshake.handle_timeout(NOW + Duration::from_secs(9));
        assert!(handshake.poll().unwrap().is_none());
        handshake.handle_timeout(deadline);
        handshake.handle_eof();
        assert_eq!(handshake.poll().unwrap_err(), HandshakeError::TimedOut);

        let mut handshake = client();
        handshake.input().put_slice(&response.as_bytes()[..len]);
        handshake.handle_eof();
        assert_eq!(handshake.poll().unwrap_err(), HandshakeError::UnexpectedEof);
    }
}

/// In one word: what became of bytes.
fn outcome(pieces: &[&[u8]]) -> Result<Option<(u16, usize)>, HandshakeError> {
    let (outcome, rest) = feed(pieces);
    let unfed = rest.iter().map(|piece| piece.len()).sum::<usize>();
    Ok(outcome?.map(|outcome| match outcome {
        Outcome::Established(established) => {
            let left = isize::MAX as usize - established.into_connection(NOW).input().remaining_mut();
            (101, left + unfed)
        }
        Outcome::Refused(refused) => (refused.status(), refused.body().len() + unfed),
    }))
}

proptest! {
    /// A good response with some bytes replaced by some that matter.
    #[test]
    fn rule_e_any_damage_has_one_outcome(
        damage in proptest::collection::vec((0_usize..200, "[\0\t\r\n :,;=/\"a1\u{80}]{0,3}"), 0..4),
    ) {
        let mut bytes = format!("HTTP/1.1 100 Continue\r\n\r\n{}frames", with("X", &["y"])).into_bytes();
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

#[test]
fn section_4_1_the_body_of_a_refusal_is_waited_for() {
    let refused = |end: fn(&mut Handshake)| {
        let request = ClientRequest::new("ws://example.com/").unwrap();
        let mut handshake = Handshake::new(request, Config::default(), [7; 32], NOW);
        handshake.input().put_slice(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\nnot");
        assert!(handshake.poll().unwrap().is_none(), "four bytes are still to come");
        handshake.handle_timeout(NOW + Duration::from_secs(9));
        assert!(handshake.poll().unwrap().is_none(), "nor is the time up");
        end(&mut handshake);
        let Some(Outcome::Refused(refused)) = handshake.poll().unwrap() else { panic!("refused") };
        assert!(handshake.poll().unwrap().is_none(), "it is handed out once");
        String::from_utf8(refused.body().to_vec()).unwrap()
    };
    assert_eq!(refused(|handshake| handshake.input().put_slice(b" you")), "not you");
    assert_eq!(refused(Handshake::handle_eof), "not");
    assert_eq!(refused(|handshake| handshake.handle_timeout(NOW + Duration::from_secs(10))), "not");
}

#[test]
fn rfc_9112_6_3_the_body_of_a_refusal_ends_where_its_length_says() {
    let refused = |fields: &str, rest: &str| {
        let response = format!("HTTP/1.1 403 Forbidden\r\n{fields}\r\n{rest}");
        match client_opens(&Config::default(), &response) {
            Opened::Refused { body, .. } => String::from_utf8(body).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused("Content-Length: 3\r\n", "not you"), "not");
    assert_eq!(refused("Content-Length: 0\r\n", "HTTP/1.1 101 x\r\n\r\n"), "");
    assert_eq!(refused("Content-Length: 20000\r\n", &"x".repeat(20_000)).len(), 16 << 10);

    // Said twice is as good as once.
    for fields in ["Content-Length: 3, 3\r\n", "Content-Length: 3\r\nContent-Length: 3,3\r\n"] {
        assert_eq!(refused(fields, "not you"), "not", "{fields:?}");
    }
    // More than a number can be is more than is waited for.
    let large = "Content-Length: 99999999999999999999999\r\n";
    assert_eq!(refused(large, &"x".repeat(20_000)).len(), 16 << 10);

    // Where nothing says how long it is, the body is what came with the head.
    let blob = |fields: &str| {
        let response = format!("HTTP/1.1 403 Forbidden\r\n{fields}\r\n5\r\nnot y");
        let Opened::Refused { body, .. } = client_of(&Config::default(), &[response.as_bytes()]) else {
            panic!("no refusal");
        };
        body
    };
    for length in ["", "Content-Length: 3\r\n", "Content-Length: +3\r\n"] {
        assert_eq!(blob(&format!("Transfer-Encoding: chunked\r\n{length}")), b"5\r\nnot y", "{length:?}");
    }
    assert_eq!(blob(""), b"5\r\nnot y");
}

/// RFC 9112 §6.3: "If a message is received without Transfer-Encoding and with an invalid Content-Length
/// header field, then the message framing is invalid [...] If it is in a response message received by a user
/// agent, the user agent MUST close the connection to the server and discard the received response."
#[test]
fn rfc_9112_6_3_a_refusal_of_two_lengths_or_none_is_malformed() {
    for value in [
        "+3",
        "-3",
        "",
        "3,",
        "3 3",
        "0x3",
        "3.0",
        "3, 4",
        "4\r\nContent-Length: 3",
        "3\r\nContent-Length: x",
    ] {
        let response = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {value}\r\n\r\nnot you");
        let Opened::Failed { error, .. } = client_opens(&Config::default(), &response) else {
            panic!("a refusal of {value:?}");
        };
        assert_eq!(error, HandshakeError::Malformed, "{value:?}");
    }
}

/// RFC 9112 §6.3: a 204 and a 304 end with the empty line, "regardless of the header fields present".
#[test]
fn rfc_9112_6_3_a_204_and_a_304_have_no_body_whatever_they_say() {
    for status in [204, 304] {
        for field in ["Content-Length: 5", "Content-Length: +5", "Transfer-Encoding: chunked", "X: y"] {
            let response = format!("HTTP/1.1 {status} x\r\n{field}\r\n\r\nhello");
            let Opened::Refused { status: seen, body, .. } = client_opens(&Config::default(), &response)
            else {
                panic!("no refusal");
            };
            assert_eq!((seen, body), (status, vec![]), "{field}");
        }
    }
}
