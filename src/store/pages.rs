//! Pages of the past for faces to look back at: as many as the engine keeps, with what each portion was last known as before.

use super::{Error, Store};
use crate::model::*;
use rusqlite::params;

/// A page as it is kept: its own text, and one for each portion of which something new was known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredPage {
    pub at: Moment,
    pub json: String,
    pub rows: Vec<(PortionId, String)>,
}

/// Of what is older than the oldest page that is kept, only what no later row of the portion up to there replaces.
const REPLACED: &str =
    "DELETE FROM page_row WHERE at < ?1 AND EXISTS (SELECT 1 FROM page_row AS later
    WHERE later.portion = page_row.portion AND later.at > page_row.at AND later.at <= ?1)";

impl Store {
    /// Keeps a page, and lets go of those before `oldest`.
    pub fn turn_page(&self, page: &StoredPage, oldest: Moment) -> Result<(), Error> {
        let write = |source| Error::Write {
            what: "a page of the past",
            source,
        };
        self.with(|connection| {
            let transaction = connection.transaction().map_err(write)?;
            // A clock that was set back does not leave two pasts.
            for sql in [
                "DELETE FROM page WHERE at >= ?1",
                "DELETE FROM page_row WHERE at >= ?1",
            ] {
                transaction.execute(sql, [page.at.0]).map_err(write)?;
            }
            let put = "INSERT INTO page (at, json) VALUES (?1, ?2)";
            transaction
                .execute(put, params![page.at.0, page.json])
                .map_err(write)?;
            {
                let put = "INSERT OR REPLACE INTO page_row (portion, at, json) VALUES (?1, ?2, ?3)";
                let mut put = transaction.prepare_cached(put).map_err(write)?;
                for (portion, json) in &page.rows {
                    put.execute(params![portion.as_str(), page.at.0, json])
                        .map_err(write)?;
                }
            }
            let gone = transaction.execute("DELETE FROM page WHERE at < ?1", [oldest.0]);
            if gone.map_err(write)? > 0 {
                transaction.execute(REPLACED, [oldest.0]).map_err(write)?;
            }
            transaction.commit().map_err(write)
        })
    }

    /// The pages that are kept, oldest first; what was known before the first stands on the first.
    pub fn pages(&self) -> Result<Vec<StoredPage>, Error> {
        let read = |source| Error::Read {
            what: "pages of the past",
            source,
        };
        self.with(|connection| {
            let mut pages: Vec<StoredPage> = connection
                .prepare("SELECT at, json FROM page ORDER BY at")
                .and_then(|mut all| {
                    let page = |row: &rusqlite::Row| {
                        Ok(StoredPage {
                            at: Moment(row.get(0)?),
                            json: row.get(1)?,
                            rows: Vec::new(),
                        })
                    };
                    all.query_map([], page)?.collect()
                })
                .map_err(read)?;
            let rows: Vec<(i64, String, String)> = connection
                .prepare("SELECT at, portion, json FROM page_row ORDER BY at, portion")
                .and_then(|mut all| {
                    let row = |row: &rusqlite::Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
                    all.query_map([], row)?.collect()
                })
                .map_err(read)?;
            for (at, portion, json) in rows {
                let k = pages.partition_point(|p| p.at.0 < at);
                let Some(page) = pages.get_mut(k) else {
                    continue;
                };
                // Rows come in order of time: of two for the first page the later one counts.
                page.rows.retain(|(known, _)| known.as_str() != portion);
                page.rows.push((PortionId::new(portion), json));
            }
            Ok(pages)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(at: i64, rows: &[(&str, &str)]) -> StoredPage {
        let row = |(portion, json): &(&str, &str)| (PortionId::new(*portion), (*json).to_string());
        StoredPage {
            at: Moment(at),
            json: format!("page {at}"),
            rows: rows.iter().map(row).collect(),
        }
    }

    #[test]
    fn pages_come_back_after_a_restart_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let all = [
            page(1, &[("cart", "c1"), ("web", "w1")]),
            page(2, &[("web", "w2")]),
            page(3, &[]),
        ];
        let store = Store::open(&path).unwrap();
        all.iter()
            .for_each(|p| store.turn_page(p, Moment(1)).unwrap());
        drop(store);
        assert_eq!(Store::open(&path).unwrap().pages().unwrap(), all);
    }

    #[test]
    fn what_only_a_dropped_page_knew_stands_on_the_first_that_is_left() {
        let store = Store::in_memory().unwrap();
        let turn = |p: StoredPage, oldest| store.turn_page(&p, Moment(oldest)).unwrap();
        turn(page(1, &[("cart", "c1"), ("web", "w1")]), 1);
        turn(page(2, &[("web", "w2")]), 1);
        turn(page(3, &[("web", "w3")]), 2);
        turn(page(4, &[("web", "w4")]), 3);
        let left = store.pages().unwrap();
        let first = page(3, &[("cart", "c1"), ("web", "w3")]);
        assert_eq!(left, [first, page(4, &[("web", "w4")])]);
    }

    #[test]
    fn a_clock_that_was_set_back_leaves_one_past() {
        let store = Store::in_memory().unwrap();
        for at in [1, 8, 9, 5] {
            store.turn_page(&page(at, &[]), Moment(1)).unwrap();
        }
        let at: Vec<i64> = store.pages().unwrap().iter().map(|p| p.at.0).collect();
        assert_eq!(at, [1, 5]);
    }
}
