//! Cancel safety over random schedules: every future of the tokio shim is dropped after any number of polls, while
//! the peer, the transport and the clock do what they like; items 73, 82 and 84 of hostile inputs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;
mod io;
mod schedules;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;

use futures_util::{SinkExt, StreamExt};
use io::{End, guard, poll_times};
use proptest::prelude::*;
use sansock::tokio::{Reader, WebSocket, Writer};
use sansock::{CloseCode, CloseReport, Connection, Message, SendHalf};
use schedules::trial::{
    self, Effect, Op, Outcome, Subject, event, faulty, nothing, owned, payload, schedule,
};
use schedules::{Scene, cases, scene};

type Socket = WebSocket<End>;
type Halves = (Reader<End, End>, Writer<End>);

type Performing<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

struct Call<S: 'static> {
    name: &'static str,
    effect: Effect,
    perform: for<'a> fn(&'a mut S, Message) -> Performing<'a>,
}

macro_rules! calls {
    ($subject:ty: $($name:literal $effect:ident |$s:ident, $m:ident| $call:expr;)*) => {
        &[$(Call {
            name: $name,
            effect: Effect::$effect,
            perform: {
                fn perform($s: &mut $subject, $m: Message) -> Performing<'_> {
                    Box::pin(async move {
                        let _ = &$m;
                        $call
                    })
                }
                perform
            },
        }),*]
    };
}

const OF_SOCKET: &[Call<Socket>] = calls! { Socket:
        "WebSocket::next" Receives |s, m| s.next().await.map(event);
        "WebSocket::recv" Receives |s, m| s.recv().await.map(owned);
        "WebSocket::ready" Waits |s, m| s.ready().await.map(nothing);
        "WebSocket::send" Queues |s, m| s.send(m).await.map(nothing);
        "WebSocket::feed" QueuesLast |s, m| s.feed(m).await.map(nothing);
        "WebSocket::room" Waits |s, m| s.room().await.map(nothing);
        "WebSocket::flush" Flushes |s, m| s.flush().await.map(nothing);
        "WebSocket::ping" Pings |s, m| s.ping(payload(&m)).await.map(nothing);
        "WebSocket::close" Closes |s, m| s.close(CloseCode::NORMAL, "bye").await.map(nothing);
        "Stream::poll_next" Receives |s, m| StreamExt::next(s).await.transpose().map(owned);
        "Sink::poll_ready" QueuesLast |s, m| SinkExt::feed(s, m).await.map(nothing);
        "Sink::poll_flush" Flushes |s, m| SinkExt::flush(s).await.map(nothing);
        "Sink::poll_close" Closes |s, m| SinkExt::close(s).await.map(nothing);
};

impl Subject for Socket {
    const PASSES_OVER: bool = true;

    fn over(io: End, machine: Connection) -> Self {
        WebSocket::over(io, machine)
    }

    fn half(&mut self) -> &mut SendHalf {
        self.connection_mut().halves().1
    }

    fn report(&self) -> Option<CloseReport> {
        self.closed()
    }

    fn effects() -> Vec<Effect> {
        OF_SOCKET.iter().map(|call| call.effect).collect()
    }

    fn perform(&mut self, call: usize, polls: usize, message: Message) -> Option<Outcome> {
        poll_times(polls, (OF_SOCKET[call].perform)(self, message))
    }
}

const OF_HALVES: &[Call<Halves>] = calls! { Halves:
        "Reader::next" Receives |s, m| s.0.next().await.map(event);
        "Reader::recv" Receives |s, m| s.0.recv().await.map(owned);
        "Writer::send" Queues |s, m| s.1.send(m).await.map(nothing);
        "Writer::feed" QueuesLast |s, m| s.1.feed(m).await.map(nothing);
        "Writer::flush" Flushes |s, m| s.1.flush().await.map(nothing);
        "Writer::ping" Pings |s, m| s.1.ping(payload(&m)).await.map(nothing);
        "Writer::close" Closes |s, m| s.1.close(CloseCode::NORMAL, "bye").await.map(nothing);
};

