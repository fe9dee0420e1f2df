//! What the shims make of the opening handshake: rule F over loopback, and one byte at a time.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use sansock::handshake::client::ClientRequest;
use sansock::handshake::server::{Accept, Rejection};
use sansock::handshake::{HandshakeError, Response};
use sansock::tokio::{Error, accept, accept_request, connect_over};
use sansock::{Config, blocking};

use super::opening::{GOOD, KEY, answer_to, head, read_head, request_with};
use super::serving::{Served, Shim};
use crate::common::{masked, plain};
use crate::io::{End, Step, config, duplex, guard, poll_once};

/// Long enough for what is there already, and soon over.
const SHORT: Duration = Duration::from_millis(50);

/// A connection over loopback: this end, and the other one.
fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    near.set_nodelay(true).unwrap();
    (near, listener.accept().unwrap().0)
}

/// What a server answers to a client that says this and then waits for the end, and what it makes of it.
fn answer_of(shim: Shim, said: &[u8]) -> (Vec<u8>, Served) {
    let (mut client, io) = tcp();
    let serving = thread::spawn(move || shim.serve(io, Config::default()));
    client.write_all(said).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    drop(client);
    (answer, serving.join().unwrap())
}

/// What a server says, which is told the right answer to the key.
type Say<'a> = &'a dyn Fn(&str) -> Vec<u8>;

/// What a client makes of a server that says this in single bytes, after which it reads to the end: what that
/// gave after the request.
fn judgement_of(shim: Shim, say: Say<'_>) -> (Result<(), Error>, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let connecting = thread::spawn(move || shim.connect(&url, Config::default()));
    let (mut io, _) = listener.accept().unwrap();
    io.set_nodelay(true).unwrap();
    let request = read_head(&mut io);
    for byte in say(&answer_to(&request)) {
        // A client that has seen enough hangs up in the middle.
        if io.write_all(&[byte]).is_err() {
            break;
        }
    }
    // Where all went well it is for the server to end the transport; the client hangs up in any case.
    let _not_if_reset = io.shutdown(Shutdown::Write);
    let mut rest = Vec::new();
    let _reset_or_ended = io.read_to_end(&mut rest);
    drop(io);
    (connecting.join().unwrap(), rest)
}

/// A head of this size.
fn of_size(size: usize) -> String {
    let rest = size - request_with("X", &[""]).len();
    request_with("X", &[&"x".repeat(rest)])
}

/// Requests that are refused, with the status: by the machine, and by the application.
fn refused() -> Vec<(String, u16)> {
    let line = |line: &str| head(line, &GOOD);
    let long = |rest: usize| line(&format!("GET /{} HTTP/1.1", "x".repeat(rest - "GET / HTTP/1.1".len())));
    vec![
        (line("POST / HTTP/1.1"), 405),
        (line("GET / HTTP/1.0"), 505),
        (line("GET / HTTP/1.1\n"), 400),
        (line("GET / HTTP/1.1 "), 400),
        (line("GET /#f HTTP/1.1"), 400),
        (long((8 << 10) + 1), 414),
        (of_size((16 << 10) + 1), 431),
        (of_size(64 << 10), 431),
        (request_with("X", &["x"; 96]), 431),
        (request_with("Host", &[]), 400),
        (request_with("Upgrade", &[]), 426),
        (request_with("Upgrade", &["h2c"]), 400),
        (request_with("Connection", &["close"]), 400),
        (request_with("Origin", &["http://a", "http://b"]), 400),
        (request_with("Sec-WebSocket-Key", &["AAAA"]), 400),
        (request_with("Sec-WebSocket-Key", &[KEY, KEY]), 400),
        (request_with("Sec-WebSocket-Version", &["8"]), 426),
        (request_with("Sec-WebSocket-Version", &["13", "8"]), 426),
        (request_with("Sec-WebSocket-Protocol", &["a, a"]), 400),
        (request_with("Sec-WebSocket-Extensions", &["permessage-deflate;"]), 400),
        (request_with("Content-Length", &["5"]) + "hello", 400),
        (request_with("Transfer-Encoding", &["chunked"]) + "5\r\nhello\r\n0\r\n\r\n", 400),
        (line("GET /forbidden HTTP/1.1"), 403),
        (line("GET /unoffered HTTP/1.1"), 500),
    ]
}

