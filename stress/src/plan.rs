//! What a conversation will be, decided by a seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use sansock::deflate::{Deflate, WindowBits};
use sansock::{CloseCode, Config, Delivery};

use crate::proxy::{Fault, Lane, spread};
use crate::script::script;
pub use crate::script::{Step, weight};

/// What kind of conversations to plan.
#[derive(Clone, Copy, Debug)]
pub struct Taste {
    /// The share of conversations that go through the proxy, in percent.
    pub proxied: u32,
    /// The share of those that have a fault, in percent.
    pub faulty: u32,
    /// The share of conversations in which the server echoes, in percent.
    pub echoes: u32,
    /// The largest message, in bytes, where the proxy does not cut it into crumbs.
    pub largest: usize,
    /// The most messages that one end says.
    pub most: usize,
}

impl Taste {
    /// Many small conversations, all through the proxy.
    pub const CHAOS: Taste = Taste { proxied: 100, faulty: 50, echoes: 25, largest: 300 << 10, most: 40 };
    /// Conversations as servers have them, and some that are not so.
    pub const SOAK: Taste = Taste { proxied: 40, faulty: 30, echoes: 60, largest: 6 << 20, most: 60 };
}

/// Which shim an end is driven by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shim {
    Tokio,
    Blocking,
}

/// How an end behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Style {
    /// Talks and listens by turns, on the whole socket.
    Whole,
    /// Talks and listens in two tasks or threads.
    Split,
    /// Sends every event back by `relay`.
    EchoRelay,
    /// Sends every message back by `recv` and `send`.
    EchoMessages,
}

/// When and with which words an end closes.
#[derive(Clone, Debug)]
pub struct Closing {
    /// Once so many messages were heard, and all was said.
    pub after: usize,
    pub code: CloseCode,
    pub reason: String,
    /// Nothing will be said after what was heard: `close` may pass over the rest.
    pub is_last_word: bool,
}

/// One end of a conversation.
#[derive(Clone, Debug)]
pub struct End {
    pub shim: Shim,
    pub style: Style,
    pub config: Config,
    pub script: Vec<Step>,
    pub closing: Option<Closing>,
    /// For what it decides while it runs.
    pub seed: u64,
}

impl End {
    pub fn echoes(&self) -> bool {
        matches!(self.style, Style::EchoRelay | Style::EchoMessages)
    }

    /// Whether the close report tells of pings, too.
    pub fn hears_pings(&self) -> bool {
        self.style != Style::EchoMessages
    }
}

/// A conversation.
#[derive(Clone, Debug)]
pub struct Plan {
    pub client: End,
    pub server: End,
    /// The lanes of the proxy, to the server and to the client, if it goes through one.
    pub proxy: Option<[Lane; 2]>,
}

impl Plan {
    /// The plan of this seed. The shims take turns by `index`, so that all combinations come equally often.
    pub fn new(seed: u64, index: u64, taste: Taste) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let is_proxied = rng.random_range(0..100) < taste.proxied;
        let mut lanes = [lane(&mut rng), lane(&mut rng)];
        let crumbs = is_proxied && lanes.iter().any(|lane| lane.chunk.1 < 512);
        let (largest, most) =
            if crumbs { (2 << 10, taste.most.min(12)) } else { (taste.largest, taste.most) };
        let shims = [Shim::Tokio, Shim::Blocking];
        let [client_shim, server_shim] = [shims[(index & 1) as usize], shims[(index >> 1 & 1) as usize]];
        let is_echo = rng.random_range(0..100) < taste.echoes;
        let mut client = end(&mut rng, client_shim, false, largest, most);
        let mut server = end(&mut rng, server_shim, is_echo, largest, most);
        close(&mut rng, &mut client, &mut server);
        if is_proxied && rng.random_range(0..100) < taste.faulty {
            plan_fault(&mut rng, &mut lanes, [&mut client, &mut server]);
        }
        Plan { client, server, proxy: is_proxied.then_some(lanes) }
    }

    /// The fault that is planned.
    pub fn fault(&self) -> Option<Fault> {
        self.proxy.iter().flatten().find_map(|lane| lane.fault).map(|(_, fault)| fault)
    }
}

