//! Our messages through other decoders, and theirs through ours: flate2's stream on `miniz_oxide`, and zlib
//! as Python has it, where Python is installed.
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

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use common::{Seen, binary, feed, output, plain};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use proptest::prelude::*;
use sansock::deflate::Deflate;
use sansock::{Config, Connection, Timestamp};

const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
const NO_TAKEOVER: &str = "; server_no_context_takeover; client_no_context_takeover";

/// Messages that have something in common.
fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let message = prop_oneof![
        "(the |quick |brown |fox |[a-z]{3} |\\{\"id\":[0-9]{1,6}\\},){0,200}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..3000),
        (any::<u8>(), 0..100_000_usize).prop_map(|(byte, len)| vec![byte; len]),
    ];
    prop::collection::vec(message, 1..8)
}

/// The payloads of what a server sends of these messages.
fn ours(messages: &[Vec<u8>], deflate: &Deflate, params: &str) -> Vec<Vec<u8>> {
    let agreed = deflate::agreed(params);
    let mut server = Connection::server(Config::default(), Timestamp::EPOCH).with_deflate(agreed, deflate);
    let payload = |message: &Vec<u8>| {
        server.binary(message).unwrap();
        let frame = output(&mut server);
        assert_eq!(frame[0], 0xc2);
        let head = match frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        frame[head..].to_vec()
    };
    messages.iter().map(payload).collect()
}

/// What a client makes of these payloads.
fn received(payloads: &[Vec<u8>], params: &str, cuts: &[usize]) -> Vec<Seen> {
    let mut client = deflate::client(Config::default(), params);
    let bytes: Vec<u8> = payloads.iter().flat_map(|payload| plain(0xc2, payload)).collect();
    feed(&mut client, &bytes, cuts)
}

fn all_compressed(level: u8) -> Deflate {
    let mut deflate = Deflate::default();
    (deflate.level, deflate.threshold) = (level, 0);
    deflate
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn flate2_inflates_what_we_compress(messages in messages(), level in 0..=9_u8, takes_over in any::<bool>()) {
        let params = if takes_over { "" } else { NO_TAKEOVER };
        let mut inflate = Decompress::new(false);
        for (message, payload) in messages.iter().zip(ours(&messages, &all_compressed(level), params)) {
            if !takes_over {
                inflate.reset(false);
            }
            let mut out = Vec::with_capacity(message.len() + 64);
            for part in [&payload[..], &TAIL] {
                inflate.decompress_vec(part, &mut out, FlushDecompress::Sync).unwrap();
            }
            prop_assert!(out == *message);
        }
    }

    #[test]
    fn we_inflate_what_flate2_compresses(
        messages in messages(),
        level in 0..=9_u32,
        takes_over in any::<bool>(),
        cuts in prop::collection::vec(1..5000_usize, 1..4),
    ) {
        let mut compress = Compress::new(Compression::new(level), false);
        let mut payload = |message: &Vec<u8>| {
            if !takes_over {
                compress.reset();
            }
            let mut out = Vec::with_capacity(message.len() + message.len() / 10 + 200);
            compress.compress_vec(message, &mut out, FlushCompress::Sync).unwrap();
            if out.ends_with(&TAIL) {
                out.truncate(out.len() - 4);
            }
            out
        };
        let payloads: Vec<_> = messages.iter().map(&mut payload).collect();
        let expected: Vec<_> = messages.iter().map(|message| binary(message)).collect();
        let saw = received(&payloads, if takes_over { "" } else { NO_TAKEOVER }, &cuts);
        prop_assert!(saw == expected);
    }

    /// Any bytes: what we deliver is what flate2 makes of them; what flate2 refuses, we do not deliver.
    #[test]
    fn of_any_bytes_we_deliver_what_flate2_does(payload in any_payload()) {
        let mut client = deflate::client(Config::default(), NO_TAKEOVER);
        let saw = feed(&mut client, &plain(0xc2, &payload), &[usize::MAX]);
        let reference = inflate_all(&[&payload[..], &TAIL].concat());
        match &saw[..] {
            [Seen::Binary(delivered)] => {
                // Where the sender has left some of the tail, ours is one too many for the reference.
                prop_assert!(reference.ok().or_else(|| inflate_all(&payload).ok()).as_ref() == Some(delivered));
            }
            [Seen::Failed(_)] => {}
            other => prop_assert!(false, "{other:?}"),
        }
    }
}

