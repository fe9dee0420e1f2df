//! Echoes bytes with epoll alone: the limit outside tokio.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use peers::mem::CHUNK;
use peers::{Res, upgrade};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

struct Conn {
    tcp: TcpStream,
    is_upgraded: bool,
    /// Read and not yet written back.
    pending: Vec<u8>,
}

impl Conn {
    /// Reads and writes until the socket would block; false once it has closed.
    fn pump(&mut self, buffer: &mut [u8]) -> std::io::Result<bool> {
        loop {
            while !self.pending.is_empty() {
                match self.tcp.write(&self.pending) {
                    Ok(len) => drop(self.pending.drain(..len)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                    Err(error) => return Err(error),
                }
            }
            let read = match self.tcp.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            let mut out = &buffer[..read];
            let response;
            if !self.is_upgraded {
                let Some(head) = upgrade::response(out) else { return Ok(false) };
                (self.is_upgraded, response) = (true, head);
                out = response.as_bytes();
            }
            match self.tcp.write(out) {
                Ok(len) => self.pending.extend_from_slice(&out[len..]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.pending.extend_from_slice(out),
                Err(error) => return Err(error),
            }
            // A short read has emptied the socket: the next edge will tell.
            if read < buffer.len() && self.pending.is_empty() {
                return Ok(true);
            }
        }
    }
}

const LISTENER: u64 = u64::MAX;

pub fn serve(addr: &str) -> Res {
    let listener = TcpListener::bind(addr)?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    // By the number of the descriptor.
    let mut conns: Vec<Option<Conn>> = Vec::new();
    let mut events = Vec::with_capacity(1024);
    let mut buffer = vec![0; CHUNK];
    loop {
        events.clear();
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in &events {
            let data = event.data;
            if data.u64() == LISTENER {
                let (tcp, _) = listener.accept()?;
                tcp.set_nonblocking(true)?;
                tcp.set_nodelay(true)?;
                let at = usize::try_from(tcp.as_raw_fd())?;
                let data = EventData::new_u64(at as u64);
                epoll::add(&poll, &tcp, data, EventFlags::IN | EventFlags::OUT | EventFlags::ET)?;
                if conns.len() <= at {
                    conns.resize_with(at + 1, || None);
                }
                conns[at] = Some(Conn { tcp, is_upgraded: false, pending: Vec::new() });
                continue;
            }
            let slot = &mut conns[usize::try_from(data.u64())?];
            if let Some(conn) = slot
                && !matches!(conn.pump(&mut buffer), Ok(true))
            {
                *slot = None;
            }
        }
    }
}
