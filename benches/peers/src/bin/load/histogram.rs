//! Latencies, counted by size with 64 steps to each power of two: within 1.6 %.

use std::time::Duration;

const STEPS: u64 = 64;

pub struct Histogram(Vec<u64>);

impl Histogram {
    pub fn new() -> Self {
        Histogram(vec![0; 64 * STEPS as usize])
    }

    pub fn add(&mut self, latency: Duration) {
        let nanos = latency.as_nanos() as u64;
        let shift = u64::from((nanos | STEPS).ilog2()) - 6;
        self.0[(shift * STEPS + (nanos >> shift)) as usize] += 1;
    }

    /// The latency that so large a part of all did not exceed.
    pub fn micros(&self, part: f64) -> f64 {
        let wanted = (self.0.iter().sum::<u64>() as f64 * part).ceil() as u64;
        let mut sum = 0;
        let at = self.0.iter().position(|count| {
            sum += count;
            sum >= wanted
        });
        let at = at.unwrap_or_default() as u64;
        let shift = (at / STEPS).saturating_sub(1);
        ((at - shift * STEPS) << shift) as f64 / 1e3
    }
}
