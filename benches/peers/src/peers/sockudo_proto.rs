//! sockudo-ws below its stream: its sans-IO `Protocol` over buffers of ours.

use bytes::{Bytes, BytesMut};
use sockudo_ws::protocol::Protocol;
use sockudo_ws::{Config, Message, RECV_BUFFER_SIZE, Role as R};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::mem::{Mem, Sink};
use crate::table::About;
use crate::{Res, Role, block_on};

pub const ABOUT: About = About {
    package: "sockudo-ws",
    is_complete: true,
    setup: "its Protocol without I/O; read buffer 64 KiB, of this harness",
};

fn protocol(role: Role) -> Protocol {
    let role = if role == Role::Server { R::Server } else { R::Client };
    let c = Config::default();
    Protocol::new(role, c.max_frame_size, c.max_message_size)
}

pub fn recv(mut io: Mem, role: Role, n: usize, sink: &mut Sink) -> Res {
    block_on(async {
        let (mut ws, mut buf, mut msgs) = (protocol(role), BytesMut::new(), Vec::new());
        let mut left = n;
        while left > 0 {
            buf.reserve(RECV_BUFFER_SIZE);
            if io.read_buf(&mut buf).await? == 0 {
                return Err("end".into());
            }
            ws.process_into(&mut buf, &mut msgs)?;
            for m in msgs.drain(..) {
                sink.take(m.as_bytes());
                left -= 1;
            }
        }
        Ok(())
    })
}

pub fn send(mut io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
    block_on(async {
        let (mut ws, mut out) = (protocol(role), BytesMut::new());
        for _ in 0..n {
            ws.encode_message(&Message::Binary(payload.clone()), &mut out)?;
            io.write_all(&out).await?;
            out.clear();
        }
        Ok(())
    })
}

async fn echo_some<S: AsyncRead + AsyncWrite + Unpin>(mut io: S, n: usize, batched: bool) -> Res {
    let mut ws = protocol(Role::Server);
    let (mut buf, mut out, mut msgs) = (BytesMut::new(), BytesMut::new(), Vec::new());
    let mut left = n;
    while left > 0 {
        buf.reserve(RECV_BUFFER_SIZE);
        if io.read_buf(&mut buf).await? == 0 {
            return Err("end".into());
        }
        ws.process_into(&mut buf, &mut msgs)?;
        for m in msgs.drain(..) {
            match &m {
                Message::Ping(p) => ws.encode_pong(p, &mut out),
                Message::Close(_) => return Ok(()),
                _ => ws.encode_message(&m, &mut out)?,
            }
            if !batched {
                io.write_all(&out).await?;
                out.clear();
            }
            left -= 1;
        }
        if batched && !out.is_empty() {
            io.write_all(&out).await?;
            out.clear();
        }
    }
    Ok(())
}

pub fn echo(io: Mem, n: usize) -> Res {
    block_on(echo_some(io, n, false))
}

pub async fn serve(tcp: TcpStream) -> Res {
    echo_some(tcp, usize::MAX, true).await
}
