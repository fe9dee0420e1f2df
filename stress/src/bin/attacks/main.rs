//! Honest clients beside attackers. See `--help`.

mod attackers;
mod child;
mod honest;
mod server;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use stress::Res;
use stress::resources::{Counting, size};
use tokio::time::sleep;

use attackers::Attack;
use child::Child;
use honest::{Honest, Latency};
use server::Figures;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Attacks an echo server of sansock's while honest clients use it, and prints what that costs: the honest
/// clients' latency in windows with and without the attack, by turns, and the server's memory for each
/// attacker.
///
/// The server and the attackers are processes of their own, started from this program. The server has the
/// default configuration, but a deadline of 2 s for the opening handshake, so that it passes within a window,
/// and small send buffers in the kernel, so that what nobody reads waits in the server.
///
/// Exits with 1 if an honest client is not served, if the server's heap grows beyond its documented bound (for
/// each attacker what the README says of a connection, and 8 MiB in all: the spare buffers of the server's two
/// threads), or if the attackers' connections are not gone soon after they have left. With --judge also if the
/// honest clients' p99 under an attack is more than twice the one without (medians of the windows).
///
/// Needs two file descriptors for each attacker, and some: `ulimit -n 4500` does for the usual numbers.
#[derive(Parser)]
struct Args {
    /// Let the latencies decide, too: on a machine that has nothing else to do.
    #[arg(long)]
    judge: bool,
    /// The attacks to run; all by default.
    #[arg(long, value_delimiter = ',')]
    attack: Vec<Attack>,
    /// How many windows with, and as many without each attack.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long a window is, in seconds.
    #[arg(long, default_value_t = 3.0)]
    window: f64,
    /// How many honest clients there are.
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// How many attackers there are, in place of each attack's own number.
    #[arg(long)]
    attackers: Option<usize>,
    #[arg(long, hide = true)]
    role: Option<Role>,
}

/// What a process that was started by this program is.
#[derive(Clone, Copy, ValueEnum)]
enum Role {
    Server,
    Attackers,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Res<ExitCode> {
    let args = Args::parse();
    match args.role {
        Some(Role::Server) => server::run().await?,
        Some(Role::Attackers) => attackers::run().await?,
        None => return Stage::run(&args).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// All that takes part.
struct Stage {
    server: Child,
    attackers: Child,
    honest: Honest,
    window: Duration,
    broken: Vec<String>,
}

impl Stage {
    async fn run(args: &Args) -> Res<ExitCode> {
        let mut server = Child::start("server")?;
        let address = server.line().await?;
        let mut attackers = Child::start("attackers")?;
        attackers.say(&address).await?;
        let honest = Honest::start(&address, args.clients).await?;
        let window = Duration::try_from_secs_f64(args.window)?;
        let mut stage = Stage { server, attackers, honest, window, broken: Vec::new() };
        // The first window warms everything up.
        stage.honest.window(window).await?;
        let all = Attack::value_variants();
        for &attack in if args.attack.is_empty() { all } else { &args.attack } {
            let count = args.attackers.unwrap_or(attack.usual_number());
            let ratio = stage.attack(attack, count, args.rounds.max(1)).await?;
            if args.judge && ratio > 2.0 {
                stage.broken.push(format!("under {attack:?}, honest clients wait {ratio:.1} times as long"));
            }
        }
        for why in &stage.broken {
            println!("BROKEN: {why}");
        }
        println!("{} promises broken", stage.broken.len());
        Ok(if stage.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Windows with and without an attack, by turns; gives the ratio of the p99s.
    async fn attack(&mut self, attack: Attack, count: usize, rounds: usize) -> Res<f64> {
        println!("\n{attack:?}, {count} attackers: {}", attack.what());
        let (mut calm, mut attacked) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let before = self.figures().await?;
            calm.push(self.honest.window(self.window).await?);
            self.attackers.ask(&format!("start {} {count}", attack.name())).await?;
            attacked.push(self.honest.window(self.window).await?);
            let during = self.figures().await?;
            self.check_memory(attack, count, before, during);
            let told = self.attackers.ask("stop").await?;
            println!("  without: {}   with: {}   {told}", last(&calm), last(&attacked));
            self.recover(before).await?;
        }
        let ratio = median(&attacked) / median(&calm);
        println!(
            "  p99, medians: {:.0} us without, {:.0} us with: {ratio:.2}",
            median(&calm),
            median(&attacked)
        );
        Ok(ratio)
    }

    fn check_memory(&mut self, attack: Attack, count: usize, before: Figures, during: Figures) {
        let grown = during.peak.saturating_sub(before.heap);
        let bound = count * attack.bound() + SPARE;
        println!(
            "  the server has {} connections; most heap for each attacker {}, bound {}; resident {} (was {})",
            during.connections,
            size(grown / count.max(1)),
            size(attack.bound()),
            size(during.resident),
            size(before.resident),
        );
        if grown > bound {
            self.broken.push(format!(
                "under {attack:?}, the heap grows by {} of {}",
                size(grown),
                size(bound)
            ));
        }
        if during.connections < before.connections + count * 9 / 10 {
            self.broken
                .push(format!("{attack:?} has not taken place: only {} connections", during.connections));
        }
    }

    /// Waits until the attackers' connections are gone.
    async fn recover(&mut self, before: Figures) -> Res {
        let since = Instant::now();
        loop {
            let now = self.figures().await?;
            if now.connections <= before.connections {
                if now.heap > before.heap + SPARE {
                    self.broken.push(format!("after the attack, the heap stays at {}", size(now.heap)));
                }
                return Ok(());
            }
            if since.elapsed() > Duration::from_secs(30) {
                self.broken.push(format!("{} connections outlive the attack", now.connections));
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn figures(&mut self) -> Res<Figures> {
        self.server.ask("figures").await?.parse()
    }
}

/// What the server's two threads may keep for all connections.
const SPARE: usize = 8 << 20;

fn last(latencies: &[Latency]) -> String {
    latencies.last().map(Latency::to_string).unwrap_or_default()
}

fn median(latencies: &[Latency]) -> f64 {
    let mut micros: Vec<_> = latencies.iter().map(|latency| latency.p99).collect();
    micros.sort_by(f64::total_cmp);
    micros[micros.len() / 2]
}
