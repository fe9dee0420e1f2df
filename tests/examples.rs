//! The examples, run as the processes they are.
//!
//! `cargo test` builds them. Whoever runs this file alone builds them first: `cargo build --examples`.
#![cfg(all(unix, feature = "tokio"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sansock::blocking::{self, WebSocket};
use sansock::{CloseCode, Config, Event, Message};

/// Nothing here takes long: this only ends a test that hangs.
const LIMIT: Duration = Duration::from_secs(60);

const SERVERS: [&str; 3] = ["echo", "echo_blocking", "broadcast"];
const CLIENTS: [(&str, &[&str]); 3] =
    [("echo_client", &[]), ("echo_client", &["--blocking"]), ("client", &[])];

/// A running example, which does not outlive its test.
struct Example {
    child: Child,
    /// What it prints and complains about, line by line.
    lines: mpsc::Receiver<String>,
}

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Self {
        // target/debug/deps/examples-0123456789abcdef stands beside target/debug/examples/.
        let test = std::env::current_exe().unwrap();
        let path = test.parent().unwrap().with_file_name("examples").join(name);
        let mut command = Command::new(&path);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (sender, lines) = mpsc::channel();
        forward(child.stdout.take().unwrap(), sender.clone());
        forward(child.stderr.take().unwrap(), sender);
        Example { child, lines }
    }

    /// The next line.
    fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).unwrap()
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Ends its input and waits for the end: the remaining lines, and the exit code.
    fn finish(mut self) -> (Vec<String>, Option<i32>) {
        drop(self.child.stdin.take());
        self.outcome()
    }

    /// Waits for an end that does not come of its input's.
    fn outcome(mut self) -> (Vec<String>, Option<i32>) {
        let stdin = self.child.stdin.take();
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => lines.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end; it said {lines:?}"),
            }
        }
        drop(stdin);
        (lines, self.child.wait().unwrap().code())
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(pipe: impl Read + Send + 'static, sender: mpsc::Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let _ = sender.send(line.unwrap());
        }
    });
}

/// Lets another thread do something that may hang.
fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> mpsc::Receiver<T> {
    let (sender, result) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    result
}

/// Starts a server, and reads its URL from its first line.
fn serve(name: &str) -> (Example, String) {
    let server = Example::start(name, &["127.0.0.1:0"]);
    let line = server.line();
    let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{name} said {line:?}"));
    assert!(url.starts_with("ws://127.0.0.1:"), "{url}");
    (server, url.to_owned())
}

/// Starts a client and lets it connect to this test.
fn call(name: &str, arguments: &[&str]) -> (Example, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let client = Example::start(name, &[&[url.as_str()], arguments].concat());
    let (stream, _) = spawn(move || listener.accept()).recv_timeout(LIMIT).unwrap().unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    (client, stream)
}

fn accept(stream: TcpStream) -> WebSocket<TcpStream> {
    blocking::accept(stream, Config::default()).unwrap()
}

fn connect(url: &str) -> WebSocket<TcpStream> {
    let mut socket = blocking::connect(url, Config::default()).unwrap();
    socket.set_timeout(Some(LIMIT)).unwrap();
    socket
}

