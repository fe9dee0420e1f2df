//! A frame codec only: messages that span reads are joined here, text is not
//! checked, and pings are left out of the echo.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use websocket_sans_io::{
    FrameInfo, Opcode, WebsocketFrameDecoder, WebsocketFrameEncoder, WebsocketFrameEvent,
};

use crate::mem::{CHUNK, Mem, Sink};
use crate::table::About;
use crate::{Res, Role, block_on};

pub const ABOUT: About = About {
    package: "websocket-sans-io",
    is_complete: false,
    setup: "read buffer 64 KiB, of this harness, which joins what spans reads",
};

#[derive(Default)]
struct Decoder {
    inner: WebsocketFrameDecoder,
    partial: Vec<u8>,
}

impl Decoder {
    /// Decodes all of `buf`, unmasking in place, and hands out each whole message.
    fn decode(&mut self, mut buf: &mut [u8], mut message: impl FnMut(Opcode, &[u8])) -> Res {
        let mut whole: &[u8] = &[];
        loop {
            let r = self.inner.add_data(buf).map_err(|e| format!("{e:?}"))?;
            let (used, rest) = std::mem::take(&mut buf).split_at_mut(r.consumed_bytes);
            buf = rest;
            match r.event {
                Some(WebsocketFrameEvent::PayloadChunk { .. }) => {
                    if self.partial.is_empty() && whole.is_empty() {
                        whole = used;
                    } else {
                        self.partial.extend_from_slice(whole);
                        self.partial.extend_from_slice(used);
                        whole = &[];
                    }
                }
                Some(WebsocketFrameEvent::End { original_opcode, frame_info }) if frame_info.fin => {
                    let joined = self.partial.is_empty();
                    message(original_opcode, if joined { whole } else { &self.partial });
                    self.partial.clear();
                    whole = &[];
                }
                Some(_) => {}
                None if r.consumed_bytes == 0 || buf.is_empty() => break,
                None => {}
            }
        }
        self.partial.extend_from_slice(whole);
        Ok(())
    }
}

fn encode(out: &mut Vec<u8>, opcode: Opcode, mask: Option<[u8; 4]>, payload: &[u8]) {
    let mut enc = WebsocketFrameEncoder::new();
    let info = FrameInfo { opcode, mask, fin: true, reserved: 0, payload_length: payload.len() as u64 };
    out.extend_from_slice(&enc.start_frame(&info));
    let at = out.len();
    out.extend_from_slice(payload);
    if enc.transform_needed() {
        enc.transform_frame_payload(&mut out[at..]);
    }
}

pub fn recv(mut io: Mem, _: Role, n: usize, sink: &mut Sink) -> Res {
    block_on(async {
        let (mut ws, mut buf) = (Decoder::default(), vec![0; CHUNK]);
        let end = sink.msgs + n;
        while sink.msgs < end {
            let len = io.read(&mut buf).await?;
            if len == 0 {
                return Err("end".into());
            }
            ws.decode(&mut buf[..len], |_, m| sink.take(m))?;
        }
        Ok(())
    })
}

pub fn send(mut io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
    block_on(async {
        let mut out = Vec::new();
        for i in 0..n {
            let mask = (i as u32).wrapping_mul(0x9e37_79b9).to_ne_bytes();
            encode(&mut out, Opcode::Binary, (role == Role::Client).then_some(mask), payload);
            io.write_all(&out).await?;
            out.clear();
        }
        Ok(())
    })
}

pub fn echo(mut io: Mem, n: usize) -> Res {
    let (mut ws, mut buf, mut out) = (Decoder::default(), vec![0; CHUNK], Vec::new());
    let mut writer = io.writer();
    let mut done = 0;
    while done < n {
        let len = io.read_into(&mut buf);
        if len == 0 {
            return Err("end".into());
        }
        ws.decode(&mut buf[..len], |opcode, message| {
            encode(&mut out, opcode, None, message);
            // In memory this cannot fail.
            let _ = std::io::Write::write_all(&mut writer, &out);
            out.clear();
            done += 1;
        })?;
    }
    Ok(())
}

pub async fn serve(mut tcp: TcpStream) -> Res {
    let (mut ws, mut buf, mut out) = (Decoder::default(), vec![0; CHUNK], Vec::new());
    loop {
        let len = tcp.read(&mut buf).await?;
        if len == 0 {
            return Ok(());
        }
        ws.decode(&mut buf[..len], |opcode, message| encode(&mut out, opcode, None, message))?;
        tcp.write_all(&out).await?;
        out.clear();
    }
}
