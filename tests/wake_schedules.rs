//! Wake-ups over random schedules: a task is polled only when the waker of its last poll was called, or once in a
//! while for no reason, and must still come to its end; items 81 and 82 of hostile inputs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;
mod io;
mod schedules;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::Seen;
use futures_util::{SinkExt, StreamExt};
use io::{End, Peer, config, duplex, guard};
use proptest::collection::vec;
use proptest::prelude::*;
use sansock::handshake::client::ClientRequest;
use sansock::tokio::{Error, Reader, WebSocket, Writer, accept, connect_over};
use sansock::{CloseCode, Config, Error as Failure, Message, SendError, Timer};
use schedules::{Act, Ledger, Scene, act, cases, len, message, scene, seen};
use tokio::runtime::Runtime;

/// Whether the waker of a task's last poll was called.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A task's future.
type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

struct Task<'a> {
    future: Running<'a>,
    flag: Arc<Flag>,
    is_done: bool,
    /// It is also polled for no reason. The others are not: that would come to the rescue.
    is_restless: bool,
}

impl Task<'_> {
    fn poll(&mut self, moves: bool) {
        // A task that has moved is not woken by what it gave to others before.
        if moves {
            self.flag = Arc::default();
        }
        self.flag.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self.flag));
        self.is_done = self.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
    }

    fn is_woken(&self) -> bool {
        !self.is_done && self.flag.0.load(Ordering::Relaxed)
    }
}

/// Runs tasks to their end beside a `world` that does one thing at a time, or says that there is nothing left to do.
/// The order is the seed's.
fn execute(seed: u64, tasks: Vec<Running<'_>>, mut world: impl FnMut() -> bool) {
    let mut random = numbers(seed);
    let mut task = |future| {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        Task { future, flag, is_done: false, is_restless: random(2) == 0 }
    };
    let mut tasks: Vec<_> = tasks.into_iter().map(&mut task).collect();
    while tasks.iter().any(|task| !task.is_done) {
        let woken: Vec<usize> = (0..tasks.len()).filter(|&i| tasks[i].is_woken()).collect();
        if woken.is_empty() || random(8) == 0 {
            let happened = world();
            assert!(happened || !woken.is_empty(), "nobody is woken, and there is nothing left to happen");
            let any = random(tasks.len());
            let any = &mut tasks[any];
            if happened && any.is_restless && !any.is_done {
                any.poll(random(2) == 0);
            }
        } else {
            tasks[woken[random(woken.len())]].poll(random(2) == 0);
        }
    }
}

/// Numbers without a pattern, the same ones for the same seed.
fn numbers(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    }
}

/// A runtime for its clock alone: it runs no task.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// No timer comes to the rescue.
fn silent() -> Config {
    config(|c| {
        c.ping_interval = None;
        c.output_high_water = 600;
    })
}

/// Polls a future until it has had to wait once more than `waits` says, and then drops it: `None`.
async fn given_up<T>(mut waits: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if waits == 0 => Poll::Ready(None),
        Poll::Pending => {
            waits -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Makes a call that is given up some times, and then awaited: nobody may have taken its wake-up along.
async fn again_and_again<T>(random: &mut impl FnMut(usize) -> usize, mut call: impl AsyncFnMut() -> T) -> T {
    for _ in 0..random(3) {
        if let Some(done) = given_up(random(3), call()).await {
            return done;
        }
    }
    call().await
}

type Halves = (Reader<End, End>, Writer<End>);

fn split(socket: WebSocket<End>) -> Halves {
    socket.split_with(|io| (io.clone(), io))
}

/// What the tested end is to send, and what has become of it.
#[derive(Default)]
struct Talk {
    messages: Vec<Message>,
    /// Of when calls are given up.
    seed: u64,
    /// They were sent, as far as the tested end knows.
    has_sent: Cell<bool>,
    ledger: RefCell<Ledger>,
}

impl Talk {
    fn receive(&self, message: &Message) {
        self.ledger.borrow_mut().receive(seen(message));
    }
}

/// A peer that does all on its list, takes what comes, and closes when the tested end knows that all is sent:
/// nothing else is to wake a task which waits for that.
struct World<'a> {
    peer: Peer,
    acts: VecDeque<Act>,
    talk: &'a Talk,
    has_ended: bool,
}

impl World<'_> {
    fn act(&mut self) -> bool {
        // Whoever is polled in between finds the transport ready before the one who waited for it does.
        if self.peer.end.deliver() {
            return true;
        }
        let mut ledger = self.talk.ledger.borrow_mut();
        let before = (self.acts.len(), self.peer.end.unheard());
        let act = self.acts.pop_front().unwrap_or(Act::Take(usize::MAX));
        ledger.act(&mut self.peer, act);
        ledger.check();
        let has_heard = ledger.heard.len() >= self.talk.messages.len();
        if self.acts.is_empty() && has_heard && self.talk.has_sent.get() && !self.has_ended {
            if !self.peer.machine.is_ended() {
                self.peer.close();
            }
            self.peer.end.end();
            self.has_ended = true;
            return true;
        }
        before != (self.acts.len(), self.peer.end.unheard())
    }
}

