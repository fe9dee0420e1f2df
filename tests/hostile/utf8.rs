//! Items 44 to 50: text is judged at the byte that cannot be right. `tests/exhaustive.rs` has every string of four
//! bytes, and every character at every split; `tests/deflate_receive.rs` has compressed text.

use sansock::{Config, Connection, Delivery, Error};

use crate::common::{Seen, binary, events, feed, give, held, output, plain, text};
use crate::framing::role::{Outcome, Role, both_see, fails, unmasked};

fn invalid() -> Outcome {
    fails(Error::InvalidUtf8)
}

/// The first and last characters of each length of encoding, those around the surrogates, and the first of every
/// range that Unicode 15 table 3-7 names.
const EDGES: [char; 16] = [
    '\0',
    '\x7f',
    '\u{80}',
    '\u{7ff}',
    '\u{800}',
    '\u{fff}',
    '\u{1000}',
    '\u{cfff}',
    '\u{d000}',
    '\u{d7ff}',
    '\u{e000}',
    '\u{ffff}',
    '\u{10000}',
    '\u{3ffff}',
    '\u{40000}',
    '\u{10ffff}',
];

/// Sequences that are not UTF-8, and how many bytes of each it takes to see that.
const INVALID: [(&[u8], usize); 34] = [
    // Continuations of nothing.
    (b"\x80", 1),
    (b"\xbf", 1),
    (b"a\x80", 2),
    (b"\xc3\xa4\xa4", 3),
    (b"\xe2\x82\xac\x80", 4),
    (b"\xf0\x9f\x98\x80\x80", 5),
    // Characters that stop short.
    (b"\xc3a", 2),
    (b"\xc3\xc3", 2),
    (b"\xe2a", 2),
    (b"\xe2\x82a", 3),
    (b"\xe2\x82\xe2", 3),
    (b"\xf0\x9f\x98a", 4),
    (b"\xf0\x9f\xf0", 3),
    // Longer than need be.
    (b"\xc0\x80", 1),
    (b"\xc0\xaf", 1),
    (b"\xc1\xbf", 1),
    (b"\xe0\x80\x80", 2),
    (b"\xe0\x9f\xbf", 2),
    (b"\xf0\x80\x80\x80", 2),
    (b"\xf0\x8f\xbf\xbf", 2),
    // Surrogates, single and in pairs.
    (b"\xed\xa0\x80", 2),
    (b"\xed\xaf\xbf", 2),
    (b"\xed\xb0\x80", 2),
    (b"\xed\xbf\xbf", 2),
    (b"\xed\xa0\x80\xed\xb0\x80", 2),
    // Above U+10FFFF.
    (b"\xf4\x90\x80\x80", 2),
    (b"\xf4\xbf\xbf\xbf", 2),
    (b"\xf5\x80\x80\x80", 1),
    (b"\xf7\xbf\xbf\xbf", 1),
    // What once was five and six bytes long, and what never was.
    (b"\xf8\x88\x80\x80\x80", 1),
    (b"\xfb\xbf\xbf\xbf\xbf", 1),
    (b"\xfc\x84\x80\x80\x80\x80", 1),
    (b"\xfe", 1),
    (b"\xff", 1),
];

/// All ways to cut `bytes` into one to four parts, some of them empty.
fn cuts(bytes: &[u8]) -> impl Iterator<Item = [&[u8]; 4]> {
    let len = bytes.len();
    let ends = (0..=len).flat_map(move |a| (a..=len).flat_map(move |b| (b..=len).map(move |c| (a, b, c))));
    ends.map(|(a, b, c)| [&bytes[..a], &bytes[a..b], &bytes[b..c], &bytes[c..]])
}

/// A message of four fragments.
fn fragments([first, second, third, last]: [&[u8]; 4]) -> [(u8, &[u8]); 4] {
    [(0x01, first), (0x00, second), (0x00, third), (0x80, last)]
}

#[test]
fn hostile_44_characters_may_be_cut_by_frames_and_reads_anywhere() {
    for character in EDGES {
        let said = format!("{character}");
        for parts in cuts(said.as_bytes()) {
            assert_eq!(both_see(&fragments(parts)), (vec![text(&said)], Vec::new()), "{said:?} {parts:?}");
        }
    }
}

#[test]
fn hostile_44_all_edges_in_one_message_cut_in_two_at_every_byte() {
    let said: String = EDGES.iter().collect();
    for at in 0..=said.len() {
        let (first, last) = said.as_bytes().split_at(at);
        let seen = both_see(&[(0x01, first), (0x80, last), (0x81, said.as_bytes())]).0;
        assert_eq!(seen, [text(&said), text(&said)], "at {at}");
    }
}

