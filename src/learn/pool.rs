//! What is known of each place: its own runs, and what alike places lend it where those are few or old.
//!
//! The logarithms of runs are taken as normal around their place, places around their node class, classes around the
//! portion's release: a normal hierarchy whose spreads come from the data (empirical Bayes: Efron & Morris, "Data Analysis
//! Using Stein's Estimator and its Generalizations", JASA 1975; Morris, "Parametric Empirical Bayes Inference", JASA 1983).
//! The spreads between places and between classes are moment estimates (DerSimonian & Laird, Controlled Clinical Trials
//! 1986), held by a prior of one group's worth, because there are few groups. A place's prior is made of the others alone,
//! so that its own runs count once. Another release lends nothing.

use super::evidence::{self, RUN, RUN_WEIGHT};
use crate::model::*;
use statrs::distribution::{ContinuousCDF, Normal};
use std::collections::{BTreeMap, BTreeSet};

/// Spread of the logarithm between sites of one class, and between classes, before the data can show it.
const SITES: f64 = 0.1;
const CLASSES: f64 = 0.5;

/// How evidence is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub now: Moment,
    /// A run counts for half after so long.
    pub half_life: Span,
    /// The quantile that is counted on from below, 0…0.5; its counterpart from above.
    pub sure: f64,
}

/// Profiles by the release that they are of: of many workloads each asks for its own.
pub struct Measured<'a> {
    beliefs: &'a Beliefs,
    of: BTreeMap<(&'a PortionId, &'a Release), Vec<&'a Profile>>,
}

impl<'a> Measured<'a> {
    pub fn of(beliefs: &'a Beliefs) -> Measured<'a> {
        let mut of: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for p in &beliefs.profiles {
            let release: &mut Vec<_> = of.entry((&p.key.portion, &p.key.release)).or_default();
            release.push(p);
        }
        Measured { beliefs, of }
    }

    /// What is known of each of `keys`; nothing of those whose release was never measured anywhere.
    pub fn known(
        &self,
        keys: &BTreeSet<ProfileKey>,
        reading: &Reading,
    ) -> BTreeMap<ProfileKey, Known> {
        let mut made: BTreeMap<(&PortionId, &Release), Group> = BTreeMap::new();
        let mut out = BTreeMap::new();
        for key in keys {
            let id = (&key.portion, &key.release);
            let Some(profiles) = self.of.get(&id) else {
                continue;
            };
            let group = made
                .entry(id)
                .or_insert_with(|| Group::new(self.beliefs, profiles, reading));
            out.insert(key.clone(), group.at(key));
        }
        out
    }
}

/// All places of one portion's release.
struct Group<'a> {
    profiles: &'a [&'a Profile],
    reading: &'a Reading,
    calibration: Calibration,
    z: f64,
    knee: Pool<'a>,
    startup: Pool<'a>,
    cpu: Pool<'a>,
}

impl<'a> Group<'a> {
    fn new(beliefs: &Beliefs, profiles: &'a [&'a Profile], reading: &'a Reading) -> Self {
        let aged: Vec<(&'a Profile, f64, Evidence)> = profiles
            .iter()
            .map(|p| {
                let by = evidence::left(reading.now.since(p.at), reading.half_life);
                (*p, by, evidence::of(p))
            })
            .collect();
        let pool = |pick: fn(&Evidence) -> Faded| {
            let places = aged.iter().map(|(p, by, e)| Place {
                key: &p.key,
                seen: evidence::fade(pick(e), *by),
            });
            Pool::new(places.filter(|p| p.seen.runs > 0.0).collect())
        };
        let skill = profiles
            .first()
            .and_then(|p| beliefs.skill.get(&p.key.portion));
        Group {
            profiles,
            reading,
            calibration: skill.map(|s| s.calibration).unwrap_or_default(),
            z: surely(reading.sure),
            knee: pool(|e| e.knee),
            startup: pool(|e| e.startup),
            cpu: pool(|e| e.cpu),
        }
    }