/// A conversation with a peer, by one or two tasks of the tested end.
fn converse<'a>(
    scene: &Scene,
    seed: u64,
    acts: Vec<Act>,
    talk: &'a mut Talk,
    tasks: impl FnOnce(WebSocket<End>, &'a Talk) -> Vec<Running<'a>>,
) {
    let _guard = guard();
    let runtime = runtime();
    let _entered = runtime.enter();
    let (peer, end, machine) = scene.set(silent());
    peer.end.wake_later();
    // The peer's Close frame is answered.
    talk.ledger.get_mut().sent = talk.messages.iter().map(seen).chain([Seen::End]).collect();
    let talk = &*talk;
    let mut world = World { peer, acts: acts.into(), talk, has_ended: false };
    execute(seed, tasks(WebSocket::over(end, machine), talk), || world.act());
    let ledger = talk.ledger.borrow();
    assert!(ledger.passes_over || ledger.received == ledger.said);
    assert!(ledger.heard.len() >= talk.messages.len());
}

/// One task that sends, and then receives.
fn one_task(mut socket: WebSocket<End>, talk: &Talk) -> Vec<Running<'_>> {
    vec![Box::pin(async move {
        let mut random = numbers(talk.seed);
        for (i, message) in talk.messages.iter().enumerate() {
            // What waits for the peer may wait for ever: it is polled once.
            given_up(0, socket.ready()).await.transpose().unwrap();
            match i % 3 {
                0 => again_and_again(&mut random, async || socket.feed(message.clone()).await).await.unwrap(),
                // It is queued, also where it is given up.
                1 => given_up(random(3), socket.send(message.clone()))
                    .await
                    .transpose()
                    .unwrap()
                    .unwrap_or_default(),
                _ => {
                    again_and_again(&mut random, async || socket.room().await).await.unwrap();
                    socket.send(message.clone()).await.unwrap();
                }
            }
            given_up(0, socket.ping(b"")).await.transpose().unwrap();
        }
        again_and_again(&mut random, async || socket.flush().await).await.unwrap();
        talk.has_sent.set(true);
        while let Some(message) = again_and_again(&mut random, async || socket.recv().await).await.unwrap() {
            talk.receive(&message);
        }
    })]
}

fn of_halves(socket: WebSocket<End>, talk: &Talk) -> Vec<Running<'_>> {
    let (mut reader, mut writer) = split(socket);
    let receives = async move {
        let mut random = numbers(!talk.seed);
        while let Some(message) = again_and_again(&mut random, async || reader.recv().await).await.unwrap() {
            talk.receive(&message);
        }
    };
    let sends = async move {
        let mut random = numbers(talk.seed);
        for (i, message) in talk.messages.iter().enumerate() {
            match i % 3 {
                0 => again_and_again(&mut random, async || writer.feed(message.clone()).await).await.unwrap(),
                1 => given_up(random(3), writer.send(message.clone()))
                    .await
                    .transpose()
                    .unwrap()
                    .unwrap_or_default(),
                _ => writer.send(message.clone()).await.unwrap(),
            }
            given_up(0, writer.ping(b"")).await.transpose().unwrap();
        }
        again_and_again(&mut random, async || writer.flush().await).await.unwrap();
        talk.has_sent.set(true);
    };
    vec![Box::pin(receives), Box::pin(sends)]
}

