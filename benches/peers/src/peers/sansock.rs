//! sansock: all calls of its API are in this file. One module per row; `serve` and `serve_blocking` are the
//! echo servers.

use std::io::{IoSlice, Write};
use std::time::Instant;

use ::sansock::tokio::WebSocket;
use ::sansock::{Config, Connection, Event, Spare, Timestamp};
use bytes::{Buf, Bytes};
use tokio::net::TcpStream;

use crate::mem::{Mem, Sink};
use crate::table::About;
use crate::{Res, Role, block_on};

const fn about(setup: &'static str) -> About {
    About { package: "sansock", is_complete: true, setup }
}

fn connection(role: Role) -> Connection {
    match role {
        Role::Server => Connection::server(Config::default(), Timestamp::EPOCH),
        Role::Client => Connection::client(Config::default(), [7; 32], Timestamp::EPOCH),
    }
}

fn payload<'a>(event: &'a Event<'_>) -> &'a [u8] {
    match event {
        Event::Text(text) => text.as_bytes(),
        Event::Binary(data) => data,
        _ => &[],
    }
}

pub async fn serve(tcp: TcpStream) -> Res {
    let mut ws = WebSocket::over(tcp, connection(Role::Server));
    while ws.ready().await? {
        while let Ok(Some((event, send))) = ws.connection_mut().poll_with_send() {
            send.relay(event)?;
        }
    }
    Ok(())
}

pub fn serve_blocking(tcp: std::net::TcpStream) -> Res {
    let mut ws = ::sansock::blocking::WebSocket::over(tcp, connection(Role::Server));
    while ws.ready()? {
        while let Ok(Some((event, send))) = ws.connection_mut().poll_with_send() {
            send.relay(event)?;
        }
    }
    Ok(())
}

/// A connection without I/O and its driver, which reads and writes as the shims do.
struct Driver {
    io: Mem,
    connection: Connection,
    spare: Spare,
    started: Instant,
}

impl Driver {
    fn new(io: Mem, role: Role) -> Self {
        Driver { io, connection: connection(role), spare: Spare::new(), started: Instant::now() }
    }

    fn read(&mut self) -> Res {
        self.connection.borrow_buffers(&mut self.spare);
        if self.io.fill(self.connection.read_buffer()) == 0 {
            return Err("end".into());
        }
        self.connection.handle_input(Timestamp::from_epoch(self.started.elapsed()));
        Ok(())
    }

    #[inline]
    fn write(&mut self) -> Res {
        let output = self.connection.output();
        while output.has_remaining() {
            let len = if output.chunk().len() == output.remaining() {
                self.io.write(output.chunk())?
            } else {
                let mut pieces = [IoSlice::new(&[]); 8];
                let count = output.chunks_vectored(&mut pieces);
                self.io.write_vectored(&pieces[..count])?
            };
            output.advance(len);
        }
        Ok(())
    }
}

#[inline]
fn write_both(io: &mut Mem, head: &[u8], payload: &[u8]) -> usize {
    io.write_vectored(&[IoSlice::new(head), IoSlice::new(payload)]).unwrap_or(0)
}

/// Events that are lent, and messages that are offered to the transport.
pub mod lent {
    use super::*;

    pub const ABOUT: About = about(
        "Connection without I/O, events lent, messages offered to the transport; buffers of 256 KiB, borrowed",
    );

    pub fn recv(io: Mem, role: Role, n: usize, sink: &mut Sink) -> Res {
        let (mut driver, end) = (Driver::new(io, role), sink.msgs + n);
        while sink.msgs < end {
            driver.read()?;
            while let Some(event) = driver.connection.poll_event()? {
                sink.take(payload(&event));
            }
        }
        Ok(())
    }

    pub fn send(io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
        let mut driver = Driver::new(io, role);
        for _ in 0..n {
            let Driver { io, connection, .. } = &mut driver;
            connection.offer(&payload[..], |head, payload| write_both(io, head, payload))?;
            driver.write()?;
        }
        Ok(())
    }

    pub fn echo(io: Mem, n: usize) -> Res {
        let (mut driver, mut left) = (Driver::new(io, Role::Server), n);
        while left > 0 {
            driver.read()?;
            while let Some((event, send)) = driver.connection.poll_with_send()? {
                let io = &mut driver.io;
                let write = |head: &[u8], payload: &[u8]| write_both(io, head, payload);
                match event {
                    Event::Text(text) => send.offer(&*text, write)?,
                    Event::Binary(data) => send.offer(&*data, write)?,
                    _ => {}
                }
                driver.write()?;
                left -= 1;
            }
        }
        Ok(())
    }
}

