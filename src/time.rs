//! Time as a value: the machines are told what time it is, and never ask.

use core::ops::Add;
use core::time::Duration;

/// A point in time, as the time passed since an epoch that the driver picks.
///
/// Only differences count, so any monotonic clock will do. A clock that jumps backwards makes
/// nothing fail: a difference below zero counts as zero. It counts in nanoseconds, for 584 years; what lies
/// beyond stays there.
///
/// ```
/// use core::time::Duration;
/// use sansock::Timestamp;
///
/// let start = Timestamp::EPOCH;
/// let later = start + Duration::from_secs(3);
/// assert_eq!(later.saturating_since(start), Duration::from_secs(3));
/// assert_eq!(start.saturating_since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The driver's epoch: time zero.
    pub const EPOCH: Timestamp = Timestamp(0);

    /// The point that lies `since` after the driver's epoch.
    #[must_use]
    pub const fn from_epoch(since: Duration) -> Self {
        Timestamp(nanos(since))
    }

    /// The time passed since the driver's epoch.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// The time from `earlier` to this point, or zero if `earlier` is the later one.
    #[must_use]
    pub const fn saturating_since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The point that lies so many nanoseconds after this one.
    pub(crate) const fn after(self, nanos: u64) -> Self {
        Timestamp(self.0.saturating_add(nanos))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, after: Duration) -> Timestamp {
        self.after(nanos(after))
    }
}

/// A duration in nanoseconds: half the size.
#[expect(clippy::cast_possible_truncation, reason = "it is compared before")]
pub(crate) const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos < u64::MAX as u128 { nanos as u64 } else { u64::MAX }
}
