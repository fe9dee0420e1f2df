//! The same bytes to this crate and to another implementation, tungstenite: both must see the same events in
//! the same order, fail at the same frame, tell the same code, and answer the same. And what each of them
//! sends the other one must see as it was sent. Without compression, in both roles.
//!
//! These differences are allowed, and no others; `agree` has each of them by its letter.
//!
//! | | what | this crate | tungstenite | right by RFC 6455 | why it is allowed |
//! |---|---|---|---|---|---|
//! | a | a length that is not in its shortest form | fails, 1002 | accepts it | §5.2, "the minimal number of bytes MUST be used to encode the length" | theirs is lenient |
//! | b | a Close frame with a code that may not be sent | fails, 1002 | hands out the frame with 1002, or as it is after a Close frame of its own; answers 1002 | §7.4 | both tell 1002 |
//! | c | a Close frame with 1014 | takes it | takes it for 1002 | §7.4.2, it is registered since | theirs knows fewer codes |
//! | d | a frame with several faults: a control frame above the limit for frames, too, and a length above 2⁶³ | tells one of them | tells another one | §7.1.7 does not say which | what is told is one of its faults |
//! | e | when a frame is judged | at its header, text at the byte | when all of it is there | §8.1 and §10.4 leave it open | the frame is completed for the other one |
//! | f | what tells the peer of a failure | a Close frame, sent by itself | nothing: the application has to | §7.1.7, "SHOULD send a Close frame" | it is their interface |
//! | g | the answer to a Close frame | the code | the code and the reason | §5.5.1, "typically echos the status code" | both are an answer |
//! | h | what follows a Close frame | is dropped | is dropped, or an error of a client's | §1.4, "discards any further data received" | nothing of it is handed out |
//! | i | a ping after its own Close frame | is answered | is handed out | §5.5.2, "unless it already received a Close frame" | the peer drops the answer |
//!
//! An input is, byte by byte:
//!
//! 1. switches: 1 this crate is the client, 2 both talk rather than read bytes of a third, 4 the transport
//!    ends, 8 chunks, 16 a Close frame was sent before, 64 and 128 the limits;
//! 2. how many bytes a read brings, and one; for the other one likewise;
//! 3. frames: the first byte as it stands on the wire; a length below 128 and, with 128, a byte of oddities
//!    as [`Wire::frame`] has them; the payload. Or, if both talk, commands as [`Talk::command`] has them.

#![no_main]

mod counted;
mod frames;
mod input;
mod other;
mod talk;

use bytes::{Buf, BufMut};
use libfuzzer_sys::fuzz_target;
use sansock::{CloseCode, CloseFrame, Config, Connection, Delivery, Error, Event, Timestamp};

use crate::counted::within;
use crate::frames::{Fault, Limits, Verdict};
use crate::input::Input;
use crate::other::{End, Other, Seen, close_frame};
use crate::talk::Talk;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let setup = Setup::read(&mut input);
    // Both ends, their bytes and their events, twice; the longest claim of a length is many times that.
    within(32 << 20, || {
        if setup.talks {
            Talk::new(&setup).run(&mut input)
        } else {
            setup.compare(&Wire::read(&mut input, &setup))
        }
    });
});

const NOW: Timestamp = Timestamp::EPOCH;

struct Setup {
    is_client: bool,
    talks: bool,
    ends: bool,
    is_in_chunks: bool,
    has_closed: bool,
    limits: Limits,
    /// How many bytes a read brings, for this crate and for the other one.
    sizes: (usize, usize),
}

impl Setup {
    fn read(input: &mut Input<'_>) -> Self {
        let switches = input.byte();
        let has = |bit| switches & bit != 0;
        // Control frames are not above any.
        let (message, frame) =
            [(70_000, 70_000), (1000, 300), (20, 125), (200, 1000)][usize::from(switches >> 6)];
        Setup {
            is_client: has(1),
            talks: has(2),
            ends: has(4),
            is_in_chunks: has(8),
            has_closed: has(16),
            limits: Limits { message, frame },
            sizes: (1 + usize::from(input.byte()), 1 + usize::from(input.byte())),
        }
    }

