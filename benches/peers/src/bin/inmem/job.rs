//! The cases, and one of them at one size, ready to run any number of times.

use bytes::Bytes;
use peers::frames::{BINARY, Content, Frames, TEXT, checksum, encode};
use peers::mem::{KEPT, Mem, Sink, chain};
use peers::table::Peer;
use peers::{Res, Role};

use Operation::{Echo, Receive, Send};

/// What a case does.
#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Receive(Role),
    Send(Role),
    Echo,
}

#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    operation: Operation,
    opcode: u8,
    content: Content,
}

const fn case(name: &'static str, operation: Operation, opcode: u8, content: Content) -> Case {
    Case { name, operation, opcode, content }
}

pub const CASES: [Case; 7] = [
    case("recv_server", Receive(Role::Server), BINARY, Content::Bytes),
    case("recv_server_text_ascii", Receive(Role::Server), TEXT, Content::Ascii),
    case("recv_server_text_mixed", Receive(Role::Server), TEXT, Content::Mixed),
    case("recv_client", Receive(Role::Client), BINARY, Content::Bytes),
    case("send_server", Send(Role::Server), BINARY, Content::Bytes),
    case("send_client", Send(Role::Client), BINARY, Content::Bytes),
    case("echo_server", Echo, BINARY, Content::Bytes),
];

/// Messages in a pass: about 64 MiB, at most 200,000, at least 64.
pub fn messages(size: usize) -> usize {
    ((64 << 20) / size).clamp(64, 200_000)
}

/// Messages that are checked: about 16 MiB, at most 3,000, at least 8.
fn checked(size: usize) -> usize {
    ((16 << 20) / size).clamp(8, 3_000)
}

pub struct Job {
    case: Case,
    frames: Frames,
    payload: Bytes,
}

impl Job {
    pub fn new(case: Case, size: usize) -> Self {
        let is_masked = case.operation != Receive(Role::Client);
        let frames = Frames::new(case.opcode, is_masked, size, case.content);
        let payload = frames.payloads[0].clone().into();
        Job { case, frames, payload }
    }

    pub fn run(&self, peer: Peer, n: usize, sink: &mut Sink) -> Res {
        let io = Mem::new(self.frames.bytes.clone(), n * self.frames.frame_len, sink.verify);
        match self.case.operation {
            Receive(role) => (peer.recv)(io, role, n, sink),
            Send(role) => (peer.send)(io, role, n, &self.payload),
            Echo => (peer.echo)(io, n),
        }
    }

    /// Checks each payload received or frame written, of as many of `n` messages as is reasonable.
    pub fn verify(&self, peer: Peer, n: usize) -> Res {
        let n = n.min(checked(self.payload.len()));
        let mut sink = Sink { verify: true, ..Sink::default() };
        KEPT.lock().unwrap().clear();
        self.run(peer, n, &mut sink)?;
        let written = std::mem::take(&mut *KEPT.lock().unwrap());
        let (got, hash) = match self.case.operation {
            Receive(_) => ((sink.msgs, sink.hash), self.frames.hash(n)),
            Send(role) => {
                let hash = (0..n).fold(0, |hash, _| chain(hash, &self.payload));
                (checksum(&written, self.case.opcode, role == Role::Client)?, hash)
            }
            Echo => (checksum(&written, self.case.opcode, false)?, self.frames.hash(n)),
        };
        if got != (n, hash) {
            return Err(format!("{got:?} came, {:?} was expected", (n, hash)).into());
        }
        Ok(())
    }
}

/// Whether a peer refuses a text message that is not UTF-8.
pub fn checks_utf8(peer: Peer) -> bool {
    let mut bytes = Vec::new();
    encode(&mut bytes, TEXT, Some([1, 2, 3, 4]), b"abc\xff\xfe");
    let io = Mem::new(bytes.clone().into(), bytes.len(), false);
    (peer.recv)(io, Role::Server, 1, &mut Sink::default()).is_err()
}
