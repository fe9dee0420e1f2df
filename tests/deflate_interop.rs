//! permessage-deflate with implementations that are not ours: Python's websockets, which has zlib, and
//! Node's ws, which has Chromium's zlib. Each is our server, and our client.
//!
//! Where Python, Node or the way to their packages is missing there is nothing to test: the tests say so
//! and pass. With `SANSOCK_INTEROP=require` in the environment they fail.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "interop/peers.rs"]
mod peers;
#[path = "interop/wire.rs"]
mod wire;

use std::collections::HashMap;
use std::future::Future;
use std::iter;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc;
use std::thread;

use peers::{LIMIT, Peer, Running};
use sansock::deflate::{Agreed, Deflate, Pool, WindowBits};
use sansock::handshake::client::ClientRequest;
use sansock::tokio::WebSocket;
use sansock::{CloseCode, CloseReport, Config, Connection, Data, Message, blocking};
use tokio::net::TcpStream;
use wire::{Frame, Tap, data_len, frames};

const WINDOWS: [u8; 3] = [9, 12, 15];

const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

#[tokio::test]
async fn rfc7692_7_1_our_client_and_websockets_server() {
    every_case_as_client(Peer::Websockets).await;
}

#[tokio::test]
async fn rfc7692_7_1_our_client_and_ws_server() {
    every_case_as_client(Peer::Ws).await;
}

#[tokio::test]
async fn rfc7692_7_1_our_server_and_websockets_client() {
    every_case_as_server(Peer::Websockets).await;
}

#[tokio::test]
async fn rfc7692_7_1_our_server_and_ws_client() {
    every_case_as_server(Peer::Ws).await;
}

#[test]
fn rfc7692_7_1_our_blocking_client_and_websockets_server() {
    blocking_client(Peer::Websockets);
}

#[test]
fn rfc7692_7_1_our_blocking_client_and_ws_server() {
    blocking_client(Peer::Ws);
}

#[test]
fn rfc7692_7_1_our_blocking_server_and_websockets_client() {
    blocking_server(Peer::Websockets);
}

#[test]
fn rfc7692_7_1_our_blocking_server_and_ws_client() {
    blocking_server(Peer::Ws);
}

/// RFC 7692 section 7.1.2.2: who has not offered it cannot be asked for it.
#[tokio::test]
async fn rfc7692_7_1_2_2_our_server_asks_no_window_of_a_client_that_has_not_offered_it() {
    let mut deflate = Deflate::default();
    deflate.receive_window = WindowBits::new(9).unwrap();
    // It can be kept from taking over what our window would not hold.
    let wanted = Terms { server: Direction::FREE, client: Direction { takeover: false, bits: 15 } };
    for peer in Peer::ALL {
        one_case_as_server(peer, "client_max_window_bits=", Some(deflate.clone()), Some(wanted)).await;
    }
}

#[tokio::test]
async fn rfc7692_5_1_our_client_falls_back_where_ws_takes_no_smaller_window() {
    let mut deflate = Deflate::default();
    deflate.receive_window = WindowBits::new(9).unwrap();
    deflate.fallback = true;
    let query = "server_max_window_bits=12";
    let server = Direction { takeover: true, bits: 12 };
    let wanted = Terms { server, client: Direction::FREE };
    one_case_as_client(Peer::Ws, query, Some(deflate), Some(wanted)).await;
}

#[tokio::test]
async fn rfc7692_5_messages_stay_as_they_are_unless_both_ends_want_the_extension() {
    for peer in Peer::ALL {
        for (query, deflate) in [("off", Some(Deflate::default())), ("", None), ("off", None)] {
            one_case_as_client(peer, query, deflate.clone(), None).await;
            one_case_as_server(peer, query, deflate, None).await;
        }
    }
}