    fn ours(&self) -> Ours {
        let mut config = Config::default();
        config.max_message = self.limits.message;
        config.max_frame = Some(self.limits.frame);
        if self.is_in_chunks {
            config.delivery = Delivery::Chunks;
        }
        let connection = match self.is_client {
            true => Connection::client(config, [7; 32], NOW),
            false => Connection::server(config, NOW),
        };
        Ours { connection, size: self.sizes.0, open: Vec::new(), output: Vec::new() }
    }

    fn theirs(&self, is_client: bool) -> Other {
        Other::new(is_client, self.limits, self.sizes.1)
    }

    /// Gives the same bytes to both.
    fn compare(&self, wire: &[u8]) {
        let mut verdict = frames::judge(wire, !self.is_client, self.limits);
        let mut ours = self.ours();
        let mut theirs = self.theirs(self.is_client);
        if self.has_closed {
            ours.connection.close(CloseCode::NORMAL, "").expect("it is open");
            theirs.socket.close(Some(close_frame(1000, ""))).expect("it is open");
        }
        let mut seen = (Vec::new(), Vec::new());
        let mut ends = (ours.read(wire, &mut seen.0), End::Starved);

        let is_failure = matches!(ends.0, End::Failed(_));
        assert!(is_failure || verdict.faults.is_empty() || !verdict.is_certain, "{:?}", verdict.faults);
        assert!(!is_failure || !verdict.faults.is_empty(), "{:?} of a legal stream", ends.0);
        theirs.pipe().input = wire.to_vec();
        if is_failure {
            // What completes the frame may break more rules: a text that stops within a character.
            theirs.pipe().input = completed(wire, &verdict);
            verdict = frames::judge(&theirs.pipe().input, !self.is_client, self.limits);
        }
        ends.1 = theirs.read_all(&mut seen.1);
        if self.ends && !is_failure {
            ends.0 = ours.end(&mut seen.0);
            theirs.pipe().ends = true;
            ends.1 = theirs.read_all(&mut seen.1);
        }
        self.agree(ends, &mut seen, &verdict);
        let theirs = std::mem::take(&mut theirs.pipe().output);
        self.answers_agree(ends, &ours.output, &theirs, &verdict, &seen.0);
    }

    /// Whether both say the same, but for the differences that are allowed.
    fn agree(&self, ends: (End, End), seen: &mut (Vec<Seen>, Vec<Seen>), verdict: &Verdict) {
        let codes: Vec<u16> = verdict.faults.iter().map(|fault| fault.code()).collect();
        match ends {
            (End::Failed(ours), End::Failed(theirs)) if ours != theirs => {
                // d.
                let is_long = verdict.is_long && theirs == 1009;
                assert!(codes.contains(&ours), "{ours} of {:?}", verdict.faults);
                assert!(codes.contains(&theirs) || is_long, "{theirs} of {:?}", verdict.faults);
            }
            (End::Failed(ours), End::Failed(_)) => assert!(codes.contains(&ours), "{:?}", verdict.faults),
            (End::Failed(1002), theirs) => match &verdict.faults[..] {
                // a, and what that frame says.
                [Fault::NotMinimal] => {
                    let more = seen.1.split_off(seen.0.len());
                    assert!(more.len() <= 1);
                    let is_close = matches!(more[..], [Seen::Close(_)]);
                    assert_eq!(theirs, if is_close { End::Closed } else { End::Starved });
                }
                // b.
                [Fault::CloseCode] | [Fault::NotMinimal, Fault::CloseCode] => {
                    let close = seen.1.pop();
                    let is_own = |close| matches!(close, Some(Seen::Close(Some((1002, _)))));
                    assert!(self.has_closed || is_own(close));
                    assert_eq!(theirs, End::Closed);
                }
                // a, where the other faults are none for it either.
                faults => panic!("theirs is {theirs:?} in spite of {faults:?}"),
            },
            (ours, theirs) => assert_eq!(ours, theirs),
        }
        if let (Some(Seen::Close(Some((1014, _)))), Some(Seen::Close(Some((code, reason))))) =
            (seen.0.last(), seen.1.last_mut())
            && !self.has_closed
        {
            // c.
            assert_eq!((*code, reason.as_str()), (1002, "Protocol violation"));
            (seen.0.pop(), seen.1.pop());
        }
        assert_eq!(seen.0, seen.1);
    }

