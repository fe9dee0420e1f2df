//! How much memory a machine owns, counted by the allocator of this process.

#![allow(dead_code, unused_imports, reason = "shared by targets that use parts of it")]

#[path = "../../tests/common/counting.rs"]
mod counting;

use counting::{HELD, PEAK};
pub use counting::{allocations, held};

/// What a machine owns: what its calls have allocated, less what they have freed.
///
/// The target's own allocations do not count, as they are made between the calls, or [`aside`].
#[derive(Default)]
pub struct Meter {
    owned: isize,
    peak: isize,
}

impl Meter {
    /// A call into the machine.
    pub fn run<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let (result, kept, peak) = held(call);
        self.peak = self.peak.max(self.owned + peak);
        self.owned += kept;
        result
    }

    /// How many bytes the machine owns.
    pub fn owned(&self) -> usize {
        usize::try_from(self.owned).expect("nothing is freed twice")
    }

    /// How many bytes it owned at the most since this was asked last.
    pub fn peak(&mut self) -> usize {
        let peak = std::mem::replace(&mut self.peak, self.owned);
        usize::try_from(peak).expect("nothing is freed twice")
    }
}

/// What the target does within a call, such as to copy an event.
pub fn aside<T>(run: impl FnOnce() -> T) -> T {
    let (held, peak) = (HELD.get(), PEAK.get());
    let result = run();
    HELD.set(held);
    PEAK.set(peak);
    result
}

/// Runs a whole target, which allocates no more than so many bytes, its own included: nothing is reserved for what
/// an input only announces.
pub fn within(most: usize, run: impl FnOnce()) {
    let ((), _, peak) = held(run);
    assert!(usize::try_from(peak).is_ok_and(|peak| peak <= most), "{peak} bytes, not {most}");
}
