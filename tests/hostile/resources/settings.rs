//! Item 89: nonsense in a configuration. Any value is legal, and means what it says: each field at 0, at 1
//! and at its largest, alone and together with each other one, in both roles. Constructors that take no
//! nonsense say so by `None`, and system calls by an error.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use bytes::{Buf, BufMut};
use sansock::handshake::HandshakeError;
use sansock::handshake::client::{self, ClientRequest, Outcome};
use sansock::handshake::server::{self, Accept};
use sansock::{CloseCode, Config, Connection, Delivery, Error, Event, Spare, Timestamp, blocking};

use crate::common::{Seen, binary, drain, events, feed, masked, output, server, text};
use crate::io::{config, guard};

const NOW: Timestamp = Timestamp::EPOCH;

/// What comes of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Every message arrives, and the end is clean.
    Fine,
    /// A message is too big.
    TooBig,
    /// The head of the handshake is too large, or has too many headers.
    Head,
}

use Fate::{Fine, Head, TooBig};

/// A field, three values of it from the smallest to the largest, and what each of them does.
type Field = (&'static str, fn(&mut Config, usize), [Fate; 3]);

const SIZES: [usize; 3] = [0, 1, usize::MAX];
const LENGTHS: [u64; 3] = [0, 1, u64::MAX];
const TIMES: [Duration; 3] = [Duration::ZERO, Duration::from_nanos(1), Duration::MAX];

const FIELDS: &[Field] = &[
    ("max_message", |config, i| config.max_message = LENGTHS[i], [TooBig, TooBig, Fine]),
    ("max_frame", |config, i| config.max_frame = Some(LENGTHS[i]), [TooBig, TooBig, Fine]),
    (
        "delivery",
        |config, i| config.delivery = [Delivery::Messages, Delivery::Chunks, Delivery::Chunks][i],
        [Fine; 3],
    ),
    ("output_high_water", |config, i| config.output_high_water = SIZES[i], [Fine; 3]),
    ("ping_interval", |config, i| config.ping_interval = Some(TIMES[i]), [Fine; 3]),
    ("pong_timeout", |config, i| config.pong_timeout = TIMES[i], [Fine; 3]),
    ("idle_timeout", |config, i| config.idle_timeout = Some(TIMES[i]), [Fine; 3]),
    (
        "idle_close",
        |config, i| config.idle_close = [1000, 3000, 4999].map(|code| CloseCode::new(code).unwrap())[i],
        [Fine; 3],
    ),
    ("handshake_timeout", |config, i| config.handshake_timeout = TIMES[i], [Fine; 3]),
    ("close_timeout", |config, i| config.close_timeout = TIMES[i], [Fine; 3]),
    ("max_head", |config, i| config.max_head = SIZES[i], [Head, Head, Fine]),
    ("max_headers", |config, i| config.max_headers = SIZES[i], [Head, Head, Fine]),
    #[cfg(feature = "deflate")]
    ("deflate", |config, i| config.deflate = (i > 0).then(Default::default), [Fine; 3]),
];

/// The names of a structure's fields, as its `Debug` shows them.
fn names(shown: &str) -> BTreeSet<&str> {
    let lines = shown.lines().filter_map(|line| line.strip_prefix("    "));
    lines
        .filter(|line| line.starts_with(char::is_alphabetic))
        .filter_map(|line| line.split(':').next())
        .collect()
}

/// The handshake between a client and a server in memory.
fn shake(client: &Config, server: &Config) -> Result<[Connection; 2], HandshakeError> {
    let request = ClientRequest::new("ws://example.com/").unwrap();
    let mut client = client::Handshake::new(request, client.clone(), [7; 32], NOW);
    let mut server = server::Handshake::new(server.clone(), NOW);
    server.input().put(client.output());
    let request = server.poll().map_err(|rejection| rejection.error())?.unwrap();
    let mut server = request.accept(Accept::new(), NOW).unwrap();
    client.input().put(server.output());
    match client.poll()? {
        Some(Outcome::Established(established)) => Ok([established.into_connection(NOW), server]),
        other => panic!("{other:?}"),
    }
}

/// Carries what `from` has to say; none of it if `to` does not want to read.
fn carry(from: &mut Connection, to: &mut Connection) -> bool {
    let wants = to.wants_input() && from.output().has_remaining();
    if wants {
        let bytes = output(from);
        to.input().put_slice(&bytes);
        to.handle_input(NOW);
    }
    wants
}

/// The defaults, with compression if the other end has it.
#[cfg(feature = "deflate")]
fn config_of_far(near: &Config) -> Config {
    config(|far| far.deflate = near.deflate.as_ref().map(|_| sansock::deflate::Deflate::default()))
}

#[cfg(not(feature = "deflate"))]
fn config_of_far(_: &Config) -> Config {
    config(|_| {})
}

/// A conversation of an endpoint of that configuration, which echoes, with one of the defaults.
fn converse(config: &Config, is_client: bool) -> Fate {
    let far = config_of_far(config);
    let shaken = if is_client { shake(config, &far) } else { shake(&far, config) };
    let [client, server] = match shaken {
        Ok(both) => both,
        Err(HandshakeError::HeadTooLarge | HandshakeError::TooManyHeaders) => return Head,
        Err(error) => panic!("{error}"),
    };
    let (mut near, mut far) = if is_client { (client, server) } else { (server, client) };
    let words = "again and ".repeat(300);
    far.text(&words).unwrap();
    far.ping(b"?").unwrap();
    far.binary(b"").unwrap();
    far.fragment("fragm").unwrap();
    far.last_fragment("ent").unwrap();
    far.close(CloseCode::NORMAL, "done").unwrap();
    let mut heard = Vec::new();
    let mut failed = None;
    for _ in 0..100 {
        let mut moved = carry(&mut far, &mut near);
        loop {
            match near.poll_with_send() {
                Ok(Some((event, send))) => send.relay(event).unwrap(),
                Ok(None) => break,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        moved |= carry(&mut near, &mut far);
        heard.extend(events(&mut far).into_iter().filter(|seen| *seen != Seen::End));
        if !moved {
            break;
        }
    }
    assert_eq!((near.buffered(), far.buffered()), (0, 0));
    match failed {
        None => {
            // Parts may come as parts.
            let said: String = heard.iter().filter_map(as_text).collect();
            assert_eq!(said, format!("{words}fragment"));
            assert!(heard.contains(&binary(b"")) && heard.contains(&Seen::Pong(b"?".into())));
            assert!(near.closed().unwrap().clean && far.closed().unwrap().clean);
            Fine
        }
        Some(error) => {
            assert_eq!(error, Error::TooBig);
            assert_eq!(far.closed().unwrap().received.unwrap().code(), CloseCode::TOO_BIG);
            TooBig
        }
    }
}

fn as_text(seen: &Seen) -> Option<&str> {
    match seen {
        Seen::Text(text) | Seen::TextPart(text) => Some(text),
        _ => None,
    }
}

#[test]
fn hostile_89_every_field_of_a_configuration_is_covered() {
    let listed: BTreeSet<_> = FIELDS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names(&format!("{:#?}", Config::default())), listed);
}

#[test]
fn hostile_89_every_field_of_a_configuration_at_its_ends() {
    for (name, set, fates) in FIELDS {
        for (i, fate) in fates.iter().enumerate() {
            for is_client in [false, true] {
                let mut config = Config::default();
                set(&mut config, i);
                assert_eq!(converse(&config, is_client), *fate, "{name} {i}, client: {is_client}");
            }
        }
    }
}

#[test]
fn hostile_89_every_two_fields_of_a_configuration_at_their_ends() {
    for (at, (one, set_one, fates_one)) in FIELDS.iter().enumerate() {
        for (other, set_other, fates_other) in &FIELDS[at + 1..] {
            for (i, j) in (0..9).map(|both| (both / 3, both % 3)) {
                for is_client in [false, true] {
                    let mut config = Config::default();
                    set_one(&mut config, i);
                    set_other(&mut config, j);
                    let fate = converse(&config, is_client);
                    let alone = [fates_one[i], fates_other[j]];
                    let expected = *[Head, TooBig].iter().find(|fate| alone.contains(fate)).unwrap_or(&Fine);
                    assert_eq!(fate, expected, "{one} {i}, {other} {j}, client: {is_client}");
                }
            }
        }
    }
}

#[test]
fn hostile_89_nothing_passes_a_limit_of_nothing_but_empty_messages() {
    let mut config = Config::default();
    (config.max_message, config.max_frame) = (0, Some(0));
    let mut server = Connection::server(config, NOW);
    let empty = [masked(0x81, b""), masked(0x02, b""), masked(0x89, &[1; 125]), masked(0x80, b"")].concat();
    let seen = feed(&mut server, &empty, &[1]);
    assert_eq!(seen, [text(""), Seen::Ping(vec![1; 125]), binary(b"")], "control frames have no such limit");
    assert_eq!(feed(&mut server, &masked(0x82, b"x"), &[1]), [Seen::Failed(Error::TooBig)]);
}

#[test]
fn hostile_89_a_mark_of_nothing_stops_reading_while_anything_waits() {
    for mark in [0, 1] {
        let mut config = Config::default();
        config.output_high_water = mark;
        let mut server = Connection::server(config, NOW);
        assert!(server.wants_input() && !server.is_above_high_water());
        server.text("x").unwrap();
        assert!(!server.wants_input() && server.is_above_high_water());
        drain(&mut server);
        assert!(server.wants_input() && !server.is_above_high_water());
    }
}

#[test]
fn hostile_89_spare_buffers_of_any_limit() {
    for limit in SIZES {
        let mut spare = Spare::with_limit(limit);
        for _ in 0..50 {
            let mut server = server();
            server.borrow_buffers(&mut spare);
            server.input().put_slice(&masked(0x82, &[7; 1000]));
            server.handle_input(NOW);
            while let Some((event, send)) = server.poll_with_send().unwrap() {
                send.relay(event).unwrap();
            }
            assert_eq!(output(&mut server).len(), 1004);
            server.return_buffers(&mut spare);
            assert!(spare.capacity() <= limit);
        }
        assert_eq!(spare.capacity() > 0, limit > 1);
    }
}

#[test]
fn hostile_89_what_no_code_or_event_can_hold_is_none() {
    assert!(
        [0, 1, 999, 1004, 1005, 1006, 1015, 2999, 5000, u16::MAX]
            .map(CloseCode::new)
            .iter()
            .all(Option::is_none)
    );
}

#[test]
fn hostile_89_timeouts_that_a_socket_does_not_take_are_errors() {
    let _guard = guard();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut socket = blocking::WebSocket::over(near, server());
    assert_eq!(socket.set_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
    for timeout in [Some(Duration::from_nanos(1)), Some(Duration::MAX), None] {
        socket.set_timeout(timeout).unwrap();
    }
    let mut far = blocking::WebSocket::over(listener.accept().unwrap().0, crate::common::client());
    far.send("still good").unwrap();
    assert!(matches!(socket.next(), Ok(Some(Event::Text(text))) if &*text == "still good"));
}

#[cfg(feature = "deflate")]
mod deflate {
    use sansock::deflate::{Deflate, Pool, WindowBits};

    use super::{BTreeSet, FIELDS, Fine, SIZES, config, converse, names};

    type Field = (&'static str, fn(&mut Deflate, usize));

    const BYTES: [u8; 3] = [0, 1, u8::MAX];
    const WINDOWS: [WindowBits; 3] = [WindowBits::MIN, WindowBits::new(9).unwrap(), WindowBits::MAX];

    const SETTINGS: [Field; 9] = [
        ("level", |deflate, i| deflate.level = BYTES[i]),
        ("memory_level", |deflate, i| deflate.memory_level = BYTES[i]),
        ("threshold", |deflate, i| deflate.threshold = SIZES[i]),
        ("send_window", |deflate, i| deflate.send_window = WINDOWS[i]),
        ("receive_window", |deflate, i| deflate.receive_window = WINDOWS[i]),
        ("send_takeover", |deflate, i| deflate.send_takeover = i > 0),
        ("receive_takeover", |deflate, i| deflate.receive_takeover = i > 0),
        ("fallback", |deflate, i| deflate.fallback = i > 0),
        ("pool", |deflate, i| deflate.pool = Some(Pool::new(SIZES[i]))),
    ];

    #[test]
    fn hostile_89_every_setting_of_deflate_is_covered() {
        let listed: BTreeSet<_> = SETTINGS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names(&format!("{:#?}", Deflate::default())), listed);
    }

    #[test]
    fn hostile_89_every_two_settings_of_deflate_at_their_ends() {
        for (at, (one, set_one)) in SETTINGS.iter().enumerate() {
            for (other, set_other) in &SETTINGS[at..] {
                for (i, j) in (0..9).map(|both| (both / 3, both % 3)) {
                    for is_client in [false, true] {
                        let mut deflate = Deflate::default();
                        set_one(&mut deflate, i);
                        set_other(&mut deflate, j);
                        let config = config(|config| config.deflate = Some(deflate));
                        let fate = converse(&config, is_client);
                        assert_eq!(fate, Fine, "{one} {i}, {other} {j}, client: {is_client}");
                    }
                }
            }
        }
    }

    #[test]
    fn hostile_89_compression_with_every_other_field_at_its_ends() {
        for (name, set, fates) in FIELDS.iter().filter(|(name, ..)| *name != "deflate") {
            for (i, fate) in fates.iter().enumerate() {
                for is_client in [false, true] {
                    let mut config = config(|config| config.deflate = Some(Deflate::default()));
                    set(&mut config, i);
                    assert_eq!(converse(&config, is_client), *fate, "{name} {i}, client: {is_client}");
                }
            }
        }
    }

    #[test]
    fn hostile_89_windows_that_do_not_exist_are_none() {
        assert!([0, 1, 7, 16, u8::MAX].map(WindowBits::new).iter().all(Option::is_none));
    }
}
