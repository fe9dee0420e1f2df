//! RFC 7692 §5 and §7.1: what is offered, accepted and agreed upon; items 24, 66, 67, 69 and 70 of hostile
//! inputs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use bytes::{Buf, BufMut};
use proptest::prelude::*;
use sansock::deflate::{Agreed, Deflate, InvalidParam, Offer, WindowBits, accept, agree};
use sansock::handshake::client::{self, ClientRequest, Outcome};
use sansock::handshake::server::{self, Accept};
use sansock::handshake::{HandshakeError, extension};
use sansock::{Config, Connection, Timestamp};

const NOW: Timestamp = Timestamp::EPOCH;

fn bits(bits: u8) -> WindowBits {
    WindowBits::new(bits).unwrap()
}

fn deflate(change: impl FnOnce(&mut Deflate)) -> Deflate {
    let mut deflate = Deflate::default();
    change(&mut deflate);
    deflate
}

/// What a server that wants `deflate` answers to these offers.
fn answer(offers: &str, deflate: &Deflate) -> Option<String> {
    accept([offers.as_bytes()], deflate).map(|agreed| agreed.to_string())
}

fn default_answer(offers: &str) -> Option<String> {
    answer(offers, &Deflate::default())
}

/// What a client with these wishes makes of an answer.
fn judged(answer: &str, deflate: &Deflate) -> Result<Option<Agreed>, HandshakeError> {
    agree([answer.as_bytes()], &Offer::all_of(deflate).collect::<Vec<_>>())
}

fn offered(deflate: &Deflate) -> String {
    Offer::all_of(deflate).map(|offer| offer.to_string()).collect::<Vec<_>>().join(", ")
}

fn parse_offer(params: &str) -> Result<Offer, InvalidParam> {
    let value = format!("permessage-deflate{params}");
    Offer::parse(&extension::parse(value.as_bytes()).next().unwrap().unwrap())
}

fn parse_agreed(params: &str) -> Result<Agreed, InvalidParam> {
    let value = format!("permessage-deflate{params}");
    Agreed::parse(&extension::parse(value.as_bytes()).next().unwrap().unwrap())
}

#[test]
fn section_7_1_3_examples() {
    assert_eq!(default_answer("permessage-deflate").as_deref(), Some("permessage-deflate"));
    let limited = "permessage-deflate; client_max_window_bits; server_max_window_bits=10";
    assert_eq!(default_answer(limited).as_deref(), Some("permessage-deflate; server_max_window_bits=10"));
    let with_fallback = format!("{limited}, permessage-deflate; client_max_window_bits");
    assert_eq!(
        default_answer(&with_fallback).as_deref(),
        Some("permessage-deflate; server_max_window_bits=10")
    );
}

#[test]
fn section_7_1_what_a_client_offers() {
    assert_eq!(offered(&Deflate::default()), "permessage-deflate; client_max_window_bits");
    let all = deflate(|deflate| {
        (deflate.send_takeover, deflate.receive_takeover) = (false, false);
        (deflate.send_window, deflate.receive_window) = (bits(9), bits(10));
    });
    let preferred = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                     server_max_window_bits=10; client_max_window_bits=9";
    assert_eq!(offered(&all), preferred);
    let mut with_fallback = all;
    with_fallback.fallback = true;
    let fallback = "permessage-deflate; client_no_context_takeover; client_max_window_bits=9";
    assert_eq!(offered(&with_fallback), format!("{preferred}, {fallback}"));
    // zlib compresses with 9 where it is told 8.
    let least = deflate(|deflate| deflate.send_window = WindowBits::MIN);
    assert_eq!(offered(&least), "permessage-deflate; client_max_window_bits=9");
    // Without limits there is nothing to fall back to.
    let plain = deflate(|deflate| deflate.fallback = true);
    assert_eq!(offered(&plain), "permessage-deflate; client_max_window_bits");
}

