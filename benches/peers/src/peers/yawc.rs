use bytes::Bytes;
use futures_util::{FutureExt, SinkExt};
use tokio::net::TcpStream;
use yawc::frame::OpCode;
use yawc::{Frame, Options, Role as R, WebSocket};

use crate::mem::{Mem, Sink};
use crate::table::About;
use crate::{Res, Role, block_on};

pub const ABOUT: About = About {
    package: "yawc",
    is_complete: true,
    setup: "feature simd, UTF-8 checked; in memory read buffer 128 KiB, flush threshold 64 KiB, as in its own benchmarks; over TCP 8 KiB (defaults)",
};

/// It checks no UTF-8 by default; here it does.
fn options() -> Options {
    Options::default().with_utf8().with_limits(16 << 20, 64 << 20)
}

fn ws(io: Mem, role: Role) -> Res<WebSocket<Mem>> {
    let role = if role == Role::Server { R::Server } else { R::Client };
    let options = options().with_read_buffer_capacity(128 << 10).with_backpressure_boundary(64 << 10);
    Ok(WebSocket::from_stream(io, role, options)?)
}

pub fn recv(io: Mem, role: Role, n: usize, sink: &mut Sink) -> Res {
    block_on(async {
        let mut ws = ws(io, role)?;
        for _ in 0..n {
            sink.take(ws.next_frame().await?.payload());
        }
        Ok(())
    })
}

pub fn send(io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
    block_on(async {
        let mut ws = ws(io, role)?;
        for _ in 0..n {
            ws.send(Frame::binary(payload.clone())).await?;
        }
        Ok(())
    })
}

pub fn echo(io: Mem, n: usize) -> Res {
    block_on(async {
        let mut ws = ws(io, Role::Server)?;
        for _ in 0..n {
            let frame = ws.next_frame().await?;
            ws.send(frame).await?;
        }
        Ok(())
    })
}

/// As `echo_batched`, for a stream of bare frames; but frames are queued as they
/// are read, which with yawc is four times as fast as queueing them afterwards.
pub async fn serve(tcp: TcpStream) -> Res {
    let mut ws = WebSocket::from_stream(tcp, R::Server, options())?;
    loop {
        let mut next = Some(ws.next_frame().await);
        while let Some(frame) = next {
            let frame = frame?;
            if matches!(frame.opcode(), OpCode::Text | OpCode::Binary) {
                ws.feed(frame).await?;
            }
            next = ws.next_frame().now_or_never();
        }
        ws.flush().await?;
    }
}