fn recv_text(socket: &mut WebSocket<TcpStream>) -> String {
    match socket.recv().unwrap() {
        Some(Message::Text(text)) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Reads to the end: the number of messages, and the close code.
fn drain(mut socket: WebSocket<TcpStream>) -> (usize, u16) {
    let mut messages = 0;
    while socket.recv().unwrap().is_some() {
        messages += 1;
    }
    (messages, socket.closed().unwrap().code())
}

fn dial(url: &str) -> TcpStream {
    let stream = TcpStream::connect(url.strip_prefix("ws://").unwrap()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Sends a request, and reads to the end of the connection.
fn http(url: &str, request: &str) -> String {
    let mut stream = dial(url);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn servers_send_messages_back_and_answer_pings() {
    for name in SERVERS {
        let (_server, url) = serve(name);
        let mut socket = connect(&url);
        socket.send("grüße").unwrap();
        assert_eq!(recv_text(&mut socket), "grüße", "{name}");
        socket.send(vec![7; 60_000]).unwrap();
        assert_eq!(socket.recv().unwrap(), Some(vec![7; 60_000].into()), "{name}");
        socket.ping(b"?").unwrap();
        assert!(matches!(socket.next().unwrap(), Some(Event::Pong(b"?"))), "{name}");
        let report = socket.close(CloseCode::NORMAL, "").unwrap();
        assert!(report.clean && report.code() == 1000, "{name}: {report}");
    }
}

#[test]
fn servers_close_with_1001_on_sigterm_and_sigint_and_exit_with_0() {
    for (name, signal) in SERVERS.iter().flat_map(|name| [(name, "TERM"), (name, "INT")]) {
        let (server, url) = serve(name);
        let quiet = connect(&url);
        // This one leaves the server no moment of silence to notice the signal in.
        let mut busy = connect(&url);
        busy.send("x").unwrap();
        let busy = spawn(move || {
            while busy.recv().unwrap().is_some() {
                let _ = busy.send("x");
            }
            drain(busy).1
        });
        server.signal(signal);
        assert_eq!(drain(quiet).1, 1001, "{name} at SIG{signal}");
        assert_eq!(busy.recv_timeout(LIMIT).unwrap(), 1001, "{name} at SIG{signal}");
        assert_eq!(server.finish(), (vec![], Some(0)), "{name} at SIG{signal}");
    }
}

#[test]
fn tokio_servers_stop_at_once_though_a_client_has_not_asked_for_anything_yet() {
    for name in ["echo", "broadcast"] {
        let (server, url) = serve(name);
        let mut silent = dial(&url);
        // Connections are accepted in their order: once this one is open, the silent one is known.
        let socket = connect(&url);
        server.signal("TERM");
        assert_eq!(drain(socket).1, 1001, "{name}");
        assert_eq!(silent.read(&mut [0]).unwrap(), 0, "{name}");
        assert_eq!(server.finish(), (vec![], Some(0)), "{name}");
    }
}

#[test]
fn servers_fail_when_the_address_is_taken_or_none() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (name, address) in SERVERS.iter().flat_map(|name| [(name, taken.as_str()), (name, "nowhere")]) {
        let (lines, code) = Example::start(name, &[address]).finish();
        assert!(code == Some(1) && !lines.is_empty(), "{name} {address}: {code:?} {lines:?}");
    }
}

#[test]
fn echo_shows_browsers_a_page() {
    let (_server, url) = serve("echo");
    let page = http(&url, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Content-Type: text/html; charset=utf-8"), "{head}");
    assert!(body.starts_with("<!doctype html>") && body.contains("new WebSocket("), "{body}");
    assert_eq!(http(&url, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"), format!("{head}\r\n\r\n"));
}

#[test]
fn echo_refuses_other_requests_and_closes_the_connection() {
    let (_server, url) = serve("echo");
    let cases = [
        ("GET /favicon.ico HTTP/1.1\r\nHost: x\r\n\r\n", "426"),
        ("HEAD /favicon.ico HTTP/1.1\r\nHost: x\r\n\r\n", "405"),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", "405"),
        ("\x16\x03\x01 this could be TLS\r\n\r\n", "400"),
    ];
    for (request, status) in cases {
        let answer = http(&url, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        assert!(answer.contains("\r\nConnection: close"), "{request:?}: {answer}");
    }
}

#[test]
fn echo_client_sends_messages_back_and_exits_with_0_after_a_clean_close() {
    for (name, arguments) in CLIENTS.into_iter().take(2) {
        let (client, stream) = call(name, arguments);
        let mut socket = accept(stream);
        socket.send("hello").unwrap();
        assert_eq!(recv_text(&mut socket), "hello");
        socket.close(CloseCode::NORMAL, "bye").unwrap();
        let lines = vec!["closed cleanly by the peer: 1000 \"bye\"".to_owned()];
        assert_eq!(client.finish(), (lines, Some(0)), "{arguments:?}");
    }
}

#[test]
fn clients_fail_when_the_connection_is_dropped() {
    for (name, arguments) in CLIENTS {
        let (client, stream) = call(name, arguments);
        drop(stream);
        let (lines, code) = client.outcome();
        assert!(code == Some(1) && !lines.is_empty(), "{name} {arguments:?}: {code:?} {lines:?}");

        let (client, stream) = call(name, arguments);
        drop(accept(stream));
        let (lines, code) = client.outcome();
        let said = lines.concat();
        assert!(code == Some(1) && said.contains("without a Close frame"), "{name} {arguments:?}: {said}");
    }
}

#[test]
fn clients_fail_when_the_server_refuses() {
    for (name, arguments) in CLIENTS {
        let (client, mut stream) = call(name, arguments);
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").unwrap();
        assert_eq!(
            client.outcome(),
            (vec!["the server answered with status 403".to_owned()], Some(1)),
            "{name}"
        );
    }
}

#[test]
fn client_sends_lines_and_shows_what_comes_escaped() {
    let (mut client, stream) = call("client", &[]);
    let mut socket = accept(stream);
    assert!(client.line().starts_with("connected to ws://127.0.0.1:"));
    let mut input = client.child.stdin.take().unwrap();
    input.write_all("grüße\n\n".as_bytes()).unwrap();
    assert_eq!([recv_text(&mut socket), recv_text(&mut socket)], ["grüße", ""]);

    socket.send("it's\x1b[2J\u{202e}red").unwrap();
    assert_eq!(client.line(), r#"text "it's\u{1b}[2J\u{202e}red""#);
    socket.send(vec![0; 3]).unwrap();
    assert_eq!(client.line(), "binary, 3 bytes");
    socket.ping(b"\x07?").unwrap();
    assert!(matches!(socket.next().unwrap(), Some(Event::Pong(b"\x07?"))));
    assert_eq!(client.line(), r#"ping "\x07?""#);
    socket.connection_mut().pong(b"!").unwrap();
    socket.flush().unwrap();
    assert_eq!(client.line(), r#"pong "!""#);

    drop(input);
    assert_eq!(drain(socket), (0, 1000));
    assert_eq!(client.finish(), (vec!["closed cleanly by this endpoint: 1000".to_owned()], Some(0)));
}

#[test]
fn client_closes_with_1000_on_sigint() {
    let (mut client, stream) = call("client", &[]);
    let _input = client.child.stdin.take();
    let socket = accept(stream);
    assert!(client.line().starts_with("connected"));
    client.signal("INT");
    assert_eq!(drain(socket), (0, 1000));
    assert_eq!(client.finish().1, Some(0));
}

#[test]
fn client_ends_when_the_server_closes_though_its_input_goes_on() {
    let (mut client, stream) = call("client", &[]);
    let _input = client.child.stdin.take();
    assert!(accept(stream).close(CloseCode::RESTART, "\x1b[0m").unwrap().clean);
    let (lines, code) = client.finish();
    assert_eq!(lines.last().unwrap(), r#"closed cleanly by the peer: 1012 "\u{1b}[0m""#);
    assert_eq!(code, Some(0));
}

#[test]
fn broadcast_sends_every_message_to_everyone_in_one_order() {
    let (_server, url) = serve("broadcast");
    let mut sockets: Vec<_> = (0..5).map(|_| connect(&url)).collect();
    // A burst of more messages than a client may be behind.
    for number in 0..1000 {
        sockets[0].feed(number.to_string()).unwrap();
    }
    sockets[0].flush().unwrap();
    for socket in &mut sockets {
        for number in 0..1000 {
            assert_eq!(recv_text(socket), number.to_string());
        }
    }
    drop(sockets.pop());
    sockets[3].send("one has left").unwrap();
    assert!(sockets.iter_mut().all(|socket| recv_text(socket) == "one has left"));
}

#[test]
fn broadcast_closes_a_slow_receiver_with_1013_and_serves_the_others() {
    const MESSAGES: usize = 500;
    let (_server, url) = serve("broadcast");
    let slow = connect(&url);
    let mut fast = connect(&url);
    // More than the system buffers for the slow one, and what may wait for it besides.
    let message = "x".repeat(60_000);
    for _ in 0..MESSAGES {
        fast.send(message.as_str()).unwrap();
        assert_eq!(recv_text(&mut fast).len(), message.len());
    }
    let (messages, code) = drain(slow);
    assert!(messages < MESSAGES && code == 1013, "{messages} messages, then {code}");
}

#[test]
fn sans_io_converses_in_memory_and_reaches_its_deadlines() {
    let (lines, code) = Example::start("sans_io", &[]).finish();
    let steps = [
        "0.02 s  client is connected",
        "server receives text \"hello\"",
        "client receives ping \"are you there?\"",
        "server receives pong \"are you there?\"",
        "20.05 s  client has reached a deadline",
        "server receives ping \"\"",
        "client receives pong \"\"",
        "server is closed cleanly by the peer: 1000 \"that was all\"",
        "client is closed cleanly by this endpoint: 1000",
        "client ends it too",
        "40.00 s  client fails: timed out: no answer to a keepalive ping",
    ];
    let mut rest = lines.iter();
    for step in steps {
        assert!(rest.any(|line| line.contains(step)), "{step} is missing in {lines:#?}");
    }
    assert_eq!(code, Some(0));
}

#[test]
fn streaming_passes_one_message_of_any_size() {
    for bytes in [0, 1, 65_536, 65_537, 1_000_000] {
        let (lines, code) = Example::start("streaming", &[&bytes.to_string()]).finish();
        let sum: u64 = (0..=u8::MAX).cycle().take(bytes).map(u64::from).sum();
        assert_eq!(lines[0], format!("1 message of {bytes} bytes, sum {sum}"));
        assert_eq!(code, Some(0));
    }
}

#[test]
fn streaming_holds_only_a_small_part_of_the_message() {
    let (lines, _) = Example::start("streaming", &["50000000"]).finish();
    // Where the system tells, the peak is what a small program has anyway, with buffers of 1 MiB.
    if let Some(peak) = lines.iter().find_map(|line| line.strip_prefix("peak memory ")) {
        let kilobytes: u32 = peak.strip_suffix(" kB").unwrap().parse().unwrap();
        assert!(kilobytes < 25_000, "{peak}");
    }
}

#[test]
fn wrong_arguments_exit_with_2() {
    let cases: [(&str, &[&str]); 6] = [
        ("echo_client", &[]),
        ("echo_client", &["ws://127.0.0.1:1", "--no-such-option"]),
        ("client", &[]),
        ("client", &["ws://127.0.0.1:1", "ws://127.0.0.1:1"]),
        ("streaming", &["much"]),
        ("streaming", &["1", "2"]),
    ];
    for (name, arguments) in cases {
        let (lines, code) = Example::start(name, arguments).finish();
        assert!(lines.len() == 1 && lines[0].starts_with(&format!("usage: {name} ")), "{name}: {lines:?}");
        assert_eq!(code, Some(2), "{name} {arguments:?}");
    }
}
