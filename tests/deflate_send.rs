//! RFC 7692 §6.1 and §7.2.1: sending compressed messages; item 68 of hostile inputs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may panic, and counts in small numbers"
)]

mod common;
#[path = "common/deflate.rs"]
mod deflate;

use bytes::{Buf, BufMut};
use common::{Seen, binary, events, output, text};
use deflate::noise;
use proptest::prelude::*;
use sansock::deflate::{Deflate, Pool, WindowBits, accept};
use sansock::frame::{Header, Masking, OpCode, Reserved, Rules};
use sansock::{CloseCode, Config, Connection, Prepared, Timestamp};

const NO_TAKEOVER: &str = "; server_no_context_takeover; client_no_context_takeover";
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

fn server(params: &str) -> Connection {
    deflate::server(Config::default(), params)
}

fn client(params: &str) -> Connection {
    deflate::client(Config::default(), params)
}

fn with_threshold(threshold: usize) -> Connection {
    let mut deflate = Deflate::default();
    deflate.threshold = threshold;
    Connection::server(Config::default(), Timestamp::EPOCH).with_deflate(deflate::agreed(""), &deflate)
}

/// The frames of a server's output: RSV1, opcode, FIN, payload.
fn frames(mut bytes: &[u8]) -> Vec<(bool, OpCode, bool, Vec<u8>)> {
    let rules = Rules { reserved: Reserved::RSV1, masking: Masking::Forbidden };
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (header, size) = Header::parse(bytes, rules).unwrap().unwrap();
        let (payload, rest) = bytes[size..].split_at(header.len() as usize);
        bytes = rest;
        let is_compressed = header.reserved_bits() == Reserved::RSV1;
        frames.push((is_compressed, header.opcode(), header.is_final(), payload.to_vec()));
    }
    frames
}

fn sent(server: &mut Connection) -> Vec<(bool, OpCode, bool, Vec<u8>)> {
    frames(&output(server))
}

#[test]
fn section_7_2_1_the_tail_is_removed() {
    for (level, data) in
        [(0, noise(1000)), (1, noise(1000)), (2, vec![7; 1000]), (6, vec![7; 100_000]), (9, noise(70_000))]
    {
        let mut deflate = Deflate::default();
        deflate.level = level;
        let agreed = deflate::agreed("");
        let mut server =
            Connection::server(Config::default(), Timestamp::EPOCH).with_deflate(agreed, &deflate);
        let mut inflate = flate2::Decompress::new(false);
        for _ in 0..3 {
            server.binary(&data).unwrap();
            let [(true, OpCode::Binary, true, payload)] = &sent(&mut server)[..] else { panic!("one frame") };
            assert!(!payload.ends_with(&TAIL));
            let mut out = Vec::with_capacity(data.len() + 100);
            for part in [&payload[..], &TAIL] {
                inflate.decompress_vec(part, &mut out, flate2::FlushDecompress::Sync).unwrap();
            }
            assert!(out == data, "level {level}");
        }
    }
}

#[test]
fn section_7_2_1_fragments_keep_theirs() {
    let mut server = server("");
    let (first, second) = (vec![b'a'; 300], vec![b'b'; 300]);
    server.fragment(&first[..]).unwrap();
    server.ping(b"alive").unwrap();
    server.fragment(&second[..]).unwrap();
    server.last_fragment(&first[..]).unwrap();
    let sent = sent(&mut server);
    let shape: Vec<_> = sent.iter().map(|(rsv1, opcode, fin, _)| (*rsv1, *opcode, *fin)).collect();
    // RFC 7692 §6.1: the bit is of the first frame, and never of a control frame.
    assert_eq!(
        shape,
        [
            (true, OpCode::Binary, false),
            (false, OpCode::Ping, true),
            (false, OpCode::Continuation, false),
            (false, OpCode::Continuation, true)
        ]
    );
    assert!(sent[0].3.ends_with(&TAIL) && sent[2].3.ends_with(&TAIL) && !sent[3].3.ends_with(&TAIL));
    assert_eq!(sent[1].3, b"alive");
    assert!(sent.iter().all(|(.., payload)| payload.len() < 30));
}

