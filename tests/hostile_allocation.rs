//! Item 85 of hostile inputs: memory runs out at the n-th allocation, for all n.
//!
//! Rust's collections abort the process when they get no memory, and say so. This test runs its own program
//! anew for each allocation of some conversations, has that one fail, and sees one of three things: the
//! conversation was right, or it failed with an error, or the process was aborted with the message. A wrong
//! answer, a panic, a hang or a fault in memory is none of them.
#![cfg(unix)]
#![allow(unsafe_code, reason = "an allocator")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;
mod io;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::error::Error;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::ptr::null_mut;

use bytes::BufMut;
use io::{duplex, guard};
use sansock::deflate::{Deflate, Pool};
use sansock::handshake::client::{self, ClientRequest, Outcome};
use sansock::handshake::server::{self, Accept};
use sansock::{CloseCode, Config, Connection, Message, Prepared, Timestamp, blocking, tokio};

thread_local! {
    /// How many allocations are left before one fails; `None`: none does.
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    /// Whether all fail from there on.
    static FOR_EVER: Cell<bool> = const { Cell::new(false) };
}

struct Failing;

/// Counts an allocation, and says whether it fails.
fn fails() -> bool {
    LEFT.try_with(|left| match left.get() {
        None => false,
        Some(0) => {
            if !FOR_EVER.get() {
                left.set(None);
            }
            true
        }
        Some(more) => {
            left.set(Some(more - 1));
            false
        }
    })
    .unwrap_or(false)
}

// SAFETY: every call is handed to the system's allocator as it is, or fails.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        if fails() { null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        if fails() { null_mut() } else { unsafe { System.alloc_zeroed(layout) } }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        if fails() { null_mut() } else { unsafe { System.realloc(pointer, layout, size) } }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// Which allocation is to fail, and whether those behind it do too.
const FAIL_AT: &str = "SANSOCK_TEST_FAIL_AT";
const FAIL_FOR_EVER: &str = "SANSOCK_TEST_FAIL_FOR_EVER";
/// What a conversation says when none of its allocations has failed.
const ENOUGH: &str = "there was enough memory";

const NOW: Timestamp = Timestamp::EPOCH;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Runs a conversation with the allocation that fails, if the process was told of one.
fn run(conversation: fn() -> Result) {
    let _guard = guard();
    let fail_at = std::env::var(FAIL_AT).ok().map(|number| number.parse().unwrap());
    FOR_EVER.set(std::env::var_os(FAIL_FOR_EVER).is_some());
    LEFT.set(fail_at);
    let outcome = conversation();
    let has_failed = fail_at.is_some() && (LEFT.take().is_none_or(|left| left == 0));
    match outcome {
        Ok(()) if has_failed => println!("right"),
        Ok(()) => println!("{ENOUGH}"),
        Err(error) if has_failed => println!("an error: {error}"),
        Err(error) => panic!("{error}"),
    }
}

/// Runs one of the tests below in a process of its own.
fn child(conversation: &str, fail_at: usize, for_ever: bool) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", conversation, "--nocapture"]).env(FAIL_AT, fail_at.to_string());
    if for_ever {
        command.env(FAIL_FOR_EVER, "1");
    }
    command.output().unwrap()
}

/// Has each allocation of a conversation fail in turn; how many there are, and how many errors came of it.
fn each_fails(conversation: &str, for_ever: bool) -> (usize, usize) {
    const ABORTED: i32 = 6;
    let mut errors = 0;
    for fail_at in 0.. {
        let Output { status, stdout, stderr } = child(conversation, fail_at, for_ever);
        let (said, complaint) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        if status.success() && said.contains(ENOUGH) {
            return (fail_at, errors);
        }
        let is_error = status.success() && said.contains("an error: ");
        errors += usize::from(is_error);
        let is_right = status.success() && said.contains("right");
        let is_aborted = status.signal() == Some(ABORTED) && complaint.contains("memory allocation of ");
        assert!(
            is_error || is_right || is_aborted,
            "{conversation} {fail_at}: {status}\n{said}\n{complaint}"
        );
    }
    panic!("there is no end to numbers");
}

fn ensure(is_right: bool) {
    if !is_right {
        // Not a panic, which has to allocate.
        eprintln!("a wrong answer");
        std::process::exit(70);
    }
}

fn compressing() -> Config {
    let mut deflate = Deflate::for_many_connections();
    deflate.pool = Some(Pool::new(1));
    let mut config = Config::default();
    config.deflate = Some(deflate);
    config
}

fn shake(config: &Config) -> Result<[Connection; 2]> {
    let request = ClientRequest::new("ws://example.com/chat")?.protocol("chat")?;
    let mut client = client::Handshake::new(request, config.clone(), [7; 32], NOW);
    let mut server = server::Handshake::new(config.clone(), NOW);
    server.input().put(client.output());
    let Some(request) = server.poll()? else { return Err("half a request".into()) };
    let mut server = request.accept(Accept::new().protocol("chat"), NOW)?;
    client.input().put(server.output());
    let Some(Outcome::Established(established)) = client.poll()? else { return Err("refused".into()) };
    Ok([established.into_connection(NOW), server])
}

