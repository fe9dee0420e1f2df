//! What holds for any bytes, cut anywhere.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::large_stack_arrays,
    clippy::similar_names,
    reason = "a test may panic, and counts in small numbers"
)]

mod common;

use bytes::{BufMut, Bytes};
use common::*;
use proptest::collection::vec;
use proptest::prelude::*;
use sansock::frame::{Header, Masking, OpCode, Reserved, Rules};
use sansock::utf8::Validator;
use sansock::{CloseCode, Config, Connection, Data, Delivery, Message, Prepared, Timestamp, Utf8Bytes};

/// A frame that may be legal or not, and bytes that may be no frame at all.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![8 => prop::sample::select(vec![0u8, 1, 2, 9, 10]), 1 => Just(8u8), 1 => 0u8..16];
    let fin = prop_oneof![3 => Just(0x80u8), 2 => Just(0)];
    let payload = prop_oneof![
        6 => "[a-z€😀]{0,40}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..40),
        1 => vec(Just(b'x'), 120..400),
    ];
    let framed = (opcode, fin, any::<[u8; 4]>(), payload)
        .prop_map(|(opcode, fin, key, payload)| frame(fin | opcode, Some(key), &payload));
    prop_oneof![30 => framed, 1 => vec(any::<u8>(), 1..20)]
}

/// A command to a sender, and what the other end is to see of it.
#[derive(Clone, Debug)]
enum Command {
    Text(String),
    Binary(Vec<u8>),
    Send(Vec<u8>),
    Prepared(Vec<u8>),
    Fragments(Vec<Vec<u8>>),
    Texts(Vec<String>),
    Ping(Vec<u8>),
}

fn any_command() -> impl Strategy<Value = Command> {
    let len = prop_oneof![5 => 0usize..200, 2 => 4000usize..5000, 1 => 65_000usize..66_000];
    let data =
        (len, any::<u8>()).prop_map(|(len, seed)| (0..len).map(|i| (i as u8).wrapping_mul(seed)).collect());
    prop_oneof![
        ".{0,50}".prop_map(Command::Text),
        data.clone().prop_map(Command::Binary),
        data.clone().prop_map(Command::Send),
        data.prop_map(Command::Prepared),
        vec(vec(any::<u8>(), 0..50), 1..5).prop_map(Command::Fragments),
        vec(".{0,10}", 1..5).prop_map(Command::Texts),
        vec(any::<u8>(), 0..=125).prop_map(Command::Ping),
    ]
}

fn carry_out(command: &Command, end: &mut Connection) -> Seen {
    match command {
        Command::Text(data) => {
            end.text(data).unwrap();
            text(data)
        }
        Command::Binary(data) => {
            end.binary(data).unwrap();
            binary(data)
        }
        Command::Send(data) => {
            end.send(data.clone()).unwrap();
            binary(data)
        }
        Command::Prepared(data) => {
            end.prepared(&Prepared::new(data.clone())).unwrap();
            binary(data)
        }
        Command::Fragments(parts) => {
            send_parts(end, parts.iter().map(|part| Data::Binary(part)));
            binary(&parts.concat())
        }
        Command::Texts(parts) => {
            send_parts(end, parts.iter().map(|part| Data::Text(part)));
            text(&parts.concat())
        }
        Command::Ping(payload) => {
            end.ping(payload).unwrap();
            Seen::Ping(payload.clone())
        }
    }
}

fn send_parts<'a>(end: &mut Connection, parts: impl ExactSizeIterator<Item = Data<'a>>) {
    let last = parts.len() - 1;
    for (i, part) in parts.enumerate() {
        if i < last { end.fragment(part).unwrap() } else { end.last_fragment(part).unwrap() }
    }
}