async fn every_case_as_client(peer: Peer) {
    let Some(server) = Running::server(peer) else { return };
    let mut totals = Totals::default();
    for case in Case::all() {
        let request = ClientRequest::new(&server.url(&case.query())).unwrap();
        let deflate = case.deflate(case.terms.client, case.terms.server);
        let traffic = within(converse_as_client(request, Some(deflate), Some(case.terms))).await;
        assert_eq!(server.line(), "1000", "{case:?}");
        totals.add(case.terms.client, case.terms.server, &traffic);
    }
    totals.check();
}

async fn every_case_as_server(peer: Peer) {
    let listener = tokio::net::TcpListener::bind(LOOPBACK).await.unwrap();
    let Some(mut client) = Running::client(peer, listener.local_addr().unwrap().port()) else { return };
    let mut totals = Totals::default();
    for case in Case::all() {
        client.call(&case.query());
        let deflate = case.deflate(case.terms.server, case.terms.client);
        let traffic = within(converse_as_server(&listener, Some(deflate), Some(case.terms))).await;
        assert_eq!(client.line(), "1000", "{case:?}");
        totals.add(case.terms.server, case.terms.client, &traffic);
    }
    totals.check();
}

async fn one_case_as_client(peer: Peer, query: &str, deflate: Option<Deflate>, wanted: Option<Terms>) {
    let Some(server) = Running::server(peer) else { return };
    let request = ClientRequest::new(&server.url(query)).unwrap();
    within(converse_as_client(request, deflate, wanted)).await;
    assert_eq!(server.line(), "1000");
}

async fn one_case_as_server(peer: Peer, query: &str, deflate: Option<Deflate>, wanted: Option<Terms>) {
    let listener = tokio::net::TcpListener::bind(LOOPBACK).await.unwrap();
    let Some(mut client) = Running::client(peer, listener.local_addr().unwrap().port()) else { return };
    client.call(query);
    within(converse_as_server(&listener, deflate, wanted)).await;
    assert_eq!(client.line(), "1000");
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.unwrap()
}

async fn converse_as_client(
    request: ClientRequest,
    deflate: Option<Deflate>,
    wanted: Option<Terms>,
) -> Traffic {
    let io = TcpStream::connect((request.host(), request.port())).await.unwrap();
    io.set_nodelay(true).unwrap();
    let (config, pool) = config_with_pool(deflate);
    let socket = sansock::tokio::connect_over(Tap::new(io), request, config).await.unwrap();
    converse(socket, &pool, wanted).await
}

async fn converse_as_server(
    listener: &tokio::net::TcpListener,
    deflate: Option<Deflate>,
    wanted: Option<Terms>,
) -> Traffic {
    let (io, _) = listener.accept().await.unwrap();
    io.set_nodelay(true).unwrap();
    let (config, pool) = config_with_pool(deflate);
    let socket = sansock::tokio::accept(Tap::new(io), config).await.unwrap();
    converse(socket, &pool, wanted).await
}

/// Says what there is to say, hears it again, and closes.
async fn converse(mut socket: WebSocket<Tap>, pool: &Pool, wanted: Option<Terms>) -> Traffic {
    assert_eq!(terms(socket.connection()), wanted);
    let script = script();
    for group in groups(&script) {
        // The first message finds codecs that know nothing, the others what the one before has left.
        pool.clear();
        for step in group {
            if step.is_plain {
                socket.uncompressed();
            }
            if step.is_fragmented {
                send_fragments(socket.connection_mut(), &step.message);
                socket.flush().await.unwrap();
            } else {
                socket.send(step.message.clone()).await.unwrap();
            }
        }
        for step in group {
            step.check(socket.recv().await.unwrap().as_ref(), wanted);
        }
    }
    check_close(socket.close(CloseCode::NORMAL, "").await.unwrap());
    let traffic = Traffic { sent: frames(&socket.io().sent), received: frames(&socket.io().received) };
    traffic.check(&script, wanted.is_some());
    traffic
}

