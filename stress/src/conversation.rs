//! A conversation between two ends of our own, over sockets.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use sansock::handshake::client::ClientRequest;
use sansock::{blocking, tokio as on_tokio};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::Res;
use crate::ends::{self, Outcome};
use crate::plan::{End, PATIENCE, Plan, Shim, Style};
use crate::proxy::{Fault, Passage, Proxy};

/// How an end came to its own.
pub enum Fate {
    Ended(Box<Outcome>),
    Panicked,
    /// It was still there when every deadline had long passed.
    Hangs,
}

/// What became of a conversation.
pub struct Record {
    pub plan: Plan,
    pub client: Fate,
    pub server: Fate,
    /// What became of it in the proxy, if it went through one.
    pub passage: Option<Passage>,
}

/// Has the conversation, from the opening handshake to the end of both sockets.
pub async fn hold(plan: Plan) -> Res<Record> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut address = listener.local_addr()?;
    let mut proxying = None;
    let (over, everybody_gone) = oneshot::channel::<()>();
    if let Some(lanes) = plan.proxy.clone() {
        let proxy = Proxy::bind(address, lanes).await?;
        address = proxy.address()?;
        proxying = Some(tokio::spawn(proxy.run(async {
            let _ = everybody_gone.await;
        })));
    }
    let server = start(Side::Server(listener), plan.server.clone());
    let client = start(Side::Client(address), plan.client.clone());
    let (client, server) = tokio::join!(client, server);
    let mut passage = None;
    if let Some(mut proxying) = proxying {
        // Where nothing passes, the ends of the streams do not either.
        if plan.fault() != Some(Fault::Silence)
            && let Ok(passed) = timeout(PATIENCE / 4, &mut proxying).await
        {
            passage = Some(passed??);
        } else {
            let _ = over.send(());
            passage = Some(proxying.await??);
        }
    }
    Ok(Record { plan, client, server, passage })
}

enum Side {
    Server(TcpListener),
    Client(SocketAddr),
}

/// Starts an end in a task or thread of its own.
async fn start(side: Side, end: End) -> Fate {
    let limit = PATIENCE * 3 / 2;
    let (tell, told) = oneshot::channel();
    match end.shim {
        Shim::Tokio => {
            tokio::spawn(async move {
                let socket = open_on_tokio(side, &end).await;
                let _ = tell.send(Box::new(ends::tokio::play(socket, &end).await));
            });
        }
        Shim::Blocking => {
            thread::spawn(move || {
                let socket = open_blocking(side, &end);
                let _ = tell.send(Box::new(ends::blocking::play(socket, &end)));
            });
        }
    }
    match timeout(limit, told).await {
        Ok(Ok(outcome)) => Fate::Ended(outcome),
        Ok(Err(_)) => Fate::Panicked,
        Err(_) => Fate::Hangs,
    }
}

async fn open_on_tokio(
    side: Side,
    end: &End,
) -> Result<on_tokio::WebSocket<tokio::net::TcpStream>, on_tokio::Error> {
    match side {
        Side::Server(listener) => {
            listener.set_nonblocking(true)?;
            let (io, _) = tokio::net::TcpListener::from_std(listener)?.accept().await?;
            on_tokio::accept(io, end.config.clone()).await
        }
        Side::Client(address) => on_tokio::connect(&url(address), end.config.clone()).await,
    }
}

fn open_blocking(side: Side, end: &End) -> Result<blocking::WebSocket<TcpStream>, blocking::Error> {
    let io = match &side {
        Side::Server(listener) => listener.accept()?.0,
        Side::Client(address) => TcpStream::connect(address)?,
    };
    io.set_nodelay(true)?;
    if end.style == Style::Whole {
        io.set_write_timeout(Some(ends::blocking::WRITE_SLICE))?;
    }
    match side {
        Side::Server(_) => blocking::accept(io, end.config.clone()),
        Side::Client(address) => {
            blocking::connect_over(io, ClientRequest::new(&url(address))?, end.config.clone())
        }
    }
}

fn url(address: SocketAddr) -> String {
    format!("ws://{address}/")
}
