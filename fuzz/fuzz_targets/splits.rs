//! The same bytes at once, byte by byte, and as the input says, their events lent, owned, in chunks, and with
//! the sending half at hand: both roles must see and say the same each time.
//!
//! An input is, byte by byte:
//!
//! 1. the connection, as `setup.rs` has it;
//! 2. how many sizes of reads follow, up to 15; each is one more than the byte; with 0 the connection also
//!    rests;
//! 3. what the peer sends.

#![no_main]

mod counted;
mod inflated;
mod input;
mod outcome;
mod position;
mod session;
mod setup;
mod wire;

use libfuzzer_sys::fuzz_target;
use sansock::Delivery::{self, Chunks, Messages};

use crate::input::Input;
use crate::outcome::Outcome;
use crate::session::{Session, Take};
use crate::setup::Setup;

fuzz_target!(|bytes: &[u8]| {
    for is_client in [false, true] {
        let mut input = Input(bytes);
        let setup = Setup::read(&mut input, is_client);
        let count = input.byte() & 15;
        let sizes: Vec<usize> = input.take(count.into()).iter().map(|&size| usize::from(size)).collect();
        let wire = input.0;

        let whole = feed(&setup, Messages, Take::Lent, wire, &[]);
        for (delivery, take, sizes) in [
            (Messages, Take::Lent, &sizes[..]),
            (Messages, Take::Owned, &[0]),
            (Messages, Take::WithSend, &sizes[..]),
            (Chunks, Take::Lent, &[]),
            (Chunks, Take::WithSend, &[0]),
            (Chunks, Take::Owned, &sizes[..]),
        ] {
            whole.assert_same(&feed(&setup, delivery, take, wire, sizes));
        }
    }
});

fn feed(setup: &Setup, delivery: Delivery, take: Take, wire: &[u8], sizes: &[usize]) -> Outcome {
    let mut session = Session::new(setup, delivery, wire);
    for &size in sizes.iter().cycle() {
        if session.is_used_up() {
            break;
        }
        session.give(size + 1, size % 2 == 1);
        session.take_events(take);
        if size == 0 {
            session.rest();
        }
    }
    session.give(usize::MAX, false);
    session.take_events(take);
    if setup.ends {
        session.handle_eof();
    }
    session.finish(take)
}
