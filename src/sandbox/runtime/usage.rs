//! What process groups use, from /proc/<pid>/stat.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// `AT_PAGESZ` and `AT_CLKTCK` of the auxiliary vector, and what they are nearly everywhere.
const PAGE_BYTES: (u64, u64) = (6, 4096);
const TICKS_PER_SECOND: (u64, u64) = (17, 100);
/// A table younger than this is not read again.
const FRESH: Duration = Duration::from_millis(400);

/// A line of /proc/<pid>/stat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub group: u32,
    /// Clock ticks in user and kernel mode, those of reaped children with them.
    pub ticks: u64,
    pub rss_pages: u64,
}

/// All processes of the machine.
pub fn processes() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok())
        .filter_map(|stat| parse(&stat))
        .collect()
}

fn parse(stat: &str) -> Option<Process> {
    // The name may hold spaces and parentheses, so count from its end.
    let (head, rest) = stat.rsplit_once(')')?;
    let pid = head.split_once(' ')?.0.parse().ok()?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let gone = fields
        .first()
        .is_some_and(|state| matches!(*state, "Z" | "X"));
    Some(Process {
        pid,
        group: fields.get(2)?.parse().ok()?,
        ticks: number(11)? + number(12)? + number(13)? + number(14)?,
        rss_pages: if gone { 0 } else { number(21)? },
    })
}

/// What a process group has used until `at`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub at: Instant,
    pub cpu: Duration,
    pub rss_bytes: u64,
}

/// Samples of all process groups, read once for all who ask at about the same time.
pub(super) struct Meter {
    page_bytes: u64,
    ticks_per_second: u64,
    read_at: Option<Instant>,
    groups: BTreeMap<u32, Sample>,
}

impl Meter {
    pub(super) fn new() -> Meter {
        let auxv = std::fs::read("/proc/self/auxv").unwrap_or_default();
        let known = |(key, usual): (u64, u64)| auxiliary(&auxv, key).unwrap_or(usual);
        Meter {
            page_bytes: known(PAGE_BYTES),
            ticks_per_second: known(TICKS_PER_SECOND),
            read_at: None,
            groups: BTreeMap::new(),
        }
    }

    /// The latest sample of a group; `None` when none of it is left.
    pub(super) fn sample(&mut self, group: u32, now: Instant) -> Option<Sample> {
        let fresh = |at: Instant| now.saturating_duration_since(at) < FRESH;
        if !(self.read_at.is_some_and(fresh) && self.groups.contains_key(&group)) {
            self.read(now);
        }
        self.groups.get(&group).copied()
    }

    fn read(&mut self, now: Instant) {
        let mut used: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for p in processes() {
            let (ticks, pages) = used.entry(p.group).or_default();
            *ticks += p.ticks;
            *pages += p.rss_pages;
        }
        let sample = |(ticks, pages): (u64, u64)| Sample {
            at: now,
            cpu: Duration::from_millis(ticks * 1000 / self.ticks_per_second.max(1)),
            rss_bytes: pages * self.page_bytes,
        };
        self.groups = used.into_iter().map(|(g, u)| (g, sample(u))).collect();
        self.read_at = Some(now);
    }
}

/// A value of the auxiliary vector: pairs of machine words.
fn auxiliary(auxv: &[u8], key: u64) -> Option<u64> {
    const WORD: usize = size_of::<usize>();
    let word = |bytes: &[u8]| Some(usize::from_ne_bytes(bytes.try_into().ok()?) as u64);
    auxv.chunks_exact(2 * WORD)
        .find(|pair| word(&pair[..WORD]) == Some(key))
        .and_then(|pair| word(&pair[WORD..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "4711 (a (b) c) S 1 4700 4700 0 -1 4194560 100 0 0 0 7 5 2 1 20 0 1 0 100 1000000 250 18446744073709551615 1 1\n";
        let expected = Process {
            pid: 4711,
            group: 4700,
            ticks: 15,
            rss_pages: 250,
        };
        assert_eq!(parse(stat), Some(expected));
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn this_process_is_in_the_table_and_has_memory() {
        let me = std::process::id();
        let here = processes().into_iter().find(|p| p.pid == me).unwrap();
        assert!(here.rss_pages > 0);
        let mut meter = Meter::new();
        assert!(meter.page_bytes.is_power_of_two());
        let sample = meter.sample(here.group, Instant::now()).unwrap();
        assert!(sample.rss_bytes >= here.rss_pages * 1024);
    }
}
