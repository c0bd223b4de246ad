//! Retention: what is old is kept as averages, what is older is let go, and the file gives back what it no longer needs.

use super::{Error, Store};
use crate::model::{Moment, Span};
use rusqlite::{Transaction, params};

const DAY: i64 = 86_400_000;
/// Widths of the averages.
const FIVE_MINUTES: i64 = 300_000;
const HOUR: i64 = 3_600_000;
/// Readings as they came, unless somebody says otherwise: a week, which forecasts fit on, and a day.
pub const READINGS: Span = Span(8 * DAY);

/// How long what is kept, all in proportion to how long readings are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retention {
    readings: i64,
}

impl Retention {
    pub(super) fn of(readings: Span) -> Retention {
        Retention {
            readings: readings.0.max(FIVE_MINUTES),
        }
    }
    /// Averages over five minutes: of two months by default, what a month-long season and hourly fits look at.
    fn fives(self) -> Span {
        Span(self.readings * 31 / 4)
    }
    /// Averages over an hour, and how nodes and sites fared: of a year and the one before.
    fn hours(self) -> i64 {
        self.readings * 100
    }
    /// Measurements, lessons, and journal entries of steps that have ended: of a quarter.
    fn rest(self) -> i64 {
        self.readings * 45 / 4
    }
}

/// Time rolled up in one transaction: whoever else writes waits no longer for one.
const AT_ONCE: i64 = 6 * HOUR;
/// Pages given back to the disk at once.
const PAGES: u32 = 4_000;

/// What one pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Readings and averages that became wider averages.
    pub rolled: usize,
    /// Rows that were too old to be kept.
    pub dropped: usize,
}

impl Store {
    /// Keeps readings as they came for so long, five minutes at the least, and everything else in proportion.
    #[must_use]
    pub fn keeping(mut self, readings: Span) -> Store {
        self.retention = Retention::of(readings);
        self
    }

    /// How often it should be rolled up, so that it holds no more than a quarter beyond its time; an hour at the most.
    pub fn compact_every(&self) -> Span {
        Span((self.retention.readings / 4).min(HOUR))
    }

    /// Rolls up and drops what is past its time at `now`. Interrupted anywhere it loses nothing: each piece is one transaction.
    pub fn compact(&self, now: Moment) -> Result<Compacted, Error> {
        let write = |source| Error::Write {
            what: "rolled-up history",
            source,
        };
        let mut done = Compacted::default();
        loop {
            let rolled = self.with(|connection| {
                let transaction = connection.transaction().map_err(write)?;
                let rolled = readings(&transaction, now, self.retention).map_err(write)?
                    + fives(&transaction, now, self.retention).map_err(write)?;
                transaction.commit().map_err(write)?;
                Ok(rolled)
            })?;
            done.rolled += rolled;
            if rolled == 0 {
                break;
            }
        }
        done.dropped = self.with(|connection| {
            let transaction = connection.transaction().map_err(write)?;
            let dropped = drop_old(&transaction, now, self.retention).map_err(write)?;
            transaction.commit().map_err(write)?;
            let reclaim = format!("PRAGMA incremental_vacuum({PAGES})");
            connection.execute_batch(&reclaim).map_err(write)?;
            Ok(dropped)
        })?;
        Ok(done)
    }

    /// Bytes that the store's pages take.
    pub fn size(&self) -> Result<u64, Error> {
        let read = |source| Error::Read {
            what: "its size",
            source,
        };
        self.with(|connection| {
            let number = |what: &str| {
                connection.query_row(&format!("PRAGMA {what}"), [], |row| row.get::<_, i64>(0))
            };
            let pages = number("page_count").map_err(read)?;
            let size = pages * number("page_size").map_err(read)?;
            Ok(size.unsigned_abs())
        })
    }
}

/// The end of the piece to roll up next: `AT_ONCE` from the oldest row, at most what is past its time; whole averages only.
fn until(oldest: Option<i64>, now: Moment, keep: Span, width: i64) -> Option<i64> {
    let due = (now.0 - keep.0).div_euclid(width) * width;
    let oldest = oldest?.div_euclid(width).saturating_mul(width);
    (oldest < due).then(|| due.min(oldest + AT_ONCE))
}

/// Joins with what a late row may have left there before.
const PUT: &str = "ON CONFLICT (width, series, at) DO UPDATE SET
    rate = (rate * n + excluded.rate * excluded.n) / (n + excluded.n), n = n + excluded.n";

fn readings(transaction: &Transaction, now: Moment, keep: Retention) -> rusqlite::Result<usize> {
    // The oldest of each series is the first of its rows: no scan.
    let oldest = "SELECT min((SELECT at FROM reading WHERE series = series.id ORDER BY at LIMIT 1)) FROM series";
    let oldest = transaction.query_row(oldest, [], |row| row.get(0))?;
    let Some(until) = until(oldest, now, Span(keep.readings), FIVE_MINUTES) else {
        return Ok(0);
    };
    let sql = format!(
        "INSERT INTO rolled (width, series, at, rate, n)
         SELECT ?1, series, at / ?1 * ?1, avg(rate), count(rate) FROM reading
         WHERE series IN (SELECT id FROM series) AND at < ?2 AND rate IS NOT NULL GROUP BY series, at / ?1 {PUT}"
    );
    transaction.execute(&sql, params![FIVE_MINUTES, until])?;
    let gone = "DELETE FROM reading WHERE series IN (SELECT id FROM series) AND at < ?1";
    transaction.execute(gone, [until])
}

fn fives(transaction: &Transaction, now: Moment, keep: Retention) -> rusqlite::Result<usize> {
    let oldest = "SELECT min((SELECT at FROM rolled WHERE width = ?1 AND series = series.id ORDER BY at LIMIT 1)) FROM series";
    let oldest = transaction.query_row(oldest, [FIVE_MINUTES], |row| row.get(0))?;
    let Some(until) = until(oldest, now, keep.fives(), HOUR) else {
        return Ok(0);
    };
    let sql = format!(
        "INSERT INTO rolled (width, series, at, rate, n)
         SELECT ?1, series, at / ?1 * ?1, sum(rate * n) / sum(n), sum(n) FROM rolled
         WHERE width = ?2 AND series IN (SELECT id FROM series) AND at < ?3 GROUP BY series, at / ?1 {PUT}"
    );
    transaction.execute(&sql, params![HOUR, FIVE_MINUTES, until])?;
    let gone =
        "DELETE FROM rolled WHERE width = ?1 AND series IN (SELECT id FROM series) AND at < ?2";
    transaction.execute(gone, params![FIVE_MINUTES, until])
}

fn drop_old(transaction: &Transaction, now: Moment, keep: Retention) -> rusqlite::Result<usize> {
    let hours =
        "DELETE FROM rolled WHERE width = ?1 AND series IN (SELECT id FROM series) AND at < ?2";
    let mut dropped = transaction.execute(hours, params![HOUR, now.0 - keep.hours()])?;
    dropped += transaction.execute(
        "DELETE FROM availability WHERE at < ?1",
        [now.0 - keep.hours()],
    )?;
    for table in ["measurement", "lesson"] {
        let old = format!("DELETE FROM {table} WHERE at < ?1");
        dropped += transaction.execute(&old, [now.0 - keep.rest()])?;
    }
    // A step that has not come to its end stays, however old it is.
    let ended = "DELETE FROM journal WHERE at < ?1 AND step IN (
        SELECT step FROM journal WHERE state IN ('Verified', 'Undone', 'Stuck', 'Refused') AND at < ?1)";
    Ok(dropped + transaction.execute(ended, [now.0 - keep.rest()])?)
}
