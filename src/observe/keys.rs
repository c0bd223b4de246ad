//! What Consul's keys say: who leads, which targets hold, what gateways have applied.

use super::names::Names;
use crate::clients::consul::KvPair;
use crate::clients::http::Digest;
use crate::model::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// What stands under `foreshadow/`, but for the operator's stop.
pub struct Keys {
    pub leadership: Leadership,
    pub targets: Result<BTreeMap<ServiceName, Arc<Target>>, String>,
    pub applied: BTreeMap<(GatewayId, ServiceName), Arc<Applied>>,
}

impl Keys {
    /// What the keys say; what was read before is not read again while its key has not been written.
    pub fn of(pairs: &[KvPair], before: &mut Read) -> Keys {
        Keys {
            leadership: leadership(pairs),
            targets: targets(pairs, before),
            applied: applied(pairs, before),
        }
    }
}

/// Targets and reports as they were last read, by their keys, with a digest of each value: of thousands few are written at a time.
#[derive(Default)]
pub struct Read {
    names: Names,
    targets: Known<Arc<Target>>,
    applied: Known<Arc<Applied>>,
    /// What all of them said, as long as nothing of it changes.
    all: Option<(Digest, Arc<Keys>)>,
}

impl Read {
    pub fn new(names: &Names) -> Read {
        Read {
            names: names.clone(),
            ..Read::default()
        }
    }

    pub fn last(&self) -> Option<Digest> {
        self.all.as_ref().map(|(of, _)| *of)
    }

    /// What the keys say after an answer, which tells them only where they differ from the last one.
    pub fn all(&mut self, news: Option<(Vec<KvPair>, Digest)>) -> Arc<Keys> {
        if let (None, Some((_, keys))) = (&news, &self.all) {
            return keys.clone();
        }
        let (pairs, digest) = news.unwrap_or_default();
        let keys = Arc::new(Keys::of(&pairs, self));
        self.all = Some((digest, keys.clone()));
        keys
    }
}

struct Known<T>(HashMap<String, (u64, T)>);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Known(HashMap::new())
    }
}

impl<T: Clone> Known<T> {
    /// What a key says, as it was read before or as `read` reads it now.
    fn of<E>(&mut self, pair: &KvPair, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut digest = DefaultHasher::new();
        (pair.modify_index, &pair.value).hash(&mut digest);
        let digest = digest.finish();
        if let Some((of, value)) = self.0.get(&pair.key)
            && *of == digest
        {
            return Ok(value.clone());
        }
        let value = read()?;
        self.0.insert(pair.key.clone(), (digest, value.clone()));
        Ok(value)
    }

    /// Forgets keys that are gone.
    fn only(&mut self, pairs: &[&KvPair]) {
        if self.0.len() > pairs.len() {
            let there: HashSet<&str> = pairs.iter().map(|p| p.key.as_str()).collect();
            self.0.retain(|key, _| there.contains(key.as_str()));
        }
    }
}

fn leadership(pairs: &[KvPair]) -> Leadership {
    match pairs
        .iter()
        .find(|p| p.key == keys::LEADER && p.session.is_some())
    {
        Some(lock) => Leadership::Other {
            who: String::from_utf8_lossy(&lock.value).into_owned(),
        },
        None => Leadership::Nobody,
    }
}

/// A target that does not parse makes all of them unknown: it is not for us to overwrite what we do not understand.
fn targets(
    pairs: &[KvPair],
    before: &mut Read,
) -> Result<BTreeMap<ServiceName, Arc<Target>>, String> {
    let pairs = under(pairs, keys::TARGETS);
    before.targets.only(&pairs);
    let names = before.names.clone();
    let read = |pair: &KvPair| -> serde_json::Result<Arc<Target>> {
        let mut target: Target = serde_json::from_slice(&pair.value)?;
        names.in_target(&mut target);
        target.index = pair.modify_index;
        Ok(Arc::new(target))
    };
    let read = pairs
        .into_iter()
        .map(|pair| match before.targets.of(pair, || read(pair)) {
            Ok(target) => Ok((target.service.clone(), target)),
            Err(e) => Err(format!(
                "{} in Consul's KV is not a target of this version: {e}",
                pair.key
            )),
        });
    read.collect()
}

fn under<'a>(pairs: &'a [KvPair], prefix: &str) -> Vec<&'a KvPair> {
    let pairs = pairs.iter();
    pairs.filter(|p| p.key.starts_with(prefix)).collect()
}

fn applied(
    pairs: &[KvPair],
    before: &mut Read,
) -> BTreeMap<(GatewayId, ServiceName), Arc<Applied>> {
    let pairs = under(pairs, keys::APPLIED);
    before.applied.only(&pairs);
    let names = before.names.clone();
    let read = |pair: &KvPair| -> serde_json::Result<Arc<Applied>> {
        let mut report = serde_json::from_slice(&pair.value)?;
        names.in_report(&mut report);
        Ok(Arc::new(report))
    };
    let all = pairs.into_iter();
    all.filter_map(|pair| before.applied.of(pair, || read(pair)).ok())
        .map(|a| ((a.gateway.clone(), a.service.clone()), a))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_until_an_answer_differs() {
        let lock = KvPair {
            key: keys::LEADER.into(),
            value: b"edge-a".to_vec(),
            session: Some("s".into()),
            ..KvPair::default()
        };
        let mut read = Read::default();
        let first = read.all(Some((vec![lock], Digest::of(b"1"))));
        let who = "edge-a".to_string();
        assert_eq!(first.leadership, Leadership::Other { who });
        assert_eq!(read.last(), Some(Digest::of(b"1")));
        assert!(
            Arc::ptr_eq(&read.all(None), &first),
            "they are as they were"
        );
        let gone = read.all(Some((Vec::new(), Digest::of(b"2"))));
        assert_eq!(gone.leadership, Leadership::Nobody);
        assert_eq!(read.last(), Some(Digest::of(b"2")));
    }
}
