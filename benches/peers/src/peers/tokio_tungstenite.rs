use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tungstenite::{Message, protocol::Role as R};

use crate::mem::{Mem, Sink};
use crate::table::About;
use crate::{Res, Role, block_on, echo_batched};

pub const ABOUT: About = About {
    package: "tokio-tungstenite",
    is_complete: true,
    setup: "read and write buffer 128 KiB (defaults)",
};

async fn ws<S: AsyncRead + AsyncWrite + Unpin>(io: S, role: Role) -> WebSocketStream<S> {
    let role = if role == Role::Server { R::Server } else { R::Client };
    WebSocketStream::from_raw_socket(io, role, None).await
}

pub fn recv(io: Mem, role: Role, n: usize, sink: &mut Sink) -> Res {
    block_on(async {
        let mut ws = ws(io, role).await;
        for _ in 0..n {
            match ws.next().await.ok_or("end")?? {
                Message::Binary(b) => sink.take(&b),
                Message::Text(t) => sink.take(t.as_str().as_bytes()),
                m => return Err(format!("unexpected {m:?}").into()),
            }
        }
        Ok(())
    })
}

pub fn send(io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
    block_on(async {
        let mut ws = ws(io, role).await;
        for _ in 0..n {
            ws.send(Message::Binary(payload.clone())).await?;
        }
        Ok(())
    })
}

pub fn echo(io: Mem, n: usize) -> Res {
    block_on(async {
        let mut ws = ws(io, Role::Server).await;
        for _ in 0..n {
            let m = ws.next().await.ok_or("end")??;
            ws.send(m).await?;
        }
        Ok(())
    })
}

pub async fn serve(tcp: TcpStream) -> Res {
    echo_batched(ws(tcp, Role::Server).await, |m: &Message| m.is_binary() || m.is_text()).await
}