#[test]
fn section_7_1_1_takeover_as_a_server_answers() {
    let no_send = deflate(|deflate| deflate.send_takeover = false);
    let no_receive = deflate(|deflate| deflate.receive_takeover = false);
    let server = "permessage-deflate; server_no_context_takeover";
    let client = "permessage-deflate; client_no_context_takeover";
    assert_eq!(answer("permessage-deflate", &no_send).as_deref(), Some(server));
    assert_eq!(answer("permessage-deflate", &no_receive).as_deref(), Some(client));
    assert_eq!(default_answer(server).as_deref(), Some(server));
    // "or use the parameter to avoid taking over the LZ77 sliding window unnecessarily".
    assert_eq!(default_answer(client).as_deref(), Some(client));
}

#[test]
fn section_7_1_2_windows_as_a_server_answers() {
    let small = deflate(|deflate| (deflate.send_window, deflate.receive_window) = (bits(11), bits(10)));
    for (offer, expected) in [
        // The client's window can be limited only where it says so; else it may not be taken over.
        ("", "; client_no_context_takeover; server_max_window_bits=11"),
        ("; client_max_window_bits", "; server_max_window_bits=11; client_max_window_bits=10"),
        ("; client_max_window_bits=15", "; server_max_window_bits=11; client_max_window_bits=10"),
        ("; client_max_window_bits=9", "; server_max_window_bits=11; client_max_window_bits=9"),
        ("; client_max_window_bits=8", "; server_max_window_bits=11; client_max_window_bits=8"),
        (
            "; client_max_window_bits; server_max_window_bits=9",
            "; server_max_window_bits=9; client_max_window_bits=10",
        ),
        (
            "; client_max_window_bits; server_max_window_bits=15",
            "; server_max_window_bits=11; client_max_window_bits=10",
        ),
    ] {
        let offer = format!("permessage-deflate{offer}");
        assert_eq!(answer(&offer, &small), Some(format!("permessage-deflate{expected}")), "{offer}");
    }
    // What was asked for is confirmed, be it no limit at all.
    let confirmed = "permessage-deflate; server_max_window_bits=15";
    assert_eq!(default_answer(confirmed).as_deref(), Some(confirmed));
}

#[test]
fn hostile_66_server_max_window_bits() {
    for bad in [
        "=7", "=16", "=08", "=\"16\"", "=\"08\"", "=-9", "=+9", "=15.0", "", "=1000", "=0", "=015", "=1",
        "=1a", "=0x9",
    ] {
        let params = format!("; server_max_window_bits{bad}");
        assert_eq!(parse_offer(&params), Err(InvalidParam::WindowBits), "{bad}");
        assert_eq!(parse_agreed(&params), Err(InvalidParam::WindowBits), "{bad}");
        assert_eq!(default_answer(&format!("permessage-deflate{params}")), None);
    }
    for bits in 8..=15 {
        let params = format!("; server_max_window_bits={bits}");
        assert_eq!(parse_offer(&params).unwrap().server_max_window_bits, WindowBits::new(bits));
        assert_eq!(parse_agreed(&params).unwrap().server_max_window_bits, WindowBits::new(bits));
        // zlib has no compressor for 8: that is declined. It can be inflated, so a client accepts it.
        assert_eq!(default_answer(&format!("permessage-deflate{params}")).is_some(), bits > 8);
        let answer = format!("permessage-deflate{params}");
        assert!(judged(&answer, &Deflate::default()).unwrap().is_some());
        // RFC 7692 §5.2: "The value may be quoted."
        let quoted = format!("; server_max_window_bits=\"{bits}\"");
        assert_eq!(parse_offer(&quoted), parse_offer(&params));
        assert_eq!(parse_agreed(&quoted), parse_agreed(&params));
    }
    // No value at all, and an empty one, which is no parameter by the grammar.
    assert_eq!(default_answer("permessage-deflate; server_max_window_bits="), None);
    let twice = "; server_max_window_bits=10; server_max_window_bits=10";
    assert_eq!(parse_offer(twice), Err(InvalidParam::Repeated));
    assert_eq!(parse_agreed(twice), Err(InvalidParam::Repeated));
}

