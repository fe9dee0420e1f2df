//! Conversations for a long time. See `--help`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use stress::Res;
use stress::conversation::{Fate, Record, hold};
use stress::judge::judge;
use stress::plan::{Plan, Taste};
use stress::resources::{Counting, heap, open_files, resident, size, take_peak};
use tokio::task::JoinSet;
use tokio::time::sleep;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Has conversations between sansock's own client and server for a long time, connecting and closing all the
/// while: messages of 0 B to 6 MiB, whole, fragmented and prepared, with and without compression, pings,
/// relays, both shims, split and whole; two fifths of the connections through a proxy that misbehaves.
///
/// Once a minute (at least six times in all: more often if it runs for less than six minutes) no new
/// conversation begins, those under way end, and a line is printed: how many conversations there were, the
/// live heap and the file descriptors at rest, the largest heap since the last line, and resident memory.
///
/// Exits with 1 if a promise of a conversation was broken (as in the program "chaos"), if the heap at rest
/// has grown by more than 8 MiB between the first third of the lines and the last one (medians), or if there
/// are ever more file descriptors at rest than at the first rest.
///
/// The 8 MiB are what may differ at rest by right: each of the two threads of the runtime keeps up to 4 MiB of
/// spare buffers. What leaks with each connection exceeds it within minutes.
#[derive(Parser)]
struct Args {
    /// For how many minutes.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// What the conversations are decided by; without it the operating system chooses one, which is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// How many conversations at the same time.
    #[arg(long, default_value_t = 16)]
    at_once: usize,
    /// Loses so many bytes of heap with each conversation on purpose: then the run must fail.
    #[arg(long, default_value_t = 0)]
    leak: usize,
}

/// By how much the heap at rest may differ: the spare buffers of two threads.
const MARGIN: usize = 8 << 20;

const RESTS: u32 = 6;

#[tokio::main(worker_threads = 2)]
async fn main() -> Res<ExitCode> {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let (began, length) = (Instant::now(), Duration::try_from_secs_f64(args.minutes * 60.0)?);
    let round = (length / RESTS).min(Duration::from_secs(60));
    let mut soak = Soak { seed, at_once: args.at_once.max(1), leak: args.leak, ..Soak::default() };
    let mut rests = Vec::new();
    while began.elapsed() < length {
        take_peak();
        let before = soak.total;
        soak.run(Instant::now() + round).await?;
        let rest = Rest::now().await?;
        println!(
            "{:6.1} min  {:6} conversations, {:7} messages, {:>10} heard  at rest: heap {:>9}, {} files, \
             resident {:>9}  largest heap {:>9}",
            began.elapsed().as_secs_f64() / 60.0,
            soak.total.conversations - before.conversations,
            soak.total.messages - before.messages,
            size(soak.total.bytes - before.bytes),
            size(rest.heap),
            rest.files,
            size(rest.resident),
            size(take_peak()),
        );
        rests.push(rest);
    }
    let grown = judge_rests(&rests);
    for why in &grown {
        println!("BROKEN: {why}");
    }
    let Total { conversations, messages, bytes, faults, broken } = soak.total;
    println!(
        "{conversations} conversations ({faults} with a fault), {messages} messages, {} heard, \
         {broken} promises broken",
        size(bytes)
    );
    Ok(if broken == 0 && grown.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Clone, Copy, Default)]
struct Total {
    conversations: u64,
    messages: usize,
    bytes: usize,
    faults: u64,
    broken: u64,
}

#[derive(Default)]
struct Soak {
    seed: u64,
    at_once: usize,
    leak: usize,
    /// The index of the next conversation.
    next: u64,
    total: Total,
}

impl Soak {
    /// Has conversations until it is time, and waits for the last one.
    async fn run(&mut self, until: Instant) -> Res {
        let mut running = JoinSet::new();
        loop {
            while running.len() < self.at_once && Instant::now() < until {
                let (seed, index) = (self.seed, self.next);
                self.next += 1;
                running.spawn(async move { (index, hold(Plan::new(seed, index, Taste::SOAK)).await) });
            }
            let Some(ended) = running.join_next().await else { return Ok(()) };
            let (index, record) = ended?;
            self.count(index, &record?);
        }
    }

    fn count(&mut self, index: u64, record: &Record) {
        for promise in judge(record) {
            self.total.broken += 1;
            println!("BROKEN: {promise} (chaos --soak --seed {} --only {index})", self.seed);
        }
        self.total.conversations += 1;
        self.total.faults +=
            u64::from(record.passage.as_ref().is_some_and(|passage| passage.fault.is_some()));
        for fate in [&record.client, &record.server] {
            let Fate::Ended(outcome) = fate else { continue };
            self.total.messages += outcome.heard.messages;
            self.total.bytes += outcome.heard.all.iter().map(|digest| digest.len as usize).sum::<usize>();
        }
        std::mem::forget(vec![0_u8; self.leak]);
    }
}

/// What the process has when nothing goes on.
struct Rest {
    heap: usize,
    files: usize,
    resident: usize,
}

impl Rest {
    async fn now() -> Res<Self> {
        // Threads that have told their last word are still to end.
        sleep(Duration::from_millis(300)).await;
        Ok(Rest { heap: heap(), files: open_files()?, resident: resident()? })
    }
}

fn judge_rests(rests: &[Rest]) -> Vec<String> {
    let mut broken = Vec::new();
    let third = rests.len() / 3;
    let (first, last) = (median_heap(&rests[..third]), median_heap(&rests[rests.len() - third..]));
    if let (Some(first), Some(last)) = (first, last) {
        println!("heap at rest: {} in the first third, {} in the last one", size(first), size(last));
        if last > first + MARGIN {
            broken.push(format!("the heap at rest has grown from {} to {}", size(first), size(last)));
        }
    }
    if let [first, rest @ ..] = rests
        && let Some(more) = rest.iter().find(|rest| rest.files > first.files)
    {
        broken.push(format!("from {} file descriptors at rest to {}", first.files, more.files));
    }
    broken
}

fn median_heap(rests: &[Rest]) -> Option<usize> {
    let mut heaps: Vec<_> = rests.iter().map(|rest| rest.heap).collect();
    heaps.sort_unstable();
    heaps.get(heaps.len() / 2).copied()
}
