//! Items 90 to 93 and rule H: keys, secrets, what is written about a peer, and `unsafe`.

mod keys;
mod logs;
mod source;

use bytes::{Buf, BufMut};
use sansock::handshake::client::{ClientRequest, Handshake, Outcome};
use sansock::handshake::{HandshakeError, accept_key};
use sansock::{Config, Output, Timestamp};

/// All that waits to be written.
fn taken(output: &mut Output) -> Vec<u8> {
    let len = output.remaining();
    output.copy_to_bytes(len).to_vec()
}

/// What a client makes of the answer that `answer` gives, told the right `Sec-WebSocket-Accept`.
fn answered(answer: impl FnOnce(&str) -> Vec<u8>) -> Result<Option<Outcome>, HandshakeError> {
    let request = ClientRequest::new("ws://example.com/").unwrap();
    let mut handshake = Handshake::new(request, Config::default(), [7; 32], Timestamp::EPOCH);
    let head = String::from_utf8(taken(handshake.output())).unwrap();
    let key = head.split("Sec-WebSocket-Key: ").nth(1).unwrap().split('\r').next().unwrap();
    handshake.input().put_slice(&answer(&accept_key(key)));
    handshake.handle_eof();
    handshake.poll()
}
