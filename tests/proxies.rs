//! Rule F of hostile inputs behind real proxies, nginx, haproxy and varnish: a refused upgrade leaves no tunnel.
//!
//! A proxy that takes the wish to upgrade for the upgrade passes on whatever its client sends next. What it has
//! in front of the server, rights of access for example, then protects nothing, unless the server ends the
//! connection of whomever it refuses.
//!
//! Where a program is missing there is nothing to test: the tests say so and pass. With
//! `SANSOCK_PROXIES=require` in the environment they fail. `tests/proxies/install.sh` brings what is missing.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;
#[path = "common/opening.rs"]
mod opening;
#[path = "proxies/running.rs"]
mod running;
#[path = "common/serving.rs"]
mod serving;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use common::masked;
use opening::{GOOD, head, request_with};
use running::{LIMIT, Proxy, Running};
use sansock::{CloseCode, Config, blocking};
use serving::{Served, Shim};

/// A server, and all that it was asked.
struct Server {
    port: u16,
    is_over: Arc<AtomicBool>,
    serving: JoinHandle<Vec<Served>>,
}

impl Server {
    /// Serves each connection in a thread of its own.
    fn start(serve: impl Fn(TcpStream) -> Served + Copy + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let serving = thread::spawn(move || {
            let mut all = Vec::new();
            loop {
                let (io, _) = listener.accept().unwrap();
                if ends.load(Ordering::SeqCst) {
                    return all.into_iter().map(|one: JoinHandle<Served>| one.join().unwrap()).collect();
                }
                io.set_read_timeout(Some(LIMIT)).unwrap();
                all.push(thread::spawn(move || serve(io)));
            }
        });
        Server { port, is_over, serving }
    }

    /// What it has served, once all of its connections have ended.
    fn stop(self) -> Vec<Served> {
        self.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap());
        self.serving.join().unwrap()
    }
}

/// Requests that are refused, with the status: by the machine for the version and for the key, and by the
/// application.
fn refused() -> [(String, u16); 3] {
    [
        (request_with("Sec-WebSocket-Version", &["8"]), 426),
        (request_with("Sec-WebSocket-Key", &["AAAA"]), 400),
        (head("GET /forbidden HTTP/1.1", &GOOD), 403),
    ]
}

/// A request that the proxy does not let pass, and a message.
fn smuggled() -> Vec<u8> {
    [head("GET /secret HTTP/1.1", &GOOD).as_bytes(), &masked(0x81, b"through the tunnel")].concat()
}

/// Reads one response, of a length that it says.
fn read_response(io: &mut TcpStream) -> String {
    let mut response = String::from_utf8(opening::read_head(io)).unwrap();
    let mut fields = response.lines().filter_map(|line| line.split_once(": "));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(0, |(_, length)| length.parse().unwrap());
    io.take(length).read_to_string(&mut response).unwrap();
    response
}

/// All that comes until the proxy ends the connection, as it must by itself.
fn read_to_the_end(io: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    match io.read_to_end(&mut rest) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("it stays open: {error}"),
        _ => String::from_utf8_lossy(&rest).into_owned(),
    }
}

