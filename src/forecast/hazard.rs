//! What may fail, how soon, and for how long: Gamma–Poisson rates from observed failures, pooled and forgetting.
//!
//! Gelman et al., "Bayesian Data Analysis" (3rd ed.), ch. 2.6 and 5 (Gamma–Poisson, pooling); West & Harrison (1997) for
//! exponential forgetting; Fisher, "Statistical Analysis of Circular Data" (1993), for the hour of the season.

use crate::model::{
    Availability, Domain, Hazard, Moment, Probability, Span, SubjectKind, link_name,
};
use std::collections::{BTreeMap, HashMap};
use std::f64::consts::TAU;

const HOUR: f64 = 3_600_000.0;
/// Before anything was seen: a node fails once in this many seasons, a link in twice and a site in three times as many.
const SEASONS_BETWEEN: f64 = 30.0;
/// An outage that begins so much of a season before or after its site's is that site's.
const SAME: i64 = 50;
/// Half of a failure's weight is gone after this many seasons.
const HALF_LIFE: f64 = 60.0;
/// How much a pool's rate counts for one of its members, in failures.
const POOLED: f64 = 2.0;
/// How much a flat profile over the season counts, in failures.
const FLAT: f64 = 15.0;
/// Concentration of the kernel over the season's phase (von Mises): about a tenth of the season wide.
const KERNEL: f64 = 8.0;
/// A cycle must have been watched so often before failures are said to follow it.
const CYCLES: i64 = 3;
/// Seasons after which a calendar repeats.
const WEEK: i64 = 7;
/// Rayleigh's n·R̄² above which failures are taken to follow the hour (p = 0.01).
const RAYLEIGH: f64 = 4.6;

/// Something that can fail.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    pub domain: Domain,
    /// What its history goes by: a node's name, the site's, or a link's two sites.
    pub name: String,
    /// A node's class; for sites, their kind or nothing.
    pub class: String,
    /// A link lies at no site.
    pub site: String,
}

impl Subject {
    /// The way between two sites.
    pub fn link(a: &crate::model::Site, b: &crate::model::Site) -> Subject {
        Subject {
            domain: Domain::link(a, b),
            name: link_name(a, b),
            class: String::new(),
            site: String::new(),
        }
    }
    fn kind(&self) -> SubjectKind {
        match self.domain {
            Domain::Node(_) => SubjectKind::Node,
            Domain::Site(_) => SubjectKind::Site,
            Domain::Link(..) => SubjectKind::Link,
        }
    }
    /// The sites whose outage takes it along.
    fn within(&self) -> Vec<&str> {
        match &self.domain {
            Domain::Node(_) => vec![self.site.as_str()],
            Domain::Site(_) => Vec::new(),
            Domain::Link(a, b) => vec![a.as_str(), b.as_str()],
        }
    }
}

/// From when to when failures were watched, how long the season is, and how far ahead to look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watch {
    pub since: Moment,
    pub now: Moment,
    pub season: Span,
    pub horizon: Span,
}

/// How long a repair takes: exponential with an uncertain rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repair {
    /// Repairs it rests on, the prior's one among them.
    shape: f64,
    total_ms: f64,
}

impl Repair {
    pub fn mean(&self) -> Span {
        Span((self.total_ms / self.shape) as i64)
    }
    /// The time within which the fraction `p` of repairs is done (Lomax predictive).
    pub fn quantile(&self, p: f64) -> Span {
        let p = p.clamp(0.0, 0.999);
        Span((self.total_ms * ((1.0 - p).powf(-1.0 / self.shape) - 1.0)) as i64)
    }
}

/// One subject's past.
#[derive(Clone, Debug, Default)]
struct Past {
    /// Outages as (down, up); an open one ends at `None`.
    outages: Vec<(Moment, Option<Moment>)>,
    failures: f64,
    /// Hours up, forgetting.
    exposure: f64,
}

/// Weighted failures and hours.
#[derive(Clone, Copy, Debug, Default)]
struct Tally(f64, f64);

impl Tally {
    fn add(&mut self, p: &Past) {
        self.0 += p.failures;
        self.1 += p.exposure;
    }
    /// Failures an hour, drawn towards `prior` as if that had been seen in `POOLED` failures.
    fn rate(self, prior: f64) -> f64 {
        (POOLED + self.0) / (POOLED / prior + self.1)
    }
}

