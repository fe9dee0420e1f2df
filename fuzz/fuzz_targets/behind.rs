//! What a handshake leaves to its connection: output, and the bytes behind the head.

use bytes::Buf;
use sansock::Connection;

/// All that waits.
pub fn take(output: &mut impl Buf) -> Vec<u8> {
    output.copy_to_bytes(output.remaining()).to_vec()
}

/// All events there are, and how it ends, as text.
pub fn events(connection: &mut Connection) -> String {
    let mut text = String::new();
    loop {
        match connection.poll_event() {
            Ok(Some(event)) => text += &format!("{event:?}\n"),
            Ok(None) => return text + &format!("{:?}", connection.closed()),
            Err(error) => return text + &format!("{error:?} {:?}", connection.closed()),
        }
    }
}
