//! Values, their running means, and what is usual at each phase of the periods that are looked back by.

use serde::{Deserialize, Serialize};

/// Smoothing of the three running means, from fast to slow.
const SPEEDS: [f64; 3] = [0.5, 0.15, 0.03];
/// How fast what is usual at a phase follows, a season.
const SEASONS: f64 = 0.25;

/// Values and their running means; index 0 is point number `from`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trail {
    from: usize,
    y: Vec<f64>,
    means: [Vec<f64>; 3],
    periods: Vec<usize>,
    /// For each period, the running mean at each point's phase over the seasons up to and with it.
    usual: Vec<Vec<f64>>,
}

impl Trail {
    pub fn new(y: &[f64], periods: &[usize]) -> Self {
        let mut t = Trail {
            from: 0,
            y: Vec::with_capacity(y.len()),
            means: Default::default(),
            periods: periods.to_vec(),
            usual: vec![Vec::with_capacity(y.len()); periods.len()],
        };
        y.iter().for_each(|v| t.push(*v));
        t
    }

    pub fn push(&mut self, v: f64) {
        for (m, a) in self.means.iter_mut().zip(SPEEDS) {
            let before = m.last().copied().unwrap_or(v);
            m.push(before + a * (v - before));
        }
        for (u, p) in self.usual.iter_mut().zip(&self.periods) {
            let before = u.len().checked_sub(*p).map_or(v, |i| u[i]);
            u.push(before + SEASONS * (v - before));
        }
        self.y.push(v);
    }

    /// Forgets what is further back than a forecast `horizon` points ahead looks, or than the last `least` points, once
    /// twice as many have gathered, so that its cost is constant a point.
    pub fn forget(&mut self, horizon: usize, least: usize) {
        let seasons = self.periods.iter();
        let furthest = seasons.map(|p| p * (horizon.div_ceil(*p) + 1)).max();
        let keep = furthest.unwrap_or(0).max(least) + 2;
        if self.y.len() >= 2 * keep {
            let drop = self.y.len() - keep;
            self.from += drop;
            let means = self.means.iter_mut().chain(&mut self.usual);
            for points in means.chain([&mut self.y]) {
                points.drain(..drop);
                points.shrink_to(2 * keep);
            }
        }
    }

    /// Where a season is among the periods.
    pub fn position(&self, season: Option<&usize>) -> Option<usize> {
        self.periods.iter().position(|p| Some(p) == season)
    }

    /// Points taken since the beginning.
    pub fn taken(&self) -> usize {
        self.from + self.y.len()
    }

    /// How many periods it looks back by.
    pub fn periods(&self) -> usize {
        self.periods.len()
    }

    /// The value of point number `s`; the oldest one kept where that is older.
    pub fn value(&self, s: usize) -> f64 {
        self.y
            .get(s.saturating_sub(self.from))
            .copied()
            .unwrap_or(0.0)
    }

    /// The last value and the running means before point number `o`.
    pub fn now(&self, o: usize) -> (f64, [f64; 3]) {
        let i = o - 1 - self.from;
        (
            self.y[i],
            [self.means[0][i], self.means[1][i], self.means[2][i]],
        )
    }

    /// Value at the phase of point `o + h − 1` in the last whole season before `o`, and the medium mean as it was then.
    pub fn season_ago(&self, o: usize, h: usize, k: usize) -> Option<(f64, f64, f64)> {
        let period = self.periods[k];
        // Divisions are slow, and seldom needed.
        let back = if h <= period {
            period
        } else {
            period * h.div_ceil(period)
        };
        let at = (o + h - 1).checked_sub(back + self.from)?;
        let then = (o - 1).checked_sub(back + self.from)?;
        Some((self.y[at], self.means[1][then], self.usual[k][at]))
    }

    /// What was usual at that phase of the `k`-th period a season ago; zero without a period, `None` before its second season.
    pub fn base(&self, o: usize, h: usize, k: Option<usize>) -> Option<f64> {
        match k {
            Some(k) => self.season_ago(o, h, k).map(|s| s.2),
            None => Some(0.0),
        }
    }

    /// What is usual at that phase, over the last seasons and whatever the level is now.
    pub fn usual(&self, o: usize, h: usize) -> f64 {
        let last = self.periods.len().checked_sub(1);
        match last.and_then(|k| self.season_ago(o, h, k)) {
            Some((_, _, usual)) => usual,
            None => self.now(o).1[2],
        }
    }

    /// Value a season of the trail's `k`-th period ago, moved by what the level has changed since; the last value without one.
    pub fn naive(&self, o: usize, h: usize, k: Option<usize>) -> f64 {
        let (last, means) = self.now(o);
        match k.and_then(|k| self.season_ago(o, h, k)) {
            Some((value, level, _)) => value + means[1] - level,
            None => last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_forgets_without_losing_count() {
        let y: Vec<f64> = (0..100).map(f64::from).collect();
        let mut t = Trail::new(&y, &[10]);
        let before = t.naive(100, 3, Some(0));
        t.forget(12, 5);
        assert_eq!(t.taken(), 100);
        assert_eq!(t.naive(100, 3, Some(0)), before);
    }
}