/// Messages that are owned.
pub mod owned {
    use super::*;

    pub const ABOUT: About = about("Connection without I/O, messages owned; buffers of 256 KiB, borrowed");

    pub fn recv(io: Mem, role: Role, n: usize, sink: &mut Sink) -> Res {
        let (mut driver, end) = (Driver::new(io, role), sink.msgs + n);
        while sink.msgs < end {
            driver.read()?;
            while let Some(event) = driver.connection.poll_event()? {
                sink.take(event.into_message().ok_or("no message")?.as_bytes());
            }
        }
        Ok(())
    }

    pub fn send(io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
        let mut driver = Driver::new(io, role);
        for _ in 0..n {
            driver.connection.send(payload.clone())?;
            driver.write()?;
        }
        Ok(())
    }

    pub fn echo(io: Mem, n: usize) -> Res {
        let (mut driver, mut left) = (Driver::new(io, Role::Server), n);
        while left > 0 {
            driver.read()?;
            while let Some(event) = driver.connection.poll_event()? {
                let message = event.into_message().ok_or("no message")?;
                driver.connection.send(message)?;
                driver.write()?;
                left -= 1;
            }
        }
        Ok(())
    }
}

/// The tokio shim, an await per event.
pub mod next {
    use super::*;

    pub const ABOUT: About = about("tokio shim, next().await, events lent; buffers of 256 KiB, borrowed");

    pub fn recv(io: Mem, role: Role, n: usize, sink: &mut Sink) -> Res {
        block_on(async {
            let mut ws = WebSocket::over(io, connection(role));
            for _ in 0..n {
                sink.take(payload(&ws.next().await?.ok_or("end")?));
            }
            Ok(())
        })
    }

    pub fn send(io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
        block_on(async {
            let mut ws = WebSocket::over(io, connection(role));
            for _ in 0..n {
                ws.connection_mut().binary(payload)?;
                ws.flush().await?;
            }
            Ok(())
        })
    }

    pub fn echo(io: Mem, n: usize) -> Res {
        block_on(async {
            let mut ws = WebSocket::over(io, connection(Role::Server));
            for _ in 0..n {
                ws.ready().await?;
                let (event, send) = ws.connection_mut().poll_with_send()?.ok_or("end")?;
                send.relay(event)?;
                ws.flush().await?;
            }
            Ok(())
        })
    }
}

/// The tokio shim, with messages that are owned.
pub mod recv {
    use super::*;

    pub const ABOUT: About = about("tokio shim, recv().await, messages owned; buffers of 256 KiB, borrowed");

    pub fn recv(io: Mem, role: Role, n: usize, sink: &mut Sink) -> Res {
        block_on(async {
            let mut ws = WebSocket::over(io, connection(role));
            for _ in 0..n {
                sink.take(ws.recv().await?.ok_or("end")?.as_bytes());
            }
            Ok(())
        })
    }

    pub fn send(io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
        block_on(async {
            let mut ws = WebSocket::over(io, connection(role));
            for _ in 0..n {
                ws.send(payload.clone()).await?;
            }
            Ok(())
        })
    }

    pub fn echo(io: Mem, n: usize) -> Res {
        block_on(async {
            let mut ws = WebSocket::over(io, connection(Role::Server));
            for _ in 0..n {
                let message = ws.recv().await?.ok_or("end")?;
                ws.send(message).await?;
            }
            Ok(())
        })
    }
}

/// The blocking shim.
pub mod blocking {
    use ::sansock::blocking::{Transport, WebSocket};

    use super::*;

    pub const ABOUT: About = about("blocking shim, next(), events lent; buffers that grow from nothing");

    impl Transport for Mem {}

    pub fn recv(io: Mem, role: Role, n: usize, sink: &mut Sink) -> Res {
        let mut ws = WebSocket::over(io, connection(role));
        for _ in 0..n {
            sink.take(payload(&ws.next()?.ok_or("end")?));
        }
        Ok(())
    }

    pub fn send(io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
        let mut ws = WebSocket::over(io, connection(role));
        for _ in 0..n {
            ws.connection_mut().binary(payload)?;
            ws.flush()?;
        }
        Ok(())
    }

    pub fn echo(io: Mem, n: usize) -> Res {
        let mut ws = WebSocket::over(io, connection(Role::Server));
        for _ in 0..n {
            ws.ready()?;
            let (event, send) = ws.connection_mut().poll_with_send()?.ok_or("end")?;
            send.relay(event)?;
            ws.flush()?;
        }
        Ok(())
    }
}