/// Hazards of all `subjects`, in their order. `within` is the probability of being down at some time from now to the
/// horizon; what is down now has 1. An outage of a node that its site shares counts for the site alone, and so does a
/// link's that one of its ends shares.
pub fn hazards(subjects: &[Subject], events: &[Availability], watch: &Watch) -> Vec<Hazard> {
    let mut told: HashMap<(SubjectKind, &str), Vec<&Availability>> = HashMap::new();
    let watched = |e: &&Availability| e.at >= watch.since && e.at <= watch.now;
    for e in events.iter().filter(watched) {
        told.entry((e.kind, &e.subject)).or_default().push(e);
    }
    let mut pasts: Vec<Past> = subjects
        .iter()
        .map(|s| {
            past(
                told.remove(&(s.kind(), s.name.as_str()))
                    .unwrap_or_default(),
            )
        })
        .collect();
    blame_sites(subjects, &mut pasts, watch);
    for p in &mut pasts {
        weigh(p, watch);
    }
    let kinds = [SubjectKind::Node, SubjectKind::Site, SubjectKind::Link];
    let kinds = kinds.map(|kind| Kind::of(kind, subjects, &pasts, watch));
    subjects
        .iter()
        .zip(&pasts)
        .map(|(s, p)| kinds[s.kind() as usize].hazard(s, p, watch))
        .collect()
}

/// What all nodes, all sites, or all links have in common.
struct Kind {
    base: f64,
    all: Tally,
    classes: BTreeMap<String, Tally>,
    sites: BTreeMap<String, Tally>,
    /// When something fell, and how much that still counts.
    falls: Vec<(Moment, f64)>,
    repair: Repair,
    /// How much more often things fall at this time of the season, and in how many such hours within the horizon.
    now: f64,
    hours: f64,
}

impl Kind {
    fn of(of: SubjectKind, subjects: &[Subject], pasts: &[Past], w: &Watch) -> Kind {
        let season_hours = (w.season.0.max(1)) as f64 / HOUR;
        let rarer = match of {
            SubjectKind::Node => 1.0,
            SubjectKind::Link => 2.0,
            SubjectKind::Site => 3.0,
        };
        let base = 1.0 / (SEASONS_BETWEEN * rarer * season_hours);
        let mut kind = Kind {
            base,
            all: Tally::default(),
            classes: BTreeMap::new(),
            sites: BTreeMap::new(),
            falls: Vec::new(),
            // Ten minutes of a day.
            repair: Repair {
                shape: 2.0,
                total_ms: 2.0 * w.season.0.max(1) as f64 / 144.0,
            },
            now: 1.0,
            hours: 0.0,
        };
        for (s, p) in subjects.iter().zip(pasts).filter(|(s, _)| s.kind() == of) {
            kind.all.add(p);
            kind.classes.entry(s.class.clone()).or_default().add(p);
            kind.sites.entry(s.site.clone()).or_default().add(p);
            for (down, up) in &p.outages {
                let weight = forgotten(*down, w);
                kind.falls.push((*down, weight));
                // An outage that goes on has not ended yet: its time counts, its end does not.
                kind.repair.shape += weight * f64::from(u8::from(up.is_some()));
                kind.repair.total_ms += weight * up.unwrap_or(w.now).since(*down).0 as f64;
            }
        }
        kind.now = kind.hourly(w.now, w);
        kind.hours = w.horizon.0.max(0) as f64 / HOUR * kind.hourly_over(w);
        kind
    }

    fn hazard(&self, s: &Subject, p: &Past, w: &Watch) -> Hazard {
        let all = self.all.rate(self.base);
        let ratio = |pool: Option<&Tally>| pool.map_or(1.0, |t| t.rate(all) / all);
        // A site's own pool is the site itself, and a link has none.
        let place = match s.kind() {
            SubjectKind::Node => ratio(self.sites.get(&s.site)),
            SubjectKind::Site | SubjectKind::Link => 1.0,
        };
        let prior = all * ratio(self.classes.get(&s.class)) * place;
        let mean = Tally(p.failures, p.exposure).rate(prior);
        let (now, hours) = (self.now, self.hours);
        let (shape, rate) = (POOLED + p.failures, POOLED / prior + p.exposure);
        let fails = 1.0 - (rate / (rate + hours)).powf(shape);
        let down = p.outages.last().filter(|o| o.1.is_none());
        Hazard {
            domain: s.domain.clone(),
            name: s.name.clone(),
            per_hour: mean * now,
            within: Probability(if down.is_some() {
                1.0
            } else {
                fails.clamp(0.0, 1.0)
            }),
            repair: self.repair.mean(),
            why: self.why(p, w, mean, now, down.map(|o| o.0)),
        }
    }

    fn why(&self, p: &Past, w: &Watch, mean: f64, now: f64, down: Option<Moment>) -> String {
        let ended = p.outages.len();
        let watched = w.now.since(w.since).0.max(0) as f64 / HOUR;
        let mut text = match down {
            Some(at) => format!("down for {:.0} s; ", w.now.since(at).as_secs_f64()),
            None => String::new(),
        };
        text += &format!(
            "{ended} failure{} in {watched:.1} h watched, {mean:.3} an hour with those of its class and site; repairs take {:.0} s, nine in ten within {:.0} s",
            if ended == 1 { "" } else { "s" },
            self.repair.mean().as_secs_f64(),
            self.repair.quantile(0.9).as_secs_f64(),
        );
        if (now - 1.0).abs() > 0.05 {
            text += &format!("; {now:.1} times as often at this time of the season");
        }
        text
    }

