//! What cycles wanted remembered, written in one transaction, and read back at a start.

use super::{Error, Store};
use crate::model::*;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::collections::{BTreeMap, BTreeSet};

impl Store {
    /// Keeps all of it or, on an error, nothing.
    pub fn remember(&self, memos: &[Memo]) -> Result<(), Error> {
        if memos.is_empty() {
            return Ok(());
        }
        let write = |source| Error::Write {
            what: "a cycle's memory",
            source,
        };
        self.with(|connection| {
            let transaction = connection.transaction().map_err(write)?;
            for memo in memos {
                keep(&transaction, memo).map_err(write)?;
            }
            transaction.commit().map_err(write)
        })
    }

    /// Demand at the step given (several samples in one step are averaged, a step without any is a gap), and failures.
    pub fn history(&self, step: Span, since: Moment) -> Result<History, Error> {
        self.history_between(step, since, Moment(i64::MAX))
    }

    pub(super) fn history_between(
        &self,
        step: Span,
        since: Moment,
        until: Moment,
    ) -> Result<History, Error> {
        let read = |source| Error::Read {
            what: "history",
            source,
        };
        self.with(|connection| {
            let samples = samples(connection, (since, until), None).map_err(read)?;
            let availability = availability(connection).map_err(read)?;
            let watched_since = samples
                .values()
                .filter_map(|s| s.iter().map(|p| p.at).min())
                .chain(availability.first().map(|a| a.at))
                .min()
                .unwrap_or_default();
            Ok(History {
                demand: samples
                    .into_iter()
                    .map(|(id, points)| (id, regular(&points, step)))
                    .collect(),
                availability,
                watched_since,
            })
        })
    }

    /// Of each workload's portions the demand of its last four weeks of seasons at its step, and how nodes and sites fared.
    pub fn histories(&self, policies: &[Policy], now: Moment) -> Result<History, Error> {
        let mut all = History::default();
        let mut alike: BTreeMap<(Span, Span), BTreeSet<&PortionId>> = BTreeMap::new();
        for policy in policies {
            let portions = policy.portions.iter().map(|p| &p.id);
            let of = alike.entry((policy.step, policy.season)).or_default();
            of.extend(portions);
        }
        for ((step, season), portions) in alike {
            let since = now - season.times(28);
            // What a clock that ran ahead has written is left until its time has come.
            let of = self.history_between(step, since, now + AHEAD)?;
            let mut demand = of.demand;
            demand.retain(|id, _| portions.contains(id));
            all.demand.extend(demand);
            all.availability = of.availability;
            all.watched_since = of.watched_since;
        }
        if all.watched_since == Moment::default() {
            all.watched_since = now;
        }
        Ok(all)
    }

    /// One portion's demand since a moment at the step given, as a plot needs it; `None` for a portion without any.
    pub fn demand(
        &self,
        portion: &PortionId,
        step: Span,
        since: Moment,
    ) -> Result<Option<Series>, Error> {
        let read = |source| Error::Read {
            what: "history",
            source,
        };
        self.with(|connection| {
            let found =
                samples(connection, (since, Moment(i64::MAX)), Some(portion)).map_err(read)?;
            Ok(found.get(portion).map(|points| regular(points, step)))
        })
    }

    pub fn beliefs(&self) -> Result<Beliefs, Error> {
        let read = |source| Error::Read {
            what: "beliefs",
            source,
        };
        let damaged = |source| Error::Damaged {
            what: "a belief",
            source,
        };
        self.with(|connection| {
            let mut beliefs = Beliefs::default();
            for (_, json) in
                rows(connection, "SELECT key, json FROM profile ORDER BY key").map_err(read)?
            {
                beliefs
                    .profiles
                    .push(serde_json::from_str(&json).map_err(damaged)?);
            }
            for (_, json) in
                rows(connection, "SELECT key, json FROM verdict ORDER BY key").map_err(read)?
            {
                let verdict = serde_json::from_str(&json).map_err(damaged)?;
                beliefs.verdicts.push(verdict);
            }
            for (id, json) in rows(connection, "SELECT portion, json FROM caution").map_err(read)? {
                let factor = serde_json::from_str(&json).map_err(damaged)?;
                beliefs.caution.insert(PortionId::new(id), factor);
            }
            for (id, json) in rows(
                connection,
                "SELECT portion, json FROM skill ORDER BY portion",
            )
            .map_err(read)?
            {
                let skill = serde_json::from_str(&json).map_err(damaged)?;
                beliefs.skill.insert(PortionId::new(id), skill);
            }
            Ok(beliefs)
        })
    }