fn blocking_client(peer: Peer) {
    let Some(server) = Running::server(peer) else { return };
    for case in Case::a_few() {
        let config = config(case.deflate(case.terms.client, case.terms.server));
        let socket = blocking::connect(&server.url(&case.query()), config).unwrap();
        converse_blocking(socket, case.terms);
        assert_eq!(server.line(), "1000", "{case:?}");
    }
}

fn blocking_server(peer: Peer) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let Some(mut client) = Running::client(peer, listener.local_addr().unwrap().port()) else { return };
    for case in Case::a_few() {
        client.call(&case.query());
        let config = config(case.deflate(case.terms.server, case.terms.client));
        let socket = blocking::accept(accept_one(&listener), config).unwrap();
        converse_blocking(socket, case.terms);
        assert_eq!(client.line(), "1000", "{case:?}");
    }
}

/// As `accept`, which has no deadline.
fn accept_one(listener: &TcpListener) -> std::net::TcpStream {
    let listener = listener.try_clone().unwrap();
    let (sender, accepted) = mpsc::channel();
    thread::spawn(move || sender.send(listener.accept().unwrap().0));
    let stream = accepted.recv_timeout(LIMIT).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn converse_blocking(mut socket: blocking::WebSocket<std::net::TcpStream>, wanted: Terms) {
    socket.set_timeout(Some(LIMIT)).unwrap();
    assert_eq!(terms(socket.connection()), Some(wanted));
    for group in groups(&script()) {
        for step in group {
            if step.is_plain {
                socket.uncompressed();
            }
            if step.is_fragmented {
                send_fragments(socket.connection_mut(), &step.message);
                socket.flush().unwrap();
            } else {
                socket.send(step.message.clone()).unwrap();
            }
        }
        for step in group {
            step.check(socket.recv().unwrap().as_ref(), Some(wanted));
        }
    }
    check_close(socket.close(CloseCode::NORMAL, "").unwrap());
}

fn check_close(report: CloseReport) {
    assert!(report.clean && report.code() == 1000, "{report}");
}

/// What two ends agree to, where no mention of a window means 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terms {
    server: Direction,
    client: Direction,
}

/// What is agreed of the messages that one end sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Direction {
    takeover: bool,
    bits: u8,
}

impl Direction {
    const FREE: Direction = Direction { takeover: true, bits: 15 };

    fn all() -> impl Iterator<Item = Direction> {
        WINDOWS.iter().flat_map(|&bits| [true, false].map(|takeover| Direction { takeover, bits }))
    }

    fn window(self) -> WindowBits {
        WindowBits::new(self.bits).unwrap()
    }
}

fn terms(connection: &Connection) -> Option<Terms> {
    let bits = |window: Option<WindowBits>| window.unwrap_or(WindowBits::MAX).get();
    let terms = |agreed: Agreed| Terms {
        server: Direction {
            takeover: !agreed.server_no_context_takeover,
            bits: bits(agreed.server_max_window_bits),
        },
        client: Direction {
            takeover: !agreed.client_no_context_takeover,
            bits: bits(agreed.client_max_window_bits),
        },
    };
    connection.deflate().map(terms)
}

/// Terms, and who sees to it that they are agreed: the other end takes what it gets then.
#[derive(Clone, Copy, Debug)]
struct Case {
    terms: Terms,
    asks: Asks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    We,
    They,
    Both,
}

impl Case {
    fn all() -> impl Iterator<Item = Case> {
        let terms =
            Direction::all().flat_map(|server| Direction::all().map(move |client| Terms { server, client }));
        terms.flat_map(|terms| [Asks::We, Asks::They].map(|asks| Case { terms, asks }))
    }

    /// Each window, with and without context takeover.
    fn a_few() -> impl Iterator<Item = Case> {
        let terms = Direction::all().map(|both| Terms { server: both, client: both });
        terms.map(|terms| Case { terms, asks: Asks::Both })
    }

