//! The deadlines of one endpoint, as the documentation of `Config` has them, in nanoseconds.

use sansock::{Config, Timestamp};

pub struct Deadlines {
    ping_interval: Option<u64>,
    pong_timeout: u64,
    idle_timeout: Option<u64>,
    close_timeout: u64,
    /// When something arrived, or was taken by the transport.
    alive: u64,
    /// How late `alive` was when data was handed out.
    data: u64,
    /// When the keepalive ping was due that nothing has followed.
    pinged: Option<u64>,
    /// Nothing has followed it in time.
    is_missed: bool,
    closing: Closing,
    /// Something has arrived, and not all of it was looked at since.
    has_news: bool,
    /// The idle time began anew without data.
    is_extended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    /// From the next time that is told.
    Begun,
    Until(u64),
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Ping,
    PongMissing,
    Idle,
    ClosingOver,
}

pub fn nanos(time: Timestamp) -> u64 {
    u64::try_from(time.since_epoch().as_nanos()).expect("it counts in 64 bits")
}

impl Deadlines {
    pub fn new(config: &Config, now: Timestamp) -> Self {
        let nanos_of = |time: std::time::Duration| time.as_nanos() as u64;
        Deadlines {
            ping_interval: config.ping_interval.map(nanos_of),
            pong_timeout: nanos_of(config.pong_timeout),
            idle_timeout: config.idle_timeout.map(nanos_of),
            close_timeout: nanos_of(config.close_timeout),
            alive: nanos(now),
            data: nanos(now),
            pinged: None,
            is_missed: false,
            closing: Closing::No,
            has_news: false,
            is_extended: false,
        }
    }

    pub fn data_was_handed_out(&mut self) {
        self.data = self.alive;
        self.is_extended = false;
    }

    /// All that has arrived was looked at.
    pub fn starved(&mut self) {
        self.has_news = false;
    }

    pub fn closing_begins(&mut self) {
        if self.closing == Closing::No {
            self.closing = Closing::Begun;
        }
    }

    /// There is a sign of life.
    pub fn alive(&mut self, now: Timestamp) {
        self.alive = nanos(now);
        self.pinged = None;
    }

    /// Bytes have arrived, and the time is told.
    pub fn told_of_input(&mut self, now: Timestamp) -> Option<Due> {
        self.alive(now);
        self.has_news = true;
        self.told(now)
    }

    /// The time is told: what is due?
    pub fn told(&mut self, now: Timestamp) -> Option<Due> {
        let now = nanos(now);
        match self.closing {
            Closing::Begun => {
                self.closing = Closing::Until(now.saturating_add(self.close_timeout));
                return self.closing_due(now);
            }
            Closing::Until(_) => return self.closing_due(now),
            Closing::Over => return None,
            Closing::No if self.is_missed => return None,
            Closing::No => {}
        }
        let is_past = |since: u64, time: u64| now >= since.saturating_add(time);
        if self.idle_timeout.is_some_and(|timeout| is_past(self.data, timeout)) {
            if !self.has_news || self.is_extended {
                self.closing = Closing::Begun;
                return Some(Due::Idle);
            }
            self.is_extended = true;
            self.data = now;
        }
        if let Some(pinged) = self.pinged {
            self.is_missed = is_past(pinged, self.pong_timeout);
            return self.is_missed.then_some(Due::PongMissing);
        }
        if self.ping_interval.is_some_and(|interval| is_past(self.alive, interval)) {
            self.pinged = Some(now);
            return Some(Due::Ping);
        }
        None
    }

    fn closing_due(&mut self, now: u64) -> Option<Due> {
        match self.closing {
            Closing::Until(deadline) if now >= deadline => {
                self.closing = Closing::Over;
                Some(Due::ClosingOver)
            }
            _ => None,
        }
    }

    /// When the time is to be told next.
    pub fn next(&self) -> Option<u64> {
        match self.closing {
            Closing::Begun => Some(0),
            Closing::Until(deadline) => Some(deadline),
            Closing::Over => None,
            Closing::No if self.is_missed => None,
            Closing::No => {
                let alive = match (self.pinged, self.ping_interval) {
                    (Some(pinged), _) => Some(pinged.saturating_add(self.pong_timeout)),
                    (None, interval) => interval.map(|interval| self.alive.saturating_add(interval)),
                };
                let idle = self.idle_timeout.map(|timeout| self.data.saturating_add(timeout));
                [alive, idle].into_iter().flatten().min()
            }
        }
    }

    pub fn closing_is_over(&self) -> bool {
        self.closing == Closing::Over
    }
}
