//! Any bytes to one end of a connection, while its driver does what drivers do.
//!
//! An input is, byte by byte:
//!
//! 1. the connection, as `setup.rs` has it;
//! 2. how many steps follow, up to 15, which are repeated until the bytes are used up; without any, all comes
//!    at once. Below 128 a step gives that many bytes and one, the lowest six bits counting; with 64 through
//!    `read_buffer`. Above, the lowest three bits are, with the next four as `n`:
//!     - 0: nothing to read just now;
//!     - 1: `return_buffers`, and `borrow_buffers` if `n` is odd;
//!     - 2: the transport takes 16 `n` bytes, or all if `n` is 15;
//!     - 3: time passes, 4 `n` seconds;
//!     - 4: 64 `n` bytes are given, and no events taken;
//!     - 5: the application closes, if `n` is 15;
//!     - 6: the transport ends, if `n` is 15;
//!     - 7: one event is taken;
//! 3. what the peer sends.

use std::time::Duration;

use crate::input::Input;
use crate::session::{Session, Take};
use crate::setup::Setup;

/// More steps than this say nothing new: the rest comes at once.
const MOST_STEPS: usize = 1000;

pub fn run(bytes: &[u8], is_client: bool) {
    let mut input = Input(bytes);
    let setup = Setup::read(&mut input, is_client);
    let count = input.byte() & 15;
    let steps = input.take(count.into());
    let take = if setup.are_owned { Take::Owned } else { Take::Lent };
    let mut session = Session::new(&setup, setup.config.delivery, input.0);

    for &step in steps.iter().cycle().take(MOST_STEPS) {
        if session.is_used_up() {
            break;
        }
        let n = usize::from(step >> 3 & 15);
        match step & 7 {
            _ if step < 128 => {
                session.give(usize::from(step & 63) + 1, step & 64 != 0);
                session.take_events(take);
            }
            0 => {
                session.take_events(take);
                session.rest();
            }
            1 => {
                session.take_events(take);
                session.return_buffers();
                if n % 2 == 1 {
                    session.borrow_buffers();
                }
            }
            2 => {
                session.take_output(if n == 15 { usize::MAX } else { 16 * n });
                session.handle_written();
            }
            3 => {
                session.now = session.now + Duration::from_secs(4 * n as u64);
                session.handle_timeout();
            }
            4 => session.give(64 * n, false),
            5 if n == 15 => session.close(),
            6 if n == 15 => {
                session.handle_eof();
                session.take_events(take);
                session.finish(take);
                return;
            }
            7 => _ = session.take_event(Take::WithSend),
            _ => {}
        }
    }
    session.give(usize::MAX, false);
    session.take_events(take);
    session.rest();
    if setup.ends {
        session.handle_eof();
    } else {
        session.take_output(usize::MAX);
        session.sleep(take);
    }
    session.finish(take);
}
