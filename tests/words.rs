//! What errors say, and what logs show: every error names the rule, and nobody's secrets are printed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
#[path = "common/opening.rs"]
mod opening;

use std::error::Error as StdError;
use std::fmt::Debug;

use bytes::BufMut;
use common::{feed, output};
use opening::{GOOD, NOW, head, response_with};
use sansock::handshake::client::{self, ClientRequest, Outcome, UrlError};
use sansock::handshake::server::{self, Accept, Rejection};
use sansock::handshake::{HandshakeError, InvalidHeader, Response, extension};
use sansock::utf8::Validator;
use sansock::{
    CloseCode, CloseFrame, Config, Connection, DeflateError, Error, Message, Output, SendError, Spare, Timer,
    Utf8Bytes, Violation,
};

type Rules = Vec<(Box<dyn StdError>, &'static str)>;

fn rules<E: StdError + 'static, const N: usize>(of: [(E, &'static str); N]) -> Rules {
    of.into_iter().map(|(error, rule)| (Box::new(error) as Box<dyn StdError>, rule)).collect()
}

fn of_connections() -> Rules {
    let violations = rules([
        (Violation::ReservedBits, "RFC 6455 section 5.2"),
        (Violation::ReservedOpcode, "RFC 6455 section 5.2"),
        (Violation::FragmentedControl, "RFC 6455 section 5.5"),
        (Violation::ControlTooLong, "RFC 6455 section 5.5"),
        (Violation::LengthNotMinimal, "RFC 6455 section 5.2"),
        (Violation::LengthOutOfRange, "RFC 6455 section 5.2"),
        (Violation::Unmasked, "RFC 6455 section 5.1"),
        (Violation::Masked, "RFC 6455 section 5.1"),
        (Violation::UnexpectedContinuation, "RFC 6455 section 5.4"),
        (Violation::ExpectedContinuation, "RFC 6455 section 5.4"),
        (Violation::CloseTooShort, "RFC 6455 section 5.5.1"),
        (Violation::CloseCode, "RFC 6455 section 7.4"),
    ]);
    let errors = rules([
        (Error::Protocol(Violation::Masked), "RFC 6455 section 5.1"),
        (Error::InvalidUtf8, "RFC 6455 section 8.1"),
        (Error::TooBig, "RFC 6455 section 10.4"),
        (Error::UnexpectedEof, "RFC 6455 section 7.1.5"),
        (Error::TimedOut(Timer::Pong), "no answer to a keepalive ping"),
        (Error::TimedOut(Timer::Closing), "the closing handshake was not finished"),
    ]);
    let deflate = rules([
        (DeflateError::Corrupt, "RFC 1951 section 3.2"),
        (DeflateError::Truncated, "RFC 7692 section 7.2.1"),
        (DeflateError::ForNothing, "RFC 7692 section 7.2.2"),
    ]);
    let commands = rules([
        (SendError::Closed, "RFC 6455 section 5.5.1"),
        (SendError::MessageOpen, "RFC 6455 section 5.4"),
        (SendError::KindMismatch, "RFC 6455 section 5.4"),
        (SendError::ControlTooLong, "RFC 6455 section 5.5"),
        (SendError::Compressor, "RFC 7692 section 7.2.1"),
    ]);
    let text = rules([(Validator::new().push(b"\xff").unwrap_err(), "RFC 6455 section 8.1")]);
    [violations, errors, deflate, commands, text].into_iter().flatten().collect()
}

