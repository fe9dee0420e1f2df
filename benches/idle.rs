//! What connections take that say nothing: how much the resident memory of this process grows for each, once
//! it is open, and once it has echoed a message of 1 KiB. On Linux.
//!
//! ```text
//! cargo bench --bench idle -- --in-memory 1000000     servers without I/O; fails above 600 MB in all
//! cargo bench --bench idle -- --tokio 10000           sockets, each in a task, on one thread
//! cargo bench --bench idle -- --blocking 10000        sockets that one thread has
//! ```
//!
//! The clients of sockets are in a process of their own. A socket takes a file: `ulimit -n` before. Without
//! an argument, each runs for some hundred.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use bytes::{Buf, BufMut};
use sansock::handshake::server::{Accept, Handshake};
use sansock::{Config, Connection, Timestamp, blocking, tokio as shim};

const NOW: Timestamp = Timestamp::EPOCH;
const MESSAGE: [u8; 1 << 10] = [7; 1 << 10];
/// What a connection without I/O may take, so that a million fits into 600 MB.
const MOST: u64 = 600;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => {
            // Too few to judge: the process itself has a part in it.
            in_memory(300);
            over_tokio(300);
            over_blocking(300);
        }
        ["--clients", address, count] => clients(address.parse().unwrap(), count.parse().unwrap()),
        [what, count] => {
            let Ok(count) = count.parse() else { return usage() };
            match what {
                "--in-memory" if in_memory(count) => {}
                "--in-memory" => return ExitCode::FAILURE,
                "--tokio" => over_tokio(count),
                "--blocking" => over_blocking(count),
                _ => return usage(),
            }
        }
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: idle [--in-memory COUNT | --tokio COUNT | --blocking COUNT]");
    ExitCode::from(2)
}

/// The resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

/// Says how much the memory has grown for each connection, and gives the most that it has grown in all.
fn report(what: &str, count: usize, before: u64, fresh: u64, used: u64) -> u64 {
    let each = |after: u64| after.saturating_sub(before) / count as u64;
    let all = used.max(fresh).saturating_sub(before);
    println!("{what}: {count} connections, {} bytes each, {} after traffic", each(fresh), each(used));
    println!("{what}: {} MB in all", all / 1_000_000);
    all
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Servers without I/O, which have shaken hands.
fn in_memory(count: usize) -> bool {
    let mut message = Vec::new();
    let mut client = Connection::client(Config::default(), [7; 32], NOW);
    client.binary(&MESSAGE).unwrap();
    message.put(client.output());
    let open = || {
        let mut handshake = Handshake::new(Config::default(), NOW);
        handshake.input().put_slice(REQUEST);
        let mut connection = handshake.poll().unwrap().unwrap().accept(Accept::new(), NOW).unwrap();
        rest(&mut connection);
        connection
    };
    let mut all = Vec::with_capacity(count);
    let before = resident();
    all.resize_with(count, open);
    let fresh = resident();
    for connection in &mut all {
        connection.input().put_slice(&message);
        connection.handle_input(NOW);
        while let Some((event, send)) = connection.poll_with_send().unwrap() {
            send.relay(event).unwrap();
        }
        rest(connection);
    }
    report("in memory", count, before, fresh, resident()) <= MOST * count as u64
}

/// All output is written, and there is nothing to read.
fn rest(connection: &mut Connection) {
    let len = connection.output().remaining();
    connection.output().advance(len);
    connection.handle_would_block();
}

/// A process with the clients, which waits to be told to go on.
struct Clients {
    process: Child,
    orders: ChildStdin,
    done: Receiver<()>,
}

impl Clients {
    fn start(address: SocketAddr, count: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--clients", &address.to_string(), &count.to_string()]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, says) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (say, done) = channel();
        thread::spawn(move || BufReader::new(says).lines().try_for_each(|_| say.send(())));
        Clients { process, orders, done }
    }

    /// Waits until all have done what they were told.
    fn wait(&self) {
        self.done.recv().unwrap();
    }

    fn go_on(&mut self) {
        writeln!(self.orders).unwrap();
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

/// The other process: opens the connections, and has a message echoed on each when it is told to.
fn clients(address: SocketAddr, count: usize) {
    let url = format!("ws://{address}/");
    let mut all: Vec<_> = (0..count).map(|_| blocking::connect(&url, Config::default()).unwrap()).collect();
    let mut orders = std::io::stdin().lines();
    println!();
    orders.next();
    for socket in &mut all {
        socket.send(MESSAGE.to_vec()).unwrap();
        assert_eq!(socket.recv().unwrap(), Some(MESSAGE.to_vec().into()));
    }
    println!();
    orders.next();
}

fn over_tokio(count: usize) {
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = ::tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut clients = Clients::start(listener.local_addr().unwrap(), count);
        let before = resident();
        for _ in 0..count {
            let (io, _) = listener.accept().await.unwrap();
            ::tokio::spawn(echo(io));
        }
        let clients = ::tokio::task::spawn_blocking(move || {
            clients.wait();
            let fresh = resident();
            clients.go_on();
            clients.wait();
            (fresh, resident(), clients)
        });
        let (fresh, used, _clients) = clients.await.unwrap();
        report("tokio", count, before, fresh, used);
    });
}

async fn echo(io: ::tokio::net::TcpStream) -> Result<(), shim::Error> {
    let mut socket = shim::accept(io, Config::default()).await?;
    while socket.ready().await? {
        while let Ok(Some((event, send))) = socket.connection_mut().poll_with_send() {
            send.relay(event)?;
        }
    }
    Ok(())
}

fn over_blocking(count: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut clients = Clients::start(listener.local_addr().unwrap(), count);
    let mut all = Vec::with_capacity(count);
    let before = resident();
    all.resize_with(count, || blocking::accept(listener.accept().unwrap().0, Config::default()).unwrap());
    clients.wait();
    let fresh = resident();
    clients.go_on();
    for socket in &mut all {
        let message = socket.recv().unwrap().unwrap();
        socket.send(message).unwrap();
        // One thread has them all, so none may wait in a read.
        socket.io().set_nonblocking(true).unwrap();
        assert!(socket.recv().is_err(), "it would block");
    }
    clients.wait();
    report("blocking", count, before, fresh, resident());
}
