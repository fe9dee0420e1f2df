//! No library: what is left to do when nothing is spared and nothing done twice. One buffer is filled by
//! reads of 64 KiB; of each frame the head is parsed, the payload unmasked in place, checked to be UTF-8
//! if it is text, and lent. Sending is a head on the stack and a vectored write of the caller's payload,
//! or one copy that is masked. There are no fragments, no control frames and no limits, and large messages
//! can be handled better still.

use std::io::{IoSlice, Write};

use bytes::Bytes;

use crate::frames::{TEXT, header};
use crate::mem::{CHUNK, Mem, Sink};
use crate::table::About;
use crate::{Res, Role};

pub const ABOUT: About =
    About { package: "-", is_complete: false, setup: "a sketch without a library; buffer 256 KiB or more" };

/// Hands `n` messages to `take`. All state is in local variables, where the compiler keeps it in registers.
#[inline(always)]
fn each(mut io: Mem, n: usize, is_masked: bool, mut take: impl FnMut(u8, &[u8])) -> Res {
    let (mut buffer, mut start, mut end, mut left) = (vec![0; 4 * CHUNK], 0, 0, n);
    while left > 0 {
        if start == end {
            (start, end) = (0, 0);
        } else if buffer.len() - end < CHUNK {
            buffer.copy_within(start..end, 0);
            (start, end) = (0, end - start);
        }
        if buffer.len() - end < CHUNK {
            buffer.resize(buffer.len() * 2, 0);
        }
        let read = io.read_into(&mut buffer[end..]);
        if read == 0 {
            return Err("end".into());
        }
        end += read;
        while let Some((head, first, mask, len)) = header(&buffer[start..end]) {
            if end - start < head + len {
                break;
            }
            if first & 0x70 != 0 || mask.is_some() != is_masked {
                return Err("the floor knows no other frames".into());
            }
            let payload = &mut buffer[start + head..start + head + len];
            if let Some(key) = mask {
                xor(payload, key);
            }
            let opcode = first & 0xf;
            if opcode == TEXT && !is_text(payload) {
                return Err("no text".into());
            }
            take(opcode, payload);
            start += head + len;
            left -= 1;
        }
    }
    Ok(())
}

/// Short text is mostly ASCII.
fn is_text(bytes: &[u8]) -> bool {
    (bytes.len() < 64 && bytes.is_ascii()) || simdutf8::basic::from_utf8(bytes).is_ok()
}

pub fn recv(io: Mem, role: Role, n: usize, sink: &mut Sink) -> Res {
    each(io, n, role == Role::Server, |_, payload| sink.take(payload))
}

/// Puts a frame's head at the start of `head`, with no mask; how long it is.
#[inline]
fn encode(head: &mut [u8; 10], opcode: u8, len: usize) -> usize {
    head[0] = 0x80 | opcode;
    match len {
        0..126 => {
            head[1] = len as u8;
            2
        }
        126..65536 => {
            head[1] = 126;
            head[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            4
        }
        _ => {
            head[1] = 127;
            head[2..].copy_from_slice(&(len as u64).to_be_bytes());
            10
        }
    }
}

pub fn send(mut io: Mem, role: Role, n: usize, payload: &Bytes) -> Res {
    let mut head = [0; 10];
    if role == Role::Server {
        for _ in 0..n {
            let len = encode(&mut head, 2, payload.len());
            let _ = io.write_vectored(&[IoSlice::new(&head[..len]), IoSlice::new(payload)])?;
        }
        return Ok(());
    }
    let mut out = vec![0; payload.len() + 14];
    for i in 0..n {
        let len = encode(&mut head, 2, payload.len());
        let key = (i as u32).wrapping_mul(0x9e37_79b9).to_ne_bytes();
        head[1] |= 0x80;
        out[..10].copy_from_slice(&head);
        out[len..len + 4].copy_from_slice(&key);
        let frame = &mut out[..len + 4 + payload.len()];
        frame[len + 4..].copy_from_slice(payload);
        xor(&mut frame[len + 4..], key);
        io.write_all(frame)?;
    }
    Ok(())
}

pub fn echo(io: Mem, n: usize) -> Res {
    let (mut out, mut head) = (io.writer(), [0; 10]);
    each(io, n, true, |opcode, payload| {
        let len = encode(&mut head, opcode, payload.len());
        // In memory this cannot fail.
        let _ = out.write_vectored(&[IoSlice::new(&head[..len]), IoSlice::new(payload)]);
    })
}

#[inline(always)]
fn xor_words(bytes: &mut [u8], key: [u8; 4]) {
    let word = u64::from(u32::from_ne_bytes(key));
    let word = word << 32 | word;
    let (words, tail) = bytes.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(word.to_ne_bytes()) {
        *byte ^= key;
    }
}

/// What every machine of the architecture has.
pub fn xor_plain(bytes: &mut [u8], key: [u8; 4]) {
    xor_words(bytes, key);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn xor_avx2_inner(bytes: &mut [u8], key: [u8; 4]) {
    xor_words(bytes, key); // the same loop, made of vectors of 32 bytes
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn xor_avx512_inner(bytes: &mut [u8], key: [u8; 4]) {
    use std::arch::x86_64::{_mm512_loadu_si512, _mm512_set1_epi32, _mm512_storeu_si512, _mm512_xor_si512};
    let word = _mm512_set1_epi32(i32::from_ne_bytes(key));
    let (blocks, tail) = bytes.as_chunks_mut::<64>();
    for block in blocks {
        // SAFETY: the block is 64 bytes, and these need no alignment.
        unsafe {
            let plain = _mm512_xor_si512(_mm512_loadu_si512(block.as_ptr().cast()), word);
            _mm512_storeu_si512(block.as_mut_ptr().cast(), plain);
        }
    }
    xor_words(tail, key);
}

pub fn xor_avx2(bytes: &mut [u8], key: [u8; 4]) {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= 32 && is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has it.
        return unsafe { xor_avx2_inner(bytes, key) };
    }
    xor_words(bytes, key);
}

/// The widest there is, chosen at run time; no detour for short messages.
pub fn xor(bytes: &mut [u8], key: [u8; 4]) {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= 128 && is_x86_feature_detected!("avx512f") {
        // SAFETY: the machine has it.
        return unsafe { xor_avx512_inner(bytes, key) };
    }
    xor_avx2(bytes, key);
}
