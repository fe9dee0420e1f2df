//! What permessage-deflate keeps and allocates, counted by an allocator of this test's own: item 74 of
//! hostile inputs, and 56 as far as it is about memory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::similar_names,
    reason = "a test may panic, and counts in small numbers"
)]

mod common;
#[path = "common/counting.rs"]
mod counting;
#[path = "common/deflate.rs"]
mod deflate;

use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use bytes::BufMut;
use common::{masked, plain};
use counting::{HELD, PEAK, assert_steady, held};
use deflate::Encoder;
use futures_util::FutureExt;
use sansock::deflate::{Deflate, Offer, Pool, WindowBits, accept};
use sansock::handshake::client::ClientRequest;
use sansock::handshake::server::Accept;
use sansock::tokio::{accept_request, connect_over};
use sansock::{Config, Connection, Error, Event, Prepared, Timestamp, blocking};

const NOW: Timestamp = Timestamp::EPOCH;

/// Both ends of a connection as these wishes have it, the server's being the one that counts.
fn pair(config: &Config, deflate: &Deflate) -> (Connection, Connection) {
    let offers =
        Offer::all_of(&Deflate::default()).map(|offer| offer.to_string()).collect::<Vec<_>>().join(",");
    let agreed = accept([offers.as_bytes()], deflate).unwrap();
    let server = Connection::server(config.clone(), NOW).with_deflate(agreed, deflate);
    let client = Connection::client(config.clone(), [7; 32], NOW).with_deflate(agreed, deflate);
    (client, server)
}

fn shared(pool: &Pool) -> Deflate {
    let mut deflate = Deflate::default();
    deflate.pool = Some(pool.clone());
    deflate
}

fn carry(from: &mut Connection, to: &mut Connection) {
    to.input().put(from.output());
    to.handle_input(NOW);
}

fn rest(end: &mut Connection) {
    assert!(matches!(end.poll_event(), Ok(None)));
    end.handle_would_block();
}

/// A message there and back; both ends rest afterwards.
fn echo(client: &mut Connection, server: &mut Connection, text: &str) {
    client.text(text).unwrap();
    carry(client, server);
    let Some((Event::Text(received), send)) = server.poll_with_send().unwrap() else { panic!("a text") };
    assert_eq!(received.len(), text.len());
    send.text(&received).unwrap();
    carry(server, client);
    assert!(matches!(client.poll_event(), Ok(Some(Event::Text(received))) if *received == *text));
    rest(client);
    rest(server);
}

/// Text of words and numbers, like none before.
fn words(seed: usize, len: usize) -> String {
    let mut text = String::new();
    let mut state = seed as u64 * 2 + 1;
    while text.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (id, name) = (state >> 40, state >> 55);
        text.extend(["{\"id\":", &id.to_string(), ",\"name\":\"n", &name.to_string(), "\"},"]);
    }
    text.truncate(len);
    text
}

#[test]
fn hostile_74_nothing_is_made_before_it_is_used() {
    let pool = Pool::default();
    let deflate = shared(&pool);
    let ((client, server), kept, _) = held(|| pair(&Config::default(), &deflate));
    assert!(kept <= 2 * 1024, "{kept}");
    // A message below the threshold makes none either.
    let (_, kept, peak) = held(|| {
        let (mut client, mut server) = (client, server);
        client.text("short").unwrap();
        carry(&mut client, &mut server);
        assert!(matches!(server.poll_event(), Ok(Some(Event::Text(_)))));
        (client, server)
    });
    assert!(kept < 8 << 10 && peak < 16 << 10, "{kept} {peak}");
}

#[test]
fn ten_thousand_connections_without_takeover_hold_little_each() {
    let mut deflate = shared(&Pool::default());
    (deflate.send_takeover, deflate.receive_takeover) = (false, false);
    let text = words(1, 3000);
    let (_first, pool, _) = held(|| {
        let mut first: Vec<_> = (0..16).map(|_| pair(&Config::default(), &deflate)).collect();
        for (client, server) in &mut first {
            echo(client, server, &text);
        }
        first
    });
    let (connections, kept, _) = held(|| {
        let mut connections = Vec::with_capacity(10_000);
        for _ in 0..10_000 {
            let (mut client, mut server) = pair(&Config::default(), &deflate);
            echo(&mut client, &mut server, &text);
            echo(&mut client, &mut server, &text);
            connections.push(server);
        }
        connections
    });
    // With all that the pool keeps, and with the connection itself.
    let each = (pool + kept) as usize / connections.len();
    assert!(each <= 2 << 10, "{each}");
    // What the documentation says.
    let each = kept as usize / connections.len() - size_of::<(Connection, Connection)>() / 2;
    assert!(each <= 640, "{each}");
}