    /// What the peer asks for.
    fn query(self) -> String {
        let Terms { server, client } = self.terms;
        let flag = |name, direction: Direction| {
            if direction.takeover { String::new() } else { format!("&{name}_no_context_takeover=") }
        };
        match self.asks {
            Asks::We => String::new(),
            Asks::They | Asks::Both => format!(
                "server_max_window_bits={}&client_max_window_bits={}{}{}",
                server.bits,
                client.bits,
                flag("server", server),
                flag("client", client),
            ),
        }
    }

    /// What we ask for.
    fn deflate(self, send: Direction, receive: Direction) -> Deflate {
        let mut deflate = Deflate::default();
        if self.asks != Asks::They {
            (deflate.send_takeover, deflate.send_window) = (send.takeover, send.window());
            (deflate.receive_takeover, deflate.receive_window) = (receive.takeover, receive.window());
        }
        deflate
    }
}

fn config(deflate: impl Into<Option<Deflate>>) -> Config {
    let mut config = Config::default();
    config.deflate = deflate.into();
    config
}

/// With codecs of its own, where the blocking shim's are those of the process.
fn config_with_pool(deflate: Option<Deflate>) -> (Config, Pool) {
    let pool = Pool::default();
    let mut config = config(deflate);
    if let Some(deflate) = &mut config.deflate {
        deflate.pool = Some(pool.clone());
    }
    (config, pool)
}

/// A message, and how it is sent.
struct Step {
    message: Message,
    is_fragmented: bool,
    is_plain: bool,
}

impl Step {
    fn check(&self, echo: Option<&Message>, wanted: Option<Terms>) {
        if echo != Some(&self.message) {
            let len = |message: &Message| message.as_bytes().len();
            panic!("{wanted:?}: {} bytes came back as {:?}", len(&self.message), echo.map(len));
        }
    }

    fn is_compressed(&self) -> bool {
        let suits = self.is_fragmented || self.message.as_bytes().len() >= Deflate::default().threshold;
        suits && !self.is_plain
    }
}

/// The boundaries of frames, of the threshold and of the windows are among them.
const LENGTHS: [usize; 20] =
    [300, 64, 0, 150, 512, 1, 220, 63, 4000, 65, 180, 127, 1100, 126, 240, 513, 20_000, 125, 2500, 350];

/// A hundred messages that resemble each other.
fn script() -> Vec<Step> {
    let mut numbers = Numbers(7);
    let phrases = numbers.phrases();
    let lengths = LENGTHS.into_iter().cycle().take(100);
    let step = |(index, len)| Step {
        message: match index % 12 {
            11 => numbers.bytes(len).into(),
            number if number % 3 == 2 => numbers.text(&phrases, len).into_bytes().into(),
            _ => numbers.text(&phrases, len).into(),
        },
        is_fragmented: index % 7 == 3,
        is_plain: index % 9 == 4,
    };
    lengths.enumerate().map(step).collect()
}

/// Groups of one to eight: some messages are said to a connection at rest, some in the middle of it.
fn groups(script: &[Step]) -> impl Iterator<Item = &[Step]> {
    let mut rest = script;
    let mut size = 0;
    iter::from_fn(move || {
        size = size % 8 + 1;
        let (group, later) = rest.split_at(size.min(rest.len()));
        rest = later;
        (!group.is_empty()).then_some(group)
    })
}

