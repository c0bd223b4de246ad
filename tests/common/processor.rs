//! What a measurement has used: processor time of all threads over the number of cores, and memory.

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Processor time from some moment on.
pub struct Watch(Duration);

impl Watch {
    pub fn start() -> Self {
        Self(used())
    }

    /// What a machine of as many cores would have needed with nothing else to do.
    pub fn elapsed(&self) -> Duration {
        used().saturating_sub(self.0)
    }
}

fn used() -> Duration {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let used = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("the clock is there");
    Duration::from(used) / cores as u32
}

/// Most memory this process has had, in MB; Linux tells.
pub fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kb = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kb.unwrap_or(0) / 1024
}
