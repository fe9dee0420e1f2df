//! What a process has used, as the kernel says.

use std::fs::read_to_string;
use std::ops::Sub;

use peers::Res;
use rustix::param::clock_ticks_per_second;

/// CPU time in seconds, and page faults, of all threads.
#[derive(Clone, Copy, Default)]
pub struct Used {
    pub user: f64,
    pub system: f64,
    /// Pages that were not there when they were touched: memory that is given back and fetched again.
    pub faults: f64,
}

impl Used {
    pub fn of(pid: &str) -> Res<Used> {
        let stat = read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in parentheses, may hold spaces.
        let fields: Vec<_> = stat.rsplit_once(')').ok_or("no stat")?.1.split_whitespace().collect();
        let seconds =
            |at: usize| -> Res<f64> { Ok(fields[at].parse::<f64>()? / clock_ticks_per_second() as f64) };
        Ok(Used { user: seconds(11)?, system: seconds(12)?, faults: fields[7].parse()? })
    }
}

impl Sub for Used {
    type Output = Used;

    fn sub(self, before: Used) -> Used {
        Used {
            user: self.user - before.user,
            system: self.system - before.system,
            faults: self.faults - before.faults,
        }
    }
}

/// Resident memory, in bytes.
pub fn resident(pid: &str) -> Res<f64> {
    let status = read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().strip_suffix(" kB").ok_or("no kB")?.trim().parse::<f64>()? * 1024.0)
}
