//! One series' forecast: a pool of models, mixed by how they did lately, with a band from their own errors.

use super::bands::{Bands, FEWEST, normal};
use super::bend::Bend;
use super::combine::{self, Past};
use super::direct;
use super::pool::{Learnt, Member, Pool, recency};
use super::season;
use super::series::{Clean, Samples, clean, reading};
use super::smoothing::{self, Smoother};
use super::trail::Trail;
use crate::model::counted;
use crate::model::{Moment, Span};
use ndarray::Array1;
use serde::{Deserialize, Serialize};

/// A series shorter than this gets its last values and a guessed band.
const SHORTEST: usize = 16;

/// A forecast is at most so many times the highest value seen: an unbent trend may run away.
const BEYOND: f64 = 2.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub at: Moment,
    pub mean: f64,
    /// One value for each level asked for, in that order.
    pub quantiles: Vec<f64>,
}

/// What the smoothing sees at one horizon: the parts that add up to its forecast.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    pub level: f64,
    pub trend: f64,
    pub season: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// The models and their weights, the heaviest first.
    pub model: String,
    /// In steps, the shorter first.
    pub seasons: Vec<usize>,
    pub points: Vec<Point>,
    pub parts: Vec<Parts>,
    pub warnings: Vec<String>,
    /// To forecast from when the next point comes, or to start the next fit from.
    pub fit: Fit,
}

/// All that was learnt from a series, and where it stands; in units of `scale`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    pub seasons: Vec<usize>,
    /// The last point.
    pub at: Moment,
    pub step: Span,
    /// Models and weights, which sum to one.
    pub members: Vec<(Member, f64)>,
    scale: f64,
    bend: Bend,
    /// The highest value seen, over `scale`.
    highest: f64,
    horizon: usize,
    learnt: Learnt,
    bands: Bands,
    warnings: Vec<String>,
}

/// Forecasts `horizon` points after the last of `samples`, with quantiles at `quantiles` (any order, within 0 and 1).
/// `seasons` in steps are honoured as given, or found when `None`. `warm` is an earlier fit of the same series; `width`
/// is a factor on the band's half-width (1 for as it is). The same input gives the same output.
pub fn forecast(
    samples: &Samples,
    horizon: usize,
    seasons: Option<&[usize]>,
    quantiles: &[f64],
    warm: Option<&Fit>,
    width: f64,
) -> Forecast {
    Fit::new(samples, horizon, seasons, warm).forecast(horizon, quantiles, width)
}

impl Fit {
    /// Learns from a series, for forecasts up to `horizon` points ahead.
    pub fn new(
        samples: &Samples,
        horizon: usize,
        seasons: Option<&[usize]>,
        warm: Option<&Fit>,
    ) -> Fit {
        Fit::learn(samples, horizon, seasons, warm, None)
    }

    /// The same with all weight on one member, to see how it would do by itself. Where the series has no such member
    /// (`level` needs a season, `direct` enough points), the weights are as in [`Fit::new`].
    pub fn alone(
        samples: &Samples,
        horizon: usize,
        seasons: Option<&[usize]>,
        member: Member,
    ) -> Fit {
        Fit::learn(samples, horizon, seasons, None, Some(member))
    }

    fn learn(
        samples: &Samples,
        horizon: usize,
        seasons: Option<&[usize]>,
        warm: Option<&Fit>,
        only: Option<Member>,
    ) -> Fit {
        let mut clean = clean(samples);
        let found = seasons.is_none();
        let seasons = chosen(&mut clean, samples.step, seasons, warm);
        let horizon = horizon.max(1);
        let n = clean.y.len();
        let highest = clean.y.iter().copied().fold(0.0, f64::max);
        if clean.observed() < SHORTEST {
            return Fit::short(clean, samples, horizon);
        }
        let bend = Bend::of(slice(&clean.y));
        clean.y.mapv_inplace(|v| bend.forth(v));
        let periods = if found {
            customary(&seasons, n, samples.step)
        } else {
            seasons.clone()
        };
        let pool = Pool::fit(&clean, &seasons, &periods, horizon, warm.map(|w| &w.learnt));
        let recency = recency(n - pool.burn + 1, &seasons);
        let past = Past {
            rolled: &pool.rolled,
            ahead: &pool.ahead,
            y: slice(&clean.y),
            seen: &clean.seen,
            burn: pool.burn,
            recency: &recency,
        };
        let weights = weights(&past, &pool.members, warm, only);
        let bands = Bands::fit(
            &past,
            &combine::mixed(&pool.rolled, &weights),
            seasons.last().copied().unwrap_or(0),
        );
        let bands = bands.unwrap_or_else(|| {
            clean.warnings.push(format!(
                "few readings ({}) for {} ahead: the band is a guess",
                clean.observed(),
                counted(horizon, "step")
            ));
            Bands::guess(spread(&clean), horizon)
        });
        let mut learnt = pool.learnt;
        learnt.forget(horizon);
        Fit {
            at: last(samples),
            step: samples.step,
            members: pool.members.into_iter().zip(weights).collect(),
            scale: clean.scale,
            bend,
            highest,
            horizon,
            learnt,
            bands,
            warnings: clean.warnings,
            seasons,
        }
    }