fn of_handshakes() -> Rules {
    let peers = rules([
        (HandshakeError::Malformed, "RFC 9112 sections 2 to 5"),
        (HandshakeError::HeadTooLarge, "RFC 6585 section 5"),
        (HandshakeError::TooManyHeaders, "RFC 6585 section 5"),
        (HandshakeError::TimedOut, "RFC 9110 section 15.5.9"),
        (HandshakeError::UnexpectedEof, "RFC 9112 section 8"),
        (HandshakeError::UriTooLong, "RFC 9112 section 3"),
        (HandshakeError::Method, "RFC 6455 section 4.2.1"),
        (HandshakeError::HttpVersion, "RFC 6455 section 4.2.1"),
        (HandshakeError::Target, "RFC 6455 section 4.2.1"),
        (HandshakeError::Host, "RFC 6455 section 4.2.1"),
        (HandshakeError::Origin, "RFC 6454 section 7"),
        (HandshakeError::Body, "RFC 9110 section 9.3.1"),
        (HandshakeError::UpgradeMissing, "RFC 6455 section 4.2.1"),
        (HandshakeError::Upgrade, "RFC 6455 section 4.2.1"),
        (HandshakeError::Connection, "RFC 6455 section 4.2.1"),
        (HandshakeError::WebSocketVersion, "RFC 6455 section 4.4"),
        (HandshakeError::Key, "RFC 6455 section 4.2.1"),
        (HandshakeError::Protocol, "RFC 6455 section 4.1"),
        (HandshakeError::Extensions, "RFC 6455 section 9.1"),
        (HandshakeError::ResponseVersion, "RFC 9112 section 2.3"),
        (HandshakeError::ResponseUpgrade, "RFC 6455 section 4.1"),
        (HandshakeError::ResponseConnection, "RFC 6455 section 4.1"),
        (HandshakeError::Accept, "RFC 6455 section 4.1"),
        (HandshakeError::ProtocolNotOffered, "RFC 6455 section 4.1"),
        (HandshakeError::ExtensionNotOffered, "RFC 6455 section 4.1"),
        (HandshakeError::ResponseExtensions, "RFC 6455 section 9.1"),
    ]);
    let urls = rules([
        (UrlError::Scheme, "RFC 6455 section 3"),
        (UrlError::UserInfo, "RFC 6455 section 3"),
        (UrlError::Host, "RFC 3986 section 3.2.2"),
        (UrlError::Port, "RFC 3986 section 3.2.3"),
        (UrlError::Fragment, "RFC 6455 section 3"),
        (UrlError::Character, "RFC 3986 section 2"),
    ]);
    let headers = rules([
        (InvalidHeader::Name, "RFC 9110 section 5.1"),
        (InvalidHeader::Value, "RFC 9110 section 5.5"),
        (InvalidHeader::Managed, "RFC 6455 section 4"),
        (InvalidHeader::Protocol, "RFC 6455 section 4.1"),
    ]);
    let not_offered = request().accept(Accept::new().protocol("unheard-of"), NOW).unwrap_err();
    let others = [
        rules([(Response::new(99).unwrap_err(), "RFC 9110 section 15")]),
        rules([(extension::parse(b"=").next().unwrap().unwrap_err(), "RFC 6455 section 9.1")]),
        rules([(not_offered, "RFC 6455 section 4.2.2")]),
        rules([(Rejection::from(HandshakeError::Host), "RFC 6455 section 4.2.1")]),
    ];
    [peers, urls, headers].into_iter().chain(others).flatten().collect()
}

#[cfg(feature = "deflate")]
fn of_negotiations() -> Rules {
    use sansock::deflate::InvalidParam;

    rules([
        (InvalidParam::Unknown, "RFC 7692 section 7"),
        (InvalidParam::Repeated, "RFC 7692 section 7"),
        (InvalidParam::UnexpectedValue, "RFC 7692 section 7.1.1"),
        (InvalidParam::WindowBits, "RFC 7692 section 7.1.2"),
        (InvalidParam::NotOffered, "RFC 7692 section 7.1"),
    ])
}

#[cfg(not(feature = "deflate"))]
fn of_negotiations() -> Rules {
    Rules::new()
}

#[test]
fn every_error_names_the_rule_that_was_broken() {
    for (error, rule) in [of_connections(), of_handshakes(), of_negotiations()].into_iter().flatten() {
        let words = error.to_string();
        let is_named = words.ends_with(&format!("({rule})")) || words.ends_with(&format!(": {rule}"));
        assert!(is_named, "{error:?} says {words:?}, not {rule}");
        assert!(words.len() > rule.len() + 10, "{error:?} says nothing but {words:?}");
    }
}

#[test]
fn an_error_within_another_says_the_same() {
    for (error, inner) in [
        (Error::Protocol(Violation::Masked), Violation::Masked.to_string()),
        (Error::Deflate(DeflateError::Corrupt), DeflateError::Corrupt.to_string()),
    ] {
        assert!(error.to_string().ends_with(&inner));
    }
    #[cfg(feature = "deflate")]
    for param in [sansock::deflate::InvalidParam::Unknown, sansock::deflate::InvalidParam::NotOffered] {
        assert_eq!(HandshakeError::Deflate(param).to_string(), param.to_string());
    }
}

