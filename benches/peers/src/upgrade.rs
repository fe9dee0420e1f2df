//! The server's side of the HTTP upgrade, the same for every echo server, so that what is measured begins
//! after it.

use std::io::{Read, Write};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Res;

const ROOM: usize = 2048;

/// The 101 response to a request, once its head is complete.
pub fn response(head: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?.strip_suffix("\r\n\r\n")?;
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
    })?;
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    Some(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
}

/// Reads the request and answers it. The client sends no frame before that.
pub async fn accept(tcp: &mut TcpStream) -> Res {
    let (mut head, mut len) = (vec![0; ROOM], 0);
    loop {
        let read = tcp.read(&mut head[len..]).await?;
        if read == 0 {
            return Err("no request to upgrade".into());
        }
        len += read;
        if let Some(response) = response(&head[..len]) {
            tcp.write_all(response.as_bytes()).await?;
            return Ok(());
        }
    }
}

/// The same without async.
pub fn accept_blocking(tcp: &mut std::net::TcpStream) -> Res {
    let (mut head, mut len) = (vec![0; ROOM], 0);
    loop {
        let read = tcp.read(&mut head[len..])?;
        if read == 0 {
            return Err("no request to upgrade".into());
        }
        len += read;
        if let Some(response) = response(&head[..len]) {
            tcp.write_all(response.as_bytes())?;
            return Ok(());
        }
    }
}
