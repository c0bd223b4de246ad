//! What cycles wanted remembered, written in one transaction, and read back at a start.

use super::{Error, Store};
use crate::model::*;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::collections::BTreeMap;

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
        let read = |source| Error::Read {
            what: "history",
            source,
        };
        self.with(|connection| {
            let samples = samples(connection, since).map_err(read)?;
            let availability = availability(connection).map_err(read)?;
            let watched_since = samples
                .values()
                .filter_map(|s| s.first().map(|(at, _)| *at))
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
                .query_row("SELECT 1 FROM sample LIMIT 1", [], |_| Ok(()))
                .optional()
                .map(|row| row.is_none())
                .map_err(read)
        })
    }
}

fn keep(transaction: &Transaction, memo: &Memo) -> rusqlite::Result<()> {
    match memo {
        Memo::Sample { portion, at, rate } => transaction.execute(
            "INSERT OR REPLACE INTO sample (portion, at, rate) VALUES (?1, ?2, ?3)",
            params![portion.as_str(), at.0, rate.0],
        ),
        Memo::Availability(a) => transaction.execute(
            "INSERT OR REPLACE INTO availability (at, subject, site, up) VALUES (?1, ?2, ?3, ?4)",
            params![a.at.0, a.subject, a.kind as u8, a.up],
        ),
        Memo::Measurement(m) => transaction.execute(
            "INSERT INTO measurement (at, json) VALUES (?1, ?2)",
            params![m.at.0, json(m)?],
        ),
        Memo::Profile(p) => {
            let key = format!(
                "{}/{}/{}/{}",
                p.key.portion, p.key.release, p.key.site, p.key.class
            );
            transaction.execute(
                "INSERT OR REPLACE INTO profile (key, json) VALUES (?1, ?2)",
                params![key, json(p)?],
            )
        }
        Memo::Skill { portion, skill } => transaction.execute(
            "INSERT OR REPLACE INTO skill (portion, json) VALUES (?1, ?2)",
            params![portion.as_str(), json(skill)?],
        ),
        Memo::Lesson(l) => transaction.execute(
            "INSERT INTO lesson (at, portion, text) VALUES (?1, ?2, ?3)",
            params![l.at.0, l.portion.as_ref().map(PortionId::as_str), l.text],
        ),
    }
    .map(|_| ())
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

type Points = BTreeMap<PortionId, Vec<(Moment, f64)>>;

fn samples(connection: &Connection, since: Moment) -> rusqlite::Result<Points> {
    let mut found = Points::new();
    let mut statement = connection
        .prepare("SELECT portion, at, rate FROM sample WHERE at >= ?1 ORDER BY portion, at")?;
    let mut rows = statement.query([since.0])?;
    while let Some(row) = rows.next()? {
        let portion: String = row.get(0)?;
        let rate: Option<f64> = row.get(2)?;
        found
            .entry(PortionId::new(portion))
            .or_default()
            .push((Moment(row.get(1)?), rate.unwrap_or(f64::NAN)));
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

fn regular(points: &[(Moment, f64)], step: Span) -> Series {
    let start = points.first().map_or(Moment(0), |(at, _)| *at);
    let slot = |at: Moment| (at.since(start).0 / step.0.max(1)) as usize;
    let len = points.last().map_or(0, |(at, _)| slot(*at) + 1);
    let mut sums = vec![(0.0, 0u32); len];
    for (at, value) in points.iter().filter(|(_, v)| v.is_finite()) {
        let (sum, n) = &mut sums[slot(*at)];
        *sum += value;
        *n += 1;
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
