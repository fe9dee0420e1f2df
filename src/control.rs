//! What the receiving half tells the sending half.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::fmt;

use crate::close::CloseCode;

/// The longest payload of a control frame (RFC 6455 §5.5).
pub(crate) const MAX_CONTROL: usize = 125;

/// An order of a [`ReceiveHalf`](crate::ReceiveHalf) that its [`SendHalf`](crate::SendHalf) carries
/// out: a small value that may cross threads.
///
/// It is taken with [`poll_control`](crate::ReceiveHalf::poll_control) and given to
/// [`handle_control`](crate::SendHalf::handle_control).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "give it to `SendHalf::handle_control`"]
pub struct Control(pub(crate) Order);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Answer a ping.
    Pong(ControlPayload),
    /// Ask whether the peer is there.
    Ping,
    /// Begin the closing handshake.
    Close(CloseCode),
    /// Say the last word.
    Finish(Last),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// Send a Close frame, if none was sent, with this code.
    Close(Option<CloseCode>),
    /// Queue nothing more.
    Stop,
}

/// The orders that wait for the sending half: mostly none, and then they take no room.
#[derive(Debug, Default)]
pub(crate) struct Orders(Option<Box<Waiting>>);

/// There is at least one.
#[derive(Debug, Default)]
struct Waiting {
    /// The newest ping's answer.
    pong: Option<ControlPayload>,
    /// The answers before it, at most [`MAX_OLDER`](Orders::MAX_OLDER).
    older: VecDeque<ControlPayload>,
    ping: bool,
    close: Option<CloseCode>,
    last: Option<Last>,
}

impl Orders {
    /// Whether there is any.
    #[inline]
    pub(crate) fn are_pending(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn ping(&mut self) {
        self.waiting().ping = true;
    }

    /// Only pongs come after this, until the last word.
    pub(crate) fn close(&mut self, code: CloseCode) {
        self.waiting().close = Some(code);
    }

    /// Nothing comes after this.
    pub(crate) fn finish(&mut self, last: Last) {
        self.waiting().last.get_or_insert(last);
    }

    /// How many pings besides the newest may wait for their answers, should the driver be slow to carry them
    /// over.
    const MAX_OLDER: usize = 7;

    pub(crate) fn answer(&mut self, payload: ControlPayload) {
        // RFC 6455 §5.5.3: "If an endpoint receives a Ping frame and has not yet sent Pong frame(s) in
        // response to previous Ping frame(s), the endpoint MAY elect to send a Pong frame for only
        // the most recently processed Ping frame."
        let waiting = self.waiting();
        if let Some(before) = waiting.pong.replace(payload) {
            if waiting.older.len() == Self::MAX_OLDER {
                waiting.older.pop_front();
            }
            waiting.older.push_back(before);
        }
    }

    pub(crate) fn next(&mut self) -> Option<Order> {
        let waiting = self.0.as_mut()?;
        let order = if let Some(payload) = waiting.older.pop_front().or_else(|| waiting.pong.take()) {
            Some(Order::Pong(payload))
        } else if core::mem::take(&mut waiting.ping) {
            Some(Order::Ping)
        } else if let Some(code) = waiting.close.take() {
            Some(Order::Close(code))
        } else {
            waiting.last.take().map(Order::Finish)
        };
        if waiting.pong.is_none() && !waiting.ping && waiting.close.is_none() && waiting.last.is_none() {
            self.0 = None;
        }
        order
    }

    fn waiting(&mut self) -> &mut Waiting {
        self.0.get_or_insert_default()
    }
}

/// The payload of a ping or pong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ControlPayload {
    len: u8,
    bytes: [u8; MAX_CONTROL],
}

impl ControlPayload {
    pub(crate) const EMPTY: Self = ControlPayload { len: 0, bytes: [0; MAX_CONTROL] };

    /// The payload of a control frame, so of 125 bytes at the most.
    pub(crate) fn new(payload: &[u8]) -> Self {
        let mut control = ControlPayload::EMPTY;
        for (slot, byte) in control.bytes.iter_mut().zip(payload) {
            *slot = *byte;
            control.len += 1;
        }
        control
    }

    pub(crate) fn len(&self) -> u8 {
        self.len
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// Shows how long it is, but not what it says: it may be secret.
impl fmt::Debug for ControlPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlPayload").field("len", &self.len).finish_non_exhaustive()
    }
}
