use bytes::Bytes;
use futures_util::io::{AsyncRead, AsyncWrite, BufReader, BufWriter};
use soketto::connection::{Builder, Mode};
use soketto::{Receiver, Sender};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncReadCompatExt;

use crate::mem::{Mem, Sink};
use crate::table::About;
use crate::{Res, Role, block_on};

pub const ABOUT: About = About {
    package: "soketto",
    is_complete: true,
    setup: "BufReader and BufWriter of 8 KiB, as in its examples",
};

type Io<S> = BufReader<BufWriter<S>>;

/// Buffered both ways, as in the crate's examples.
fn ws<S: AsyncRead + AsyncWrite + Unpin>(io: S, role: Role) -> (Sender<Io<S>>, Receiver<Io<S>>) {
    let mode = if role == Role::Server { Mode::Server } else { Mode::Client };
    Builder::new(BufReader::new(BufWriter::new(io)), mode).finish()
}

pub fn recv(io: Mem, role: Role, n: usize, sink: &mut Sink) -> Res {
    block_on(async {
        let (_tx, mut rx) = ws(io, role);
        let mut buf = Vec::new();
        for _ in 0..n {
            buf.clear();
            rx.receive_data(&mut buf).await?;
            sink.take(&buf);
        }
        Ok(())
    })
}

pub fn send(io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
    block_on(async {
        let (mut tx, _rx) = ws(io, role);
        for _ in 0..n {
            tx.send_binary(payload).await?;
            tx.flush().await?;
        }
        Ok(())
    })
}

async fn echo_some<S: AsyncRead + AsyncWrite + Unpin>(io: S, n: usize) -> Res {
    let (mut tx, mut rx) = ws(io, Role::Server);
    let mut buf = Vec::new();
    for _ in 0..n {
        buf.clear();
        if rx.receive_data(&mut buf).await?.is_text() {
            tx.send_text(std::str::from_utf8(&buf)?).await?;
        } else {
            tx.send_binary_mut(&mut buf).await?;
        }
        tx.flush().await?;
    }
    Ok(())
}

pub fn echo(io: Mem, n: usize) -> Res {
    block_on(echo_some(io, n))
}

pub async fn serve(tcp: TcpStream) -> Res {
    echo_some(tcp.compat(), usize::MAX).await
}
