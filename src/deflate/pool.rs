//! Codecs that connections share.
//!
//! A codec is large: 372 KiB to compress with a window of 15 bits, 47 KiB to inflate. So no connection
//! keeps one. It borrows it for a message and gives it back; between messages it has only the window's
//! content, if it takes that over. A codec that nobody else has needed meanwhile still knows that
//! content, and goes on at once; another one is told. A compressor that was another connection's is made
//! anew, because its choices would tell what that one has said.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::codec::{Codec, Compressor, Inflater};

/// Codecs for any number of connections. Cloning it makes another handle of the same pool.
///
/// It keeps up to its capacity of compressors, and as many decoders, made when they are needed.
/// Connections find their codec as they left it, as long as not more of them take turns than the capacity
/// says; else the next message costs the time to make a compressor, and to tell it what the window holds:
/// in all about 40 µs for 32 KiB, 10 µs for 4 KiB or nothing.
///
/// ```
/// use sansock::deflate::{Deflate, Pool};
///
/// let mut deflate = Deflate::default();
/// deflate.pool = Some(Pool::new(64));
/// assert_eq!(deflate.clone(), deflate);
/// ```
#[derive(Clone)]
pub struct Pool(Arc<Shelves>);

struct Shelves {
    compressors: Mutex<Shelf<Compressor>>,
    inflaters: Mutex<Shelf<Inflater>>,
    capacity: usize,
}

impl Pool {
    /// An empty pool that keeps up to `capacity` codecs of each kind. More may be in use at a time; what
    /// comes back beyond it is freed.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let shelves = Shelves { compressors: Mutex::default(), inflaters: Mutex::default(), capacity };
        Pool(Arc::new(shelves))
    }

    /// How many codecs of each kind it keeps.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.capacity
    }

    /// Frees all codecs that are not in use.
    pub fn clear(&self) {
        // They are dropped outside the locks.
        let _compressors = lock(&self.0.compressors).clear();
        let _inflaters = lock(&self.0.inflaters).clear();
    }
}

/// Room for 16 codecs of each kind, at most 7.5 MiB with the defaults of [`Deflate`](super::Deflate).
impl Default for Pool {
    fn default() -> Self {
        Pool::new(16)
    }
}

/// The same pool, not an equal one.
impl PartialEq for Pool {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Pool {}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("capacity", &self.0.capacity).finish_non_exhaustive()
    }
}

/// Where a pool keeps codecs of one kind.
pub(super) trait Kept: Codec {
    fn shelf(pool: &Pool) -> MutexGuard<'_, Shelf<Self>>;
}

impl Kept for Compressor {
    fn shelf(pool: &Pool) -> MutexGuard<'_, Shelf<Self>> {
        lock(&pool.0.compressors)
    }
}

impl Kept for Inflater {
    fn shelf(pool: &Pool) -> MutexGuard<'_, Shelf<Self>> {
        lock(&pool.0.inflaters)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A borrower of codecs, and the place where its last one may still be.
#[derive(Debug)]
pub(super) struct Borrower<C: Kept> {
    pool: Pool,
    settings: C::Settings,
    ticket: Option<Ticket>,
    /// Nobody else has the pool, so what waits there waits for nobody else.
    is_private: bool,
}

/// A slot, and the number of the loan: another number is another borrower's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticket {
    slot: usize,
    loan: u64,
}

impl<C: Kept> Borrower<C> {
    /// Borrows from a pool; without one, from a pool of its own that is empty whenever it rests.
    pub(super) fn new(pool: Option<&Pool>, settings: C::Settings) -> Self {
        let is_private = pool.is_none();
        let pool = pool.cloned().unwrap_or_else(|| Pool::new(1));
        Borrower { pool, settings, ticket: None, is_private }
    }

    /// A codec, and whether it is as this borrower has left it.
    pub(super) fn borrow(&mut self) -> (Box<C>, bool) {
        let mut codecs = C::shelf(&self.pool);
        if let Some(ticket) = self.ticket {
            if let Some(codec) = codecs.take_own(ticket) {
                return (codec, true);
            }
            codecs.release(ticket);
        }
        let (other, ticket) = codecs.take_other(self.pool.0.capacity);
        drop(codecs);
        self.ticket = ticket;
        // The old one goes first: then the new one takes its memory.
        let other = other.filter(|_| C::FORGETS);
        (other.unwrap_or_else(|| Box::new(C::make(self.settings))), false)
    }