    /// Whether both have written the same.
    fn answers_agree(&self, ends: (End, End), ours: &[u8], theirs: &[u8], verdict: &Verdict, seen: &[Seen]) {
        let (mut ours, mut theirs) = (frames::read_all(ours), frames::read_all(theirs));
        let code = |(_, payload): (u8, Vec<u8>)| payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        let take_close =
            |frames: &mut Vec<(u8, Vec<u8>)>| frames.pop_if(|(first, _)| *first == 0x88).map(code);
        if self.has_closed {
            // i: nothing else follows that Close frame.
            let pong = |seen: &Seen| match seen {
                Seen::Ping(payload) => Some((0x8a, payload.clone())),
                _ => None,
            };
            assert_eq!(ours.split_off(1), seen.iter().filter_map(pong).collect::<Vec<_>>());
            assert_eq!(
                (take_close(&mut ours), take_close(&mut theirs)),
                (Some(Some(1000)), Some(Some(1000)))
            );
            assert!(ours.is_empty() && theirs.is_empty());
            return;
        }
        let closes = (take_close(&mut ours), take_close(&mut theirs));
        match (ends, closes) {
            // f, and b: theirs answers that Close frame, or with a the one that it takes.
            ((End::Failed(failed), theirs), (sent, answer)) => {
                assert_eq!(sent, Some(Some(failed)));
                match verdict.faults[..] {
                    [Fault::CloseCode] | [Fault::NotMinimal, Fault::CloseCode] => {
                        assert_eq!(answer, Some(Some(1002)));
                    }
                    _ => assert_eq!(answer.is_some(), theirs == End::Closed),
                }
            }
            // c, and g: the reason is not compared.
            (_, (Some(Some(1014)), theirs)) => assert_eq!(theirs, Some(Some(1002))),
            (_, (ours, theirs)) => assert_eq!(ours, theirs),
        }
        if verdict.faults[..] == [Fault::NotMinimal] {
            // a: it may have been a ping.
            theirs.truncate(ours.len());
        }
        assert_eq!(ours, theirs);
    }
}

/// The bytes up to the end of the frame that failed, and what lacks of it, for who judges it later (e).
fn completed(wire: &[u8], verdict: &Verdict) -> Vec<u8> {
    /// More than that is above the limit for frames, and judged at the header.
    const MOST: u64 = 80_000;
    let mut wire = wire.to_vec();
    let end = verdict.end.min(wire.len() as u64 + MOST);
    wire.resize(usize::try_from(end).expect("it is small"), 0);
    wire
}

/// This crate's end.
struct Ours {
    connection: Connection,
    size: usize,
    /// The chunks of a message whose end has not come.
    open: Vec<u8>,
    /// What it has written.
    output: Vec<u8>,
}

impl Ours {
    fn read(&mut self, bytes: &[u8], seen: &mut Vec<Seen>) -> End {
        let mut end = self.take_events(seen);
        for part in bytes.chunks(self.size) {
            self.connection.input().put_slice(part);
            self.connection.handle_input(NOW);
            let next = self.take_events(seen);
            assert!(next == end || !matches!(end, End::Failed(_)), "{next:?} after {end:?}");
            end = next;
        }
        end
    }

    fn end(&mut self, seen: &mut Vec<Seen>) -> End {
        self.connection.handle_eof();
        self.take_events(seen)
    }