/// The one answer there is, and nothing behind it: its status and its header lines.
fn only_answer(answer: &[u8]) -> (u16, Vec<&str>) {
    let answer = std::str::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let lines: Vec<_> = lines.collect();
    let length = lines.iter().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    assert_eq!(length, body.len().to_string(), "{answer:?}");
    (status.unwrap(), lines)
}

#[test]
fn rule_f_every_refusal_says_so_and_ends_the_tcp_connection() {
    let _guard = guard();
    // What would be a tunnel's first bytes, and what would be the next request on the connection.
    let smuggled = [&masked(0x81, b"hi"), request_with("X", &[]).as_bytes()].concat();
    for shim in Shim::BOTH {
        for (request, status) in refused() {
            let (answer, served) = answer_of(shim, &[request.as_bytes(), &smuggled].concat());
            let (said, lines) = only_answer(&answer);
            assert_eq!(said, status, "{shim:?}: {request:.80?}");
            let connection: Vec<_> = lines.iter().filter(|line| line.starts_with("Connection: ")).collect();
            assert!(matches!(connection[..], [line] if line.starts_with("Connection: close")), "{lines:?}");
            let versions: Vec<_> = lines.iter().filter(|line| line.starts_with("Sec-WebSocket")).collect();
            let expected = if status == 426 { &[&"Sec-WebSocket-Version: 13"][..] } else { &[] };
            assert_eq!(versions, expected);
            assert!(!matches!(served.outcome, Ok(1..)), "nothing is echoed");
        }
    }
}

#[test]
fn rule_f_what_follows_a_request_that_is_accepted_are_frames() {
    let _guard = guard();
    let frames = [masked(0x81, b"hi"), masked(0x88, b"\x03\xe8")].concat();
    for shim in Shim::BOTH {
        let (answer, served) = answer_of(shim, &[request_with("X", &[]).as_bytes(), &frames].concat());
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        assert!(
            answer.ends_with(&[&b"\r\n\r\n"[..], &plain(0x81, b"hi"), &plain(0x88, b"\x03\xe8")].concat())
        );
        assert_eq!(served.outcome.unwrap(), 1);

        let (answer, served) = answer_of(shim, request_with("X", &[]).repeat(2).as_bytes());
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        assert_eq!(answer.windows(5).filter(|window| window == b"HTTP/").count(), 1);
        assert!(answer.windows(4).any(|window| window == plain(0x88, b"\x03\xea")), "it fails with 1002");
        let error = served.outcome.unwrap_err();
        assert!(matches!(error, Error::Connection(sansock::Error::Protocol(_))), "{error:?}");
    }
}

/// It gets two seconds to read the answer and to hang up.
#[test]
fn rule_f_a_client_that_goes_on_sending_is_cut_off() {
    let _guard = guard();
    for shim in Shim::BOTH {
        let (mut client, io) = tcp();
        let serving = thread::spawn(move || shim.serve(io, Config::default()));
        client.write_all(request_with("Sec-WebSocket-Version", &["8"]).as_bytes()).unwrap();
        while client.write_all(&masked(0x81, &[b'x'; 1000])).is_ok() {}
        let served = serving.join().unwrap();
        let error = served.outcome.unwrap_err();
        assert!(matches!(error, Error::Handshake(HandshakeError::WebSocketVersion)), "{error:?}");
        // Its own writes kept it from reading; there is one answer or none, as the reset comes in between.
        let mut answer = Vec::new();
        let _reset = client.read_to_end(&mut answer);
        assert!(answer.is_empty() || only_answer(&answer).0 == 426);
    }
}

