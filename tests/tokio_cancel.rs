//! Cancel safety: every future of a socket is dropped at every poll, and nothing is lost or said
//! twice (HOSTILE 84).
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
mod io;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use common::{Seen, binary, text};
use futures_util::FutureExt;
use io::{End, Peer, WORST, client_machine, config, duplex, guard, poll_once, poll_times, server_machine};
use sansock::handshake::{Response, client::ClientRequest, server::Accept};
use sansock::tokio::{
    Error, Incoming, Reader, WebSocket, Writer, accept, accept_request, connect, connect_over,
    connect_request,
};
use sansock::{CloseCode, Config, Event, Message};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

type Socket = WebSocket<End>;
type Halves = (Reader<End, End>, Writer<End>);

const WIDE: usize = usize::MAX;

fn seen(event: Option<Event<'_>>) -> Vec<Seen> {
    event.map(Seen::from).into_iter().collect()
}

fn said(message: Option<Message>) -> Vec<Seen> {
    let seen = |message| match message {
        Message::Text(text) => Seen::Text(text.as_ref().to_owned()),
        Message::Binary(data) => Seen::Binary(data.to_vec()),
    };
    message.map(seen).into_iter().collect()
}

/// A server's socket over the worst of transports, and its client.
fn scene() -> (Peer, Socket) {
    let (peer, end) = Peer::client(WIDE);
    end.hold_back();
    (peer, WebSocket::over(end.always(WORST), server_machine(config(|c| c.output_high_water = 4))))
}

fn halves() -> (Peer, Halves) {
    let (peer, socket) = scene();
    (peer, socket.split_with(|io| (io.clone(), io)))
}

/// What a peer says that is there to be received.
fn speak(peer: &mut Peer) -> Vec<Seen> {
    peer.send("one");
    peer.ping(b"?");
    peer.send(vec![2; 200]);
    peer.close();
    peer.end.end();
    vec![text("one"), Seen::Ping(b"?".into()), binary(&[2; 200])]
}

async fn rest(socket: &mut Socket) -> Vec<Seen> {
    let mut all = Vec::new();
    while let Some(event) = socket.next().await.unwrap() {
        all.push(event.into());
    }
    all
}

async fn rest_of(reader: &mut Reader<End, End>) -> Vec<Seen> {
    let mut all = Vec::new();
    while let Some(event) = reader.next().await.unwrap() {
        all.push(event.into());
    }
    all
}

/// Receives with one call that is dropped after `k` polls, for all `k`, and then without haste.
macro_rules! receives {
    ($name:ident, $scene:ident, |$socket:ident| $call:expr, $rest:expr) => {
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let _guard = guard();
            for k in 0.. {
                let (mut peer, mut $socket) = $scene();
                let expected = speak(&mut peer);
                let first = poll_times(k, $call);
                let is_done = first.is_some();
                let mut all: Vec<Seen> = first.unwrap_or_default();
                all.extend($rest.await);
                assert_eq!(all, expected, "dropped after {k} polls");
                assert_eq!(peer.hear(), [Seen::Pong(b"?".into()), Seen::End], "dropped after {k} polls");
                if is_done {
                    assert!(k > 2);
                    return;
                }
            }
        }
    };
}

receives!(hostile_84_next, scene, |socket| async { seen(socket.next().await.unwrap()) }, rest(&mut socket));
receives!(hostile_84_recv, scene, |socket| async { said(socket.recv().await.unwrap()) }, rest(&mut socket));
receives!(
    hostile_84_ready,
    scene,
    |socket| async {
        assert!(socket.ready().await.unwrap());
        Vec::new()
    },
    rest(&mut socket)
);
receives!(
    hostile_84_next_of_a_reader,
    halves,
    |halves| async { seen(halves.0.next().await.unwrap()) },
    rest_of(&mut halves.0)
);
receives!(
    hostile_84_recv_of_a_reader,
    halves,
    |halves| async { said(halves.0.recv().await.unwrap()) },
    rest_of(&mut halves.0)
);

