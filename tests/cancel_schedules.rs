//! Cancel safety over random schedules: every future of the tokio shim is dropped after any number of polls, while
//! the peer, the transport and the clock do what they like; items 73, 82 and 84 of hostile inputs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;
mod io;
mod schedules;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use common::Seen;
use futures_util::{SinkExt, StreamExt};
use io::{End, Peer, config, guard, poll_once, poll_times};
use proptest::collection::vec;
use proptest::prelude::*;
use sansock::tokio::{Error, Reader, WebSocket, Writer};
use sansock::{CloseCode, CloseReport, Config, Connection, Error as Failure, Event, Message, SendHalf};
use schedules::{Act, Fault, Ledger, Scene, act, cases, fault, len, message, scene, seen};

type Socket = WebSocket<End>;
type Halves = (Reader<End, End>, Writer<End>);

/// What a call gave.
#[derive(Debug)]
enum Got {
    Nothing,
    Event(Seen),
    End,
}

type Outcome = Result<Got, Error>;

/// What a call does, as far as a ledger is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Receives,
    /// The first poll queues the message.
    Queues,
    /// It has queued the message when it is done, and not before.
    QueuesLast,
    /// As `Queues`, with the message as a ping's payload.
    Pings,
    Waits,
    Flushes,
    /// The first poll queues a Close frame.
    Closes,
}

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

/// What is tested: a socket, or its halves.
trait Subject: Sized + 'static {
    const CALLS: &'static [Call<Self>];
    /// Whether `close` passes over what is still received.
    const PASSES_OVER: bool;

    fn over(io: End, machine: Connection) -> Self;
    fn half(&mut self) -> &mut SendHalf;
    fn report(&self) -> Option<CloseReport>;

    /// Polls a call that has this effect once.
    fn poll(&mut self, effect: Effect) -> Option<Outcome> {
        let call = Self::CALLS.iter().find(|call| call.effect == effect).unwrap();
        poll_once((call.perform)(self, "".into()))
    }
}

fn event(event: Option<Event<'_>>) -> Got {
    event.map_or(Got::End, |event| Got::Event(event.into()))
}

fn owned(message: Option<Message>) -> Got {
    message.map_or(Got::End, |message| Got::Event(seen(&message)))
}

fn nothing<T>(_: T) -> Got {
    Got::Nothing
}

impl Subject for Socket {
    const CALLS: &'static [Call<Self>] = calls! { Socket:
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
}

impl Subject for Halves {
    const CALLS: &'static [Call<Self>] = calls! { Halves:
        "Reader::next" Receives |s, m| s.0.next().await.map(event);
        "Reader::recv" Receives |s, m| s.0.recv().await.map(owned);
        "Writer::send" Queues |s, m| s.1.send(m).await.map(nothing);
        "Writer::feed" QueuesLast |s, m| s.1.feed(m).await.map(nothing);
        "Writer::flush" Flushes |s, m| s.1.flush().await.map(nothing);
        "Writer::ping" Pings |s, m| s.1.ping(payload(&m)).await.map(nothing);
        "Writer::close" Closes |s, m| s.1.close(CloseCode::NORMAL, "bye").await.map(nothing);
    };
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
}

fn payload(message: &Message) -> &[u8] {
    let bytes = message.as_bytes();
    bytes.get(..100).unwrap_or(bytes)
}

/// One step of a schedule.
#[derive(Clone, Debug)]
enum Op {
    /// A call, which is dropped after so many polls, with a message of this length.
    Call(prop::sample::Index, usize, usize),
    /// The same for calls that close.
    Close(prop::sample::Index, usize),
    /// A part of a message, and whether it is the last.
    Fragment(usize, bool),
    Peer(Act),
    Clock(u64),
    Fault(Fault),
}

fn polls() -> impl Strategy<Value = usize> {
    prop_oneof![1 => Just(0_usize), 4 => Just(1), 3 => 2..5_usize, 1 => Just(60)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => (any::<prop::sample::Index>(), polls(), len()).prop_map(|(call, polls, len)| Op::Call(call, polls, len)),
        2 => (len(), any::<bool>()).prop_map(|(len, is_last)| Op::Fragment(len, is_last)),
        12 => act().prop_map(Op::Peer),
        2 => (1..200_u64).prop_map(Op::Clock),
    ]
}

