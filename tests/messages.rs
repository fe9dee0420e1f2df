//! Messages as values: lent, owned, made of what applications have, and compared.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use bytes::Bytes;
use common::{client, give, plain};
use sansock::{Data, Event, Message, Prepared, Utf8Bytes};

#[test]
fn lent_data_is_what_was_sent_however_it_is_looked_at() {
    let mut client = client();
    give(
        &mut client,
        &[plain(0x81, "h\u{e9}".as_bytes()), plain(0x82, b"\x00\xff"), plain(0x89, b"?")].concat(),
    );
    let Some(Event::Text(text)) = client.poll_event().unwrap() else { panic!("a text message") };
    let as_ref: &str = text.as_ref();
    assert_eq!((&*text, as_ref, text.is_final()), ("h\u{e9}", "h\u{e9}", true));
    assert_eq!(format!("{text:?}"), "Text { text: \"h\u{e9}\", is_final: true }");
    assert_eq!(text.into_utf8_bytes(), *"h\u{e9}");
    let Some(Event::Binary(data)) = client.poll_event().unwrap() else { panic!("a binary message") };
    let as_ref: &[u8] = data.as_ref();
    assert_eq!((&*data, as_ref, data.is_final()), (&b"\x00\xff"[..], &b"\x00\xff"[..], true));
    assert_eq!(format!("{data:?}"), "Binary { data: [0, 255], is_final: true }");
    assert_eq!(data.into_bytes(), b"\x00\xff"[..]);
    assert_eq!(client.poll_event().unwrap().unwrap().into_message(), None);
}

#[test]
fn an_event_of_data_is_a_message() {
    let mut client = client();
    give(&mut client, &[plain(0x81, b"text"), plain(0x82, b"data"), plain(0x8a, b"")].concat());
    let mut next = || client.poll_event().unwrap().unwrap().into_message();
    assert_eq!(next(), Some(Message::from("text")));
    assert_eq!(next(), Some(Message::from(b"data".to_vec())));
    assert_eq!(next(), None);
}

#[test]
fn text_is_made_of_what_is_known_to_be_text_and_compares_as_that() {
    let text = Utf8Bytes::from_static("abc");
    for same in
        [Utf8Bytes::from("abc"), String::from("abc").into(), Utf8Bytes::try_from(Bytes::from("abc")).unwrap()]
    {
        assert_eq!(same, text);
    }
    let as_ref: &str = text.as_ref();
    assert_eq!((as_ref, &*text), ("abc", "abc"));
    assert!(text == *"abc" && text != *"abd" && text != *"");
    assert_eq!(Message::from(text.clone()).as_bytes(), b"abc");
    assert_eq!(Message::Text(text).as_bytes(), Message::Binary(b"abc"[..].into()).as_bytes());
    assert!(Utf8Bytes::try_from(Bytes::from_static(b"\xff")).is_err());
    assert_eq!(Data::from("abc"), Data::Text("abc"));
}

#[test]
fn a_prepared_message_tells_its_payload() {
    for len in [0, 5, 125, 126, 70_000] {
        let payload = vec![7; len];
        assert_eq!(Prepared::new(payload.clone()).payload(), payload);
    }
    assert_eq!(Prepared::new("news").payload(), b"news");
}
