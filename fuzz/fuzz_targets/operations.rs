//! Any sequence of operations on a client, a server, a clock, and the bytes between them, held against a
//! model (`side`, `sent.rs`, `deadlines.rs`): what was sent is seen, once, in order and unchanged, as soon
//! as it has arrived; the newest ping is answered; what a Close frame says, both reports and all deadlines
//! are as the documentation has them; nothing fails but for a deadline or the end of the transport; and
//! between operations no more memory is held than what is unfinished or waits. A third connection shares the
//! spare buffers, and is relayed to. Every operation may be given up between its steps: to take no event that
//! was found, or no byte that was offered, is an operation as good as others.
//!
//! An input is, byte by byte:
//!
//! 1. switches: 1 and 2 the client and the server take chunks, 4 permessage-deflate, 8 and 16 the client's
//!    and the server's messages without context takeover, 32 a pool for both, 64 spare buffers are shared,
//!    128 small marks for the output;
//! 2. the windows, the server's in the lowest three bits and the client's in the next ones, from 8; above
//!    these the limit of the spare buffers;
//! 3. the deadlines, two bits each: keepalive, pong, idle, close;
//! 4. operations: the lowest five bits say which, as [`World::operate`] has them, 32 on the server; 64 and
//!    128 a variant of it. What else they need follows.

#![no_main]

mod counted;
mod deadlines;
mod input;
mod sent;
mod side;
mod tally;

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sansock::deflate::{Agreed, Deflate, Pool, WindowBits};
use sansock::{CloseCode, Config, Connection, Delivery, Spare, Timestamp};

use crate::input::Input;
use crate::sent::{Item, UNSOLICITED};
use crate::side::{Giving, Machine, Seen, Side, Taking};
use crate::tally::tallied;

fuzz_target!(|bytes: &[u8]| {
    tally::reset();
    let mut input = Input(bytes);
    let mut world = World::new(&mut input);
    for _ in 0..MOST_OPERATIONS {
        if input.0.is_empty() {
            break;
        }
        world.operate(&mut input);
        world.check();
    }
    world.finish();
});

const MOST_OPERATIONS: usize = 1000;

/// How much an input may send in all; from there on messages are small.
const MOST_BYTES: usize = 256 << 10;

const CLIENT: usize = 0;
const SERVER: usize = 1;
/// Receives nothing.
const THIRD: usize = 2;

