//! From what was and is known to an outlook: every portion's demand, every domain's hazard, and the futures that they make.

use super::dangers::Dangers;
use super::demand::{Fit, Forecast};
use super::events;
use super::hierarchy::{self, reconcile};
use super::scenarios::{self, Shock, scenarios};
use super::season;
use super::series::{Samples, clean};
use crate::model::*;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Points taken in one by one before a portion is fitted anew.
const REFIT: usize = 12;
/// Steps ahead at most, whatever the policy asks for.
const FURTHEST: usize = 1000;
/// A series that ended so many steps ago is late.
const LATE: i64 = 3;
/// Demand at a site that nobody can tell.
const SOMEWHERE: &str = "unknown";

/// What earlier outlooks have learnt, so that the next one need not begin anew. Losing it costs time, nothing else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fits {
    portions: BTreeMap<PortionId, (Fit, usize)>,
    total: Option<(Fit, usize)>,
}

/// Which portions each portion calls.
pub type Calls = BTreeMap<PortionId, Vec<PortionId>>;

/// The outlook at `now` over the policy's horizon, and the fits to hand in next time.
pub fn outlook(
    history: &History,
    world: &World,
    policy: &Policy,
    beliefs: &Beliefs,
    calls: &Calls,
    fits: &Fits,
    now: Moment,
) -> (Outlook, Fits) {
    let all = Dangers::of(history, world, policy, now);
    let known = (beliefs, calls, fits);
    outlook_among(&all, history, world, policy, known, now)
}

/// The same where the hazards of all that is seen have been told already.
pub fn outlook_among(
    dangers: &Dangers,
    history: &History,
    world: &World,
    policy: &Policy,
    (beliefs, calls, fits): (&Beliefs, &Calls, &Fits),
    now: Moment,
) -> (Outlook, Fits) {
    let mut next = Fits::default();
    let mut demand = BTreeMap::new();
    let mut plain: Vec<Cow<Samples>> = Vec::new();
    // A policy without portions (a test's) is about all of them.
    let ours: BTreeSet<&PortionId> = match policy.portions.is_empty() {
        true => history.demand.keys().collect(),
        false => policy.portions.iter().map(|p| &p.id).collect(),
    };
    let ours = ours.into_iter();
    for (portion, series) in ours.filter_map(|id| history.demand.get_key_value(id)) {
        if series.step.0 <= 0 || series.values.is_empty() {
            continue;
        }
        let without = events::without(series, policy, portion);
        let series = without.map_or(Cow::Borrowed(series), Cow::Owned);
        let width = beliefs.skill.get(portion).map_or(1.0, |s| s.width);
        let counted = window(world, portion);
        let known = fits.portions.get(portion);
        let (path, fit) = foretell(&series, policy, known, (width, counted), now);
        demand.insert(portion.clone(), path);
        next.portions.insert(portion.clone(), fit);
        plain.push(series);
    }
    let mut total = None;
    // A sum of which a part is not heard says nothing.
    if plain.iter().all(|s| now.since(end(s)).0 <= LATE * s.step.0) {
        let all: Vec<&Samples> = plain.iter().map(Cow::as_ref).collect();
        if let Some(sum) = hierarchy::total(&all) {
            let (path, fit) = foretell(&sum, policy, fits.total.as_ref(), (1.0, None), now);
            next.total = Some(fit);
            total = Some(path);
        }
    }
    let called = reconcile(&mut demand, total.as_mut(), &history.demand, calls);
    events::apply(&mut demand, &called, policy, now);
    if let Some(total) = &mut total {
        add_up(total, &demand);
    }
    let carrying = carrying(world, policy);
    let hazards = dangers.concerning(world, policy, &carrying);
    let outlook = Outlook {
        at: now,
        horizon: policy.horizon,
        sites: sites(&demand, world, policy),
        scenarios: Shared::new(prospects(dangers, &hazards, &demand, &carrying)),
        demand,
        total,
        hazards,
    };
    (outlook, next)
}

/// One series' path by itself, and the fit behind it.
fn foretell(
    series: &Samples,
    policy: &Policy,
    known: Option<&(Fit, usize)>,
    (width, counted): (f64, Option<f64>),
    now: Moment,
) -> (DemandPath, (Fit, usize)) {
    let horizon = steps_until(series, now + policy.horizon);
    let (fit, age) = fitted(series, horizon, policy, known);
    let mut forecast = fit.forecast_counted(horizon, &LEVELS, width, counted);
    let late = now.since(fit.at);
    if late.0 > LATE * series.step.0 {
        let text = format!("the last reading is {:.0} s old", late.as_secs_f64());
        forecast.warnings.push(text);
    }
    (path(&forecast, series.step, now), (fit, age))
}

