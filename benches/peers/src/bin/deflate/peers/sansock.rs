//! sansock, without I/O, and through its tokio shim.

use bytes::{Buf, BufMut};
use sansock::deflate::{Agreed, Deflate, Pool, accept};
use sansock::tokio::WebSocket;
use sansock::{Config, Connection, Event, Timestamp};

use super::{Context, Peer, Turn};
use crate::transport::{READ, Transport, block_on};

/// Without I/O.
pub struct Sansock {
    deflate: Deflate,
    agreed: Agreed,
}

impl Sansock {
    fn server(&self) -> Connection {
        Connection::server(Config::default(), Timestamp::EPOCH).with_deflate(self.agreed, &self.deflate)
    }

    fn client(&self) -> Connection {
        Connection::client(Config::default(), [7; 32], Timestamp::EPOCH)
            .with_deflate(self.agreed, &self.deflate)
    }
}

impl Peer for Sansock {
    fn new(context: Context, level: u8) -> Self {
        let mut deflate = Deflate::default();
        deflate.level = level;
        deflate.send_takeover = context == Context::Takeover;
        deflate.receive_takeover = context == Context::Takeover;
        deflate.pool = Some(Pool::default());
        let agreed = accept([b"permessage-deflate".as_slice()], &deflate).unwrap();
        assert_eq!(agreed.to_string(), context.agreed());
        Sansock { deflate, agreed }
    }

    fn send(&mut self, turn: &Turn, mut take: impl FnMut(&[u8])) {
        let mut server = self.server();
        for text in &turn.texts {
            server.text(text).unwrap();
            while server.output().has_remaining() {
                let len = server.output().chunk().len();
                take(server.output().chunk());
                server.output().advance(len);
            }
        }
    }

    fn receive(&mut self, turn: &Turn, mut take: impl FnMut(&[u8])) {
        let mut client = self.client();
        for part in turn.frames.chunks(READ) {
            client.input().put_slice(part);
            client.handle_input(Timestamp::EPOCH);
            while let Some(event) = client.poll_event().unwrap() {
                let Event::Text(text) = event else { panic!("no other event was sent") };
                take(text.as_bytes());
            }
        }
    }
}

/// Through the tokio shim.
pub struct SansockTokio(Sansock);

impl Peer for SansockTokio {
    fn new(context: Context, level: u8) -> Self {
        SansockTokio(Sansock::new(context, level))
    }

    fn send(&mut self, turn: &Turn, take: impl FnMut(&[u8]) + Unpin) {
        block_on(async {
            let mut ws = WebSocket::over(Transport { input: &[], take }, self.0.server());
            for text in &turn.texts {
                ws.send(text.clone()).await.unwrap();
            }
        });
    }

    fn receive(&mut self, turn: &Turn, mut take: impl FnMut(&[u8])) {
        block_on(async {
            let transport = Transport { input: &turn.frames, take: |_: &[u8]| {} };
            let mut ws = WebSocket::over(transport, self.0.client());
            for _ in &turn.texts {
                let Ok(Some(Event::Text(text))) = ws.next().await else { panic!("no other event was sent") };
                take(text.as_bytes());
            }
        });
    }
}
