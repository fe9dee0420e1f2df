//! What a client offers and a server agrees to (RFC 7692 §5 and §7.1), as values.

use core::fmt;

use super::{Deflate, WindowBits};
use crate::handshake::HandshakeError;
use crate::handshake::extension::{self, Param};

/// The extension's token (RFC 7692 §7).
pub const NAME: &str = "permessage-deflate";

/// One offer of a client: an element of its `Sec-WebSocket-Extensions` (RFC 7692 §7.1).
///
/// ```
/// use sansock::deflate::{Deflate, Offer};
/// use sansock::handshake::extension;
///
/// let value = b"permessage-deflate; server_max_window_bits=10; client_max_window_bits";
/// let element = extension::parse(value).next().expect("there is one")?;
/// let offer = Offer::parse(&element)?;
/// assert_eq!(offer.to_string().as_bytes(), value);
///
/// let agreed = offer.accept(&Deflate::default()).expect("nothing speaks against it");
/// assert_eq!(agreed.to_string(), "permessage-deflate; server_max_window_bits=10");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offer {
    /// The client asks the server to begin each message with an empty window (§7.1.1.1).
    pub server_no_context_takeover: bool,
    /// The client says that it will begin each message with an empty window (§7.1.1.2).
    pub client_no_context_takeover: bool,
    /// The largest window that the server may use (§7.1.2.1).
    pub server_max_window_bits: Option<WindowBits>,
    /// That the server may limit the client's window, and the largest that the client would use anyway,
    /// where to say nothing of it means 15 (§7.1.2.2).
    pub client_max_window_bits: Option<WindowBits>,
}

impl Offer {
    /// Reads an offer.
    ///
    /// Fails if a parameter is not one of an offer, stands there twice, or has an illegal value. A
    /// server declines such an offer.
    pub fn parse(element: &extension::Offer<'_>) -> Result<Self, InvalidParam> {
        let mut offer = Offer::default();
        for param in element.params() {
            match param.name() {
                SERVER_TAKEOVER => flag(&mut offer.server_no_context_takeover, &param)?,
                CLIENT_TAKEOVER => flag(&mut offer.client_no_context_takeover, &param)?,
                SERVER_WINDOW => once(&mut offer.server_max_window_bits, window_bits(&param)?)?,
                CLIENT_WINDOW => {
                    // RFC 7692 §7.1.2.2, of an offer: "This parameter has no value or a decimal integer
                    // value without leading zeroes between 8 to 15 inclusive".
                    let hint = match param.value() {
                        Some(_) => window_bits(&param)?,
                        None => WindowBits::MAX,
                    };
                    once(&mut offer.client_max_window_bits, hint)?;
                }
                _ => return Err(InvalidParam::Unknown),
            }
        }
        Ok(offer)
    }

    /// What a client offers that wants `deflate`, the preferred offer first.
    pub fn all_of(deflate: &Deflate) -> impl Iterator<Item = Offer> {
        let preferred = Offer {
            server_no_context_takeover: !deflate.receive_takeover,
            client_no_context_takeover: !deflate.send_takeover,
            server_max_window_bits: deflate.receive_window.limits(),
            client_max_window_bits: Some(deflate.compressor_window()),
        };
        let unlimited =
            Offer { server_no_context_takeover: false, server_max_window_bits: None, ..preferred };
        let fallback = (deflate.fallback && unlimited != preferred).then_some(unlimited);
        core::iter::once(preferred).chain(fallback)
    }

    /// What a server that wants `deflate` agrees to; `None` if it has to decline.
    #[must_use]
    pub fn accept(&self, deflate: &Deflate) -> Option<Agreed> {
        // zlib has no compressor for a window of 256 bytes.
        if self.server_max_window_bits == Some(WindowBits::MIN) {
            return None;
        }
        let send = deflate.compressor_window().min(self.server_max_window_bits.unwrap_or(WindowBits::MAX));
        // RFC 7692 §7.1.2.2: "If a received extension negotiation offer doesn't have the
        // "client_max_window_bits" extension parameter, the corresponding extension negotiation response
        // to the offer MUST NOT include the "client_max_window_bits" extension parameter."
        let receive = self.client_max_window_bits.map(|hint| deflate.receive_window.min(hint));
        // A client that does not let its window be limited can still be kept from taking it over.
        let unlimited = receive.is_none() && deflate.receive_window < WindowBits::MAX;
        Some(Agreed {
            server_no_context_takeover: self.server_no_context_takeover || !deflate.send_takeover,
            client_no_context_takeover: self.client_no_context_takeover
                || !deflate.receive_takeover
                || unlimited,
            // RFC 7692 §7.1.2.1: "A server accepts an extension negotiation offer with this parameter by
            // including the "server_max_window_bits" extension parameter in the extension negotiation
            // response to send back to the client with the same or smaller value as the offer."
            server_max_window_bits: self.server_max_window_bits.map(|_| send).or(send.limits()),
            client_max_window_bits: receive.and_then(WindowBits::limits),
        })
    }

