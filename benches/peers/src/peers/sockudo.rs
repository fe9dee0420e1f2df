use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use sockudo_ws::{Config, Message, Role as R, WebSocketStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::mem::{Mem, Sink};
use crate::table::About;
use crate::{Res, Role, block_on, echo_batched};

pub const ABOUT: About = About {
    package: "sockudo-ws",
    is_complete: true,
    setup: "WebSocketStream, feature simd; read buffer 64 KiB, write buffer 16 KiB (defaults)",
};

fn ws<S: AsyncRead + AsyncWrite + Unpin>(io: S, role: Role) -> WebSocketStream<S> {
    let role = if role == Role::Server { R::Server } else { R::Client };
    WebSocketStream::from_raw(io, role, Config::default())
}

pub fn recv(io: Mem, role: Role, n: usize, sink: &mut Sink) -> Res {
    block_on(async {
        let mut ws = ws(io, role);
        for _ in 0..n {
            sink.take(ws.next().await.ok_or("end")??.as_bytes());
        }
        Ok(())
    })
}

pub fn send(io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
    block_on(async {
        let mut ws = ws(io, role);
        for _ in 0..n {
            ws.send(Message::Binary(payload.clone())).await?;
        }
        Ok(())
    })
}

pub fn echo(io: Mem, n: usize) -> Res {
    block_on(async {
        let mut ws = ws(io, Role::Server);
        for _ in 0..n {
            let m = ws.next().await.ok_or("end")??;
            ws.send(m).await?;
        }
        Ok(())
    })
}

pub async fn serve(tcp: TcpStream) -> Res {
    echo_batched(ws(tcp, Role::Server), |m: &Message| m.is_binary() || m.is_text()).await
}
