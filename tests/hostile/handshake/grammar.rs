//! Heads built of good and bad pieces: whatever they are, they have one outcome in every delivery.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sansock::Config;
use sansock::handshake::HandshakeError;

use super::opening::{KEY, Opened, answer, client_of, client_opens, pieces, server_of, server_opens};
use crate::common::{Seen, masked, plain};

/// Bytes, the configuration that gets them, and sizes to cut them into.
#[derive(Clone, Debug)]
struct Case {
    bytes: Vec<u8>,
    is_tight: bool,
    cuts: Vec<usize>,
}

impl Case {
    fn config(&self) -> Config {
        let mut config = Config::default();
        #[cfg(feature = "deflate")]
        (config.deflate = Some(sansock::deflate::Deflate::default()));
        if self.is_tight {
            (config.max_head, config.max_headers) = (700, 14);
        }
        config
    }
}

type Words = &'static [&'static str];
type Field = (String, String);

/// One of the good, or now and then one of the bad.
fn mostly(times: u32, good: Words, bad: Words) -> impl Strategy<Value = String> {
    prop_oneof![times => select(good), 1 => select(bad)].prop_map(str::to_owned)
}

/// The fields of one name: a good value; or a bad one, none, or two.
fn field(name: &'static str, good: Words, bad: Words) -> impl Strategy<Value = Vec<Field>> {
    let names = select(vec![name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase()]);
    let values = prop_oneof![
        40 => select(good).prop_map(|value| vec![value]),
        1 => select(bad).prop_map(|value| vec![value]),
        1 => Just(vec![]),
        1 => (select(good), select(good)).prop_map(|(one, other)| vec![one, other]),
    ];
    (names, values)
        .prop_map(|(name, values)| values.into_iter().map(|value| (name.clone(), value.to_owned())).collect())
}

/// Fields of one name that most heads do not have: so many, where one has.
fn rare(times: u32, name: &'static str, good: Words, bad: Words) -> impl Strategy<Value = Vec<Field>> {
    prop_oneof![times => Just(vec![]), 1 => field(name, good, bad)]
}

/// Fields that mean nothing: few or too many, of any bytes that a value may have, or of some it may not.
fn others() -> impl Strategy<Value = Vec<Field>> {
    // Read once: a pattern alone would be read again for each value.
    let regex = |pattern| prop::string::string_regex(pattern).unwrap();
    let value = prop_oneof![
        30 => regex("[ -~\t\u{80}-\u{ff}]{0,30}"),
        3 => regex("[a-z]{300,700}"),
        1 => regex("[a\0\x08\x7f]{1,3}"),
    ];
    let field = (regex("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,9}"), value).boxed();
    let count = prop_oneof![40 => 0..3_usize, 1 => 10..15_usize, 1 => Just(101_usize)];
    count.prop_flat_map(move |count| prop::collection::vec(field.clone(), count))
}

/// A head of these fields in any order, with this start line.
fn head(
    start: impl Strategy<Value = String>,
    fields: impl Strategy<Value = Vec<Vec<Field>>>,
) -> impl Strategy<Value = String> {
    let fields = fields.prop_map(|fields| fields.concat()).prop_shuffle();
    let spoilt = prop_oneof![
        9 => Just(None),
        1 => (any::<Index>(), select(&["\n", "\r", "\r\r\n", "\r\n ", "\r\n\r\n"][..])).prop_map(Some),
    ];
    let colon = mostly(20, &[":", ": ", ":\t "], &[" : ", "", ";", "\t:"]);
    (start, fields, spoilt, colon).prop_map(|(start, fields, spoilt, colon)| {
        let mut lines: Vec<_> =
            fields.iter().map(|(name, value)| (format!("{name}: {value}"), "\r\n")).collect();
        if let Some((line, ..)) = lines.first_mut() {
            *line = line.replacen(": ", &colon, 1);
        }
        lines.insert(0, (start, "\r\n"));
        lines.push((String::new(), "\r\n"));
        if let Some((at, end)) = spoilt {
            let at = at.index(lines.len());
            lines[at].1 = end;
        }
        lines.into_iter().map(|(line, end)| line + end).collect()
    })
}

