//! sockudo-ws, below its stream without I/O, and over the transport.

use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use futures_util::stream::StreamExt;
use sockudo_ws::{
    CompressedProtocol, CompressedWebSocketStream, Config, DeflateConfig, Message, RECV_BUFFER_SIZE,
};

use super::{Context, Peer, Turn};
use crate::transport::{READ, Transport, block_on};

fn config(context: Context, level: u8) -> DeflateConfig {
    DeflateConfig {
        compression_level: level.into(),
        server_no_context_takeover: context == Context::NoTakeover,
        client_no_context_takeover: context == Context::NoTakeover,
        ..DeflateConfig::default()
    }
}

/// Without I/O.
pub struct SockudoProtocol(DeflateConfig);

impl Peer for SockudoProtocol {
    fn new(context: Context, level: u8) -> Self {
        SockudoProtocol(config(context, level))
    }

    fn send(&mut self, turn: &Turn, mut take: impl FnMut(&[u8])) {
        let limits = Config::default();
        let mut server =
            CompressedProtocol::server(limits.max_frame_size, limits.max_message_size, self.0.clone());
        let mut out = BytesMut::with_capacity(RECV_BUFFER_SIZE);
        for text in &turn.texts {
            server.encode_message(&Message::Text(Bytes::from(text.clone())), &mut out).unwrap();
            take(&out);
            out.clear();
        }
    }

    fn receive(&mut self, turn: &Turn, mut take: impl FnMut(&[u8])) {
        let limits = Config::default();
        let mut client =
            CompressedProtocol::client(limits.max_frame_size, limits.max_message_size, self.0.clone());
        let (mut input, mut messages) = (BytesMut::with_capacity(RECV_BUFFER_SIZE), Vec::new());
        for part in turn.frames.chunks(READ) {
            input.extend_from_slice(part);
            client.process_into(&mut input, &mut messages).unwrap();
            for message in messages.drain(..) {
                assert!(message.is_text());
                take(message.as_bytes());
            }
        }
    }
}

/// Over the transport.
pub struct SockudoStream(DeflateConfig);

impl Peer for SockudoStream {
    fn new(context: Context, level: u8) -> Self {
        SockudoStream(config(context, level))
    }

    fn send(&mut self, turn: &Turn, take: impl FnMut(&[u8]) + Unpin) {
        block_on(async {
            let transport = Transport { input: &[], take };
            let mut ws = CompressedWebSocketStream::server(transport, Config::default(), self.0.clone());
            for text in &turn.texts {
                ws.send(Message::Text(Bytes::from(text.clone()))).await.unwrap();
            }
        });
    }

    fn receive(&mut self, turn: &Turn, mut take: impl FnMut(&[u8])) {
        block_on(async {
            let transport = Transport { input: &turn.frames, take: |_: &[u8]| {} };
            let mut ws = CompressedWebSocketStream::client(transport, Config::default(), self.0.clone());
            for _ in &turn.texts {
                let message = ws.next().await.unwrap().unwrap();
                assert!(message.is_text());
                take(message.as_bytes());
            }
        });
    }
}
