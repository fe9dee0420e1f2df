use bytes::Bytes;
use tokio::net::TcpStream;
use wtx::collection::Vector;
use wtx::rng::{Xorshift64, simple_seed};
use wtx::stream::{Stream, StreamReader, StreamWriter};
use wtx::web_socket::{Frame, OpCode, WebSocketBuffer, WebSocketOwned, WebSocketPayloadOrigin::Adaptive};

use crate::mem::{Mem, Sink};
use crate::table::About;
use crate::{Res, Role, block_on};

pub const ABOUT: About = About {
    package: "wtx",
    is_complete: true,
    setup: "WebSocketOwned, features optimization and tokio; buffers that grow from nothing (defaults)",
};

impl StreamReader for Mem {
    #[inline]
    async fn read(&mut self, bytes: &mut [u8]) -> wtx::Result<usize> {
        Ok(self.read_into(bytes))
    }
}

impl StreamWriter for Mem {
    #[inline]
    async fn write_all(&mut self, bytes: &[u8]) -> wtx::Result<()> {
        std::io::Write::write(self, bytes)?;
        Ok(())
    }
    #[inline]
    async fn write_all_vectored(&mut self, bytes: &[&[u8]]) -> wtx::Result<()> {
        for b in bytes {
            std::io::Write::write(self, b)?;
        }
        Ok(())
    }
}

type Ws<S, const IS_CLIENT: bool> = WebSocketOwned<(), Xorshift64, S, IS_CLIENT>;

fn ws<S: Stream, const IS_CLIENT: bool>(io: S) -> Ws<S, IS_CLIENT> {
    Ws::new((), false, Xorshift64::from(simple_seed()), io, WebSocketBuffer::new())
}

async fn recv_as<const IS_CLIENT: bool>(io: Mem, n: usize, sink: &mut Sink) -> Res {
    let mut ws = ws::<_, IS_CLIENT>(io);
    let mut buf = Vector::new();
    for _ in 0..n {
        sink.take(ws.read_frame(&mut buf, Adaptive).await?.payload());
    }
    Ok(())
}

async fn send_as<const IS_CLIENT: bool>(io: Mem, n: usize, payload: &Bytes) -> Res {
    let mut ws = ws::<_, IS_CLIENT>(io);
    let mut buf = payload.to_vec();
    for _ in 0..n {
        // A client masks the caller's buffer in place, so it needs a fresh copy each time.
        if IS_CLIENT {
            buf.copy_from_slice(payload);
        }
        ws.write_frame(&mut Frame::new_fin(OpCode::Binary, &mut buf[..])).await?;
    }
    Ok(())
}

pub fn recv(io: Mem, role: Role, n: usize, sink: &mut Sink) -> Res {
    match role {
        Role::Server => block_on(recv_as::<false>(io, n, sink)),
        Role::Client => block_on(recv_as::<true>(io, n, sink)),
    }
}

pub fn send(io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
    match role {
        Role::Server => block_on(send_as::<false>(io, n, payload)),
        Role::Client => block_on(send_as::<true>(io, n, payload)),
    }
}

async fn echo_some<S: Stream>(io: S, n: usize) -> Res {
    let mut ws = ws::<_, false>(io);
    let (mut common, mut reader, mut writer) = ws.split_mut();
    let mut buf = Vector::new();
    for _ in 0..n {
        let mut frame = reader.read_frame(&mut buf, &mut common, Adaptive).await?;
        match frame.op_code() {
            OpCode::Binary | OpCode::Text => writer.write_frame(&mut common, &mut frame).await?,
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
