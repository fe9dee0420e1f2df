//! Every number that a status code may have, received and sent.

use sansock::{CloseCode, Config, Endpoint, Error, Violation};

use crate::common::{Seen, events, give, output, plain};
use crate::role::{Role, unmasked};
use crate::sample;

/// Whether RFC 6455 §7.4, or the registry that it set up, allows this code in a Close frame.
fn may_be_sent(code: u16) -> bool {
    // §7.4.2: "Status codes in the range 0-999 are not used."
    if code < 1000 {
        return false;
    }
    // §7.4.1: "Reserved"; and 1005, 1006 and 1015 MUST NOT be set "as a status code in a Close control frame".
    if code == 1004 || code == 1005 || code == 1006 || code == 1015 {
        return false;
    }
    // Those of §7.4.1, and 1012 to 1014 of the registry.
    if code <= 1014 {
        return true;
    }
    // §7.4.2: 1000-2999 are reserved for the protocol and its revisions, 3000-3999 registered, 4000-4999 private.
    (3000..5000).contains(&code)
}

/// Every code; in a debug build a sample of those that are far from the edges.
fn codes() -> impl Iterator<Item = u16> {
    let near = 0..5100;
    near.chain(sample(1 << 16, 37).filter(|code| *code >= 5100)).map(|code| code as u16)
}

#[test]
fn every_code_is_received_in_every_role() {
    for role in Role::BOTH {
        for code in codes() {
            for reason in [&b""[..], b"because"] {
                let mut connection = role.connection(&Config::default());
                give(&mut connection, &role.frame(0x88, &[&code.to_be_bytes()[..], reason].concat()));
                let (seen, sent) = (events(&mut connection), unmasked(&output(&mut connection)));
                let report = connection.closed().unwrap();
                if may_be_sent(code) {
                    assert_eq!((seen, sent), (vec![Seen::End], plain(0x88, &code.to_be_bytes())), "{code}");
                    assert_eq!((report.code(), report.clean, report.began), (code, true, Endpoint::Peer));
                    assert_eq!(report.received.unwrap().reason().as_bytes(), reason);
                } else {
                    let failed = vec![Seen::Failed(Error::Protocol(Violation::CloseCode))];
                    assert_eq!((seen, sent), (failed, plain(0x88, &1002_u16.to_be_bytes())), "{code}");
                    assert_eq!((report.code(), report.clean, report.began), (1006, false, Endpoint::Local));
                }
            }
        }
    }
}

#[test]
fn every_code_is_sent_in_every_role_or_cannot_be() {
    for role in Role::BOTH {
        let peer = if role == Role::Server { Role::Client } else { Role::Server };
        for number in codes() {
            let code = CloseCode::new(number);
            assert_eq!(code.map(CloseCode::get), may_be_sent(number).then_some(number));
            let Some(code) = code else { continue };
            let mut connection = role.connection(&Config::default());
            connection.close(code, "because").unwrap();
            let sent = output(&mut connection);
            assert_eq!(unmasked(&sent), plain(0x88, &[&number.to_be_bytes()[..], b"because"].concat()));
            // The other end hears it, and says it again.
            let mut other = peer.connection(&Config::default());
            give(&mut other, &sent);
            assert_eq!(events(&mut other), [Seen::End]);
            give(&mut connection, &output(&mut other));
            assert_eq!(events(&mut connection), [Seen::End]);
            let reports = [connection.closed().unwrap(), other.closed().unwrap()];
            assert!(reports.iter().all(|report| report.clean && report.code() == number), "{number}");
        }
    }
}