/// Something like a compressed message: a real one with some bytes changed, cut or added, or noise.
fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    let real =
        (messages(), 0..=9_u8, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3));
    let spoiled = real.prop_map(|(messages, level, changes)| {
        let mut payload = ours(&messages[..1], &all_compressed(level), NO_TAKEOVER).remove(0);
        for (index, byte) in changes {
            let at = index.index(payload.len());
            payload[at] = byte;
        }
        payload
    });
    prop_oneof![3 => spoiled, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

/// All that a raw stream inflates to, with streams that follow one that has ended.
fn inflate_all(mut input: &[u8]) -> Result<Vec<u8>, flate2::DecompressError> {
    let mut inflate = Decompress::new(false);
    let mut out = Vec::new();
    loop {
        out.reserve(64 << 10);
        let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
        let status = inflate.decompress_vec(input, &mut out, FlushDecompress::None)?;
        input = &input[(inflate.total_in() - before_in) as usize..];
        if status == flate2::Status::StreamEnd {
            if input.is_empty() || input == TAIL {
                return Ok(out);
            }
            inflate.reset(false);
        } else if inflate.total_out() == before_out && input.is_empty() {
            return Ok(out);
        }
    }
}

/// Python's zlib behind two pipes: a line of numbers in, a line of hexadecimal digits out.
struct Zlib {
    child: Child,
    input: BufWriter<ChildStdin>,
    output: BufReader<ChildStdout>,
}

const SCRIPT: &str = "
import sys, zlib
stream = None
for line in sys.stdin:
    command, *arguments = line.split()
    if command == 'deflate':
        level, bits, memory = map(int, arguments)
        stream = zlib.compressobj(level, zlib.DEFLATED, -bits, memory)
    elif command == 'inflate':
        stream = zlib.decompressobj(-int(arguments[0]))
    elif command == 'more':
        data = bytes.fromhex(arguments[0][1:])
        if hasattr(stream, 'decompress'):
            print('.' + stream.decompress(data).hex(), flush=True)
        else:
            print('.' + (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)).hex(), flush=True)
";

impl Zlib {
    /// `None` where there is no Python.
    fn start() -> Option<Zlib> {
        let mut command = Command::new("python3");
        command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped());
        match command.spawn() {
            Ok(mut child) => {
                let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
                Some(Zlib { child, input: BufWriter::new(input), output: BufReader::new(output) })
            }
            Err(error) => {
                assert!(std::env::var_os("SANSOCK_INTEROP").is_none(), "python3: {error}");
                println!("skipped: there is no python3 ({error})");
                None
            }
        }
    }

    fn begin(&mut self, command: &str) {
        writeln!(self.input, "{command}").unwrap();
    }

    fn more(&mut self, bytes: &[u8]) -> Vec<u8> {
        write!(self.input, "more .").unwrap();
        for byte in bytes {
            write!(self.input, "{byte:02x}").unwrap();
        }
        writeln!(self.input).unwrap();
        self.input.flush().unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let digits = line.trim().strip_prefix('.').unwrap().as_bytes();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }
}

impl Drop for Zlib {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn python_inflates_what_we_compress() {
    let Some(zlib) = Zlib::start() else { return };
    let zlib = Mutex::new(zlib);
    let cases = ProptestConfig::with_cases(48);
    proptest!(cases, |(messages in messages(), level in 0..=9_u8, window in 9..=15_u8, takes_over in any::<bool>())| {
        let mut zlib = zlib.lock().unwrap_or_else(PoisonError::into_inner);
        let takeover = if takes_over { "" } else { NO_TAKEOVER };
        let params = format!("{takeover}; server_max_window_bits={window}");
        zlib.begin(&format!("inflate {window}"));
        for (message, payload) in messages.iter().zip(ours(&messages, &all_compressed(level), &params)) {
            if !takes_over {
                zlib.begin(&format!("inflate {window}"));
            }
            prop_assert!(zlib.more(&[&payload[..], &TAIL].concat()) == *message);
        }
    });
}

#[test]
fn we_inflate_what_python_compresses() {
    let Some(zlib) = Zlib::start() else { return };
    let zlib = Mutex::new(zlib);
    let cases = ProptestConfig::with_cases(48);
    let settings = (0..=9_u8, 9..=15_u8, 1..=9_u8);
    proptest!(cases, |(messages in messages(), (level, window, memory) in settings, cut in 1..3000_usize)| {
        let mut zlib = zlib.lock().unwrap_or_else(PoisonError::into_inner);
        zlib.begin(&format!("deflate {level} {window} {memory}"));
        let mut payloads = Vec::new();
        for message in &messages {
            let mut payload = zlib.more(message);
            // zlib says nothing to a flush without new data.
            if payload.is_empty() {
                payload = vec![0, 0, 0, 0xff, 0xff];
            }
            payloads.push(payload[..payload.len() - 4].to_vec());
        }
        let expected: Vec<_> = messages.iter().map(|message| binary(message)).collect();
        let params = format!("; server_max_window_bits={window}");
        let saw = received(&payloads, &params, &[cut]);
        prop_assert!(saw == expected);
    });
}

#[test]
fn python_inflates_what_we_send_in_fragments() {
    let Some(mut zlib) = Zlib::start() else { return };
    let mut server = deflate::server(Config::default(), "");
    zlib.begin("inflate 15");
    let parts = ["first part, ", "", "second part, ", "first part, "];
    for part in parts {
        server.fragment(part).unwrap();
    }
    server.last_fragment("").unwrap();
    let frames = output(&mut server);
    let mut payload = Vec::new();
    let mut rest = &frames[..];
    while let [_, len, behind @ ..] = rest {
        let (part, behind) = behind.split_at(usize::from(*len));
        payload.extend(part);
        rest = behind;
    }
    assert_eq!(zlib.more(&[&payload[..], &TAIL].concat()), parts.concat().as_bytes());
    let mut client = deflate::client(Config::default(), "");
    assert_eq!(feed(&mut client, &frames, &[3]), [Seen::Text(parts.concat())]);
}