#[test]
fn hostile_67_client_max_window_bits() {
    assert_eq!(
        parse_offer("; client_max_window_bits").unwrap().client_max_window_bits,
        Some(WindowBits::MAX)
    );
    assert_eq!(
        parse_offer("; client_max_window_bits=8").unwrap().client_max_window_bits,
        Some(WindowBits::MIN)
    );
    assert_eq!(parse_offer("; client_max_window_bits=16"), Err(InvalidParam::WindowBits));
    assert_eq!(parse_agreed("; client_max_window_bits"), Err(InvalidParam::WindowBits));
    assert_eq!(parse_agreed("; client_max_window_bits=16"), Err(InvalidParam::WindowBits));

    // Unsolicited: our client always offers it, so by hand.
    let offer = parse_offer("").unwrap();
    let judged = |answer: &str| agree([answer.as_bytes()], &[offer]);
    let unsolicited = judged("permessage-deflate; client_max_window_bits=10");
    assert_eq!(unsolicited, Err(HandshakeError::Deflate(InvalidParam::NotOffered)));
    assert_eq!(default_answer("permessage-deflate").as_deref(), Some("permessage-deflate"));
}

#[test]
fn hostile_67_a_client_sends_uncompressed_where_the_window_is_of_8_bits() {
    let agreed =
        judged("permessage-deflate; client_max_window_bits=8", &Deflate::default()).unwrap().unwrap();
    let mut client =
        Connection::client(Config::default(), [7; 32], NOW).with_deflate(agreed, &Deflate::default());
    client.text(&"a".repeat(1000)).unwrap();
    assert!(client.buffered() > 1000);
    assert_eq!(client.output().chunk()[0], 0x81);
}

#[test]
fn hostile_69_the_first_acceptable_offer_wins() {
    let offers = "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10, \
                  permessage-deflate";
    assert_eq!(default_answer(offers).as_deref(), Some("permessage-deflate; server_max_window_bits=10"));
    // The fields of a head are one list.
    let fields = [&b"x-webkit-deflate-frame, permessage-deflate; what=1"[..], b"permessage-deflate"];
    assert_eq!(accept(fields, &Deflate::default()), Some(Agreed::default()));
    assert_eq!(default_answer("mux, permessage-bzip2"), None);
    assert_eq!(default_answer(""), None);
}

#[test]
fn hostile_70_unknown_and_malformed_params() {
    for (params, error) in [
        ("; unknown", InvalidParam::Unknown),
        ("; unknown=1", InvalidParam::Unknown),
        ("; Server_no_context_takeover", InvalidParam::Unknown),
        ("; server_no_context_takeover; server_no_context_takeover", InvalidParam::Repeated),
        ("; client_no_context_takeover; client_no_context_takeover", InvalidParam::Repeated),
        ("; server_no_context_takeover=1", InvalidParam::UnexpectedValue),
        ("; client_no_context_takeover=true", InvalidParam::UnexpectedValue),
        ("; client_no_context_takeover=\"1\"", InvalidParam::UnexpectedValue),
    ] {
        assert_eq!(parse_offer(params), Err(error), "{params}");
        assert_eq!(parse_agreed(params), Err(error), "{params}");
        // A server declines this offer only; a client fails.
        let value = format!("permessage-deflate{params}");
        assert_eq!(default_answer(&value), None);
        assert_eq!(
            default_answer(&format!("{value}, permessage-deflate")).as_deref(),
            Some("permessage-deflate")
        );
        assert_eq!(judged(&value, &Deflate::default()), Err(HandshakeError::Deflate(error)));
    }
}

