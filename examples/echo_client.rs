//! Connects, and echoes every message until the end.
//!
//! ```text
//! cargo run --release --example echo_client URL [--blocking] [--no-context-takeover]
//! ```
//!
//! Messages are compressed if the server agrees, with `--no-context-takeover` each on its own. Prints how the connection ended; exits with 0 only if it was closed cleanly.

use std::process::ExitCode;

use sansock::deflate::Deflate;
use sansock::{CloseReport, Config, Connection, blocking};

type Outcome = Result<Option<CloseReport>, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let mut config = config();
    let (mut url, mut is_blocking) = (None, false);
    for argument in std::env::args().skip(1) {
        match (argument.as_str(), &mut config.deflate) {
            ("--blocking", _) => is_blocking = true,
            ("--no-context-takeover", Some(deflate)) => deflate.send_takeover = false,
            (option, _) if option.starts_with('-') => return usage(),
            _ if url.is_some() => return usage(),
            _ => url = Some(argument),
        }
    }
    let Some(url) = url else { return usage() };
    let outcome = if is_blocking { echo_blocking(&url, config) } else { echo_on_tokio(&url, config) };
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

fn usage() -> ExitCode {
    eprintln!("usage: echo_client URL [--blocking] [--no-context-takeover]");
    ExitCode::from(2)
}

#[tokio::main(flavor = "current_thread")]
async fn echo_on_tokio(url: &str, config: Config) -> Outcome {
    let mut socket = sansock::tokio::connect(url, config).await?;
    while socket.ready().await? {
        echo(socket.connection_mut());
    }
    Ok(socket.closed())
}

fn echo_blocking(url: &str, config: Config) -> Outcome {
    let mut socket = blocking::connect(url, config)?;
    while socket.ready()? {
        echo(socket.connection_mut());
    }
    Ok(socket.closed())
}

/// Messages are compressed for peers that can inflate them: all of them, since this is for trying it out.
fn config() -> Config {
    let mut deflate = Deflate::default();
    deflate.threshold = 0;
    let mut config = Config::default();
    config.deflate = Some(deflate);
    config
}

/// Sends back all that has arrived. Both shims have the same connection inside.
fn echo(connection: &mut Connection) {
    // An error is for `ready` to report, once the peer has been told.
    while let Ok(Some((event, send))) = connection.poll_with_send() {
        if send.relay(event).is_err() {
            break;
        }
    }
}
