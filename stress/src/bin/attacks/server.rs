//! The server: it echoes messages, and sends as many bytes as it is asked for.

use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use sansock::tokio::{Error, accept};
use sansock::{Config, Message};
use stress::Res;
use stress::resources::{heap, resident, take_peak};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::child::commands;

static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

/// What the server process has.
#[derive(Clone, Copy)]
pub struct Figures {
    pub heap: usize,
    /// The most that it was since the figures were asked for last.
    pub peak: usize,
    pub resident: usize,
    /// Those in the opening handshake count.
    pub connections: usize,
}

impl FromStr for Figures {
    type Err = Box<dyn std::error::Error + Send + Sync>;

    fn from_str(line: &str) -> Res<Self> {
        let numbers: Vec<usize> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [heap, peak, resident, connections] = numbers[..] else { return Err("four figures?".into()) };
        Ok(Figures { heap, peak, resident, connections })
    }
}

/// Serves until its commands end.
pub async fn run() -> Res {
    let socket = TcpSocket::new_v4()?;
    // What nobody reads is to wait in the server, not in the kernel.
    socket.set_send_buffer_size(16 << 10)?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let listener = socket.listen(4096)?;
    println!("{}", listener.local_addr()?);
    tokio::spawn(listen(listener));
    let mut commands = commands();
    while commands.next_line().await?.is_some() {
        println!("{} {} {} {}", heap(), take_peak(), resident()?, CONNECTIONS.load(Relaxed));
    }
    Ok(())
}

async fn listen(listener: TcpListener) {
    loop {
        let Ok((io, _)) = listener.accept().await else {
            // Without a file descriptor left it would fail again at once.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        CONNECTIONS.fetch_add(1, Relaxed);
        tokio::spawn(async move {
            // What becomes of an attacker is not this server's concern.
            let _ = serve(io).await;
            CONNECTIONS.fetch_sub(1, Relaxed);
        });
    }
}

async fn serve(io: TcpStream) -> Result<(), Error> {
    io.set_nodelay(true)?;
    let mut config = Config::default();
    config.handshake_timeout = Duration::from_secs(2);
    let mut socket = accept(io, config).await?;
    while let Some(message) = socket.recv().await? {
        match asked_for(&message) {
            Some(size) => {
                // A message that waits for room need not be there yet.
                socket.room().await?;
                socket.feed(vec![0; size]).await?;
            }
            None => socket.feed(message).await?,
        }
    }
    Ok(())
}

fn asked_for(message: &Message) -> Option<usize> {
    let Message::Text(text) = message else { return None };
    text.strip_prefix("give ")?.parse().ok()
}