struct World {
    sides: [Side; 3],
    /// What a side has written and the other one has not read.
    network: [Vec<u8>; 3],
    /// Nothing more comes from a side.
    has_ended: [bool; 2],
    now: Timestamp,
    spare: Spare,
    shares_spare: bool,
    pool: Option<Pool>,
    compresses: bool,
    /// What three connections hold to begin with.
    fresh: isize,
    /// How much was sent, and how many things.
    bytes: usize,
    count: u32,
}

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        let (switches, windows, times) = (input.byte(), input.byte(), input.byte());
        let has = |bit| switches & bit != 0;
        let mut config = Config::default();
        let time =
            |shift: u8, choices: [u64; 4]| Duration::from_millis(choices[usize::from(times >> shift & 3)]);
        config.ping_interval = Some(time(0, [20_000, 1, 1000, 0])).filter(|time| !time.is_zero());
        config.pong_timeout = time(2, [20_000, 1, 1000, 0]);
        config.idle_timeout = Some(time(4, [0, 1, 1000, 60_000])).filter(|time| !time.is_zero());
        config.close_timeout = time(6, [5000, 1, 100, 0]);
        config.idle_close = CloseCode::GOING_AWAY;
        if has(128) {
            config.output_high_water = 100;
        }

        let bits = |shift: u8| WindowBits::new(8 + (windows >> shift & 7)).expect("8 to 15");
        let mut agreed = Agreed::default();
        agreed.server_max_window_bits = Some(bits(0));
        agreed.client_max_window_bits = Some(bits(3));
        agreed.client_no_context_takeover = has(8);
        agreed.server_no_context_takeover = has(16);
        let pool = (has(4) && has(32)).then(|| Pool::new(1));
        let mut deflate = Deflate::default();
        deflate.pool = pool.clone();

        let now = Timestamp::from_epoch(Duration::from_secs(1000));
        let side = |index: usize| {
            let mut config = config.clone();
            if has(1 << index) && index != THIRD {
                config.delivery = Delivery::Chunks;
            }
            let connection = tallied(|| {
                let connection = match index {
                    CLIENT => Connection::client(config.clone(), [7; 32], now),
                    _ => Connection::server(config.clone(), now),
                };
                if has(4) && index != THIRD { connection.with_deflate(agreed, &deflate) } else { connection }
            });
            Side::new(index == CLIENT, &config, connection, now)
        };
        let sides = [CLIENT, SERVER, THIRD].map(side);
        World {
            sides,
            network: Default::default(),
            has_ended: [false; 2],
            now,
            spare: Spare::with_limit([300 << 10, 0, 600 << 10, 4 << 20][usize::from(windows >> 6)]),
            shares_spare: has(64),
            pool,
            compresses: has(4),
            fresh: tally::owned(),
            bytes: 0,
            count: 0,
        }
    }

    fn operate(&mut self, input: &mut Input<'_>) {
        let byte = input.byte();
        let index = usize::from(byte >> 5 & 1);
        let (low, high) = (byte & 64 != 0, byte & 128 != 0);
        match byte & 31 {
            0 => self.give(index, Giving::Borrowed, low, high, input),
            1 => self.give(index, Giving::Owned, low, high, input),
            2 => self.give(index, Giving::Part, low, high, input),
            3 => self.give(index, Giving::LastPart, low, high, input),
            4 => self.give(
                index,
                if high { Giving::PreparedCompressed } else { Giving::Prepared },
                low,
                low,
                input,
            ),
            5 => {
                let most = amount(input);
                self.give(index, Giving::Offered(most), low, high, input);
            }
            6 => {
                self.sides[index].uncompressed(low);
                self.give(index, Giving::Borrowed, high, low, input);
            }
            7 => {
                let payload = self.payload(b'P', input);
                self.sides[index].control(Item::Ping(payload), high);
            }
            8 => {
                let payload = self.payload(UNSOLICITED, input);
                self.sides[index].control(Item::Pong(payload), high);
            }
            9 => {
                let code =
                    CloseCode::new(1000 + 256 * u16::from(input.byte() % 16)).unwrap_or(CloseCode::NORMAL);
                let reason = "é".repeat(usize::from(input.byte()) / 3);
                self.sides[index].close(code, &reason, high);
            }
            10 => self.advance(index, high),
            11 => {
                self.take(index, if low { Taking::Owned } else { Taking::Lent }, false, high);
            }
            12 => {
                self.take(index, if low { Taking::Kept } else { Taking::Left }, false, high);
            }
            13 => {
                self.take(index, if low { Taking::Answered } else { Taking::Relayed }, false, high);
            }
            14 => {
                self.take(index, Taking::Relayed, true, high);
            }
            15 => self.take_all(index, if low { Taking::Owned } else { Taking::Lent }, high),
            16 => self.take_all(index, if low { Taking::Answered } else { Taking::Relayed }, high),
            17 => {
                let (most, pieces) = (amount(input), input.byte());
                self.write(index, most, usize::from(pieces % 17), high);
            }
            18 => {
                self.read(index, amount(input), low, high, true);
            }
            19 => {
                self.read(index, amount(input), low, high, false);
            }
            20 => self.sides[index].handle_input(self.now, high),
            21 => {
                self.pump(index, if low { Taking::Owned } else { Taking::Lent });
            }
            22 => self.rest(low, high),
            23 => {
                let side = if low { THIRD } else { index };
                if self.shares_spare {
                    self.sides[side].borrow_buffers(&mut self.spare);
                }
            }
            24 => {
                self.time_passes(index, input.byte());
                if low {
                    self.sides[index].handle_timeout(self.now, high);
                }
            }
            25 => self.sides[index].handle_timeout(self.now, high),
            26 => self.end(index, low),
            27 => self.sides[index].split(high),
            28 => self.sides[index].carry(),
            29 => self.sides[index].append(),
            30 => {
                let kept = std::mem::take(&mut self.sides[index].kept);
                tallied(|| drop(kept));
            }
            _ => {
                self.write(THIRD, amount(input), usize::from(low) * 4, high);
            }
        }
    }

    // ---- sending ----

    fn give(&mut self, index: usize, how: Giving, is_text: bool, by_half: bool, input: &mut Input<'_>) {
        let mut len = length(input.byte());
        let mut most = MOST_BYTES;
        if self.compresses {
            // A fuzzer makes a compressor slow.
            (len, most) = (if len > 8 << 10 { len / 8 } else { len }, most / 8);
        }
        if self.bytes > most {
            len = len.min(10);
        }
        self.bytes += len;
        self.count += 1;
        let bytes = content(is_text, len, self.count);
        let taken = self.sides[index].give(how, is_text, &bytes, by_half);
        self.sides[index].settle();
        self.sides[index].sent.write(&taken);
        self.network[index].extend(taken);
    }

    /// No two are the same.
    fn payload(&mut self, kind: u8, input: &mut Input<'_>) -> Vec<u8> {
        self.count += 1;
        let mut payload = vec![kind; 1 + usize::from(input.byte()) / 2];
        payload.extend(self.count.to_be_bytes());
        payload
    }

    fn write(&mut self, index: usize, most: usize, pieces: usize, tells: bool) -> usize {
        let taken = self.sides[index].write(most, pieces, self.now, tells);
        self.network[index].extend_from_slice(&taken);
        if index == THIRD {
            self.sides[THIRD].sent.forget();
            self.network[THIRD].clear();
        }
        taken.len()
    }

    // ---- receiving ----

    fn read(
        &mut self,
        index: usize,
        most: usize,
        by_half: bool,
        through_read_buffer: bool,
        tells: bool,
    ) -> usize {
        let side = &mut self.sides[index];
        let network = &mut self.network[1 - index];
        if side.is_cut_off() || network.is_empty() {
            return 0;
        }
        let most = most.clamp(1, network.len());
        let len = side.read(&network[..most], by_half, through_read_buffer);
        network.drain(..len);
        if tells {
            side.handle_input(self.now, by_half);
        }
        len
    }

    /// A side and its peer.
    fn pair(&mut self, index: usize) -> (&mut Side, &mut Side, &mut Side) {
        let [client, server, third] = &mut self.sides;
        if index == CLIENT { (client, server, third) } else { (server, client, third) }
    }

    fn advance(&mut self, index: usize, by_half: bool) {
        let (side, peer, _) = self.pair(index);
        side.advance(&mut peer.sent, by_half);
    }

    fn take(&mut self, index: usize, taking: Taking, to_third: bool, by_half: bool) -> Seen {
        let (side, peer, third) = self.pair(index);
        side.take(&mut peer.sent, taking, to_third.then_some(third), by_half)
    }

    fn take_all(&mut self, index: usize, taking: Taking, by_half: bool) {
        while !matches!(self.take(index, taking, false, by_half), Seen::Nothing | Seen::Failed(_)) {}
    }

    /// Carries all there is from a side to its peer, and has that take it.
    fn pump(&mut self, index: usize, taking: Taking) -> bool {
        let mut moved = 0;
        self.sides[index].append();
        self.sides[index].carry();
        loop {
            let len = self.write(index, usize::MAX, 8, false);
            if len == 0 {
                break;
            }
            moved += len;
        }
        if self.sides[1 - index].is_cut_off() {
            self.network[index].clear();
        }
        while self.read(1 - index, usize::MAX, false, false, true) > 0 {
            moved += 1;
        }
        self.take_all(1 - index, taking, false);
        self.sides[1 - index].carry();
        // What was taken may have an answer.
        moved > 0 || self.sides[1 - index].waiting().next().is_some()
    }

    // ---- the rest of the world ----

    fn time_passes(&mut self, index: usize, how: u8) {
        let now = self.now;
        let at = |nanos: u64| Timestamp::from_epoch(Duration::from_nanos(nanos));
        let deadline = self.sides[index].deadline().filter(|&deadline| deadline > 0);
        self.now = match (how % 8, deadline) {
            (0, Some(deadline)) => at(deadline.saturating_sub(1)).max(now),
            (1 | 2, Some(deadline)) => at(deadline).max(now),
            (3, Some(deadline)) => at(deadline.saturating_add(1 + u64::from(how))).max(now),
            (4, _) => now + Duration::from_nanos(how.into()),
            (5, _) => now + Duration::from_millis(how.into()),
            (6, _) => now + Duration::from_secs(how.into()),
            // A clock may jump back.
            (7, _) => at(deadlines::nanos(now).saturating_sub(1_000_000 * u64::from(how))),
            _ => now,
        };
    }

    /// The transport ends for a side: at once, or behind what its peer has written before it shut its side
    /// down.
    fn end(&mut self, index: usize, at_once: bool) {
        let peer = 1 - index;
        if let Machine::Whole(connection) = &self.sides[peer].machine
            && connection.wants_shutdown()
        {
            self.has_ended[peer] = true;
        }
        let is_behind = self.has_ended[peer] && self.network[peer].is_empty();
        if at_once || is_behind {
            self.sides[index].handle_eof();
            self.network[peer].clear();
        }
    }

    /// All connections rest: what is held then is bounded by what is unfinished and what waits.
    fn rest(&mut self, returns: bool, forgets: bool) {
        if forgets {
            let kept = self.sides.iter_mut().map(|side| std::mem::take(&mut side.kept)).collect::<Vec<_>>();
            tallied(|| drop(kept));
        }
        for side in &mut self.sides {
            side.rest(Some(&mut self.spare).filter(|_| returns && self.shares_spare));
        }
        let mut most = self.fresh + if self.pool.is_some() { POOL } else { 0 };
        if self.shares_spare {
            most += self.spare.capacity() as isize + QUEUES;
        }
        for (index, peer) in [(CLIENT, SERVER), (SERVER, CLIENT)] {
            // A half that is apart, and behind a fork, hears of the end late.
            let is_over = self.sides[index].is_ended() && self.sides[index].machine.send().is_closed();
            let peer = &self.sides[peer].sent;
            most += 2 * self.sides[index].unfinished(peer) as isize;
            if self.compresses && !is_over {
                most += CODECS + 2 * peer.next_body().map_or(0, |body| body.bytes.len()) as isize;
            }
        }
        for side in &mut self.sides {
            most += SLACK + side.sent.given() as isize;
            most += side.waiting().map(|waits| 2 * waits as isize + OUTPUT).sum::<isize>();
            most += side.kept.iter().map(|kept| 2 * kept.as_bytes().len() as isize + SLACK).sum::<isize>();
        }
        assert!(tally::owned() <= most, "{} bytes are held, and {most} may be", tally::owned());
    }

    fn check(&mut self) {
        self.sides.iter_mut().for_each(Side::check);
    }

    /// Carries all there is until nothing moves, and then closes: nothing may be left.
    fn finish(mut self) {
        self.run_dry();
        let is_open = |side: &mut Side| !side.is_ended() && !side.machine.send().is_closed();
        if self.sides[..2].iter_mut().all(is_open) && self.sides[..2].iter().all(|side| !side.is_cut_off()) {
            self.sides[CLIENT].close(CloseCode::NORMAL, "bye", false);
            self.run_dry();
            assert!(self.sides[..2].iter().all(|side| side.is_ended() && !side.has_failed()));
        }
        for index in [CLIENT, SERVER] {
            self.sides[index].handle_eof();
            self.take_all(index, Taking::Lent, false);
            self.take_all(index, Taking::Lent, true);
            assert!(self.sides[index].is_ended());
            self.check();
        }
        while self.write(THIRD, usize::MAX, 3, false) > 0 {}
        self.sides[THIRD].sent.assert_all_is_written(false);
        self.run_dry();
        self.rest(false, true);
    }

    fn run_dry(&mut self) {
        while self.pump(CLIENT, Taking::Lent) | self.pump(SERVER, Taking::Lent) {
            self.check();
        }
        for (index, side) in self.sides[..2].iter().enumerate() {
            side.sent.assert_all_is_written(side.is_ended());
            let peer = &self.sides[1 - index];
            assert!(peer.is_ended() || peer.is_cut_off() || side.sent.on_wire.is_empty());
        }
    }
}