/// What must not be seen in a log.
const SECRET: &str = "Z3cr3t";

/// Whether what is printed has the words, and nothing secret.
#[track_caller]
fn shows(what: &impl Debug, words: &[&str]) {
    let printed = format!("{what:?}");
    assert!(words.iter().all(|word| printed.contains(word)), "{printed}");
    let as_bytes = format!("{:?}", SECRET.as_bytes());
    assert!(!printed.contains(SECRET) && !printed.contains(as_bytes.trim_matches(['[', ']'])), "{printed}");
}

/// A request with secrets in its target and in a header.
fn request() -> server::Request {
    let mut fields = GOOD.to_vec();
    fields.push(("Authorization", SECRET));
    let mut handshake = server::Handshake::new(Config::default(), NOW);
    handshake.input().put_slice(head(&format!("GET /{SECRET}?{SECRET} HTTP/1.1"), &fields).as_bytes());
    handshake.poll().unwrap().unwrap()
}

#[test]
fn logs_of_a_servers_handshake_show_no_secrets() {
    let mut handshake = server::Handshake::new(Config::default(), NOW);
    handshake.input().put_slice(format!("GET /{SECRET} HTTP/1.1\r\nCookie: {SECRET}").as_bytes());
    assert!(handshake.poll().unwrap().is_none());
    shows(&handshake, &["Handshake", "max_head"]);
    shows(&request(), &["Request", "Host", "Authorization"]);
    shows(&request().headers().iter().map(|(name, _)| name).collect::<Vec<_>>(), &["Authorization"]);
    shows(request().headers(), &["Host", "Authorization"]);

    let mut handshake = server::Handshake::new(Config::default(), NOW);
    handshake
        .input()
        .put_slice(head(&format!("GET /{SECRET} HTTP/1.1"), &[("Host", "a"), ("Cookie", SECRET)]).as_bytes());
    let rejection = handshake.poll().unwrap_err();
    shows(&rejection, &["Rejection", "UpgradeMissing"]);
    shows(rejection.head().unwrap(), &["RequestHead", "GET", "Cookie"]);

    let accept = Accept::new().protocol("v2.chat").header("Set-Cookie", SECRET).unwrap();
    shows(&accept, &["Accept", "v2.chat"]);
    shows(&request().accept(accept, NOW).unwrap_err(), &["AcceptError"]);
    let response = Response::new(403).unwrap().header("Set-Cookie", SECRET).unwrap().body(SECRET);
    shows(&response, &["Response", "403"]);
    shows(&request().reject(response), &["Output", "remaining"]);
}

#[test]
fn logs_of_a_clients_handshake_show_no_secrets() {
    let new = || {
        let request = ClientRequest::new(&format!("ws://example.com:81/{SECRET}?{SECRET}")).unwrap();
        request.header("Authorization", SECRET).unwrap()
    };
    shows(&new(), &["ClientRequest", "example.com", "81"]);
    shows(&client::Handshake::new(new(), Config::default(), [7; 32], NOW), &["Handshake", "max_head"]);

    let mut handshake = opening::client(Config::default());
    let chosen = response_with("Sec-WebSocket-Protocol", &["v2.chat"]);
    let chosen = chosen.replacen("\r\n\r\n", &format!("\r\nSet-Cookie: {SECRET}\r\n\r\n"), 1);
    handshake.input().put_slice(chosen.as_bytes());
    let Some(Outcome::Established(established)) = handshake.poll().unwrap() else { panic!("it is good") };
    shows(&established, &["Established", "v2.chat", "Set-Cookie"]);

    let mut handshake = opening::client(Config::default());
    let fields = [("Set-Cookie", SECRET), ("Content-Length", "6")];
    handshake.input().put_slice(head(&format!("HTTP/1.1 404 {SECRET}"), &fields).as_bytes());
    handshake.input().put_slice(SECRET.as_bytes());
    let Some(Outcome::Refused(refused)) = handshake.poll().unwrap() else { panic!("it is no 101") };
    shows(&refused, &["Refused", "404", "Set-Cookie"]);
}

