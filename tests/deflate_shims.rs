//! permessage-deflate through both shims: it is negotiated, shared and split; items 73 and 84 of hostile
//! inputs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::net::{TcpListener, TcpStream};
use std::thread;

use futures_util::FutureExt;
use sansock::deflate::{Agreed, Deflate};
use sansock::handshake::client::ClientRequest;
use sansock::tokio::{WebSocket, accept, connect_over};
use sansock::{CloseCode, Config, Event, Message, blocking};
use tokio::io::DuplexStream;

fn config() -> Config {
    let mut config = Config::default();
    config.deflate = Some(Deflate::default());
    config
}

fn words(i: usize) -> Message {
    Message::from(format!("message {i} of many that are alike, {}", "and go on and on ".repeat(i % 50)))
}

/// A client and a server over a pipe that takes a few bytes at a time.
async fn sockets(room: usize) -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
    let (near, far) = tokio::io::duplex(room);
    let request = ClientRequest::new("ws://example.com/").unwrap();
    let (client, server) = tokio::join!(connect_over(near, request, config()), accept(far, config()));
    let (client, server) = (client.unwrap(), server.unwrap());
    assert_eq!(client.connection().deflate(), Some(Agreed::default()));
    assert_eq!(server.connection().deflate(), Some(Agreed::default()));
    (client, server)
}

#[tokio::test(start_paused = true)]
async fn hostile_73_a_dropped_send_has_happened() {
    let (mut client, mut server) = sockets(16).await;
    // Each is polled once and dropped: the pipe is full most of the time.
    for i in 0..200 {
        let _ = client.send(words(i)).now_or_never();
        let _ = client.uncompressed().send("in between").now_or_never();
    }
    let closing = tokio::spawn(async move { client.close(CloseCode::NORMAL, "").await });
    for i in 0..200 {
        assert_eq!(server.recv().await.unwrap(), Some(words(i)));
        assert_eq!(server.recv().await.unwrap(), Some("in between".into()));
    }
    assert_eq!(server.recv().await.unwrap(), None);
    assert!(closing.await.unwrap().unwrap().clean);
}

#[tokio::test(start_paused = true)]
async fn hostile_73_a_dropped_receive_loses_nothing() {
    let (mut client, mut server) = sockets(7).await;
    let sending = tokio::spawn(async move {
        for i in 0..100 {
            client.send(words(i)).await.unwrap();
        }
        client.close(CloseCode::NORMAL, "").await
    });
    for i in 0..100 {
        let received = loop {
            if let Some(received) = server.recv().now_or_never() {
                break received;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(received.unwrap(), Some(words(i)));
    }
    assert_eq!(server.recv().await.unwrap(), None);
    assert!(sending.await.unwrap().unwrap().clean);
}

#[tokio::test]
async fn split_halves_compress_and_inflate() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut socket = accept(listener.accept().await.unwrap().0, config()).await.unwrap();
        while let Some(message) = socket.recv().await.unwrap() {
            socket.send(message).await.unwrap();
        }
    });
    let socket = sansock::tokio::connect(&url, config()).await.unwrap();
    let (mut reader, mut writer) = socket.split();
    let writing = tokio::spawn(async move {
        for i in 0..300 {
            writer.feed(words(i)).await.unwrap();
            writer.uncompressed().feed("plain").await.unwrap();
        }
        writer.flush().await.unwrap();
        writer
    });
    for i in 0..300 {
        assert_eq!(reader.recv().await.unwrap(), Some(words(i)));
        assert_eq!(reader.recv().await.unwrap(), Some("plain".into()));
    }
    writing.await.unwrap().close(CloseCode::NORMAL, "").await.unwrap();
    assert_eq!(reader.recv().await.unwrap(), None);
    server.await.unwrap();
}

fn echo(listener: &TcpListener) -> Result<(), blocking::Error> {
    let (stream, _) = listener.accept()?;
    let mut socket = blocking::accept(stream, config())?;
    while let Some(message) = socket.recv()? {
        socket.send(message)?;
    }
    Ok(())
}

#[test]
fn the_blocking_shim_compresses_and_inflates() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || echo(&listener));
    let mut socket: blocking::WebSocket<TcpStream> = blocking::connect(&url, config()).unwrap();
    assert_eq!(socket.connection().deflate(), Some(Agreed::default()));
    for i in 0..100 {
        socket.send(words(i)).unwrap();
        assert_eq!(socket.recv().unwrap(), Some(words(i)));
        socket.uncompressed().send("plain").unwrap();
        assert!(matches!(socket.next().unwrap(), Some(Event::Text(text)) if &*text == "plain"));
    }
    assert!(socket.close(CloseCode::NORMAL, "").unwrap().clean);
    server.join().unwrap().unwrap();
}

#[test]
fn blocking_halves_compress_and_inflate() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || echo(&listener));
    let (mut reader, mut writer) = blocking::connect(&url, config()).unwrap().split().unwrap();
    let writing = thread::spawn(move || {
        for i in 0..100 {
            writer.send(words(i)).unwrap();
            writer.uncompressed().send("plain").unwrap();
        }
        writer
    });
    for i in 0..100 {
        assert_eq!(reader.recv().unwrap(), Some(words(i)));
        assert_eq!(reader.recv().unwrap(), Some("plain".into()));
    }
    writing.join().unwrap().close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(reader.recv().unwrap(), None);
    server.join().unwrap().unwrap();
}
