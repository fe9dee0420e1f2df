//! Negotiating permessage-deflate (RFC 7692 §5 and §7.1) between any two wishes, and with values of
//! `Sec-WebSocket-Extensions` that may be anything.
//!
//! An input is, byte by byte:
//!
//! 1. the server's wishes: switches (1 `send_takeover`, 2 `receive_takeover`, 4 `fallback`, 8 a pool of one
//!    codec, 16 no compression at all), the windows (the lowest three bits to send with, the next three to
//!    receive with), the level, the memory level, the threshold;
//! 2. the client's, likewise;
//! 3. how many bytes a read brings, and one;
//! 4. values of header fields, one a line. They serve as the messages as well.

#![no_main]

mod counted;
mod input;

use bytes::{Buf, BufMut};
use libfuzzer_sys::fuzz_target;
use sansock::deflate::{Agreed, Deflate, InvalidParam, NAME, Offer, Pool, WindowBits, accept, agree};
use sansock::handshake::client::{self, ClientRequest, Outcome};
use sansock::handshake::server::{self, Accept};
use sansock::handshake::{HandshakeError, extension};
use sansock::{Config, Connection, Event, Timestamp};

use crate::counted::within;
use crate::input::Input;

// Some handshakes and codecs at a time, whatever the values say.
fuzz_target!(|bytes: &[u8]| within((4 << 20) + 64 * bytes.len(), || run(bytes)));

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let server = wishes(&mut input);
    let client = wishes(&mut input);
    let size = 1 + usize::from(input.byte());
    let text = input.take(usize::MAX);
    let values: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    let offers: Vec<Offer> = client.iter().flat_map(Offer::all_of).collect();

    for value in &values {
        elements(value);
    }
    if let Some(server) = &server {
        accepts(&values, server);
        offers.iter().for_each(|offer| answers(*offer, server));
    }
    agrees(&values, &offers);

    handshake(client.as_ref(), server.as_ref(), text, size);
    request(&values, server.as_ref());
    response(&values, client.as_ref(), server.as_ref(), text);
}

const NOW: Timestamp = Timestamp::EPOCH;

fn wishes(input: &mut Input<'_>) -> Option<Deflate> {
    let (switches, windows) = (input.byte(), input.byte());
    let has = |bit| switches & bit != 0;
    let bits = |shift: u8| WindowBits::new(8 + (windows >> shift & 7)).expect("8 to 15");
    let mut deflate = Deflate::default();
    (deflate.send_takeover, deflate.receive_takeover, deflate.fallback) = (has(1), has(2), has(4));
    (deflate.send_window, deflate.receive_window) = (bits(0), bits(3));
    deflate.pool = has(8).then(|| Pool::new(1));
    (deflate.level, deflate.memory_level) = (input.byte(), input.byte());
    deflate.threshold = input.byte().into();
    (!has(16)).then_some(deflate)
}

/// Each element of a list that is an offer or an answer is the same when printed and read again.
fn elements(value: &[u8]) {
    for element in extension::parse(value).map_while(Result::ok) {
        let count = element.params().count();
        let names = element.params().map(|param| param.name()).collect::<std::collections::BTreeSet<_>>();
        let is_plain = names.len() == count && count <= 4;
        if let Ok(offer) = Offer::parse(&element) {
            assert!(is_plain);
            assert_eq!(parse(&offer.to_string(), Offer::parse), Ok(offer));
        }
        if let Ok(agreed) = Agreed::parse(&element) {
            assert!(is_plain);
            assert_eq!(parse(&agreed.to_string(), Agreed::parse), Ok(agreed));
            // What a server says is also what a client may say.
            assert!(Offer::parse(&element).is_ok());
        }
    }
}