#[test]
fn logs_of_a_connection_show_no_secrets() {
    let mut connection = Connection::server(Config::default(), NOW);
    connection.send(SECRET).unwrap();
    shows(connection.output(), &["Output { remaining: 8, written: 0"]);
    // The beginning of a message, masked with zeros.
    feed(&mut connection, &[&[0x01, 0x86, 0, 0, 0, 0][..], SECRET.as_bytes()].concat(), &[1]);
    shows(&connection, &["Connection", "Inbox { len: 6, unparsed: 0", "Output"]);
    let ping = [&[0x89, 0x86, 0, 0, 0, 0][..], SECRET.as_bytes()].concat();
    let (receive, _) = connection.halves();
    receive.input().put_slice(&ping);
    receive.handle_input(NOW);
    assert!(receive.poll_event().unwrap().is_some());
    shows(receive, &["ControlPayload { len: 6"]);
    output(&mut connection);
    let mut spare = Spare::new();
    connection.return_buffers(&mut spare);
    shows(&spare, &["Spare { buffers: 0, bytes: 0"]);
    let mut connection = Connection::server(Config::default(), NOW);
    connection.borrow_buffers(&mut spare);
    connection.return_buffers(&mut spare);
    shows(&spare, &["Spare { buffers: 2, bytes: 524288"]);
    shows(&Output::default(), &["Output { remaining: 0, written: 0"]);
}

#[cfg(feature = "deflate")]
#[test]
fn logs_of_compressing_connections_show_no_secrets() {
    use sansock::Data;
    use sansock::deflate::{Agreed, Deflate, Pool};

    let mut deflate = Deflate::default();
    deflate.pool = Some(Pool::new(3));
    shows(&deflate, &["Deflate", "Pool { capacity: 3"]);
    let [mut client, mut server] =
        [Connection::client(Config::default(), [7; 32], NOW), Connection::server(Config::default(), NOW)]
            .map(|connection| connection.with_deflate(Agreed::default(), &deflate));
    client.fragment(Data::Text(&SECRET.repeat(100))).unwrap();
    feed(&mut server, &output(&mut client), &[100]);
    shows(&server, &["inflating: Some(Inflating {", "inflater: Some(Inflater { .. })"]);
    client.last_fragment(Data::Text("")).unwrap();
    feed(&mut server, &output(&mut client), &[100]);
    // What waits between messages is their end.
    client.handle_would_block();
    server.handle_would_block();
    shows(&client, &["History { len: 600, size: 32768"]);
    shows(&server, &["History { len: 600, size: 32768"]);
    // Where nothing is taken over, a message has its compressor until it ends.
    let mut agreed = Agreed::default();
    agreed.server_no_context_takeover = true;
    let mut server = Connection::server(Config::default(), NOW).with_deflate(agreed, &deflate);
    server.fragment(Data::Text(&SECRET.repeat(100))).unwrap();
    shows(&server, &["held: Some(Compressor { .. })"]);
}

#[test]
fn messages_and_close_frames_show_what_they_say() {
    let text = Utf8Bytes::from("a\u{1b}b");
    assert_eq!((text.to_string(), format!("{text:?}")), ("a\u{1b}b".into(), "\"a\\u{1b}b\"".into()));
    assert_eq!(format!("{:?}", Message::from("hi")), "Text(\"hi\")");
    assert_eq!(format!("{} {:?}", CloseCode::NORMAL, CloseCode::GOING_AWAY), "1000 CloseCode(1001)");
    let frame = CloseFrame::new(CloseCode::NORMAL, "bye\r\n").unwrap();
    assert_eq!(format!("{frame:?}"), "CloseFrame(1000, \"bye\\r\\n\")");
}

#[test]
fn a_report_says_how_it_ended_and_who_began() {
    let report = |frame: &[u8], closes: bool| {
        let mut server = Connection::server(Config::default(), NOW);
        if closes {
            server.close(CloseCode::NORMAL, "").unwrap();
        }
        feed(&mut server, frame, &[1]);
        server.handle_eof();
        let _ = server.poll_event();
        server.closed().unwrap().to_string()
    };
    assert_eq!(report(b"", false), "closed uncleanly by the peer: 1006");
    assert_eq!(report(b"", true), "closed uncleanly by this endpoint: 1006");
    assert_eq!(report(b"\x88\x80\0\0\0\0", false), "closed cleanly by the peer: 1005");
    assert_eq!(report(b"\x88\x82\0\0\0\0\x03\xe9", true), "closed cleanly by this endpoint: 1001");
    assert_eq!(
        report(b"\x88\x85\0\0\0\0\x03\xe8a\x1bb", false),
        "closed cleanly by the peer: 1000 \"a\\u{1b}b\""
    );
}
