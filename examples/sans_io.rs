//! A client and a server that talk in memory: no socket, no clock, no thread.
//!
//! ```text
//! cargo run --example sans_io
//! ```
//!
//! Bytes are carried by hand, and time passes when this program says so. A driver for any runtime, a
//! simulation or a fuzzer does the same.

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
    let mut now = Timestamp::EPOCH;
    let (mut client, mut server) = open(&mut now)?;

    client.text("hello")?;
    carry(&mut client, &mut server, "client", &mut now);
    echo(&mut server, now)?;
    carry(&mut server, &mut client, "server", &mut now);
    show("client", &mut client, now)?;

    // The answer to a ping is queued when the ping is taken.
    server.ping(b"are you there?")?;
    carry(&mut server, &mut client, "server", &mut now);
    show("client", &mut client, now)?;
    carry(&mut client, &mut server, "client", &mut now);
    show("server", &mut server, now)?;

    // After 20 s of silence the client pings by itself: the time for that is a value.
    wait("client", &mut client, &mut now);
    carry(&mut client, &mut server, "client", &mut now);
    show("server", &mut server, now)?;
    carry(&mut server, &mut client, "server", &mut now);
    show("client", &mut client, now)?;

    client.close(CloseCode::NORMAL, "that was all")?;
    carry(&mut client, &mut server, "client", &mut now);
    show("server", &mut server, now)?;
    carry(&mut server, &mut client, "server", &mut now);
    show("client", &mut client, now)?;
    // The server ends the transport first (RFC 6455 section 7.1.1); then the client does.
    log(now, format_args!("server: ends the transport: {}", server.wants_shutdown()));
    client.handle_eof();
    server.handle_eof();
    log(now, format_args!("both have finished: {}", client.is_finished() && server.is_finished()));

    fall_silent()
}

/// The opening handshake.
fn open(now: &mut Timestamp) -> Result<(Connection, Connection), Box<dyn Error>> {
    let request = ClientRequest::new("ws://example.com/chat")?;
    let mut client = client::Handshake::new(request, Config::default(), SEED, *now);
    let mut server = server::Handshake::new(Config::default(), *now);

    server.input().put(client.output());
    *now = *now + LATENCY;
    let request = server.poll()?.ok_or("the request is not complete")?;
    log(*now, format_args!("server: {} {} for {}", request.method(), request.target(), request.host()));
    let mut server = request.accept(Accept::new(), *now)?;

    client.input().put(server.output());
    *now = *now + LATENCY;
    match client.poll()?.ok_or("the response is not complete")? {
        Outcome::Established(established) => {
            log(*now, format_args!("client: connected"));
            Ok((established.into_connection(*now), server))
        }
        Outcome::Refused(refused) => Err(format!("refused with status {}", refused.status()).into()),
    }
}

/// A client whose peer is gone: nothing that it sends arrives.
fn fall_silent() -> Result<(), Box<dyn Error>> {
    let mut now = Timestamp::EPOCH;
    let mut client = Connection::client(Config::default(), SEED, now);
    log(now, format_args!("a new client, with nobody at the other end"));
    wait("client", &mut client, &mut now);
    let lost = client.output();
    lost.advance(lost.remaining());
    wait("client", &mut client, &mut now);
    match show("client", &mut client, now) {
        Ok(()) => Err("nobody answered, and the client did not notice".into()),
        Err(error) => {
            log(now, format_args!("client: {error}"));
            Ok(())
        }
    }
}

/// Carries all output of one end to the other.
fn carry(from: &mut Connection, to: &mut Connection, name: &str, now: &mut Timestamp) {
    log(*now, format_args!("{name}: sends {} bytes", from.output().remaining()));
    *now = *now + LATENCY;
    to.input().put(from.output());
    to.handle_input(*now);
}

/// Lets time pass until the machine's next deadline.
fn wait(name: &str, connection: &mut Connection, now: &mut Timestamp) {
    let Some(deadline) = connection.poll_timeout() else { return };
    *now = deadline.max(*now);
    connection.handle_timeout(*now);
    log(
        *now,
        format_args!("{name}: its deadline is reached, {} bytes to send", connection.output().remaining()),
    );
}

/// Takes the events, and sends messages back.
fn echo(connection: &mut Connection, now: Timestamp) -> Result<(), Box<dyn Error>> {
    while let Some((event, send)) = connection.poll_with_send()? {
        log(now, format_args!("server: {event:?}"));
        match event {
            Event::Text(text) => send.text(&text)?,
            Event::Binary(data) => send.binary(&data)?,
            _ => {}
        }
    }
    Ok(())
}

/// Takes the events, and the end if that has come.
fn show(name: &str, connection: &mut Connection, now: Timestamp) -> Result<(), sansock::Error> {
    while let Some(event) = connection.poll_event()? {
        match event {
            Event::Ping(payload) => log(now, format_args!("{name}: ping \"{}\"", payload.escape_ascii())),
            Event::Pong(payload) => log(now, format_args!("{name}: pong \"{}\"", payload.escape_ascii())),
            event => log(now, format_args!("{name}: {event:?}")),
        }
    }
    if let Some(report) = connection.closed() {
        log(now, format_args!("{name}: {report}"));
    }
    Ok(())
}

fn log(now: Timestamp, what: std::fmt::Arguments<'_>) {
    println!("{:6.2} s  {what}", now.since_epoch().as_secs_f64());
}
