//! Sends one huge message in bounded memory, over the loopback interface to itself.
//!
//! ```text
//! cargo run --release --example streaming [BYTES]      default 1 GiB
//! ```
//!
//! The client sends fragments, and waits whenever enough of them are queued. The server takes the
//! message in parts, as they arrive. Neither ever holds more than a small piece of it.

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use sansock::tokio::{accept, connect};
use sansock::{CloseCode, Config, Delivery, Event};
use tokio::net::TcpListener;

/// What one fragment holds, unless it is the last.
const FRAGMENT: usize = 64 << 10;

fn main() -> ExitCode {
    let bytes = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => Ok(1 << 30),
        [bytes] => bytes.parse(),
        _ => "too many".parse(),
    };
    let Ok(bytes) = bytes else {
        eprintln!("usage: streaming [BYTES]");
        return ExitCode::from(2);
    };
    match run(bytes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(bytes: u64) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}", listener.local_addr()?);
    let server = tokio::spawn(receive(listener));

    let started = Instant::now();
    let sent = send(&url, bytes).await?;
    let received = server.await??;
    let seconds = started.elapsed().as_secs_f64();

    if received != sent {
        return Err(format!("sent {sent:?}, received {received:?}").into());
    }
    println!("{} message of {} bytes, sum {}", received.messages, received.bytes, received.sum);
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    let mebibytes = received.bytes as f64 / f64::from(1 << 20);
    println!("{:.0} MiB/s", mebibytes / seconds);
    if let Some(peak) = peak_memory() {
        println!("peak memory {peak}");
    }
    Ok(())
}

/// What went through.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    messages: u64,
    bytes: u64,
    sum: u64,
}

impl Tally {
    fn add(&mut self, part: &[u8], is_final: bool) {
        self.messages += u64::from(is_final);
        self.bytes += part.len() as u64;
        self.sum += part.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    }
}

async fn send(url: &str, bytes: u64) -> Result<Tally, sansock::tokio::Error> {
    let mut socket = connect(url, Config::default()).await?;
    let mut tally = Tally::default();
    let mut data: Vec<u8> = (0..=u8::MAX).cycle().take(FRAGMENT).collect();
    let mut left = bytes;
    while left > data.len() as u64 {
        socket.connection_mut().fragment(data.as_slice())?;
        tally.add(&data, false);
        left -= data.len() as u64;
        // A command never waits: that is for its caller to do.
        if socket.connection().is_above_high_water() {
            socket.flush().await?;
        }
    }
    data.truncate(usize::try_from(left).unwrap_or(FRAGMENT));
    socket.connection_mut().last_fragment(data.as_slice())?;
    tally.add(&data, true);
    // The time for the closing handshake is not meant for what is still queued.
    socket.flush().await?;
    socket.close(CloseCode::NORMAL, "").await?;
    Ok(tally)
}

async fn receive(listener: TcpListener) -> Result<Tally, sansock::tokio::Error> {
    let (stream, _) = listener.accept().await?;
    let mut config = Config::default();
    config.delivery = Delivery::Chunks;
    // A limit protects the memory, and no message is held here.
    config.max_message = u64::MAX;
    let mut socket = accept(stream, config).await?;
    let mut tally = Tally::default();
    while let Some(event) = socket.next().await? {
        if let Event::Binary(part) = event {
            tally.add(&part, part.is_final());
        }
    }
    Ok(tally)
}

/// The most memory that this process ever had, as Linux counts it.
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")).map(|peak| peak.trim().to_owned())
}