/// In some the tested end closes, in the midst of it.
fn schedule() -> impl Strategy<Value = Vec<Op>> {
    let close = (any::<prop::sample::Index>(), polls()).prop_map(|(which, polls)| Op::Close(which, polls));
    (vec(op(), 0..80), vec(close, 0..3), vec(op(), 0..20)).prop_map(|(mut ops, closes, after)| {
        for close in closes {
            ops.push(close);
            ops.extend(after.iter().cloned());
        }
        ops
    })
}

/// A schedule in which something goes wrong in the end.
fn faulty() -> impl Strategy<Value = Vec<Op>> {
    (schedule(), fault(), vec(op(), 0..30)).prop_map(|(mut ops, fault, after)| {
        ops.push(Op::Fault(fault));
        ops.extend(after);
        ops
    })
}

/// Keepalive pings often; nothing is ever late.
fn busy() -> Config {
    config(|c| {
        c.ping_interval = Some(Duration::from_millis(50));
        c.pong_timeout = Duration::from_secs(3600);
        c.close_timeout = Duration::from_secs(3600);
        c.output_high_water = 600;
    })
}

/// A subject, its peer, and what has become of their conversation.
struct Trial<S> {
    subject: S,
    peer: Peer,
    end: End,
    ledger: Ledger,
    /// The fragments so far of an open message.
    open: Option<Vec<u8>>,
    is_closing: bool,
    has_fault: bool,
    /// A write has failed.
    is_broken: bool,
    failure: Option<Failure>,
}

impl<S: Subject> Trial<S> {
    fn new(scene: &Scene) -> Self {
        let (peer, end, machine) = scene.set(busy());
        Trial {
            subject: S::over(end.clone(), machine),
            peer,
            end,
            ledger: Ledger::default(),
            open: None,
            is_closing: false,
            has_fault: false,
            is_broken: false,
            failure: None,
        }
    }

    fn carry_out(&mut self, op: &Op, runtime: &tokio::runtime::Runtime) {
        match *op {
            Op::Call(ref which, polls, len) => {
                let calls: Vec<_> = S::CALLS.iter().filter(|call| call.effect != Effect::Closes).collect();
                self.call(calls[which.index(calls.len())], polls, len);
            }
            Op::Close(ref which, polls) => {
                let calls: Vec<_> = S::CALLS.iter().filter(|call| call.effect == Effect::Closes).collect();
                self.call(calls[which.index(calls.len())], polls, 0);
            }
            Op::Fragment(len, is_last) => self.fragment(len, is_last),
            Op::Peer(act) => self.ledger.act(&mut self.peer, act),
            Op::Clock(millis) => runtime.block_on(tokio::time::advance(Duration::from_millis(millis))),
            Op::Fault(fault) => {
                fault.strike(&self.peer, &self.end);
                self.has_fault = true;
            }
        }
        self.ledger.check();
    }

    fn call(&mut self, call: &Call<S>, polls: usize, len: usize) {
        let message = message(self.ledger.number(), len);
        let outcome = poll_times(polls, (call.perform)(&mut self.subject, message.clone()));
        let is_refused = matches!(outcome, Some(Err(Error::Send(_))));
        let is_done = matches!(outcome, Some(Ok(_)));
        let has_begun = polls > 0 && !is_refused;
        match call.effect {
            Effect::Queues if has_begun => self.ledger.sent.push(seen(&message)),
            Effect::QueuesLast if is_done => self.ledger.sent.push(seen(&message)),
            Effect::Pings if has_begun => self.ledger.sent.push(Seen::Ping(payload(&message).into())),
            Effect::Closes if has_begun && !self.is_closing && self.failure.is_none() => {
                self.begin_to_close();
            }
            _ => {}
        }
        if let Some(outcome) = outcome {
            self.note(call.effect, outcome);
        }
    }

    fn begin_to_close(&mut self) {
        self.is_closing = true;
        self.ledger.passes_over = S::PASSES_OVER;
        self.ledger.sent.push(Seen::End);
    }

