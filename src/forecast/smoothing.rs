//! Damped additive Holt–Winters in error-correction form, with no, one or two seasons; parameters fitted by argmin.
//!
//! Gardner, "Exponential smoothing: the state of the art, part II", Int. J. Forecasting 22 (2006);
//! Hyndman, Koehler, Ord & Snyder, "Forecasting with Exponential Smoothing" (2008); two seasons as in
//! Taylor, "Short-term electricity demand forecasting using double seasonal exponential smoothing", JORS 54 (2003).

use super::optimise::{logistic, logit, minimise};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;

/// Smoothing parameters, all within (0, 1): level, trend (as a share of `alpha`), damping, and one for each season.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Params {
    pub alpha: f64,
    pub beta: f64,
    pub phi: f64,
    pub gamma: Vec<f64>,
}

/// Damping lies within this range; 1 would be a trend for ever.
const PHI: (f64, f64) = (0.7, 0.998);

/// Origins at which parameters are scored, about.
pub const SCORED: usize = 700;

impl Params {
    fn to_free(&self) -> Vec<f64> {
        let mut free = vec![
            logit(self.alpha),
            logit(self.beta),
            logit((self.phi - PHI.0) / (PHI.1 - PHI.0)),
        ];
        free.extend(self.gamma.iter().map(|g| logit(*g)));
        free
    }
    fn from_free(free: &[f64]) -> Self {
        Self {
            alpha: logistic(free[0]),
            beta: logistic(free[1]),
            phi: PHI.0 + (PHI.1 - PHI.0) * logistic(free[2]),
            gamma: free[3..].iter().map(|g| logistic(*g)).collect(),
        }
    }
}

/// Level, trend and seasons after the points taken so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub level: f64,
    pub trend: f64,
    /// One ring a season.
    pub seasons: Vec<Array1<f64>>,
    /// Where the next point lies on each ring.
    pub phases: Vec<usize>,
}

impl State {
    /// The season at `ahead` points after the last one taken (1 is the next).
    pub fn season(&self, ahead: usize) -> f64 {
        let mut sum = 0.0;
        for (s, phase) in self.seasons.iter().zip(&self.phases) {
            let mut at = phase + ahead - 1;
            // Divisions are slow, and seldom needed.
            if at >= s.len() {
                at %= s.len();
            }
            sum += s[at];
        }
        sum
    }

    /// Takes one point in; `None` lets time pass.
    pub fn take(&mut self, p: &Params, value: Option<f64>) {
        let drift = p.phi * self.trend;
        let next = self.level + drift + self.season(1);
        let error = value.map_or(0.0, |v| v - next);
        self.level += drift + p.alpha * error;
        self.trend = drift + p.alpha * p.beta * error;
        for ((s, g), at) in self.seasons.iter_mut().zip(&p.gamma).zip(&mut self.phases) {
            s[*at] += g * (1.0 - p.alpha) * error;
            *at = if *at + 1 == s.len() { 0 } else { *at + 1 };
        }
    }

    /// φ + φ² + … + φʰ for h = 0…`horizon`.
    pub fn damped(p: &Params, horizon: usize) -> Vec<f64> {
        let (mut sum, mut power) = (0.0, 1.0);
        let mut out = Vec::with_capacity(horizon + 1);
        out.push(0.0);
        for _ in 0..horizon {
            power *= p.phi;
            sum += power;
            out.push(sum);
        }
        out
    }
}

/// A smoother: its parameters and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Smoother {
    pub params: Params,
    pub state: State,
}

impl Smoother {
    /// Forecasts for 1…`horizon` points ahead.
    pub fn path(&self, horizon: usize) -> Vec<f64> {
        let damped = State::damped(&self.params, horizon);
        (1..=horizon)
            .map(|h| self.state.level + damped[h] * self.state.trend + self.state.season(h))
            .collect()
    }
}

/// What a fit learns from: `y` without NaN, whether each point was seen, the seasons, and from which point on errors count.
#[derive(Clone, Copy, Debug)]
pub struct Lessons<'a> {
    pub y: &'a [f64],
    pub seen: &'a [bool],
    pub periods: &'a [usize],
    pub burn: usize,
    pub horizon: usize,
}

