//! What a shadow of each place is worth now, in terms that people can read.

use super::book::Book;
use super::chances::{self, Chance};
use super::instances::Copies;
use super::places;
use super::scene::Scene;
use super::shadows::{LIFE, name};
use super::together::{self, Graph};
use crate::model::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Clock of a core where a node does not say it, in MHz.
const CORE: f64 = 2500.0;
/// What is most uncertain is looked at again after this part of the cadence less.
const SOONER: f64 = 0.7;

/// A place where a portion could be shadowed, and what that is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    pub key: ProfileKey,
    pub chance: Chance,
    pub terms: Unknown,
    /// How likely the plan would ever use it, 0…1.
    pub use_probability: f64,
    /// What a run would teach, 0…1.
    pub unknown: f64,
    /// Core-hours of one run.
    pub cost: f64,
    pub value: f64,
    /// When it is due again; `None` when it is due now.
    pub due_in: Option<Span>,
    /// A place of the same portion of which nothing is known yet, and which goes first.
    pub after: Option<String>,
}

/// What of a place is unknown, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unknown {
    /// Since the last run there; `None` without any.
    pub age: Option<Span>,
    /// Runs there by what is left of each, and runs' worth that alike places lend.
    pub own: f64,
    pub borrowed: f64,
    /// Standard deviation of the logarithm of its knee, now and from one run to the next.
    pub spread: f64,
    pub one_run: f64,
}

impl Unknown {
    fn of(known: Option<&Known>) -> Unknown {
        match known {
            None => Unknown {
                spread: UNKNOWN,
                one_run: FIRST_RUN,
                ..Unknown::default()
            },
            Some(k) => Unknown {
                age: k.age,
                own: k.own,
                borrowed: k.borrowed,
                spread: k.knee.spread,
                one_run: k.one_run,
            },
        }
    }
}

/// Spread of one run before any was made.
const FIRST_RUN: f64 = 0.2;

/// The value of a shadow: `use probability × what a run would teach ÷ core-hours`, in parts of what could be taught for
/// sure by one core-hour.
///
/// - *Use*: that some standby of the portion is wanted while the place still stands (the weight of such futures in the
///   outlook) times that the plan would choose it (the solver's choice, or how near to it the place would come if all that is
///   unknown turned out well). Where production runs, both are 1.
/// - *What a run would teach*: how far one run is expected to move what is believed of the knee, `s²/√(s² + r²)` with `s` the
///   standard deviation of what is believed and `r` that of one run: the knowledge gradient's factor (Frazier, Powell &
///   Dayanik, "A Knowledge-Gradient Policy for Sequential Information Collection", SIAM J. Control Optim. 2008), over the
///   same where nothing is known. Age (evidence fades), runs and their spread are all in `s`.
/// - *Cost*: the cores that a run holds times its longest life, in core-hours.
pub fn value(chance: &Chance, unknown: &Unknown, cores: f64) -> (f64, f64, f64) {
    let taught = |s: f64, r: f64| s * s / (s * s + r * r).sqrt().max(1e-12);
    let most = taught(UNKNOWN, FIRST_RUN);
    let unknown = (taught(unknown.spread, unknown.one_run) / most).clamp(0.0, 1.0);
    let cost = core_hours(cores);
    (chance.of_use() * unknown / cost, unknown, cost)
}

fn core_hours(cores: f64) -> f64 {
    (cores * LIFE.as_secs_f64() / 3600.0).max(1e-6)
}

/// Core-hours of one run.
pub fn cost(needs: &Resources) -> f64 {
    core_hours(needs.cpu.0 / CORE)
}

/// Weighs every place of every portion that can be shadowed, and leaves the result in the book, the best first.
pub fn weigh(scene: &Scene, book: &mut Book, copies: &BTreeMap<PortionId, Copies>) {
    if scene.policy.budget.max_shadows == 0 {
        return book.worth.clear();
    }
    chances::renew(scene, book, copies);
    book.worth = candidates(scene, book, copies);
}

