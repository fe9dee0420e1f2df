//! The client's end of the opening handshake (RFC 6455 §4.1).

mod check;
mod outcome;
mod request;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BufMut;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::accept_key;
use super::error::HandshakeError;
use super::head::ResponseParts;
use super::intake::Intake;
use super::negotiated::Negotiated;
use crate::config::Config;
use crate::output::Output;
use crate::time::Timestamp;

pub use super::uri::UrlError;
pub use outcome::{Established, Outcome, Refused};
pub use request::ClientRequest;

/// Sends a request and waits for the server's response.
///
/// Write [`output`](Self::output), append received bytes to [`input`](Self::input) and
/// [`poll`](Self::poll) after each read, until there is an [`Outcome`] or an error. Limits are those of
/// [`Config`]; all interim responses and the final one share [`Config::max_head`].
///
/// What RFC 6455 asks of a client beyond one connection is the caller's, who knows of the others: to have no
/// more than one of them in this state for each address and port (§4.1), to go through a proxy if there is
/// one (§4.1), and to wait before it connects again after a failure, longer each time (§7.2.3).
///
/// ```
/// use bytes::{Buf, BufMut};
/// use sansock::handshake::client::{ClientRequest, Handshake, Outcome};
/// use sansock::{Config, Timestamp};
///
/// let now = Timestamp::EPOCH;
/// let request = ClientRequest::new("ws://example.com/chat")?;
/// let mut handshake = Handshake::new(request, Config::default(), [7; 32], now);
/// assert!(handshake.output().chunk().starts_with(b"GET /chat HTTP/1.1\r\nHost: example.com\r\n"));
///
/// handshake.input().put_slice(b"HTTP/1.1 302 Found\r\nLocation: wss://example.org/\r\n\r\n");
/// let Some(Outcome::Refused(refused)) = handshake.poll()? else { panic!("this is a redirect") };
/// assert_eq!(refused.status(), 302);
/// assert_eq!(refused.header("location"), Some(&b"wss://example.org/"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Handshake {
    config: Config,
    intake: Intake,
    output: Output,
    keys: Option<Box<StdRng>>,
    /// What answers the key.
    accept: String,
    protocols: Vec<String>,
    /// A refusal whose body is still coming.
    refused: Option<Refusal>,
    max_body: usize,
}

#[derive(Debug)]
struct Refusal {
    head: ResponseParts,
    /// How much of its body to wait for.
    wanted: usize,
    /// Where its body ends, if it gets that far.
    end: usize,
}

impl Handshake {
    /// Begins a handshake; [`Config::handshake_timeout`] counts from now on. The configuration is that
    /// of the connection too.
    ///
    /// The key of the handshake and the masking keys of the connection are one cryptographic stream
    /// from `seed`, which must be unpredictable and never used twice (RFC 6455 §10.3): see
    /// [`Connection::client`](crate::Connection::client).
    #[must_use]
    pub fn new(request: ClientRequest, config: Config, seed: [u8; 32], now: Timestamp) -> Self {
        // RFC 6455 §4.1: "a nonce consisting of a randomly selected 16-byte value that has been
        // base64-encoded [...]. The nonce MUST be selected randomly for each connection."
        let mut keys = StdRng::from_seed(seed);
        let mut nonce = [0; 16];
        keys.fill_bytes(&mut nonce);
        let key = STANDARD.encode(nonce);
        // No body is waited for without end, whatever the settings.
        let max_body = config.max_head.min(u32::MAX as usize);
        let output = Output::from(request.to_head(&key, Negotiated::offer(&config).as_deref()));
        Handshake {
            intake: Intake::new(&config, usize::MAX, now),
            config,
            output,
            keys: Some(Box::new(keys)),
            accept: accept_key(&key),
            protocols: request.into_protocols(),
            refused: None,
            max_body,
        }
    }

