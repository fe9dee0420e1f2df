//! What an end says: messages of every kind and way to send them, pings and pauses.

use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use sansock::deflate::Deflate;
use sansock::{Message, Prepared, SendError, SendHalf};

use crate::log::{Kind, Said};
use crate::proxy::spread;

#[derive(Clone, Debug)]
pub enum Step {
    Message(Words),
    Ping(Vec<u8>),
    Pause(Duration),
}

/// A message that is made when it is said.
#[derive(Clone, Debug)]
pub struct Words {
    pub is_text: bool,
    pub size: usize,
    pub seed: u64,
    pub how: How,
}

/// By which call a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Send,
    Feed,
    Borrowed,
    Uncompressed,
    Prepared,
    /// In so many fragments, some of them empty, with pings between them.
    Fragments(usize),
}

pub fn script(rng: &mut StdRng, largest: usize, most: usize) -> Vec<Step> {
    let mut pings = 0_u64;
    let steps = rng.random_range(0..=most);
    (0..steps)
        .map(|_| match rng.random_range(0..20) {
            0 => Step::Pause(Duration::from_millis(rng.random_range(1..20))),
            1..=3 => {
                pings += 1;
                let mut payload = vec![0; rng.random_range(8..=125)];
                rng.fill_bytes(&mut payload);
                payload[..8].copy_from_slice(&pings.to_be_bytes());
                Step::Ping(payload)
            }
            _ => Step::Message(words(rng, largest)),
        })
        .collect()
}

fn words(rng: &mut StdRng, largest: usize) -> Words {
    let size = match rng.random_range(0..10) {
        0 => 0,
        1 => rng.random_range(120..135),
        2 if largest > 70_000 => rng.random_range(65_500..65_600),
        3..=8 => spread(rng, 1, 4 << 10),
        _ => spread(rng, 1, largest),
    };
    let how = match rng.random_range(0..8) {
        0 => How::Feed,
        1 => How::Borrowed,
        2 => How::Uncompressed,
        3 => How::Prepared,
        4 | 5 => How::Fragments(rng.random_range(1..12)),
        _ => How::Send,
    };
    Words { is_text: rng.random(), size, seed: rng.next_u64(), how }
}

/// About how many bytes a script is on the wire.
pub fn weight(script: &[Step]) -> u64 {
    let weigh = |step: &Step| match step {
        Step::Message(words) => words.size as u64 + 8,
        Step::Ping(payload) => payload.len() as u64 + 6,
        Step::Pause(_) => 0,
    };
    script.iter().map(weigh).sum()
}

impl Words {
    /// The message, and its digest is noted when it was queued.
    pub fn message(&self) -> Message {
        let mut rng = StdRng::seed_from_u64(self.seed);
        if self.is_text {
            return Message::from(text(&mut rng, self.size));
        }
        let mut data = vec![0; self.size];
        rng.fill_bytes(&mut data);
        // Half of it can be compressed.
        data[self.size / 2..].iter_mut().for_each(|byte| *byte &= 1);
        Message::Binary(Bytes::from(data))
    }

    /// Queues the message in the way that is planned; nothing else is written.
    pub fn queue(&self, send: &mut SendHalf, said: &mut Said) -> Result<(), SendError> {
        let message = self.message();
        let digest = digest(&message);
        match (self.how, &message) {
            (How::Fragments(count), _) => self.fragments(count, &message, send, said)?,
            (How::Borrowed, Message::Text(text)) => send.text(text)?,
            (How::Borrowed, Message::Binary(data)) => send.binary(data)?,
            (How::Uncompressed, _) => send.uncompressed().send(message)?,
            (How::Prepared, _) if self.seed & 1 == 0 => send.prepared(&Prepared::new(message))?,
            (How::Prepared, _) => send.prepared(&Prepared::with_deflate(message, &Deflate::default()))?,
            (How::Send | How::Feed, _) => send.send(message)?,
        }
        said.note(digest.0, &digest.1);
        Ok(())
    }

    fn fragments(
        &self,
        count: usize,
        message: &Message,
        send: &mut SendHalf,
        said: &mut Said,
    ) -> Result<(), SendError> {
        let mut rng = StdRng::seed_from_u64(!self.seed);
        let mut rest = message.as_bytes();
        for _ in 1..count {
            let mut at = rng.random_range(0..=rest.len() / 2);
            while self.is_text && !is_boundary(rest, at) {
                at += 1;
            }
            let (part, behind) = rest.split_at(at);
            rest = behind;
            part_of(part, self.is_text, |data| send.fragment(data))?;
            if rng.random_bool(0.2) {
                let payload = rng.next_u64().to_be_bytes();
                send.ping(&payload)?;
                said.note(Kind::Ping, &payload);
            }
        }
        part_of(rest, self.is_text, |data| send.last_fragment(data))
    }
}

/// The kind and payload of a message, to be noted once it is queued.
pub fn digest(message: &Message) -> (Kind, Bytes) {
    match message {
        Message::Text(text) => (Kind::Text, text.clone().into()),
        Message::Binary(data) => (Kind::Binary, data.clone()),
    }
}

fn part_of(
    part: &[u8],
    is_text: bool,
    send: impl FnOnce(sansock::Data<'_>) -> Result<(), SendError>,
) -> Result<(), SendError> {
    match std::str::from_utf8(part) {
        Ok(text) if is_text => send(sansock::Data::Text(text)),
        _ => send(sansock::Data::Binary(part)),
    }
}

fn is_boundary(text: &[u8], at: usize) -> bool {
    text.get(at).is_none_or(|byte| byte & 0xc0 != 0x80)
}

const VOCABULARY: [&str; 12] = [
    "a",
    "the ",
    "Grüße, ",
    "\u{fffd}",
    "😀",
    "{\"id\": ",
    "中文",
    "0123456789",
    "\0",
    "\r\n",
    "ß",
    "and so on ",
];

/// Text of about this size: words of one to four bytes a character.
fn text(rng: &mut StdRng, size: usize) -> String {
    let mut text = String::with_capacity(size);
    // A large text repeats itself: it is the sender that is to be tested, not the generator.
    while text.len() < size.min(16 << 10) {
        text.push_str(VOCABULARY[rng.random_range(0..VOCABULARY.len())]);
    }
    while text.len() < size {
        let most = text.len().min(size - text.len());
        let from = (0..=text.len() - most).rfind(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let to = (from..=from + most).rfind(|at| text.is_char_boundary(*at)).unwrap_or(from);
        let word = VOCABULARY[rng.random_range(0..VOCABULARY.len())];
        text.extend_from_within(from..to);
        text.push_str(word);
    }
    text
}
