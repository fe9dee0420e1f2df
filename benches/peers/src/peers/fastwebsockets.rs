use bytes::Bytes;
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, Role as R, WebSocket};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::mem::{Mem, Sink};
use crate::table::About;
use crate::{Res, Role, block_on};

pub const ABOUT: About = About {
    package: "fastwebsockets",
    is_complete: true,
    setup: "FragmentCollector, feature simd; read buffer 8 KiB, writev from 1 KiB (defaults)",
};

fn ws<S: AsyncRead + AsyncWrite + Unpin>(io: S, role: Role) -> FragmentCollector<S> {
    let role = if role == Role::Server { R::Server } else { R::Client };
    FragmentCollector::new(WebSocket::after_handshake(io, role))
}

pub fn recv(io: Mem, role: Role, n: usize, sink: &mut Sink) -> Res {
    block_on(async {
        let mut ws = ws(io, role);
        for _ in 0..n {
            sink.take(&ws.read_frame().await?.payload);
        }
        Ok(())
    })
}

pub fn send(io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
    block_on(async {
        let mut ws = ws(io, role);
        for _ in 0..n {
            ws.write_frame(Frame::binary(Payload::Borrowed(payload))).await?;
        }
        Ok(())
    })
}

async fn echo_some<S: AsyncRead + AsyncWrite + Unpin>(io: S, n: usize) -> Res {
    let mut ws = ws(io, Role::Server);
    for _ in 0..n {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            OpCode::Close => break,
            _ => {}
        }
    }
    Ok(())
}

pub fn echo(io: Mem, n: usize) -> Res {
    block_on(echo_some(io, n))
}

pub async fn serve(tcp: TcpStream) -> Res {
    echo_some(tcp, usize::MAX).await
}
