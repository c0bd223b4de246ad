//! Waits until a moment: on tokio's wheel, whose grain is a millisecond, or where the kernel has them on a timer of its own.

use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How a generator waits for the next request's time.
pub enum Timer {
    /// Tokio's wheel: exact to a millisecond, and what paused time moves on.
    Wheel,
    /// The kernel's high-resolution timer (timerfd): exact to some 50 µs, without spinning.
    #[cfg(target_os = "linux")]
    Kernel(Kernel),
}

impl Timer {
    /// The finest that this system has.
    ///
    /// # Errors
    /// No file handle is left.
    pub fn fine() -> io::Result<Timer> {
        #[cfg(target_os = "linux")]
        return Kernel::new().map(Timer::Kernel);
        #[cfg(not(target_os = "linux"))]
        Ok(Timer::Wheel)
    }

    pub(super) async fn until(&self, due: Instant) {
        match self {
            Timer::Wheel => sleep_until(due).await,
            #[cfg(target_os = "linux")]
            Timer::Kernel(kernel) => kernel.until(due).await,
        }
    }
}

#[cfg(target_os = "linux")]
pub struct Kernel {
    timer: nix::sys::timerfd::TimerFd,
    /// A second handle to it, for tokio to wait on: like a pipe's, it becomes readable and gives eight bytes.
    bell: tokio::net::unix::pipe::Receiver,
}

#[cfg(target_os = "linux")]
impl Kernel {
    fn new() -> io::Result<Kernel> {
        use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
        use std::os::fd::AsFd;
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        let handle = timer.as_fd().try_clone_to_owned()?;
        let bell = tokio::net::unix::pipe::Receiver::from_owned_fd_unchecked(handle)?;
        Ok(Kernel { timer, bell })
    }

    async fn until(&self, due: Instant) {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            // Where the kernel refuses its own timer, a millisecond's grain is better than none.
            if self.rings_after(left).await.is_err() {
                return sleep_until(due).await;
            }
        }
    }

    /// Rings once, maybe too early: an earlier ring that nobody waited for any more.
    async fn rings_after(&self, left: Duration) -> io::Result<()> {
        use nix::sys::timerfd::{Expiration, TimerSetTimeFlags};
        let once = Expiration::OneShot(left.into());
        self.timer.set(once, TimerSetTimeFlags::empty())?;
        let mut rings = [0u8; 8];
        loop {
            self.bell.readable().await?;
            match self.bell.try_read(&mut rings) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(|_| ()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_timer_rings_before_its_time_even_after_one_that_nobody_waited_for() {
        let timer = Timer::fine().unwrap();
        let begun = Instant::now();
        for step in 1..=20u32 {
            let due = begun + Duration::from_micros(300) * step;
            // Given up: its ring may come in the midst of the next wait.
            let soon = timer.until(due - Duration::from_micros(100));
            let _ = tokio::time::timeout(Duration::ZERO, soon).await;
            timer.until(due).await;
            assert!(Instant::now() >= due);
        }
    }
}