/// Points that start the seasons: two cycles of the longest when there are four, otherwise one.
pub fn warm_up(n: usize, periods: &[usize]) -> usize {
    match periods.iter().max() {
        Some(m) if n >= 4 * m => 2 * m,
        Some(m) => (*m).min(n / 2 + 1),
        None => (n / 5).clamp(2, 50).min(n),
    }
}

/// A first state from the first points alone: level by their mean, seasons by phase means about it, the shorter first.
pub fn first_state(y: &[f64], periods: &[usize], burn: usize) -> State {
    let head = &y[..burn.min(y.len())];
    let level = if periods.is_empty() {
        head.iter().take(5).sum::<f64>() / head.len().clamp(1, 5) as f64
    } else {
        head.iter().sum::<f64>() / head.len().max(1) as f64
    };
    let mut rest: Vec<f64> = head.iter().map(|v| v - level).collect();
    let seasons = periods
        .iter()
        .map(|p| {
            let mut ring = Array1::<f64>::zeros(*p);
            let mut count = vec![0.0; *p];
            for (i, v) in rest.iter().enumerate() {
                ring[i % p] += v;
                count[i % p] += 1.0;
            }
            for (sum, n) in ring.iter_mut().zip(&count) {
                *sum /= f64::max(*n, 1.0);
            }
            for (i, v) in rest.iter_mut().enumerate() {
                *v -= ring[i % p];
            }
            ring
        })
        .collect();
    State {
        level,
        trend: 0.0,
        seasons,
        phases: vec![0; periods.len()],
    }
}

/// Mean absolute error over a few horizons up to the asked one: what MASE and the median of WQL reward.
fn loss(l: &Lessons, rings: &mut [Vec<f64>], first: &State, p: &Params, ahead: &[usize]) -> f64 {
    let damped = State::damped(p, l.horizon);
    for (r, s) in rings.iter_mut().zip(&first.seasons) {
        r.clear();
        r.extend(s.iter());
    }
    let gamma = |k: usize| p.gamma.get(k).map_or(0.0, |g| g * (1.0 - p.alpha));
    let gamma = [gamma(0), gamma(1)];
    let [one, two] = rings else { return f64::MAX };
    let (mut level, mut trend) = (first.level, first.trend);
    let (mut i1, mut i2) = (0, 0);
    let (mut sum, mut count) = (0.0, 0.0);
    // Neighbouring origins say nearly the same: some hundred are enough.
    let stride = (l.y.len() - l.burn).div_ceil(SCORED).max(1);
    let mut next = l.burn;
    for (i, v) in l.y.iter().enumerate() {
        if i == next {
            next += stride;
            for h in ahead {
                let at = i + h - 1;
                if at < l.y.len() && l.seen[at] {
                    let season = round(one, i1 + h - 1) + round(two, i2 + h - 1);
                    sum += (l.y[at] - level - damped[*h] * trend - season).abs();
                    count += 1.0;
                }
            }
        }
        let drift = p.phi * trend;
        let error = if l.seen[i] {
            v - level - drift - one[i1] - two[i2]
        } else {
            0.0
        };
        level += drift + p.alpha * error;
        trend = drift + p.alpha * p.beta * error;
        one[i1] += gamma[0] * error;
        two[i2] += gamma[1] * error;
        i1 = if i1 + 1 == one.len() { 0 } else { i1 + 1 };
        i2 = if i2 + 1 == two.len() { 0 } else { i2 + 1 };
    }
    if count > 0.0 { sum / count } else { 0.0 }
}

/// A ring's value at `at`, however often that is around.
fn round(ring: &[f64], at: usize) -> f64 {
    if at < ring.len() {
        ring[at]
    } else {
        ring[at % ring.len()]
    }
}