#[test]
fn section_7_2_3_6_empty_messages_and_fragments() {
    let mut server = with_threshold(0);
    server.text("").unwrap();
    server.text(&"a".repeat(100)).unwrap();
    server.text("").unwrap();
    server.fragment("").unwrap();
    server.fragment("Hello").unwrap();
    server.fragment("").unwrap();
    server.last_fragment("").unwrap();
    let bytes = output(&mut server);
    let sent = frames(&bytes);
    assert_eq!(sent[0], (true, OpCode::Text, true, vec![0]));
    assert_eq!(sent[2], (true, OpCode::Text, true, vec![0]));
    assert_eq!(sent[3], (true, OpCode::Text, false, vec![]));
    assert_eq!(sent[5], (false, OpCode::Continuation, false, vec![]));
    assert_eq!(sent[6], (false, OpCode::Continuation, true, vec![0]));
    let mut client = client("");
    client.input().put_slice(&bytes);
    client.handle_input(Timestamp::EPOCH);
    assert_eq!(events(&mut client), [text(""), text(&"a".repeat(100)), text(""), text("Hello")]);
}

#[test]
fn section_7_1_1_takeover() {
    let said = "one message of some length, which is like none before: 0123456789";
    let mut taking_over = server("");
    let mut alone = server(NO_TAKEOVER);
    for server in [&mut taking_over, &mut alone] {
        server.text(said).unwrap();
        server.text(said).unwrap();
    }
    let (taken, alone) = (sent(&mut taking_over), sent(&mut alone));
    assert!(taken[1].3.len() < 12, "{}", taken[1].3.len());
    assert_eq!(alone[0], alone[1]);
    // Windows are per direction.
    let mut server = server("; server_no_context_takeover");
    server.text(said).unwrap();
    server.text(said).unwrap();
    let sent = sent(&mut server);
    assert_eq!(sent[0], sent[1]);
}

#[test]
fn section_7_1_1_takeover_goes_on_where_others_had_the_compressor_in_between() {
    let mut deflate = Deflate::default();
    deflate.pool = Some(Pool::new(1));
    let mut servers = [(); 2].map(|()| common::server().with_deflate(deflate::agreed(""), &deflate));
    for round in 0..3 {
        for (server, news) in servers.iter_mut().zip([noise(1000), noise(2000)[1000..].to_vec()]) {
            server.binary(&news).unwrap();
            let len = sent(server)[0].3.len();
            assert!(if round == 0 { len >= 1000 } else { len < 30 }, "round {round}: {len}");
        }
    }
}

#[test]
fn section_6_1_fragments_are_compressed_as_the_first_one_is() {
    for uncompressed in [true, false] {
        let (mut server, mut client) = (server(""), client(""));
        if uncompressed {
            server.uncompressed();
        }
        for _ in 0..3 {
            server.fragment(&noise(100)[..]).unwrap();
        }
        server.last_fragment(&noise(100)[..]).unwrap();
        // The next message is compressed in any case.
        server.binary(&[7; 100]).unwrap();
        let bytes = output(&mut server);
        let first = frames(&bytes).iter().map(|frame| frame.0).collect::<Vec<_>>();
        assert_eq!(first, [!uncompressed, false, false, false, true]);
        client.input().put_slice(&bytes);
        client.handle_input(Timestamp::EPOCH);
        assert_eq!(events(&mut client), [binary(&noise(100).repeat(4)), binary(&[7; 100])]);
    }
}

#[test]
fn a_message_is_compressed_from_the_threshold_on() {
    let mut server = with_threshold(100);
    for (len, is_compressed) in [(0, false), (99, false), (100, true), (101, true)] {
        server.text(&"a".repeat(len)).unwrap();
        assert_eq!(sent(&mut server)[0].0, is_compressed, "{len}");
    }
}