    /// For a series that is too short to learn from: its recent mean, and a wide guess.
    fn short(clean: Clean, samples: &Samples, horizon: usize) -> Fit {
        let mut warnings = clean.warnings.clone();
        warnings.push(match clean.observed() {
            0 => "no reading at all: the forecast is zero and means nothing".to_string(),
            k => format!(
                "only {}: the forecast is their level and the band a guess",
                counted(k, "reading")
            ),
        });
        let params = smoothing::Params {
            alpha: 0.5,
            beta: 0.01,
            phi: 0.8,
            gamma: Vec::new(),
        };
        let y = slice(&clean.y);
        let first = y
            .iter()
            .zip(&clean.seen)
            .find(|(_, s)| **s)
            .map_or(0.0, |(v, _)| *v);
        let mut state = smoothing::first_state(&[first], &[], 1);
        for (v, seen) in y.iter().zip(&clean.seen) {
            state.take(&params, seen.then_some(*v));
        }
        let mut learnt = Learnt::of(Smoother { params, state }, Trail::new(y, &[]));
        learnt.forget(horizon);
        Fit {
            seasons: Vec::new(),
            at: last(samples),
            step: samples.step,
            members: vec![(Member::Smoothing, 1.0)],
            scale: clean.scale,
            bend: Bend::new(1.0),
            highest: f64::MAX,
            horizon,
            learnt,
            bands: Bands::guess(spread(&clean), horizon),
            warnings,
        }
    }

    /// Points ahead that it learnt to forecast.
    pub fn horizon(&self) -> usize {
        self.horizon
    }

    /// The power that the series was fitted under: 1 as it is, 0 its logarithm.
    pub fn power(&self) -> f64 {
        self.bend.power()
    }

    /// Takes one more point in without a refit; a value that is not finite is a gap.
    pub fn observe(&mut self, value: f64) {
        let foretold = self.mixed(1).0[0];
        let read = reading(value).map(|v| v / self.scale);
        self.highest = read.map_or(self.highest, |v| v.max(self.highest));
        let read = read.map(|v| self.bend.forth(v));
        self.bands.surprise(read.map(|v| v - foretold));
        self.learnt.take(read, foretold);
        self.learnt.forget(self.horizon);
        self.at = self.at + self.step;
    }

    /// The mix, and the members' mean distance from it.
    fn mixed(&self, horizon: usize) -> (Vec<f64>, Vec<f64>) {
        let members: Vec<Member> = self.members.iter().map(|m| m.0).collect();
        let paths = self.learnt.paths(&members, horizon);
        let mut mix = Array1::zeros(horizon);
        for ((_, weight), path) in self.members.iter().zip(&paths) {
            mix.scaled_add(*weight, path);
        }
        let mut spread = Array1::zeros(horizon);
        for p in &paths {
            spread += &(p - &mix).mapv(f64::abs);
        }
        (mix.to_vec(), (spread / paths.len().max(1) as f64).to_vec())
    }

    /// Forecasts from where the fit stands.
    pub fn forecast(&self, horizon: usize, quantiles: &[f64], width: f64) -> Forecast {
        self.forecast_counted(horizon, quantiles, width, None)
    }

    /// The same for readings that count events over so many units of time (requests over seconds, of a series in
    /// requests a second): their own Poisson noise is the least that a band allows for, whatever the past shows, since
    /// a past that was smoothed or played from a file does not show it.
    pub fn forecast_counted(
        &self,
        horizon: usize,
        quantiles: &[f64],
        width: f64,
        counted: Option<f64>,
    ) -> Forecast {
        let width = match width.is_finite() {
            true => width.clamp(0.05, 20.0),
            false => 1.0,
        };
        let damped = smoothing::State::damped(&self.learnt.smooth.params, horizon);
        let state = &self.learnt.smooth.state;
        let (mix, spread) = self.mixed(horizon);
        let levels: Vec<f64> = quantiles.iter().copied().chain([0.5]).collect();
        let points = self
            .bands
            .around(&mix, &spread, &levels)
            .into_iter()
            .zip(1..)
            .map(|((mean, q), h)| {
                let mut q: Vec<f64> = q.into_iter().map(|v| self.unbent(v)).collect();
                let middle = q.pop().unwrap_or(0.0);
                // In the series' own unit: in that of a logarithm, some widths would come to orders of magnitude.
                q.iter_mut()
                    .for_each(|v| *v = (middle + width * (*v - middle)).clamp(0.0, f64::MAX));
                if let Some(time) = counted.filter(|t| *t > 0.0) {
                    // The noise of what comes, and what of the noise that was is in the level: α/(2−α) of its variance.
                    let noise =
                        (middle / time * 2.0 / (2.0 - self.learnt.smooth.params.alpha)).sqrt();
                    for (v, level) in q.iter_mut().zip(&levels) {
                        let least = (middle + normal(*level) * noise).max(0.0);
                        *v = if *level < 0.5 {
                            v.min(least)
                        } else {
                            v.max(least)
                        };
                    }
                }
                Point {
                    at: self.at + self.step.times(h as i64),
                    mean: self.unbent(mean),
                    quantiles: q,
                }
            })
            .collect();
        let parts = (1..=horizon)
            .map(|h| {
                let level = self.unbent(state.level);
                let moved = self.unbent(state.level + damped[h] * state.trend);
                let all = state.level + damped[h] * state.trend + state.season(h);
                Parts {
                    level,
                    trend: moved - level,
                    season: self.unbent(all) - moved,
                }
            })
            .collect();
        Forecast {
            model: self.model(),
            seasons: self.seasons.clone(),
            points,
            parts,
            warnings: self.warnings.clone(),
            fit: self.clone(),
        }
    }