/// The stream in one task, and the sink in another one, as `StreamExt::split` has it. If it closes in the end, it
/// passes over what the stream does not take before.
fn of_stream_and_sink(socket: WebSocket<End>, talk: &Talk, closes: bool) -> Vec<Running<'_>> {
    let stream = Rc::new(RefCell::new(socket));
    let sink = stream.clone();
    let receives = async move {
        while let Some(message) = poll_fn(|cx| stream.borrow_mut().poll_next_unpin(cx)).await {
            talk.receive(&message.unwrap());
        }
    };
    let sends = async move {
        for (i, message) in talk.messages.iter().cloned().enumerate() {
            poll_fn(|cx| sink.borrow_mut().poll_ready_unpin(cx)).await.unwrap();
            sink.borrow_mut().start_send_unpin(message).unwrap();
            if i % 3 > 0 {
                poll_fn(|cx| sink.borrow_mut().poll_flush_unpin(cx)).await.unwrap();
            }
        }
        poll_fn(|cx| sink.borrow_mut().poll_flush_unpin(cx)).await.unwrap();
        talk.has_sent.set(true);
        if closes {
            talk.ledger.borrow_mut().passes_over = true;
            poll_fn(|cx| sink.borrow_mut().poll_close_unpin(cx)).await.unwrap();
        }
    };
    vec![Box::pin(receives), Box::pin(sends)]
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    vec(len(), 0..20).prop_map(|lens| {
        let numbered = lens.into_iter().enumerate();
        numbered.map(|(i, len)| message(1000 + i, len)).collect()
    })
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn hostile_81_no_schedule_of_halves_loses_a_wake_up(
        scene in scene(), seed in any::<u64>(), acts in vec(act(), 0..30), messages in messages()
    ) {
        converse(&scene, seed, acts, &mut Talk { messages, seed, ..Talk::default() }, of_halves);
    }

    #[test]
    fn hostile_81_no_schedule_of_a_stream_and_a_sink_loses_a_wake_up(
        scene in scene(), seed in any::<u64>(), acts in vec(act(), 0..30), messages in messages(),
        closes in any::<bool>()
    ) {
        let mut talk = Talk { messages, ..Talk::default() };
        converse(&scene, seed, acts, &mut talk, |socket, talk| of_stream_and_sink(socket, talk, closes));
    }

    #[test]
    fn hostile_82_no_schedule_of_one_task_loses_a_wake_up(
        scene in scene(), seed in any::<u64>(), acts in vec(act(), 0..30), messages in messages()
    ) {
        converse(&scene, seed, acts, &mut Talk { messages, seed, ..Talk::default() }, one_task);
    }

    #[test]
    fn hostile_81_two_ends_of_halves_pass_all_between_them(
        scenes in [scene(), scene()], seed in any::<u64>(), room in 1..2000_usize, messages in messages()
    ) {
        halves_meet(&scenes, seed, room, &messages);
    }

    #[test]
    fn hostile_82_two_ends_pass_all_between_them(
        scenes in [scene(), scene()], seed in any::<u64>(), room in 1..2000_usize, messages in messages()
    ) {
        sockets_meet(&scenes, seed, room, &messages);
    }
}

/// Two ends of a transport, and what wakes those who wait for it.
fn ends([near_scene, far_scene]: &[Scene; 2], room: usize) -> (End, End, impl FnMut() -> bool) {
    let (near, far) = duplex(room);
    near_scene.prepare(&near);
    far_scene.prepare(&far);
    near.wake_later();
    let transport = near.clone();
    (near, far, move || transport.deliver())
}

async fn client_over(io: End) -> WebSocket<End> {
    let request = ClientRequest::new("ws://example.com/").unwrap();
    connect_over(io, request, silent()).await.unwrap()
}

/// A client and a server that shake hands, and then send each other all messages, in four tasks.
fn halves_meet(scenes: &[Scene; 2], seed: u64, room: usize, messages: &[Message]) {
    let _guard = guard();
    let runtime = runtime();
    let _entered = runtime.enter();
    let (near, far, mut world) = ends(scenes, room);
    let halves = RefCell::new(Vec::new());
    let connects = async {
        let socket = client_over(near).await;
        halves.borrow_mut().push(split(socket));
    };
    let accepts = async {
        let socket = accept(far, silent()).await.unwrap();
        halves.borrow_mut().push(split(socket));
    };
    execute(seed, vec![Box::pin(connects), Box::pin(accepts)], &mut world);
    let mut tasks: Vec<Running<'_>> = Vec::new();
    for (mut reader, mut writer) in halves.take() {
        tasks.push(Box::pin(async move {
            for message in messages {
                assert_eq!(reader.recv().await.unwrap().as_ref(), Some(message));
            }
        }));
        tasks.push(Box::pin(async move {
            for message in messages {
                writer.feed(message.clone()).await.unwrap();
            }
            writer.flush().await.unwrap();
        }));
    }
    execute(seed, tasks, world);
}