/// What is held on top by a connection: 1 KiB, and what waits for the other half, such as keys or a pong.
const SLACK: isize = 3 << 10;

/// What an output may hold on top where something waits: room for what is queued next.
const OUTPUT: isize = 112 << 10;

/// Queues among the spare buffers.
const QUEUES: isize = 40 << 10;

/// Two windows, and codecs within messages.
const CODECS: isize = 640 << 10;

/// What a pool keeps: a decoder and a compressor.
const POOL: isize = 440 << 10;

/// How many bytes the network takes or brings at once.
fn amount(input: &mut Input<'_>) -> usize {
    match input.byte() {
        byte @ ..160 => byte.into(),
        byte @ 160..255 => usize::from(byte - 159) << 10,
        255 => usize::MAX,
    }
}

/// Small ones mostly, and those around which something changes.
fn length(byte: u8) -> usize {
    let byte = usize::from(byte);
    match byte {
        ..128 => byte,
        128..160 => 126 + 8 * (byte - 128),
        160..176 => (4 << 10) - 8 + (byte - 160),
        176..200 => (8 << 10) - 12 + (byte - 176),
        200..216 => (16 << 10) - 8 + (byte - 200),
        216..232 => (64 << 10) - 8 + (byte - 216),
        232..254 => 20_000 + 1000 * (byte - 232),
        254 => 140_000,
        _ => 300_000,
    }
}

/// Bytes that are the same in no two messages, however they are cut: each takes another part of the same
/// noise.
fn content(is_text: bool, len: usize, count: u32) -> Vec<u8> {
    static BINARY: LazyLock<Vec<u8>> = LazyLock::new(|| noise().flat_map(u32::to_le_bytes).collect());
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let char = |word: u32| match word >> 29 {
            0 => '😀',
            1 => '€',
            _ => char::from(b'a' + (word >> 8) as u8 % 26),
        };
        noise().map(char).collect()
    });
    let from = count as usize * 4099 % NOISE;
    if !is_text {
        return BINARY[from..from + len].to_vec();
    }
    let from = TEXT.ceil_char_boundary(from);
    let to = TEXT.floor_char_boundary(from + len);
    TEXT[from..to].as_bytes().to_vec()
}

/// How many bytes there are at least to begin at.
const NOISE: usize = 100_000;

fn noise() -> impl Iterator<Item = u32> {
    let next = |state: &u32| {
        let state = state ^ state << 13;
        let state = state ^ state >> 17;
        Some(state ^ state << 5)
    };
    std::iter::successors(Some(0x9e37_79b9), next).take(NOISE + 300_004)
}
