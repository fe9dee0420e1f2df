//! Sending past the queue.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod common;

use common::*;
use sansock::{CloseCode, Data, SendError};

const LENGTHS: [usize; 6] = [0, 1, 125, 126, 65_535, 65_536];

#[test]
fn what_the_transport_does_not_take_is_queued_wherever_it_stops() {
    for len in LENGTHS {
        let data = vec![7; len];
        let expected = plain(0x82, &data);
        let head = expected.len() - len;
        let stops = (0..=head + len.min(2)).chain([expected.len() - 1, expected.len(), usize::MAX]);
        for stop in stops {
            let mut server = server();
            let mut taken = Vec::new();
            server
                .offer(&data[..], |head, payload| {
                    taken = [head, payload].concat();
                    taken.truncate(stop);
                    stop
                })
                .unwrap();
            taken.extend(output(&mut server));
            assert!(taken == expected, "{len} bytes, of which {stop} are taken");
        }
    }
}

#[test]
fn the_payload_is_not_copied() {
    let data = [7; 1000];
    let mut given = 0;
    server()
        .offer(&data[..], |head, payload| {
            given = payload.as_ptr() as usize;
            head.len() + payload.len()
        })
        .unwrap();
    assert_eq!(given, data.as_ptr() as usize);
}

#[test]
fn nothing_overtakes_what_waits() {
    let mut server = server();
    server.text("first").unwrap();
    server.offer("second", |_, _| panic!("something waits")).unwrap();
    assert_eq!(output(&mut server), [plain(0x81, b"first"), plain(0x81, b"second")].concat());
    server.offer("third", |head, payload| head.len() + payload.len()).unwrap();
    assert_eq!(output(&mut server), b"");
}

#[test]
fn section_5_3_what_has_to_be_masked_is_queued() {
    let mut client = client();
    client.offer("masked", |_, _| panic!("there is no frame yet")).unwrap();
    assert_eq!(server_sees(&output(&mut client)).0, [text("masked")]);
}

#[test]
fn what_cannot_be_sent_is_not_offered() {
    let refused = |server: &mut sansock::Connection| {
        let offered = server.offer(Data::Text("x"), |_, _| panic!("it cannot be sent"));
        assert_eq!(output(server), b"");
        offered
    };
    let mut server = server();
    server.fragment("open").unwrap();
    output(&mut server);
    assert_eq!(refused(&mut server), Err(SendError::MessageOpen));
    server.close(CloseCode::NORMAL, "").unwrap();
    output(&mut server);
    assert_eq!(refused(&mut server), Err(SendError::Closed));
}

#[test]
fn section_5_5_3_pongs_count_what_was_written_past_the_queue() {
    let mut server = server();
    let pings: Vec<u8> = (0..20).flat_map(|_| masked(0x89, &[b'p'; 100])).collect();
    for _ in 0..3 {
        feed(&mut server, &pings, &[usize::MAX]);
        assert!(!output(&mut server).is_empty());
        server.offer("x", |head, payload| head.len() + payload.len()).unwrap();
        assert_eq!(output(&mut server), b"");
    }
}