#[test]
fn a_level_that_takes_more_time_makes_it_shorter_and_memory_does_so_too() {
    // Words in no order: matches are many and hard to find.
    let words: Vec<_> = noise(200).chunks(5).map(<[u8]>::to_vec).collect();
    let text: Vec<u8> =
        noise(60_000).iter().flat_map(|&byte| words[usize::from(byte) % 40].clone()).collect();
    let len = |level, memory_level| {
        let mut deflate = Deflate::default();
        (deflate.level, deflate.memory_level) = (level, memory_level);
        let mut server = common::server().with_deflate(deflate::agreed(""), &deflate);
        server.binary(&text).unwrap();
        server.buffered()
    };
    assert!(len(0, 8) > text.len() && len(1, 8) > len(2, 8) && len(2, 8) > len(9, 8));
    assert!(len(6, 1) > len(6, 8), "{} {}", len(6, 1), len(6, 8));
}

#[test]
fn a_pool_is_the_same_as_its_clones_and_as_no_other() {
    let (one, other) = (Pool::new(3), Pool::new(3));
    assert!(one == one.clone() && one != other);
    assert_eq!((one.capacity(), Pool::default().capacity()), (3, 16));
}

#[test]
fn connections_that_say_little_have_windows_of_4_kib_and_small_compressors() {
    let deflate = Deflate::for_many_connections();
    assert_eq!((deflate.send_window.get(), deflate.receive_window.get(), deflate.memory_level), (12, 12, 5));
}

#[test]
fn section_7_1_2_the_window_is_kept_to() {
    // What is repeated further away than the window cannot be referred to.
    let repeated = noise(600);
    let far = [&repeated[..], &noise(5000)[1000..], &repeated].concat();
    for (window, may_refer) in [(9, false), (12, false), (13, true), (15, true)] {
        for end in ["server", "client"] {
            let params = format!("; {end}_max_window_bits={window}");
            let (mut one, mut other) = (server(&params), client(&params));
            let sender = if end == "server" { &mut one } else { &mut other };
            sender.binary(&far).unwrap();
            let refers = sender.buffered() < far.len() - 500;
            assert_eq!(refers, may_refer, "{end} {window}");
        }
    }
}

#[test]
fn section_7_2_1_no_distance_is_longer_than_the_window() {
    for bits in 9..=15 {
        let window = 1 << bits;
        // As far as zlib looks, and one byte further than anyone may.
        for (distance, may_refer) in [(window - 262, true), (window + 1, false), (window + 200, false)] {
            // 150 bytes, and then the same ones that far behind them.
            let mut data = noise(distance);
            data.extend_from_within(..150);
            for end in ["server", "client"] {
                let params = format!("; {end}_max_window_bits={bits}");
                let (mut one, mut other) = (server(&params), client(&params));
                let sender = if end == "server" { &mut one } else { &mut other };
                sender.binary(&data).unwrap();
                let refers = sender.buffered() < data.len();
                assert_eq!(refers, may_refer, "{end} {bits} {distance}: {}", sender.buffered());
            }
        }
    }
}

#[test]
fn section_7_2_2_the_agreed_window_is_kept_to_whatever_a_client_has_offered() {
    let repeated = noise(600);
    let far = [&repeated[..], &noise(5000)[1000..], &repeated].concat();
    for (offered, answered, may_refer) in
        [(9, 15, false), (9, 13, false), (13, 9, false), (15, 12, false), (15, 13, true), (13, 15, true)]
    {
        let mut deflate = Deflate::default();
        deflate.send_window = WindowBits::new(offered).unwrap();
        let mut agreed = deflate::agreed("");
        agreed.client_max_window_bits = WindowBits::new(answered);
        let mut client = common::client().with_deflate(agreed, &deflate);
        let mut server = common::server().with_deflate(agreed, &Deflate::default());
        client.binary(&far).unwrap();
        assert_eq!(client.buffered() < far.len() - 500, may_refer, "{offered} offered, {answered} agreed");
        let sent = output(&mut client);
        assert!(common::feed(&mut server, &sent, &[usize::MAX]) == [binary(&far)]);
    }
}

#[test]
fn what_is_compressed_is_not_offered_but_queued() {
    let mut server = server("");
    server.offer(&*"again and ".repeat(20), |_, _| panic!("there is no such frame yet")).unwrap();
    let frames = sent(&mut server);
    assert!(matches!(&frames[..], [(true, OpCode::Text, true, payload)] if payload.len() < 40), "{frames:?}");
}

