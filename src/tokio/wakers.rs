//! The tasks that wait for one transport.

use std::sync::{Arc, PoisonError};
use std::task::{Wake, Waker};

use crate::sync::Mutex;

/// The task that reads, and the one that writes.
///
/// A transport wakes only the task that asked last, and so does a timer: given the waker that this makes, they
/// wake both. It stands by itself because they keep it alive: if they kept alive the transport as well, that
/// would never be dropped.
#[derive(Debug, Default)]
pub(super) struct Wakers(Mutex<Slots>);

#[derive(Debug, Default)]
struct Slots {
    reading: Option<Waker>,
    writing: Option<Waker>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Reading,
    Writing,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Side::Reading => Side::Writing,
            Side::Writing => Side::Reading,
        }
    }
}

impl Slots {
    fn of(&mut self, side: Side) -> &mut Option<Waker> {
        match side {
            Side::Reading => &mut self.reading,
            Side::Writing => &mut self.writing,
        }
    }
}

impl Wakers {
    /// Wakes whoever waits.
    pub(super) fn both(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// This side waits, or may have to.
    pub(super) fn register(&self, side: Side, waker: &Waker) {
        self.with(|slots| match slots.of(side) {
            Some(old) => old.clone_from(waker),
            slot => *slot = Some(waker.clone()),
        });
    }

    /// This side does not wait any more.
    pub(super) fn leave(&self, side: Side) {
        drop(self.with(|slots| slots.of(side).take()));
    }

    pub(super) fn wake(&self, side: Side) {
        if let Some(waker) = self.with(|slots| slots.of(side).take()) {
            waker.wake();
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Slots) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Not under the lock: a waker may run its task at once.
        let Slots { reading, writing } = self.with(std::mem::take);
        [reading, writing].into_iter().flatten().for_each(Waker::wake);
    }
}