    /// In the series' own unit, and no further beyond the highest value than that is from zero.
    fn unbent(&self, v: f64) -> f64 {
        self.bend.back(v).min(BEYOND * self.highest) * self.scale
    }

    fn model(&self) -> String {
        let mut by_weight = self.members.clone();
        by_weight.sort_by(|a, b| b.1.total_cmp(&a.1));
        let names: Vec<String> = by_weight
            .iter()
            .filter(|m| m.1 >= 0.005)
            .map(|(m, w)| format!("{} {:.2}", m.name(), w))
            .collect();
        names.join(" + ")
    }
}

/// The seasons, and the day and the week where they are not among them: as many as the regression can hold.
fn customary(seasons: &[usize], n: usize, step: Span) -> Vec<usize> {
    let mut out = seasons.to_vec();
    out.extend(season::customary(n, step, seasons));
    out.sort_unstable();
    out.truncate(direct::PERIODS);
    out
}

/// All weight on one member where that is asked for and it is there; as they did lately otherwise.
fn weights(past: &Past, members: &[Member], warm: Option<&Fit>, only: Option<Member>) -> Vec<f64> {
    if only.is_some_and(|m| members.contains(&m)) {
        let all = members.iter();
        return all.map(|m| f64::from(u8::from(Some(*m) == only))).collect();
    }
    let same = |w: &&Fit| w.members.iter().map(|m| m.0).eq(members.iter().copied());
    let before: Option<Vec<f64>> = warm
        .filter(same)
        .map(|w| w.members.iter().map(|m| m.1).collect());
    combine::weights(past, before.as_deref())
}

/// The given seasons that the series can carry, an earlier fit's, or those found.
fn chosen(
    clean: &mut Clean,
    step: Span,
    given: Option<&[usize]>,
    warm: Option<&Fit>,
) -> Vec<usize> {
    let n = clean.y.len();
    let Some(given) = given else {
        return match warm {
            Some(w) if !w.seasons.is_empty() && w.seasons.iter().all(|p| n > 2 * p) => {
                w.seasons.clone()
            }
            _ => season::find(slice(&clean.y), step)
                .into_iter()
                .map(|s| s.period)
                .collect(),
        };
    };
    let mut usable: Vec<usize> = given.iter().copied().filter(|p| *p >= 2).collect();
    usable.sort_unstable();
    usable.dedup();
    for p in usable.iter().filter(|p| **p * 3 / 2 > n) {
        clean.warnings.push(format!(
            "a season of {p} steps cannot be learnt from {n} points"
        ));
    }
    usable.retain(|p| p * 3 / 2 <= n);
    for p in usable.iter().skip(season::MOST) {
        clean.warnings.push(format!(
            "the season of {p} steps was left out: at most {} are carried",
            season::MOST
        ));
    }
    usable.truncate(season::MOST);
    usable
}

/// How far values lie apart in a series too short for more, never less than a quarter of its mean.
fn spread(clean: &Clean) -> f64 {
    let seen: Vec<f64> = clean
        .y
        .iter()
        .zip(&clean.seen)
        .filter(|(_, s)| **s)
        .map(|(v, _)| *v)
        .collect();
    let n = seen.len().max(1) as f64;
    let mean = seen.iter().sum::<f64>() / n;
    let sd = (seen.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    sd.max(0.25 * mean)
}

fn last(samples: &Samples) -> Moment {
    samples.start + samples.step.times(samples.values.len() as i64 - 1)
}

fn slice(y: &Array1<f64>) -> &[f64] {
    y.as_slice().unwrap_or(&[])
}

/// Whether so many origins were seen that the band rests on errors rather than on a guess.
pub fn is_grounded(forecast: &Forecast) -> bool {
    forecast.fit.bands.origins >= FEWEST
}
