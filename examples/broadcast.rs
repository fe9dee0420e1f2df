//! A broadcast server on tokio: every message that a client sends goes to all of them.
//!
//! ```text
//! cargo run --release --example broadcast [ADDRESS]      default 127.0.0.1:9001; port 0 picks one
//! ```
//!
//! A message is encoded once, and shared by all receivers. A client that is too slow for the others
//! does not hold them back: it is closed with code 1013, rather than left with a gap that it cannot
//! see. It stops on Ctrl-C and SIGTERM, with code 1001 to everyone.

use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use sansock::tokio::{WebSocket, accept};
use sansock::{CloseCode, Config, Prepared};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, watch};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};

/// The largest message. Together with the next two numbers it bounds the memory.
const MAX_MESSAGE: u64 = 64 << 10;
/// How many messages a client may be behind: at most 8 MiB, which all clients share.
const BEHIND: usize = 128;
/// How many bytes may wait for one client before it has to take them.
const HIGH_WATER: usize = 256 << 10;
/// How long it may take to do so.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a connection is closed.
type Farewell = (CloseCode, &'static str);
const TOO_SLOW: Farewell = (CloseCode::TRY_AGAIN, "too slow");
const GOING: Farewell = (CloseCode::GOING_AWAY, "the server stops");
const GOODBYE: Farewell = (CloseCode::NORMAL, "");

// On one thread a task that yields goes on after all others had their turn: a client is behind because
// it is slow, never because its task was not run.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let listener = TcpListener::bind(address).await?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    println!("listening on ws://{}", listener.local_addr()?);
    io::stdout().flush()?;

    let (stop, stopped) = watch::channel(());
    let hub = broadcast::Sender::new(BEHIND);
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let (hub, stopped) = (hub.clone(), stopped.clone());
                    sessions.spawn(async move {
                        if let Err(error) = session(stream, hub, stopped).await {
                            eprintln!("{peer}: {error}");
                        }
                    });
                }
                Err(error) => {
                    eprintln!("accept: {error}");
                    // Without a file descriptor left it would fail again at once.
                    sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = sessions.join_next() => {}
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    drop(stop);
    while sessions.join_next().await.is_some() {}
    Ok(())
}

async fn session(
    stream: TcpStream,
    hub: broadcast::Sender<Prepared>,
    mut stopped: watch::Receiver<()>,
) -> Result<(), sansock::tokio::Error> {
    stream.set_nodelay(true)?;
    let mut config = Config::default();
    config.max_message = MAX_MESSAGE;
    config.output_high_water = HIGH_WATER;
    let mut socket = tokio::select! {
        accepted = accept(stream, config) => accepted?,
        _ = stopped.changed() => return Ok(()),
    };
    let (code, reason) = tokio::select! {
        farewell = talk(&mut socket, &hub) => farewell?,
        _ = stopped.changed() => GOING,
    };
    socket.close(code, reason).await?;
    Ok(())
}

/// Passes messages on until the client closes or is too slow.
async fn talk(
    socket: &mut WebSocket<TcpStream>,
    hub: &broadcast::Sender<Prepared>,
) -> Result<Farewell, sansock::tokio::Error> {
    let mut news = hub.subscribe();
    loop {
        tokio::select! {
            // What the others have said comes first: who talks much must not fall behind for that. It ends, as
            // nobody else can add to it before this yields.
            biased;
            message = news.recv() => {
                // The only error here is to be too far behind.
                let Ok(message) = message else { return Ok(TOO_SLOW) };
                // The only error here is that the client has closed.
                let Ok(()) = socket.connection_mut().prepared(&message) else { return Ok(GOODBYE) };
            }
            // This sends what is queued, too.
            message = socket.recv() => {
                let Some(message) = message? else { return Ok(GOODBYE) };
                // It has at least one receiver: `news`.
                let _ = hub.send(Prepared::new(message));
                yield_now().await;
            }
        }
        if socket.connection().is_above_high_water() {
            match timeout(PATIENCE, socket.flush()).await {
                Ok(flushed) => flushed?,
                Err(_) => return Ok(TOO_SLOW),
            }
        }
    }
}
