//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 §9.1), and item 18 of hostile inputs.
#![allow(clippy::expect_used, reason = "tests")]

use proptest::prelude::*;
use sansock::handshake::extension::{InvalidExtensions, parse};

/// A list in its plainest form: values unquoted, no white space, no empty elements.
fn plain(value: impl AsRef<[u8]>) -> Result<String, InvalidExtensions> {
    let mut offers = Vec::new();
    for offer in parse(value.as_ref()) {
        let offer = offer?;
        let params = offer.params().map(|param| match (param.name(), param.value()) {
            (name, Some(value)) => format!(";{name}={value}"),
            (name, None) => format!(";{name}"),
        });
        offers.push(format!("{}{}", offer.name(), params.collect::<String>()));
    }
    Ok(offers.join(","))
}

#[test]
fn section_9_1_examples() {
    for (value, expected) in [
        ("deflate-stream", "deflate-stream"),
        (
            "mux; max-channels=4; flow-control, deflate-stream",
            "mux;max-channels=4;flow-control,deflate-stream",
        ),
        ("private-extension", "private-extension"),
        ("foo, bar; baz=2", "foo,bar;baz=2"),
    ] {
        assert_eq!(plain(value).as_deref(), Ok(expected));
    }
}

#[test]
fn section_9_1_grammar() {
    for (value, expected) in [
        ("", ""),
        (" , ,\t", ""),
        (",a,,b,", "a,b"),
        ("a ; b = c\t,\td", "a;b=c,d"),
        ("a;b=\"c\"", "a;b=c"),
        ("a;b=\"\\1\\0\"", "a;b=10"),
        ("a;b=\"1\\0\" ; c", "a;b=10;c"),
        ("a;b=\"c\",d", "a;b=c,d"),
        ("a;b;b=1;b=2", "a;b;b=1;b=2"),
        ("!#$%&'*+-.^_`|~0;A", "!#$%&'*+-.^_`|~0;A"),
    ] {
        assert_eq!(plain(value).as_deref(), Ok(expected), "{value:?}");
    }
    #[rustfmt::skip]
    let bad = [
        "permessage-deflate;", "a;;b", ";a", "a b", "a=b", "a;=b", "a;b=", "a;b==c", "a;b=c d", "a;b c",
        "a;b=\"\"", "a;b=\"", "a;b=\"c", "a;b=\"c\\", "a;b=\"c\\\"", "a;b=\"c d\"", "a;b=\"c,d\"",
        "a;b=\"\\\"\"", "a;b=\"c\"d", "a;b=\"c\"\"d\"", "a;b='c d'", "a/b", "(a)", "a\0", "a,b;", "\u{f6}",
        "a;b=\u{f6}", "a;b=\"\u{f6}\"",
    ];
    for value in bad {
        assert!(plain(value).is_err(), "{value:?}");
        assert_eq!(parse(value.as_bytes()).skip_while(Result::is_ok).count(), 1, "an error is the end");
    }
}

/// A megabyte of each shape that makes a backtracking parser quadratic; time would show it.
#[test]
fn hostile_18_linear() {
    for (start, repeated, end, is_legal) in [
        ("", "a,", "", true),
        ("", ",", "", true),
        ("", " ", "", true),
        ("a", " ", "b", false),
        ("a", ";b", "", true),
        ("a", ";b", ";", false),
        ("a;b=\"", "\\c", "", false),
        ("a;b=\"", "\\c", "\"", true),
        ("a;b=\"", "c", "\"", true),
        ("a;b=", "c", "", true),
        ("", "a;b=\"c\",", "", true),
    ] {
        let value = format!("{start}{}{end}", repeated.repeat((1 << 20) / repeated.len()));
        assert_eq!(plain(value).is_ok(), is_legal, "{start:?} {repeated:?}");
    }
}

proptest! {
    #[test]
    fn hostile_18_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = plain(bytes);
    }

    /// What was read, read again, is the same.
    #[test]
    fn section_9_1_the_plain_form_is_equivalent(value in "[ab,; =\"\\\\]{0,30}") {
        if let Ok(once) = plain(&value) {
            prop_assert_eq!(plain(&once), Ok(once));
        }
    }
}