    /// Factor on the rate at this time of the day and of the week (seven seasons); 1 for each unless the failures' phases
    /// differ clearly from chance.
    fn hourly(&self, at: Moment, w: &Watch) -> f64 {
        // Of a cycle seen but in part, the part that was seen would look like the one in which things fail.
        let whole = |cycle: &Span| w.now.since(w.since) >= cycle.times(CYCLES);
        let cycles = [w.season, w.season.times(WEEK)];
        let known = cycles.into_iter().filter(whole);
        known.map(|cycle| self.at_phase(at, cycle)).product()
    }

    fn at_phase(&self, at: Moment, cycle: Span) -> f64 {
        let phases: Vec<(f64, f64)> = self
            .falls
            .iter()
            .map(|(t, w)| (phase(*t, cycle), *w))
            .collect();
        let n: f64 = phases.iter().map(|p| p.1).sum();
        let (c, s) = phases.iter().fold((0.0, 0.0), |(c, s), (x, w)| {
            (c + w * x.cos(), s + w * x.sin())
        });
        if n < 1.0 || (c * c + s * s) / n < RAYLEIGH {
            return 1.0;
        }
        let here = phase(at, cycle);
        let density: f64 = phases
            .iter()
            .map(|(x, w)| w * (KERNEL * ((here - x).cos() - 1.0)).exp())
            .sum();
        (density / flat_kernel() + FLAT) / (n + FLAT)
    }

    fn hourly_over(&self, w: &Watch) -> f64 {
        let steps = 16;
        let at = |k: i64| w.now + Span(w.horizon.0 * (2 * k + 1) / (2 * steps));
        (0..steps).map(|k| self.hourly(at(k), w)).sum::<f64>() / steps as f64
    }
}

/// Mean of the kernel over the circle.
fn flat_kernel() -> f64 {
    let steps = 64;
    (0..steps)
        .map(|k| (KERNEL * ((TAU * f64::from(k) / f64::from(steps)).cos() - 1.0)).exp())
        .sum::<f64>()
        / f64::from(steps)
}

fn phase(at: Moment, season: Span) -> f64 {
    let season = season.0.max(1);
    TAU * at.0.rem_euclid(season) as f64 / season as f64
}

fn half_life(w: &Watch) -> f64 {
    HALF_LIFE * w.season.0.max(1) as f64
}

fn forgotten(at: Moment, w: &Watch) -> f64 {
    0.5f64.powf(w.now.since(at).0.max(0) as f64 / half_life(w))
}

fn past(mut mine: Vec<&Availability>) -> Past {
    mine.sort_by_key(|e| (e.at, e.up));
    let mut outages: Vec<(Moment, Option<Moment>)> = Vec::new();
    for e in mine {
        let open = outages.last_mut().filter(|o| o.1.is_none());
        match (open, e.up) {
            (Some(o), true) => o.1 = Some(e.at),
            (None, false) => outages.push((e.at, None)),
            // Told twice.
            _ => {}
        }
    }
    Past {
        outages,
        ..Past::default()
    }
}

/// Takes from nodes and links the closed outages that began while a site of theirs was out.
fn blame_sites(subjects: &[Subject], pasts: &mut [Past], w: &Watch) {
    let slack = Span(w.season.0 / SAME);
    let shared: BTreeMap<String, Vec<(Moment, Option<Moment>)>> = subjects
        .iter()
        .zip(pasts.iter())
        .filter(|(s, _)| s.kind() == SubjectKind::Site)
        .map(|(s, p)| (s.name.clone(), p.outages.clone()))
        .collect();
    for (s, p) in subjects.iter().zip(pasts.iter_mut()) {
        for site in s.within().into_iter().filter_map(|site| shared.get(site)) {
            p.outages.retain(|(down, up)| {
                let caused = |o: &(Moment, Option<Moment>)| {
                    *down >= o.0 - slack && *down <= o.1.unwrap_or(w.now) + slack
                };
                up.is_none() || !site.iter().any(caused)
            });
        }
    }
}

/// Failures and hours up, each weighted by how long ago they were.
fn weigh(p: &mut Past, w: &Watch) {
    let decay = half_life(w) / std::f64::consts::LN_2;
    let hours = |from: Moment, to: Moment| {
        decay * (forgotten(to, w) - forgotten(from.max(w.since), w)).max(0.0) / HOUR
    };
    p.failures = p.outages.iter().map(|o| forgotten(o.0, w)).sum();
    let down: f64 = p
        .outages
        .iter()
        .map(|o| hours(o.0, o.1.unwrap_or(w.now)))
        .sum();
    p.exposure = (hours(w.since, w.now) - down).max(0.0);
}

#[cfg(test)]
mod tests;