fn parse<T>(
    text: &str,
    parse: impl Fn(&extension::Offer<'_>) -> Result<T, InvalidParam>,
) -> Result<T, InvalidParam> {
    let mut elements = extension::parse(text.as_bytes());
    let element = elements.next().expect("an element").expect("a legal one");
    assert_eq!((element.name(), elements.next()), (NAME, None));
    parse(&element)
}

/// A server accepts the first offer that it can, and not more than is offered.
fn accepts(values: &[&[u8]], server: &Deflate) {
    let accepted = accept(values.iter().copied(), server);
    let elements = values.iter().flat_map(|value| extension::parse(value)).map_while(Result::ok);
    let offers = elements.filter(|element| element.name() == NAME);
    let first = offers.filter_map(|element| Offer::parse(&element).ok()).find(|offer| may_accept(*offer));
    assert_eq!(accepted.is_some(), first.is_some());
    if let (Some(agreed), Some(offer)) = (accepted, first) {
        assert_eq!(offer.accept(server), Some(agreed));
        answers(offer, server);
    }
    if let Some(offers) = plainly(values) {
        assert_eq!(offers.into_iter().find(|offer| may_accept(*offer)), first);
    }
}

/// zlib has no compressor for a window of 256 bytes: nothing else is a reason to decline.
fn may_accept(offer: Offer) -> bool {
    offer.server_max_window_bits != Some(WindowBits::MIN)
}

/// The offers of values that can be read by splitting them: neither quotes nor anything else of HTTP's.
fn plainly(values: &[&[u8]]) -> Option<Vec<Offer>> {
    let mut offers = Vec::new();
    let mut is_broken = false;
    for value in values {
        let value = std::str::from_utf8(value).ok()?;
        if !value.chars().all(|char| char.is_ascii_alphanumeric() || "-_ ,;=".contains(char)) {
            return None;
        }
        for element in value.split(',').map(|element| element.trim_matches(' ')) {
            // What is no list of extensions ends the search.
            if element.is_empty() || is_broken {
                continue;
            }
            match plain_offer(element) {
                Some(offer) => offers.extend(offer),
                None => is_broken = true,
            }
        }
    }
    Some(offers)
}

/// `None` if it is no extension, `Some(None)` if it is not a legal offer of this one.
fn plain_offer(element: &str) -> Option<Option<Offer>> {
    let token = |text: &str| !text.is_empty() && !text.contains([' ', '=']);
    let mut parts = element.split(';').map(|part| part.trim_matches(' '));
    let name = parts.next().filter(|name| token(name))?;
    let mut offer = (name == NAME).then(Offer::default);
    let mut seen: Vec<&str> = Vec::new();
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_matches(' '), Some(value.trim_matches(' '))),
            None => (part, None),
        };
        if !token(name) || value.is_some_and(|value| !token(value)) {
            return None;
        }
        let bits = value.and_then(|value| (8..=15).find(|bits: &u8| bits.to_string() == value));
        let window = bits.and_then(WindowBits::new);
        offer = offer.filter(|_| !seen.contains(&name)).and_then(|mut offer| {
            match (name, value, window) {
                ("server_no_context_takeover", None, _) => offer.server_no_context_takeover = true,
                ("client_no_context_takeover", None, _) => offer.client_no_context_takeover = true,
                ("server_max_window_bits", _, Some(_)) => offer.server_max_window_bits = window,
                ("client_max_window_bits", _, Some(_)) => offer.client_max_window_bits = window,
                ("client_max_window_bits", None, _) => offer.client_max_window_bits = Some(WindowBits::MAX),
                _ => return None,
            }
            Some(offer)
        });
        seen.push(name);
    }
    Some(offer)
}

/// What a server answers to this offer is within it and within its own wishes, and its client reads it so.
fn answers(offer: Offer, server: &Deflate) {
    let accepted = offer.accept(server);
    assert_eq!(accepted.is_some(), may_accept(offer));
    let Some(agreed) = accepted else { return };
    assert!(is_within(offer, agreed), "{offer} does not allow {agreed}");
    let sent = agreed.server_max_window_bits.unwrap_or(WindowBits::MAX);
    assert!(sent <= server.send_window.max(WindowBits::new(9).expect("it is")) && sent > WindowBits::MIN);
    assert!(server.send_takeover || agreed.server_no_context_takeover);
    assert!(server.receive_takeover || agreed.client_no_context_takeover);
    let received = agreed.client_max_window_bits.unwrap_or(WindowBits::MAX);
    let is_limited = received <= server.receive_window;
    // Where a client does not let its window be limited, it takes nothing over.
    assert!(is_limited || (offer.client_max_window_bits.is_none() && agreed.client_no_context_takeover));
    assert_eq!(agree([agreed.to_string().as_bytes()], &[offer]), Ok(Some(agreed)));
}

