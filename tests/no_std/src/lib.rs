//! A conversation without the standard library.
#![no_std]

use core::alloc::{GlobalAlloc, Layout};

use sansock::handshake::server::Handshake;
use sansock::{Config, Connection, Event, Timestamp};

struct None;

// SAFETY: an allocator that never has anything to give is a legal one.
unsafe impl GlobalAlloc for None {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: None = None;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Uses each part of the core, so that all of it is linked.
#[unsafe(no_mangle)]
pub extern "C" fn converse() -> usize {
    let now = Timestamp::EPOCH;
    let mut handshake = Handshake::new(Config::default(), now);
    let mut client = Connection::client(Config::default(), [0; 32], now);
    let refused = handshake.poll().is_err();
    let sent = client.text("hello").is_ok();
    match client.poll_event() {
        Ok(Some(Event::Text(text))) => text.len(),
        _ => usize::from(refused) + usize::from(sent),
    }
}