/// The total's mean is the sum of the portions' at every point.
fn add_up(total: &mut DemandPath, demand: &BTreeMap<PortionId, DemandPath>) {
    for k in 0..total.points.len() {
        let parts = demand.values().filter_map(|p| p.points.get(k));
        let (from, to) = (total.points[k].mean.0, parts.map(|p| p.mean.0).sum::<f64>());
        if from > 0.0 {
            let grown = to / from;
            total.points[k]
                .quantiles
                .iter_mut()
                .for_each(|q| q.0 *= grown);
        }
        total.points[k].mean = Rps(to);
    }
    total.components.event = demand.values().map(|p| p.components.event).sum();
}

/// Where each portion's requests are served now, as parts of one: by the shares in force, else by where its instances run.
fn served(portion: &PortionPolicy, world: &World) -> BTreeMap<Site, f64> {
    let front = portion.front.as_ref().and_then(|f| world.fronts.get(f));
    let target = front.and_then(|f| f.target.as_ref()?.value()?.as_ref());
    let mut parts: BTreeMap<Site, f64> = BTreeMap::new();
    for i in target.into_iter().flat_map(|t| &t.instances) {
        *parts.entry(i.site.clone()).or_default() += i.share.fraction();
    }
    if parts.values().sum::<f64>() <= 0.0 {
        let allocs = world.allocs.value().into_iter();
        let running = allocs.flat_map(|all| all.of(&portion.job));
        let of = |a: &&Alloc| a.holds() && portion.groups.contains(&a.group);
        for alloc in running.filter(of) {
            if let Some(site) = world.site_of(&alloc.node) {
                *parts.entry(site.clone()).or_default() += 1.0;
            }
        }
    }
    let sum: f64 = parts.values().sum();
    parts
        .values_mut()
        .for_each(|p| *p /= sum.max(f64::MIN_POSITIVE));
    parts
}

/// The portions' means by where they are served: at each point they sum to the total.
fn sites(
    demand: &BTreeMap<PortionId, DemandPath>,
    world: &World,
    policy: &Policy,
) -> BTreeMap<Site, Vec<(Moment, Rps)>> {
    let told = || demand.iter().filter(|(_, p)| !p.points.is_empty());
    let points = told().map(|(_, p)| p.points.len()).min().unwrap_or(0);
    let mut out: BTreeMap<Site, Vec<(Moment, Rps)>> = BTreeMap::new();
    for (id, path) in told() {
        let mut parts = policy
            .portion(id)
            .map(|p| served(p, world))
            .unwrap_or_default();
        if parts.values().sum::<f64>() <= 0.0 {
            parts = BTreeMap::from([(Site::new(SOMEWHERE), 1.0)]);
        }
        for (site, part) in parts {
            let blank = || {
                path.points[..points]
                    .iter()
                    .map(|p| (p.at, Rps(0.0)))
                    .collect()
            };
            let sums = out.entry(site).or_insert_with(blank);
            for (sum, p) in sums.iter_mut().zip(&path.points) {
                sum.1 = sum.1 + Rps(p.mean.0 * part);
            }
        }
    }
    out
}

/// The nodes that carry the policy's portions, or something of ours.
fn carrying<'a>(world: &'a World, policy: &Policy) -> BTreeSet<&'a NodeId> {
    let of_policy = policy.portions.iter().map(|p| &p.job);
    let jobs = world.jobs.value().into_iter().flat_map(BTreeMap::keys);
    let ours = jobs.filter(|j| j.as_str().starts_with(OURS));
    let jobs: BTreeSet<&JobId> = of_policy.chain(ours).collect();
    let allocs = world.allocs.value().into_iter();
    let of_jobs = allocs.flat_map(|all| jobs.iter().flat_map(|job| all.of(job)));
    of_jobs.filter(|a| a.holds()).map(|a| &a.node).collect()
}

