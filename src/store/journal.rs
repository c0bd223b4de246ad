//! The journal: every step's way, written before each effect.

use super::{Error, Store};
use crate::model::*;
use rusqlite::params;

impl Store {
    /// Appends an entry; when this returns, it is on disk.
    pub fn journal(&self, entry: &JournalEntry) -> Result<(), Error> {
        let what = "a journal entry";
        let json =
            serde_json::to_string(entry).map_err(|source| Error::Damaged { what, source })?;
        self.with(|connection| {
            connection
                .execute(
                    "INSERT INTO journal (step, state, at, json) VALUES (?1, ?2, ?3, ?4)",
                    params![
                        entry.step.id.as_str(),
                        format!("{:?}", entry.state),
                        entry.at.0,
                        json
                    ],
                )
                .map(|_| ())
                .map_err(|source| Error::Write { what, source })
        })
    }

    /// The last entry of every step that has not come to an end.
    pub fn open_steps(&self) -> Result<Vec<JournalEntry>, Error> {
        let last = "SELECT json FROM journal WHERE id IN (SELECT max(id) FROM journal GROUP BY step) ORDER BY id";
        let entries = self.entries(last, 0)?;
        Ok(entries
            .into_iter()
            .filter(|e| !e.state.is_final())
            .collect())
    }

    /// The newest `n` entries, oldest first.
    pub fn recent(&self, n: usize) -> Result<Vec<JournalEntry>, Error> {
        let mut entries = self.entries("SELECT json FROM journal ORDER BY id DESC", n)?;
        entries.reverse();
        Ok(entries)
    }

    /// The newest `n` entries with a number below `before`, newest first, each with its number.
    pub fn page(&self, before: Option<i64>, n: usize) -> Result<Vec<(i64, JournalEntry)>, Error> {
        let what = "the journal";
        let read = |source| Error::Read { what, source };
        let sql = "SELECT id, json FROM journal WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
        let bounds = params![
            before.unwrap_or(i64::MAX),
            i64::try_from(n).unwrap_or(i64::MAX)
        ];
        self.with(|connection| {
            let rows: Vec<(i64, String)> = connection
                .prepare(sql)
                .and_then(|mut s| {
                    s.query_map(bounds, |row| Ok((row.get(0)?, row.get(1)?)))?
                        .collect()
                })
                .map_err(read)?;
            let entry = |(id, text): (i64, String)| {
                let entry = serde_json::from_str(&text);
                let entry = entry.map_err(|source| Error::Damaged { what, source })?;
                Ok((id, entry))
            };
            rows.into_iter().map(entry).collect()
        })
    }

    fn entries(&self, sql: &str, limit: usize) -> Result<Vec<JournalEntry>, Error> {
        let what = "the journal";
        let read = |source| Error::Read { what, source };
        let sql = if limit > 0 {
            format!("{sql} LIMIT {limit}")
        } else {
            sql.to_string()
        };
        self.with(|connection| {
            let texts: Vec<String> = connection
                .prepare(&sql)
                .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
                .map_err(read)?;
            texts
                .iter()
                .map(|t| serde_json::from_str(t).map_err(|source| Error::Damaged { what, source }))
                .collect()
        })
    }
}

#[cfg(test)]
pub(super) fn entry(step: &str, state: JournalState, at: i64) -> JournalEntry {
    JournalEntry {
        step: Step {
            id: StepId::new(step),
            plan: PlanId::new("p"),
            portion: None,
            cause: Cause::Upkeep,
            action: Action::Reap {
                job: JobId::new("j"),
            },
            why: "because".into(),
            waits_on: vec![],
        },
        epoch: Epoch(7),
        state,
        at: Moment(at),
        note: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_steps_without_an_end_are_open_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        {
            let store = Store::open(&path).unwrap();
            for (step, state) in [
                ("done", JournalState::Intended),
                ("half", JournalState::Intended),
                ("done", JournalState::Applied),
                ("half", JournalState::Applied),
                ("done", JournalState::Verified),
            ] {
                store.journal(&entry(step, state, 1)).unwrap();
            }
        }
        let open = Store::open(&path).unwrap().open_steps().unwrap();
        assert_eq!(open.len(), 1);
        assert_eq!(open[0].step.id, StepId::new("half"));
        assert_eq!(open[0].state, JournalState::Applied);
    }

    #[test]
    fn pages_of_the_journal_follow_each_other_without_gap_or_overlap() {
        let store = Store::in_memory().unwrap();
        for k in 0..7 {
            let step = format!("s{k}");
            store
                .journal(&entry(&step, JournalState::Intended, k))
                .unwrap();
        }
        let (mut before, mut seen) = (None, Vec::new());
        loop {
            let page = store.page(before, 3).unwrap();
            let Some((last, _)) = page.last() else { break };
            before = Some(*last);
            seen.extend(page.iter().map(|(_, e)| e.at.0));
        }
        assert_eq!(seen, [6, 5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn a_store_of_a_newer_schema_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        Store::open(&path).unwrap();
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute_batch("PRAGMA user_version = 99")
            .unwrap();
        assert!(matches!(
            Store::open(&path),
            Err(Error::TooNew { found: 99, .. })
        ));
    }

    #[test]
    fn history_comes_back_at_its_step_with_gaps_as_gaps() {
        let store = Store::in_memory().unwrap();
        let sample = |at: i64, rate: f64| Memo::Sample {
            portion: PortionId::new("web"),
            at: Moment(at),
            rate: Rps(rate),
        };
        store
            .remember(&[sample(1000, 1.0), sample(1400, 3.0), sample(4100, 5.0)])
            .unwrap();
        let history = store.history(Span::secs(1), Moment(0)).unwrap();
        let series = &history.demand[&PortionId::new("web")];
        assert_eq!(series.values[0], 2.0);
        assert!(series.values[1].is_nan() && series.values[2].is_nan());
        assert_eq!(series.values[3], 5.0);
    }
}