/// What the application does when a call that sends was dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The first poll has queued it: it is flushed.
    Flush,
    /// Nothing was queued: it is said again.
    Repeat,
}

/// Sends with one call that is dropped after `k` polls, for all `k`: in the end the peer has seen
/// `$expected`, once.
macro_rules! sends {
    ($name:ident, $scene:ident, |$socket:ident| $call:expr, $flush:expr, $then:expr, $expected:expr) => {
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let _guard = guard();
            for k in 0.. {
                let (mut peer, mut $socket) = $scene();
                let is_done = poll_times(k, $call).is_some();
                if !is_done && (k == 0 || $then == Then::Repeat) {
                    $call.await;
                }
                $flush.await;
                assert_eq!(peer.hear(), $expected, "dropped after {k} polls");
                if is_done {
                    assert!(k > 2);
                    return;
                }
            }
        }
    };
}

sends!(
    hostile_84_send,
    scene,
    |socket| async { socket.send("mine").await.unwrap() },
    async { socket.flush().await.unwrap() },
    Then::Flush,
    [text("mine")]
);
sends!(
    hostile_84_ping,
    scene,
    |socket| async { socket.ping(b"!").await.unwrap() },
    async { socket.flush().await.unwrap() },
    Then::Flush,
    [Seen::Ping(b"!".into())]
);
sends!(
    hostile_84_send_of_a_writer,
    halves,
    |halves| async { halves.1.send("mine").await.unwrap() },
    async { halves.1.flush().await.unwrap() },
    Then::Flush,
    [text("mine")]
);
sends!(
    hostile_84_ping_of_a_writer,
    halves,
    |halves| async { halves.1.ping(b"!").await.unwrap() },
    async { halves.1.flush().await.unwrap() },
    Then::Flush,
    [Seen::Ping(b"!".into())]
);
sends!(
    hostile_84_close_of_a_writer,
    halves,
    |halves| async { halves.1.close(CloseCode::NORMAL, "bye").await.unwrap() },
    async { halves.1.flush().await.unwrap() },
    Then::Flush,
    [Seen::End]
);

fn full_scene() -> (Peer, Socket) {
    let (peer, mut socket) = scene();
    socket.connection_mut().text("first").unwrap();
    (peer, socket)
}

fn full_halves() -> (Peer, Halves) {
    let (peer, mut halves) = halves();
    halves.1.half().text("first").unwrap();
    (peer, halves)
}

sends!(
    hostile_84_feed,
    full_scene,
    |socket| async { socket.feed("mine").await.unwrap() },
    async { socket.flush().await.unwrap() },
    Then::Repeat,
    [text("first"), text("mine")]
);
sends!(
    hostile_84_feed_of_a_writer,
    full_halves,
    |halves| async { halves.1.feed("mine").await.unwrap() },
    async { halves.1.flush().await.unwrap() },
    Then::Repeat,
    [text("first"), text("mine")]
);
sends!(
    hostile_84_flush,
    full_scene,
    |socket| async { socket.flush().await.unwrap() },
    async { socket.flush().await.unwrap() },
    Then::Repeat,
    [text("first")]
);
sends!(
    hostile_84_flush_of_a_writer,
    full_halves,
    |halves| async { halves.1.flush().await.unwrap() },
    async { halves.1.flush().await.unwrap() },
    Then::Repeat,
    [text("first")]
);