#[test]
fn hostile_76_a_handler_holds_neither_the_decoder_nor_what_a_bomb_has_left() {
    const CONNECTIONS: usize = 20;
    let mut deflate = shared(&Pool::default());
    (deflate.send_takeover, deflate.receive_takeover) = (false, false);
    let (mut client, _) = pair(&Config::default(), &deflate);
    let mut compressed = |text: &str| {
        client.text(text).unwrap();
        let mut frame = vec![];
        frame.put(client.output());
        frame
    };
    let (bomb, small) = (compressed(&"0".repeat(1 << 20)), words(3, 600));
    let (packed, plain) = (compressed(&small), masked(0x81, small.as_bytes()));
    let parts = [&plain[..9], &plain[9..]];
    // The handler's message is compressed or not, and comes with the bomb, after it, or in parts.
    for reads in [
        vec![[&bomb[..], &packed].concat()],
        vec![bomb.clone(), packed.clone()],
        vec![[&bomb[..], &plain].concat()],
        vec![bomb.clone(), plain.clone()],
        vec![[&bomb[..], parts[0]].concat(), parts[1].to_vec()],
        vec![bomb.clone(), parts[0].to_vec(), parts[1].to_vec()],
    ] {
        let mut servers: Vec<_> = (0..CONNECTIONS).map(|_| pair(&Config::default(), &deflate).1).collect();
        let ((), kept, _) = held(|| {
            for server in &mut servers {
                let mut lens = vec![];
                for read in &reads {
                    server.input().put_slice(read);
                    server.handle_input(NOW);
                    // Nobody asks for more than there are: the second one's handler waits for something else.
                    while lens.len() < 2
                        && let Some(Event::Text(text)) = server.poll_event().unwrap()
                    {
                        lens.push(text.len());
                    }
                }
                assert_eq!(lens, [1 << 20, 600]);
            }
        });
        let each = kept / CONNECTIONS as isize;
        assert!(each < 8 << 10, "{each}");
    }
}

#[test]
fn without_a_pool_a_connection_at_rest_owns_no_codec() {
    let mut deflate = Deflate::default();
    (deflate.send_takeover, deflate.receive_takeover) = (false, false);
    let (mut client, mut server) = pair(&Config::default(), &deflate);
    let ((), kept, peak) = held(|| echo(&mut client, &mut server, &words(1, 3000)));
    assert!(peak > 400 << 10, "{peak}");
    assert!(kept <= 2 << 10, "{kept}");
}

/// The bound of item 74 for a connection with takeover in both directions.
fn bound(window: u32, memory: u32) -> usize {
    (1 << (window + 2)) + (1 << (memory + 9)) + (1 << window) + (2 << 10)
}

/// A pair of connections whose windows are full.
fn talked(seed: usize, deflate: &Deflate) -> (Connection, Connection) {
    let (mut client, mut server) = pair(&Config::default(), deflate);
    let len = deflate.send_window.size();
    for i in 0..3 {
        echo(&mut client, &mut server, &words(3 * seed + i, len));
    }
    (client, server)
}

/// What each of so many connections holds when its windows are full. Every other one is a client.
fn held_by_each(count: usize, deflate: &Deflate) -> usize {
    let (_connections, kept, _) = held(|| {
        let mut connections = Vec::with_capacity(count);
        for seed in 0..count {
            let (client, server) = talked(seed, deflate);
            connections.push(if seed % 2 == 0 { server } else { client });
        }
        connections
    });
    kept as usize / count
}

fn with_windows(window: u8, memory: u8) -> Deflate {
    let mut deflate = Deflate::default();
    let window = WindowBits::new(window).unwrap();
    (deflate.send_window, deflate.receive_window, deflate.memory_level) = (window, window, memory);
    deflate
}