    fn take_events(&mut self, seen: &mut Vec<Seen>) -> End {
        loop {
            let event = self.connection.poll_event();
            let (is_text, data, is_final) = match event {
                Ok(Some(Event::Text(text))) => (true, text.as_bytes().to_vec(), text.is_final()),
                Ok(Some(Event::Binary(data))) => (false, data.to_vec(), data.is_final()),
                Ok(Some(Event::Ping(payload))) => {
                    seen.push(Seen::Ping(payload.to_vec()));
                    self.write();
                    continue;
                }
                Ok(Some(Event::Pong(payload))) => {
                    seen.push(Seen::Pong(payload.to_vec()));
                    continue;
                }
                Ok(Some(event)) => panic!("unknown: {event:?}"),
                Ok(None) => break,
                Err(error) => {
                    self.write();
                    return match error {
                        Error::UnexpectedEof => End::Eof,
                        error => End::Failed(error.close_code().expect("no deadline has passed").get()),
                    };
                }
            };
            self.open.extend(data);
            if is_final {
                let data = std::mem::take(&mut self.open);
                seen.push(if is_text { Seen::Text(data) } else { Seen::Binary(data) });
            }
        }
        self.write();
        if !self.connection.is_ended() {
            return End::Starved;
        }
        let report = self.connection.closed().expect("it is ended");
        if !report.clean {
            return End::Eof;
        }
        if !seen.iter().any(|seen| matches!(seen, Seen::Close(_))) {
            let say = |frame: CloseFrame| (frame.code().get(), frame.reason().to_owned());
            seen.push(Seen::Close(report.received.map(say)));
        }
        End::Closed
    }

    fn write(&mut self) {
        while self.connection.output().has_remaining() {
            let output = self.connection.output();
            let len = output.chunk().len().min(self.size);
            self.output.extend_from_slice(&output.chunk()[..len]);
            output.advance(len);
        }
    }
}

/// Frames as a third one sends them.
struct Wire(Vec<u8>);

impl Wire {
    /// More than this says nothing new.
    const MOST: usize = 200_000;

    fn read(input: &mut Input<'_>, setup: &Setup) -> Vec<u8> {
        let mut wire = Wire(Vec::new());
        while !input.0.is_empty() && wire.0.len() < Self::MOST {
            wire.frame(input, !setup.is_client);
        }
        wire.0
    }

    /// The oddities: 3 the form of the length, one of 16, 64, and 64 bits that are eight bytes of the input;
    /// 4 the wrong mask; 8 the payload 64 times; 16 only as many bytes of the frame as another byte says; 32
    /// the frame is the payload, as it stands; 64 the payload begins with a code, which another byte chooses.
    fn frame(&mut self, input: &mut Input<'_>, is_masked: bool) {
        let (first, second) = (input.byte(), input.byte());
        let odd = if second & 0x80 != 0 { input.byte() } else { 0 };
        let has = |bit| odd & bit != 0;
        let claim = if odd & 3 == 3 { Some(input.take(8)) } else { None };
        let cut = if has(16) { Some(input.byte()) } else { None };
        let code =
            if has(64) { CODES[usize::from(input.byte()) % CODES.len()].to_be_bytes() } else { [0; 2] };
        let mut payload = input.take(usize::from(second & 0x7f)).repeat(if has(8) { 64 } else { 1 });
        if has(64) {
            payload.splice(..0, code);
        }
        let start = self.0.len();
        if has(32) {
            self.0.extend(payload);
            return;
        }
        let is_masked = is_masked != has(4);
        let bit = if is_masked { 0x80 } else { 0 };
        self.0.push(first);
        match (odd & 3, payload.len()) {
            (0, len @ ..126) => self.0.push(bit | len as u8),
            (0 | 1, len) if len <= 0xffff => {
                self.0.push(bit | 126);
                self.0.extend((len as u16).to_be_bytes());
            }
            (_, len) => {
                self.0.push(bit | 127);
                let mut bytes = (len as u64).to_be_bytes();
                let claim = claim.unwrap_or_default();
                bytes[..claim.len()].copy_from_slice(claim);
                self.0.extend(bytes);
            }
        }
        let key = if is_masked { [first, 0x17, second, 0xa5] } else { [0; 4] };
        if is_masked {
            self.0.extend(key);
        }
        self.0.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
        if let Some(cut) = cut {
            self.0.truncate(start + usize::from(cut));
        }
    }
}

/// Those around which the judgement of a code may change, and each that is registered.
const CODES: [u16; 26] = [
    0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015,
    1016, 2999, 3000, 3999, 4000, 4999, 5000, 65_535,
];