#[test]
fn control_frames_are_never_compressed() {
    let mut server = with_threshold(0);
    server.ping(&[b'x'; 125]).unwrap();
    server.pong(&[b'x'; 125]).unwrap();
    server.close(CloseCode::NORMAL, &"x".repeat(123)).unwrap();
    assert!(
        sent(&mut server).iter().all(|(is_compressed, .., payload)| !is_compressed && payload.len() == 125)
    );
}

#[test]
fn prepared_messages_are_compressed_once_for_all_that_take_nothing_over() {
    let deflate = Deflate::default();
    let said = "news ".repeat(20_000);
    let news = Prepared::with_deflate(said.clone(), &deflate);
    let mut alone = [server(NO_TAKEOVER), server(NO_TAKEOVER)];
    let outputs = alone.each_mut().map(|server| {
        server.prepared(&news).unwrap();
        output(server)
    });
    assert_eq!(outputs[0], outputs[1]);
    assert!(outputs[0].len() < 1000);
    // Large ones are shared.
    let large = Prepared::with_deflate(noise(100_000), &deflate);
    let addresses = alone.each_mut().map(|server| {
        server.prepared(&large).unwrap();
        server.output().chunk().as_ptr()
    });
    assert_eq!(addresses[0], addresses[1]);
    assert_eq!(large.payload(), noise(100_000));

    // Everyone understands it, in any state and role.
    for params in ["", NO_TAKEOVER, "; server_max_window_bits=9; client_max_window_bits=9"] {
        let (mut server, mut client) = (server(params), client(params));
        for (from, to) in [(0, 1), (1, 0)] {
            let ends = [&mut server, &mut client];
            let [from, to] = if from < to {
                ends
            } else {
                let [a, b] = ends;
                [b, a]
            };
            // What comes after it is like what came before it, and not like it.
            let other = (0..2000).map(|i| i.to_string()).collect::<Vec<_>>().join(" ");
            from.text(&other).unwrap();
            from.prepared(&news).unwrap();
            from.uncompressed().prepared(&news).unwrap();
            from.text(&other).unwrap();
            to.input().put(from.output());
            to.handle_input(Timestamp::EPOCH);
            assert!(events(to) == [text(&other), text(&said), text(&said), text(&other)]);
        }
    }
    // Below the threshold, and for connections that do not compress, it is what it always was.
    let mut plain = common::server();
    plain.prepared(&Prepared::with_deflate("short", &deflate)).unwrap();
    server(NO_TAKEOVER).prepared(&Prepared::with_deflate("short", &deflate)).unwrap();
    assert_eq!(output(&mut plain), b"\x81\x05short");
}

#[test]
fn values_out_of_range_count_as_the_nearest() {
    for (level, memory_level) in [(0, 0), (9, 9), (10, 10), (255, 255)] {
        let mut deflate = Deflate::default();
        (deflate.level, deflate.memory_level) = (level, memory_level);
        (deflate.send_window, deflate.receive_window) = (WindowBits::MIN, WindowBits::MIN);
        let offer = "permessage-deflate; client_max_window_bits".as_bytes();
        let agreed = accept([offer], &deflate).unwrap();
        assert_eq!(agreed.server_max_window_bits, WindowBits::new(9));
        let mut server =
            Connection::server(Config::default(), Timestamp::EPOCH).with_deflate(agreed, &deflate);
        let mut client = Connection::client(Config::default(), [7; 32], Timestamp::EPOCH)
            .with_deflate(agreed, &Deflate::default());
        server.text(&"x".repeat(5000)).unwrap();
        client.input().put(server.output());
        client.handle_input(Timestamp::EPOCH);
        assert_eq!(events(&mut client), [text(&"x".repeat(5000))]);
    }
}