#[test]
fn hostile_74_connections_with_takeover() {
    for (window, memory) in [(15, 8), (15, 1), (12, 8), (12, 5), (9, 8), (9, 1)] {
        // Without a pool there is no codec at rest.
        let each = held_by_each(100, &with_windows(window, memory));
        assert!(each <= bound(window.into(), memory.into()), "{window} {memory}: {each}");
        // Two windows, and the connection.
        assert!(each <= (2 << window) + 1536, "{window} {memory}: {each}");
    }
}

#[test]
fn hostile_74_ten_thousand_connections_with_takeover() {
    // With the codecs of the pool, which is empty before: about 11 KiB for each of 16.
    let mut deflate = with_windows(9, 1);
    deflate.pool = Some(Pool::default());
    let each = held_by_each(10_000, &deflate);
    assert!(each <= bound(9, 1), "{each}");
    assert!(each <= (2 << 9) + 1536 + 512, "{each}");
}

#[test]
fn hostile_74_a_window_grows_with_what_has_passed() {
    let deflate = shared(&Pool::default());
    let (mut client, mut server) = pair(&Config::default(), &deflate);
    echo(&mut client, &mut server, &words(1, 1000));
    let ((), kept, _) = held(|| echo(&mut client, &mut server, &words(2, 1000)));
    assert!(kept <= 5 << 10, "{kept}");
}

#[test]
fn the_preset_for_many_connections_keeps_what_its_documentation_says() {
    let mut deflate = Deflate::for_many_connections();
    deflate.pool = Some(Pool::default());
    // These fill the pool.
    let _first: Vec<_> = (0..20).map(|seed| talked(seed, &deflate)).collect();
    let held_by_each = |pair: &dyn Fn(usize) -> (Connection, Connection)| {
        let (_pairs, kept, _) = held(|| (0..100).map(pair).collect::<Vec<_>>());
        kept as usize / 200
    };
    let on_top = held_by_each(&|seed| talked(seed, &deflate))
        - held_by_each(&|_| {
            let config = Config::default();
            (Connection::client(config.clone(), [7; 32], NOW), Connection::server(config, NOW))
        });
    assert!(on_top <= (8 << 10) + 600, "{on_top}");
}

#[test]
fn codecs_take_what_the_documentation_says() {
    for (mut deflate, compressor, decoder) in
        [(Deflate::default(), 372, 47), (Deflate::for_many_connections(), 162, 47)]
    {
        let settings = (deflate.send_window, deflate.memory_level);
        deflate.pool = Some(Pool::default());
        (deflate.send_takeover, deflate.receive_takeover) = (false, false);
        let (mut client, mut server) = pair(&Config::default(), &deflate);
        let text = words(1, 100);
        let (frame, made, _) = held(|| {
            client.text(&text).unwrap();
            let mut frame = vec![];
            frame.put(client.output());
            rest(&mut client);
            frame
        });
        assert_eq!((made + 512) >> 10, compressor, "KiB to compress with {settings:?}");
        let ((), made, _) = held(|| {
            server.input().put_slice(&frame);
            server.handle_input(NOW);
            assert!(matches!(server.poll_event(), Ok(Some(Event::Text(received))) if *received == *text));
            rest(&mut server);
        });
        assert_eq!((made + 512) >> 10, decoder, "KiB to inflate with {settings:?}");
    }
}

