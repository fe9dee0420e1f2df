//! Items 31 and 43, and rule A: what a header may announce. It is judged before the key is there.

#[path = "../../common/lengths.rs"]
mod table;

use sansock::{Config, Error, Violation};

use super::role::{Role, awaits, both_see_with, fails};
use crate::common::{Seen, binary, events, give, held};
use table::{Form, LENGTHS};

fn limited(max_message: u64) -> Config {
    let mut config = Config::default();
    config.max_message = max_message;
    config
}

/// What RFC 6455 §5.2 and a limit make of a length of `number` in this form, when `room` bytes are left of
/// the limit: the length that is accepted, the error, or neither, because more bytes of it are to come.
fn model(form: Form, number: u64, room: u64) -> Result<Option<u64>, Error> {
    if form == Form::Bits7 && number > 125 {
        return Ok(None);
    }
    if form == Form::Bits64 && number > 0x7fff_ffff_ffff_ffff {
        return Err(Error::Protocol(Violation::LengthOutOfRange));
    }
    if form == Form::Bits16 && number < 126 {
        return Err(Error::Protocol(Violation::LengthNotMinimal));
    }
    if form == Form::Bits64 && number < 65536 {
        return Err(Error::Protocol(Violation::LengthNotMinimal));
    }
    if number > room {
        return Err(Error::TooBig);
    }
    Ok(Some(number))
}

#[test]
fn rule_a_every_length_in_every_form_is_judged_as_by_the_rfc() {
    for role in Role::BOTH {
        for limit in [0, 1, 125, 126, 0xffff, 0x1_0000, 16 << 20, (1 << 63) - 1, u64::MAX] {
            for len in LENGTHS {
                for form in Form::ALL {
                    // A first frame; a continuation; one that has room for a byte, or for none.
                    for already in [0, 1, limit.saturating_sub(1), limit] {
                        if already <= limit.min(0x1_0000) {
                            check_length(role, limit, len, form, already);
                        }
                    }
                }
            }
        }
    }
}

/// A final frame that announces `len` bytes, behind a fragment of as many as there are `already`.
fn check_length(role: Role, limit: u64, len: u64, form: Form, already: u64) {
    let (length, number) = form.write(len);
    let place = format!("{role:?}, limit {limit}, {already} already, {number} in {form:?}");
    let before = vec![1; usize::try_from(already).unwrap()];
    let mut connection = role.connection(&limited(limit));
    if already > 0 {
        give(&mut connection, &role.frame(0x02, &before));
        assert_eq!(events(&mut connection), [], "{place}");
    }
    give(&mut connection, &role.head(if already > 0 { 0x80 } else { 0x82 }, &length));
    let expected = model(form, number, limit - already);
    if let (Some(key), Ok(Some(_))) = (role.key(), expected) {
        assert_eq!(events(&mut connection), [], "{place}, without its key");
        give(&mut connection, &key);
    }
    let seen = events(&mut connection);
    match expected {
        Err(error) => {
            assert_eq!((seen, held(&mut connection)), (vec![Seen::Failed(error)], 0), "{place}");
        }
        Ok(Some(0)) => assert_eq!(seen, [binary(&before)], "{place}"),
        Ok(number) => {
            assert_eq!((seen, connection.missing()), (Vec::new(), number.unwrap_or(0)), "{place}");
        }
    }
}

#[test]
fn hostile_31_a_message_above_the_limit_fails_at_its_header() {
    for role in Role::BOTH {
        // Around the edges of the forms.
        for limit in [0_u32, 1, 100, 124, 125, 126, 1000, 0xfffe, 0xffff, 0x1_0000] {
            let (config, limit) = (limited(limit.into()), limit as usize);
            let exactly = vec![1; limit];
            let seen = role.sees(&role.frame(0x82, &exactly), &config);
            assert_eq!(seen, (vec![binary(&exactly)], Vec::new()), "{role:?} {limit}");

            let over = role.frame(0x82, &vec![1; limit + 1]);
            assert_eq!(role.sees(&over, &config), fails(Error::TooBig), "{role:?} {limit}, with all of it");
            let behind_head = limit + 1 + role.key().map_or(0, |key| key.len());
            let head = &over[..over.len() - behind_head];
            assert_eq!(role.sees(head, &config), fails(Error::TooBig), "{role:?} {limit}");
            assert_eq!(role.sees(&head[..head.len() - 1], &config), awaits(), "not before its last byte");
        }
    }
}

#[test]
fn hostile_31_a_limit_for_frames_fails_at_the_header_too() {
    let mut config = Config::default();
    config.max_frame = Some(5);
    let exactly: &[(u8, &[u8])] = &[(0x02, &[1; 5]), (0x80, &[1; 5])];
    assert_eq!(both_see_with(exactly, &config), (vec![binary(&[1; 10])], Vec::new()));
    for role in Role::BOTH {
        for first in [0x82, 0x02] {
            assert_eq!(role.sees(&role.head(first, &[6]), &config), fails(Error::TooBig));
            assert_eq!(role.sees(&role.frame(first, &[1; 6]), &config), fails(Error::TooBig));
        }
    }
    // Control frames have a limit of their own.
    let ping = [1; 125];
    assert_eq!(both_see_with(&[(0x89, &ping)], &config).0, [Seen::Ping(ping.to_vec())]);
}

#[test]
fn hostile_43_the_limit_counts_fragments_together() {
    let config = limited(10);
    let exact: &[(u8, &[u8])] = &[(0x02, &[1; 4]), (0x00, &[1; 6]), (0x00, b""), (0x80, b"")];
    assert_eq!(both_see_with(exact, &config).0, [binary(&[1; 10])], "empty ones add nothing");
    let twice = [exact, exact].concat();
    assert_eq!(both_see_with(&twice, &config).0.len(), 2, "the next message starts from nothing");
    for role in Role::BOTH {
        let before = role.frames(&[(0x02, &[1; 4]), (0x00, &[1; 6])]);
        // By a fragment, by the last one; by one byte, by many.
        for (first, length) in [(0x00, &[1][..]), (0x80, &[1]), (0x80, &[126, 1, 0]), (0x00, &[125])] {
            let over = [before.clone(), role.head(first, length)].concat();
            assert_eq!(role.sees(&over, &config), fails(Error::TooBig), "{role:?} {first} {length:?}");
        }
        let over = [role.frames(&[(0x02, &[1; 4])]), role.head(0x80, &[7])].concat();
        assert_eq!(role.sees(&over, &config), fails(Error::TooBig));
    }
}

#[test]
fn hostile_43_many_small_fragments_meet_the_limit_at_the_one_that_is_too_much() {
    let ones = |count: usize| {
        let mut frames: Vec<(u8, &[u8])> = vec![(0x00, b"x"); count];
        frames[0].0 = 0x02;
        frames
    };
    assert_eq!(both_see_with(&ones(1000), &limited(1000)), awaits());
    assert_eq!(both_see_with(&ones(1001), &limited(1000)), fails(Error::TooBig));
    let mut ended = ones(1000);
    ended.push((0x80, b""));
    assert_eq!(both_see_with(&ended, &limited(1000)).0, [binary(&[b'x'; 1000])]);
}
