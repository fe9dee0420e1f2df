//! A thread for each connection, which blocks.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use peers::mem::CHUNK;
use peers::{Res, upgrade};

pub fn serve(addr: &str, echo: fn(TcpStream) -> Res) -> Res {
    let listener = TcpListener::bind(addr)?;
    loop {
        let (mut tcp, _) = listener.accept()?;
        tcp.set_nodelay(true)?;
        std::thread::spawn(move || {
            upgrade::accept_blocking(&mut tcp)?;
            echo(tcp)
        });
    }
}

/// No WebSocket: echoes bytes as they come.
pub fn echo_bytes(mut tcp: TcpStream) -> Res {
    let mut buffer = vec![0; CHUNK];
    loop {
        let len = tcp.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        tcp.write_all(&buffer[..len])?;
    }
}
