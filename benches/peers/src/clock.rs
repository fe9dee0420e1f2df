//! Which time is measured.

use rustix::time::{ClockId, clock_gettime};

/// The time this thread has run, in nanoseconds: a busy machine takes it to other threads, but that does
/// not count.
pub fn thread_nanos() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