/// What a server sends to an attacker who decides about the text, when a victim's `secret` went through the
/// same pool in between.
fn what_an_attacker_sees(secret: &[u8], texts: &[Vec<u8>], deflate: &Deflate, params: &str) -> Vec<Vec<u8>> {
    let mut deflate = deflate.clone();
    deflate.pool = Some(Pool::new(1));
    let new = || common::server().with_deflate(deflate::agreed(params), &deflate);
    let mut attacker = new();
    let see = |text: &Vec<u8>| {
        let mut victim = new();
        victim.binary(secret).unwrap();
        drop(victim);
        attacker.binary(text).unwrap();
        output(&mut attacker)
    };
    texts.iter().map(see).collect()
}

#[test]
fn a_compressor_tells_nothing_of_another_connection() {
    // Every guess once, where the window ends just before the secret; and then all of them again.
    let guesses = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let about = |secret: &[u8]| [&b"public news; ".repeat(50)[..], secret].concat();
    let at = about(b"").len();
    let marks: Vec<u8> = guesses.iter().flat_map(|&guess| [b'#', b'~', b'|', guess]).collect();
    let texts: Vec<Vec<u8>> = (0..4)
        .flat_map(|place| {
            let filled = [vec![b'.'; at + place - 3 - marks.len()], marks.clone(), b"#~|".to_vec()].concat();
            [filled, marks.clone()]
        })
        .collect();
    for level in 0..=9 {
        for params in ["", NO_TAKEOVER] {
            let mut deflate = Deflate::default();
            deflate.level = level;
            let seen = [&b"s3cr3t"[..], b"an0ther", b"zzzzzz"]
                .map(|secret| what_an_attacker_sees(&about(secret), &texts, &deflate, params));
            assert_eq!(seen[0], seen[1], "level {level}");
            assert_eq!(seen[0], seen[2], "level {level}");
        }
    }
}

/// What one end says next.
#[derive(Clone, Debug)]
enum Command {
    Text(String),
    Binary(Vec<u8>),
    Uncompressed(String),
    Fragments(Vec<String>),
    Prepared(String),
    Ping,
    Rest,
}

fn any_command() -> impl Strategy<Value = Command> {
    let words = || "(one|two|three|[a-z]{1,5}|ß| ){0,60}";
    prop_oneof![
        4 => words().prop_map(Command::Text),
        2 => prop::collection::vec(0..4_u8, 0..2000).prop_map(Command::Binary),
        1 => words().prop_map(Command::Uncompressed),
        2 => prop::collection::vec(words(), 1..5).prop_map(Command::Fragments),
        1 => words().prop_map(Command::Prepared),
        1 => Just(Command::Ping),
        1 => Just(Command::Rest),
    ]
}