impl Subject for Halves {
    const PASSES_OVER: bool = false;

    fn over(io: End, machine: Connection) -> Self {
        WebSocket::over(io, machine).split_with(|io| (io.clone(), io))
    }

    fn half(&mut self) -> &mut SendHalf {
        self.1.half()
    }

    fn report(&self) -> Option<CloseReport> {
        self.0.closed()
    }

    fn effects() -> Vec<Effect> {
        OF_HALVES.iter().map(|call| call.effect).collect()
    }

    fn perform(&mut self, call: usize, polls: usize, message: Message) -> Option<Outcome> {
        poll_times(polls, (OF_HALVES[call].perform)(self, message))
    }
}

fn run<S: Subject>(scene: &Scene, ops: &[Op]) {
    let _guard = guard();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _entered = runtime.enter();
    trial::run::<S>(scene, ops, |time| runtime.block_on(tokio::time::advance(time)));
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn hostile_84_no_schedule_loses_or_repeats_anything(scene in scene(), ops in schedule()) {
        run::<Socket>(&scene, &ops);
    }

    #[test]
    fn hostile_84_no_schedule_of_halves_loses_or_repeats_anything(scene in scene(), ops in schedule()) {
        run::<Halves>(&scene, &ops);
    }

    #[test]
    fn hostile_73_no_schedule_breaks_compressed_messages(scene in scene(), ops in schedule()) {
        let scene = scene.compressing();
        run::<Socket>(&scene, &ops);
        run::<Halves>(&scene, &ops);
    }

    #[test]
    fn hostile_82_a_fault_in_any_schedule_is_an_end_and_not_a_lie(scene in scene(), ops in faulty()) {
        run::<Socket>(&scene, &ops);
        run::<Halves>(&scene, &ops);
    }
}

/// What `tokio_cancel.rs` drops: these own their transport.
const HANDSHAKES: [&str; 7] = [
    "accept",
    "accept_request",
    "connect",
    "connect_over",
    "connect_request",
    "Incoming::accept",
    "Incoming::reject",
];

/// The public futures that a source file declares, by their type: `async fn`, `-> impl Future`, `fn poll_`.
fn futures_in(source: &str) -> BTreeSet<String> {
    let mut owner = "";
    let mut names = BTreeSet::new();
    for line in source.match_indices('\n').map(|(at, _)| source.split_at(at + 1).1) {
        let signature = line.split(['{', ';']).next().unwrap();
        if signature.starts_with("impl") {
            let owners = ["Stream for", "Sink<Message> for", "WebSocket<", "Incoming<", "Reader<", "Writer<"];
            owner = owners.into_iter().find(|owner| signature.contains(owner)).unwrap_or_default();
        } else if line.starts_with('}') {
            owner = "";
        }
        let signature = signature.trim_start();
        let is_pub = signature.starts_with("pub ") || owner.ends_with("for") && signature.starts_with("fn ");
        let Some((before, after)) = signature.split_once("fn ").filter(|_| is_pub) else { continue };
        let name = after.split(['(', '<']).next().unwrap();
        if before.contains("async") || signature.contains("impl Future") || name.starts_with("poll_") {
            let owner = owner.split([' ', '<']).next().unwrap();
            names.insert(if owner.is_empty() { name.to_owned() } else { format!("{owner}::{name}") });
        }
    }
    names
}

#[test]
fn hostile_84_no_public_future_is_left_out() {
    let shim = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tokio");
    let sources =
        std::fs::read_dir(shim).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let there: BTreeSet<_> = sources.flat_map(|source| futures_in(&source)).collect();
    let whole = OF_SOCKET.iter().map(|call| call.name);
    let halves = OF_HALVES.iter().map(|call| call.name);
    let covered = whole.chain(halves).chain(HANDSHAKES).map(String::from).collect();
    assert_eq!(there, covered);
}
