//! The pool: every model fitted to one series, and what each would have said from every origin.

use super::direct::{Direct, Sights, Trail};
use super::series::Clean;
use super::smoothing::{self, Lessons, Smoother};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// Origins that the pool learns from, at most; older ones only warm the smoothers up.
const ORIGINS: usize = 3000;

/// A model of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Member {
    /// Damped Holt–Winters with the seasons found.
    Smoothing,
    /// The same without a season.
    Level,
    /// What it was a season ago, moved by how the level has changed since.
    Naive,
    /// The same with the longest customary period, where that is not a season that was found.
    Custom,
    /// What is usual at that phase over several seasons, whatever the level is now.
    Usual,
    /// Direct regression by horizon.
    Direct,
}

impl Member {
    pub fn name(self) -> &'static str {
        match self {
            Member::Smoothing => "smoothing",
            Member::Level => "level",
            Member::Naive => "naive",
            Member::Custom => "custom",
            Member::Usual => "usual",
            Member::Direct => "direct",
        }
    }
}

/// The models, fitted, with their rolled forecasts.
pub struct Pool {
    pub burn: usize,
    /// Columns of `rolled`, in points ahead.
    pub ahead: Vec<usize>,
    pub members: Vec<Member>,
    pub rolled: Vec<Array2<f64>>,
    pub smooth: Smoother,
    pub level: Option<Smoother>,
    pub direct: Option<Direct>,
    pub trail: Trail,
}

impl Pool {
    /// Fits every model to a bent series with these seasons, and with further periods for the regression to look at.
    pub fn fit(
        clean: &Clean,
        seasons: &[usize],
        periods: &[usize],
        horizon: usize,
        warm: Option<(&Smoother, Option<&Smoother>)>,
    ) -> Pool {
        let y = clean.y.as_slice().unwrap_or(&[]);
        let seen = &clean.seen[..];
        let n = y.len();
        let lessons = |periods| Lessons {
            y,
            seen,
            periods,
            burn: smoothing::warm_up(n, periods),
            horizon,
        };
        let main = lessons(seasons);
        let smooth = smoothing::fit(&main, warm.map(|w| &w.0.params));
        let ahead = ahead(horizon);
        let mut members = vec![Member::Smoothing];
        let mut rolled = vec![smoothing::rolled(&main, &smooth.params, &ahead)];
        let level = (!seasons.is_empty()).then(|| {
            let plain = Lessons {
                burn: main.burn,
                ..lessons(&[])
            };
            let s = smoothing::fit(
                &plain,
                warm.and_then(|w| w.1).map(|l| &l.params),
            );
            members.push(Member::Level);
            rolled.push(smoothing::rolled(&plain, &s.params, &ahead));
            s
        });
        let burn = main.burn;
        let trail = Trail::new(y, periods);
        let weights = recency(n - burn + 1, seasons);
        let sights = Sights {
            trail: &trail,
            seen,
            y,
            burn,
            smoothers: &rolled,
            ahead: &ahead,
            recency: &weights,
        };
        let direct = Direct::fit(&sights);
        let direct_rolled = direct.as_ref().map(|d| d.rolled(&sights));
        members.push(Member::Naive);
        let season = position(periods, seasons.last());
        let shape = (n - burn + 1, ahead.len());
        rolled.push(Array2::from_shape_fn(shape, |(r, k)| {
            trail.naive(burn + r, ahead[k], season)
        }));
        let longest = periods.len().checked_sub(1);
        if longest != season {
            members.push(Member::Custom);
            rolled.push(Array2::from_shape_fn(shape, |(r, k)| {
                trail.naive(burn + r, ahead[k], longest)
            }));
        }
        members.push(Member::Usual);
        rolled.push(Array2::from_shape_fn(shape, |(r, k)| {
            trail.usual(burn + r, ahead[k])
        }));
        if let Some(d) = direct_rolled {
            members.push(Member::Direct);
            rolled.push(d);
        }
        Pool {
            burn,
            ahead,
            members,
            rolled,
            smooth,
            level,
            direct: direct.map(|d| d.all),
            trail,
        }
    }
}

/// Horizons that are learnt: close ones each, far ones ever wider apart; between them what was learnt is interpolated.
fn ahead(horizon: usize) -> Vec<usize> {
    let mut out = vec![1];
    let mut next = 2;
    while next < horizon {
        out.push(next);
        next = (next + 1).max(next * 3 / 2);
    }
    if horizon > 1 {
        out.push(horizon);
    }
    out
}

/// Weight of each of `rows` origins: a half-life of three and a half of the longest season, or a quarter of the rows.
pub fn recency(rows: usize, seasons: &[usize]) -> Vec<f64> {
    let half = seasons
        .iter()
        .max()
        .map_or(rows as f64 / 2.0, |m| 3.5 * *m as f64)
        .max(20.0);
    (0..rows)
        .map(|r| {
            if rows - r > ORIGINS {
                0.0
            } else {
                0.5f64.powf((rows - r) as f64 / half)
            }
        })
        .collect()
}

/// Where a season is among the trail's periods.
pub fn position(periods: &[usize], season: Option<&usize>) -> Option<usize> {
    periods.iter().position(|p| Some(p) == season)
}