/// Cases of heads with what comes behind them, all of it or its beginning.
fn case(
    head: impl Strategy<Value = String>,
    behind: impl Strategy<Value = Vec<u8>>,
) -> impl Strategy<Value = Case> {
    let end = prop_oneof![9 => Just(None), 1 => any::<Index>().prop_map(Some)];
    let cuts = prop::collection::vec(1..90_usize, 1..12);
    (head, behind, end, any::<bool>(), cuts).prop_map(|(head, behind, end, is_tight, cuts)| {
        let mut bytes = [head.as_bytes(), &behind].concat();
        bytes.truncate(end.map_or(usize::MAX, |end| end.index(bytes.len())));
        Case { bytes, is_tight, cuts }
    })
}

fn requests() -> impl Strategy<Value = Case> {
    let target = prop_oneof![
        20 => mostly(
            20,
            &["/", "/chat?x=1", "http://a.example/b", "//a", "/%00?{}"],
            &["*", "/#f", "/\x7f", "/h\u{f6}", "/\0", "chat", "http://", "http://u@a/", "/a b", ""],
        ),
        1 => select(&[8177, 8178, 8179, 9000][..]).prop_map(|len| format!("/{}", "x".repeat(len))),
    ];
    let start = (
        mostly(
            40,
            &["GET "],
            &["POST ", "HEAD ", "CONNECT ", "get ", "GET  ", " GET ", "GET\t", "", "\r\nGET "],
        ),
        target,
        mostly(
            40,
            &[" HTTP/1.1"],
            &[" HTTP/1.0", " HTTP/2.0", " HTTP/0.9", " HTTP/1.1 ", " HTTP/1.10", " http/1.1", ""],
        ),
    );
    let start = start.prop_map(|(method, target, version)| method + &target + &version);
    let fields = (
        field("Host", &["a", "example.com:80", "[::1]"], &["", "a b", "u@a", "a:b", "h\u{f6}"]),
        field(
            "Upgrade",
            &["websocket", "WebSocket", "h2c, websocket"],
            &["h2c", "websocketx", "web socket", ""],
        ),
        field(
            "Connection",
            &["Upgrade", "keep-alive, UPGRADE", ",,upgrade,"],
            &["close", "up grade", "notupgrade"],
        ),
        field(
            "Sec-WebSocket-Key",
            &[KEY],
            &["", "AAAA", "dGhlIHNhbXBsZSBub25jZR==", "_-hlIHNhbXBsZSBub25jZQ=="],
        ),
        field("Sec-WebSocket-Version", &["13", " 13 "], &["8", "13, 8", "013", "0xd", ""]),
        rare(1, "Origin", &["null", "https://a"], &["h\u{f6}", "a\tb"]),
        rare(3, "Content-Length", &["0"], &["5", "+0", ""]),
        rare(60, "Transfer-Encoding", &["chunked"], &["identity"]),
        rare(1, "Sec-WebSocket-Protocol", &["chat", "a, b"], &["a, a", "a b", "", "a,"]),
        rare(
            1,
            "Sec-WebSocket-Extensions",
            &["permessage-deflate", "x; y=\"z\", permessage-deflate; client_max_window_bits=9"],
            &["permessage-deflate;", "a; b=\"\\c", ",", "a b"],
        ),
        rare(3, "Expect", &["100-continue"], &[""]),
        others(),
    );
    let fields =
        fields.prop_map(|(a, b, c, d, e, f, g, h, i, j, k, l)| vec![a, b, c, d, e, f, g, h, i, j, k, l]);
    let behind = prop_oneof![
        Just(vec![]),
        Just([masked(0x81, b"hi"), masked(0x89, b"ping"), masked(0x82, &[7; 300])].concat()),
        Just(b"GET /secret HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        Just([masked(0x88, b"\x03\xe8"), plain(0x81, b"dropped")].concat()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    case(head(start, fields), behind)
}

static ANSWER: LazyLock<String> = LazyLock::new(answer);
static ANSWERS: LazyLock<[&str; 1]> = LazyLock::new(|| [&ANSWER]);

fn responses() -> impl Strategy<Value = Case> {
    let start = (
        mostly(
            20,
            &["HTTP/1.1 "],
            &["HTTP/1.0 ", "HTTP/2.0 ", "http/1.1 ", " HTTP/1.1 ", "HTTP/1.1  ", "", "\r\nHTTP/1.1 "],
        ),
        mostly(5, &["101"], &["200", "301", "401", "1010", "099", "10", "999"]),
        mostly(9, &[" Switching Protocols", " "], &["", " Sw\u{ef}tch", " a\0b", " 101"]),
    );
    let start = start.prop_map(|(version, status, reason)| version + &status + &reason);
    let fields = (
        field("Upgrade", &["websocket", "WebSocket"], &["h2c", "websocket, h2c", ""]),
        field("Connection", &["Upgrade", "keep-alive, UPGRADE"], &["close", "up grade", "x/y, Upgrade"]),
        field("Sec-WebSocket-Accept", &*ANSWERS, &["", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "AAAA"]),
        rare(1, "Sec-WebSocket-Protocol", &["v1.chat", "v2.chat"], &["V1.chat", "v1.chat, v2.chat", "", "x"]),
        rare(
            1,
            "Sec-WebSocket-Extensions",
            &["permessage-deflate", "permessage-deflate; client_max_window_bits=9"],
            &["permessage-deflate;", "x", "permessage-deflate; x", "permessage-deflate, permessage-deflate"],
        ),
        others(),
        select(&["0", "3", "20"][..])
            .prop_map(|length| vec![("Content-Length".to_owned(), length.to_owned())]),
    );
    let fields = fields.prop_map(|(a, b, c, d, e, f, g)| vec![a, b, c, d, e, f, g]);
    let interim = mostly(
        9,
        &["", "", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 x\r\nLink: </>\r\n\r\n"],
        &[
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 x\r\n\r\n",
            "HTTP/1.1 100 Continue\n\n",
            "100 Continue\r\n\r\n",
        ],
    );
    let behind = prop_oneof![
        Just(vec![]),
        Just([plain(0x81, b"hi"), plain(0x89, b"ping"), plain(0x82, &[7; 300])].concat()),
        Just(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()),
        Just([plain(0x88, b"\x03\xe8"), masked(0x81, b"dropped")].concat()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    case((interim, head(start, fields)).prop_map(|(interim, head)| interim + &head), behind)
}

/// The values of a field among those of a head that was let pass.
fn values<'a>(fields: &'a [(String, Vec<u8>)], name: &str) -> Vec<&'a [u8]> {
    let named = fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.as_slice()).collect()
}

/// Rule F, of whatever a server says: a 101 for what is beyond doubt, or an answer that ends the connection.
fn judge_server(opened: &Opened) {
    match opened {
        Opened::Waiting => {}
        Opened::Failed { error, answer } => {
            let status = error.status().unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")));
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.split("\r\n")
                    .any(|line| line == "Connection: close" || line == "Connection: close, Upgrade")
            );
            assert!(head.contains("\r\nCache-Control: no-store\r\n"), "it is no answer to others");
            assert!(body.lines().count() <= 1, "there is one answer");
            assert_eq!(status == 426, answer.contains("\r\nSec-WebSocket-Version: 13\r\n"));
        }
        Opened::Open { fields, said, .. } => {
            assert!(said.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
            for name in ["host", "upgrade", "sec-websocket-key", "sec-websocket-version"] {
                assert_eq!(values(fields, name).len(), 1, "{name}");
            }
            assert_eq!(values(fields, "sec-websocket-version"), [b"13"]);
            assert_eq!(values(fields, "sec-websocket-key"), [KEY.as_bytes()]);
            assert!(values(fields, "transfer-encoding").is_empty());
            assert!(matches!(values(fields, "content-length")[..], [] | [b"0"]));
        }
        Opened::Refused { .. } => panic!("a server is not refused"),
    }
}

/// The same of a client, which opens for the right answer alone.
fn judge_client(opened: &Opened) {
    match opened {
        Opened::Waiting | Opened::Failed { .. } => {}
        Opened::Open { fields, .. } => {
            assert_eq!(values(fields, "sec-websocket-accept"), [answer().as_bytes()]);
            assert!(
                matches!(values(fields, "upgrade")[..], [value] if value.eq_ignore_ascii_case(b"websocket"))
            );
            assert!(matches!(values(fields, "sec-websocket-protocol")[..], [] | [b"v1.chat" | b"v2.chat"]));
        }
        Opened::Refused { status, fields, body } => {
            assert!(*status >= 200);
            let length =
                values(fields, "content-length").first().map_or("0".into(), |v| String::from_utf8_lossy(v));
            assert_eq!(length, body.len().to_string());
        }
    }
}

proptest! {
    #[test]
    fn rule_e_any_request_has_one_outcome(case in requests()) {
        let config = case.config();
        let opened = server_opens(&config, &case.bytes);
        prop_assert_eq!(&server_of(&config, &pieces(&case.bytes, &case.cuts)), &opened);
        judge_server(&opened);
    }

    #[test]
    fn rule_e_any_response_has_one_outcome(case in responses()) {
        let config = case.config();
        let opened = client_opens(&config, &case.bytes);
        prop_assert_eq!(&client_of(&config, &pieces(&case.bytes, &case.cuts)).comparable(), &opened);
        judge_client(&opened);
    }
}

/// What becomes of many cases, in a word each.
fn outcomes(cases: impl Strategy<Value = Case>, of: fn(&Config, &[&[u8]]) -> Opened) -> BTreeSet<String> {
    let mut runner = TestRunner::deterministic();
    let mut outcome = || {
        let case = cases.new_tree(&mut runner).unwrap().current();
        match of(&case.config(), &[&case.bytes]) {
            Opened::Waiting => "Waiting".to_owned(),
            Opened::Failed { error, .. } => format!("{error:?}"),
            Opened::Refused { .. } => "Refused".to_owned(),
            Opened::Open { seen, .. } => match seen.last() {
                None => "Open".to_owned(),
                Some(Seen::Failed(_)) => "Open, then failed".to_owned(),
                Some(Seen::End) => "Open, then closed".to_owned(),
                Some(_) => "Open, with messages".to_owned(),
            },
        }
    };
    (0..1500).map(|_| outcome()).collect()
}

/// The two properties above are worth as much as the grammar reaches.
#[test]
fn rule_e_the_grammar_reaches_every_outcome() {
    use HandshakeError as E;
    let open = ["Waiting", "Open", "Open, with messages", "Open, then failed", "Open, then closed"];
    let names =
        |errors: &[HandshakeError]| errors.iter().map(|error| format!("{error:?}")).collect::<Vec<_>>();
    #[rustfmt::skip]
    let of_requests = names(&[
        E::Malformed, E::HeadTooLarge, E::TooManyHeaders, E::UriTooLong, E::Method, E::HttpVersion, E::Target,
        E::Host, E::Origin, E::Body, E::UpgradeMissing, E::Upgrade, E::Connection, E::WebSocketVersion, E::Key,
        E::Protocol, E::Extensions,
    ]);
    #[rustfmt::skip]
    let of_responses = names(&[
        E::Malformed, E::HeadTooLarge, E::TooManyHeaders, E::ResponseVersion, E::ResponseUpgrade,
        E::ResponseConnection, E::Accept, E::ProtocolNotOffered, E::ExtensionNotOffered,
    ]);
    let reached = outcomes(requests(), server_of);
    for outcome in open.iter().copied().chain(of_requests.iter().map(String::as_str)) {
        assert!(reached.contains(outcome), "no request: {outcome}, but {reached:?}");
    }
    let reached = outcomes(responses(), client_of);
    for outcome in open.iter().copied().chain(["Refused"]).chain(of_responses.iter().map(String::as_str)) {
        assert!(reached.contains(outcome), "no response: {outcome}, but {reached:?}");
    }
}