#[test]
fn hostile_56_a_bomb_takes_no_more_than_the_limit() {
    let limit = 1 << 20;
    let mut config = Config::default();
    config.max_message = limit;
    let deflate = shared(&Pool::default());
    let bomb = Encoder::new(9, 15, true).message(&vec![0; 64 << 20]);
    assert!(bomb.len() < 66 << 10, "{}", bomb.len());
    for (cut, is_server) in [usize::MAX, 4096, 100].into_iter().flat_map(|cut| [(cut, false), (cut, true)]) {
        // The decoder is the pool's, and the input is the driver's.
        let (mut client, mut server) = pair(&config, &deflate);
        echo(&mut client, &mut server, &words(1, 3000));
        let (mut end, frame) =
            if is_server { (server, masked(0xc2, &bomb)) } else { (client, plain(0xc2, &bomb)) };
        end.input().put_slice(&frame[..frame.len().min(cut)]);
        end.handle_input(NOW);
        let mut rest = frame.get(cut.min(frame.len())..).unwrap_or_default();
        let (outcome, kept, peak) = held(|| {
            loop {
                let outcome = end.poll_event().map(|event| event.is_some());
                if outcome.is_err() || rest.is_empty() {
                    break outcome;
                }
                let (part, behind) = rest.split_at(cut.min(rest.len()));
                rest = behind;
                end.input().put_slice(part);
                end.handle_input(NOW);
            }
        });
        assert_eq!(outcome, Err(Error::TooBig));
        assert!(peak <= limit as isize + (16 << 10), "{peak}");
        assert!(kept <= 0, "{kept}");
        // The Close frame says why.
        assert!(end.closed().is_some_and(|report| report.sent.is_some()));
    }
}

#[test]
fn a_steady_state_allocates_nothing() {
    for (takes_over, has_pool) in [(true, true), (false, true), (true, false), (false, false)] {
        let mut deflate = Deflate::default();
        (deflate.send_takeover, deflate.receive_takeover) = (takes_over, takes_over);
        deflate.pool = has_pool.then(Pool::default);
        for len in [125, 1 << 10, 16 << 10] {
            let (mut client, mut server) = pair(&Config::default(), &deflate);
            // It is the same after a rest.
            echo(&mut client, &mut server, &words(1, 1000));
            let texts: Vec<_> = (0..200).map(|seed| words(seed, len)).collect();
            let mut next = texts.iter().cycle();
            let mut round = || {
                let text = next.next().unwrap();
                client.text(text).unwrap();
                carry(&mut client, &mut server);
                let Some((Event::Text(received), send)) = server.poll_with_send().unwrap() else {
                    panic!("a text")
                };
                send.text(&received).unwrap();
                assert!(matches!(server.poll_event(), Ok(None)));
                carry(&mut server, &mut client);
                let Ok(Some(Event::Text(received))) = client.poll_event() else { panic!("a text") };
                assert!(*received == **text);
                assert!(matches!(client.poll_event(), Ok(None)));
            };
            // Until the windows are full, and each text was said.
            (0..40_000 / len + 200).for_each(|_| round());
            assert_steady(round);
        }
    }
}

/// Two bytes of such a message, in the read that brought a compressed one, pinned 47 KiB.
#[test]
fn an_uncompressed_message_under_way_keeps_no_decoder() {
    let compressed = plain(0xc1, &Encoder::new(9, 15, false).message(b"Hello"));
    let read = [compressed, plain(0x01, b"more")].concat();
    let mut deflate = Deflate::default();
    (deflate.send_takeover, deflate.receive_takeover) = (false, false);
    let (mut client, _server) = pair(&Config::default(), &deflate);
    let ((), kept, peak) = held(|| {
        client.input().put_slice(&read);
        client.handle_input(NOW);
        assert!(matches!(client.poll_event(), Ok(Some(Event::Text(text))) if &*text == "Hello"));
        rest(&mut client);
    });
    assert!(peak > 40 << 10, "no decoder was made: {peak}");
    assert!(kept <= 1 << 10, "{kept}");
}

#[test]
fn a_cleared_pool_has_room_for_newcomers() {
    let pool = Pool::new(3);
    let deflate = shared(&pool);
    let mut resting: Vec<_> = (0..3).map(|_| pair(&Config::default(), &deflate)).collect();
    for (client, server) in &mut resting {
        echo(client, server, &words(1, 1000));
    }
    pool.clear();
    let (mut client, mut server) = pair(&Config::default(), &deflate);
    echo(&mut client, &mut server, &words(2, 1000));
    let ((), _, peak) = held(|| echo(&mut client, &mut server, &words(3, 1000)));
    assert!(peak < 40 << 10, "a codec was made: {peak}");
}

