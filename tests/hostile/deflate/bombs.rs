//! Items 56 and 57: messages that take more than they are worth.

use sansock::{Config, DeflateError, Error};

use super::peers::{self, BINARY, Encoder, both_see, both_see_with, chunks, fails, limited, noise};
use crate::common::{self, Seen, binary, masked, plain, sees};

#[test]
fn hostile_56_a_bomb_stops_at_the_limit() {
    let bomb = Encoder::new(9, 15, true).message(&vec![0; 1 << 20]);
    assert!(bomb.len() < 1100);
    let one = |limit| both_see_with(&[(BINARY, &bomb)], &limited(limit), "");
    assert_eq!(one(1 << 20), [binary(&vec![0; 1 << 20])]);
    assert_eq!(one((1 << 20) - 1), [Seen::Failed(Error::TooBig)]);
    assert_eq!(one(1), [Seen::Failed(Error::TooBig)]);
    assert_eq!(one(0), [Seen::Failed(Error::TooBig)]);

    let mut frames: Vec<(u8, &[u8])> = bomb.chunks(1).map(|byte| (0x00, byte)).collect();
    frames[0].0 = 0x42;
    frames.last_mut().unwrap().0 = 0x80;
    assert_eq!(both_see_with(&frames, &limited(1 << 20), "").len(), 1);
    assert_eq!(both_see_with(&frames, &limited((1 << 20) - 1), ""), [Seen::Failed(Error::TooBig)]);

    // The limit is that of a message, not of a connection.
    let no_takeover = "; server_no_context_takeover; client_no_context_takeover";
    let frames = vec![(BINARY, &bomb[..]); 5];
    assert_eq!(both_see_with(&frames, &limited(1 << 20), no_takeover).len(), 5);
}

#[test]
fn hostile_56_bombs_one_after_the_other_that_refer_to_each_other() {
    // With takeover the second one is shorter still; and each has the limit to itself.
    let mut encoder = Encoder::new(9, 15, true);
    let bombs: Vec<_> = (0..20).map(|_| encoder.message(&vec![0; 100_000])).collect();
    let frames: Vec<(u8, &[u8])> = bombs.iter().map(|bomb| (BINARY, &bomb[..])).collect();
    let saw = both_see_with(&frames, &limited(100_000), "");
    assert!(saw.len() == 20 && saw.iter().all(|seen| *seen == binary(&vec![0; 100_000])));
    assert_eq!(both_see_with(&frames, &limited(99_999), ""), [Seen::Failed(Error::TooBig)]);
}

#[test]
fn hostile_56_a_bomb_in_chunks_stops_at_the_limit_as_well() {
    let bomb = Encoder::new(9, 15, true).message(&vec![0; 1 << 20]);
    let handed_out = |limit, cut, is_server| {
        let mut config = chunks();
        config.max_message = limit;
        let mut len = 0;
        let (mut end, frame) = if is_server {
            (peers::server(config, ""), masked(BINARY, &bomb))
        } else {
            (peers::client(config, ""), plain(BINARY, &bomb))
        };
        for seen in common::feed(&mut end, &frame, &[cut]) {
            match seen {
                Seen::BinaryPart(part) | Seen::Binary(part) => len += part.len() as u64,
                other => return (len, other),
            }
        }
        (len, Seen::End)
    };
    for (cut, is_server) in [(100, true), (100, false), (1, true), (usize::MAX, true), (usize::MAX, false)] {
        assert_eq!(handed_out(1 << 20, cut, is_server), (1 << 20, Seen::End));
        for limit in [(1 << 20) - 1, 500_000, 1, 0] {
            let (len, end) = handed_out(limit, cut, is_server);
            assert!(len <= limit && end == Seen::Failed(Error::TooBig), "{len} of {limit}: {end:?}");
        }
    }
}

#[test]
fn hostile_56_a_message_at_the_limit_may_be_longer_while_compressed() {
    let payload = noise(100_000);
    let stored = Encoder::new(0, 15, true).message(&payload);
    assert!(stored.len() > payload.len());
    assert_eq!(both_see_with(&[(BINARY, &stored)], &limited(100_000), ""), [binary(&payload)]);
    assert_eq!(both_see_with(&[(BINARY, &stored)], &limited(99_999), ""), [Seen::Failed(Error::TooBig)]);
    // But not by far, and a frame not beyond its own limit: judged before the payload.
    let claim = masked(BINARY, &vec![0; 200_000]);
    assert_eq!(sees(&claim[..14], || peers::server(limited(100_000), "")).0, [Seen::Failed(Error::TooBig)]);
    for max_frame in [1000_u32, 100_000, 110_000] {
        let mut config = limited(100_000);
        config.max_frame = Some(max_frame.into());
        let claim = masked(BINARY, &vec![0; usize::try_from(max_frame).unwrap() + 1]);
        let saw = sees(&claim[..10], || peers::server(config.clone(), "")).0;
        assert_eq!(saw, [Seen::Failed(Error::TooBig)], "{max_frame}");
    }
}

#[test]
fn hostile_57_blocks_without_content_have_a_budget() {
    let empty = [0x00, 0x00, 0x00, 0xff, 0xff];
    let some = empty.repeat(13_000);
    assert_eq!(both_see(&[(0x42, &some), (0x80, b"\x00")]), [binary(b"")]);
    let many = empty.repeat(14_000);
    for config in [Config::default(), chunks()] {
        assert_eq!(both_see_with(&[(0x42, &many)], &config, ""), fails(DeflateError::ForNothing));
    }
    assert_eq!(Error::Deflate(DeflateError::ForNothing).close_code(), Some(sansock::CloseCode::TOO_BIG));
    // Each inflated byte pays for 16 more, and not for 17.
    let content = noise(1000);
    let stored = [&[0x00, 0xe8, 0x03, 0x17, 0xfc][..], &content].concat();
    let least_too_many = ((64 << 10) + 16 * 1000 - stored.len()) / empty.len() + 1;
    for (count, passes) in [(least_too_many - 1, true), (least_too_many, false)] {
        let saw = both_see(&[(BINARY, &[&stored[..], &empty.repeat(count)].concat())]);
        assert_eq!(saw == [binary(&content)], passes, "{count}");
        assert_eq!(saw == fails(DeflateError::ForNothing), !passes, "{count}");
    }
    // What they are wrapped around pays for them: one byte with a flush behind each is legal.
    let mut encoder = Encoder::new(1, 15, true);
    let flushed: Vec<u8> = noise(40_000).iter().flat_map(|&byte| encoder.flush(&[byte])).collect();
    assert_eq!(both_see(&[(0x42, &flushed), (0x80, b"\x00")]), [binary(&noise(40_000))]);
}

#[test]
fn hostile_57_streams_without_content_have_a_budget() {
    // Each of them makes the decoder begin anew.
    for (stream, often) in [(&b"\x03\x00"[..], 20_000), (b"\x4b\x04\x00", 5000)] {
        let many = stream.repeat(often);
        for params in ["", "; server_no_context_takeover; client_no_context_takeover"] {
            let saw = both_see_with(&[(0x42, &many)], &Config::default(), params);
            assert_eq!(saw, fails(DeflateError::ForNothing));
            assert_eq!(both_see_with(&[(BINARY, &stream.repeat(100))], &Config::default(), params).len(), 1);
            // Each of them counts for 512 bytes besides its own.
            let few = stream.repeat(130);
            if stream.len() == 2 {
                assert_eq!(
                    both_see_with(&[(BINARY, &few)], &Config::default(), params),
                    fails(DeflateError::ForNothing)
                );
            }
        }
    }
}
