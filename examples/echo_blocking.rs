//! An echo server with a thread for each connection.
//!
//! ```text
//! cargo run --release --example echo_blocking [ADDRESS]      default 127.0.0.1:9001; port 0 picks one
//! ```
//!
//! It stops on Ctrl-C and SIGTERM, with code 1001 to everyone.

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sansock::blocking::{self, accept};
use sansock::deflate::Deflate;
use sansock::{CloseCode, Config, Connection};
use signal_hook::consts::{SIGINT, SIGTERM};

/// How often a thread that waits looks whether the server stops.
const LOOK: Duration = Duration::from_millis(200);

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let listener = TcpListener::bind(address)?;
    let stopped = Arc::new(AtomicBool::new(false));
    wake_on_signal(listener.local_addr()?, &stopped)?;
    println!("listening on ws://{}", listener.local_addr()?);
    io::stdout().flush()?;

    let mut sessions = Vec::new();
    for stream in listener.incoming() {
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        sessions.retain(|session: &thread::JoinHandle<()>| !session.is_finished());
        let stopped = Arc::clone(&stopped);
        match stream {
            Ok(stream) => sessions.push(thread::spawn(move || {
                if let Err(error) = session(stream, &stopped) {
                    eprintln!("{error}");
                }
            })),
            Err(error) => {
                eprintln!("accept: {error}");
                // Without a file descriptor left it would fail again at once.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
    for session in sessions {
        // A thread that panicked has said so itself.
        let _ = session.join();
    }
    Ok(())
}

/// At Ctrl-C or SIGTERM sets the flag, and wakes the thread that waits for connections.
fn wake_on_signal(address: std::net::SocketAddr, stopped: &Arc<AtomicBool>) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    let stopped = Arc::clone(stopped);
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            stopped.store(true, Ordering::Relaxed);
            let _ = TcpStream::connect(address);
        }
    });
    Ok(())
}

fn session(stream: TcpStream, stopped: &AtomicBool) -> Result<(), blocking::Error> {
    stream.set_nodelay(true)?;
    // With timeouts of its own, a call gives `WouldBlock` now and then, and loses nothing. The handshake would, but
    // has little to write.
    stream.set_write_timeout(Some(LOOK))?;
    let mut socket = accept(stream, config())?;
    socket.set_timeout(Some(LOOK))?;
    while !stopped.load(Ordering::Relaxed) {
        match socket.ready() {
            Ok(true) => echo(socket.connection_mut()),
            Ok(false) => return Ok(()),
            Err(blocking::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    socket.set_timeout(None)?;
    socket.close(CloseCode::GOING_AWAY, "the server stops").map(drop)
}

/// Messages are compressed for peers that can inflate them: all of them, since this is for trying it out.
fn config() -> Config {
    let mut deflate = Deflate::default();
    deflate.threshold = 0;
    let mut config = Config::default();
    config.deflate = Some(deflate);
    config
}

/// Sends back all that one read brought: the next call that waits writes it at once.
fn echo(connection: &mut Connection) {
    // An error is for `ready` to report, once the peer has been told.
    while let Ok(Some((event, send))) = connection.poll_with_send() {
        // After a Close frame of ours there is nobody to echo to, but more may arrive.
        if send.relay(event).is_err() {
            break;
        }
    }
}
