//! An allocator that counts, for each thread by itself.
#![allow(unsafe_code, reason = "an allocator")]
#![allow(dead_code, unreachable_pub, reason = "shared by tests that use parts of it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    pub static HELD: Cell<isize> = const { Cell::new(0) };
    pub static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(change: isize) {
    // A thread that is ending has no more to count.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + usize::from(change > 0)));
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every call is handed to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

pub fn allocations(run: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    run();
    ALLOCATIONS.get() - before
}

/// How much more is held afterwards, and at the most meanwhile.
pub fn held<T>(run: impl FnOnce() -> T) -> (T, isize, isize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = run();
    (result, HELD.get() - before, PEAK.get() - before)
}

/// Runs once to warm up, and then a hundred times without any allocation.
pub fn assert_steady(mut round: impl FnMut()) {
    round();
    round();
    assert_eq!(allocations(|| (0..100).for_each(|_| round())), 0);
}
