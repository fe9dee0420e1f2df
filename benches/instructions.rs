//! Some cases of the other benchmarks, whose instructions `instructions.sh` counts.
//!
//! ```text
//! benches/instructions.sh
//! cargo bench --bench instructions -- --list
//! cargo bench --bench instructions -- --case echo-125 --messages 10000
//! ```
//!
//! A case handles whole turns, as many as have the messages asked for, and says how many messages these were.
//! Without `--case`, each runs for one turn.
#![allow(clippy::unwrap_used, reason = "a benchmark")]

mod common;

use std::hint::black_box;
use std::process::ExitCode;

use bytes::Bytes;
use common::{Frames, ascii, client, drain, echo, in_a_turn, look, server, turn};
use sansock::frame::OpCode;
use sansock::mask::Mask;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A message's way through a connection, and the length of its payload.
struct Case {
    name: &'static str,
    /// Handles at least so many messages, and returns how many.
    run: fn(usize) -> usize,
}

const CASES: [Case; 9] = [
    Case { name: "receive-binary-125", run: |messages| receive(OpCode::Binary, &[7; 125], messages) },
    Case { name: "receive-binary-16384", run: |messages| receive(OpCode::Binary, &[7; 16384], messages) },
    Case { name: "receive-text-125", run: |messages| receive(OpCode::Text, &ascii(125), messages) },
    Case { name: "send-unmasked-125", run: |messages| send_unmasked(&[7; 125], messages) },
    Case { name: "send-masked-125", run: |messages| send_masked(&[7; 125], messages) },
    Case { name: "send-masked-32", run: |messages| send_masked(&[7; 32], messages) },
    Case {
        name: "mask-32",
        run: |messages| append(|out, payload| Mask::new(KEY).copy(payload, out), messages),
    },
    Case { name: "copy-32", run: |messages| append(Vec::extend_from_slice, messages) },
    Case { name: "echo-125", run: |messages| send_back(&[7; 125], messages) },
];

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => CASES.iter().for_each(|case| println!("{}: {} messages", case.name, (case.run)(1))),
        ["--list"] => CASES.iter().for_each(|case| println!("{}", case.name)),
        ["--case", name, "--messages", messages] => {
            let case = CASES.iter().find(|case| case.name == name);
            let (Some(case), Ok(messages)) = (case, messages.parse()) else { return usage() };
            println!("{}", (case.run)(messages));
        }
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: instructions [--list | --case NAME --messages COUNT]");
    ExitCode::from(2)
}

/// A server takes masked frames in reads of 64 KiB, and looks at each message where it stands.
fn receive(opcode: OpCode, payload: &[u8], messages: usize) -> usize {
    let frames = Frames::masked(opcode, payload);
    let mut server = server();
    repeat(messages, frames.count, || turn(&mut server, &frames, look))
}

/// A server sends an owned message, which costs a count of its references, and writes it.
fn send_unmasked(payload: &[u8], messages: usize) -> usize {
    let payload = Bytes::from(payload.to_vec());
    let mut server = server();
    repeat(messages, in_a_turn(payload.len()), || {
        for _ in 0..in_a_turn(payload.len()) {
            server.send(payload.clone()).unwrap();
            drain(server.output());
        }
    })
}

/// A client sends a borrowed message, of a length that the compiler does not know, and writes it.
fn send_masked(payload: &[u8], messages: usize) -> usize {
    let mut client = client();
    repeat(messages, in_a_turn(payload.len()), || {
        for _ in 0..in_a_turn(payload.len()) {
            client.binary(black_box(payload)).unwrap();
            drain(client.output());
        }
    })
}

/// The payload of a short message goes where it is to be sent from, masked or as it is: what the former takes
/// more is the cost of the mask.
fn append(append: impl Fn(&mut Vec<u8>, &[u8]), messages: usize) -> usize {
    let payload = [7; 32];
    let mut out = Vec::with_capacity(1 << 10);
    repeat(messages, 1, || {
        out.clear();
        append(&mut out, black_box(&payload));
        black_box(&mut out);
    })
}

/// A server sends each message back, and writes the answers to all that a read brought at once.
fn send_back(payload: &[u8], messages: usize) -> usize {
    let frames = Frames::masked(OpCode::Binary, payload);
    let mut server = server();
    repeat(messages, frames.count, || echo(&mut server, &frames))
}

/// Runs as many turns as have these messages, and returns how many they have.
fn repeat(messages: usize, in_a_turn: usize, mut turn: impl FnMut()) -> usize {
    let turns = messages.div_ceil(in_a_turn);
    for _ in 0..turns {
        turn();
    }
    turns * in_a_turn
}