/// RFC 7692 §7.1.1 and §7.1.2, of what a server may answer.
fn is_within(offer: Offer, agreed: Agreed) -> bool {
    let bits = |window: Option<WindowBits>| window.map_or(15, WindowBits::get);
    let asked = offer.server_max_window_bits.is_some();
    (!asked || agreed.server_max_window_bits.is_some())
        && bits(agreed.server_max_window_bits) <= bits(offer.server_max_window_bits)
        && (agreed.server_no_context_takeover || !offer.server_no_context_takeover)
        && (agreed.client_max_window_bits.is_none() || offer.client_max_window_bits.is_some())
}

/// A client takes only what it has offered.
fn agrees(values: &[&[u8]], offers: &[Offer]) {
    assert_eq!(agree([], offers), Ok(None));
    let Ok(agreed) = agree(values.iter().copied(), offers) else { return };
    let agreed = agreed.expect("there is a value");
    assert!(offers.iter().any(|offer| is_within(*offer, agreed)));
    let mut elements = values.iter().flat_map(|value| extension::parse(value));
    assert!(elements.next().is_some_and(|element| element.is_ok_and(|element| element.name() == NAME)));
    assert_eq!(elements.next(), None);
    assert_eq!(agree([agreed.to_string().as_bytes()], offers), Ok(Some(agreed)));
}

fn config(deflate: Option<&Deflate>) -> Config {
    let mut config = Config::default();
    config.deflate = deflate.cloned();
    config
}

fn begin(client: Option<&Deflate>) -> (client::Handshake, Vec<u8>) {
    let request = ClientRequest::new("ws://example.com/").expect("a legal URL");
    let mut handshake = client::Handshake::new(request, config(client), [7; 32], NOW);
    let head = take(handshake.output());
    (handshake, head)
}

fn take(output: &mut impl Buf) -> Vec<u8> {
    output.copy_to_bytes(output.remaining()).to_vec()
}

/// Two machines with these wishes agree, and understand each other.
fn handshake(client: Option<&Deflate>, server: Option<&Deflate>, text: &[u8], size: usize) {
    let (mut asking, head) = begin(client);
    let mut answering = server::Handshake::new(config(server), NOW);
    answering.input().put_slice(&head);
    let request = answering.poll().expect("a legal request").expect("a whole one");
    let mut answering = request.accept(Accept::new(), NOW).expect("no subprotocol");
    asking.input().put_slice(&take(answering.output()));
    let Ok(Some(Outcome::Established(established))) = asking.poll() else { panic!("refused") };
    let agreed = established.deflate();
    assert_eq!(answering.deflate(), agreed);
    let is_possible = |client: &Deflate| client.receive_window > WindowBits::MIN || client.fallback;
    assert_eq!(agreed.is_some(), server.is_some() && client.is_some_and(is_possible));
    if let (Some(agreed), Some(client)) = (agreed, client) {
        assert!(Offer::all_of(client).any(|offer| is_within(offer, agreed)));
        let is_preferred = client.receive_window > WindowBits::MIN;
        assert!(!is_preferred || client.receive_takeover || agreed.server_no_context_takeover);
        assert!(client.send_takeover || agreed.client_no_context_takeover);
    }
    let mut asking = established.into_connection(NOW);
    assert_eq!(asking.deflate(), agreed);
    for i in 0..3 {
        exchange(&mut asking, &mut answering, text, i, size);
        exchange(&mut answering, &mut asking, text, i, size);
    }
}

/// The i-th message from one end to the other.
fn exchange(from: &mut Connection, to: &mut Connection, text: &[u8], i: usize, size: usize) {
    // The second one says much of the first one again.
    let payload = text.repeat(1 + 3 * i);
    match i {
        0 => from.binary(&payload),
        1 => {
            let (first, last) = payload.split_at(payload.len() / 3);
            from.fragment(first).and_then(|()| from.last_fragment(last))
        }
        _ => from.text(&String::from_utf8_lossy(&payload)),
    }
    .expect("an open connection");
    let bytes = take(from.output());
    // Few reads of many bytes: how they are cut is for the other target to try.
    let size = size.max(bytes.len() / 16);
    for part in bytes.chunks(size) {
        to.input().put_slice(part);
        to.handle_input(NOW);
        let is_last = part.as_ptr_range().end == bytes.as_ptr_range().end;
        match to.poll_event().expect("legal frames") {
            None => assert!(!is_last, "a message is missing"),
            Some(Event::Binary(data)) if i < 2 => assert!(is_last && *data == *payload),
            Some(Event::Text(text)) => assert!(is_last && *text == *String::from_utf8_lossy(&payload)),
            Some(event) => panic!("{event:?}"),
        }
        if i != 1 {
            to.handle_would_block();
            from.handle_would_block();
        }
    }
}