#[test]
fn hostile_44_chunks_are_cut_between_characters_only() {
    let mut config = Config::default();
    config.delivery = Delivery::Chunks;
    let said: String = EDGES.iter().collect();
    for role in Role::BOTH {
        for at in 0..=said.len() {
            for size in 1..=5 {
                let (first, last) = said.as_bytes().split_at(at);
                let bytes = role.frames(&[(0x01, first), (0x80, last)]);
                let mut whole = String::new();
                let seen = feed(&mut role.connection(&config), &bytes, &[size]);
                for (i, part) in seen.iter().enumerate() {
                    match part {
                        Seen::TextPart(part) if i + 1 < seen.len() => whole.push_str(part),
                        Seen::Text(part) if i + 1 == seen.len() => whole.push_str(part),
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(whole, said, "at {at}, {size} bytes at once");
            }
        }
    }
}

/// After this text and the first `len` bytes of this sequence, one by one, a connection has failed; and not before.
fn assert_fails_at(role: Role, first: u8, before: &[u8], wrong: &[u8], len: usize) {
    // More is announced than there is.
    let payload = [before, wrong, &[b'a'; 50]].concat();
    let frame = role.frame(first, &payload);
    let head = frame.len() - payload.len();
    let mut connection = role.connection(&Config::default());
    for (i, byte) in frame[..head + before.len() + len].iter().enumerate() {
        assert_eq!(events(&mut connection), [], "{wrong:x?} behind {before:x?}: failed before byte {i}");
        give(&mut connection, &[*byte]);
    }
    let seen = events(&mut connection);
    assert_eq!(seen, [Seen::Failed(Error::InvalidUtf8)], "{wrong:x?} behind {before:x?}");
}

#[test]
fn hostile_45_what_is_not_utf8_fails_at_the_first_byte_that_shows_it() {
    let long = "é".repeat(40);
    for (wrong, len) in INVALID {
        for role in Role::BOTH {
            for before in ["", "a", "grüße", "€uro", "😀", "sixteen letters.", &long] {
                assert_fails_at(role, 0x81, before.as_bytes(), wrong, len);
                assert_fails_at(role, 0x01, before.as_bytes(), wrong, len);
            }
        }
    }
}

#[test]
fn hostile_45_what_is_not_utf8_fails_in_frames_of_any_length() {
    for (wrong, _) in INVALID {
        // On both sides of what is looked at in one step.
        for before in [0, 1, 7, 15, 31, 63, 64, 65, 127, 128, 300] {
            for behind in [0, 1, 64, 300] {
                let payload = [&vec![b'a'; before], wrong, &vec![b'b'; behind]].concat();
                assert_eq!(both_see(&[(0x81, &payload)]), invalid(), "{wrong:x?} at {before}, then {behind}");
            }
        }
    }
}

#[test]
fn hostile_45_what_is_not_utf8_fails_wherever_fragments_cut_it() {
    for (wrong, _) in INVALID {
        for parts in cuts(wrong) {
            assert_eq!(both_see(&fragments(parts)), invalid(), "{parts:x?}");
        }
    }
}

#[test]
fn hostile_45_a_character_that_the_end_cuts_off() {
    for character in EDGES {
        let said = format!("{character}");
        for len in 1..said.len() {
            let half = &said.as_bytes()[..len];
            for before in ["", "a", "€", &"a".repeat(200)] {
                let payload = [before.as_bytes(), half].concat();
                assert_eq!(both_see(&[(0x81, &payload)]), invalid(), "{half:x?}");
                assert_eq!(both_see(&[(0x01, &payload), (0x80, b"")]), invalid(), "{half:x?}");
                // The next message does not make up for it.
                let rest = &said.as_bytes()[len..];
                assert_eq!(both_see(&[(0x81, &payload), (0x81, rest)]), invalid(), "{half:x?}");
            }
        }
    }
}

#[test]
fn hostile_46_the_first_of_a_thousand_fragments_fails_by_itself() {
    for role in Role::BOTH {
        let mut frames: Vec<(u8, &[u8])> = vec![(0x00, b"and so on"); 1000];
        frames[0] = (0x01, b"wrong: \xff");
        frames[999].0 = 0x80;
        let bytes = role.frames(&frames);
        assert_eq!(role.sees(&bytes, &Config::default()), invalid());
        // Nothing of what comes behind the wrong byte has to be there.
        let first = role.frame(frames[0].0, frames[0].1);
        assert_eq!(role.sees(&first, &Config::default()), invalid());
        assert_eq!(role.sees(&first[..first.len() - 1], &Config::default()), (Vec::new(), Vec::new()));
    }
}

#[test]
fn hostile_46_a_large_frame_fails_before_the_rest_of_it_arrives() {
    for role in Role::BOTH {
        for at in [0, 1, 63, 64, 65, 125, 126, 4096, 70_000] {
            let mut payload = vec![b'a'; 100_000];
            payload[at] = 0xff;
            let frame = role.frame(0x81, &payload);
            let wrong = frame.len() - payload.len() + at;
            let mut connection = role.connection(&Config::default());
            give(&mut connection, &frame[..wrong]);
            assert_eq!(events(&mut connection), []);
            give(&mut connection, &frame[wrong..=wrong]);
            assert_eq!(events(&mut connection), [Seen::Failed(Error::InvalidUtf8)], "{role:?} {at}");
            let sent = unmasked(&output(&mut connection));
            assert_eq!(sent, plain(0x88, &1007_u16.to_be_bytes()));
        }
    }
}

#[test]
fn hostile_47_control_frames_in_the_middle_of_a_character_leave_it_alone() {
    let said = "κόσμε€😀";
    let ping: (u8, &[u8]) = (0x89, b"\xff not text");
    let bytes: Vec<[u8; 1]> = said.bytes().map(|byte| [byte]).collect();
    let mut frames: Vec<(u8, &[u8])> = vec![(0x01, b"")];
    for byte in &bytes {
        frames.extend([ping, (0x00, &byte[..]), (0x8a, b"\x80")]);
    }
    frames.push((0x80, b""));
    let seen = both_see(&frames).0;
    assert_eq!(seen.last(), Some(&text(said)));
    assert_eq!(seen.len(), 2 * bytes.len() + 1);

    // Nor do they save what is wrong.
    let wrong: &[(u8, &[u8])] = &[(0x01, b"\xe2\x82"), ping, (0x00, b""), (0x80, b"a")];
    let (seen, sent) = both_see(wrong);
    assert_eq!(seen, [Seen::Ping(ping.1.to_vec()), Seen::Failed(Error::InvalidUtf8)]);
    assert_eq!(sent, [plain(0x8a, ping.1), plain(0x88, &1007_u16.to_be_bytes())].concat());
}

#[test]
fn hostile_48_binary_may_be_anything() {
    for (wrong, _) in INVALID {
        assert_eq!(both_see(&[(0x82, wrong)]), (vec![binary(wrong)], Vec::new()));
        for parts in cuts(wrong).step_by(5) {
            let [first, second, third, last] = parts;
            let frames = [(0x02, first), (0x00, second), (0x00, third), (0x80, last)];
            assert_eq!(both_see(&frames), (vec![binary(wrong)], Vec::new()));
        }
        // Text behind it starts from nothing.
        assert_eq!(both_see(&[(0x82, wrong), (0x81, b"text")]).0, [binary(wrong), text("text")]);
    }
}

#[test]
fn hostile_49_noncharacters_and_byte_order_marks_are_text() {
    let mut odd =
        vec!['\u{feff}', '\0', '\u{fffe}', '\u{ffff}', '\u{10ffff}', '\u{fdd0}', '\u{fdef}', '\u{fffd}'];
    odd.extend(
        (0..=0x10).flat_map(|plane| [0xfffe, 0xffff].map(|low| char::from_u32(plane << 16 | low).unwrap())),
    );
    for character in odd {
        for said in [
            format!("{character}"),
            format!("{character}a"),
            format!("a{character}"),
            format!("é{character}"),
        ] {
            // It arrives as it was sent: nothing is stripped or replaced.
            assert_eq!(both_see(&[(0x81, said.as_bytes())]), (vec![text(&said)], Vec::new()));
            let (first, last) = said.as_bytes().split_at(said.len() / 2);
            assert_eq!(both_see(&[(0x01, first), (0x80, last)]).0, [text(&said)]);
        }
    }
}

#[test]
fn hostile_46_an_error_in_text_is_for_ever() {
    for role in Role::BOTH {
        let mut connection: Connection = role.connection(&Config::default());
        assert_eq!(feed(&mut connection, &role.frame(0x81, b"\xff"), &[1]), invalid().0);
        let more = role.frames(&[(0x81, b"text"), (0x89, b""), (0x80, b""), (0x88, b"")]);
        assert_eq!(feed(&mut connection, &more, &[3]), invalid().0);
        assert_eq!(held(&mut connection), 0);
    }
}
