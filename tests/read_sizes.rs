//! How much a connection asks the transport for: what reads have brought lately says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use bytes::BufMut;
use common::{client, plain};
use sansock::{Connection, Event, Timestamp};

const KIB: usize = 1 << 10;

/// One read that brings `len` bytes in whole messages, which are taken.
fn read(connection: &mut Connection, len: usize) {
    let pairs = plain(0x82, b"").repeat(len / 2 - 1);
    let last = if len.is_multiple_of(2) { plain(0x82, b"") } else { plain(0x82, b"x") };
    connection.input().put_slice(&[pairs, last].concat()[..]);
    connection.handle_input(Timestamp::EPOCH);
    while let Some(event) = connection.poll_event().unwrap() {
        assert!(matches!(event, Event::Binary(_)));
    }
}

/// What is asked for after reads of these lengths.
fn sizes(lens: &[usize]) -> Vec<usize> {
    let mut client = client();
    assert_eq!(client.read_size(), 4 * KIB);
    let after = |len: &usize| {
        read(&mut client, *len);
        client.read_size()
    };
    lens.iter().map(after).collect()
}

#[test]
fn reads_that_bring_all_that_was_asked_for_ask_for_twice_as_much() {
    let full = [4, 8, 16, 32, 64, 128, 128, 512].map(|kib| kib * KIB);
    assert_eq!(sizes(&full), [8, 16, 32, 64, 128, 128, 128, 128].map(|kib| kib * KIB));
    // A byte less is not all.
    assert_eq!(sizes(&[4 * KIB - 1, 4 * KIB - 1]), [4 * KIB; 2]);
    // From 64 KiB on these are all.
    assert_eq!(sizes(&[4, 8, 16, 32, 64, 64, 64].map(|kib| kib * KIB))[4..], [128 * KIB; 3]);
}

#[test]
fn two_reads_that_bring_less_than_a_quarter_ask_for_half() {
    let short = KIB - 1;
    assert_eq!(sizes(&[short, short, short]), [4, 2, 2].map(|kib| kib * KIB));
    // One alone is the rest of what filled the read before, and a quarter is enough.
    assert_eq!(sizes(&[short, KIB, short, KIB]), [4 * KIB; 4]);
    assert_eq!(sizes(&[KIB, KIB, KIB]), [4 * KIB; 3]);
    // Never less than 2 KiB.
    assert_eq!(sizes(&[10; 8])[1..], [2 * KIB; 7]);
}

#[test]
fn what_large_reads_have_made_of_it_goes_away_by_halves() {
    let mut client = client();
    for kib in [4, 8, 16, 32, 64, 128, 256, 512, 512] {
        read(&mut client, kib * KIB);
    }
    // It stands at 512 KiB, which is for large frames: two reads for the first half, one for each further one.
    let after = |_| {
        read(&mut client, 10);
        client.read_size() / KIB
    };
    assert_eq!((0..10).map(after).collect::<Vec<_>>(), [128, 128, 128, 64, 32, 16, 8, 4, 2, 2]);
}

#[test]
fn within_a_large_frame_all_of_it_is_asked_for_and_nothing_more() {
    let mut client = client();
    let fill = |client: &mut Connection, len: usize| {
        client.input().put_slice(&vec![7; len]);
        client.handle_input(Timestamp::EPOCH);
        assert!(client.poll_event().unwrap().is_none());
        client.read_size()
    };
    let mut head = plain(0x82, &vec![7; 2000 * KIB]);
    head.truncate(10);
    client.input().put_slice(&head);
    client.handle_input(Timestamp::EPOCH);
    assert!(client.poll_event().unwrap().is_none());
    let asked = [4, 8, 16, 32, 64, 128, 256, 512].map(|kib| fill(&mut client, kib * KIB));
    assert_eq!(asked, [8, 16, 32, 64, 128, 256, 512, 512].map(|kib| kib * KIB));
    // 980 KiB are missing; and where no more than 64 KiB are, what follows may come with them.
    assert_eq!(fill(&mut client, 600 * KIB), 380 * KIB);
    assert_eq!(fill(&mut client, 380 * KIB - 64 * KIB - 1), 64 * KIB + 1);
    assert_eq!(fill(&mut client, 1), 128 * KIB);
}
