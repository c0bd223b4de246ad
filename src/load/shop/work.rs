//! The work of a request: real CPU time, held to the instance's share of a core; and the door in front of it.

use nix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

/// CPU credit as a cgroup's quota gives it: it grows with time up to what one period grants, and a debt must be waited out.
#[derive(Clone, Debug)]
pub struct Quota {
    /// CPU seconds a second.
    share: f64,
    /// CPU seconds left, at the moment `at`.
    credit: f64,
    at: Instant,
}

/// The period of Linux's CPU bandwidth control.
const PERIOD: f64 = 0.1;

impl Quota {
    pub fn new(share: f64, now: Instant) -> Self {
        Self {
            share,
            credit: share * PERIOD,
            at: now,
        }
    }

    /// Pays for CPU time used until `now` on a node that gives `speed` of what it should (1: all); says how long the instance
    /// is throttled for it.
    pub fn pay(&mut self, used: Duration, speed: f64, now: Instant) -> Duration {
        let share = self.share * speed;
        let grown = now.saturating_duration_since(self.at).as_secs_f64() * share;
        self.credit = (self.credit + grown).min(share * PERIOD) - used.as_secs_f64();
        self.at = now;
        Duration::from_secs_f64((-self.credit).max(0.0) / share)
    }
}

/// How much of its speed the node gives, read from a file now and then.
#[derive(Clone, Debug)]
pub struct Speed {
    file: Option<PathBuf>,
    part: f64,
    read: Option<Instant>,
}

impl Speed {
    /// The file is looked at so often.
    const EVERY: Duration = Duration::from_millis(250);
    /// A node never stands still: a throttled request ends some time.
    const LEAST: f64 = 0.01;

    pub fn new(file: Option<PathBuf>) -> Self {
        Self {
            file,
            part: 1.0,
            read: None,
        }
    }

    /// The part of its speed that the node gives at `now`: all of it where no file says otherwise.
    pub fn at(&mut self, now: Instant) -> f64 {
        let fresh = |read: Instant| now.saturating_duration_since(read) < Self::EVERY;
        let Some(file) = self.file.as_ref().filter(|_| !self.read.is_some_and(fresh)) else {
            return self.part;
        };
        self.read = Some(now);
        let said = std::fs::read_to_string(file).ok();
        let part = said.and_then(|text| text.trim().parse::<f64>().ok());
        self.part = part.map_or(1.0, |p| p.clamp(Self::LEAST, 1.0));
        self.part
    }
}

/// One thread that burns CPU for one request after another. Ends when dropped.
pub struct Worker {
    jobs: mpsc::Sender<oneshot::Sender<()>>,
}

impl Worker {
    /// `each`: CPU time of a request; `share`: CPU seconds a second, or `None` for no limit.
    pub fn start(each: Duration, share: Option<f64>, speed: Speed) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<oneshot::Sender<()>>();
        std::thread::Builder::new()
            .name("shop-work".into())
            .stack_size(64 * 1024)
            .spawn(move || work(&queue, each, share, speed))?;
        Ok(Self { jobs })
    }

    /// Does one request's work; returns when it is done and paid for.
    pub async fn request(&self) {
        let (done, wait) = oneshot::channel();
        // Both fail only when the thread has died of a panic, which has then been printed: go on without work.
        if self.jobs.send(done).is_ok() {
            let _ = wait.await;
        }
    }
}

fn work(
    queue: &mpsc::Receiver<oneshot::Sender<()>>,
    each: Duration,
    share: Option<f64>,
    mut speed: Speed,
) {
    let mut quota = share.map(|share| Quota::new(share, Instant::now()));
    while let Ok(done) = queue.recv() {
        if done.is_closed() {
            continue; // the caller has given up: nobody wants this work
        }
        burn(each);
        if let Some(quota) = &mut quota {
            let now = Instant::now();
            std::thread::sleep(quota.pay(each, speed.at(now), now));
        }
        let _ = done.send(());
    }
}

