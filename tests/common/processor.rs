//! What a measurement has used: processor time of all threads over the number of cores, and memory.

use nix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The processor's clock is asked this often at most: asking costs a call of the system, and searches ask all the time.
const ASK: Duration = Duration::from_micros(500);

/// Processor time from some moment on.
pub struct Watch {
    used: Duration,
    began: Instant,
    /// Microseconds on the wall when the processor's clock was last asked, and what it said.
    asked: AtomicU64,
    said: AtomicU64,
}

impl Watch {
    pub fn start() -> Self {
        Self {
            used: used(),
            began: Instant::now(),
            asked: 0.into(),
            said: 0.into(),
        }
    }

    /// What a machine of as many cores would have needed with nothing else to do.
    pub fn elapsed(&self) -> Duration {
        let now = self.began.elapsed().as_micros() as u64;
        if now >= self.asked.load(Relaxed) + ASK.as_micros() as u64 {
            self.asked.store(now, Relaxed);
            let said = used().saturating_sub(self.used);
            self.said.store(said.as_micros() as u64, Relaxed);
        }
        Duration::from_micros(self.said.load(Relaxed))
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
