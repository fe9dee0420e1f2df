//! Items 66, 67, 69 and 70 in whole handshakes: what a server makes of an offer, and a client of an answer, as they
//! stand in their heads, in any number of parts.

use bytes::BufMut;
use sansock::deflate::{Agreed, Deflate, InvalidParam, WindowBits};
use sansock::handshake::client::{self, ClientRequest, Outcome};
use sansock::handshake::server::{self, Accept};
use sansock::handshake::{HandshakeError, accept_key};
use sansock::{Config, Output, Timestamp};

use crate::common::{DELIVERIES, random_cuts};

const NOW: Timestamp = Timestamp::EPOCH;

fn config() -> Config {
    let mut config = Config::default();
    config.deflate = Some(Deflate::default());
    config
}

fn text_of(output: &mut Output) -> String {
    let mut bytes = Vec::new();
    bytes.put(output);
    String::from_utf8(bytes).unwrap()
}

/// The same outcome, however the bytes are cut.
fn in_any_parts<T: PartialEq + std::fmt::Debug>(outcome: impl Fn(&[usize]) -> T) -> T {
    let first = outcome(DELIVERIES[0]);
    let others = DELIVERIES[1..].iter().map(|cuts| cuts.to_vec()).chain((0..4).map(random_cuts));
    others.for_each(|cuts| assert_eq!(outcome(&cuts), first, "{cuts:?}"));
    first
}

/// These bytes in parts of such sizes.
fn parts<'a>(mut bytes: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    cuts.iter().cycle().map_while(move |cut| {
        let (part, rest) = bytes.split_at((*cut).min(bytes.len()));
        bytes = rest;
        (!part.is_empty()).then_some(part)
    })
}

/// What a server answers to these offers; `None` if it goes on without compression.
fn answered(offers: &str) -> Option<String> {
    let head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: {offers}\r\n\r\n"
    );
    in_any_parts(|cuts| {
        let mut handshake = server::Handshake::new(config(), NOW);
        for part in parts(head.as_bytes(), cuts) {
            handshake.input().put_slice(part);
            if let Some(request) = handshake.poll().unwrap() {
                let mut connection = request.accept(Accept::new(), NOW).unwrap();
                let answer = text_of(connection.output());
                let lines = answer.lines().filter_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
                let lines: Vec<_> = lines.map(str::to_owned).collect();
                assert!(lines.len() < 2 && lines.is_empty() == connection.deflate().is_none());
                return lines.into_iter().next();
            }
        }
        panic!("the request is whole")
    })
}

/// What a client with the defaults makes of an answer.
fn judged(extensions: &str) -> Result<Option<Agreed>, HandshakeError> {
    in_any_parts(|cuts| {
        let request = ClientRequest::new("ws://example.com/").unwrap();
        let mut handshake = client::Handshake::new(request, config(), [7; 32], NOW);
        let head = text_of(handshake.output());
        let key = head.split("Sec-WebSocket-Key: ").nth(1).unwrap().split('\r').next().unwrap();
        let answer = format!(
            "HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\
             Sec-WebSocket-Extensions: {extensions}\r\n\r\n",
            accept_key(key)
        );
        for part in parts(answer.as_bytes(), cuts) {
            handshake.input().put_slice(part);
            match handshake.poll()? {
                Some(Outcome::Established(established)) => return Ok(established.deflate()),
                Some(Outcome::Refused(refused)) => panic!("{refused:?}"),
                None => {}
            }
        }
        panic!("the response is whole")
    })
}

const PLAIN: &str = "permessage-deflate";
const BAD_BITS: [&str; 11] =
    ["=7", "=16", "=08", "=\"16\"", "=-9", "=+9", "=1000", "=0", "=9a", "=0x9", "=99999999999999999999"];

#[test]
fn hostile_66_server_max_window_bits_in_a_handshake() {
    for bad in BAD_BITS.iter().chain(&["", "=10; server_max_window_bits=10"]) {
        let params = format!("{PLAIN}; server_max_window_bits{bad}");
        // A server passes over that offer and takes the next; a client fails.
        assert_eq!(answered(&params), None, "{bad}");
        assert_eq!(answered(&format!("{params}, {PLAIN}")).as_deref(), Some(PLAIN), "{bad}");
        let repeated = bad.len() > 25;
        let error = if repeated { InvalidParam::Repeated } else { InvalidParam::WindowBits };
        assert_eq!(judged(&params), Err(HandshakeError::Deflate(error)), "{bad}");
    }
    for bits in 8..=15 {
        let params = format!("{PLAIN}; server_max_window_bits={bits}");
        // 8 is for zlib's compressor too small, and so for this server; a client only inflates.
        assert_eq!(answered(&params), (bits > 8).then(|| params.clone()));
        assert_eq!(judged(&params).unwrap().unwrap().server_max_window_bits, WindowBits::new(bits));
    }
}