    /// Whether there is any history of demand at all.
    pub fn is_new(&self) -> Result<bool, Error> {
        let read = |source| Error::Read {
            what: "history",
            source,
        };
        self.with(|connection| {
            connection
                .query_row("SELECT 1 FROM series LIMIT 1", [], |_| Ok(()))
                .optional()
                .map(|row| row.is_none())
                .map_err(read)
        })
    }
}

fn keep(transaction: &Transaction, memo: &Memo) -> rusqlite::Result<()> {
    match memo {
        Memo::Sample { portion, at, rate } => {
            let series = series(transaction, portion)?;
            let mut put = transaction.prepare_cached(
                "INSERT OR REPLACE INTO reading (series, at, rate) VALUES (?1, ?2, ?3)",
            )?;
            put.execute(params![series, at.0, rate.0])
        }
        Memo::Availability(a) => transaction.execute(
            "INSERT OR REPLACE INTO availability (at, subject, site, up) VALUES (?1, ?2, ?3, ?4)",
            params![a.at.0, a.subject, a.kind as u8, a.up],
        ),
        Memo::Measurement(m) => transaction.execute(
            "INSERT INTO measurement (at, json) VALUES (?1, ?2)",
            params![m.at.0, json(m)?],
        ),
        Memo::Profile(p) => transaction.execute(
            "INSERT OR REPLACE INTO profile (key, json) VALUES (?1, ?2)",
            params![named(&p.key), json(p)?],
        ),
        Memo::Judged(v) => transaction.execute(
            "INSERT OR REPLACE INTO verdict (key, json) VALUES (?1, ?2)",
            params![named(&v.key), json(v)?],
        ),
        Memo::Caution { portion, factor } => transaction.execute(
            "INSERT OR REPLACE INTO caution (portion, json) VALUES (?1, ?2)",
            params![portion.as_str(), json(factor)?],
        ),
        Memo::Skill { portion, skill } => transaction.execute(
            "INSERT OR REPLACE INTO skill (portion, json) VALUES (?1, ?2)",
            params![portion.as_str(), json(skill)?],
        ),
        Memo::Lesson(l) => transaction.execute(
            "INSERT INTO lesson (at, portion, text) VALUES (?1, ?2, ?3)",
            params![l.at.0, l.portion.as_ref().map(PortionId::as_str), l.text],
        ),
        Memo::Asked { at, who, what } => transaction.execute(
            "INSERT INTO asked (at, who, what) VALUES (?1, ?2, ?3)",
            params![at.0, who, what],
        ),
    }
    .map(|_| ())
}

fn named(key: &ProfileKey) -> String {
    format!("{}/{}/{}/{}", key.portion, key.release, key.site, key.class)
}

/// The number of a portion's series, made when it is new.
fn series(transaction: &Transaction, portion: &PortionId) -> rusqlite::Result<i64> {
    let mut known = transaction.prepare_cached("SELECT id FROM series WHERE portion = ?1")?;
    if let Some(id) = known
        .query_row([portion.as_str()], |row| row.get(0))
        .optional()?
    {
        return Ok(id);
    }
    transaction.execute(
        "INSERT INTO series (portion) VALUES (?1)",
        [portion.as_str()],
    )?;
    Ok(transaction.last_insert_rowid())
}

fn json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

