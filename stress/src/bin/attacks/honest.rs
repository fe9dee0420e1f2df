//! Clients that send a message, wait for its echo, and rest a little.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sansock::tokio::{WebSocket, connect};
use sansock::{Config, Message};
use stress::Res;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Between two messages of a client: so that they do not use up the processors themselves.
const REST: Duration = Duration::from_millis(2);

pub struct Honest {
    ledgers: Vec<Arc<Mutex<Ledger>>>,
    clients: JoinSet<Res>,
}

/// What one client has seen.
#[derive(Default)]
struct Ledger {
    latencies: Vec<Duration>,
    /// When the message was sent whose echo has not come.
    waits_since: Option<Instant>,
}

impl Honest {
    pub async fn start(address: &str, count: usize) -> Res<Self> {
        let (mut ledgers, mut clients) = (Vec::new(), JoinSet::new());
        for _ in 0..count.max(1) {
            let socket = connect(&format!("ws://{address}/"), Config::default()).await?;
            let ledger = Arc::<Mutex<Ledger>>::default();
            clients.spawn(talk(socket, Arc::clone(&ledger)));
            ledgers.push(ledger);
        }
        Ok(Honest { ledgers, clients })
    }

    /// The latencies of a window of time: of an echo that has not come by its end, how late that is already.
    ///
    /// Fails if a client was not served in all that time.
    pub async fn window(&mut self, length: Duration) -> Res<Latency> {
        for ledger in &self.ledgers {
            lock(ledger).latencies.clear();
        }
        sleep(length).await;
        if let Some(ended) = self.clients.try_join_next() {
            ended??;
        }
        let mut latencies = Vec::new();
        for ledger in &self.ledgers {
            let mut ledger = lock(ledger);
            if ledger.latencies.is_empty() {
                return Err("an honest client was not served".into());
            }
            latencies.append(&mut ledger.latencies);
            latencies.extend(ledger.waits_since.map(|since| since.elapsed()));
        }
        latencies.sort_unstable();
        let at = |part: usize| {
            latencies.get(latencies.len() * part / 1000).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
        };
        Ok(Latency { p50: at(500), p99: at(990), p999: at(999), count: latencies.len() })
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn talk(mut socket: WebSocket<TcpStream>, ledger: Arc<Mutex<Ledger>>) -> Res {
    let message = Message::from("x".repeat(125));
    loop {
        let sent = Instant::now();
        lock(&ledger).waits_since = Some(sent);
        socket.send(message.clone()).await?;
        let echo = socket.recv().await?.ok_or("the server has closed an honest client's connection")?;
        if echo != message {
            return Err("an echo is not what was said".into());
        }
        {
            let mut ledger = lock(&ledger);
            ledger.waits_since = None;
            ledger.latencies.push(sent.elapsed());
        }
        sleep(REST).await;
    }
}

/// In microseconds.
pub struct Latency {
    p50: f64,
    pub p99: f64,
    p999: f64,
    count: usize,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.0} p99 {:.0} p99.9 {:.0} us of {}", self.p50, self.p99, self.p999, self.count)
    }
}