    /// Gives a codec back, to be found again.
    pub(super) fn keep(&mut self, codec: Box<C>) {
        // What is not kept is dropped outside the lock.
        let _rest = match self.ticket {
            Some(ticket) => C::shelf(&self.pool).put(ticket, codec),
            None => Some(codec),
        };
    }

    /// Gives a codec back to whoever comes next.
    pub(super) fn give_back(&mut self, codec: Box<C>) {
        self.keep(codec);
        self.release();
    }

    /// Nothing is left to go on with: the next codec may be any.
    fn release(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            C::shelf(&self.pool).release(ticket);
        }
    }

    /// The connection is at rest.
    pub(super) fn rest(&mut self) {
        if self.is_private {
            self.release();
            drop(C::shelf(&self.pool).clear());
        }
    }
}

impl<C: Kept> Drop for Borrower<C> {
    fn drop(&mut self) {
        self.release();
    }
}

/// Slots for codecs: each is nobody's, or belongs to the last borrower whose codec it has had.
pub(super) struct Shelf<C> {
    slots: Vec<Slot<C>>,
    /// The slots that are nobody's.
    free: Vec<usize>,
    /// Where the search for a codec of somebody else's goes on.
    hand: usize,
    loans: u64,
}

struct Slot<C> {
    /// `None` while it is lent, or was never made.
    codec: Option<Box<C>>,
    /// The number of the loan whose borrower may come back; 0 for nobody.
    loan: u64,
}

impl<C> Default for Shelf<C> {
    fn default() -> Self {
        Shelf { slots: Vec::new(), free: Vec::new(), hand: 0, loans: 0 }
    }
}

impl<C: Codec> Shelf<C> {
    fn take_own(&mut self, ticket: Ticket) -> Option<Box<C>> {
        self.own(ticket)?.codec.take()
    }

    /// A codec of nobody, or of the one who has waited about longest, and the place to put it back to. No
    /// codec if one must be made; no place if all are taken.
    fn take_other(&mut self, capacity: usize) -> (Option<Box<C>>, Option<Ticket>) {
        let index = self.free.pop().or_else(|| self.grow(capacity)).or_else(|| self.next_kept());
        let Some((index, slot)) = index.and_then(|index| Some((index, self.slots.get_mut(index)?))) else {
            return (None, None);
        };
        self.loans += 1;
        slot.loan = self.loans;
        (slot.codec.take(), Some(Ticket { slot: index, loan: self.loans }))
    }

    /// Takes a codec back; returns it if its place is another's by now.
    fn put(&mut self, ticket: Ticket, codec: Box<C>) -> Option<Box<C>> {
        match self.own(ticket) {
            Some(slot) => slot.codec.replace(codec),
            None => Some(codec),
        }
    }

    fn release(&mut self, ticket: Ticket) {
        if let Some(slot) = self.own(ticket) {
            slot.loan = 0;
            slot.codec.take_if(|_| !C::FORGETS);
            self.free.push(ticket.slot);
        }
    }

    /// Takes out what is not lent; the places are nobody's then.
    fn clear(&mut self) -> Vec<Box<C>> {
        let mut codecs = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if let Some(codec) = slot.codec.take() {
                codecs.push(codec);
                if core::mem::take(&mut slot.loan) != 0 {
                    self.free.push(index);
                }
            }
        }
        codecs
    }

    fn own(&mut self, ticket: Ticket) -> Option<&mut Slot<C>> {
        self.slots.get_mut(ticket.slot).filter(|slot| slot.loan == ticket.loan)
    }

    fn grow(&mut self, capacity: usize) -> Option<usize> {
        let index = self.slots.len();
        (index < capacity).then(|| self.slots.push(Slot { codec: None, loan: 0 })).map(|()| index)
    }

    /// The next slot in turn whose codec is not in use.
    fn next_kept(&mut self) -> Option<usize> {
        let len = self.slots.len();
        let turn = (0..len).map(|step| (self.hand + step) % len);
        let index =
            turn.into_iter().find(|&index| self.slots.get(index).is_some_and(|slot| slot.codec.is_some()));
        self.hand = index.map_or(self.hand, |index| index + 1);
        index
    }
}
