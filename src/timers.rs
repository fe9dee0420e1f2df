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
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// A keepalive ping went out at this time, and nothing has followed it yet.
    Pinged(Timestamp),
    /// Nothing has followed it in time: nothing else is waited for.
    PongMissing,
    /// The closing handshake has begun: its deadline counts from the next time that is told.
    CloseBegun,
    ClosingUntil(Timestamp),
    ClosingOver,
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
            stage: Stage::Open,
        }
    }

    /// Bytes arrived: any of them are a sign of life, be it a pong or a part of a large frame.
    pub(crate) fn input(&mut self, now: Timestamp) {
        self.start_closing(now);
        self.alive(now);
    }

    /// The peer is there.
    pub(crate) fn alive(&mut self, now: Timestamp) {
        self.last_input = now;
        if let Stage::Pinged(_) = self.stage {
            self.stage = Stage::Open;
        }
    }

    /// A data message, or a part of one, was handed out, and nothing has arrived since.
    pub(crate) fn data(&mut self) {
        self.last_data = self.last_input;
    }

    /// The closing handshake begins. What arrives from here on moves no deadline.
    pub(crate) fn close(&mut self) {
        if matches!(self.stage, Stage::Open | Stage::Pinged(_) | Stage::PongMissing) {
            self.stage = Stage::CloseBegun;
        }
    }

    pub(crate) fn closing_is_over(&self) -> bool {
        self.stage == Stage::ClosingOver
    }

    /// Whether no data message has come for too long, although none of the two has begun to close.
    pub(crate) fn is_idle(&self, now: Timestamp) -> bool {
        let is_waiting = matches!(self.stage, Stage::Open | Stage::Pinged(_));
        is_waiting && self.idle_timeout.is_some_and(|timeout| now >= self.last_data.after(timeout.get()))
    }

    /// The time for a data message begins anew.
    pub(crate) fn extend(&mut self, now: Timestamp) {
        self.last_data = now;
    }

    /// The next point in time that calls for something; the epoch if that is now. If [`data`](Self::data) is
    /// still to be told, as `data_seen` says, it counts already.
    pub(crate) fn next(&self, data_seen: bool) -> Option<Timestamp> {
        let alive = match self.stage {
            Stage::Open => self.ping_interval.map(|interval| self.last_input.after(interval.get())),
            Stage::Pinged(pinged) => Some(pinged.after(self.pong_timeout)),
            Stage::CloseBegun => return Some(Timestamp::EPOCH),
            Stage::ClosingUntil(deadline) => return Some(deadline),
            Stage::PongMissing | Stage::ClosingOver => return None,
        };
        let last_data = if data_seen { self.last_input } else { self.last_data };
        let idle = self.idle_timeout.map(|timeout| last_data.after(timeout.get()));
        [alive, idle].into_iter().flatten().min()
    }

    /// What is due at `now` of all but [`is_idle`](Self::is_idle), one thing at a time.
    pub(crate) fn due(&mut self, now: Timestamp) -> Option<Due> {
        self.start_closing(now);
        match (self.stage, self.ping_interval) {
            (Stage::Pinged(pinged), _) if now >= pinged.after(self.pong_timeout) => {
                self.stage = Stage::PongMissing;
                Some(Due::PongMissing)
            }
            (Stage::Open, Some(interval)) if now >= self.last_input.after(interval.get()) => {
                self.stage = Stage::Pinged(now);
                Some(Due::Ping)
            }
            (Stage::ClosingUntil(deadline), _) if now >= deadline => {
                self.stage = Stage::ClosingOver;
                Some(Due::ClosingOver)
            }
            _ => None,
        }
    }

    fn start_closing(&mut self, now: Timestamp) {
        if self.stage == Stage::CloseBegun {
            self.stage = Stage::ClosingUntil(now.after(self.close_timeout));
        }
    }
}