#[test]
fn hostile_24_answers_that_a_client_fails() {
    use InvalidParam::{NotOffered, Repeated};
    let demanding = deflate(|deflate| {
        deflate.receive_takeover = false;
        deflate.receive_window = bits(10);
    });
    let (plain, twice) = (Deflate::default(), "permessage-deflate, permessage-deflate");
    let ok = "permessage-deflate; server_no_context_takeover; server_max_window_bits=10";
    assert!(judged(ok, &demanding).unwrap().is_some());
    let smaller = "permessage-deflate; server_max_window_bits=9; server_no_context_takeover; client_no_context_takeover";
    assert!(judged(smaller, &demanding).unwrap().is_some());
    for (answer, deflate, error) in [
        ("permessage-deflate; server_no_context_takeover; server_max_window_bits=11", &demanding, NotOffered),
        ("permessage-deflate; server_no_context_takeover", &demanding, NotOffered),
        ("permessage-deflate; server_max_window_bits=10", &demanding, NotOffered),
        (twice, &plain, Repeated),
    ] {
        assert_eq!(judged(answer, deflate), Err(HandshakeError::Deflate(error)), "{answer}");
    }
    assert_eq!(judged("permessage-bzip2", &plain), Err(HandshakeError::ExtensionNotOffered));
    assert_eq!(judged("permessage-deflate, mux", &plain), Err(HandshakeError::ExtensionNotOffered));
    for malformed in ["", ",", "permessage-deflate;", "permessage-deflate; =", "permessage deflate"] {
        assert_eq!(judged(malformed, &plain), Err(HandshakeError::ResponseExtensions), "{malformed:?}");
    }
    // The fields of a head are one list.
    let offers: Vec<_> = Offer::all_of(&plain).collect();
    assert_eq!(agree([&b""[..], b"permessage-deflate"], &offers), Ok(Some(Agreed::default())));
    assert_eq!(
        agree([&b"permessage-deflate"[..], b"permessage-deflate"], &offers),
        Err(HandshakeError::Deflate(Repeated))
    );
    assert_eq!(agree([&b""[..], b" ,"], &offers), Err(HandshakeError::ResponseExtensions));
    // With a fallback, less will do.
    let fallback = deflate(|deflate| {
        *deflate = demanding.clone();
        deflate.fallback = true;
    });
    assert!(judged("permessage-deflate", &fallback).unwrap().is_some());
    // No answer, no compression.
    assert_eq!(agree([], &Offer::all_of(&plain).collect::<Vec<_>>()), Ok(None));
}

/// A client's and a server's handshake with each other: both connections.
fn handshake(client: Option<Deflate>, server: Option<Deflate>, accept: Accept) -> (Connection, Connection) {
    let config = |deflate| {
        let mut config = Config::default();
        config.deflate = deflate;
        config
    };
    let request = ClientRequest::new("ws://example.com/").unwrap();
    let mut client = client::Handshake::new(request, config(client), [7; 32], NOW);
    let mut server = server::Handshake::new(config(server), NOW);
    server.input().put(client.output());
    let mut server = server.poll().unwrap().unwrap().accept(accept, NOW).unwrap();
    client.input().put(server.output());
    let Some(Outcome::Established(established)) = client.poll().unwrap() else { panic!("refused") };
    let agreed = established.deflate();
    let client = established.into_connection(NOW);
    assert_eq!((agreed, agreed), (client.deflate(), server.deflate()));
    (client, server)
}

/// What was agreed, which is what both ends do.
fn kept((mut client, mut server): (Connection, Connection)) -> Option<Agreed> {
    let agreed = server.deflate();
    for end in [&mut client, &mut server] {
        end.text(&"the same ".repeat(100)).unwrap();
        let first = end.output().chunk()[0];
        assert_eq!(first, if agreed.is_some() { 0xc1 } else { 0x81 });
    }
    agreed
}

#[test]
fn section_5_both_ends_have_to_want_it() {
    let some = || Some(Deflate::default());
    assert_eq!(kept(handshake(some(), some(), Accept::new())), Some(Agreed::default()));
    assert_eq!(kept(handshake(None, some(), Accept::new())), None);
    assert_eq!(kept(handshake(some(), None, Accept::new())), None);
    assert_eq!(kept(handshake(None, None, Accept::new())), None);
    // The server's application decides for each client.
    assert_eq!(kept(handshake(some(), some(), Accept::new().deflate(None))), None);
    let instead = deflate(|deflate| deflate.send_takeover = false);
    let agreed = kept(handshake(some(), None, Accept::new().deflate(instead))).unwrap();
    assert!(agreed.server_no_context_takeover);
}