    /// The bytes to write: the request.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// The buffer to append received bytes to. From [`poll`](Self::poll) giving the outcome on nothing here is
    /// looked at any more: what is received then belongs into the connection's input.
    pub fn input(&mut self) -> impl BufMut {
        self.intake.input()
    }

    #[cfg(feature = "std")]
    pub(crate) fn buffer(&mut self) -> &mut alloc::vec::Vec<u8> {
        self.intake.input()
    }

    /// What became of the request, once all of the response's head is there, and of a refusal's body as
    /// much as its `Content-Length` announces, at most [`Config::max_head`]; `None` if more input is
    /// needed. It is handed out once: from then on there is `None`.
    ///
    /// Fails if the response is not one of HTTP/1, exceeds the limits, or is a 101 that RFC 6455 §4.1
    /// does not let pass, and then with the same error for ever.
    pub fn poll(&mut self) -> Result<Option<Outcome>, HandshakeError> {
        if self.refused.is_some() {
            return Ok(self.refuse());
        }
        while let Some(raw) = self.intake.poll()? {
            let head = ResponseParts::parse(raw).map_err(|error| self.intake.fail(error))?;
            match head.status {
                101 => return self.establish(head),
                // RFC 9110 §15.2: "A client MUST be able to parse one or more 1xx responses received
                // prior to a final response, even if the client does not expect one."
                ..200 => {}
                // RFC 6455 §4.1: "If the status code received from the server is not 101, the client
                // handles the response per HTTP [RFC2616] procedures."
                _ => {
                    let length = check::body_length(&head).map_err(|error| self.intake.fail(error))?;
                    let end = length.unwrap_or(usize::MAX).min(self.max_body);
                    self.refused = Some(Refusal { head, wanted: length.map_or(0, |_| end), end });
                    return Ok(self.refuse());
                }
            }
        }
        Ok(None)
    }

    /// Says that the transport has ended: nothing more will be received.
    pub fn handle_eof(&mut self) {
        self.intake.handle_eof();
    }

    /// Says what time it is. Needed when [`poll_timeout`](Self::poll_timeout) is reached; harmless at
    /// any other time.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        match &mut self.refused {
            // What came of the body by now is better than an error.
            Some(refusal) if self.intake.poll_timeout().is_some_and(|deadline| now >= deadline) => {
                refusal.wanted = 0;
            }
            Some(_) => {}
            None => self.intake.handle_timeout(now),
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` once the handshake is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.intake.poll_timeout()
    }

    /// The refusal, once its body is there as far as it is waited for.
    fn refuse(&mut self) -> Option<Outcome> {
        let wanted = self.refused.as_ref()?.wanted;
        if self.intake.pending().len() < wanted && !self.intake.is_eof() {
            return None;
        }
        let Refusal { head, end, .. } = self.refused.take()?;
        // RFC 9112 §6.3: "If a valid Content-Length header field is present without Transfer-Encoding,
        // its decimal value defines the expected message body length in octets."
        let mut body = self.intake.finish().bytes;
        body.truncate(end);
        Some(Outcome::Refused(Refused::new(head, body)))
    }

    fn establish(&mut self, head: ResponseParts) -> Result<Option<Outcome>, HandshakeError> {
        let protocol = check::response(&head, &self.accept, &self.protocols);
        let protocol = protocol.map_err(|error| self.intake.fail(error))?.map(String::from);
        let negotiated = Negotiated::agree(&head.headers, &self.config);
        let negotiated = negotiated.map_err(|error| self.intake.fail(error))?;
        let (config, leftover) = (Box::new(self.config.clone()), self.intake.finish());
        let agreed = outcome::Agreement { protocol, negotiated };
        let established = |keys| Established::new(head, agreed, config, keys, leftover);
        Ok(self.keys.take().map(established).map(Outcome::Established))
    }
}

/// Shows nothing of the bytes, which may be secrets.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("config", &self.config).finish_non_exhaustive()
    }
}
