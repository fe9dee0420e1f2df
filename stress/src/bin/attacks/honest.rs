//! Clients that send a message, wait for its echo, and rest a little.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
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
    latencies: Arc<Mutex<Vec<Duration>>>,
    clients: JoinSet<Res>,
}

impl Honest {
    pub async fn start(address: &str, count: usize) -> Res<Self> {
        let latencies = Arc::<Mutex<Vec<_>>>::default();
        let mut clients = JoinSet::new();
        for _ in 0..count.max(1) {
            let socket = connect(&format!("ws://{address}/"), Config::default()).await?;
            clients.spawn(talk(socket, Arc::clone(&latencies)));
        }
        Ok(Honest { latencies, clients })
    }

    /// The latencies of a window of time.
    ///
    /// Fails if a client was not served.
    pub async fn window(&mut self, length: Duration) -> Res<Latency> {
        self.take();
        sleep(length).await;
        let mut latencies = self.take();
        if let Some(ended) = self.clients.try_join_next() {
            ended??;
        }
        latencies.sort_unstable();
        let at = |part: usize| {
            let latency = latencies.get(latencies.len() * part / 1000).ok_or("nobody was served")?;
            Res::Ok(latency.as_secs_f64() * 1e6)
        };
        Ok(Latency { p50: at(500)?, p99: at(990)?, p999: at(999)?, count: latencies.len() })
    }

    fn take(&mut self) -> Vec<Duration> {
        std::mem::take(&mut *self.latencies.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn talk(mut socket: WebSocket<TcpStream>, latencies: Arc<Mutex<Vec<Duration>>>) -> Res {
    let message = Message::from("x".repeat(125));
    loop {
        let sent = Instant::now();
        socket.send(message.clone()).await?;
        let echo = socket.recv().await?.ok_or("the server has closed an honest client's connection")?;
        if echo != message {
            return Err("an echo is not what was said".into());
        }
        latencies.lock().unwrap_or_else(PoisonError::into_inner).push(sent.elapsed());
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