/// Gives a command; says what the other end must see.
fn carry_out(end: &mut Connection, command: &Command, deflate: &Deflate) -> Option<Seen> {
    match command {
        Command::Text(said) => end.text(said).unwrap(),
        Command::Binary(said) => end.binary(said).unwrap(),
        Command::Uncompressed(said) => end.uncompressed().text(said).unwrap(),
        Command::Prepared(said) => end.prepared(&Prepared::with_deflate(said.as_str(), deflate)).unwrap(),
        Command::Ping => end.ping(b"ping").unwrap(),
        Command::Fragments(parts) => {
            let (last, parts) = parts.split_last().unwrap();
            for part in parts {
                end.fragment(&part[..]).unwrap();
            }
            end.last_fragment(&last[..]).unwrap();
        }
        Command::Rest => end.handle_would_block(),
    }
    Some(match command {
        Command::Text(said) | Command::Uncompressed(said) | Command::Prepared(said) => text(said),
        Command::Binary(said) => binary(said),
        Command::Fragments(parts) => text(&parts.concat()),
        Command::Ping => Seen::Ping(b"ping".into()),
        Command::Rest => return None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Nor do any texts.
    #[test]
    fn no_text_tells_of_another_connection(
        texts in prop::collection::vec(prop::collection::vec(b'a'..b'e', 0..3000), 1..5),
        secrets in prop::collection::vec(prop::collection::vec(b'a'..b'e', 3000), 2),
        level in 0..=9_u8,
        takes_over in any::<bool>(),
    ) {
        let mut deflate = Deflate::default();
        (deflate.level, deflate.threshold) = (level, 0);
        let params = if takes_over { "" } else { NO_TAKEOVER };
        let seen = |secret: &[u8]| what_an_attacker_sees(secret, &texts, &deflate, params);
        prop_assert_eq!(seen(&secrets[0]), seen(&secrets[1]));
    }

    /// Any messages, by any way, in any parameters, cut anywhere, with or without a pool.
    #[test]
    fn hostile_68_all_parameters_and_both_roles(
        takeover in any::<(bool, bool)>(),
        windows in (9..=15_u8, 9..=15_u8),
        commands in prop::collection::vec((any::<bool>(), any_command()), 1..60),
        cuts in prop::collection::vec(1..200_usize, 1..4),
        level in 0..=9_u8,
        memory_level in 1..=9_u8,
        threshold in 0..100_usize,
        capacity in prop::option::of(0..3_usize),
    ) {
        let mut deflate = Deflate::default();
        (deflate.level, deflate.memory_level, deflate.threshold) = (level, memory_level, threshold);
        deflate.pool = capacity.map(sansock::deflate::Pool::new);
        let mut agreed = deflate::agreed("");
        (agreed.server_no_context_takeover, agreed.client_no_context_takeover) = takeover;
        (agreed.server_max_window_bits, agreed.client_max_window_bits) =
            (WindowBits::new(windows.0), WindowBits::new(windows.1));
        let mut pair = common::Pair::new();
        let new = || (common::client(), common::server());
        let (client, server) = new();
        pair.client = client.with_deflate(agreed, &deflate);
        pair.server = server.with_deflate(agreed, &deflate);
        pair.cuts = cuts;
        let (mut for_client, mut for_server) = (Vec::new(), Vec::new());
        for (from_client, command) in &commands {
            let (end, expected) = if *from_client {
                (&mut pair.client, &mut for_server)
            } else {
                (&mut pair.server, &mut for_client)
            };
            expected.extend(carry_out(end, command, &deflate));
            if matches!(command, Command::Rest) {
                pair.drive();
            }
        }
        pair.drive();
        let data = |saw: &[Seen]| saw.iter().filter(|seen| !matches!(seen, Seen::Pong(_))).cloned().collect::<Vec<_>>();
        prop_assert_eq!(data(&pair.client_saw), for_client);
        prop_assert_eq!(data(&pair.server_saw), for_server);
    }
}

#[test]
fn hostile_68_large_messages_from_compressors_of_every_size() {
    let message = |i: usize| [noise(20_000 + i), b"content ".repeat(3000), noise(20_000)].concat();
    for memory_level in 1..=9 {
        for params in ["", NO_TAKEOVER] {
            let mut deflate = Deflate::default();
            (deflate.memory_level, deflate.pool) = (memory_level, Some(Pool::new(0)));
            let mut pair = common::Pair::new();
            pair.client = common::client().with_deflate(deflate::agreed(params), &deflate);
            pair.server = common::server().with_deflate(deflate::agreed(params), &deflate);
            for i in 0..3 {
                pair.client.binary(&message(i)).unwrap();
                pair.server.binary(&message(i)).unwrap();
                pair.drive();
            }
            let expected: Vec<_> = (0..3).map(|i| binary(&message(i))).collect();
            assert!(pair.server_saw == expected && pair.client_saw == expected, "{memory_level} {params}");
        }
    }
}

#[test]
fn hostile_68_a_hundred_messages_of_shared_content() {
    let message = |i: usize| {
        let more = "content ".repeat(i % 20);
        format!("{{\"symbol\":\"SHARED-{}\",\"price\":{},\"more\":\"{more}\"}}", i % 7, i * i)
    };
    for params in ["", "; server_no_context_takeover", "; client_no_context_takeover", NO_TAKEOVER] {
        let mut pair = common::Pair::new();
        (pair.server, pair.client) = (server(params), client(params));
        for i in 0..100 {
            pair.client.text(&message(i)).unwrap();
            pair.server.text(&message(i + 1)).unwrap();
            pair.drive();
        }
        let expected = |from: usize| (from..from + 100).map(|i| text(&message(i))).collect::<Vec<_>>();
        assert_eq!(pair.server_saw, expected(0), "{params}");
        assert_eq!(pair.client_saw, expected(1), "{params}");
    }
}
