//! A TCP proxy for one connection that splits, delays, stalls, resets and half-closes as it was told.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// One direction of a connection.
#[derive(Clone, Debug)]
pub struct Lane {
    /// What the lane decides while it runs is decided by this.
    pub seed: u64,
    /// The smallest and the largest number of bytes to pass on at once.
    pub chunk: (usize, usize),
    /// One of so many chunks waits for a millisecond or a few.
    pub delay_one_of: Option<u32>,
    /// After so many bytes nothing is read for so long. In rising order.
    pub stalls: Vec<(u64, Duration)>,
    /// After so many bytes this happens.
    pub fault: Option<(u64, Fault)>,
}

impl Lane {
    /// A lane that passes everything on as it comes.
    pub fn plain() -> Self {
        Lane { seed: 0, chunk: (64 << 10, 64 << 10), delay_one_of: None, stalls: Vec::new(), fault: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Both sides of the proxy are reset (`SO_LINGER` 0).
    Reset,
    /// The receiver sees the end of the stream; what the sender still says is read and dropped.
    HalfClose,
    /// Nothing passes any more and nothing is read, but nothing ends either.
    Silence,
    /// One bit of the next byte is wrong. No TCP does this: it is for testing the judge.
    Flip,
}

/// What became of a connection in the proxy.
#[derive(Debug, Default)]
pub struct Passage {
    /// How many bytes were passed on: to the server, and to the client.
    pub passed: [u64; 2],
    /// The fault that happened, and when it did.
    pub fault: Option<(Fault, Instant)>,
    /// A transport that failed, though no fault had happened.
    pub failed: Option<io::Error>,
}

/// A proxy that listens, for one connection.
pub struct Proxy {
    listener: TcpListener,
    server: SocketAddr,
    lanes: [Lane; 2],
}

impl Proxy {
    /// A proxy before `server`, with a lane to the server and one to the client.
    pub async fn bind(server: SocketAddr, lanes: [Lane; 2]) -> io::Result<Self> {
        Ok(Proxy { listener: TcpListener::bind("127.0.0.1:0").await?, server, lanes })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves one connection until it has come to its end in both directions, a fault has ended it, or
    /// `over` says that nobody is there any more.
    pub async fn run(self, over: impl Future<Output = ()>) -> io::Result<Passage> {
        let (mut client, _) = self.listener.accept().await?;
        let mut server = TcpStream::connect(self.server).await?;
        // What was split must not be joined again.
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let mut passage = Passage::default();
        let [there, back] = &mut passage.passed;
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let [lane_there, lane_back] = self.lanes;
        let mut there = Pump::new(lane_there, there);
        let mut back = Pump::new(lane_back, back);
        let both = async {
            let there = there.run(&mut from_client, &mut to_server);
            let back = back.run(&mut from_server, &mut to_client);
            tokio::try_join!(there, back).map(drop)
        };
        let ended = tokio::select! {
            ended = both => ended,
            () = over => Err(Stop::Over),
        };
        passage.fault = there.fired.or(back.fired);
        if let Err(end) = ended {
            client.set_zero_linger()?;
            server.set_zero_linger()?;
            passage.failed = match end {
                _ if passage.fault.is_some() => None,
                Stop::Reset => None,
                Stop::Over => Some(io::Error::other("nobody is there, but the streams have not ended")),
                Stop::Failed(error) => Some(error),
            };
        }
        Ok(passage)
    }
}

/// Why a lane brings the other one to its end as well.
enum Stop {
    Reset,
    Over,
    Failed(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Failed(error)
    }
}

struct Pump<'a> {
    lane: Lane,
    passed: &'a mut u64,
    rng: StdRng,
    /// How much may still be waited in all: a conversation in tiny chunks is not to take for ever.
    patience: Duration,
    fired: Option<(Fault, Instant)>,
}

impl<'a> Pump<'a> {
    fn new(lane: Lane, passed: &'a mut u64) -> Self {
        let rng = StdRng::seed_from_u64(lane.seed);
        Pump { lane, passed, rng, patience: Duration::from_millis(200), fired: None }
    }

    async fn run(&mut self, from: &mut ReadHalf<'_>, to: &mut WriteHalf<'_>) -> Result<(), Stop> {
        let mut buffer = vec![0; self.lane.chunk.1];
        loop {
            self.stall().await;
            if let Some((at, fault)) = self.lane.fault
                && at == *self.passed
                && fault != Fault::Flip
            {
                return self.fire(fault, from, to).await;
            }
            let size = self.size();
            let Some(chunk) = buffer.get_mut(..size) else { return Ok(()) };
            let read = from.read(chunk).await?;
            if read == 0 {
                return Ok(to.shutdown().await?);
            }
            let chunk = chunk.get_mut(..read).unwrap_or_default();
            self.flip(chunk);
            to.write_all(chunk).await?;
            *self.passed += read as u64;
            self.delay().await;
        }
    }

    /// How much to take at once: small chunks are as likely as large ones, and none goes beyond a fault.
    fn size(&mut self) -> usize {
        let (least, most) = self.lane.chunk;
        let size = spread(&mut self.rng, least, most);
        match self.lane.fault {
            Some((at, _)) if at > *self.passed => {
                size.min(usize::try_from(at - *self.passed).unwrap_or(usize::MAX))
            }
            _ => size,
        }
    }

    async fn stall(&mut self) {
        while let Some(&(at, time)) = self.lane.stalls.first()
            && at <= *self.passed
        {
            self.lane.stalls.remove(0);
            sleep(time).await;
        }
    }

    async fn delay(&mut self) {
        let Some(one_of) = self.lane.delay_one_of else { return };
        if !self.patience.is_zero() && self.rng.random_range(0..one_of) == 0 {
            let time = Duration::from_millis(self.rng.random_range(1..=5)).min(self.patience);
            self.patience -= time;
            sleep(time).await;
        }
    }

    fn flip(&mut self, chunk: &mut [u8]) {
        if let Some((at, Fault::Flip)) = self.lane.fault
            && at == *self.passed
            && let Some(byte) = chunk.first_mut()
        {
            *byte ^= 1;
            self.fired = Some((Fault::Flip, Instant::now()));
        }
    }

    async fn fire(
        &mut self,
        fault: Fault,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
    ) -> Result<(), Stop> {
        self.fired = Some((fault, Instant::now()));
        match fault {
            Fault::Reset => Err(Stop::Reset),
            Fault::HalfClose => {
                to.shutdown().await?;
                let mut waste = [0; 4096];
                while from.read(&mut waste).await? > 0 {}
                Ok(())
            }
            Fault::Silence | Fault::Flip => std::future::pending().await,
        }
    }
}

/// A number between `least` and `most` of which each power of two is as likely as the others.
pub fn spread(rng: &mut impl rand::Rng, least: usize, most: usize) -> usize {
    let top = rng.random_range(least.max(1).ilog2()..=most.max(1).ilog2());
    let largest = ((2_usize << top) - 1).min(most);
    rng.random_range((1 << top).max(least).min(largest)..=largest)
}
