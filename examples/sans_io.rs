//! A client and a server that talk in memory: no socket, no clock, no thread.
//!
//! ```text
//! cargo run --example sans_io
//! ```
//!
//! Bytes are carried by hand, and time passes when this program says so. A driver for another runtime,
//! a simulation or a fuzzer does the same.

use std::error::Error;
use std::time::Duration;

use bytes::{Buf, BufMut};
use sansock::handshake::client::{self, ClientRequest, Outcome};
use sansock::handshake::server::{self, Accept};
use sansock::{CloseCode, Config, Connection, Event, Timestamp};

/// How long bytes travel.
const LATENCY: Duration = Duration::from_millis(10);

/// A real client takes 32 bytes from the operating system.
const SEED: [u8; 32] = [7; 32];

fn main() -> Result<(), Box<dyn Error>> {
    converse()?;
    println!();
    fall_silent()
}

/// A conversation from its first byte to its last.
fn converse() -> Result<(), Box<dyn Error>> {
    let mut now = Timestamp::EPOCH;
    let (mut client, mut server) = open(&mut now)?;

    client.connection.text("hello")?;
    deliver(&mut client, &mut server, &mut now)?;
    server.connection.text("hello yourself")?;
    deliver(&mut server, &mut client, &mut now)?;

    // Nobody answers this ping: the client does so by itself.
    server.connection.ping(b"are you there?")?;
    deliver(&mut server, &mut client, &mut now)?;
    deliver(&mut client, &mut server, &mut now)?;

    // Nobody sends this one: it is due after 20 s of silence.
    wait(&mut client, &mut now);
    deliver(&mut client, &mut server, &mut now)?;
    deliver(&mut server, &mut client, &mut now)?;

    client.connection.close(CloseCode::NORMAL, "that was all")?;
    deliver(&mut client, &mut server, &mut now)?;
    deliver(&mut server, &mut client, &mut now)?;

    // RFC 6455 section 7.1.1: the server is the first to end the transport.
    if server.connection.wants_shutdown() {
        log(now, "server ends the transport");
        client.connection.handle_eof();
    }
    if client.connection.is_finished() {
        log(now, "client ends it too");
        server.connection.handle_eof();
    }
    if !server.connection.is_finished() {
        return Err("the server still waits for something".into());
    }
    Ok(())
}

/// A connection whose other end is gone: what it sends arrives nowhere.
fn fall_silent() -> Result<(), Box<dyn Error>> {
    let mut now = Timestamp::EPOCH;
    let mut client = End { name: "client", connection: Connection::client(Config::default(), SEED, now) };
    wait(&mut client, &mut now);
    let lost = client.connection.output();
    lost.advance(lost.remaining());
    wait(&mut client, &mut now);
    match client.connection.advance() {
        Err(error) => log(now, &format!("client fails: {error}")),
        Ok(_) => return Err("the client noticed nothing".into()),
    }
    Ok(())
}

/// One end of the conversation.
struct End {
    name: &'static str,
    connection: Connection,
}

/// The opening handshake.
fn open(now: &mut Timestamp) -> Result<(End, End), Box<dyn Error>> {
    let request = ClientRequest::new("ws://example.com/chat")?;
    let mut client = client::Handshake::new(request, Config::default(), SEED, *now);
    let mut server = server::Handshake::new(Config::default(), *now);

    log(*now, "client asks for a connection");
    *now = *now + LATENCY;
    server.input().put(client.output());
    let request = server.poll()?.ok_or("the request is not complete")?;
    log(*now, &format!("server accepts {} {} for {}", request.method(), request.target(), request.host()));
    let mut server = request.accept(Accept::new(), *now)?;

    *now = *now + LATENCY;
    client.input().put(server.output());
    match client.poll()?.ok_or("the response is not complete")? {
        Outcome::Established(established) => {
            log(*now, "client is connected");
            let client = established.into_connection(*now);
            Ok((End { name: "client", connection: client }, End { name: "server", connection: server }))
        }
        Outcome::Refused(refused) => Err(format!("refused with status {}", refused.status()).into()),
    }
}

/// Carries all that waits at one end to the other, and shows what comes of it there.
fn deliver(from: &mut End, to: &mut End, now: &mut Timestamp) -> Result<(), sansock::Error> {
    log(*now, &format!("{} sends {} bytes", from.name, from.connection.output().remaining()));
    *now = *now + LATENCY;
    to.connection.input().put(from.connection.output());
    to.connection.handle_input(*now);
    while let Some(event) = to.connection.poll_event()? {
        let seen = match event {
            Event::Text(text) => format!("text {:?}", &*text),
            Event::Binary(data) => format!("binary \"{}\"", data.escape_ascii()),
            Event::Ping(payload) => format!("ping \"{}\"", payload.escape_ascii()),
            Event::Pong(payload) => format!("pong \"{}\"", payload.escape_ascii()),
            other => format!("{other:?}"),
        };
        log(*now, &format!("{} receives {seen}", to.name));
    }
    // After the last event there is a report.
    if let Some(report) = to.connection.closed() {
        log(*now, &format!("{} is {report}", to.name));
    }
    Ok(())
}

/// Lets time pass until the next deadline of one end.
fn wait(end: &mut End, now: &mut Timestamp) {
    if let Some(deadline) = end.connection.poll_timeout() {
        *now = deadline.max(*now);
        log(*now, &format!("{} has reached a deadline", end.name));
        end.connection.handle_timeout(*now);
    }
}

fn log(now: Timestamp, what: &str) {
    println!("{:6.2} s  {what}", now.since_epoch().as_secs_f64());
}