#[test]
fn preparing_a_message_takes_no_codec_from_a_connection() {
    let deflate = shared(&Pool::new(2));
    let (mut client, mut server) = pair(&Config::default(), &deflate);
    echo(&mut client, &mut server, &words(1, 1000));
    let _prepared = Prepared::with_deflate(words(2, 1000), &deflate);
    let ((), _, peak) = held(|| echo(&mut client, &mut server, &words(3, 1000)));
    assert!(peak < 40 << 10, "a codec was made: {peak}");
}

#[test]
fn the_shims_have_a_pool_for_connections_that_name_none() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut config = Config::default();
        config.deflate = Some(Deflate::default());
        for accept in [Accept::new(), Accept::new().deflate(Deflate::default())] {
            let (near, far) = tokio::io::duplex(100_000);
            let request = ClientRequest::new("ws://example.com/").unwrap();
            let serving = async { accept_request(far, config.clone()).await.unwrap().accept(accept).await };
            let (client, server) = tokio::join!(connect_over(near, request, config.clone()), serving);
            let (mut client, mut server) = (client.unwrap(), server.unwrap());
            for i in 0..10 {
                let text = words(i, 1000);
                // Both are at rest.
                assert!(client.recv().now_or_never().is_none());
                assert!(server.recv().now_or_never().is_none());
                let (held, before) = (HELD.get(), PEAK.replace(HELD.get()));
                client.send(text.clone()).await.unwrap();
                assert_eq!(server.recv().await.unwrap(), Some(text.as_str().into()));
                server.send(text.clone()).await.unwrap();
                assert_eq!(client.recv().await.unwrap(), Some(text.as_str().into()));
                let peak = PEAK.get() - held;
                assert!(i == 0 || peak < 200 << 10, "a codec was made: {peak}");
                PEAK.set(before);
            }
        }
    });
}

/// Says something, and hears it again, some times, and rests before each.
fn talk(mut socket: blocking::WebSocket<TcpStream>) {
    for i in 0..10 {
        let text = words(i, 1000);
        socket.set_timeout(Some(Duration::from_millis(1))).unwrap();
        assert!(socket.recv().is_err(), "nothing comes of itself");
        socket.set_timeout(None).unwrap();
        let (held, before) = (HELD.get(), PEAK.replace(HELD.get()));
        socket.send(text.clone()).unwrap();
        assert_eq!(socket.recv().unwrap(), Some(text.as_str().into()));
        let peak = PEAK.get() - held;
        assert!(i == 0 || peak < 200 << 10, "a codec was made: {peak}");
        PEAK.set(before);
    }
}

/// The other end.
fn echo_all(mut socket: blocking::WebSocket<TcpStream>) {
    while let Ok(Some(message)) = socket.recv() {
        socket.send(message).unwrap();
    }
}

#[test]
fn the_blocking_shim_has_a_pool_for_connections_that_name_none() {
    let mut config = Config::default();
    config.deflate = Some(Deflate::default());
    for (server_talks, names) in [(false, false), (true, false), (true, true)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (serve, call): (fn(_), fn(_)) = if server_talks { (talk, echo_all) } else { (echo_all, talk) };
        let serving = thread::spawn({
            let config = config.clone();
            move || {
                let accept = if names { Accept::new().deflate(Deflate::default()) } else { Accept::new() };
                let incoming = blocking::accept_request(listener.accept().unwrap().0, config).unwrap();
                serve(incoming.accept(accept).unwrap());
            }
        });
        let request = ClientRequest::new("ws://example.com/").unwrap();
        call(blocking::connect_over(near, request, config.clone()).unwrap());
        serving.join().unwrap();
    }
}

#[test]
fn more_connections_than_codecs_take_turns() {
    let deflate = shared(&Pool::new(3));
    let mut pairs: Vec<_> = (0..10).map(|_| pair(&Config::default(), &deflate)).collect();
    for round in 0..20 {
        for (i, (client, server)) in pairs.iter_mut().enumerate() {
            // What is said again must be found in the window, whoever had the codec meanwhile.
            let text = words(i, 2000 + round);
            echo(client, server, &text);
        }
    }
    let (client, server) = pairs.last_mut().unwrap();
    let text = words(9, 2020);
    client.text(&text).unwrap();
    assert!(client.buffered() < 100, "{}", client.buffered());
    carry(client, server);
    assert!(matches!(server.poll_event(), Ok(Some(Event::Text(received))) if *received == *text));
}
