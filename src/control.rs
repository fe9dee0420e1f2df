//! What the receiving half tells the sending half.

use alloc::collections::VecDeque;

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

/// The orders that wait for the sending half.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pending: bool,
    /// The newest pings' answers, at most [`MAX_PONGS`](Orders::MAX_PONGS).
    pongs: VecDeque<ControlPayload>,
    ping: bool,
    last: Option<Last>,
}

impl Orders {
    /// Whether there is any.
    #[inline]
    pub(crate) fn are_pending(&self) -> bool {
        self.pending
    }

    pub(crate) fn ping(&mut self) {
        self.pending = true;
        self.ping = true;
    }

    /// Nothing comes after this.
    pub(crate) fn finish(&mut self, last: Last) {
        self.pending = true;
        self.last.get_or_insert(last);
    }

    /// How many pings may wait for their answers, should the driver be slow to carry them over.
    const MAX_PONGS: usize = 8;

    pub(crate) fn answer(&mut self, payload: ControlPayload) {
        // RFC 6455 §5.5.3: "If an endpoint receives a Ping frame and has not yet sent Pong frame(s) in
        // response to previous Ping frame(s), the endpoint MAY elect to send a Pong frame for only
        // the most recently processed Ping frame."
        if self.pongs.len() == Self::MAX_PONGS {
            self.pongs.pop_front();
        }
        self.pongs.push_back(payload);
        self.pending = true;
    }

    pub(crate) fn next(&mut self) -> Option<Order> {
        let order = if let Some(payload) = self.pongs.pop_front() {
            Some(Order::Pong(payload))
        } else if core::mem::take(&mut self.ping) {
            Some(Order::Ping)
        } else {
            self.last.take().map(Order::Finish)
        };
        if self.pongs.is_empty() {
            self.pongs = VecDeque::new();
        }
        self.pending = !self.pongs.is_empty() || self.ping || self.last.is_some();
        order
    }
}

/// The payload of a ping or pong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ControlPayload {
    len: u8,
    bytes: [u8; MAX_CONTROL],
}

impl ControlPayload {
    /// `None` if `payload` is longer than a control frame may be.
    pub(crate) fn new(payload: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_CONTROL];
        bytes.get_mut(..payload.len())?.copy_from_slice(payload);
        Some(ControlPayload { len: u8::try_from(payload.len()).ok()?, bytes })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}
