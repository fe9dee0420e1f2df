//! A small echo server over each of the shims, to be treated badly.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "shared by tests that use parts of it")]

use std::net::TcpStream;

use sansock::blocking;
use sansock::handshake::Response;
use sansock::handshake::server::{Accept, Rejection, Request};
use sansock::{Config, tokio as shim};

/// Which shim serves, or connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shim {
    Tokio,
    Blocking,
}

/// What a server made of a connection.
#[derive(Debug)]
pub struct Served {
    /// The target of the one request that it has read, if it was one.
    pub target: Option<String>,
    /// The messages that it has echoed, if it has accepted; the error, or what the application said otherwise.
    pub outcome: Result<usize, blocking::Error>,
}

/// What the application wants to do about a request.
enum Wish {
    Accept(Accept),
    Reject(Response),
}

/// The application: it forbids one path, and errs on another.
fn wish(request: Result<&Request, &Rejection>) -> (Option<String>, Wish) {
    match request {
        Ok(request) => {
            let wish = match request.path() {
                "/forbidden" => Wish::Reject(Response::new(403).unwrap().body("forbidden\n")),
                "/unoffered" => Wish::Accept(Accept::new().protocol("unoffered")),
                _ => Wish::Accept(Accept::new()),
            };
            (Some(request.target().to_owned()), wish)
        }
        Err(rejection) => {
            (rejection.head().map(|head| head.target().to_owned()), Wish::Accept(Accept::new()))
        }
    }
}

impl Shim {
    pub const BOTH: [Shim; 2] = [Shim::Tokio, Shim::Blocking];

    /// Serves one connection to its end.
    pub fn serve(self, io: TcpStream, config: Config) -> Served {
        match self {
            Shim::Blocking => serve_blocking(io, config),
            Shim::Tokio => on_tokio(async {
                io.set_nonblocking(true).unwrap();
                serve_tokio(tokio::net::TcpStream::from_std(io).unwrap(), config).await
            }),
        }
    }

    /// Connects as a client that offers no subprotocol, and waits for the end.
    pub fn connect(self, url: &str, config: Config) -> Result<(), blocking::Error> {
        match self {
            Shim::Blocking => {
                let mut socket = blocking::connect(url, config)?;
                while socket.recv()?.is_some() {}
                Ok(())
            }
            Shim::Tokio => on_tokio(async {
                let mut socket = shim::connect(url, config).await?;
                while socket.recv().await?.is_some() {}
                Ok(())
            }),
        }
    }
}

fn on_tokio<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn serve_blocking(io: TcpStream, config: Config) -> Served {
    let incoming = match blocking::accept_request(io, config) {
        Ok(incoming) => incoming,
        Err(error) => return Served { target: None, outcome: Err(error) },
    };
    let (target, wish) = wish(incoming.request());
    let outcome = (|| match wish {
        Wish::Reject(response) => incoming.reject(response).map(|()| 0),
        Wish::Accept(accept) => {
            let mut socket = incoming.accept(accept)?;
            let mut echoed = 0;
            while let Some(message) = socket.recv()? {
                socket.send(message)?;
                echoed += 1;
            }
            Ok(echoed)
        }
    })();
    Served { target, outcome }
}

async fn serve_tokio(io: tokio::net::TcpStream, config: Config) -> Served {
    let incoming = match shim::accept_request(io, config).await {
        Ok(incoming) => incoming,
        Err(error) => return Served { target: None, outcome: Err(error) },
    };
    let (target, wish) = wish(incoming.request());
    let outcome = async {
        match wish {
            Wish::Reject(response) => incoming.reject(response).await.map(|()| 0),
            Wish::Accept(accept) => {
                let mut socket = incoming.accept(accept).await?;
                let mut echoed = 0;
                while let Some(message) = socket.recv().await? {
                    socket.send(message).await?;
                    echoed += 1;
                }
                Ok(echoed)
            }
        }
    };
    Served { target, outcome: outcome.await }
}