#[tokio::test(start_paused = true)]
async fn hostile_84_close() {
    let _guard = guard();
    for k in 0.. {
        let (near, far) = duplex(WIDE);
        let mut client = WebSocket::over(near.always(WORST), client_machine(Config::default()));
        let mut server = WebSocket::over(far.always(WORST), server_machine(Config::default()));
        let serve = tokio::spawn(async move { (rest(&mut server).await, server.closed().unwrap()) });
        let mut is_done = false;
        for _ in 0..k {
            // The server moves between two polls of the client.
            tokio::task::yield_now().await;
            if poll_once(client.close(CloseCode::NORMAL, "bye")).is_some() {
                is_done = true;
                break;
            }
        }
        let report = client.close(CloseCode::GOING_AWAY, "too late").await.unwrap();
        let (events, theirs) = serve.await.unwrap();
        assert!(report.clean && theirs.clean && events.is_empty());
        assert_eq!(theirs.received.unwrap().reason(), if k == 0 { "too late" } else { "bye" });
        if is_done {
            assert!(k > 2);
            return;
        }
    }
}

/// Messages of many sizes, each known by its content.
fn conversation() -> Vec<Message> {
    (0..40)
        .map(|i: u8| {
            if i.is_multiple_of(3) { "x".repeat(i.into()).into() } else { vec![i; 7 * usize::from(i)].into() }
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn hostile_84_a_conversation_of_dropped_futures() {
    let _guard = guard();
    for room in [1, 20, WIDE] {
        let (near, far) = duplex(room);
        let mut client = WebSocket::over(near.always(WORST), client_machine(Config::default()));
        let mut server =
            WebSocket::over(far.always(WORST), server_machine(config(|c| c.output_high_water = 100)));
        let messages = conversation();
        let (mut unsent, mut echoed) = (messages.iter(), Vec::new());
        let mut next = unsent.next();
        while echoed.len() < messages.len() {
            if let Some(message) = next
                && poll_once(client.feed(message.clone())).is_some()
            {
                next = unsent.next();
            }
            let _ = poll_once(client.flush());
            echoed.extend(poll_once(client.recv()).and_then(Result::unwrap));
            if let Some(message) = poll_once(server.recv()) {
                // Dropped, but queued by its only poll.
                let _ = poll_once(server.send(message.unwrap().unwrap()));
            }
        }
        assert_eq!(echoed, messages);
        let report = loop {
            let _ = poll_once(server.ready());
            if let Some(report) = poll_once(client.close(CloseCode::NORMAL, "")) {
                break report.unwrap();
            }
        };
        assert!(report.clean && server.closed().unwrap().clean);
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_84_a_conversation_of_dropped_futures_of_halves() {
    let _guard = guard();
    for room in [1, 20, WIDE] {
        let (near, far) = duplex(room);
        let client = WebSocket::over(near.always(WORST), client_machine(Config::default()));
        let server = WebSocket::over(far.always(WORST), server_machine(Config::default()));
        let (mut client, mut client_writer) = client.split_with(|io| (io.clone(), io));
        let (mut server, mut server_writer) = server.split_with(tokio::io::split);
        let messages = conversation();
        let (mut unsent, mut echoed) = (messages.iter(), Vec::new());
        while echoed.len() < messages.len() {
            if let Some(message) = unsent.next() {
                let _ = poll_once(client_writer.send(message.clone()));
            }
            let _ = poll_once(client_writer.flush());
            echoed.extend(poll_once(client.recv()).and_then(Result::unwrap));
            if let Some(message) = poll_once(server.recv()) {
                let _ = poll_once(server_writer.send(message.unwrap().unwrap()));
            }
        }
        assert_eq!(echoed, messages);
    }
}

/// Polls a handshake `k` times, each time after its partner at the other end, and drops it: whether it is done.
fn handshake(k: usize, call: impl Future, partner: impl Future) -> bool {
    let (mut call, mut partner) = (pin!(call), pin!(FutureExt::fuse(partner)));
    (0..k).any(|_| {
        poll_once(&mut partner);
        poll_once(&mut call).is_some()
    })
}

/// Drops the first of `$calls`, which owns `$far`, after `k` polls, for all `k`: the transport is dropped with it.
macro_rules! lets_go {
    ($name:ident, |$near:ident, $far:ident| $calls:expr) => {
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let _guard = guard();
            for k in 0.. {
                let (near, far) = duplex(100);
                let ($near, $far) = (near.always(WORST), far.clone().always(WORST));
                let (call, partner) = $calls;
                let is_done = handshake(k, call, partner);
                assert_eq!(far.holders(), 1, "after {k} polls");
                if is_done {
                    assert!(k > 2);
                    return;
                }
            }
        }
    };
}

fn client_of(near: End) -> Pin<Box<impl Future>> {
    let request = ClientRequest::new("ws://example.com/").unwrap();
    Box::pin(connect_over(near, request, Config::default()))
}

/// The request that a client makes.
async fn request_of(client: impl Future, far: End) -> Incoming<End> {
    tokio::select! {
        incoming = accept_request(far, Config::default()) => incoming.unwrap(),
        _ = client => panic!("it was not answered"),
    }
}

lets_go!(hostile_84_accept, |near, far| (accept(far, Config::default()), client_of(near)));
lets_go!(hostile_84_accept_request, |near, far| (accept_request(far, Config::default()), client_of(near)));
lets_go!(hostile_84_connect_over, |near, far| (client_of(far), accept(near, Config::default())));
lets_go!(hostile_84_accept_of_a_request, |near, far| {
    let mut client = client_of(near);
    (request_of(&mut client, far).await.accept(Accept::new()), client)
});
lets_go!(hostile_84_reject_of_a_request, |near, far| {
    let mut client = client_of(near.clone());
    let incoming = request_of(&mut client, far).await;
    near.end();
    (incoming.reject(Response::new(403).unwrap()), client)
});

/// Polls a future as often as it is woken, `k` times at the most.
async fn woken_times<F: Future>(k: usize, future: F) -> Option<F::Output> {
    let (mut future, mut left) = (pin!(future), k);
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Connects over TCP with one call that is dropped after `k` polls, for all `k`, until one is done: the server
/// sees that all the others have gone.
async fn vanishes<F: Future<Output = Result<WebSocket<TcpStream>, Error>>>(connect: impl Fn(&str) -> F) {
    let _guard = guard();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut served = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    served.spawn(async move {
                        let socket = accept(accepted.unwrap().0, Config::default()).await;
                        let Ok(mut socket) = socket else { return false };
                        matches!(socket.recv().await, Ok(None))
                    });
                }
                Some(ended) = served.join_next() => {
                    if ended.unwrap() {
                        return served.join_all().await;
                    }
                }
            }
        }
    });
    for k in 0.. {
        if let Some(socket) = woken_times(k, connect(&url)).await {
            assert!(k > 1);
            assert!(socket.unwrap().close(CloseCode::NORMAL, "").await.unwrap().clean);
            break;
        }
    }
    assert!(!serving.await.unwrap().contains(&true));
}