/// Values as a head can have them: without the white space around.
fn of_a_head<'a>(values: &[&'a [u8]]) -> Option<Vec<&'a [u8]>> {
    let is_legal = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    let are_legal = values.len() < 80 && values.iter().all(|value| value.iter().all(is_legal));
    let is_white = |byte: &u8| matches!(byte, b'\t' | b' ');
    let trim = |value: &&'a [u8]| {
        let start = value.iter().position(|byte| !is_white(byte)).unwrap_or(value.len());
        let end = value.iter().rposition(|byte| !is_white(byte)).map_or(start, |last| last + 1);
        &value[start..end]
    };
    are_legal.then(|| values.iter().map(trim).collect())
}

/// A head with these values besides what it has.
fn with_values(mut head: Vec<u8>, values: &[&[u8]]) -> Vec<u8> {
    assert!(head.ends_with(b"\r\n\r\n"));
    head.truncate(head.len() - 2);
    for value in values {
        head.extend_from_slice(b"Sec-WebSocket-Extensions: ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// A client's request with these values.
fn request(values: &[&[u8]], server: Option<&Deflate>) {
    let (_, head) = begin(None);
    let mut handshake = server::Handshake::new(config(server), NOW);
    handshake.input().put_slice(&with_values(head, values));
    let polled = handshake.poll();
    let Some(values) = of_a_head(values) else { return };
    let mut elements = values.iter().flat_map(|value| extension::parse(value)).peekable();
    let is_list = elements.peek().is_some() && elements.all(|element| element.is_ok());
    match polled {
        Ok(Some(request)) => {
            assert!(is_list);
            let connection = request.accept(Accept::new(), NOW).expect("no subprotocol");
            let expected = server.and_then(|server| accept(values.iter().copied(), server));
            assert_eq!(connection.deflate(), expected);
        }
        Ok(None) => panic!("a whole head is not enough"),
        Err(rejection) => {
            assert_eq!(rejection.error(), HandshakeError::Extensions);
            assert!(!is_list);
        }
    }
}

/// A server's response with these values.
fn response(values: &[&[u8]], client: Option<&Deflate>, server: Option<&Deflate>, text: &[u8]) {
    let (mut asking, head) = begin(client);
    let mut answering = server::Handshake::new(config(None), NOW);
    answering.input().put_slice(&head);
    let request = answering.poll().expect("a legal request").expect("a whole one");
    let mut answering = request.accept(Accept::new(), NOW).expect("no subprotocol");
    asking.input().put_slice(&with_values(take(answering.output()), values));
    let outcome = asking.poll();
    let Some(values) = of_a_head(values) else { return };
    let offers: Vec<Offer> = client.iter().copied().flat_map(Offer::all_of).collect();
    match (outcome, agree(values, &offers)) {
        (Err(error), Err(expected)) => {
            assert_eq!(error, expected);
            assert_eq!(asking.poll().err(), Some(expected), "it stays failed");
        }
        (Ok(Some(Outcome::Established(established))), Ok(expected)) => {
            assert_eq!(established.deflate(), expected);
            // A server that keeps to it, whatever else it would like.
            let agreed = expected.expect("there is a value");
            let wishes = server.cloned().unwrap_or_default();
            let mut answering = answering.with_deflate(agreed, &wishes);
            let mut asking = established.into_connection(NOW);
            exchange(&mut asking, &mut answering, text, 2, usize::MAX);
            exchange(&mut answering, &mut asking, text, 2, usize::MAX);
            exchange(&mut answering, &mut asking, text, 0, usize::MAX);
        }
        (outcome, expected) => panic!("{outcome:?}, not {expected:?}"),
    }
}
