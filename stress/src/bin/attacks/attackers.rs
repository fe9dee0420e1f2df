//! The attackers: each attack is a peer that keeps a connection, and costs it as little as possible.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use clap::ValueEnum;
use sansock::Config;
use sansock::frame::{Header, OpCode};
use sansock::handshake::client::ClientRequest;
use sansock::tokio::{WebSocket, connect_over};
use stress::Res;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::child::commands;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Attack {
    /// Half-open handshakes that get a byte a second, and come again when they are dropped.
    Handshakes,
    /// Peers that ask for large messages and read nothing.
    Readers,
    /// Peers that ping without end and read nothing.
    Pings,
    /// Peers that announce the largest frame, send a little of it and fall silent.
    Announcements,
}

/// How large the messages are that nobody reads.
const ASKED: usize = 256 << 10;

/// How much of an announced frame comes.
const SENT: usize = 1000;

impl Attack {
    pub fn name(self) -> &'static str {
        match self {
            Attack::Handshakes => "handshakes",
            Attack::Readers => "readers",
            Attack::Pings => "pings",
            Attack::Announcements => "announcements",
        }
    }

    pub fn what(self) -> &'static str {
        match self {
            Attack::Handshakes => "half-open handshakes that get a byte a second",
            Attack::Readers => "256 messages of 256 KiB are asked for, and none is read",
            Attack::Pings => "1,000 pings a second each, and no pong is read",
            Attack::Announcements => "a frame of 16 MiB announced, 1,000 bytes of it sent",
        }
    }

    pub fn usual_number(self) -> usize {
        match self {
            Attack::Handshakes | Attack::Announcements => 2000,
            Attack::Readers | Attack::Pings => 64,
        }
    }

    /// What the server may keep for each, in bytes of heap: a task with its socket, timer and connection; what
    /// the README promises of what arrives (twice the bytes of the unfinished message and 1 KiB); and what it
    /// promises of what waits to be sent.
    pub fn bound(self) -> usize {
        const TASK: usize = 4 << 10;
        let arrives = 1 << 10;
        TASK + arrives
            + match self {
                // Some hundred bytes of a head, while it grows.
                Attack::Handshakes => 1 << 10,
                // The high-water mark, the message that exceeds it, what is written already of the first one,
                // and requests that were read with others.
                Attack::Readers => (1 << 20) + 2 * ASKED + (8 << 10),
                // The pongs that wait, and a ping that is unfinished.
                Attack::Pings => (1 << 10) + 2 * 131,
                Attack::Announcements => 2 * SENT,
            }
    }
}

/// Attacks as it is told until its commands end.
pub async fn run() -> Res {
    let mut commands = commands();
    let address: SocketAddr = commands.next_line().await?.ok_or("an address?")?.parse()?;
    let mut attackers = JoinSet::new();
    let count = Arc::new(Count::default());
    while let Some(line) = commands.next_line().await? {
        if let Some(("start", what)) = line.split_once(' ') {
            let (name, number) = what.split_once(' ').ok_or("how many?")?;
            let (attack, number) = (Attack::from_str(name, false)?, number.parse()?);
            start(attack, number, address, &count, &mut attackers).await;
            println!("started");
        } else {
            attackers.shutdown().await;
            println!(
                "{} connections in all, {} failed",
                count.opened.swap(0, Relaxed),
                count.failed.swap(0, Relaxed)
            );
        }
    }
    Ok(())
}

#[derive(Default)]
struct Count {
    opened: AtomicUsize,
    failed: AtomicUsize,
}

/// Starts attackers over 2 s, which is how long handshakes last: so they come and go all the time.
async fn start(
    attack: Attack,
    number: usize,
    address: SocketAddr,
    count: &Arc<Count>,
    attackers: &mut JoinSet<()>,
) {
    for index in 0..number {
        let count = Arc::clone(count);
        attackers.spawn(async move {
            sleep(Duration::from_secs(2) * index as u32 / number as u32).await;
            loop {
                count.opened.fetch_add(1, Relaxed);
                // An attacker that was thrown out comes again.
                if attack.run(address).await.is_err() {
                    count.failed.fetch_add(1, Relaxed);
                    sleep(Duration::from_millis(100)).await;
                }
            }
        });
    }
    sleep(Duration::from_millis(2500)).await;
}

impl Attack {
    /// One connection, until the server ends it.
    async fn run(self, address: SocketAddr) -> Res {
        let io = open(address).await?;
        match self {
            Attack::Handshakes => trickle(io).await?,
            Attack::Readers => {
                let mut socket = shake_hands(io, address).await?;
                for _ in 0..256 {
                    socket.connection_mut().text(&format!("give {ASKED}"))?;
                }
                socket.flush().await?;
                std::future::pending::<()>().await;
            }
            Attack::Pings => {
                let mut socket = shake_hands(io, address).await?;
                loop {
                    for _ in 0..100 {
                        socket.connection_mut().ping(&[7; 125])?;
                    }
                    socket.flush().await?;
                    sleep(Duration::from_millis(100)).await;
                }
            }
            Attack::Announcements => announce(io, address).await?,
        }
        Ok(())
    }
}

/// Connects, with little room for what the server sends.
async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4 << 10)?;
    let io = socket.connect(address).await?;
    io.set_nodelay(true)?;
    Ok(io)
}

async fn shake_hands(io: TcpStream, address: SocketAddr) -> Res<WebSocket<TcpStream>> {
    Ok(connect_over(io, ClientRequest::new(&format!("ws://{address}/"))?, Config::default()).await?)
}

/// A head that grows by a byte a second, until the server hangs up.
async fn trickle(mut io: TcpStream) -> io::Result<()> {
    io.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await?;
    let mut answer = [0; 256];
    loop {
        match timeout(Duration::from_secs(1), io.read(&mut answer)).await {
            Err(_) => io.write_all(b"x").await?,
            Ok(read) => {
                if read? == 0 {
                    return Ok(());
                }
            }
        }
    }
}

async fn announce(io: TcpStream, address: SocketAddr) -> Res {
    let io = io.into_std()?;
    let mut raw = TcpStream::from_std(io.try_clone()?)?;
    let socket = shake_hands(TcpStream::from_std(io)?, address).await?;
    let mut frame = Vec::new();
    Header::new(OpCode::Binary, 16 << 20).map_err(sansock::Error::Protocol)?.masked().encode(&mut frame);
    frame.extend([7; 4 + SENT]);
    raw.write_all(&frame).await?;
    std::future::pending::<()>().await;
    drop(socket);
    Ok(())
}