/// Carries all output over, relays what arrives, and looks at it.
fn carry(from: &mut Connection, to: &mut Connection, expected: &[&[u8]], answers: bool) -> Result {
    to.input().put(from.output());
    to.handle_input(NOW);
    let mut expected = expected.iter();
    while let Some((event, send)) = to.poll_with_send()? {
        if let sansock::Event::Binary(data) = &event {
            ensure(expected.next().is_some_and(|expected| **expected == **data));
        }
        if answers {
            send.relay(event)?;
        }
    }
    ensure(expected.next().is_none());
    from.handle_would_block();
    to.handle_would_block();
    Ok(())
}

/// All that two machines do: messages short and long, in fragments, prepared, owned, shared; pings and a
/// close.
fn converse_in_memory(config: &Config) -> Result {
    let [mut client, mut server] = shake(config)?;
    let large = vec![7; 20_000];
    let all = [b"short", &large[..], b"frag", b"fragments", b"prepared"];
    let said = [all[0], all[1], all[3], all[4]];
    client.binary(all[0])?;
    client.send(large.clone())?;
    client.fragment(all[2])?;
    client.ping(b"?")?;
    client.last_fragment(&all[3][4..])?;
    client.prepared(&Prepared::new(all[4].to_vec()))?;
    carry(&mut client, &mut server, &said, true)?;
    carry(&mut server, &mut client, &said, false)?;
    server.close(CloseCode::NORMAL, "done")?;
    carry(&mut server, &mut client, &[], false)?;
    carry(&mut client, &mut server, &[], false)?;
    ensure(client.closed().is_some_and(|report| report.clean));
    ensure(server.closed().is_some_and(|report| report.clean));
    Ok(())
}

#[test]
fn plain_machines() {
    run(|| converse_in_memory(&Config::default()));
}

#[test]
fn compressing_machines() {
    run(|| converse_in_memory(&compressing()));
}

#[test]
fn tokio_sockets() {
    run(|| {
        let runtime = ::tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(async {
            let (near, far) = duplex(3000);
            let request = ClientRequest::new("ws://example.com/")?;
            let (client, server) = ::tokio::join!(
                tokio::connect_over(near, request, Config::default()),
                tokio::accept(far, Config::default())
            );
            let (mut client, mut server) = (client?, server?);
            let talk = async {
                client.send(vec![7; 10_000]).await?;
                ensure(client.recv().await? == Some(vec![7; 10_000].into()));
                client.close(CloseCode::NORMAL, "").await
            };
            let echo = async {
                while let Some(message) = server.recv().await? {
                    server.send(message).await?;
                }
                Ok::<(), tokio::Error>(())
            };
            let (report, echoed) = ::tokio::join!(talk, echo);
            echoed?;
            ensure(report?.clean);
            Ok(())
        })
    });
}

/// Repeats a call that says "not now".
fn patiently<T>(mut call: impl FnMut() -> std::result::Result<T, blocking::Error>) -> Result<T> {
    loop {
        match call() {
            Err(blocking::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
            outcome => return Ok(outcome?),
        }
    }
}

#[test]
fn blocking_sockets() {
    run(|| {
        let (near, far) = duplex(100_000);
        let client = Connection::client(Config::default(), [7; 32], NOW);
        let server = Connection::server(Config::default(), NOW);
        let mut client = blocking::WebSocket::over(near.clone(), client);
        let mut server = blocking::WebSocket::over(far, server);
        client.send(vec![7; 10_000])?;
        client.ping(b"?")?;
        let received = server.recv()?;
        ensure(received == Some(vec![7; 10_000].into()));
        server.send(received.unwrap_or(Message::Binary(bytes::Bytes::new())))?;
        ensure(patiently(|| client.recv())? == Some(vec![7; 10_000].into()));
        client.connection_mut().close(CloseCode::NORMAL, "")?;
        client.flush()?;
        ensure(server.recv().is_err() || server.closed().is_some());
        ensure(patiently(|| client.recv())?.is_none());
        near.end();
        ensure(patiently(|| server.recv())?.is_none());
        ensure(server.closed().is_some_and(|report| report.clean));
        Ok(())
    });
}

macro_rules! hostile_85 {
    ($($name:ident: $conversation:ident),*) => {$(
        #[test]
        fn $name() {
            // Once only that allocation, once all behind it as well.
            for for_ever in [false, true] {
                let (allocations, errors) = each_fails(stringify!($conversation), for_ever);
                println!("{allocations} allocations, {errors} errors");
                assert!(allocations > 30, "{allocations} allocations");
            }
        }
    )*};
}

hostile_85! {
    hostile_85_memory_that_runs_out_in_plain_machines: plain_machines,
    hostile_85_memory_that_runs_out_in_compressing_machines: compressing_machines,
    hostile_85_memory_that_runs_out_in_tokio_sockets: tokio_sockets,
    hostile_85_memory_that_runs_out_in_blocking_sockets: blocking_sockets
}
