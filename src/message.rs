//! What is received and sent: events that are lent, and messages that are owned.

use alloc::string::String;
use core::fmt;
use core::ops::Deref;

use bytes::Bytes;

use crate::inbox::Inbox;
use crate::receive::Kind;
use crate::utf8::{InvalidUtf8, Valid, is_valid};

/// Something the peer sent, lent out of the receive buffer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A text message, or a part of one.
    Text(Text<'a>),
    /// A binary message, or a part of one.
    Binary(Binary<'a>),
    /// A ping with its payload. The pong is sent by itself.
    Ping(&'a [u8]),
    /// A pong with its payload, whether it was asked for or not.
    Pong(&'a [u8]),
}

impl Event<'_> {
    /// Owns the data as a message; `None` for a ping or pong.
    #[must_use]
    pub fn into_message(self) -> Option<Message> {
        match self {
            Event::Text(text) => Some(Message::Text(text.into_utf8_bytes())),
            Event::Binary(data) => Some(Message::Binary(data.into_bytes())),
            Event::Ping(_) | Event::Pong(_) => None,
        }
    }
}

/// Binary data, lent out of the receive buffer: derefs to `[u8]`.
pub struct Binary<'a> {
    inbox: &'a mut Inbox,
    start: usize,
    len: usize,
    is_final: bool,
}

impl<'a> Binary<'a> {
    #[inline]
    pub(crate) fn new(inbox: &'a mut Inbox, start: usize, len: usize, is_final: bool) -> Self {
        Binary { inbox, start, len, is_final }
    }

    /// Whether the message ends here: always true with
    /// [`Delivery::Messages`](crate::Delivery::Messages).
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.is_final
    }

    /// Owns the data: copied, unless it is at least 16 KiB and half of the receive buffer: then it takes that along.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.inbox.take_out(self.start, self.len)
    }

    /// Shares the data, and says how large the receive buffer is that it keeps alive.
    pub(crate) fn into_shared(self) -> (Bytes, usize) {
        self.inbox.share(self.start, self.len)
    }
}

impl Deref for Binary<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.inbox.lend(self.start, self.len)
    }
}

impl AsRef<[u8]> for Binary<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Binary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binary").field("data", &&**self).field("is_final", &self.is_final).finish()
    }
}

/// Text, validated and lent out of the receive buffer: derefs to `str`.
pub struct Text<'a>(Valid<Binary<'a>>);

impl<'a> Text<'a> {
    /// Text of bytes that the receiving half has validated.
    #[inline]
    pub(crate) fn vouched(bytes: Binary<'a>) -> Self {
        Text(Valid::vouched(bytes))
    }

    /// Whether the message ends here: always true with
    /// [`Delivery::Messages`](crate::Delivery::Messages).
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.0.bytes().is_final()
    }

    /// The text as mere bytes.
    pub(crate) fn into_binary(self) -> Binary<'a> {
        self.0.into_bytes()
    }

    /// Owns the text: copied, unless it is at least 16 KiB and half of the receive buffer: then it takes that along.
    #[must_use]
    pub fn into_utf8_bytes(self) -> Utf8Bytes {
        Utf8Bytes(Valid::vouched(self.0.into_bytes().into_bytes()))
    }
}

impl Deref for Text<'_> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.0.as_str()
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        self
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text").field("text", &&**self).field("is_final", &self.is_final()).finish()
    }
}

/// A whole data message, owned. Cloning it counts a reference.
///
/// The RFC knows these two types of data: this enum will not grow.
///
/// ```
/// use sansock::Message;
///
/// let message = Message::from("hello");
/// assert_eq!(message.as_bytes(), b"hello");
/// assert_eq!(message, Message::Text("hello".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message.
    Binary(Bytes),
}

impl Message {
    /// The payload, of either type.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(data) => data,
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Message::Text(text.into())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Message::Text(text.into())
    }
}

impl From<Utf8Bytes> for Message {
    fn from(text: Utf8Bytes) -> Self {
        Message::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(data: Bytes) -> Self {
        Message::Binary(data)
    }
}

impl From<alloc::vec::Vec<u8>> for Message {
    fn from(data: alloc::vec::Vec<u8>) -> Self {
        Message::Binary(data.into())
    }
}

/// Owned text: [`Bytes`] that are UTF-8. Derefs to `str`; cloning it counts a reference.
///
/// ```
/// use sansock::Utf8Bytes;
///
/// let text = Utf8Bytes::try_from(bytes::Bytes::from_static("grüße".as_bytes()))?;
/// assert_eq!(&*text, "grüße");
/// assert!(Utf8Bytes::try_from(bytes::Bytes::from_static(b"\xff")).is_err());
/// # Ok::<(), sansock::utf8::InvalidUtf8>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Utf8Bytes(Valid<Bytes>);

impl Utf8Bytes {
    /// Text that lives for ever: nothing is copied.
    #[must_use]
    pub fn from_static(text: &'static str) -> Self {
        Utf8Bytes(Valid::vouched(Bytes::from_static(text.as_bytes())))
    }
}

impl Deref for Utf8Bytes {
    type Target = str;

    fn deref(&self) -> &str {
        self.0.as_str()
    }
}

impl AsRef<str> for Utf8Bytes {
    fn as_ref(&self) -> &str {
        self
    }
}

impl From<&str> for Utf8Bytes {
    fn from(text: &str) -> Self {
        Utf8Bytes(Valid::vouched(Bytes::copy_from_slice(text.as_bytes())))
    }
}

impl From<String> for Utf8Bytes {
    fn from(text: String) -> Self {
        Utf8Bytes(Valid::vouched(text.into()))
    }
}

impl TryFrom<Bytes> for Utf8Bytes {
    type Error = InvalidUtf8;

    fn try_from(bytes: Bytes) -> Result<Self, InvalidUtf8> {
        if is_valid(&bytes) { Ok(Utf8Bytes(Valid::vouched(bytes))) } else { Err(InvalidUtf8) }
    }
}

impl From<Utf8Bytes> for Bytes {
    fn from(text: Utf8Bytes) -> Self {
        text.0.into_bytes()
    }
}

impl PartialEq<str> for Utf8Bytes {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl fmt::Debug for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

/// The data of a message, or of one fragment, that is to be sent: borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// A text message; or a part of one: whole characters, so that each part is text by itself.
    Text(&'a str),
    /// A binary message, or a part of one.
    Binary(&'a [u8]),
}

impl<'a> Data<'a> {
    #[inline]
    pub(crate) fn parts(self) -> (Kind, &'a [u8]) {
        match self {
            Data::Text(text) => (Kind::Text, text.as_bytes()),
            Data::Binary(data) => (Kind::Binary, data),
        }
    }
}

impl<'a> From<&'a str> for Data<'a> {
    fn from(text: &'a str) -> Self {
        Data::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Data<'a> {
    fn from(data: &'a [u8]) -> Self {
        Data::Binary(data)
    }
}