    fn at(&self, key: &ProfileKey) -> Known {
        let own = self.profiles.iter().find(|p| &p.key == key);
        let c = &self.calibration;
        let knee = self.knee.at(key);
        let startup = self.startup.at(key);
        let wide = c.capacity.width.max(c.latency.width);
        let part = |of: &Belief| {
            let lent = of.from.iter().map(|(k, runs, part)| Lender {
                site: k.site.clone(),
                class: k.class.clone(),
                runs: *runs,
                part: *part,
            });
            let mut lent: Vec<Lender> = lent.collect();
            lent.sort_by(|a, b| b.part.total_cmp(&a.part));
            lent
        };
        Known {
            key: key.clone(),
            from: part(&knee),
            own: knee.own,
            borrowed: knee.borrowed,
            one_run: self.knee.run,
            one_start: self.startup.run,
            knee: self.estimate(&knee, 0.0, wide),
            knee_open: own.is_some_and(|p| p.evidence.knee_open),
            startup: self.estimate(&startup, c.startup.bias, c.startup.width),
            cpu: self.estimate(&self.cpu.at(key), 0.0, 1.0),
            age: own.map(|p| self.reading.now.since(p.at)),
            half_life: self.reading.half_life,
            runs: own.map_or(0, |p| p.runs),
            samples: own.map_or(0, |p| p.samples),
        }
    }

    /// Out of the logarithm, with what calibration says of such predictions.
    fn estimate(&self, of: &Belief, bias: f64, width: f64) -> Estimate {
        if !of.any {
            return Estimate::default();
        }
        let (mean, spread) = (of.mean + bias, of.variance.sqrt() * width);
        Estimate {
            middle: mean.exp(),
            low: (mean - self.z * spread).exp(),
            high: (mean + self.z * spread).exp(),
            spread,
        }
    }
}

/// Standard deviations from the median to the quantile `sure` below it.
fn surely(sure: f64) -> f64 {
    let normal = Normal::standard();
    -normal.inverse_cdf(sure.clamp(1e-4, 0.5))
}

/// One place's runs of one quantity, as far as they still count.
struct Place<'a> {
    key: &'a ProfileKey,
    seen: Faded,
}

/// Who lends, runs by what is left of each, and a part of something.
type Loan<'a> = (&'a ProfileKey, f64, f64);

/// One voice on a class's mean.
struct Voice<'a> {
    precision: f64,
    mean: f64,
    /// Who speaks, and by which parts.
    who: Vec<Loan<'a>>,
}

/// What is believed of one place before it leaves the logarithm.
struct Belief<'a> {
    any: bool,
    mean: f64,
    variance: f64,
    own: f64,
    borrowed: f64,
    from: Vec<Loan<'a>>,
}

/// One quantity over all places of a release.
struct Pool<'a> {
    places: Vec<Place<'a>>,
    /// Standard deviations between runs, sites of a class, and classes.
    run: f64,
    site: f64,
    class: f64,
}

impl<'a> Pool<'a> {
    fn new(places: Vec<Place<'a>>) -> Self {
        let squares: f64 = places.iter().map(|p| p.seen.squares).sum();
        let free: f64 = places.iter().map(|p| (p.seen.runs - 1.0).max(0.0)).sum();
        let run = ((RUN_WEIGHT * RUN * RUN + squares) / (RUN_WEIGHT + free)).sqrt();
        let classes: BTreeSet<&NodeClass> = places.iter().map(|p| &p.key.class).collect();
        let of = |class: &NodeClass| -> Vec<(f64, f64)> {
            let own = places.iter().filter(|p| &p.key.class == class);
            own.map(|p| (p.seen.mean, run * run / p.seen.runs))
                .collect()
        };
        // Sites of all classes show how much sites of one class differ.
        let within: Vec<Vec<(f64, f64)>> = classes.iter().map(|c| of(c)).collect();
        let site = spread(&within, SITES);
        let means = within.iter().map(|all| mean_of(all, site * site));
        let class = spread(&[means.collect::<Vec<_>>()], CLASSES);
        Pool {
            places,
            run,
            site,
            class,
        }
    }

