//! From what was and is known to an outlook: every portion's demand and every domain's hazard.

use super::demand::{Fit, Forecast};
use super::hazard::{Subject, Watch, hazards};
use super::season;
use super::series::{Samples, clean};
use crate::model::{
    Beliefs, DemandPath, DemandPoint, Domain, Hazard, History, LEVELS, Moment, Outlook, Policy,
    PortionId, Rps, Span, World,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Points taken in one by one before a portion is fitted anew.
const REFIT: usize = 12;
/// Steps ahead at most, whatever the policy asks for.
const FURTHEST: usize = 1000;

/// What earlier outlooks have learnt, so that the next one need not begin anew. Losing it costs time, nothing else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fits(BTreeMap<PortionId, (Fit, usize)>);

/// The outlook at `now` over the policy's horizon, and the fits to hand in next time.
pub fn outlook(
    history: &History,
    world: &World,
    policy: &Policy,
    beliefs: &Beliefs,
    fits: &Fits,
    now: Moment,
) -> (Outlook, Fits) {
    let mut next = Fits::default();
    let mut demand = BTreeMap::new();
    for (portion, series) in &history.demand {
        if series.step.0 <= 0 || series.values.is_empty() {
            continue;
        }
        let horizon = steps_until(series, now + policy.horizon);
        let (fit, age) = fitted(series, horizon, policy, fits.0.get(portion));
        let width = beliefs.skill.get(portion).map_or(1.0, |s| s.width);
        let counted = window(world, portion);
        let mut forecast = fit.forecast_counted(horizon, &LEVELS, width, counted);
        let late = now.since(fit.at);
        if late.0 > 3 * series.step.0 {
            let text = format!("the last reading is {:.0} s old", late.as_secs_f64());
            forecast.warnings.push(text);
        }
        demand.insert(portion.clone(), path(&forecast, series.step, now));
        next.0.insert(portion.clone(), (fit, age));
    }
    let outlook = Outlook {
        at: now,
        horizon: policy.horizon,
        demand,
        hazards: dangers(history, world, policy, now),
    };
    (outlook, next)
}

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
    let points = f
        .points
        .iter()
        .filter(|p| p.at > now)
        .map(|p| DemandPoint {
            at: p.at,
            mean: Rps(p.mean),
            quantiles: p.quantiles.iter().map(|q| Rps(*q)).collect(),
        })
        .collect();
    let because = match f.parts.first() {
        Some(p) => format!(
            "level {:.1}, trend {:+.2}, season {:+.1} rps at the next step, by {}",
            p.level, p.trend, p.season, f.model
        ),
        None => f.model.clone(),
    };
    DemandPath {
        model: f.model.clone(),
        seasons: f.seasons.clone(),
        step,
        points,
        warnings: f.warnings.clone(),
        because,
    }
}

/// Hazards of the nodes that are seen and of their sites; none while the nodes are unknown.
fn dangers(history: &History, world: &World, policy: &Policy, now: Moment) -> Vec<Hazard> {
    let Some(nodes) = world.nodes.value() else {
        return Vec::new();
    };
    let sites: BTreeSet<_> = nodes.iter().map(|n| n.site.clone()).collect();
    let mut subjects: Vec<Subject> = nodes
        .iter()
        .map(|n| Subject {
            domain: Domain::Node(n.id.clone()),
            name: n.name.clone(),
            class: n.class.to_string(),
            site: n.site.to_string(),
        })
        .collect();
    subjects.extend(sites.into_iter().map(|s| Subject {
        name: s.to_string(),
        class: String::new(),
        site: s.to_string(),
        domain: Domain::Site(s),
    }));
    let watch = Watch {
        since: history.watched_since,
        now,
        season: policy.season,
        horizon: policy.horizon,
    };
    hazards(&subjects, &history.availability, &watch)
}
