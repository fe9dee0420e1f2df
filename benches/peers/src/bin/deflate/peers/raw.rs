//! zlib-rs alone: one call to compress a message, two to inflate it, no frames.

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush};

use super::{Context, Peer, TAIL, Turn};

pub struct Raw {
    context: Context,
    config: DeflateConfig,
    inflate: Inflate,
    room: Vec<u8>,
}

impl Peer for Raw {
    fn new(context: Context, level: u8) -> Self {
        let level = i32::from(level);
        let config = DeflateConfig { level, window_bits: -15, mem_level: 8, ..DeflateConfig::default() };
        Raw { context, config, inflate: Inflate::new(false, 15), room: vec![0; 64 << 10] }
    }

    fn send(&mut self, turn: &Turn, mut take: impl FnMut(&[u8])) {
        let mut deflate = Deflate::new_with_config(self.config);
        for text in &turn.texts {
            if self.context == Context::NoTakeover {
                deflate.reset();
            }
            let before = deflate.total_out();
            deflate.compress(text.as_bytes(), &mut self.room, DeflateFlush::SyncFlush).unwrap();
            take(&self.room[..(deflate.total_out() - before) as usize]);
        }
    }

    fn receive(&mut self, turn: &Turn, mut take: impl FnMut(&[u8])) {
        self.inflate.reset(false);
        for payload in &turn.payloads {
            if self.context == Context::NoTakeover {
                self.inflate.reset(false);
            }
            let before = self.inflate.total_out();
            let payload = &turn.frames[payload.clone()];
            self.inflate.decompress(payload, &mut self.room, InflateFlush::NoFlush).unwrap();
            let made = (self.inflate.total_out() - before) as usize;
            self.inflate.decompress(&TAIL, &mut self.room[made..], InflateFlush::NoFlush).unwrap();
            take(&self.room[..made]);
        }
    }
}