/// Fits the parameters from several starts, or from `warm` alone, and rolls to the end of the series.
pub fn fit(l: &Lessons, warm: Option<&Params>) -> Smoother {
    let first = first_state(l.y, l.periods, l.burn);
    let ahead = [1, (l.horizon / 4).max(1), l.horizon];
    let start = |alpha: f64, gamma: f64| Params {
        alpha,
        beta: 0.02,
        phi: 0.9,
        gamma: vec![gamma; l.periods.len()],
    };
    // A season that is not there is a ring of one zero, which no error moves.
    let rings = RefCell::new([vec![0.0], vec![0.0]]);
    let cost = |free: &[f64]| {
        let mut rings = rings.borrow_mut();
        loss(l, &mut *rings, &first, &Params::from_free(free), &ahead)
    };
    let search = |from: &Params, rounds: u64| minimise(&from.to_free(), 1.0, rounds, cost);
    let best = match warm.filter(|w| w.gamma.len() == l.periods.len()) {
        Some(w) => search(w, 10).0,
        None => {
            // The better of two short searches is searched on.
            let (slow, quick) = (search(&start(0.08, 0.1), 18), search(&start(0.6, 0.2), 18));
            let better = if slow.1 <= quick.1 { slow.0 } else { quick.0 };
            minimise(&better, 0.4, 25, cost).0
        }
    };
    let params = Params::from_free(&best);
    let mut state = first;
    for (v, seen) in l.y.iter().zip(l.seen) {
        state.take(&params, seen.then_some(*v));
    }
    Smoother { params, state }
}

/// Forecasts from every origin `burn…n`: row `r`, column `k` is `ahead[k]` points on, foretold from the points before `burn + r`.
pub fn rolled(l: &Lessons, params: &Params, ahead: &[usize]) -> Array2<f64> {
    let n = l.y.len();
    let mut s = first_state(l.y, l.periods, l.burn);
    let damped = State::damped(params, l.horizon);
    let mut out = Array2::zeros((n - l.burn + 1, ahead.len()));
    for i in 0..=n {
        if i >= l.burn {
            for (cell, h) in out.row_mut(i - l.burn).iter_mut().zip(ahead) {
                *cell = s.level + damped[*h] * s.trend + s.season(*h);
            }
        }
        if i < n {
            s.take(params, l.seen[i].then_some(l.y[i]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::simulated::daily;
    use super::*;

    #[test]
    fn a_clean_season_is_foretold() {
        let y = daily(24, 24 * 10, 0.02, 1);
        let truth = daily(24, 24 * 11, 0.0, 1);
        let l = Lessons {
            y: &y,
            seen: &vec![true; y.len()],
            periods: &[24],
            burn: warm_up(y.len(), &[24]),
            horizon: 12,
        };
        let path = fit(&l, None).path(12);
        for (f, t) in path.iter().zip(&truth[240..]) {
            assert!((f - t).abs() < 0.1, "{f} against {t}");
        }
    }

    #[test]
    fn a_ramp_is_followed_with_a_damped_trend() {
        let y: Vec<f64> = (0..200).map(|i| 1.0 + 0.05 * f64::from(i)).collect();
        let l = Lessons {
            y: &y,
            seen: &[true; 200],
            periods: &[],
            burn: 20,
            horizon: 4,
        };
        let path = fit(&l, None).path(4);
        assert!((path[3] - 11.15).abs() < 0.1, "{path:?}");
    }

    #[test]
    fn a_gap_lets_time_pass_without_teaching() {
        let y = daily(24, 240, 0.0, 3);
        let mut spoilt = y.clone();
        let mut seen = vec![true; 240];
        for i in 150..170 {
            spoilt[i] = 99.0;
            seen[i] = false;
        }
        let l = Lessons {
            y: &spoilt,
            seen: &seen,
            periods: &[24],
            burn: 48,
            horizon: 6,
        };
        let path = fit(&l, None).path(6);
        assert!((path[0] - y[0]).abs() < 0.3, "{} against {}", path[0], y[0]);
    }

    #[test]
    fn rolling_forecasts_end_where_the_fit_stands() {
        let y = daily(24, 200, 0.3, 4);
        let l = Lessons {
            y: &y,
            seen: &[true; 200],
            periods: &[24],
            burn: 96,
            horizon: 5,
        };
        let s = fit(&l, None);
        let rolled = rolled(&l, &s.params, &[1, 2, 3, 4, 5]);
        assert_eq!(rolled.row(rolled.nrows() - 1).to_vec(), s.path(5));
    }
}
