//! What the receiving half tells the sending half.

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
    /// Send a Close frame, if none was sent, with this code.
    Close(Option<CloseCode>),
    /// Send nothing more: nobody is there to read it.
    Stop,
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
        Some(ControlPayload { len: payload.len() as u8, bytes })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}