#[test]
fn section_4_2_2_a_server_fails_what_is_no_list_of_extensions() {
    let mut config = Config::default();
    config.deflate = Some(Deflate::default());
    let mut server = server::Handshake::new(config, NOW);
    server.input().put_slice(
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate;\r\n\r\n",
    );
    assert_eq!(server.poll().unwrap_err().error(), HandshakeError::Extensions);
}

prop_compose! {
    fn any_deflate()(
        takeover in any::<(bool, bool, bool)>(),
        windows in (8..=15_u8, 8..=15_u8),
    ) -> Deflate {
        deflate(|deflate| {
            (deflate.send_takeover, deflate.receive_takeover, deflate.fallback) = takeover;
            (deflate.send_window, deflate.receive_window) = (bits(windows.0), bits(windows.1));
        })
    }
}

proptest! {
    /// Whatever both want, they agree, or go on without compression.
    #[test]
    fn section_7_our_client_and_our_server_agree(client in any_deflate(), server in any_deflate()) {
        let (mut client_end, mut server_end) = handshake(Some(client.clone()), Some(server.clone()), Accept::new());
        let agreed = server_end.deflate();
        // Only a window of 8 bits for the server is declined.
        let declined = client.receive_window == WindowBits::MIN && !client.fallback;
        prop_assert_eq!(agreed.is_none(), declined);
        if let Some(agreed) = agreed.filter(|_| !client.fallback) {
            prop_assert!(client.receive_takeover || agreed.server_no_context_takeover);
            prop_assert!(server.receive_takeover || agreed.client_no_context_takeover);
            prop_assert!(agreed.server_max_window_bits.unwrap_or(WindowBits::MAX) <= client.receive_window);
            prop_assert!(agreed.client_max_window_bits.unwrap_or(WindowBits::MAX) <= server.receive_window);
        }
        for text in ["first ".repeat(500), "second and first ".repeat(500)] {
            client_end.text(&text).unwrap();
            server_end.input().put(client_end.output());
            server_end.handle_input(NOW);
            let (event, send) = server_end.poll_with_send().unwrap().unwrap();
            let sansock::Event::Text(received) = event else { panic!("{event:?}") };
            prop_assert!(*received == *text);
            send.text(&received).unwrap();
            client_end.input().put(server_end.output());
            client_end.handle_input(NOW);
            let Some(sansock::Event::Text(received)) = client_end.poll_event().unwrap() else { panic!("text") };
            prop_assert!(*received == *text);
        }
    }

    /// What is written can be read, and says the same.
    #[test]
    fn section_7_1_values_survive_the_header(flags in any::<(bool, bool)>(), windows in any::<(Option<u8>, Option<u8>)>()) {
        let window = |window: Option<u8>| window.map(|window| bits(8 + window % 8));
        let mut agreed = Agreed::default();
        (agreed.server_no_context_takeover, agreed.client_no_context_takeover) = flags;
        (agreed.server_max_window_bits, agreed.client_max_window_bits) = (window(windows.0), window(windows.1));
        let text = agreed.to_string();
        prop_assert_eq!(parse_agreed(text.strip_prefix("permessage-deflate").unwrap()), Ok(agreed));

        let mut offer = Offer::default();
        (offer.server_no_context_takeover, offer.client_no_context_takeover) = flags;
        (offer.server_max_window_bits, offer.client_max_window_bits) = (window(windows.0), window(windows.1));
        let text = offer.to_string();
        prop_assert_eq!(parse_offer(text.strip_prefix("permessage-deflate").unwrap()), Ok(offer));
    }

    /// No bytes make either end panic, and no answer goes beyond the offer.
    #[test]
    fn section_7_any_header(value in "(permessage-deflate|mux|[;=,\"\\\\ ]|(server|client)_(no_context_takeover|max_window_bits)|[0-9]{1,3}){0,20}") {
        let _ = accept([value.as_bytes()], &Deflate::default());
        if let Ok(Some(agreed)) = judged(&value, &Deflate::default()) {
            prop_assert_eq!(judged(&agreed.to_string(), &Deflate::default()), Ok(Some(agreed)));
        }
    }
}
