//! What the process has: heap, resident memory, file descriptors.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::Res;

/// An allocator that counts. A program that wants it names it as its global one.
pub struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// How many bytes of heap are in use.
pub fn heap() -> usize {
    LIVE.load(Relaxed)
}

/// The most that were in use since the last call.
pub fn take_peak() -> usize {
    PEAK.swap(heap(), Relaxed)
}

fn grow(size: usize) {
    let live = LIVE.fetch_add(size, Relaxed) + size;
    PEAK.fetch_max(live, Relaxed);
}

fn shrink(size: usize) {
    LIVE.fetch_sub(size, Relaxed);
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grow(size);
        shrink(layout.size());
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        shrink(layout.size());
        unsafe { System.dealloc(old, layout) }
    }
}

/// How many file descriptors are open, without the one that is needed to look.
pub fn open_files() -> Res<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count() - 1)
}

/// Resident memory in bytes.
pub fn resident() -> Res<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: usize = line.trim().strip_suffix("kB").ok_or("no kB")?.trim().parse()?;
    Ok(kib << 10)
}

/// Bytes in a form for people.
pub fn size(bytes: usize) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
