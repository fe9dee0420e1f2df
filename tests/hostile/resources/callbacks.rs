//! Item 87: the application sends, pings and closes while it is handed an event.

use bytes::BufMut;
use sansock::{
    CloseCode, Config, Connection, Endpoint, Event, SendError, SendHalf, Timestamp, blocking, tokio,
};

use super::ROLES;
use crate::common::{DELIVERIES, Seen, binary, events, feed, output, random_cuts, text};
use crate::io::{End, Peer, client_machine, guard, poll_once, server_machine};

/// Two messages, one of them in fragments around a ping, and one that is large enough to be shared.
const CONVERSATION: [(u8, &[u8]); 5] =
    [(0x81, b"one"), (0x02, b"tw"), (0x89, b"?"), (0x80, b"o"), (0x82, &[7; 10_000])];

/// Gives bytes in parts and has each event taken, with the sending half, by `take`. Gives what was sent.
fn answer(
    connection: &mut Connection,
    mut bytes: &[u8],
    cuts: &[usize],
    mut take: impl FnMut(Event<'_>, &mut SendHalf),
) -> Vec<u8> {
    let mut cuts = cuts.iter().copied().cycle();
    let mut sent = Vec::new();
    while !bytes.is_empty() {
        let (part, rest) = bytes.split_at(cuts.next().unwrap_or(usize::MAX).clamp(1, bytes.len()));
        bytes = rest;
        connection.input().put_slice(part);
        connection.handle_input(Timestamp::EPOCH);
        while let Ok(Some((event, send))) = connection.poll_with_send() {
            take(event, send);
        }
        sent.extend(output(connection));
    }
    sent
}

fn deliveries() -> Vec<Vec<usize>> {
    DELIVERIES.iter().map(|cuts| cuts.to_vec()).chain((0..4).map(random_cuts)).collect()
}

#[test]
fn hostile_87_what_is_sent_inside_an_event_goes_where_it_belongs() {
    let expected = [
        text("one"),
        binary(b"1"),
        Seen::Ping(b"1".into()),
        Seen::Pong(b"?".into()),
        Seen::Ping(b"2".into()),
    ];
    for (new, encode, peer) in ROLES {
        let bytes: Vec<u8> =
            CONVERSATION.iter().flat_map(|(first, payload)| encode(*first, payload)).collect();
        for cuts in deliveries() {
            let mut count = 0;
            let sent = answer(&mut new(), &bytes, &cuts, |event, send| {
                count += 1;
                let is_first = count == 1;
                send.relay(event).unwrap();
                if is_first {
                    send.binary(b"1").unwrap();
                }
                if count < 3 {
                    send.ping(&[b'0' + count]).unwrap();
                }
            });
            assert_eq!(count, 4);
            let heard = feed(&mut peer(), &sent, &[usize::MAX]);
            assert_eq!(heard[..5], expected, "{cuts:?}");
            assert_eq!(heard[5..], [binary(b"two"), binary(&[7; 10_000])], "{cuts:?}");
        }
    }
}

#[test]
fn hostile_87_halves_answer_the_same_but_leave_pongs_for_the_end() {
    for (new, encode, peer) in ROLES {
        let bytes: Vec<u8> =
            CONVERSATION.iter().flat_map(|(first, payload)| encode(*first, payload)).collect();
        let mut connection = new();
        connection.input().put_slice(&bytes);
        connection.handle_input(Timestamp::EPOCH);
        let (receive, send) = connection.halves();
        while let Some(event) = receive.poll_event().unwrap() {
            send.relay(event).unwrap();
        }
        let heard = feed(&mut peer(), &output(&mut connection), &[usize::MAX]);
        let data = [text("one"), binary(b"two"), binary(&[7; 10_000])];
        assert_eq!(heard, [&data[..], &[Seen::Pong(b"?".into())]].concat());
    }
}

#[test]
fn hostile_87_a_close_inside_an_event_lets_what_has_arrived_come_and_only_a_pong_go() {
    for (new, encode, peer) in ROLES {
        let bytes: Vec<u8> =
            CONVERSATION.iter().flat_map(|(first, payload)| encode(*first, payload)).collect();
        for cuts in deliveries() {
            let (mut connection, mut count) = (new(), 0);
            let sent = answer(&mut connection, &bytes, &cuts, |_, send| {
                count += 1;
                let expected = if count == 1 { Ok(()) } else { Err(SendError::Closed) };
                assert_eq!(send.close(CloseCode::POLICY, "enough"), expected);
                assert_eq!(send.text("late"), Err(SendError::Closed));
                assert_eq!(send.ping(b"late"), Err(SendError::Closed));
            });
            assert_eq!(count, 4);
            let mut peer = peer();
            assert_eq!(feed(&mut peer, &sent, &[1]), [Seen::End], "what follows is dropped");
            // The peer has answered: that is the end, and the application has begun it.
            feed(&mut connection, &output(&mut peer), &cuts);
            let report = connection.closed().unwrap();
            assert!(report.clean && report.began == Endpoint::Local, "{report}");
            assert_eq!(report.code(), 1008);
        }
    }
}

#[test]
fn hostile_87_a_close_inside_an_event_has_its_deadline() {
    for (new, encode, _) in ROLES {
        let mut connection = new();
        answer(&mut connection, &encode(0x81, b"x"), &[usize::MAX], |_, send| {
            send.close(CloseCode::NORMAL, "").unwrap();
        });
        // At once: the deadline counts from the next time that is told.
        assert_eq!(connection.poll_timeout(), Some(Timestamp::EPOCH));
        connection.handle_timeout(Timestamp::EPOCH);
        connection.handle_timeout(Timestamp::EPOCH + Config::default().close_timeout);
        assert!(matches!(events(&mut connection)[..], [Seen::Failed(_)]));
        assert!(connection.is_finished());
    }
}

/// Relays the first message, and closes inside it.
#[derive(Default)]
struct RelayOne {
    taken: usize,
}

impl RelayOne {
    fn take_all(&mut self, connection: &mut Connection) {
        while let Ok(Some((event, send))) = connection.poll_with_send() {
            assert_eq!(send.relay(event).is_ok(), self.taken == 0);
            assert_eq!(send.close(CloseCode::NORMAL, "").is_ok(), self.taken == 0);
            self.taken += 1;
        }
    }
}

/// What a peer hears that has sent three messages to a socket which `run` drives.
fn heard((mut peer, end): (Peer, End), run: impl FnOnce(End, &mut RelayOne)) -> Vec<Seen> {
    for message in ["one", "two", "three"] {
        peer.send(message);
    }
    let mut application = RelayOne::default();
    run(end, &mut application);
    assert_eq!(application.taken, 3);
    peer.hear()
}

#[test]
fn hostile_87_a_socket_is_closed_inside_an_event() {
    let _guard = guard();
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let machines = [|| server_machine(Config::default()), || client_machine(Config::default())];
    for (machine, peer) in machines.into_iter().zip([Peer::client, Peer::server]) {
        let over_tokio = heard(peer(usize::MAX), |end, application| {
            let mut socket = tokio::WebSocket::over(end, machine());
            while let Some(Ok(true)) = poll_once(socket.ready()) {
                application.take_all(socket.connection_mut());
            }
        });
        assert_eq!(over_tokio, [text("one"), Seen::End]);
        let blocking = heard(peer(usize::MAX), |end, application| {
            let mut socket = blocking::WebSocket::over(end, machine());
            while let Ok(true) = socket.ready() {
                application.take_all(socket.connection_mut());
            }
        });
        assert_eq!(blocking, [text("one"), Seen::End]);
    }
}
