//! Conversations through a proxy that misbehaves. See `--help`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use stress::Res;
use stress::conversation::{Fate, Record, hold};
use stress::judge::judge;
use stress::plan::{Plan, Taste};
use tokio::task::JoinSet;

/// Has conversations between sansock's own client and server through a TCP proxy on loopback that splits,
/// delays, stalls, resets, half-closes and goes silent.
///
/// Each conversation is decided by the seed and its index: messages, shims, compression, splits, faults and
/// when they happen. What the kernel's and the scheduler's timing adds cannot be repeated.
///
/// Exits with 1 if a promise was broken: a message that is not the one that was sent, a message lost although
/// the end was clean, an end that is not clean although nothing was done to the streams, an error that blames
/// the wrong one, a panic, a hang.
#[derive(Parser)]
struct Args {
    /// What all is decided by; without it the operating system chooses one, which is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// How many conversations to have.
    #[arg(long, default_value_t = 2000)]
    conversations: u64,
    /// How many of them at the same time.
    #[arg(long, default_value_t = 32)]
    at_once: usize,
    /// Begin no new conversation after so many seconds.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Have only the conversation of this index, and print its plan.
    #[arg(long)]
    only: Option<u64>,
    /// Have conversations of the kind that the program "soak" has, such as one that it complained of.
    #[arg(long)]
    soak: bool,
}

#[tokio::main]
async fn main() -> Res<ExitCode> {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let taste = if args.soak { Taste::SOAK } else { Taste::CHAOS };
    let indices = args.only.map_or(0..args.conversations, |index| index..index + 1);
    if let Some(index) = args.only {
        println!("{:#?}", Plan::new(seed, index, taste));
    }
    let until = Instant::now() + Duration::from_secs(args.seconds);
    let (mut tally, mut broken) = (Tally::default(), 0);
    let mut running = JoinSet::new();
    let mut indices = indices.take_while(|_| Instant::now() < until);
    loop {
        while running.len() < args.at_once.max(1)
            && let Some(index) = indices.next()
        {
            let plan = Plan::new(seed, index, taste);
            running.spawn(async move {
                let began = Instant::now();
                (index, hold(plan).await, began.elapsed())
            });
        }
        let Some(ended) = running.join_next().await else { break };
        let (index, record, took) = ended?;
        let record = record?;
        for promise in judge(&record) {
            broken += 1;
            println!("BROKEN: {promise} (--seed {seed} --only {index})");
        }
        if tally.slowest.0 < took {
            tally.slowest = (took, index);
        }
        tally.count(&record);
    }
    tally.print();
    println!("{broken} promises broken");
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What there was, so that one can see whether there was enough of everything.
#[derive(Default)]
struct Tally {
    conversations: u64,
    messages: usize,
    bytes: u64,
    /// How long the slowest conversation took, and which one it was.
    slowest: (Duration, u64),
    kinds: BTreeMap<String, u64>,
}

impl Tally {
    fn count(&mut self, record: &Record) {
        self.conversations += 1;
        let plan = &record.plan;
        self.add(format!("client {:?}, server {:?}", plan.client.shim, plan.server.shim));
        let fired = record.passage.as_ref().and_then(|passage| passage.fault);
        self.add(fired.map_or("no fault".into(), |(fault, _)| format!("{fault:?}")));
        for (end, fate) in [(&plan.client, &record.client), (&plan.server, &record.server)] {
            self.add(format!("{:?} on {:?}", end.style, end.shim));
            let Fate::Ended(outcome) = fate else { continue };
            self.messages += outcome.heard.messages;
            self.bytes += outcome.heard.all.iter().map(|digest| digest.len).sum::<u64>();
            self.add(match &outcome.result {
                Ok(Some(report)) if report.clean => "ended cleanly".into(),
                Ok(_) => "ended uncleanly".into(),
                Err(error) => format!("ended with: {error}"),
            });
        }
    }

    fn add(&mut self, kind: String) {
        *self.kinds.entry(kind).or_default() += 1;
    }

    fn print(&self) {
        println!(
            "{} conversations, {} messages heard, {:.1} MiB",
            self.conversations,
            self.messages,
            self.bytes as f64 / 1_048_576.0
        );
        println!("the slowest: {} after {:.1} s", self.slowest.1, self.slowest.0.as_secs_f64());
        for (kind, count) in &self.kinds {
            println!("{count:8}  {kind}");
        }
    }
}
