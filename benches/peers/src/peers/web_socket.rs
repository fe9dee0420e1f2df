use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpStream;
use web_socket::{DataType, Event, Frame, MessageType, WebSocket};

use crate::mem::{Mem, Sink};
use crate::table::About;
use crate::{Res, Role, block_on};

pub const ABOUT: About = About {
    package: "web-socket",
    is_complete: false,
    setup: "BufReader of 8 KiB; no check of UTF-8, each frame by itself",
};

/// It reads headers a few bytes at a time, so it wants a buffered reader.
fn ws<S: AsyncRead + AsyncWrite + Unpin>(io: S, role: Role) -> WebSocket<BufReader<S>> {
    let io = BufReader::new(io);
    match role {
        Role::Server => WebSocket::server(io),
        Role::Client => WebSocket::client(io),
    }
}

pub fn recv(io: Mem, role: Role, n: usize, sink: &mut Sink) -> Res {
    block_on(async {
        let mut ws = ws(io, role);
        for _ in 0..n {
            match ws.recv().await? {
                Event::Data { data, .. } => sink.take(&data),
                e => return Err(format!("unexpected {e:?}").into()),
            }
        }
        Ok(())
    })
}

pub fn send(io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
    block_on(async {
        let mut ws = ws(io, role);
        for _ in 0..n {
            ws.send(&payload[..]).await?;
        }
        Ok(())
    })
}

async fn echo_some<S: AsyncRead + AsyncWrite + Unpin>(io: S, n: usize) -> Res {
    let mut ws = ws(io, Role::Server);
    for _ in 0..n {
        match ws.recv().await? {
            Event::Data { ty: DataType::Complete(ty), data } => {
                let opcode = if ty == MessageType::Text { 1 } else { 2 };
                ws.send(Frame { fin: true, opcode, data: &data }).await?;
            }
            Event::Ping(data) => ws.send_pong(data).await?,
            Event::Close { .. } => break,
            e => return Err(format!("unexpected {e:?}").into()),
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