    fn fragment(&mut self, len: usize, is_last: bool) {
        let part = vec![7; len];
        let half = self.subject.half();
        let queued = if is_last { half.last_fragment(&part[..]) } else { half.fragment(&part[..]) };
        if queued.is_ok() {
            self.open.get_or_insert_default().extend(part);
            if is_last {
                self.ledger.sent.extend(self.open.take().map(Seen::Binary));
            }
        }
    }

    /// An outcome is what the peer has said, and an error is the last word.
    fn note(&mut self, effect: Effect, outcome: Outcome) {
        let writes = matches!(effect, Effect::Queues | Effect::Pings | Effect::Flushes);
        assert!(!(self.is_broken && writes && outcome.is_ok()), "a broken transport has taken something");
        match outcome {
            Ok(Got::Event(event)) => {
                assert!(self.failure.is_none(), "{event:?} after {:?}", self.failure);
                self.ledger.receive(event);
            }
            Err(Error::Connection(error)) => {
                assert_eq!(*self.failure.get_or_insert(error), error);
            }
            Err(Error::Io(_)) => self.is_broken |= writes,
            _ => {}
        }
    }

    /// Polls what reads and what writes, and lets the peer take all.
    fn round(&mut self) -> bool {
        if let Some(outcome) = self.subject.poll(Effect::Flushes) {
            self.note(Effect::Flushes, outcome);
        }
        let received = self.subject.poll(Effect::Receives);
        let is_over = matches!(received, Some(Ok(Got::End) | Err(_)));
        if let Some(outcome) = received {
            self.note(Effect::Receives, outcome);
        }
        self.ledger.act(&mut self.peer, Act::Take(usize::MAX));
        self.ledger.check();
        is_over
    }

    /// Nothing is dropped any more: all arrives, and both ends close.
    fn finish(mut self) {
        if self.open.is_some() {
            self.fragment(1, true);
        }
        if !self.is_closing {
            let is_settled = (0..50_000).any(|_| {
                self.round();
                self.ledger.is_settled()
            });
            assert!(is_settled, "something is lost: {:#?}", self.ledger);
            let _ = self.subject.poll(Effect::Closes);
            self.begin_to_close();
        }
        let is_over = (0..50_000).any(|_| {
            if self.peer.machine.is_ended() {
                self.peer.end.end();
            }
            self.round()
        });
        assert!(is_over, "it never ends: {:#?}", self.ledger);
        assert!(self.failure.is_none() && self.subject.report().unwrap().clean);
        assert_eq!(self.ledger.heard, self.ledger.sent);
        assert!(self.ledger.passes_over || self.ledger.received == self.ledger.said);
    }

    /// The transport has failed: all comes to an end, and the end is final.
    fn give_up(mut self) {
        self.peer.end.end();
        assert!((0..50_000).any(|_| self.round()), "it never ends: {:#?}", self.ledger);
        for _ in 0..5 {
            self.round();
        }
    }
}

fn run<S: Subject>(scene: &Scene, ops: &[Op]) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _entered = runtime.enter();
    let mut trial = Trial::<S>::new(scene);
    for op in ops {
        trial.carry_out(op, &runtime);
    }
    if trial.has_fault { trial.give_up() } else { trial.finish() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn hostile_84_no_schedule_loses_or_repeats_anything(scene in scene(), ops in schedule()) {
        let _guard = guard();
        run::<Socket>(&scene, &ops);
    }

    #[test]
    fn hostile_84_no_schedule_of_halves_loses_or_repeats_anything(scene in scene(), ops in schedule()) {
        let _guard = guard();
        run::<Halves>(&scene, &ops);
    }

    #[test]
    fn hostile_73_no_schedule_breaks_compressed_messages(scene in scene(), ops in schedule()) {
        let _guard = guard();
        let scene = scene.compressing();
        run::<Socket>(&scene, &ops);
        run::<Halves>(&scene, &ops);
    }

    #[test]
    fn hostile_82_a_fault_in_any_schedule_is_an_end_and_not_a_lie(scene in scene(), ops in faulty()) {
        let _guard = guard();
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
    let whole = Socket::CALLS.iter().map(|call| call.name);
    let halves = Halves::CALLS.iter().map(|call| call.name);
    let covered = whole.chain(halves).chain(HANDSHAKES).map(String::from).collect();
    assert_eq!(there, covered);
}
