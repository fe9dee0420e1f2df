use bytes::{Bytes, BytesMut};
use ratchet_rs::{Message, NoExt, PayloadType, Role as R, WebSocket, WebSocketConfig, WebSocketStream};
use tokio::net::TcpStream;

use crate::mem::{Mem, Sink};
use crate::table::About;
use crate::{Res, Role, block_on};

pub const ABOUT: About = About {
    package: "ratchet_rs",
    is_complete: true,
    setup: "defaults; a read buffer that grows from nothing",
};

fn ws<S: WebSocketStream>(io: S, role: Role) -> WebSocket<S, NoExt> {
    let role = if role == Role::Server { R::Server } else { R::Client };
    WebSocket::from_upgraded(WebSocketConfig::default(), io, Some(NoExt), BytesMut::new(), role)
}

pub fn recv(io: Mem, role: Role, n: usize, sink: &mut Sink) -> Res {
    block_on(async {
        let mut ws = ws(io, role);
        let mut buf = BytesMut::new();
        for _ in 0..n {
            ws.read(&mut buf).await?;
            sink.take(&buf);
            buf.clear();
        }
        Ok(())
    })
}

pub fn send(io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
    block_on(async {
        let mut ws = ws(io, role);
        for _ in 0..n {
            ws.write(payload, PayloadType::Binary).await?;
            ws.flush().await?;
        }
        Ok(())
    })
}

async fn echo_some<S: WebSocketStream>(io: S, n: usize) -> Res {
    let mut ws = ws(io, Role::Server);
    let mut buf = BytesMut::new();
    for _ in 0..n {
        match ws.read(&mut buf).await? {
            Message::Text => ws.write(&mut buf, PayloadType::Text).await?,
            Message::Binary => ws.write(&mut buf, PayloadType::Binary).await?,
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => break,
        }
        ws.flush().await?;
        buf.clear();
    }
    Ok(())
}

pub fn echo(io: Mem, n: usize) -> Res {
    block_on(echo_some(io, n))
}

pub async fn serve(tcp: TcpStream) -> Res {
    echo_some(tcp, usize::MAX).await
}