#[test]
fn rule_f_a_client_that_fails_ends_the_tcp_connection() {
    let _guard = guard();
    let good = |answer: &str| {
        [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", answer)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let say = |start: &str, fields: &[(String, String)]| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        [head(start, &fields).as_bytes(), &plain(0x81, b"hi")].concat()
    };
    let with = |answer: &str, name: &str, value: &str| {
        let mut fields = good(answer).to_vec();
        fields.retain(|(known, _)| known != name);
        fields.push((name.to_owned(), value.to_owned()));
        say("HTTP/1.1 101 x", &fields)
    };
    let failures: [Say<'_>; 10] = [
        &|answer| say("HTTP/1.1 200 OK", &good(answer)),
        &|answer| say("HTTP/1.1 401 101", &good(answer)),
        &|answer| say("HTTP/1.0 101 x", &good(answer)),
        &|answer| say("HTTP/1.1 1010 x", &good(answer)),
        &|answer| say("HTTP/1.1 101 x", &good(answer)[..2]),
        &|answer| say("HTTP/1.1 101 x", &good(answer)[1..]),
        &|answer| with(answer, "Sec-WebSocket-Accept", &answer.to_ascii_lowercase()),
        &|answer| with(answer, "Sec-WebSocket-Protocol", "x"),
        &|answer| with(answer, "Sec-WebSocket-Extensions", "permessage-deflate"),
        &|answer| with(answer, "X", &"x".repeat(16 << 10)),
    ];
    for shim in Shim::BOTH {
        for (index, failure) in failures.iter().enumerate() {
            let (outcome, rest) = judgement_of(shim, *failure);
            assert!(
                matches!(outcome, Err(Error::Refused(_) | Error::Handshake(_))),
                "{shim:?}, {index}: {outcome:?}"
            );
            assert_eq!(rest, b"", "a client that has not opened says nothing");
        }
        let (outcome, rest) = judgement_of(shim, &|answer| {
            let response =
                head("HTTP/1.1 101 x", &good(answer).each_ref().map(|(name, value)| (&**name, &**value)));
            [response.as_bytes(), &plain(0x88, b"\x03\xe8")].concat()
        });
        assert!(outcome.is_ok(), "the same without a fault opens: {outcome:?}");
        assert_eq!(rest.len(), 8, "it answers the Close frame");
    }
}

#[tokio::test(start_paused = true)]
async fn rule_e_single_bytes_and_the_longest_head_are_no_offence() {
    let _guard = guard();
    for script in [&[Step::Move(1)][..], &[Step::Later, Step::Move(1)]] {
        let (client, server) = duplex(usize::MAX);
        client.push(of_size(16 << 10).as_bytes());
        let incoming = accept_request(server.always(script), Config::default()).await.unwrap();
        assert_eq!(incoming.request().unwrap().path(), "/");
    }
    let (client, server) = duplex(usize::MAX);
    client.push(of_size(16 << 10).as_bytes());
    let incoming = blocking::accept_request(server.always(&[Step::Move(1)]), Config::default()).unwrap();
    assert_eq!(incoming.request().unwrap().path(), "/");
}

#[tokio::test(start_paused = true)]
async fn rule_e_little_is_read_beyond_the_limit() {
    let _guard = guard();
    let endless = of_size(20 << 20);
    let judge = |read: usize, error: Option<HandshakeError>| {
        assert_eq!(error, Some(HandshakeError::HeadTooLarge));
        assert!((16 << 10..=17 << 10).contains(&read), "{read} bytes were read");
    };
    let pushed = || {
        let (client, server) = duplex(usize::MAX);
        client.push(endless.as_bytes());
        (client, server.clone(), server)
    };
    let (_client, log, server) = pushed();
    let incoming = accept_request(server, Config::default()).await.unwrap();
    judge(log.log(|log| log.read), incoming.request().err().map(Rejection::error));
    let (_client, log, server) = pushed();
    let incoming = blocking::accept_request(server, Config::default()).unwrap();
    judge(log.log(|log| log.read), incoming.request().err().map(Rejection::error));
}

#[tokio::test(start_paused = true)]
async fn rule_e_little_is_read_beyond_the_limit_by_a_client() {
    let _guard = guard();
    let endless = "HTTP/1.1 101 Switching Protocols\r\nX: ".to_owned() + &"x".repeat(20 << 20);
    let judge = |read: usize, outcome: Result<(), Error>| {
        assert!(matches!(outcome, Err(Error::Handshake(HandshakeError::HeadTooLarge))), "{outcome:?}");
        assert!((16 << 10..=17 << 10).contains(&read), "{read} bytes were read");
    };
    let pushed = || {
        let (server, client) = duplex(usize::MAX);
        server.push(endless.as_bytes());
        (server, client.clone(), client, ClientRequest::new("ws://example.com/").unwrap())
    };
    let (_server, log, client, request) = pushed();
    let outcome = connect_over(client, request, Config::default()).await;
    judge(log.log(|log| log.read), outcome.map(drop));
    let (_server, log, client, request) = pushed();
    let outcome = blocking::connect_over(client, request, Config::default());
    judge(log.log(|log| log.read), outcome.map(drop));
}

/// How a peer is slow: what it says at once, and how long it waits for the next byte, if there is one.
const SLOW: [(usize, Option<u64>); 4] = [(0, None), (100, None), (0, Some(10)), (100, Some(1))];

/// Lets a peer say `said` as slowly as that, for ever.
fn say_slowly(end: &End, said: &[u8], (at_once, pause): (usize, Option<u64>)) -> tokio::task::JoinHandle<()> {
    let (end, said) = (end.clone(), said.to_vec());
    end.push(&said[..at_once]);
    tokio::spawn(async move {
        for byte in &said[at_once..] {
            let Some(pause) = pause else { return };
            tokio::time::sleep(Duration::from_secs(pause)).await;
            end.push(&[*byte]);
        }
    })
}

#[tokio::test(start_paused = true)]
async fn hostile_13_a_slow_client_is_answered_at_the_deadline() {
    let _guard = guard();
    let request = request_with("X", &[&"x".repeat(100)]);
    for slow in SLOW {
        let (client, server) = duplex(usize::MAX);
        let talk = say_slowly(&client, request.as_bytes(), slow);
        let start = tokio::time::Instant::now();
        let incoming = accept_request(server, Config::default()).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 10, "{slow:?}");
        let error = incoming.accept(Accept::new()).await.unwrap_err();
        assert!(matches!(error, Error::Handshake(HandshakeError::TimedOut)));
        assert!(start.elapsed().as_secs() <= 12, "it does not wait long for the client to hang up");
        assert_eq!(only_answer(&client.pull(usize::MAX)).0, 408);
        assert!(client.is_ended());
        talk.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_13_a_slow_server_is_left_at_the_deadline() {
    let _guard = guard();
    let response = "HTTP/1.1 101 Switching Protocols\r\nX: ".to_owned() + &"x".repeat(200);
    // With little room the request is what takes too long.
    for (room, slow) in SLOW.map(|slow| (usize::MAX, slow)).into_iter().chain([(10, SLOW[0]), (10, SLOW[3])])
    {
        let (server, client) = duplex(room);
        let talk = say_slowly(&server, response.as_bytes(), slow);
        let start = tokio::time::Instant::now();
        let request = ClientRequest::new("ws://a/").unwrap();
        let error = connect_over(client, request, Config::default()).await.unwrap_err();
        assert!(matches!(error, Error::Handshake(HandshakeError::TimedOut)), "{error:?}");
        assert_eq!(start.elapsed().as_secs(), 10, "{slow:?}");
        talk.abort();
    }
}

/// The deadline of the blocking shim, in real time, which decides nothing: no head here ever ends.
#[test]
fn hostile_13_a_slow_peer_of_a_blocking_end_is_left_at_the_deadline() {
    let _guard = guard();
    let soon = || config(|config| config.handshake_timeout = SHORT);
    for pause in [None, Some(SHORT / 20)] {
        let (mut client, io) = tcp();
        let (done, is_done) = mpsc::channel::<()>();
        let talk = thread::spawn(move || {
            client.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
            // It says more until it is told to stop, or the server has heard enough.
            while pause.is_some_and(|pause| is_done.recv_timeout(pause) == Err(RecvTimeoutError::Timeout))
                && client.write_all(b"x").is_ok()
            {}
            let mut answer = String::new();
            let _reset = client.read_to_string(&mut answer);
            answer
        });
        let incoming = blocking::accept_request(io, soon()).unwrap();
        assert_eq!(incoming.request().unwrap_err().error(), HandshakeError::TimedOut);
        drop(done);
        let error = incoming.accept(Accept::new()).unwrap_err();
        assert!(matches!(error, Error::Handshake(HandshakeError::TimedOut)));
        assert_eq!(only_answer(talk.join().unwrap().as_bytes()).0, 408);

        let (mut server, io) = tcp();
        let (done, is_done) = mpsc::channel::<()>();
        let talk = thread::spawn(move || {
            server.write_all(b"HTTP/1.1 101 Switching Protocols\r\nX: ").unwrap();
            while pause.is_some_and(|pause| is_done.recv_timeout(pause) == Err(RecvTimeoutError::Timeout))
                && server.write_all(b"x").is_ok()
            {}
            // Hanging up on a request that it has not read would be another fault.
            server
        });
        let request = ClientRequest::new("ws://a/").unwrap();
        let error = blocking::connect_over(io, request, soon()).unwrap_err();
        assert!(matches!(error, Error::Handshake(HandshakeError::TimedOut)), "{error:?}");
        drop(done);
        drop(talk.join().unwrap());
    }
    // A server that does not take the request: here that is a long one.
    let (_server, io) = tcp();
    let request = ClientRequest::new("ws://a/").unwrap();
    let request = request.header("X", &"x".repeat(32 << 20)).unwrap();
    let error = blocking::connect_over(io, request, soon()).unwrap_err();
    assert!(matches!(error, Error::Handshake(HandshakeError::TimedOut)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn hostile_17_nothing_is_said_before_the_head_is_complete() {
    let _guard = guard();
    let request = request_with("Expect", &["100-continue"]);
    let unfinished = &request.as_bytes()[..request.len() - 2];
    let (client, server) = duplex(usize::MAX);
    client.push(unfinished);
    assert!(poll_once(accept(server, Config::default())).is_none());
    assert!(client.pull(usize::MAX).is_empty());
    let (client, server) = duplex(usize::MAX);
    client.push(unfinished);
    let _would_block = blocking::accept_request(server, Config::default()).unwrap_err();
    assert!(client.pull(usize::MAX).is_empty());
}

#[tokio::test(start_paused = true)]
async fn hostile_21_the_origin_is_known_before_anything_is_said() {
    let _guard = guard();
    for (values, origin) in [
        (&[][..], None),
        (&["null"], Some("null")),
        (&["https://evil.example"], Some("https://evil.example")),
    ] {
        let asked = || {
            let (client, server) = duplex(usize::MAX);
            client.push(request_with("Origin", values).as_bytes());
            client.end();
            (client, server)
        };
        let refusal = || Response::new(403).unwrap();
        let (client, server) = asked();
        let incoming = accept_request(server, Config::default()).await.unwrap();
        assert_eq!(incoming.request().unwrap().origin(), origin);
        assert!(client.pull(usize::MAX).is_empty());
        incoming.reject(refusal()).await.unwrap();
        assert_eq!(only_answer(&client.pull(usize::MAX)).0, 403);

        let (client, server) = asked();
        let incoming = blocking::accept_request(server, Config::default()).unwrap();
        assert_eq!(incoming.request().unwrap().origin(), origin);
        assert!(client.pull(usize::MAX).is_empty());
        incoming.reject(refusal()).unwrap();
        assert_eq!(only_answer(&client.pull(usize::MAX)).0, 403);
    }
}
