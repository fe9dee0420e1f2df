//! An echo server on tokio, and a page to try it with.
//!
//! ```text
//! cargo run --release --example echo [ADDRESS]      default 127.0.0.1:9001; port 0 picks one
//! ```
//!
//! It stops on Ctrl-C and SIGTERM, with code 1001 to everyone.

use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use sansock::deflate::Deflate;
use sansock::handshake::server::{Accept, Rejection};
use sansock::handshake::{HandshakeError, Response};
use sansock::tokio::{WebSocket, accept_request};
use sansock::{CloseCode, Config};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let listener = TcpListener::bind(address).await?;
    let page = Response::new(200)?.header("Content-Type", "text/html; charset=utf-8")?;
    let page = page.body(include_str!("echo.html"));
    let mut stop_signal = std::pin::pin!(stop_signal()?);
    println!("listening on ws://{}", listener.local_addr()?);
    io::stdout().flush()?;

    let (stop, stopped) = watch::channel(());
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let (page, stopped) = (page.clone(), stopped.clone());
                    sessions.spawn(async move {
                        if let Err(error) = session(stream, page, stopped).await {
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
            () = &mut stop_signal => break,
        }
    }
    drop(stop);
    while sessions.join_next().await.is_some() {}
    Ok(())
}

/// Ready at Ctrl-C or SIGTERM.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

async fn session(
    stream: TcpStream,
    page: Response,
    mut stopped: watch::Receiver<()>,
) -> Result<(), sansock::tokio::Error> {
    stream.set_nodelay(true)?;
    let socket = tokio::select! {
        opened = open(stream, page) => opened?,
        _ = stopped.changed() => None,
    };
    let Some(mut socket) = socket else { return Ok(()) };
    tokio::select! {
        echoed = echo(&mut socket) => echoed,
        _ = stopped.changed() => socket.close(CloseCode::GOING_AWAY, "the server stops").await.map(drop),
    }
}

/// The opening handshake: no socket comes of it for a browser that wants the page.
async fn open(
    stream: TcpStream,
    page: Response,
) -> Result<Option<WebSocket<TcpStream>>, sansock::tokio::Error> {
    let incoming = accept_request(stream, config()).await?;
    if incoming.request().is_err_and(asks_for_page) {
        incoming.reject(page).await?;
        return Ok(None);
    }
    incoming.accept(Accept::new()).await.map(Some)
}

/// Messages are compressed for peers that can inflate them: all of them, since this is for trying it out.
fn config() -> Config {
    let mut deflate = Deflate::default();
    deflate.threshold = 0;
    let mut config = Config::default();
    config.deflate = Some(deflate);
    config
}

/// Sends every message back: all that one read brought, with one write.
async fn echo(socket: &mut WebSocket<TcpStream>) -> Result<(), sansock::tokio::Error> {
    while socket.ready().await? {
        // An error is for `ready` to report, once the peer has been told.
        while let Ok(Some((event, send))) = socket.connection_mut().poll_with_send() {
            // After a Close frame of ours there is nobody to echo to, but more may arrive.
            if send.relay(event).is_err() {
                break;
            }
        }
    }
    Ok(())
}

/// A browser that opens the address as a page, or another client that asks for one.
fn asks_for_page(rejection: &Rejection) -> bool {
    let method = match rejection.error() {
        HandshakeError::UpgradeMissing => "GET",
        HandshakeError::Method => "HEAD",
        _ => return false,
    };
    rejection.head().is_some_and(|head| head.method() == method && head.target() == "/")
}