    /// Whether a server may answer this offer with `agreed`.
    fn allows(self, agreed: Agreed) -> bool {
        let window = match (self.server_max_window_bits, agreed.server_max_window_bits) {
            (Some(asked), Some(agreed)) => agreed <= asked,
            (Some(_), None) => false,
            (None, _) => true,
        };
        // RFC 7692 §7.1.1.1: "A server accepts an extension negotiation offer that includes the
        // "server_no_context_takeover" extension parameter by including the "server_no_context_takeover"
        // extension parameter in the corresponding extension negotiation response".
        let takeover = !self.server_no_context_takeover || agreed.server_no_context_takeover;
        window
            && takeover
            && (self.client_max_window_bits.is_some() || agreed.client_max_window_bits.is_none())
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_element(f, [self.server_no_context_takeover, self.client_no_context_takeover])?;
        write_window(f, SERVER_WINDOW, self.server_max_window_bits)?;
        match self.client_max_window_bits {
            Some(WindowBits::MAX) => write!(f, "; {CLIENT_WINDOW}"),
            hint => write_window(f, CLIENT_WINDOW, hint),
        }
    }
}

/// The agreed parameters: what a server answers, and both ends keep to (RFC 7692 §7.1).
///
/// ```
/// use sansock::deflate::{Agreed, InvalidParam};
/// use sansock::handshake::extension;
///
/// let parse = |value: &[u8]| Agreed::parse(&extension::parse(value).next().unwrap().unwrap());
/// let agreed = parse(b"permessage-deflate; server_no_context_takeover")?;
/// assert!(agreed.server_no_context_takeover);
/// assert_eq!(parse(b"permessage-deflate; client_max_window_bits=08"), Err(InvalidParam::WindowBits));
/// # Ok::<(), InvalidParam>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agreed {
    /// The server begins each message with an empty window (§7.1.1.1).
    pub server_no_context_takeover: bool,
    /// The client begins each message with an empty window (§7.1.1.2).
    pub client_no_context_takeover: bool,
    /// The largest window of the server; `None` means 15 (§7.1.2.1).
    pub server_max_window_bits: Option<WindowBits>,
    /// The largest window of the client; `None` means 15 (§7.1.2.2).
    pub client_max_window_bits: Option<WindowBits>,
}

impl Agreed {
    /// Reads a server's answer.
    ///
    /// Fails if a parameter is not one of an answer, stands there twice, or has an illegal value. A
    /// client fails the connection then.
    pub fn parse(element: &extension::Offer<'_>) -> Result<Self, InvalidParam> {
        let mut agreed = Agreed::default();
        for param in element.params() {
            match param.name() {
                SERVER_TAKEOVER => flag(&mut agreed.server_no_context_takeover, &param)?,
                CLIENT_TAKEOVER => flag(&mut agreed.client_no_context_takeover, &param)?,
                SERVER_WINDOW => once(&mut agreed.server_max_window_bits, window_bits(&param)?)?,
                CLIENT_WINDOW => once(&mut agreed.client_max_window_bits, window_bits(&param)?)?,
                _ => return Err(InvalidParam::Unknown),
            }
        }
        Ok(agreed)
    }

    /// What a server keeps to.
    pub(crate) fn server(self) -> Direction {
        let window = self.server_max_window_bits.unwrap_or(WindowBits::MAX);
        Direction { window, takes_over: !self.server_no_context_takeover }
    }

    /// What a client keeps to.
    pub(crate) fn client(self) -> Direction {
        let window = self.client_max_window_bits.unwrap_or(WindowBits::MAX);
        Direction { window, takes_over: !self.client_no_context_takeover }
    }
}

/// The agreed parameters for what one end sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Direction {
    pub(super) window: WindowBits,
    pub(super) takes_over: bool,
}

impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_element(f, [self.server_no_context_takeover, self.client_no_context_takeover])?;
        write_window(f, SERVER_WINDOW, self.server_max_window_bits)?;
        write_window(f, CLIENT_WINDOW, self.client_max_window_bits)
    }
}

/// What a server agrees to, given all values of a request's `Sec-WebSocket-Extensions`: the first offer
/// that can be accepted wins. `None` if there is none.
///
/// Offers with unknown, repeated or malformed parameters are declined, as are other extensions; a value
/// that is no list of extensions ends the search.
///
/// ```
/// use sansock::deflate::{Deflate, accept};
///
/// let offers: &[u8] = b"permessage-deflate; server_max_window_bits=8, mux, permessage-deflate";
/// let agreed = accept([offers], &Deflate::default());
/// assert_eq!(agreed.map(|agreed| agreed.to_string()).as_deref(), Some("permessage-deflate"));
/// ```
pub fn accept<'a>(values: impl IntoIterator<Item = &'a [u8]>, deflate: &Deflate) -> Option<Agreed> {
    let elements = values.into_iter().flat_map(extension::parse).map_while(Result::ok);
    let offers = elements.filter(|element| element.name() == NAME);
    // RFC 7692 §7: "A server MUST decline an extension negotiation offer for this extension if any of the
    // following conditions are met".
    offers.filter_map(|element| Offer::parse(&element).ok()).find_map(|offer| offer.accept(deflate))
}

