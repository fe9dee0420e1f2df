//! The load: plain epoll, frames encoded once, and no WebSocket library. Prints a line of JSON.
//!
//! ```text
//! load ADDRESS [--conns N] [--size BYTES] [--depth N] [--secs S | --msgs N] [--pid SERVER] [--raw] [--idle]
//! ```
//!
//! - `--depth N`: so many messages of each connection are under way.
//! - `--msgs N`: exactly so many messages in all, without a clock, to count system calls by.
//! - `--pid SERVER`: whose CPU time and memory to look at.
//! - `--raw`: the frames come back as they were sent, masked.
//! - `--idle`: opens the connections and reports the memory of the server for each, fresh and after a
//!   message was echoed on each.

mod conn;
mod histogram;
mod process;

use std::thread::sleep;
use std::time::{Duration, Instant};

use peers::Res;
use peers::args::Args;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use conn::{Conn, connect};
use histogram::Histogram;
use process::{Used, resident};

const OPTIONS: [&str; 8] = ["--conns", "--size", "--depth", "--secs", "--msgs", "--pid", "--raw", "--idle"];
const WARM_UP: Duration = Duration::from_millis(500);
const STALLED: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

fn main() -> Res {
    let args = Args::new();
    args.allow(&OPTIONS)?;
    let [addr] = args.words()[..] else { return Err("an address?".into()) };
    let conns = args.number("--conns", 1)?;
    let (size, depth) = (args.number("--size", 32)?, args.number("--depth", 1)?);
    let pid = args.get("--pid");
    let open = || (0..conns).map(|id| Conn::new(addr, id, size, depth, args.has("--raw"))).collect();
    if args.has("--idle") {
        return idle(addr, open, pid.ok_or("--pid?")?);
    }
    let mut all: Vec<Conn> = open()?;
    let mut run = Run { all: &mut all, depth, histogram: Histogram::new(), messages: 0 };
    if args.has("--msgs") {
        run.go(args.number("--msgs", 0)?, |_| Ok(false))?;
        println!("{{\"conns\":{conns},\"size\":{size},\"depth\":{depth},\"msgs\":{}}}", run.messages);
        return Ok(());
    }
    let length = Duration::from_secs_f64(args.number("--secs", 3.0)?);
    let used = || pid.map_or(Ok(Used::default()), Used::of);
    let (started, mut window) = (Instant::now(), None);
    run.go(u64::MAX, |run| {
        let now = Instant::now();
        match window {
            None if now - started >= WARM_UP => {
                window = Some((now, used()?));
                (run.histogram, run.messages) = (Histogram::new(), 0);
            }
            Some((since, _)) if now - since >= length => return Ok(true),
            _ => {}
        }
        Ok(false)
    })?;
    let (since, before) = window.ok_or("no time to measure")?;
    let took = since.elapsed().as_secs_f64();
    let used = used()? - before;
    let messages = run.messages as f64;
    println!(
        "{{\"conns\":{conns},\"size\":{size},\"depth\":{depth},\"msgs\":{},\"secs\":{took:.3},\
         \"msgs_per_s\":{:.0},\"p50_us\":{:.1},\"p99_us\":{:.1},\"p999_us\":{:.1},\
         \"cpu_us_per_msg\":{:.3},\"user_us_per_msg\":{:.3},\"server_util\":{:.3},\"faults_per_msg\":{:.3}}}",
        run.messages,
        messages / took,
        run.histogram.micros(0.5),
        run.histogram.micros(0.99),
        run.histogram.micros(0.999),
        (used.user + used.system) / messages * 1e6,
        used.user / messages * 1e6,
        (used.user + used.system) / took,
        used.faults / messages,
    );
    Ok(())
}

struct Run<'a> {
    all: &'a mut [Conn],
    depth: usize,
    histogram: Histogram,
    /// How many came back.
    messages: u64,
}

impl Run<'_> {
    /// Keeps `depth` messages of each connection under way, until `most` have been sent and come back, or
    /// `is_over` says so after a round.
    fn go(&mut self, most: u64, mut is_over: impl FnMut(&mut Self) -> Res<bool>) -> Res {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut sent = 0;
        for (id, conn) in self.all.iter_mut().enumerate() {
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
            epoll::add(&poll, &conn.tcp, EventData::new_u64(id as u64), flags)?;
            let now = self.depth.min(usize::try_from(most - sent)?);
            sent += now as u64;
            conn.queue(now, Instant::now());
            conn.write()?;
        }
        let (mut events, mut buffer) = (Vec::with_capacity(1024), vec![0; 256 << 10]);
        while self.messages < most {
            events.clear();
            if epoll::wait(&poll, spare_capacity(&mut events), Some(&STALLED))? == 0 {
                return Err("the server has stalled".into());
            }
            for event in &events {
                let conn = &mut self.all[usize::try_from(event.data.u64())?];
                while let Some(read) = conn.read(&mut buffer)? {
                    let done = conn.receive(&buffer[..read])?;
                    if done > 0 {
                        let now = Instant::now();
                        conn.answered(done, |since| self.histogram.add(now - since));
                        self.messages += done as u64;
                        let next = done.min(usize::try_from(most - sent)?);
                        sent += next as u64;
                        conn.queue(next, now);
                    }
                    // A short read has emptied the socket: the next edge will tell.
                    if read < buffer.len() {
                        break;
                    }
                }
                conn.write()?;
            }
            if is_over(self)? {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn idle(addr: &str, open: impl FnOnce() -> Res<Vec<Conn>>, pid: &str) -> Res {
    let settled = || {
        sleep(Duration::from_millis(500));
        resident(pid)
    };
    drop(connect(addr)?); // what the first connection costs once
    let before = settled()?;
    let mut all = open()?;
    let fresh = settled()?;
    let mut buffer = vec![0; 64 << 10];
    for conn in &mut all {
        conn.tcp.set_nonblocking(false)?;
        conn.queue(1, Instant::now());
        conn.write()?;
        let mut done = 0;
        while done == 0 {
            let read = conn.read(&mut buffer)?.ok_or("no answer")?;
            done = conn.receive(&buffer[..read])?;
        }
    }
    let used = settled()?;
    let each = |bytes: f64| (bytes - before) / all.len() as f64;
    println!(
        "{{\"conns\":{},\"bytes_fresh\":{:.0},\"bytes_used\":{:.0}}}",
        all.len(),
        each(fresh),
        each(used)
    );
    Ok(())
}
