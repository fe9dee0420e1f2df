//! A client for the terminal, on tokio: one task reads, another writes.
//!
//! ```text
//! cargo run --release --example client URL
//! ```
//!
//! Each line of the input goes out as a text message, and what comes in is shown. The end of the input
//! (Ctrl-D) and Ctrl-C close the connection. Exits with 0 only if it was closed cleanly.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;

use sansock::deflate::Deflate;
use sansock::tokio::{Reader, Writer, connect};
use sansock::{CloseCode, Config, Event};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: client URL");
        return ExitCode::from(2);
    };
    match talk(&url).await {
        Ok(is_clean) => ExitCode::from(u8::from(!is_clean)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Messages are compressed for peers that can inflate them.
fn config() -> Config {
    let mut config = Config::default();
    config.deflate = Some(Deflate::default());
    config
}

/// Talks until the end of the connection: true if that was clean.
async fn talk(url: &str) -> Result<bool, Box<dyn Error>> {
    let interrupt = signal(SignalKind::interrupt())?;
    let (mut reader, writer) = connect(url, config()).await?.split();
    writeln!(io::stdout(), "connected to {url}")?;
    tokio::spawn(write(writer, interrupt));

    let outcome = show_events(&mut reader).await;
    let report = reader.closed();
    if let Some(report) = report {
        writeln!(io::stdout(), "{report}")?;
    }
    outcome?;
    Ok(report.is_some_and(|report| report.clean))
}

async fn show_events(
    reader: &mut Reader<OwnedReadHalf, OwnedWriteHalf>,
) -> Result<(), sansock::tokio::Error> {
    let mut out = io::stdout();
    while let Some(event) = reader.next().await? {
        // Whatever the peer sent is escaped: control characters of its choice could make the terminal
        // do anything.
        match event {
            Event::Text(text) => writeln!(out, "text {:?}", &*text)?,
            Event::Binary(data) => writeln!(out, "binary, {} bytes", data.len())?,
            Event::Ping(payload) => writeln!(out, "ping \"{}\"", payload.escape_ascii())?,
            Event::Pong(payload) => writeln!(out, "pong \"{}\"", payload.escape_ascii())?,
            _ => {}
        }
    }
    Ok(())
}

/// Sends lines until there are no more, or until Ctrl-C; then closes.
async fn write(mut writer: Writer<OwnedWriteHalf>, mut interrupt: Signal) {
    // To drop a call that sends is safe at any point: here if the peer takes nothing at Ctrl-C. If a
    // call fails, the connection is over, and the reader tells how.
    tokio::select! {
        _ = send_lines(&mut writer) => {}
        _ = interrupt.recv() => {}
    }
    let _ = writer.close(CloseCode::NORMAL, "").await;
}

async fn send_lines(writer: &mut Writer<OwnedWriteHalf>) -> Result<(), sansock::tokio::Error> {
    let mut lines = read_lines();
    while let Some(line) = lines.recv().await {
        writer.send(line).await?;
    }
    Ok(())
}

/// The lines of the standard input. They are read by a thread of their own: tokio would wait for one
/// more of them before it lets the process end.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    thread::spawn(move || {
        for line in io::stdin().lines() {
            let sent = match line {
                Ok(line) => sender.blocking_send(line).is_ok(),
                Err(error) => {
                    eprintln!("input: {error}");
                    false
                }
            };
            if !sent {
                break;
            }
        }
    });
    lines
}
