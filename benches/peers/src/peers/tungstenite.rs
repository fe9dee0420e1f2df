use bytes::Bytes;
use tungstenite::protocol::{Role as R, WebSocket};
use tungstenite::{Message, Utf8Bytes};

use crate::mem::{Mem, Sink};
use crate::table::About;
use crate::{Res, Role};

pub const ABOUT: About =
    About { package: "tungstenite", is_complete: true, setup: "read and write buffer 128 KiB (defaults)" };

fn ws(io: Mem, role: Role) -> WebSocket<Mem> {
    let role = if role == Role::Server { R::Server } else { R::Client };
    WebSocket::from_raw_socket(io, role, None)
}

pub fn recv(io: Mem, role: Role, n: usize, sink: &mut Sink) -> Res {
    let mut ws = ws(io, role);
    for _ in 0..n {
        match ws.read()? {
            Message::Binary(b) => sink.take(&b),
            Message::Text(t) => sink.take(Utf8Bytes::as_str(&t).as_bytes()),
            m => return Err(format!("unexpected {m:?}").into()),
        }
    }
    Ok(())
}

pub fn send(io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
    let mut ws = ws(io, role);
    for _ in 0..n {
        ws.send(Message::Binary(payload.clone()))?;
    }
    Ok(())
}

pub fn echo(io: Mem, n: usize) -> Res {
    let mut ws = ws(io, Role::Server);
    for _ in 0..n {
        let m = ws.read()?;
        ws.send(m)?;
    }
    Ok(())
}
