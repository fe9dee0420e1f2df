use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Config, Limits, Message, ServerBuilder, WebSocketStream};

use crate::mem::{Mem, Sink};
use crate::table::About;
use crate::{Res, Role, block_on, echo_batched};

pub const ABOUT: About = About {
    package: "tokio-websockets",
    is_complete: true,
    setup: "no limits, one frame per message, as its echo server; read buffer 8 KiB, flush threshold 8 KiB (defaults)",
};

fn ws<S: AsyncRead + AsyncWrite + Unpin>(io: S, role: Role) -> WebSocketStream<S> {
    // As in the crate's own echo server.
    let config = Config::default().frame_size(usize::MAX);
    match role {
        Role::Server => ServerBuilder::new().config(config).limits(Limits::unlimited()).serve(io),
        Role::Client => ClientBuilder::new().config(config).limits(Limits::unlimited()).take_over(io),
    }
}

pub fn recv(io: Mem, role: Role, n: usize, sink: &mut Sink) -> Res {
    block_on(async {
        let mut ws = ws(io, role);
        for _ in 0..n {
            sink.take(ws.next().await.ok_or("end")??.as_payload());
        }
        Ok(())
    })
}

pub fn send(io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
    block_on(async {
        let mut ws = ws(io, role);
        for _ in 0..n {
            ws.send(Message::binary(payload.clone())).await?;
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