/// What a client's server has agreed to, given all values of a response's `Sec-WebSocket-Extensions` and
/// what was offered. `None` if the server has accepted no extension.
///
/// Fails if the answer is malformed, accepts anything that was not offered or not as it was offered.
pub fn agree<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
    offers: &[Offer],
) -> Result<Option<Agreed>, HandshakeError> {
    let (mut agreed, mut is_there) = (None, false);
    for value in values {
        is_there = true;
        // RFC 6455 §4.1: "if [...] this header field indicates the use of an extension that was not
        // present in the client's handshake [...], the client MUST _Fail the WebSocket Connection_."
        if offers.is_empty() {
            return Err(HandshakeError::ExtensionNotOffered);
        }
        for element in extension::parse(value) {
            let element = element.map_err(|_| HandshakeError::ResponseExtensions)?;
            if agreed.replace(agree_to(&element, offers)?).is_some() {
                return Err(HandshakeError::Deflate(InvalidParam::Repeated));
            }
        }
    }
    // RFC 6455 §9.1: "extension-list = 1#extension"
    if is_there && agreed.is_none() { Err(HandshakeError::ResponseExtensions) } else { Ok(agreed) }
}

fn agree_to(element: &extension::Offer<'_>, offers: &[Offer]) -> Result<Agreed, HandshakeError> {
    if element.name() != NAME {
        return Err(HandshakeError::ExtensionNotOffered);
    }
    // RFC 7692 §7: "A client MUST _Fail the WebSocket Connection_ if the peer server accepted an extension
    // negotiation offer for this extension with an extension negotiation response meeting any of the
    // following conditions".
    let agreed = Agreed::parse(element).map_err(HandshakeError::Deflate)?;
    if offers.iter().any(|offer| offer.allows(agreed)) {
        Ok(agreed)
    } else {
        Err(HandshakeError::Deflate(InvalidParam::NotOffered))
    }
}

/// What is wrong with a parameter of permessage-deflate (RFC 7692 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidParam {
    /// It is none of the four.
    Unknown,
    /// It is there twice, or the extension is accepted twice.
    Repeated,
    /// A value where there is none: behind `server_no_context_takeover` or `client_no_context_takeover`
    /// (§7.1.1).
    UnexpectedValue,
    /// A number of window bits that is not a decimal number from 8 to 15, or is missing (§7.1.2).
    WindowBits,
    /// A server's answer goes beyond what the client has offered (§7.1).
    NotOffered,
}

impl fmt::Display for InvalidParam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InvalidParam::Unknown => "unknown parameter of permessage-deflate (RFC 7692 section 7)",
            InvalidParam::Repeated => "repeated parameter of permessage-deflate (RFC 7692 section 7)",
            InvalidParam::UnexpectedValue => "no_context_takeover with a value (RFC 7692 section 7.1.1)",
            InvalidParam::WindowBits => "window bits that are not 8 to 15 (RFC 7692 section 7.1.2)",
            InvalidParam::NotOffered => "permessage-deflate other than offered (RFC 7692 section 7.1)",
        })
    }
}

impl core::error::Error for InvalidParam {}

const SERVER_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_WINDOW: &str = "server_max_window_bits";
const CLIENT_WINDOW: &str = "client_max_window_bits";

fn write_element(f: &mut fmt::Formatter<'_>, flags: [bool; 2]) -> fmt::Result {
    f.write_str(NAME)?;
    for (name, _) in [SERVER_TAKEOVER, CLIENT_TAKEOVER].into_iter().zip(flags).filter(|(_, flag)| *flag) {
        write!(f, "; {name}")?;
    }
    Ok(())
}

fn write_window(f: &mut fmt::Formatter<'_>, name: &str, window: Option<WindowBits>) -> fmt::Result {
    window.map_or(Ok(()), |bits| write!(f, "; {name}={bits}"))
}

fn flag(flag: &mut bool, param: &Param<'_>) -> Result<(), InvalidParam> {
    // RFC 7692 §7.1.1.1: "This extension parameter has no value."
    if param.value().is_some() {
        return Err(InvalidParam::UnexpectedValue);
    }
    if core::mem::replace(flag, true) { Err(InvalidParam::Repeated) } else { Ok(()) }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), InvalidParam> {
    match slot.replace(value) {
        // RFC 7692 §7: "contains multiple extension parameters with the same name."
        Some(_) => Err(InvalidParam::Repeated),
        None => Ok(()),
    }
}

fn window_bits(param: &Param<'_>) -> Result<WindowBits, InvalidParam> {
    // RFC 7692 §7.1.2.1: "This parameter has a decimal integer value without leading zeroes between 8 to
    // 15, inclusive, [...] and MUST conform to the ABNF below. server-max-window-bits = 1*DIGIT"
    // Of all parameters §5.2 says: "The value may be quoted."
    let bits = match param.value() {
        Some("8") => 8,
        Some("9") => 9,
        Some(text) if text.len() == 2 => {
            text.strip_prefix('1').and_then(|ones| ones.parse::<u8>().ok()).map_or(0, |ones| 10 + ones)
        }
        _ => 0,
    };
    WindowBits::new(bits).ok_or(InvalidParam::WindowBits)
}
