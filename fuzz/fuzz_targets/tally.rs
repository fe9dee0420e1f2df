//! What all machines of an input own together: they hand memory to each other.

use std::cell::Cell;

use crate::counted;

thread_local! {
    static OWNED: Cell<isize> = const { Cell::new(0) };
}

/// Runs a machine, and counts what it has allocated, less what it has freed.
pub fn tallied<T>(run: impl FnOnce() -> T) -> T {
    let (result, more, _) = counted::held(run);
    OWNED.set(OWNED.get() + more);
    result
}

/// How many bytes the machines own.
pub fn owned() -> isize {
    OWNED.get()
}

/// Begins anew.
pub fn reset() {
    OWNED.set(0);
}
