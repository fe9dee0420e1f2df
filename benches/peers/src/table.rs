//! All libraries: what is driven in memory, and what serves over TCP.

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};

use crate::mem::{Mem, Sink};
use crate::{Res, Role, block_on, peers, upgrade};

/// What there is to know about a peer before its figures are read.
#[derive(Clone, Copy)]
pub struct About {
    /// Its package: where the version comes from.
    pub package: &'static str,
    /// False for a bare codec of frames, which leaves rules of the protocol to the application.
    pub is_complete: bool,
    /// How it is driven and set, with the sizes of its buffers.
    pub setup: &'static str,
}

impl About {
    /// The version that `Cargo.lock` says; "-" without a package.
    pub fn version(&self) -> &'static str {
        version(self.package).unwrap_or("-")
    }
}

/// The version of a package in `Cargo.lock`: the newest, if there are several.
pub fn version(package: &str) -> Option<&'static str> {
    let lock = include_str!("../Cargo.lock");
    let entries = lock.split("[[package]]").filter_map(|entry| {
        let mut values = entry.split('"').skip(1).step_by(2);
        (values.next()? == package).then(|| values.next())?
    });
    entries.last()
}

/// A peer in memory.
#[derive(Clone, Copy)]
pub struct Peer {
    pub name: &'static str,
    pub about: About,
    pub recv: fn(Mem, Role, usize, &mut Sink) -> Res,
    pub send: fn(Mem, Role, usize, &Bytes) -> Res,
    pub echo: fn(Mem, usize) -> Res,
}

/// An echo server.
pub struct Server {
    pub name: &'static str,
    /// Echoes on every connection to an address.
    pub serve: fn(&str) -> Res,
}

macro_rules! peer {
    ($name:literal, $($module:ident)::+) => {
        Peer {
            name: $name,
            about: peers::$($module)::+::ABOUT,
            recv: peers::$($module)::+::recv,
            send: peers::$($module)::+::send,
            echo: peers::$($module)::+::echo,
        }
    };
}

macro_rules! server {
    ($name:literal, $module:ident) => {
        Server { name: $name, serve: |addr| block_on(listen(addr, peers::$module::serve)) }
    };
}

pub const FLOOR: Peer = peer!("floor", floor);

pub const MEMORY: &[Peer] = &[
    peer!("sansock", sansock::lent),
    peer!("sansock-next", sansock::next),
    peer!("sansock-owned", sansock::owned),
    peer!("sansock-recv", sansock::recv),
    peer!("sansock-blocking", sansock::blocking),
    peer!("fastwebsockets", fastwebsockets),
    peer!("ratchet_rs", ratchet),
    peer!("sockudo-ws", sockudo),
    peer!("sockudo-ws-protocol", sockudo_proto),
    peer!("soketto", soketto),
    peer!("tokio-tungstenite", tokio_tungstenite),
    peer!("tokio-websockets", tokio_websockets),
    peer!("tungstenite", tungstenite),
    peer!("web-socket", web_socket),
    peer!("websocket-sans-io", websocket_sans_io),
    peer!("wtx", wtx),
    peer!("yawc", yawc),
];

/// Those on a tokio runtime of one thread. `raw-epoll` and the two with threads are in `bin/echo`.
pub const TOKIO: &[Server] = &[
    server!("raw", raw),
    server!("sansock", sansock),
    server!("fastwebsockets", fastwebsockets),
    server!("ratchet_rs", ratchet),
    server!("sockudo-ws", sockudo),
    server!("sockudo-ws-protocol", sockudo_proto),
    server!("soketto", soketto),
    server!("tokio-tungstenite", tokio_tungstenite),
    server!("tokio-websockets", tokio_websockets),
    server!("web-socket", web_socket),
    server!("websocket-sans-io", websocket_sans_io),
    server!("wtx", wtx),
    server!("yawc", yawc),
];

/// One instance per peer, so that a connection's task is no larger than its peer needs.
async fn listen<F>(addr: &str, serve: fn(TcpStream) -> F) -> Res
where
    F: Future<Output = Res> + Send + 'static,
{
    let listener = TcpListener::bind(addr).await?;
    loop {
        let (mut tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        tokio::spawn(async move {
            upgrade::accept(&mut tcp).await?;
            serve(tcp).await
        });
    }
}
