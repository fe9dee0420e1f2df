//! What both ends do while a head arrives: look for its end, and keep the limits and the deadline.

use alloc::vec::Vec;

use super::error::HandshakeError;
use crate::config::Config;
use crate::time::Timestamp;

/// More header fields than this are never allowed, whatever the configuration says.
const MAX_HEADERS: usize = 1000;

/// The bytes of a handshake, until its head is there.
pub(super) struct Intake {
    input: Vec<u8>,
    /// How many bytes of the input belong to heads that were taken off it.
    taken: usize,
    scan: Scan,
    deadline: Timestamp,
    eof: bool,
    state: State,
}

enum State {
    Reading,
    Done,
    Failed(HandshakeError),
}

/// A head, from its first byte to the empty line's last.
pub(super) struct RawHead {
    pub(super) bytes: Vec<u8>,
    /// How many header fields it has.
    pub(super) fields: usize,
}

impl Intake {
    pub(super) fn new(config: &Config, max_first_line: usize, now: Timestamp) -> Self {
        Intake {
            input: Vec::new(),
            taken: 0,
            scan: Scan::new(config, max_first_line),
            deadline: now + config.handshake_timeout,
            eof: false,
            state: State::Reading,
        }
    }

    pub(super) fn input(&mut self) -> &mut Vec<u8> {
        &mut self.input
    }

