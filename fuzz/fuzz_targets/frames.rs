//! Frames, read plainly: what a stream of bytes consists of, and which rules its first bad frame breaks. No
//! implementation's order of judgement matters here: all that is wrong with that frame is named.

/// A rule of RFC 6455 that a frame breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// §5.2, RSV1 to RSV3.
    ReservedBits,
    /// §5.2, opcodes.
    ReservedOpcode,
    /// §5.5.
    FragmentedControl,
    /// §5.5.
    LongControl,
    /// §5.2, payload length.
    NotMinimal,
    /// §5.2, payload length.
    OutOfRange,
    /// §5.1.
    Mask,
    /// §5.4.
    Continuation,
    /// §10.4.
    TooBig,
    /// §8.1.
    Utf8,
    /// §5.5.1.
    CloseTooShort,
    /// §7.4.
    CloseCode,
    /// §8.1.
    CloseUtf8,
}

impl Fault {
    /// The status code that tells it (§7.4.1).
    pub fn code(self) -> u16 {
        match self {
            Fault::TooBig => 1009,
            Fault::Utf8 | Fault::CloseUtf8 => 1007,
            _ => 1002,
        }
    }
}

#[derive(Clone, Copy)]
pub struct Limits {
    pub message: u64,
    pub frame: u64,
}

/// How a stream ends.
pub struct Verdict {
    /// Where the first bad frame, or a Close frame, ends: perhaps beyond what there is.
    pub end: u64,
    /// What is wrong with it; nothing, if it is a Close frame, or if there is no such frame.
    pub faults: Vec<Fault>,
    /// Its length is above the limit, whatever kind of frame it is.
    pub is_long: bool,
    /// All that is judged was there; otherwise its header was not.
    pub is_certain: bool,
}

/// A frame, as far as it is there.
struct Frame {
    first: u8,
    is_masked: bool,
    /// In the 64-bit form, and in the 16-bit form.
    forms: (bool, bool),
    len: u64,
    /// The length is there.
    has_len: bool,
    payload: Vec<u8>,
    /// Where it ends.
    end: u64,
}

impl Frame {
    /// What is not there is zero.
    fn read(bytes: &[u8], start: usize) -> Self {
        let byte = |at: usize| bytes.get(start + at).copied().unwrap_or(0);
        let second = byte(1);
        let forms = (second & 0x7f == 127, second & 0x7f == 126);
        let (len, mut size) = match forms {
            (true, _) => (u64::from_be_bytes(std::array::from_fn(|at| byte(2 + at))), 10),
            (_, true) => (u64::from(u16::from_be_bytes([byte(2), byte(3)])), 4),
            _ => (u64::from(second & 0x7f), 2),
        };
        let has_len = start + size <= bytes.len();
        let is_masked = second & 0x80 != 0;
        let mut key = [0; 4];
        if is_masked {
            key = std::array::from_fn(|at| byte(size + at));
            size += 4;
        }
        let rest = bytes.get(start + size..).unwrap_or_default();
        let part = &rest[..rest.len().min(usize::try_from(len).unwrap_or(usize::MAX))];
        let payload = part.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
        let end = ((start + size) as u64).saturating_add(len);
        Frame { first: byte(0), is_masked, forms, len, has_len, payload, end }
    }

    fn is_whole(&self) -> bool {
        self.payload.len() as u64 == self.len
    }
}

/// A message under way.
struct Open {
    is_text: bool,
    announced: u64,
    text: Vec<u8>,
}

/// Reads what a peer has sent; `is_masked` if that is a client.
pub fn judge(bytes: &[u8], is_masked: bool, limits: Limits) -> Verdict {
    let mut open: Option<Open> = None;
    let mut start = 0;
    while start < bytes.len() {
        let frame = Frame::read(bytes, start);
        let faults = faults(&frame, &mut open, is_masked, limits);
        let is_close = frame.first & 0x0f == 8 && frame.is_whole();
        if !faults.is_empty() || is_close {
            let is_long = frame.len > limits.frame;
            return Verdict { end: frame.end, faults, is_long, is_certain: frame.has_len };
        }
        match usize::try_from(frame.end) {
            Ok(end) if end <= bytes.len() => start = end,
            _ => break,
        }
    }
    Verdict { end: bytes.len() as u64, faults: Vec::new(), is_long: false, is_certain: true }
}

fn faults(frame: &Frame, open: &mut Option<Open>, is_masked: bool, limits: Limits) -> Vec<Fault> {
    let (opcode, is_final) = (frame.first & 0x0f, frame.first & 0x80 != 0);
    let mut faults = Vec::new();
    let mut rule = |is_broken: bool, fault| {
        if is_broken {
            faults.push(fault);
        }
    };
    rule(frame.first & 0x70 != 0, Fault::ReservedBits);
    rule(matches!(opcode, 3..=7 | 11..), Fault::ReservedOpcode);
    rule(frame.is_masked != is_masked, Fault::Mask);
    rule(frame.len >> 63 != 0, Fault::OutOfRange);
    rule((frame.forms.0 && frame.len <= 0xffff) || (frame.forms.1 && frame.len < 126), Fault::NotMinimal);
    if opcode >= 8 {
        rule(!is_final, Fault::FragmentedControl);
        rule(frame.len > 125, Fault::LongControl);
        if opcode == 8 && frame.is_whole() {
            close_faults(&frame.payload, &mut rule);
        }
        return faults;
    }
    rule((opcode == 0) != open.is_some(), Fault::Continuation);
    if opcode != 0 || open.is_none() {
        *open = Some(Open { is_text: opcode == 1, announced: 0, text: Vec::new() });
    }
    let Some(message) = open else { return faults };
    rule(frame.len > limits.frame || frame.len > limits.message - message.announced, Fault::TooBig);
    message.announced = message.announced.saturating_add(frame.len).min(limits.message);
    if message.is_text {
        message.text.extend(&frame.payload);
        let is_cut_off = is_final && frame.is_whole();
        rule(is_wrong(&message.text, is_cut_off), Fault::Utf8);
    }
    if is_final {
        *open = None;
    }
    faults
}

fn close_faults(payload: &[u8], rule: &mut impl FnMut(bool, Fault)) {
    match payload {
        [] => {}
        [_] => rule(true, Fault::CloseTooShort),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            rule(!matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999), Fault::CloseCode);
            rule(std::str::from_utf8(reason).is_err(), Fault::CloseUtf8);
        }
    }
}

/// Whether this is no UTF-8, or cannot begin it.
fn is_wrong(text: &[u8], is_whole: bool) -> bool {
    std::str::from_utf8(text).is_err_and(|error| is_whole || error.error_len().is_some())
}

/// The frames of an output, whole ones, unmasked: first bytes and payloads.
pub fn read_all(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let frame = Frame::read(bytes, start);
        assert!(frame.has_len && frame.is_whole(), "a part of a frame");
        start = usize::try_from(frame.end).expect("it is there");
        frames.push((frame.first, frame.payload));
    }
    frames
}
