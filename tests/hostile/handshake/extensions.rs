//! Items 18 and 24 with permessage-deflate on: what both ends make of `Sec-WebSocket-Extensions`.

use sansock::Config;
use sansock::deflate::{Deflate, InvalidParam, WindowBits};
use sansock::handshake::HandshakeError;

use super::opening::{Opened, client_opens, request_with, response_with, server_opens};
use crate::common::{masked, plain, text};

const NAME: &str = "Sec-WebSocket-Extensions";

/// A configuration that compresses, with room for long lists.
fn config(change: impl FnOnce(&mut Deflate)) -> Config {
    let mut deflate = Deflate::default();
    change(&mut deflate);
    let mut config = Config::default();
    (config.deflate, config.max_head) = (Some(deflate), 64 << 10);
    config
}

/// What a server that compresses answers to these offers; it opens all the same if nothing.
fn agreed(offers: &[&str]) -> Option<String> {
    let request = [request_with(NAME, offers).as_bytes(), &masked(0x81, b"hi")].concat();
    let Opened::Open { seen, said, .. } = server_opens(&config(|_| {}), request) else { panic!("refused") };
    assert_eq!(seen, [text("hi")]);
    let said = String::from_utf8(said).unwrap();
    let (head, _) = said.split_once("\r\n\r\n").unwrap();
    let mut answers = head.split("\r\n").filter_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    let answer = answers.next().map(str::to_owned);
    assert_eq!(answers.next(), None, "there is one answer at most");
    answer
}

/// What a client with these wishes makes of an answer: an error, or a connection that works.
fn judged(change: impl FnOnce(&mut Deflate), answers: &[&str]) -> Result<(), HandshakeError> {
    let response = [response_with(NAME, answers).as_bytes(), &plain(0x81, b"hi")].concat();
    match client_opens(&config(change), response) {
        Opened::Open { seen, .. } => {
            assert_eq!(seen, [text("hi")]);
            Ok(())
        }
        Opened::Failed { error, .. } => Err(error),
        other => panic!("{other:?}"),
    }
}

#[test]
fn hostile_18_offers_to_a_server_that_compresses() {
    let plain = Some("permessage-deflate".to_owned());
    let strangers = "x-ext; a=1; a=1,".repeat(1000);
    let unacceptable = "permessage-deflate; server_max_window_bits=8,".repeat(1000);
    let duplicate = "permessage-deflate; server_no_context_takeover; server_no_context_takeover";
    let of_8_kib = format!("permessage-deflate{}", "; x=\"y\"".repeat((8 << 10) / 7));
    for declined in [
        "unknown, names",
        duplicate,
        "permessage-deflate; server_max_window_bits=\"16\"",
        "permessage-deflate; server_max_window_bits=\"1\\6\"",
        "permessage-deflate; x=\"y\"",
        &of_8_kib,
        &strangers,
        &unacceptable,
    ] {
        assert_eq!(agreed(&[declined]), None, "{declined:.60}");
        // It is declined by itself: what stands behind it counts.
        assert_eq!(agreed(&[&format!("{declined}, permessage-deflate")]), plain);
        assert_eq!(agreed(&[declined, "permessage-deflate"]), plain);
    }
    assert_eq!(agreed(&[&"permessage-deflate,".repeat(1000)]), plain);
    let quote = format!("permessage-deflate; server_max_window_bits=\"{}", "\\1".repeat(4000));
    let too_long = format!("{of_8_kib};");
    for malformed in
        [&quote, &too_long, "permessage-deflate;", "permessage-deflate; ;", "permessage-deflate; =1"]
    {
        // Good offers before and behind do not help.
        for offers in
            [&[malformed][..], &["permessage-deflate", malformed], &[malformed, "permessage-deflate"]]
        {
            let opened = server_opens(&config(|_| {}), request_with(NAME, offers));
            assert_eq!(opened.error(), Some(HandshakeError::Extensions), "{malformed:.60}");
        }
    }
}

#[test]
fn hostile_18_answers_to_a_client_that_compresses() {
    let quote = format!("permessage-deflate; server_max_window_bits=\"{}", "\\1".repeat(4000));
    for malformed in [&quote, "permessage-deflate;", "permessage-deflate; ;", "", ",", "permessage-deflate x"]
    {
        assert_eq!(judged(|_| {}, &[malformed]), Err(HandshakeError::ResponseExtensions), "{malformed:.60}");
    }
    let strangers = "x-ext; a=1,".repeat(1000);
    assert_eq!(judged(|_| {}, &[&strangers]), Err(HandshakeError::ExtensionNotOffered));
    let many = "permessage-deflate,".repeat(1000);
    assert_eq!(judged(|_| {}, &[&many]), Err(HandshakeError::Deflate(InvalidParam::Repeated)));
}

#[test]
fn hostile_24_answers_that_go_beyond_the_offer() {
    use InvalidParam::{NotOffered, Repeated, UnexpectedValue, Unknown, WindowBits as Bits};
    let ten = |deflate: &mut Deflate| deflate.receive_window = WindowBits::new(10).unwrap();
    let any = |_: &mut Deflate| {};
    let pmd = |params: &str| format!("permessage-deflate{params}");

    assert_eq!(judged(any, &[&pmd("")]), Ok(()));
    assert_eq!(judged(ten, &[&pmd("; server_max_window_bits=10")]), Ok(()));
    for larger in ["; server_max_window_bits=11", "; server_max_window_bits=15", ""] {
        assert_eq!(judged(ten, &[&pmd(larger)]), Err(HandshakeError::Deflate(NotOffered)), "{larger}");
    }
    for (params, error) in [
        ("; unknown", Unknown),
        ("; client_max_window_bits", Bits),
        ("; client_max_window_bits=16", Bits),
        ("; server_max_window_bits=7", Bits),
        ("; server_no_context_takeover=1", UnexpectedValue),
        ("; server_no_context_takeover; server_no_context_takeover", Repeated),
        (", permessage-deflate", Repeated),
    ] {
        assert_eq!(judged(any, &[&pmd(params)]), Err(HandshakeError::Deflate(error)), "{params}");
    }
    assert_eq!(judged(any, &[&pmd(""), &pmd("")]), Err(HandshakeError::Deflate(Repeated)));
    for stranger in ["permessage-bzip2", "permessage-deflate, mux", "mux, permessage-deflate"] {
        assert_eq!(judged(any, &[stranger]), Err(HandshakeError::ExtensionNotOffered), "{stranger}");
    }
}