#[tokio::test]
async fn hostile_84_connect() {
    vanishes(|url| {
        let url = url.to_owned();
        async move { connect(&url, Config::default()).await }
    })
    .await;
}

#[tokio::test]
async fn hostile_84_connect_request() {
    vanishes(|url| connect_request(ClientRequest::new(url).unwrap(), Config::default())).await;
}

/// A handshake owns its transport: with its future both are gone, so it can only be waited for. What
/// can be shown is that the worst of transports brings it to its end.
#[tokio::test(start_paused = true)]
async fn hostile_82_handshakes_pass_over_the_worst_of_transports() {
    let _guard = guard();
    let (near, far) = duplex(10);
    let request = ClientRequest::new("ws://example.com/").unwrap();
    let served = async {
        let mut socket = accept(far.always(WORST), Config::default()).await.unwrap();
        socket.send("hello").await.unwrap();
        rest(&mut socket).await
    };
    let talk = async {
        let mut socket = connect_over(near.always(WORST), request, Config::default()).await.unwrap();
        assert_eq!(socket.recv().await.unwrap(), Some("hello".into()));
        socket.close(CloseCode::NORMAL, "").await.unwrap()
    };
    let (events, report) = tokio::join!(served, talk);
    assert!(events.is_empty() && report.clean);
}
