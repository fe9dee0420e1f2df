//! Items 72 and 75: what is sent compressed, and what is not.

use bytes::BufMut;
use sansock::deflate::Deflate;
use sansock::{Config, Connection, Message, Prepared, SendError, Timestamp};

use super::peers::{self, noise};
use crate::close::Role;
use crate::common::{self, binary, events, output, text};

fn server(params: &str) -> Connection {
    peers::server(Config::default(), params)
}

fn client(params: &str) -> Connection {
    peers::client(Config::default(), params)
}

fn with_threshold(threshold: usize) -> Connection {
    let mut deflate = Deflate::default();
    deflate.threshold = threshold;
    common::server().with_deflate(peers::agreed(""), &deflate)
}

/// The frames of a server's output: whether they say that they are compressed, and their payloads.
fn sent(server: &mut Connection) -> Vec<(bool, Vec<u8>)> {
    frames(&output(server))
}

fn frames(bytes: &[u8]) -> Vec<(bool, Vec<u8>)> {
    let frames = Role::Server.frames(bytes).into_iter();
    frames.map(|(first, payload)| (first & 0x40 != 0, payload)).collect()
}

#[test]
fn hostile_72_edges_of_the_threshold() {
    for threshold in [1, 64, 100, 126, 65_536] {
        let mut server = with_threshold(threshold);
        let long = "x".repeat(threshold + 1);
        for len in [0, threshold - 1, threshold, threshold + 1] {
            let (said, is_compressed) = (&long[..len], len >= threshold);
            server.text(said).unwrap();
            assert_eq!(sent(&mut server)[0].0, is_compressed, "{len}");
            server.binary(said.as_bytes()).unwrap();
            assert_eq!(sent(&mut server)[0].0, is_compressed, "{len}");
            server.send(said.to_owned()).unwrap();
            assert_eq!(sent(&mut server)[0].0, is_compressed, "{len}");
            server.prepared(&Prepared::new(said.to_owned())).unwrap();
            assert_eq!(sent(&mut server)[0].0, is_compressed, "{len}");
            server.last_fragment(said).unwrap();
            assert_eq!(sent(&mut server)[0].0, is_compressed, "{len}");
        }
    }
    // The defaults: 64 bytes, for either role.
    for mut end in [server(""), client("")] {
        for (len, is_compressed) in [(63, false), (64, true)] {
            end.text(&"x".repeat(len)).unwrap();
            assert_eq!(output(&mut end)[0], if is_compressed { 0xc1 } else { 0x81 });
        }
    }
    // None, and one that nothing reaches.
    let mut server = with_threshold(0);
    server.text("").unwrap();
    assert!(sent(&mut server)[0].0);
    let mut server = with_threshold(usize::MAX);
    server.text(&"x".repeat(100_000)).unwrap();
    assert!(!sent(&mut server)[0].0);
}

#[test]
fn hostile_72_what_does_not_compress_becomes_hardly_longer() {
    for len in [1, 125, 126, 65_535, 65_536, 16 << 20] {
        let data = noise(len);
        for level in if len > 1 << 20 { 2..=2 } else { 0..=9 } {
            let mut deflate = Deflate::default();
            (deflate.threshold, deflate.level) = (0, level);
            let agreed = peers::agreed("");
            let [mut server, mut client] =
                [common::server(), common::client()].map(|end| end.with_deflate(agreed, &deflate));
            for turn in 0..2 {
                let (from, to) =
                    if turn == 0 { (&mut server, &mut client) } else { (&mut client, &mut server) };
                from.send(Message::from(data.clone())).unwrap();
                let longer = from.buffered() - len;
                // At level 1 zlib-rs knows no stored blocks: a byte may take nine bits.
                let most = if level == 1 { len / 8 } else { len / 1000 };
                assert!(longer <= 24 + most, "{len} at level {level}: {longer} more");
                to.input().put(from.output());
                to.handle_input(Timestamp::EPOCH);
                assert!(events(to) == [binary(&data)], "{len} at level {level}");
            }
        }
    }
}

#[test]
fn hostile_75_a_message_can_stay_out_of_the_window() {
    let secret = "the secret is 1234, and it is long enough to be compressed otherwise ";
    let (mut server, mut client) = (server(""), client(""));
    server.text(&secret.replace('1', "x")).unwrap();
    sent(&mut server);
    // Neither compressed with what went before, nor in the window for what comes after.
    server.uncompressed().text(secret).unwrap();
    assert_eq!(sent(&mut server), [(false, secret.into())]);
    let guess = "a guess that the secret is 1234, from whoever can make us send it somewhere behind";
    server.text(guess).unwrap();
    let with_secret = sent(&mut server)[0].1.len();
    let mut without = self::server("");
    without.text(&secret.replace('1', "x")).unwrap();
    without.text(guess).unwrap();
    assert_eq!(with_secret, sent(&mut without)[1].1.len());

    // It counts for one message, in whatever way that is sent.
    for send in [
        |end: &mut Connection| end.uncompressed().text(&"x".repeat(99)),
        |end: &mut Connection| end.uncompressed().binary(&[7; 99]),
        |end: &mut Connection| end.uncompressed().send("x".repeat(99)),
        |end: &mut Connection| end.uncompressed().prepared(&Prepared::new("x".repeat(99))),
        |end: &mut Connection| end.uncompressed().last_fragment("x"),
    ] {
        send(&mut server).unwrap();
        assert!(!sent(&mut server)[0].0);
        server.text(&"y".repeat(99)).unwrap();
        assert!(sent(&mut server)[0].0);
    }
    server.uncompressed().fragment("plain").unwrap();
    assert_eq!(server.uncompressed().text("not here"), Err(SendError::MessageOpen));
    server.fragment("plain").unwrap();
    server.last_fragment("plain").unwrap();
    let bytes = output(&mut server);
    assert!(frames(&bytes).iter().all(|(is_compressed, payload)| !is_compressed && payload == b"plain"));
    client.input().put_slice(&bytes);
    client.handle_input(Timestamp::EPOCH);
    assert_eq!(events(&mut client), [text("plainplainplain")]);
}

#[test]
fn hostile_75_a_clients_secret_can_stay_out_of_the_window_as_well() {
    let secret = "the secret is 1234, and it is long enough to be compressed otherwise ";
    let guess =
        |number| format!("someone can make us say that the secret is {number}, and so on and so forth");
    let guesses = [guess(1234), guess(5678)];
    // Where it was sent uncompressed, a right guess is no shorter than a wrong one; where not, it is.
    let lengths = |is_hidden: bool| {
        guesses.each_ref().map(|guess| {
            let mut client = client("");
            if is_hidden {
                client.uncompressed();
            }
            client.text(secret).unwrap();
            output(&mut client);
            client.text(guess).unwrap();
            output(&mut client).len()
        })
    };
    let ([right, wrong], [seen, unseen]) = (lengths(true), lengths(false));
    assert!(right == wrong && seen < unseen, "{right} {wrong} {seen} {unseen}");
}
