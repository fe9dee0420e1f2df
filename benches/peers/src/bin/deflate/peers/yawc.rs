//! yawc over the transport: it has no form without I/O that compresses. Its buffers are as in its own
//! benchmarks; its pool of codecs serves connections without takeover, as it does by design.

use bytes::Bytes;
use futures_util::SinkExt;
use yawc::frame::OpCode;
use yawc::{CompressionLevel, DeflatePool, Frame, Options, Role, WebSocket};

use super::{Context, Peer, Turn};
use crate::transport::{Transport, block_on};

pub struct Yawc {
    context: Context,
    options: Options,
}

impl Peer for Yawc {
    fn new(context: Context, level: u8) -> Self {
        let options = Options::default()
            .with_compression_level(CompressionLevel::new(level.into()))
            .with_deflate_pool(DeflatePool::new(1))
            .with_read_buffer_capacity(128 << 10)
            .with_backpressure_boundary(64 << 10)
            .with_utf8();
        Yawc { context, options }
    }

    fn send(&mut self, turn: &Turn, take: impl FnMut(&[u8]) + Unpin) {
        block_on(async {
            let mut ws = self.over(Role::Server, Transport { input: &[], take });
            for text in &turn.texts {
                ws.send(Frame::text(Bytes::from(text.clone()))).await.unwrap();
            }
        });
    }

    fn receive(&mut self, turn: &Turn, mut take: impl FnMut(&[u8])) {
        block_on(async {
            let mut ws = self.over(Role::Client, Transport { input: &turn.frames, take: |_: &[u8]| {} });
            for _ in &turn.texts {
                let frame = ws.next_frame().await.unwrap();
                assert!(frame.opcode() == OpCode::Text);
                take(frame.payload());
            }
        });
    }
}

impl Yawc {
    fn over<'a, F: FnMut(&[u8]) + Unpin>(
        &self,
        role: Role,
        transport: Transport<'a, F>,
    ) -> WebSocket<Transport<'a, F>> {
        let agreed = Some(self.context.agreed());
        WebSocket::from_stream_with_extensions(transport, role, agreed, self.options.clone()).unwrap()
    }
}