/// Joint futures of demand and of what carries the policy's portions: a node that holds none of them changes nothing.
fn prospects(
    dangers: &Dangers,
    hazards: &[Arc<Hazard>],
    demand: &BTreeMap<PortionId, DemandPath>,
    carrying: &BTreeSet<&NodeId>,
) -> Scenarios {
    let shocks: Vec<Shock> = hazards
        .iter()
        .filter(|h| !matches!(&h.domain, Domain::Node(n) if !carrying.contains(n)))
        .map(|h| Shock {
            domain: h.domain.clone(),
            probability: h.within.0,
            part: dangers.part(&h.domain),
        })
        .collect();
    let peak = |level: f64| -> f64 {
        let peaks = demand.values().flat_map(|p| {
            p.points
                .iter()
                .map(|q| q.at_level(level).0)
                .reduce(f64::max)
        });
        peaks.sum()
    };
    let usual = peak(0.5).max(f64::MIN_POSITIVE);
    let multiples = scenarios::DEMAND.map(|level| {
        if demand.is_empty() {
            1.0
        } else {
            peak(level) / usual
        }
    });
    scenarios(&shocks, multiples, scenarios::MOST)
}

/// Jobs of ours begin so.
const OURS: &str = "foreshadow-";

/// Seconds over which a portion's rate is counted, as its last reading tells.
fn window(world: &World, portion: &PortionId) -> Option<f64> {
    let traffic = world.traffic.get(portion)?.value()?;
    (traffic.rate.0 > 0.0 && traffic.samples > 0).then(|| traffic.samples as f64 / traffic.rate.0)
}

fn end(series: &Samples) -> Moment {
    series.start + series.step.times(series.values.len() as i64 - 1)
}

fn steps_until(series: &Samples, until: Moment) -> usize {
    let ahead = until.since(end(series)).0.max(0) as u64;
    (ahead.div_ceil(series.step.0 as u64) as usize).clamp(1, FURTHEST)
}

/// The known fit moved on by the points since, or a new one (warm where there was one).
fn fitted(
    series: &Samples,
    horizon: usize,
    policy: &Policy,
    known: Option<&(Fit, usize)>,
) -> (Fit, usize) {
    if let Some((fit, age)) = known {
        let since = end(series).since(fit.at).0;
        let points = since / series.step.0;
        let aligned = fit.step == series.step && since >= 0 && since % series.step.0 == 0;
        let reach = fit.horizon() >= horizon;
        if aligned && reach && (*age as i64 + points) < REFIT as i64 {
            let mut fit = fit.clone();
            let from = series.values.len().saturating_sub(points as usize);
            series.values[from..].iter().for_each(|v| fit.observe(*v));
            return (fit, age + points as usize);
        }
    }
    let warm = known.map(|k| &k.0).filter(|f| f.step == series.step);
    // A little further than asked, so that a few late readings do not force the next fit.
    let reach = horizon + REFIT / 2;
    let seasons = match warm {
        Some(w) if !w.seasons.is_empty() => w.seasons.clone(),
        _ => seasons(series, policy.season),
    };
    (Fit::new(series, reach, Some(&seasons), warm), 0)
}

/// The seasons found; one close to the policy's is taken for that.
fn seasons(series: &Samples, calendar: Span) -> Vec<usize> {
    let known = (calendar.0 / series.step.0).max(0) as usize;
    let clean = clean(series);
    let y = clean.y.as_slice().unwrap_or(&[]);
    season::find(y, series.step)
        .into_iter()
        .map(|s| {
            if s.period.abs_diff(known) * 30 <= known {
                known
            } else {
                s.period
            }
        })
        .collect()
}

fn path(f: &Forecast, step: Span, now: Moment) -> DemandPath {
    let past = f.points.partition_point(|p| p.at <= now);
    let points = f.points[past..]
        .iter()
        .map(|p| DemandPoint {
            at: p.at,
            mean: Rps(p.mean),
            quantiles: std::array::from_fn(|k| Rps(p.quantiles[k])),
        })
        .collect();
    let because = match f.parts.first() {
        Some(p) => format!(
            "level {:.1}, trend {:+.2}, season {:+.1} rps at the next step, by {}",
            p.level, p.trend, p.season, f.model
        ),
        None => f.model.clone(),
    };
    let mut models: Vec<(Cow<str>, f64)> = f
        .fit
        .members
        .iter()
        .map(|(m, w)| (m.name().into(), *w))
        .collect();
    models.sort_by(|a, b| b.1.total_cmp(&a.1));
    let parts = f.parts.first();
    DemandPath {
        models: models.into(),
        components: Components {
            level: parts.map_or(0.0, |p| p.level),
            trend: parts.map_or(0.0, |p| p.trend),
            season: parts.map_or(0.0, |p| p.season),
            event: 0.0,
            reconciled: 0.0,
        },
        model: f.model.as_str().into(),
        seasons: f.seasons.clone(),
        step,
        points,
        warnings: f.warnings.clone(),
        because: because.into(),
    }
}

#[cfg(test)]
mod tests;
