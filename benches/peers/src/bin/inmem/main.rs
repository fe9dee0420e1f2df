//! What each library costs in memory.
//!
//! ```text
//! inmem                                             everything
//! inmem --peer 'sansock*,wtx' --case recv_server --size 16,125 --passes 21
//! inmem --json FILE                                 appends the figures to FILE as well, a line each
//! inmem --once --peer P --case C --size S [--msgs N]     nothing but one bare pass, for a profiler
//! inmem --about                                     the peers with version and buffers, as lines of JSON
//! ```
//!
//! `--peer`, `--case` and `--size` take lists with commas, and a star for any ending. The floor always
//! runs, since ratios are to it. `limit` is a case too: the work alone, without frames.

mod alloc;
mod job;
mod limit;

use std::fs::{File, OpenOptions};
use std::io::Write;

use peers::Res;
use peers::args::Args;
use peers::clock::{median, thread_nanos};
use peers::mem::Sink;
use peers::table::{FLOOR, MEMORY, Peer};

use job::{CASES, Case, Job, messages};

#[global_allocator]
static ALLOC: alloc::Counting = alloc::Counting;

const SIZES: [usize; 6] = [16, 125, 1 << 10, 16 << 10, 64 << 10, 1 << 20];
const OPTIONS: [&str; 8] =
    ["--peer", "--case", "--size", "--passes", "--json", "--once", "--msgs", "--about"];

/// What is timed, and what came of it.
pub struct Row<'a> {
    pub name: &'static str,
    pub run: Box<dyn FnMut() + 'a>,
    nanos: Vec<f64>,
}

impl<'a> Row<'a> {
    pub fn new(name: &'static str, run: impl FnMut() + 'a) -> Self {
        Row { name, run: Box::new(run), nanos: Vec::new() }
    }
}

/// Times all rows in turns, so that what slows the machine down slows all of them; each pass begins with
/// another row, so that none always follows the same one.
fn time(rows: &mut [Row<'_>], passes: usize) {
    rows.iter_mut().for_each(|row| (row.run)());
    for pass in 0..passes {
        for at in 0..rows.len() {
            let at = (at + pass) % rows.len();
            let row = &mut rows[at];
            let start = thread_nanos();
            (row.run)();
            row.nanos.push(thread_nanos() - start);
        }
    }
}

struct Report {
    json: Option<File>,
}

impl Report {
    /// Prints the rows of a case and size; the first one is what ratios are to.
    fn print(&mut self, case: &str, size: usize, n: usize, rows: &mut [Row<'_>], has_floor: bool) -> Res {
        println!("\n{case}, {size} B");
        let head = ["ns/message", "best", "to floor", "GiB/s", "allocs/msg", "bytes/msg"];
        println!(
            "{:26} {:>11} {:>11} {:>9} {:>9} {:>11} {:>11}",
            "", head[0], head[1], head[2], head[3], head[4], head[5]
        );
        let floor = rows[0].nanos.clone();
        for row in rows {
            let per_message = |nanos: f64| nanos / n as f64;
            let nanos = per_message(median(&row.nanos));
            let best = per_message(row.nanos.iter().copied().fold(f64::INFINITY, f64::min));
            // The ratio within a pass, whose rows ran one after another.
            let ratios: Vec<_> = row.nanos.iter().zip(&floor).map(|(nanos, floor)| nanos / floor).collect();
            let ratio = has_floor.then(|| median(&ratios));
            let (allocs, bytes) = alloc::count(&mut row.run);
            let (allocs, bytes) = (allocs as f64 / n as f64, bytes as f64 / n as f64);
            let speed = size as f64 / nanos * 1e9 / f64::from(1 << 30);
            let shown = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
            println!(
                "{:26} {nanos:11.1} {best:11.1} {shown:>9} {speed:9.2} {allocs:11.3} {bytes:11.1}",
                row.name
            );
            if let Some(json) = &mut self.json {
                let ratio = ratio.map_or("null".into(), |ratio| format!("{ratio:.3}"));
                writeln!(
                    json,
                    "{{\"peer\":\"{}\",\"case\":\"{case}\",\"size\":{size},\"msgs\":{n},\
                     \"passes\":{},\"ns_per_msg\":{nanos:.2},\"best_ns\":{best:.2},\"to_floor\":{ratio},\
                     \"allocs_per_msg\":{allocs:.3},\"bytes_alloc_per_msg\":{bytes:.1}}}",
                    row.name,
                    row.nanos.len(),
                )?;
            }
        }
        Ok(())
    }
}

fn measure(case: Case, size: usize, peers: &[Peer], passes: usize, report: &mut Report) -> Res<usize> {
    let (job, n, mut failed) = (Job::new(case, size), messages(size), 0);
    let mut rows = Vec::new();
    for &peer in [FLOOR].iter().chain(peers) {
        match job.verify(peer, n) {
            Ok(()) => {
                let job = &job;
                rows.push(Row::new(peer.name, move || job.run(peer, n, &mut Sink::default()).unwrap()));
            }
            Err(error) => {
                eprintln!("{} fails {} at {size} B: {error}", peer.name, case.name);
                failed += 1;
            }
        }
    }
    time(&mut rows, passes);
    report.print(case.name, size, n, &mut rows, true)?;
    Ok(failed)
}

fn about() {
    for peer in [FLOOR].iter().chain(MEMORY) {
        println!(
            "{{\"peer\":\"{}\",\"package\":\"{}\",\"version\":\"{}\",\"complete\":{},\"checks_utf8\":{},\"setup\":\"{}\"}}",
            peer.name,
            peer.about.package,
            peer.about.version(),
            peer.about.is_complete,
            job::checks_utf8(*peer),
            peer.about.setup,
        );
    }
}

fn main() -> Res {
    let args = Args::new();
    args.allow(&OPTIONS)?;
    if args.has("--about") {
        about();
        return Ok(());
    }
    let sizes: Vec<_> = SIZES.into_iter().filter(|size| args.wants("--size", &size.to_string())).collect();
    let peers: Vec<_> = MEMORY.iter().copied().filter(|peer| args.wants("--peer", peer.name)).collect();
    let cases: Vec<_> = CASES.into_iter().filter(|case| args.wants("--case", case.name)).collect();
    let with_limit = args.wants("--case", "limit");
    if sizes.is_empty() || (cases.is_empty() && !with_limit) {
        return Err("no such case or size".into());
    }
    if args.has("--once") {
        let all: Vec<_> =
            [FLOOR].iter().chain(MEMORY).filter(|peer| args.wants("--peer", peer.name)).collect();
        let [peer] = all[..] else { return Err("--once takes one --peer".into()) };
        let n = args.number("--msgs", messages(sizes[0]))?;
        return Job::new(cases[0], sizes[0]).run(*peer, n, &mut Sink::default());
    }
    let passes: usize = args.number("--passes", 9)?.max(1);
    let open = |path| OpenOptions::new().create(true).append(true).open(path);
    let mut report = Report { json: args.get("--json").map(open).transpose()? };
    println!("medians of {passes} passes in turns, in CPU time of the thread\n");
    for peer in &peers {
        println!("{:20} {:8} {}", peer.name, peer.about.version(), peer.about.setup);
    }
    let mut failed = 0;
    for size in sizes {
        if with_limit {
            let mut rows = limit::rows(size, messages(size));
            time(&mut rows, passes);
            report.print("limit", size, messages(size), &mut rows, false)?;
        }
        for &case in &cases {
            failed += measure(case, size, &peers, passes, &mut report)?;
        }
    }
    if failed > 0 { Err(format!("{failed} rows failed").into()) } else { Ok(()) }
}
