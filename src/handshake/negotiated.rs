//! The extensions that both ends agree upon.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
#[cfg(feature = "deflate")]
use alloc::vec::Vec;

use super::HandshakeError;
use super::head::Headers;
use crate::config::Config;
use crate::connection::Connection;
#[cfg(feature = "deflate")]
use crate::deflate::{self, Offer};
use crate::deflate::{Agreed, Deflate};

const NAME: &str = "sec-websocket-extensions";

/// What was agreed upon, and this end's wishes.
#[derive(Clone, Debug, Default)]
pub(super) struct Negotiated {
    deflate: Option<Box<(Deflate, Agreed)>>,
}

impl Negotiated {
    /// What a server answers.
    pub(super) fn answer(&self) -> Option<String> {
        self.deflate.as_deref().map(|(_, agreed)| agreed.to_string())
    }
}

#[cfg(feature = "deflate")]
impl Negotiated {
    /// What a client offers.
    pub(super) fn offer(config: &Config) -> Option<String> {
        let offers = Offer::all_of(config.deflate.as_ref()?).map(|offer| offer.to_string());
        Some(offers.collect::<Vec<_>>().join(", "))
    }

    /// What a server that wants `deflate` accepts.
    pub(super) fn accept(request: &Headers, deflate: Option<Deflate>) -> Self {
        let agreed = deflate.as_ref().and_then(|deflate| deflate::accept(request.all(NAME), deflate));
        Negotiated { deflate: deflate.zip(agreed).map(Box::new) }
    }

    /// What a client's server has accepted.
    pub(super) fn agree(response: &Headers, config: &Config) -> Result<Self, HandshakeError> {
        let offers: Vec<_> = config.deflate.iter().flat_map(Offer::all_of).collect();
        let agreed = deflate::agree(response.all(NAME), &offers)?;
        Ok(Negotiated { deflate: config.deflate.clone().zip(agreed).map(Box::new) })
    }

    /// The connection with these extensions.
    pub(super) fn apply(self, connection: Connection) -> Connection {
        match self.deflate.as_deref() {
            Some((deflate, agreed)) => connection.with_deflate(*agreed, deflate),
            None => connection,
        }
    }

    pub(super) fn deflate(&self) -> Option<Agreed> {
        self.deflate.as_deref().map(|(_, agreed)| *agreed)
    }
}

#[cfg(not(feature = "deflate"))]
impl Negotiated {
    pub(super) fn offer(_: &Config) -> Option<String> {
        None
    }

    pub(super) fn agree(response: &Headers, _: &Config) -> Result<Self, HandshakeError> {
        // RFC 6455 §4.1: "if [...] this header field indicates the use of an extension that was not
        // present in the client's handshake [...], the client MUST _Fail the WebSocket Connection_."
        match response.first(NAME) {
            None => Ok(Negotiated::default()),
            Some(_) => Err(HandshakeError::ExtensionNotOffered),
        }
    }

    pub(super) fn apply(self, connection: Connection) -> Connection {
        match self.deflate {
            Some(never) => match never.0 {},
            None => connection,
        }
    }
}
