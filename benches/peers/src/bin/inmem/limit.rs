//! The work alone, without frames and without a library.

use std::hint::black_box;

use peers::frames::{BINARY, Content, Frames, TEXT};
use peers::mem::CHUNK;
use peers::peers::floor::{xor, xor_avx2, xor_plain};

use crate::Row;

pub fn rows(size: usize, n: usize) -> Vec<Row<'static>> {
    // The compiler cannot see that the key is zero; so text stays text.
    let key = || black_box([0; 4]);
    let is_text = |bytes: &[u8]| assert!(simdutf8::basic::from_utf8(bytes).is_ok());
    let mut rows = Vec::new();
    let binary = Payloads::new(BINARY, size, Content::Bytes);
    rows.push(binary.row("memcpy", n, true, |_| {}));
    rows.push(binary.row("unmask, plain", n, false, move |bytes| xor_plain(bytes, key())));
    rows.push(binary.row("unmask, AVX2", n, false, move |bytes| xor_avx2(bytes, key())));
    rows.push(binary.row("unmask, AVX-512", n, false, move |bytes| xor(bytes, key())));
    rows.push(binary.row("memcpy + unmask, AVX-512", n, true, move |bytes| xor(bytes, key())));
    for (content, names) in [
        (Content::Ascii, ["simdutf8, ASCII", "memcpy + both, ASCII"]),
        (Content::Mixed, ["simdutf8, mixed", "memcpy + both, mixed"]),
    ] {
        let text = Payloads::new(TEXT, size, content);
        rows.push(text.row(names[0], n, false, move |bytes| is_text(bytes)));
        rows.push(text.row(names[1], n, true, move |bytes| {
            xor(bytes, key());
            is_text(bytes);
        }));
    }
    rows
}

struct Payloads {
    bytes: Vec<u8>,
    size: usize,
    /// Bytes of a buffer of whole messages: 64 KiB, or one message.
    group: usize,
}

impl Payloads {
    fn new(opcode: u8, size: usize, content: Content) -> Self {
        let frames = Frames::new(opcode, true, size, content);
        let group = (CHUNK / size).clamp(1, frames.payloads.len()) * size;
        Payloads { bytes: frames.payloads.concat(), size, group }
    }

    /// `work` on each of `n` messages, in place in one buffer, which copies of 64 KiB fill first if there
    /// is to be `copy`.
    fn row(
        &self,
        name: &'static str,
        n: usize,
        copy: bool,
        work: impl Fn(&mut [u8]) + 'static,
    ) -> Row<'static> {
        let (source, size, group) = (self.bytes.clone(), self.size, self.group);
        let mut buffer = source[..group].to_vec();
        Row::new(name, move || {
            let mut left = n;
            for from in source.chunks_exact(group).cycle() {
                if copy {
                    let parts = buffer.chunks_mut(CHUNK).zip(from.chunks(CHUNK));
                    parts.for_each(|(to, from)| to.copy_from_slice(from));
                    black_box(buffer.as_ptr());
                }
                for message in buffer.chunks_exact_mut(size) {
                    work(message);
                    black_box(message.as_ptr());
                }
                left = left.saturating_sub(group / size);
                if left == 0 {
                    break;
                }
            }
        })
    }
}
