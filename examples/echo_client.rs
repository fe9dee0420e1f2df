//! Connects, and echoes every message until the end.
//!
//! ```text
//! cargo run --release --example echo_client URL [--blocking]
//! ```
//!
//! Prints how the connection ended; exits with 0 only if it was closed cleanly.

use std::process::ExitCode;

use sansock::deflate::Deflate;
use sansock::{CloseReport, Config, Connection, Event, blocking};

type Outcome = Result<Option<CloseReport>, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [url] => echo_on_tokio(url),
        [url, "--blocking"] | ["--blocking", url] => echo_blocking(url),
        _ => {
            eprintln!("usage: echo_client URL [--blocking]");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(Some(report)) => {
            println!("{report}");
            if report.clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Ok(None) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn echo_on_tokio(url: &str) -> Outcome {
    let mut socket = sansock::tokio::connect(url, config()).await?;
    while socket.ready().await? {
        echo(socket.connection_mut());
    }
    Ok(socket.closed())
}

fn echo_blocking(url: &str) -> Outcome {
    let mut socket = blocking::connect(url, config())?;
    while socket.ready()? {
        echo(socket.connection_mut());
    }
    Ok(socket.closed())
}

/// Messages are compressed for peers that can inflate them.
fn config() -> Config {
    let mut config = Config::default();
    config.deflate = Some(Deflate::default());
    config
}

/// Sends back all that has arrived. Both shims have the same connection inside.
fn echo(connection: &mut Connection) {
    // An error is for `ready` to report, once the peer has been told.
    while let Ok(Some((event, send))) = connection.poll_with_send() {
        let sent = match event {
            Event::Text(text) => send.text(&text),
            Event::Binary(data) => send.binary(&data),
            _ => Ok(()),
        };
        if sent.is_err() {
            break;
        }
    }
}