// RFC 7692 §5.2: "The value may be quoted."
#[test]
fn hostile_66_quoted_window_bits_in_a_handshake() {
    for (bits, quoted) in [(9, r#""9""#), (10, r#""10""#), (15, r#""15""#), (9, r#""\9""#), (12, r#""1\2""#)]
    {
        for name in ["server_max_window_bits", "client_max_window_bits"] {
            let plain = format!("{PLAIN}; {name}={bits}");
            let quoted = format!("{PLAIN}; {name}={quoted}");
            let (answer, agreed) = (answered(&quoted), judged(&quoted));
            assert!(answer.is_some() && matches!(agreed, Ok(Some(_))), "{quoted}");
            assert_eq!((answer, agreed), (answered(&plain), judged(&plain)), "{quoted}");
        }
    }
}

#[test]
fn hostile_66_a_value_that_is_no_token_is_no_list_of_extensions() {
    // "15.0" is one: the dot may stand in a token. "=" without a value is not.
    let dotted = format!("{PLAIN}; server_max_window_bits=15.0");
    assert_eq!(answered(&dotted), None);
    assert_eq!(judged(&dotted), Err(HandshakeError::Deflate(InvalidParam::WindowBits)));
    for empty in ["=", "=\"\"", "=\"15", "= ,"] {
        assert_eq!(
            judged(&format!("{PLAIN}; server_max_window_bits{empty}")),
            Err(HandshakeError::ResponseExtensions)
        );
    }
}

#[test]
fn hostile_67_client_max_window_bits_in_a_handshake() {
    // In an offer it may stand without a value; in an answer it needs one.
    assert_eq!(answered(&format!("{PLAIN}; client_max_window_bits")).as_deref(), Some(PLAIN));
    let bare = judged(&format!("{PLAIN}; client_max_window_bits"));
    assert_eq!(bare, Err(HandshakeError::Deflate(InvalidParam::WindowBits)));
    for bad in BAD_BITS {
        let params = format!("{PLAIN}; client_max_window_bits{bad}");
        assert_eq!(answered(&params), None, "{bad}");
        assert_eq!(judged(&params), Err(HandshakeError::Deflate(InvalidParam::WindowBits)), "{bad}");
    }
    for bits in 8..=15 {
        let params = format!("{PLAIN}; client_max_window_bits={bits}");
        let agreed = if bits < 15 { params.clone() } else { PLAIN.to_owned() };
        assert_eq!(answered(&params), Some(agreed), "{bits}");
        assert_eq!(judged(&params).unwrap().unwrap().client_max_window_bits, WindowBits::new(bits));
    }
    // A server does not answer with it what was not offered, whatever it would like.
    assert_eq!(answered(PLAIN).as_deref(), Some(PLAIN));
}

#[test]
fn hostile_69_fallbacks_in_a_handshake() {
    let ten = format!("{PLAIN}; server_max_window_bits=10");
    for (offers, answer) in [
        (format!("{ten}, {PLAIN}"), Some(&ten[..])),
        (format!("{PLAIN}, {ten}"), Some(PLAIN)),
        (format!("{PLAIN}; server_max_window_bits=8, {ten}, {PLAIN}"), Some(&ten)),
        (format!("{PLAIN}; unknown, mux; a=b, {ten}"), Some(&ten)),
        // Each in a line of its own is the same list.
        (
            format!(
                "{PLAIN}; unknown\r\nSec-WebSocket-Extensions: {ten}\r\nSec-WebSocket-Extensions: {PLAIN}"
            ),
            Some(&ten),
        ),
        (format!("{PLAIN}; server_max_window_bits=8, {PLAIN}; unknown"), None),
        ("x-webkit-deflate-frame, bbf-usp-protocol".to_owned(), None),
    ] {
        assert_eq!(answered(&offers).as_deref(), answer, "{offers}");
    }
}

#[test]
fn hostile_70_unknown_params_in_a_handshake() {
    for (params, error) in [
        ("; unknown", InvalidParam::Unknown),
        ("; unknown=1", InvalidParam::Unknown),
        ("; SERVER_NO_CONTEXT_TAKEOVER", InvalidParam::Unknown),
        ("; server_max_window_bits=10; unknown=\"token\"", InvalidParam::Unknown),
        ("; client_no_context_takeover=1", InvalidParam::UnexpectedValue),
        ("; server_no_context_takeover; server_no_context_takeover", InvalidParam::Repeated),
    ] {
        let value = format!("{PLAIN}{params}");
        assert_eq!(answered(&value), None, "{params}");
        assert_eq!(answered(&format!("{value}, {PLAIN}")).as_deref(), Some(PLAIN), "{params}");
        assert_eq!(judged(&value), Err(HandshakeError::Deflate(error)), "{params}");
        // A client does not look for a better one behind it.
        assert!(judged(&format!("{value}, {PLAIN}")).is_err());
    }
}