fn status(response: &str) -> Option<u16> {
    response.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// A client that has its request refused and goes on as if there were a tunnel: the refusal, and the rest.
fn go_on(proxy: &Running, request: &str) -> (String, String) {
    let mut client = proxy.connect();
    client.write_all(request.as_bytes()).unwrap();
    let refusal = read_response(&mut client);
    // The proxy may have hung up by now.
    let _ = client.write_all(&smuggled());
    (refusal, read_to_the_end(&mut client))
}

/// One that does not wait for the refusal.
fn rush(proxy: &Running, request: &str) -> String {
    let mut client = proxy.connect();
    client.write_all(&[request.as_bytes(), &smuggled()].concat()).unwrap();
    read_to_the_end(&mut client)
}

fn echo_through(proxy: &Running) {
    let mut socket = blocking::connect(&proxy.url(), Config::default()).unwrap();
    for text in ["hello", "and again"] {
        socket.send(text).unwrap();
        assert_eq!(socket.recv().unwrap(), Some(text.into()));
    }
    assert!(socket.close(CloseCode::NORMAL, "").unwrap().clean);
}

/// No tunnel: nothing that was smuggled is answered by the server, or by anyone as if it were accepted.
fn assert_no_tunnel(said: &str) {
    assert!(!said.contains("HTTP/1.1 101") && !said.contains("through the tunnel"), "{said:?}");
}

fn no_tunnel_behind(kind: Proxy) {
    for shim in Shim::BOTH {
        let server = Server::start(move |io| shim.serve(io, Config::default()));
        let Some(proxy) = kind.start(server.port) else { return drop(server.stop()) };
        echo_through(&proxy);
        for (request, expected) in refused() {
            let (refusal, rest) = go_on(&proxy, &request);
            assert_eq!(status(&refusal), Some(expected), "{kind:?}, {shim:?}: {refusal:?}");
            assert_no_tunnel(&rest);
            let all = rush(&proxy, &request);
            assert_eq!(status(&all), Some(expected), "{kind:?}, {shim:?}: {all:?}");
            assert_no_tunnel(&all);
        }
        // The next client is served as if nothing had been.
        echo_through(&proxy);
        drop(proxy);
        assert_served(&server.stop());
    }
}

/// Two echoes of two messages, and refusals; nothing of what was smuggled was ever a request or a message.
fn assert_served(all: &[Served]) {
    let echoed: Vec<_> =
        all.iter().filter_map(|one| one.outcome.as_ref().ok()).filter(|&&count| count > 0).collect();
    assert_eq!(echoed, [&2, &2], "{all:?}");
    let refused = all.iter().filter(|one| !matches!(one.outcome, Ok(1..))).count();
    // Some proxies refuse by themselves what is no key, but none the rest.
    assert!((4..=6).contains(&refused), "{all:?}");
    assert!(all.iter().all(|one| matches!(one.target.as_deref(), Some("/" | "/forbidden"))), "{all:?}");
}

#[test]
fn rule_f_a_refusal_leaves_no_tunnel_behind_nginx() {
    no_tunnel_behind(Proxy::Nginx);
}

#[test]
fn rule_f_a_refusal_leaves_no_tunnel_behind_haproxy() {
    no_tunnel_behind(Proxy::Haproxy);
}

#[test]
fn rule_f_a_refusal_leaves_no_tunnel_behind_varnish() {
    no_tunnel_behind(Proxy::Varnish);
}

/// A server as there are some: it refuses the upgrade, and waits for the next request.
fn leave_open(mut io: TcpStream) -> Served {
    opening::read_head(&mut io);
    io.write_all(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n").unwrap();
    let next = String::from_utf8(opening::read_head(&mut io)).unwrap();
    let target = next.split(' ').nth(1).map(str::to_owned);
    io.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    io.shutdown(Shutdown::Write).unwrap();
    let _ = read_to_the_end(&mut io);
    Served { target, outcome: Ok(0) }
}

/// What the tests above look for is there to be found.
#[test]
fn rule_f_a_server_that_stays_open_leaves_a_tunnel_behind_varnish() {
    let server = Server::start(leave_open);
    let Some(proxy) = Proxy::Varnish.start(server.port) else { return drop(server.stop()) };
    let (request, _) = &refused()[0];
    let (refusal, rest) = go_on(&proxy, request);
    assert_eq!((status(&refusal), status(&rest)), (Some(426), Some(200)), "{refusal:?} {rest:?}");
    drop(proxy);
    let targets: Vec<_> = server.stop().into_iter().map(|served| served.target).collect();
    assert_eq!(targets, [Some("/secret".to_owned())], "past the proxy, which does not let it pass");
}