/// A client and a server that shake hands, echo all messages, and close.
fn sockets_meet(scenes: &[Scene; 2], seed: u64, room: usize, messages: &[Message]) {
    let _guard = guard();
    let runtime = runtime();
    let _entered = runtime.enter();
    let (near, far, world) = ends(scenes, room);
    let talks = async {
        let mut client = client_over(near.clone()).await;
        for message in messages {
            client.send(message.clone()).await.unwrap();
            assert_eq!(client.recv().await.unwrap().as_ref(), Some(message));
        }
        assert!(client.close(CloseCode::NORMAL, "").await.unwrap().clean);
        near.end();
    };
    let serves = async {
        let mut server = accept(far, silent()).await.unwrap();
        while let Some(message) = server.recv().await.unwrap() {
            server.send(message).await.unwrap();
        }
    };
    execute(seed, vec![Box::pin(talks), Box::pin(serves)], world);
}

/// A peer that neither says nor takes anything: only the clock wakes.
fn forsaken(tasks: impl FnOnce(WebSocket<End>) -> Vec<Running<'static>>, seed: u64) {
    let _guard = guard();
    let runtime = runtime();
    let _entered = runtime.enter();
    let (_peer, end) = Peer::client(10);
    let mut seconds = 0;
    let tasks = tasks(WebSocket::over(end, io::server_machine(Config::default())));
    execute(seed, tasks, || {
        runtime.block_on(tokio::time::advance(Duration::from_secs(1)));
        seconds += 1;
        seconds < 100
    });
}

fn is_given_up<T>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Connection(Failure::TimedOut(Timer::Pong))))
}

const LONG: &str = "longer than the transport takes";

#[test]
fn hostile_81_the_clock_wakes_both_halves() {
    for seed in 0..100 {
        let tasks = |socket: WebSocket<End>| -> Vec<Running<'static>> {
            let (mut reader, mut writer) = split(socket);
            vec![
                Box::pin(async move { assert!(is_given_up(&reader.recv().await)) }),
                Box::pin(async move {
                    assert!(matches!(writer.send(LONG).await, Err(Error::Send(SendError::Closed))));
                }),
            ]
        };
        forsaken(tasks, seed);
    }
}

#[test]
fn hostile_81_the_clock_wakes_a_stream_and_a_sink() {
    for seed in 0..100 {
        let tasks = |socket: WebSocket<End>| -> Vec<Running<'static>> {
            let stream = Rc::new(RefCell::new(socket));
            let sink = stream.clone();
            sink.borrow_mut().start_send_unpin(LONG.into()).unwrap();
            vec![
                Box::pin(async move {
                    let last = poll_fn(|cx| stream.borrow_mut().poll_next_unpin(cx)).await;
                    assert!(is_given_up(&last.unwrap()));
                }),
                Box::pin(async move {
                    assert!(is_given_up(&poll_fn(|cx| sink.borrow_mut().poll_flush_unpin(cx)).await));
                }),
            ]
        };
        forsaken(tasks, seed);
    }
}

#[test]
fn hostile_81_the_clock_wakes_a_stream_beside_a_sink_that_closes() {
    for seed in 0..100 {
        let tasks = |socket: WebSocket<End>| -> Vec<Running<'static>> {
            let stream = Rc::new(RefCell::new(socket));
            let sink = stream.clone();
            vec![
                Box::pin(async move {
                    let last = poll_fn(|cx| stream.borrow_mut().poll_next_unpin(cx)).await;
                    assert!(matches!(last, Some(Err(Error::Connection(Failure::TimedOut(Timer::Closing))))));
                }),
                Box::pin(async move {
                    let closed = poll_fn(|cx| sink.borrow_mut().poll_close_unpin(cx)).await;
                    assert!(matches!(closed, Err(Error::Connection(Failure::TimedOut(Timer::Closing)))));
                }),
            ]
        };
        forsaken(tasks, seed);
    }
}

#[test]
fn hostile_82_the_clock_wakes_one_task() {
    for seed in 0..100 {
        let tasks = |mut socket: WebSocket<End>| -> Vec<Running<'static>> {
            vec![Box::pin(async move {
                assert!(is_given_up(&socket.send(LONG).await));
                assert!(is_given_up(&socket.recv().await));
            })]
        };
        forsaken(tasks, seed);
    }
}
