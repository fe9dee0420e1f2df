//! No WebSocket: echoes bytes as they come. The limit within tokio.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Res;
use crate::mem::CHUNK;

pub async fn serve(mut tcp: TcpStream) -> Res {
    let mut buf = vec![0; CHUNK];
    loop {
        let n = tcp.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        tcp.write_all(&buf[..n]).await?;
    }
}