fn lane(rng: &mut StdRng) -> Lane {
    let chunk = match rng.random_range(0..6) {
        0 => (1, 1),
        1 => (1, 16),
        2 => (1, 1 << 10),
        3 => (1, 64 << 10),
        4 => (1000, 1500),
        _ => (64 << 10, 64 << 10),
    };
    let delay_one_of = rng.random_bool(0.3).then(|| rng.random_range(4..64));
    let mut at = 0;
    let stalls = (0..rng.random_range(0..3))
        .map(|_| {
            at += spread(rng, 1, 64 << 10) as u64;
            (at, Duration::from_millis(rng.random_range(1..80)))
        })
        .collect();
    Lane { seed: rng.next_u64(), chunk, delay_one_of, stalls, fault: None }
}

/// Longer than anything takes here, however busy the machine is: what passes it hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

fn end(rng: &mut StdRng, shim: Shim, is_echo: bool, largest: usize, most: usize) -> End {
    let style = match (is_echo, rng.random_bool(0.5)) {
        (false, false) => Style::Whole,
        (false, true) => Style::Split,
        (true, false) => Style::EchoRelay,
        (true, true) => Style::EchoMessages,
    };
    let mut config = Config::default();
    config.handshake_timeout = PATIENCE;
    config.close_timeout = PATIENCE;
    config.ping_interval = rng.random_bool(0.3).then(|| Duration::from_millis(rng.random_range(5..50)));
    config.pong_timeout = PATIENCE;
    config.deflate = rng.random_bool(0.6).then(|| deflate(rng));
    if style != Style::EchoMessages && rng.random_bool(0.3) {
        config.delivery = Delivery::Chunks;
    }
    // An end that talks and listens by turns must not stop listening because much waits: two such ends would
    // wait for each other, as `Config::output_high_water` says.
    config.output_high_water = match style {
        Style::Whole => usize::MAX,
        _ => spread(rng, 1, 1 << 20),
    };
    let script = if is_echo { Vec::new() } else { script(rng, largest, most) };
    End { shim, style, config, script, closing: None, seed: rng.next_u64() }
}

fn deflate(rng: &mut StdRng) -> Deflate {
    let mut deflate = Deflate::default();
    let mut window = || WindowBits::new(rng.random_range(8..=15)).unwrap_or(WindowBits::MAX);
    (deflate.send_window, deflate.receive_window) = (window(), window());
    (deflate.send_takeover, deflate.receive_takeover) = (rng.random(), rng.random());
    deflate.fallback = true;
    deflate.threshold = rng.random_range(0..200);
    deflate.level = rng.random_range(0..=9);
    deflate
}

/// Who closes: the client, the server or both, at once or when all was heard. An echo has no last word of its
/// own.
fn close(rng: &mut StdRng, client: &mut End, server: &mut End) {
    let who = if server.echoes() { 0 } else { rng.random_range(0..5) };
    let messages = |end: &End| end.script.iter().filter(|step| matches!(step, Step::Message(_))).count();
    let of_server = if server.echoes() { messages(client) } else { messages(server) };
    let of_client = messages(client);
    let is_echo = server.echoes();
    let mut closing = |heard: usize| {
        let after = if rng.random_bool(0.6) { heard } else { rng.random_range(0..=heard) };
        Closing {
            after,
            code: CloseCode::new(rng.random_range(3000..5000)).unwrap_or(CloseCode::NORMAL),
            reason: "x".repeat(rng.random_range(0..=123)),
            is_last_word: is_echo && after == heard,
        }
    };
    if who != 1 {
        client.closing = Some(closing(of_server));
    }
    if who == 1 || who == 2 {
        server.closing = Some(closing(of_client));
    }
}

/// Puts a fault into one lane, anywhere from the first byte of the handshake to somewhat beyond the end.
fn plan_fault(rng: &mut StdRng, lanes: &mut [Lane; 2], ends: [&mut End; 2]) {
    let which = rng.random_range(0..2);
    let fault = [Fault::Reset, Fault::HalfClose, Fault::Silence][rng.random_range(0..3)];
    let talker = if ends[which].echoes() { &ends[1 - which].script } else { &ends[which].script };
    let most = 250 + weight(talker) * 11 / 10;
    let at = if rng.random_bool(0.2) { rng.random_range(0..250) } else { rng.random_range(0..most) };
    lanes[which].fault = Some((at, fault));
    if fault == Fault::Silence {
        for end in ends {
            end.config.handshake_timeout = Duration::from_millis(1000);
            end.config.ping_interval = Some(Duration::from_millis(300));
            end.config.pong_timeout = Duration::from_millis(500);
            end.config.close_timeout = Duration::from_millis(500);
        }
    }
}
