//! Opening the store.

use crate::engine::clock;
use crate::store::{self, Store};
use std::path::Path;

/// A damaged store holds no scheduler up: it is set aside, and told.
pub fn store_of_a_run(path: &Path) -> Result<Store, store::Error> {
    let store = Store::open_or_mend(path, clock::now())?;
    if let Some(mended) = store.mended() {
        tracing::warn!("{mended}");
    }
    Ok(store)
}
