//! Deadlines as data: keepalive, idle, closing handshake. Nothing here asks what time it is.

use core::num::NonZeroU64;
use core::time::Duration;

use crate::config::Config;
use crate::time::{Timestamp, nanos};

/// What a point in time calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The peer was silent: ask whether it is there.
    Ping,
    /// The peer was asked and stayed silent.
    PongMissing,
    /// No message for too long.
    Idle,
    /// The closing handshake took too long.
    ClosingOver,
}

/// Durations are in nanoseconds, so that a connection at rest is small.
#[derive(Debug)]
pub(crate) struct Timers {
    ping_interval: Option<NonZeroU64>,
    pong_timeout: u64,
    idle_timeout: Option<NonZeroU64>,
    close_timeout: u64,
    last_input: Timestamp,
    last_data: Timestamp,
    /// When a keepalive ping went out that nothing has followed yet.
    pinged: Option<Timestamp>,
    closing: Closing,
    /// A data message was handed out after `last_data` was set; it came no later than `last_input`.
    data_seen: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// The deadline counts from the next time that is told.
    Begun,
    Until(Timestamp),
    Over,
}

impl Timers {
    pub(crate) fn new(config: &Config, now: Timestamp) -> Self {
        let interval = |given: Duration| NonZeroU64::new(nanos(given)).unwrap_or(NonZeroU64::MIN);
        Timers {
            ping_interval: config.ping_interval.map(interval),
            pong_timeout: nanos(config.pong_timeout),
            idle_timeout: config.idle_timeout.map(interval),
            close_timeout: nanos(config.close_timeout),
            last_input: now,
            last_data: now,
            pinged: None,
            closing: Closing::No,
            data_seen: false,
        }
    }

    /// Bytes arrived: any of them are a sign of life, be it a pong or a part of a large frame.
    pub(crate) fn input(&mut self, now: Timestamp) {
        self.start_closing(now);
        self.alive(now);
    }

    /// The peer is there.
    pub(crate) fn alive(&mut self, now: Timestamp) {
        self.settle_data();
        self.last_input = now;
        self.pinged = None;
    }

    /// A data message, or a part of one, was handed out.
    #[inline]
    pub(crate) fn data(&mut self) {
        self.data_seen = true;
    }

    /// The closing handshake begins. What arrives from here on moves no deadline.
    pub(crate) fn close(&mut self) {
        if self.closing == Closing::No {
            self.closing = Closing::Begun;
        }
    }

    pub(crate) fn closing_is_over(&self) -> bool {
        self.closing == Closing::Over
    }

    /// The next point in time that calls for something; the epoch if that is now.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        match self.closing {
            Closing::No => {}
            Closing::Begun => return Some(Timestamp::EPOCH),
            Closing::Until(deadline) => return Some(deadline),
            Closing::Over => return None,
        }
        let alive = match self.pinged {
            Some(pinged) => Some(pinged.after(self.pong_timeout)),
            None => self.ping_interval.map(|interval| self.last_input.after(interval.get())),
        };
        let last_data = if self.data_seen { self.last_input } else { self.last_data };
        let idle = self.idle_timeout.map(|timeout| last_data.after(timeout.get()));
        [alive, idle].into_iter().flatten().min()
    }

    /// What is due at `now`, one thing at a time.
    pub(crate) fn due(&mut self, now: Timestamp) -> Option<Due> {
        self.settle_data();
        self.start_closing(now);
        match self.closing {
            Closing::No => {}
            Closing::Until(deadline) if now >= deadline => {
                self.closing = Closing::Over;
                return Some(Due::ClosingOver);
            }
            _ => return None,
        }
        if self.idle_timeout.is_some_and(|timeout| now >= self.last_data.after(timeout.get())) {
            return Some(Due::Idle);
        }
        match (self.pinged, self.ping_interval) {
            (Some(pinged), _) if now >= pinged.after(self.pong_timeout) => Some(Due::PongMissing),
            (None, Some(interval)) if now >= self.last_input.after(interval.get()) => {
                self.pinged = Some(now);
                Some(Due::Ping)
            }
            _ => None,
        }
    }

    fn settle_data(&mut self) {
        if core::mem::take(&mut self.data_seen) {
            self.last_data = self.last_input;
        }
    }

    fn start_closing(&mut self, now: Timestamp) {
        if self.closing == Closing::Begun {
            self.closing = Closing::Until(now.after(self.close_timeout));
        }
    }
}