/// The parts of each message put together again.
fn joined(seen: Vec<Seen>) -> Vec<Seen> {
    let (mut whole, mut open_text, mut open_data) = (Vec::new(), String::new(), Vec::new());
    for event in seen {
        match event {
            Seen::TextPart(part) => open_text.push_str(&part),
            Seen::BinaryPart(part) => open_data.extend(part),
            Seen::Text(part) => whole.push(Seen::Text(std::mem::take(&mut open_text) + &part)),
            Seen::Binary(part) => {
                open_data.extend(part);
                whole.push(Seen::Binary(std::mem::take(&mut open_data)));
            }
            other => whole.push(other),
        }
    }
    whole
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// Any split of the same bytes gives the same events and the same answer.
    #[test]
    fn events_do_not_depend_on_the_cuts(frames in vec(any_frame(), 1..12), cuts in vec(1usize..60, 1..20)) {
        let bytes = frames.concat();
        let (mut whole, mut cut) = (server(), server());
        let at_once = feed(&mut whole, &bytes, &[usize::MAX]);
        prop_assert_eq!(feed(&mut cut, &bytes, &cuts), at_once);
        prop_assert_eq!(output(&mut cut), output(&mut whole));
        prop_assert_eq!(cut.closed(), whole.closed());
    }

    /// With chunks, the parts make the same messages.
    #[test]
    fn chunks_make_the_same_messages(frames in vec(any_frame(), 1..12), cuts in vec(1usize..60, 1..20)) {
        let bytes = frames.concat();
        let mut config = Config::default();
        config.delivery = Delivery::Chunks;
        let mut chunks = Connection::server(config, Timestamp::EPOCH);
        let mut whole = server();
        prop_assert_eq!(joined(feed(&mut chunks, &bytes, &cuts)), feed(&mut whole, &bytes, &[usize::MAX]));
        prop_assert_eq!(output(&mut chunks), output(&mut whole));
    }

    /// After an error there is nothing but that error, and nothing is kept.
    #[test]
    fn errors_stick(frames in vec(any_frame(), 1..12), after in vec(any::<u8>(), 1..200)) {
        let mut end = server();
        let seen = feed(&mut end, &frames.concat(), &[7, 1]);
        if let Some(Seen::Failed(error)) = seen.last() {
            let report = end.closed();
            prop_assert_eq!(feed(&mut end, &after, &[3]), [Seen::Failed(*error)]);
            prop_assert_eq!(end.advance(), Err(*error));
            prop_assert_eq!(end.closed(), report);
            prop_assert_eq!(held(&mut end), 0);
        }
    }

    /// What a sending half writes, a receiving half reads back, in both directions.
    #[test]
    fn what_is_sent_is_received(commands in vec(any_command(), 1..10), cuts in vec(1usize..5000, 1..9)) {
        let mut pair = Pair::new();
        pair.cuts = cuts;
        let to_server: Vec<Seen> = commands.iter().map(|command| carry_out(command, &mut pair.client)).collect();
        let to_client: Vec<Seen> = commands.iter().map(|command| carry_out(command, &mut pair.server)).collect();
        pair.drive();
        let no_pongs = |seen: Vec<Seen>| -> Vec<Seen> {
            seen.into_iter().filter(|seen| !matches!(seen, Seen::Pong(_))).collect()
        };
        prop_assert_eq!(no_pongs(pair.server_saw), to_server);
        prop_assert_eq!(no_pongs(pair.client_saw), to_client);
        pair.client.close(CloseCode::NORMAL, "").unwrap();
        pair.server_saw = Vec::new();
        pair.client_saw = Vec::new();
        pair.drive();
        prop_assert!(pair.client.closed().unwrap().clean && pair.server.closed().unwrap().clean);
    }

    /// Owning an event gives the same bytes, and disturbs nothing that stands behind it.
    #[test]
    fn owned_events_are_the_same(sizes in vec(prop_oneof![0usize..100, 15_000usize..40_000], 1..6), cut in 1usize..90_000) {
        let messages: Vec<Vec<u8>> = sizes.iter().zip(1u8..).map(|(&len, fill)| vec![fill; len]).collect();
        let bytes: Vec<u8> = messages.iter().flat_map(|data| masked(0x82, data)).collect();
        let mut end = server();
        let mut owned = Vec::new();
        for part in bytes.chunks(cut) {
            end.input().put_slice(part);
            end.handle_input(Timestamp::EPOCH);
            while let Some(event) = end.poll_event().unwrap() {
                let sansock::Event::Binary(data) = event else { panic!("{event:?}") };
                owned.push(data.into_bytes());
            }
        }
        prop_assert_eq!(owned, messages);
    }

    /// The output is the same whether it is written at once or byte by byte, by slices or by chunks.
    #[test]
    fn output_survives_partial_writes(commands in vec(any_command(), 1..10), steps in vec(1usize..9000, 1..9)) {
        use bytes::Buf;
        let (mut at_once, mut in_steps) = (server(), server());
        let mut written = Vec::new();
        let mut steps = steps.into_iter().cycle();
        for command in &commands {
            carry_out(command, &mut at_once);
            carry_out(command, &mut in_steps);
            let output = in_steps.output();
            let mut slices = [std::io::IoSlice::new(&[]); 3];
            let count = output.chunks_vectored(&mut slices);
            let seen: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
            let step = steps.next().unwrap().min(seen.len());
            written.extend(&seen[..step]);
            output.advance(step);
        }
        written.extend(output(&mut in_steps));
        prop_assert_eq!(written, output(&mut at_once));
    }

    /// A header reads back as it was written, and no shorter prefix of it is taken for one.
    #[test]
    fn headers_read_back(opcode in 0u8..16, len in prop_oneof![0u64..200, 65_000u64..66_000, 0u64..1 << 63], masked: bool) {
        let Some(opcode) = OpCode::new(opcode) else { return Ok(()) };
        let Ok(mut header) = Header::new(opcode, len) else { return Ok(()) };
        if masked {
            header = header.masked();
        }
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        let rules = Rules { reserved: Reserved::NONE, masking: Masking::Either };
        for short in 0..bytes.len() {
            prop_assert_eq!(Header::parse(&bytes[..short], rules), Ok(None));
        }
        prop_assert_eq!(Header::parse(&bytes, rules), Ok(Some((header, bytes.len()))));
    }

    /// The validator says what the standard library says, wherever the text is cut.
    #[test]
    fn utf8_is_judged_as_by_core(bytes in prop_oneof![
        vec(prop_oneof![Just(b'a'), 0x80u8.., any::<u8>()], 0..30),
        ".{0,30}".prop_map(String::into_bytes),
    ], at in 0usize..30) {
        let (first, second) = bytes.split_at(at.min(bytes.len()));
        let mut validator = Validator::new();
        let judged = validator.push(first).and_then(|()| validator.push(second)).and_then(|()| validator.finish());
        prop_assert_eq!(judged.is_ok(), core::str::from_utf8(&bytes).is_ok());
        let owned = Utf8Bytes::try_from(Bytes::copy_from_slice(&bytes)).ok();
        prop_assert_eq!(owned.as_deref(), core::str::from_utf8(&bytes).ok());
        // It fails at the byte that cannot be right, not later and not before.
        let mut validator = Validator::new();
        let failed_at = bytes.iter().position(|&byte| validator.push(&[byte]).is_err());
        let expected = (1..=bytes.len()).find(|&len| {
            core::str::from_utf8(&bytes[..len]).is_err_and(|error| error.error_len().is_some())
        });
        prop_assert_eq!(failed_at.map(|at| at + 1), expected);
    }

    /// Messages convert without a change.
    #[test]
    fn messages_keep_their_bytes(data in vec(any::<u8>(), 0..100), text in ".{0,50}") {
        let (binary, utf8) = (Message::from(data.clone()), Message::from(text.clone()));
        prop_assert_eq!(binary.as_bytes(), &data[..]);
        prop_assert_eq!(utf8.as_bytes(), text.as_bytes());
    }
}