    /// Takes the head off the input once it is complete.
    pub(super) fn poll(&mut self) -> Result<Option<RawHead>, HandshakeError> {
        match self.state {
            State::Reading => {}
            State::Done => return Ok(None),
            State::Failed(error) => return Err(self.fail(error)),
        }
        match self.scan.advance(self.input.get(self.taken..).unwrap_or_default()) {
            Ok(Some(end)) => {
                let bytes = self.take(end);
                Ok(Some(RawHead { bytes, fields: self.scan.restart() }))
            }
            Ok(None) if self.eof => Err(self.fail(HandshakeError::UnexpectedEof)),
            Ok(None) => Ok(None),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// What has arrived behind the heads that were taken.
    pub(super) fn pending(&self) -> &[u8] {
        self.input.get(self.taken..).unwrap_or_default()
    }

    /// Takes a head of `len` bytes off the input. What stands behind it moves only if it is the smaller part:
    /// of many heads that come together, none moves more often for the others.
    fn take(&mut self, len: usize) -> Vec<u8> {
        let end = self.taken + len;
        if self.input.len() - end > end {
            let head = self.pending().get(..len).unwrap_or_default().to_vec();
            self.taken = end;
            return head;
        }
        let behind = self.input.split_off(end);
        let mut head = core::mem::replace(&mut self.input, behind);
        head.drain(..core::mem::take(&mut self.taken));
        head
    }

    /// Ends the handshake with an error, which is its only one from now on. The input is dropped.
    pub(super) fn fail(&mut self, error: HandshakeError) -> HandshakeError {
        self.input = Vec::new();
        self.taken = 0;
        self.state = State::Failed(error);
        error
    }

    /// Ends the handshake well, and gives what stood behind the head.
    pub(super) fn finish(&mut self) -> Leftover {
        self.state = State::Done;
        let mut bytes = core::mem::take(&mut self.input);
        bytes.drain(..core::mem::take(&mut self.taken));
        Leftover { bytes, eof: self.eof }
    }

    pub(super) fn is_eof(&self) -> bool {
        self.eof
    }

    pub(super) fn handle_eof(&mut self) {
        self.eof = true;
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        if self.poll_timeout().is_some_and(|deadline| now >= deadline) {
            self.fail(HandshakeError::TimedOut);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        matches!(self.state, State::Reading).then_some(self.deadline)
    }
}

/// What came behind the head: the connection's first input.
pub(super) struct Leftover {
    pub(super) bytes: Vec<u8>,
    pub(super) eof: bool,
}

impl Leftover {
    /// Hands it to the connection.
    pub(super) fn deliver(self, connection: &mut crate::Connection, now: Timestamp) {
        if !self.bytes.is_empty() {
            connection.begin_with(self.bytes, now);
        }
        if self.eof {
            connection.handle_eof();
        }
    }
}

/// The search for the end of a head, which goes on where it stopped.
///
/// It also judges line ends and control characters, because an end that two parsers see at different
/// places is how requests are smuggled.
///
/// ```text
///   GET / HTTP/1.1 CR LF  Host: exam│ple.com CR LF  CR LF
///                         │         │
///                         line      at: all before it was looked at, and will not be again
/// ```
struct Scan {
    at: usize,
    line: usize,
    lines: usize,
    max_first_line: usize,
    max_head: usize,
    max_headers: usize,
}

impl Scan {
    fn new(config: &Config, max_first_line: usize) -> Self {
        Scan {
            at: 0,
            line: 0,
            lines: 0,
            max_first_line,
            // A position in a head fits 32 bits.
            max_head: config.max_head.min(u32::MAX as usize),
            max_headers: config.max_headers.min(MAX_HEADERS),
        }
    }

    /// Where the head ends, once its end is there.
    fn advance(&mut self, input: &[u8]) -> Result<Option<usize>, HandshakeError> {
        let (mut limit, mut over) = self.limit();
        loop {
            let allowed = input.get(..limit).unwrap_or(input);
            let rest = allowed.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(u8::is_ascii_control).unwrap_or(rest.len());
            self.at += plain;
            match rest.get(plain..).unwrap_or_default() {
                // RFC 9112 §2.2: "A recipient of such a bare CR MUST consider that element to be
                // invalid". A bare LF it "MAY" take for a line end; here it is as invalid.
                [b'\r', b'\n', ..] => {
                    if self.end_line()? {
                        return Ok(Some(self.at));
                    }
                    (limit, over) = self.limit();
                }
                [b'\t', ..] => self.at += 1,
                [] | [b'\r'] if allowed.len() < limit => return Ok(None),
                [] | [b'\r'] => return Err(over),
                _ => return Err(HandshakeError::Malformed),
            }
        }
    }

    /// Up to where may be looked now, and what is wrong if that is not far enough.
    fn limit(&self) -> (usize, HandshakeError) {
        let first_line = self.max_first_line.saturating_add(b"\r\n".len());
        if self.lines == 0 && first_line < self.max_head {
            (first_line, HandshakeError::UriTooLong)
        } else {
            (self.max_head, HandshakeError::HeadTooLarge)
        }
    }

    /// Steps over a line end; true if it ends the head.
    fn end_line(&mut self) -> Result<bool, HandshakeError> {
        let is_empty = self.at == self.line;
        self.at += b"\r\n".len();
        self.line = self.at;
        match (is_empty, self.lines) {
            // RFC 9112 §2.2: a server "SHOULD ignore at least one empty line (CRLF) received prior to
            // the request-line". That is for connections that carried a request before; this one did not.
            (true, 0) => Err(HandshakeError::Malformed),
            (true, _) => Ok(true),
            (false, lines) if lines > self.max_headers => Err(HandshakeError::TooManyHeaders),
            (false, _) => {
                self.lines += 1;
                Ok(false)
            }
        }
    }

    /// Begins the next head, within what this one left of the limit; gives this one's count of fields.
    fn restart(&mut self) -> usize {
        let fields = self.lines.saturating_sub(1);
        self.max_head = self.max_head.saturating_sub(self.at);
        (self.at, self.line, self.lines) = (0, 0, 0);
        fields
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test")]
mod tests {
    use alloc::format;

    use super::*;

    /// Rule E: what was looked at is not looked at again, and a position never goes back.
    #[test]
    fn rule_e_the_scan_resumes_where_it_stopped() {
        let lines = "X-Header:\tvalue\r\n".repeat(90);
        let padding = "y".repeat((16 << 10) - "GET / HTTP/1.1\r\nZ: \r\n\r\n".len() - lines.len());
        let head = format!("GET / HTTP/1.1\r\n{lines}Z: {padding}\r\n\r\n");
        assert_eq!(head.len(), 16 << 10, "the longest head that is allowed");
        let mut scan = Scan::new(&Config::default(), 8 << 10);
        let (mut input, mut gone, mut end, mut examined) = (Vec::new(), 0, Ok(None), 0);
        for &byte in head.as_bytes() {
            // Bytes that were looked at are gone: whoever looked again would see NULs and fail.
            input[gone..scan.at].fill(0);
            gone = scan.at;
            input.push(byte);
            examined += input.len() - scan.at;
            end = scan.advance(&input);
            assert!(scan.at + 1 >= input.len(), "all but a lone CR is looked at when it comes");
        }
        assert_eq!(end, Ok(Some(head.len())));
        assert_eq!(scan.restart(), 91);
        assert!(examined <= 2 * head.len(), "{examined} bytes examined of {}", head.len());
    }
}