/// In three parts, any of which may be empty, with a ping between them.
fn send_fragments(connection: &mut Connection, message: &Message) {
    let [first, second, last] = match message {
        Message::Text(text) => {
            let cut = |at| (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap();
            let (one, two) = (cut(text.len() / 3), cut(text.len() / 2));
            [&text[..one], &text[one..two], &text[two..]].map(Data::Text)
        }
        Message::Binary(data) => {
            let (one, two) = (data.len() / 3, data.len() / 2);
            [&data[..one], &data[one..two], &data[two..]].map(Data::Binary)
        }
    };
    connection.fragment(first).unwrap();
    connection.ping(b"a control frame is not compressed: not compressed, not compressed").unwrap();
    connection.fragment(second).unwrap();
    connection.last_fragment(last).unwrap();
}

/// Numbers that look random and are the same in each run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        iter::repeat_with(|| self.next().to_le_bytes()).flatten().take(len).collect()
    }

    /// So many things that compress badly, unless they were said before: together more than a window of
    /// 4 KiB holds, and less than one of 32 KiB.
    fn phrases(&mut self) -> Vec<String> {
        const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
        let letter = |byte: u8| char::from(LETTERS[usize::from(byte % 64)]);
        iter::repeat_with(|| self.bytes(200).into_iter().map(letter).collect()).take(40).collect()
    }

    /// Text of at most so many bytes, less only by a part of a character.
    fn text(&mut self, phrases: &[String], len: usize) -> String {
        const PLACES: [&str; 5] = ["Zürich", "東京", "São Paulo", "København", "🜁 nowhere"];
        let mut text = String::new();
        while text.len() < len {
            let (place, phrase) = (self.one_of(&PLACES), self.one_of(phrases));
            text.extend([r#"{"state":"measured","place":""#, place, r#"","phrase":""#, phrase, r#""}, "#]);
        }
        while text.len() > len {
            text.pop();
        }
        text
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        all.iter().cycle().nth(usize::from(self.next().to_le_bytes()[0])).unwrap()
    }
}

/// The frames of a conversation, as they were on the wire.
struct Traffic {
    sent: Vec<Frame>,
    received: Vec<Frame>,
}

impl Traffic {
    fn check(&self, script: &[Step], is_agreed: bool) {
        let is_first = |frame: &&Frame| matches!(frame.opcode, 1 | 2);
        let compressed = |frames: &[Frame]| -> Vec<bool> {
            frames.iter().filter(is_first).map(|frame| frame.rsv1).collect()
        };
        let ours: Vec<_> = script.iter().map(|step| is_agreed && step.is_compressed()).collect();
        assert_eq!(compressed(&self.sent), ours);
        // The peers compress all there is.
        assert_eq!(compressed(&self.received), vec![is_agreed; script.len()]);
        // RFC 7692 section 6.1: "An endpoint MUST NOT set the "Per-Message Compressed" bit of control
        // frames and non-first fragments of a data message."
        let others = self.sent.iter().chain(&self.received).filter(|frame| !is_first(frame));
        assert!(others.clone().any(|frame| frame.opcode == 0) && !others.clone().any(|frame| frame.rsv1));
        if is_agreed {
            let all: usize = script.iter().map(|step| step.message.as_bytes().len()).sum();
            assert!(data_len(&self.sent) < all && data_len(&self.received) < all);
        }
    }
}

/// How many bytes of data were sent, by what was agreed of them.
#[derive(Default)]
struct Totals {
    ours: HashMap<Direction, usize>,
    theirs: HashMap<Direction, usize>,
}

impl Totals {
    fn add(&mut self, ours: Direction, theirs: Direction, traffic: &Traffic) {
        self.ours.insert(ours, data_len(&traffic.sent));
        self.theirs.insert(theirs, data_len(&traffic.received));
    }

    /// What was agreed was made use of: context takeover saves something, and so do larger windows.
    fn check(&self) {
        for totals in [&self.ours, &self.theirs] {
            let total = |takeover, bits| totals[&Direction { takeover, bits }];
            assert!(WINDOWS.iter().all(|&bits| total(true, bits) < total(false, bits)), "{totals:?}");
            assert!(total(true, 15) < total(false, 15) * 2 / 3, "{totals:?}");
            for takeover in [true, false] {
                let [small, middle, large] = WINDOWS.map(|bits| total(takeover, bits));
                assert!(small > middle && middle > large, "{totals:?}");
            }
        }
    }
}
