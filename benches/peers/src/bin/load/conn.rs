//! One connection of the load: what it sends, and whether the same comes back.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use peers::Res;
use peers::frames::{BINARY, encode, header};

const KEY: [u8; 4] = [0x3a, 0xc5, 0x91, 0x5e];

/// A connection after the HTTP upgrade.
pub fn connect(addr: &str) -> Res<TcpStream> {
    let mut tcp = TcpStream::connect(addr)?;
    tcp.set_nodelay(true)?;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    tcp.write_all(request.as_bytes())?; // in one piece: raw-epoll looks at one read
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    while !head.ends_with(b"\r\n\r\n") {
        let read = tcp.read(&mut buffer)?;
        head.extend_from_slice(&buffer[..read]);
        if read == 0 || head.len() > 4096 {
            return Err("the upgrade failed".into());
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    if !head.starts_with("HTTP/1.1 101") || !head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
        return Err(format!("the upgrade was refused: {head}").into());
    }
    Ok(tcp)
}

pub struct Conn {
    pub tcp: TcpStream,
    /// As many equal frames as may be under way, end to end.
    template: Vec<u8>,
    frame_len: usize,
    /// What each payload must come back as.
    expected: Vec<u8>,
    is_raw: bool,
    unsent: usize,
    send_at: usize,
    /// When each frame under way was handed over.
    sent: VecDeque<Instant>,
    /// The head of the frame that arrives, then how much of its payload has.
    head: Vec<u8>,
    got: Option<usize>,
    frames: u64,
}

impl Conn {
    pub fn new(addr: &str, id: usize, size: usize, depth: usize, is_raw: bool) -> Res<Self> {
        let tcp = connect(addr)?;
        tcp.set_nonblocking(true)?;
        let plain: Vec<u8> = (0..size).map(|at| (((id * 131 + at) * 2_654_435_761) >> 9) as u8).collect();
        let mut frame = Vec::new();
        encode(&mut frame, BINARY, Some(KEY), &plain);
        Ok(Conn {
            tcp,
            template: frame.repeat(depth),
            frame_len: frame.len(),
            expected: if is_raw { frame.split_off(frame.len() - size) } else { plain },
            is_raw,
            unsent: 0,
            send_at: 0,
            sent: VecDeque::new(),
            head: Vec::new(),
            got: None,
            frames: 0,
        })
    }

    pub fn queue(&mut self, frames: usize, now: Instant) {
        self.unsent += frames * self.frame_len;
        self.sent.extend((0..frames).map(|_| now));
    }

    /// Tells when each of the oldest frames was handed over, which have been answered.
    pub fn answered(&mut self, frames: usize, take: impl FnMut(Instant)) {
        self.sent.drain(..frames).for_each(take);
    }

    pub fn write(&mut self) -> Res {
        while self.unsent > 0 {
            let end = (self.send_at + self.unsent).min(self.template.len());
            match self.tcp.write(&self.template[self.send_at..end]) {
                Ok(len) => {
                    self.unsent -= len;
                    self.send_at = (self.send_at + len) % self.template.len();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads once; `None` if there is nothing now.
    pub fn read(&mut self, buffer: &mut [u8]) -> Res<Option<usize>> {
        match self.tcp.read(buffer) {
            Ok(0) => Err("the server closed a connection".into()),
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes bytes; how many frames they complete. Of every frame the head is checked, and of every
    /// sixteenth the payload.
    pub fn receive(&mut self, mut bytes: &[u8]) -> Res<usize> {
        let mut done = 0;
        while !bytes.is_empty() {
            let Some(got) = &mut self.got else {
                self.head.push(bytes[0]);
                bytes = &bytes[1..];
                if let Some((_, first, mask, len)) = header(&self.head) {
                    let expected = (0x80 | BINARY, self.is_raw.then_some(KEY), self.expected.len());
                    if (first, mask, len) != expected {
                        return Err(format!("a wrong frame: {:02x?}", self.head).into());
                    }
                    self.got = Some(0);
                }
                continue;
            };
            let len = bytes.len().min(self.expected.len() - *got);
            if self.frames.is_multiple_of(16) && bytes[..len] != self.expected[*got..*got + len] {
                return Err("a wrong payload".into());
            }
            *got += len;
            bytes = &bytes[len..];
            if *got == self.expected.len() {
                self.got = None;
                self.head.clear();
                self.frames += 1;
                done += 1;
            }
        }
        Ok(done)
    }
}