fn candidates(scene: &Scene, book: &Book, copies: &BTreeMap<PortionId, Copies>) -> Vec<Candidate> {
    let nodes = places::nodes(scene);
    let places: BTreeSet<(&Site, &NodeClass)> = nodes.iter().map(|n| (&n.site, &n.class)).collect();
    let graph = Graph::of(scene);
    let mut all = Vec::with_capacity(scene.portions.len() * places.len());
    for portion in scene.portions.iter().filter(|p| p.not_shadowable.is_none()) {
        if !copies.contains_key(&portion.id) {
            continue;
        }
        let from = all.len();
        for (site, class) in &places {
            let key = ProfileKey {
                portion: portion.id.clone(),
                release: portion.release.clone(),
                site: (*site).clone(),
                class: (*class).clone(),
            };
            all.push(candidate(
                scene,
                book,
                together::needs(&graph, portion),
                key,
            ));
        }
        neighbours(&mut all[from..]);
    }
    all.sort_by(|a, b| b.value.total_cmp(&a.value).then(a.key.cmp(&b.key)));
    all
}

fn candidate(scene: &Scene, book: &Book, needs: Resources, key: ProfileKey) -> Candidate {
    let chance = book.chances.get(&key);
    let terms = Unknown::of(scene.known.get(&key));
    let (value, unknown, cost) = value(&chance, &terms, needs.cpu.0 / CORE);
    Candidate {
        due_in: due_in(scene, book, &key, &terms),
        use_probability: chance.of_use(),
        key,
        chance,
        terms,
        unknown,
        cost,
        value,
        after: None,
    }
}

/// Nothing is shadowed twice while a neighbour is unknown: a place with runs of its own waits for those of its portion that
/// have none, unless they failed lately and wait themselves.
fn neighbours(of_portion: &mut [Candidate]) {
    let unknown = of_portion
        .iter()
        .filter(|c| c.terms.age.is_none() && c.due_in.is_none())
        .max_by(|a, b| a.value.total_cmp(&b.value));
    let Some(first) = unknown.map(|c| format!("{} ({})", c.key.site, c.key.class.shown())) else {
        return;
    };
    for known in of_portion.iter_mut().filter(|c| c.terms.age.is_some()) {
        known.after = Some(first.clone());
    }
}

/// The cadence of the appetite, longer where shadows hurt or failed, shorter the less sure what is known; and a pause after a failure.
fn due_in(scene: &Scene, book: &Book, key: &ProfileKey, terms: &Unknown) -> Option<Span> {
    let caution = scene.beliefs.caution.get(&key.portion).copied();
    let pace = scene.verdict(key).map_or(1.0, Judged::pace);
    let every = scene.appetite.shadow_every.0 as f64
        * caution.unwrap_or(1.0)
        * pace
        * (1.0 - SOONER * (terms.spread / UNKNOWN).clamp(0.0, 1.0));
    let aged = terms.age.map(|age| Span((every - age.0 as f64) as i64));
    let paused = match book.shadowed.get(&name(key)) {
        Some((at, n)) if *n > 0 => Some(Span((LIFE.0 << (*n).min(6)) - scene.now.since(*at).0)),
        _ => None,
    };
    let left = aged.max(paused);
    left.filter(|left| left.0 > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unknown(spread: f64) -> Unknown {
        Unknown {
            spread,
            one_run: FIRST_RUN,
            ..Unknown::default()
        }
    }

    #[test]
    fn the_value_is_what_its_terms_say() {
        let chance = Chance {
            wanted: 0.5,
            chosen: 0.4,
        };
        // Nothing known: one run teaches all that a run can teach; half a core for 45 s.
        let (value, taught, cost) = value(&chance, &unknown(UNKNOWN), 0.5);
        assert!((taught - 1.0).abs() < 1e-12);
        assert!((cost - 0.5 * 45.0 / 3600.0).abs() < 1e-12);
        assert!((value - 0.5 * 0.4 / cost).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn what_is_likelier_less_known_or_cheaper_is_never_worth_less(
            wanted in 0.0..=1.0f64, chosen in 0.0..=1.0f64, spread in 0.0..0.7f64, cores in 0.01..8.0f64,
            more in 0.0..=1.0f64,
        ) {
            let chance = |w: f64| Chance { wanted: w, chosen };
            let at = |w: f64, s: f64, c: f64| value(&chance(w), &unknown(s), c).0;
            let base = at(wanted, spread, cores);
            prop_assert!(base.is_finite() && base >= 0.0);
            prop_assert!(at(wanted + (1.0 - wanted) * more, spread, cores) >= base - 1e-12);
            prop_assert!(at(wanted, spread + (UNKNOWN - spread) * more, cores) >= base - 1e-12);
            prop_assert!(at(wanted, spread, cores * (1.0 + more)) <= base + 1e-12);
        }
    }
}