    /// The posterior of one place: the others' prior times its own likelihood.
    fn at(&self, key: &ProfileKey) -> Belief<'a> {
        let others = || self.places.iter().filter(|p| p.key != key);
        let alike: Vec<&Place> = others().filter(|p| p.key.class == key.class).collect();
        let mut unlike: BTreeMap<&NodeClass, Vec<&Place<'a>>> = BTreeMap::new();
        for p in others().filter(|p| p.key.class != key.class) {
            unlike.entry(&p.key.class).or_default().push(p);
        }
        let site = self.site * self.site;
        let noise = |p: &Place| self.run * self.run / p.seen.runs;
        let mut voices: Vec<Voice> = Vec::new();
        let classes: Vec<(f64, f64)> = unlike
            .values()
            .map(|all| {
                let all: Vec<(f64, f64)> = all.iter().map(|p| (p.seen.mean, noise(p))).collect();
                mean_of(&all, site)
            })
            .collect();
        if !classes.is_empty() {
            let class = self.class * self.class;
            let (mean, variance) = mean_of(&classes, class);
            let all: Vec<f64> = classes.iter().map(|(_, v)| 1.0 / (v + class)).collect();
            let total: f64 = all.iter().sum();
            let who = unlike.values().zip(&all).flat_map(|(places, w)| {
                let n = places.len() as f64;
                places
                    .iter()
                    .map(move |p| (p.key, p.seen.runs, w / total / n))
            });
            voices.push(Voice {
                precision: 1.0 / (variance + class),
                mean,
                who: who.collect(),
            });
        }
        for p in &alike {
            voices.push(Voice {
                precision: 1.0 / (noise(p) + site),
                mean: p.seen.mean,
                who: vec![(p.key, p.seen.runs, 1.0)],
            });
        }
        let own = self.places.iter().find(|p| p.key == key).map(|p| p.seen);
        self.together(own, &voices, site)
    }

    /// What the others say first, and then its own runs.
    fn together(&self, own: Option<Faded>, voices: &[Voice<'a>], site: f64) -> Belief<'a> {
        let noise = self.run * self.run;
        let known: f64 = voices.iter().map(|v| v.precision).sum();
        let any = own.is_some() || known > 0.0;
        // Where nothing lends, all that is known beforehand is that nothing is.
        let (middle, variance) = match known > 0.0 {
            true => {
                let sum: f64 = voices.iter().map(|v| v.precision * v.mean).sum();
                (sum / known, (1.0 / known + site).min(UNKNOWN * UNKNOWN))
            }
            false => (own.map_or(0.0, |o| o.mean), UNKNOWN * UNKNOWN),
        };
        let runs = own.map_or(0.0, |o| o.runs);
        let (prior, likely) = (1.0 / variance, runs / noise);
        let lent = match known > 0.0 {
            true => prior / (prior + likely),
            false => 0.0,
        };
        let from = voices.iter().flat_map(|v| {
            let part = lent * v.precision / known;
            v.who
                .iter()
                .map(move |(key, runs, of)| (*key, *runs, part * of))
        });
        Belief {
            any,
            mean: (prior * middle + likely * own.map_or(0.0, |o| o.mean)) / (prior + likely),
            variance: 1.0 / (prior + likely),
            own: runs,
            borrowed: if known > 0.0 { noise * prior } else { 0.0 },
            from: from.collect(),
        }
    }
}

/// Mean of values with variances, of which each also lies off by `between` (a variance), and the mean's variance.
fn mean_of(all: &[(f64, f64)], between: f64) -> (f64, f64) {
    let weights = all.iter().map(|(_, v)| 1.0 / (v + between));
    let total: f64 = weights.clone().sum();
    let sum: f64 = all.iter().zip(weights).map(|((x, _), w)| x * w).sum();
    (sum / total, 1.0 / total)
}

/// Standard deviation between the members of groups (DerSimonian-Laird, over all groups), with a prior of one member's worth.
fn spread(groups: &[Vec<(f64, f64)>], prior: f64) -> f64 {
    let (mut excess, mut weight, mut free) = (0.0, 0.0, 0.0);
    for all in groups.iter().filter(|g| g.len() > 1) {
        let w: Vec<f64> = all.iter().map(|(_, v)| 1.0 / v).collect();
        let total: f64 = w.iter().sum();
        let mean = all.iter().zip(&w).map(|((x, _), w)| x * w).sum::<f64>() / total;
        let q: f64 = all
            .iter()
            .zip(&w)
            .map(|((x, _), w)| w * (x - mean).powi(2))
            .sum();
        excess += q - (all.len() - 1) as f64;
        weight += total - w.iter().map(|w| w * w).sum::<f64>() / total;
        free += (all.len() - 1) as f64;
    }
    let seen = if weight > 0.0 {
        (excess / weight).max(0.0)
    } else {
        0.0
    };
    ((prior * prior + free * seen) / (1.0 + free)).sqrt()
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