fn rows(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<(String, String)>> {
    connection
        .prepare(sql)?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Clocks may differ by so much.
const AHEAD: Span = Span::secs(86_400);
/// The longest series that is made: two months of seconds.
const LONGEST: usize = 5_000_000;

/// A reading: when, over how long (0 for a moment), and the rate; NaN for one that could not be had.
#[derive(Clone, Copy)]
struct Point {
    at: Moment,
    width: Span,
    rate: f64,
}

type Points = BTreeMap<PortionId, Vec<Point>>;

/// Readings between two moments by portion, in no order; of all portions, or of one. Each table is read along its own key.
fn samples(
    connection: &Connection,
    (since, until): (Moment, Moment),
    only: Option<&PortionId>,
) -> rusqlite::Result<Points> {
    let mut numbers = connection
        .prepare_cached("SELECT id, portion FROM series WHERE ?1 IS NULL OR portion = ?1")?;
    let named: Vec<(i64, String)> = numbers
        .query_map([only.map(PortionId::as_str)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut found = Points::new();
    for (series, portion) in named {
        let mut points = Vec::new();
        for sql in [
            "SELECT at, width, rate FROM rolled WHERE width = 3600000 AND series = ?1 AND at BETWEEN ?2 AND ?3",
            "SELECT at, width, rate FROM rolled WHERE width = 300000 AND series = ?1 AND at BETWEEN ?2 AND ?3",
            "SELECT at, 0, rate FROM reading WHERE series = ?1 AND at BETWEEN ?2 AND ?3",
        ] {
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(params![series, since.0, until.0])?;
            while let Some(row) = rows.next()? {
                let rate: Option<f64> = row.get(2)?;
                points.push(Point {
                    at: Moment(row.get(0)?),
                    width: Span(row.get(1)?),
                    rate: rate.unwrap_or(f64::NAN),
                });
            }
        }
        if !points.is_empty() {
            found.insert(PortionId::new(portion), points);
        }
    }
    Ok(found)
}

fn availability(connection: &Connection) -> rusqlite::Result<Vec<Availability>> {
    connection
        .prepare("SELECT at, subject, site, up FROM availability ORDER BY at")?
        .query_map([], |row| {
            Ok(Availability {
                at: Moment(row.get(0)?),
                subject: row.get(1)?,
                kind: kind(row.get(2)?),
                up: row.get(3)?,
            })
        })?
        .collect()
}

/// The column held a truth value before links were watched: 0 and 1 still mean what they did.
fn kind(column: u8) -> SubjectKind {
    match column {
        0 => SubjectKind::Node,
        1 => SubjectKind::Site,
        _ => SubjectKind::Link,
    }
}

/// Points at a regular step: several in one step are averaged, one that is an average over more than a step counts for each
/// step it covers, and a step without any is a gap. What lies further than `LONGEST` steps from the first one is left out: one
/// stray moment must not ask for all memory.
fn regular(points: &[Point], step: Span) -> Series {
    let step = Span(step.0.max(1));
    let start = points.iter().map(|p| p.at).min().unwrap_or_default();
    let slot = |at: Moment| (at.since(start).0 / step.0) as usize;
    let slots = |p: &Point| {
        slot(p.at)..(slot(p.at + Span(p.width.0.saturating_sub(1).max(0))) + 1).min(LONGEST)
    };
    let points: Vec<&Point> = points.iter().filter(|p| slot(p.at) < LONGEST).collect();
    let len = points.iter().map(|p| slots(p).end).max().unwrap_or(0);
    let mut sums = vec![(0.0, 0u32); len];
    for point in points.iter().filter(|p| p.rate.is_finite()) {
        for (sum, n) in &mut sums[slots(point)] {
            *sum += point.rate;
            *n += 1;
        }
    }
    Series {
        start,
        step,
        values: sums
            .into_iter()
            .map(|(sum, n)| if n == 0 { f64::NAN } else { sum / f64::from(n) })
            .collect(),
    }
}
