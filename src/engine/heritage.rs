//! What was learnt, as whoever leads next takes it over: a store that was lost, or never had it, need not learn it again.

use super::pack;
use super::state::State;
use crate::model::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one leader leaves of its beliefs; what runs were made of stays in the store of the gateway that made them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heritage {
    pub profiles: Vec<Profile>,
    pub verdicts: Vec<Judged>,
    pub skill: BTreeMap<PortionId, Skill>,
    pub caution: BTreeMap<PortionId, f64>,
}

/// Differs where something that others can use was learnt.
pub type Mark = (usize, i64, Vec<(u64, u64)>);

/// What of the beliefs others can use, and when the newest of it was learnt: while both stay, nothing is written anew.
pub fn mark(beliefs: &Beliefs) -> Mark {
    let profiles = beliefs.profiles.iter().map(|p| p.at.0);
    let verdicts = beliefs.verdicts.iter().map(|v| v.at.0);
    let scored = beliefs.skill.values().map(|s| s.calibration.scored());
    let skill = scored.filter(|n| *n > 0).map(|n| (n, 0));
    let caution = beliefs.caution.values().map(|c| (0, c.to_bits()));
    let known = beliefs.profiles.len() + beliefs.verdicts.len();
    (
        known,
        profiles.chain(verdicts).max().unwrap_or(0),
        skill.chain(caution).collect(),
    )
}

/// Packed for Consul's KV, in `most` bytes: the oldest profiles and verdicts go first where they are too many.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn packed(beliefs: &Beliefs, most: usize) -> Result<Vec<u8>, String> {
    let mut kept = Heritage {
        profiles: beliefs.profiles.clone(),
        verdicts: beliefs.verdicts.clone(),
        skill: beliefs.skill.clone(),
        caution: beliefs.caution.clone(),
    };
    kept.profiles.sort_by_key(|p| std::cmp::Reverse(p.at));
    kept.verdicts.sort_by_key(|v| std::cmp::Reverse(v.at));
    loop {
        let bytes = pack::pack(&kept)?;
        let left = kept.profiles.len().max(kept.verdicts.len());
        if bytes.len() <= most || left == 0 {
            return Ok(bytes);
        }
        kept.profiles.truncate(kept.profiles.len() * 3 / 4);
        kept.verdicts.truncate(kept.verdicts.len() * 3 / 4);
    }
}

/// Those of `left` that are newer than what is held of the same key, which take its place.
fn renew<T: Clone>(own: &mut Vec<T>, left: &[T], of: fn(&T) -> (&ProfileKey, Moment)) -> Vec<T> {
    let mut newer = Vec::new();
    for it in left {
        let (key, at) = of(it);
        let held = own.iter().map(of).find(|(own, _)| *own == key);
        if held.is_none_or(|(_, held)| held < at) {
            own.retain(|o| of(o).0 != key);
            own.push(it.clone());
            newer.push(it.clone());
        }
    }
    newer
}

/// Takes over what is newer than what is believed here, for the store, too; what that was, in a sentence.
pub fn inherit(state: &mut State, left: &Heritage) -> Option<String> {
    let beliefs = &mut state.beliefs;
    let profiles = renew(&mut beliefs.profiles, &left.profiles, |p| (&p.key, p.at));
    let verdicts = renew(&mut beliefs.verdicts, &left.verdicts, |v| (&v.key, v.at));
    let taken = (profiles.len(), verdicts.len());
    state.memos.extend(profiles.into_iter().map(Memo::Profile));
    state.memos.extend(verdicts.into_iter().map(Memo::Judged));
    let (profiles, verdicts) = taken;
    let others = of_portions(state, left);
    state.tally.profiles = state.beliefs.profiles.len() as u64;
    (profiles + verdicts + others > 0).then(|| {
        format!(
            "{}, {} and {} of earlier leaders were taken over from Consul's KV",
            counted(profiles, "profile"),
            counted(verdicts, "verdict"),
            counted(others, "other lesson")
        )
    })
}

/// How portions' forecasts and profiles did, where more of them was scored there; and the greater caution.
fn of_portions(state: &mut State, left: &Heritage) -> usize {
    let mut taken = 0;
    for (portion, skill) in &left.skill {
        let own = state.beliefs.skill.get(portion);
        if own.is_none_or(|own| own.scored < skill.scored) {
            state.beliefs.skill.insert(portion.clone(), skill.clone());
            let (portion, skill) = (portion.clone(), skill.clone());
            state.memos.push(Memo::Skill { portion, skill });
            taken += 1;
        }
    }
    for (portion, factor) in &left.caution {
        let own = state.beliefs.caution.get(portion).copied().unwrap_or(1.0);
        if own < *factor {
            state.beliefs.caution.insert(portion.clone(), *factor);
            let (portion, factor) = (portion.clone(), *factor);
            state.memos.push(Memo::Caution { portion, factor });
            taken += 1;
        }
    }
    taken
}

#[cfg(test)]
#[path = "heritage_tests.rs"]
mod tests;