/// Computes until this thread has used so much CPU time; time in which others had the core does not count.
fn burn(cpu: Duration) {
    let Some(end) = thread_cpu_time().map(|now| now + cpu) else {
        return;
    };
    let mut x = 1_u64;
    while thread_cpu_time().is_some_and(|now| now < end) {
        for _ in 0..500 {
            x = black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
}

fn thread_cpu_time() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .ok()
        .map(Duration::from)
}

/// Lets a number of requests in, keeps some more waiting, and turns the rest away.
pub struct Door {
    inside: Semaphore,
    near: Semaphore,
}

impl Door {
    pub fn new(inside: usize, waiting: usize) -> Self {
        Self {
            inside: Semaphore::new(inside),
            near: Semaphore::new(inside.saturating_add(waiting).min(Semaphore::MAX_PERMITS)),
        }
    }

    /// Waits for a place inside; `None` at once when too many wait already. The place is kept until the permits are dropped.
    pub async fn enter(&self) -> Option<(SemaphorePermit<'_>, SemaphorePermit<'_>)> {
        let near = self.near.try_acquire().ok()?;
        let inside = self.inside.acquire().await.ok()?;
        Some((inside, near))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn an_instance_gets_its_share_of_a_core_and_no_more_whatever_is_asked_of_it() {
        // 100 MHz of 2000, 1.6 ms a request: 31.25 requests a second, however many are waiting.
        let start = Instant::now();
        let each = Duration::from_micros(1600);
        let mut quota = Quota::new(0.05, start);
        let mut now = start;
        for _ in 0..1000 {
            now += each;
            now += quota.pay(each, 1.0, now);
        }
        let rate = 1000.0 / (now - start).as_secs_f64();
        // The first period's credit is 3 requests ahead.
        assert!((31.25..31.40).contains(&rate), "{rate}");
    }

    #[test]
    fn below_its_share_an_instance_is_not_throttled_and_credit_does_not_pile_up() {
        let mut now = Instant::now();
        let each = Duration::from_micros(1600);
        let mut quota = Quota::new(0.05, now);
        for _ in 0..100 {
            now += Duration::from_millis(40);
            assert_eq!(quota.pay(each, 1.0, now), Duration::ZERO);
        }
        now += Duration::from_secs(3600);
        let throttled = (0..5)
            .filter(|_| !quota.pay(each, 1.0, now).is_zero())
            .count();
        assert_eq!(throttled, 2, "one period's credit is worth 3 requests");
    }

    #[test]
    fn on_a_node_that_gives_a_quarter_of_its_speed_an_instance_does_a_quarter_of_its_work() {
        let start = Instant::now();
        let each = Duration::from_micros(1600);
        let mut quota = Quota::new(0.05, start);
        let mut now = start;
        for _ in 0..1000 {
            now += each;
            now += quota.pay(each, 0.25, now);
        }
        let rate = 1000.0 / (now - start).as_secs_f64();
        assert!((7.8..7.9).contains(&rate), "{rate}");
    }

    #[test]
    fn the_speed_is_what_the_file_says_and_all_of_it_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("speed");
        let mut speed = Speed::new(Some(file.clone()));
        let start = Instant::now();
        assert_eq!(speed.at(start), 1.0);
        std::fs::write(&file, "0.25\n").unwrap();
        assert_eq!(speed.at(start), 1.0, "it is not looked at again yet");
        assert_eq!(speed.at(start + Speed::EVERY), 0.25);
        std::fs::write(&file, "nothing").unwrap();
        assert_eq!(speed.at(start + Speed::EVERY * 2), 1.0);
        assert_eq!(Speed::new(None).at(start), 1.0);
    }

    #[test]
    fn burning_uses_the_cpu_time_it_was_asked_to() {
        let before = thread_cpu_time().unwrap();
        burn(Duration::from_millis(3));
        assert!(thread_cpu_time().unwrap() - before >= Duration::from_millis(3));
    }

    #[test]
    fn the_door_lets_in_keeps_waiting_and_turns_away() {
        let door = Door::new(1, 1);
        let first = door.enter().now_or_never().unwrap().unwrap();
        let mut second = Box::pin(door.enter());
        assert!(second.as_mut().now_or_never().is_none(), "waits");
        assert!(
            door.enter().now_or_never().unwrap().is_none(),
            "turned away"
        );
        drop(first);
        assert!(second.now_or_never().unwrap().is_some());
    }
}
