//! Which periods a series has: candidates are peaks of its robust autocorrelation, and a period counts only if it foretells cycles it has not seen.

use super::series::percentile;
use crate::model::Span;

/// Most seasons that the models carry.
pub const MOST: usize = 2;
/// Lags are searched on at most this many points; longer series are averaged down first and refined afterwards.
const SEARCHED: usize = 2048;
/// Candidates tested for significance, the highest peaks first.
const CANDIDATES: usize = 10;
/// A cycle is looked at in at most this many pieces, so that noise within a piece does not hide the season.
const PIECES: usize = 24;
/// The part of the best period's strength that a shorter one must have to be preferred (chosen with an eye on real load).
const NEARLY: f64 = 0.85;
/// Calendar periods that a candidate close by is taken for, in seconds: an hour, half a day, a day, a week.
const CALENDAR: [i64; 4] = [3_600, 43_200, 86_400, 604_800];

/// A period in steps, and how much of the variation about a moving level it explains out of sample (0 to 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Season {
    pub period: usize,
    pub strength: f64,
}

/// Seasons of `y` (no NaN), the shorter first, at most [`MOST`]; none where none is significant.
pub fn find(y: &[f64], step: Span) -> Vec<Season> {
    let mut rest = winsorised(y);
    let mut found: Vec<Season> = Vec::new();
    while found.len() < MOST {
        let Some(best) = strongest(&rest, step, &found) else {
            break;
        };
        remove(&mut rest, best.period);
        found.push(best);
    }
    found.sort_by_key(|s| s.period);
    found
}

/// Cut to four robust deviations about the median, so that a spike does not make or hide a period.
fn winsorised(y: &[f64]) -> Vec<f64> {
    let mut sorted = y.to_vec();
    let median = percentile(&mut sorted, 0.5);
    let mut off: Vec<f64> = y.iter().map(|v| (v - median).abs()).collect();
    let spread = 1.4826 * percentile(&mut off, 0.5);
    if spread <= 0.0 {
        // Mostly one value: what differs is the signal.
        return y.to_vec();
    }
    y.iter()
        .map(|v| v.clamp(median - 4.0 * spread, median + 4.0 * spread))
        .collect()
}

fn strongest(y: &[f64], step: Span, found: &[Season]) -> Option<Season> {
    let mut tried: Vec<usize> = candidates(y)
        .into_iter()
        .map(|p| on_calendar(p, step))
        .filter(|p| 3 * p <= y.len())
        .chain(calendar(step, &CALENDAR))
        .collect();
    tried.sort_unstable();
    tried.dedup();
    let mut tested: Vec<Season> = tried
        .into_iter()
        .filter(|p| found.iter().all(|f| !alike(*p, f.period)))
        .filter_map(|p| {
            let strength = strength(y, p)?;
            (strength > needed(y.len(), p)).then_some(Season {
                period: p,
                strength,
            })
        })
        .collect();
    tested.sort_by(|a, b| {
        b.strength
            .total_cmp(&a.strength)
            .then(a.period.cmp(&b.period))
    });
    let top = *tested.first()?;
    // Every multiple of a period fits as well as the period: take the shortest that is nearly as good.
    // A week that says clearly more than its day is taken for itself, and holds the day.
    tested
        .into_iter()
        .filter(|s| s.strength > NEARLY * top.strength)
        .min_by_key(|s| s.period)
}

/// Within a tenth of one another.
pub fn alike(a: usize, b: usize) -> bool {
    a.abs_diff(b) * 10 < a.max(b)
}

/// The strength that a series of `n` points without a season hardly reaches at period `p`: the fewer cycles, the more.
fn needed(n: usize, p: usize) -> f64 {
    let cycles = n as f64 / p as f64;
    let pieces = (p.min(PIECES) as f64 * cycles).max(1.0);
    0.06 + 0.55 / cycles + 1.6 / pieces.sqrt()
}

/// Snaps a period within 2 % (or one step) of a calendar period to it.
fn on_calendar(p: usize, step: Span) -> usize {
    calendar(step, &CALENDAR)
        .find(|c| p.abs_diff(*c) <= (c / 50).max(1))
        .unwrap_or(p)
}

/// A day and a week in steps, which people and their work follow: worth a look in the regression even where they are
/// not significant by themselves.
pub fn customary(n: usize, step: Span, found: &[usize]) -> Vec<usize> {
    calendar(step, &CALENDAR[2..])
        .filter(|p| *p >= 2 && 3 * p <= 2 * n && found.iter().all(|f| !alike(*p, *f)))
        .collect()
}

/// Calendar periods in steps, where the step divides them.
fn calendar(step: Span, of: &[i64]) -> impl Iterator<Item = usize> {
    of.iter()
        .map(|s| s * 1000)
        .filter(move |ms| step.0 > 0 && ms % step.0 == 0)
        .map(move |ms| (ms / step.0) as usize)
}

/// Lags at which the autocorrelation has a significant local maximum (Bartlett's band), refined to full resolution.
fn candidates(y: &[f64]) -> Vec<usize> {
    let fold = y.len().div_ceil(SEARCHED).max(1);
    let coarse: Vec<f64> = y
        .chunks_exact(fold)
        .map(|c| c.iter().sum::<f64>() / fold as f64)
        .collect();
    let mut peaks: Vec<(usize, f64)> = peaks(&coarse)
        .into_iter()
        .map(|(lag, r)| (refined(y, lag * fold, fold), r))
        .collect();
    if fold > 1 {
        // Periods shorter than a few folds are lost in the averages.
        let recent = &y[y.len() - SEARCHED..];
        peaks.extend(
            self::peaks(recent)
                .into_iter()
                .filter(|(lag, _)| *lag < 8 * fold),
        );
    }
    peaks.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    peaks.dedup_by_key(|p| p.0);
    peaks.truncate(CANDIDATES);
    peaks.into_iter().map(|p| p.0).collect()
}

fn refined(y: &[f64], lag: usize, fold: usize) -> usize {
    if fold == 1 {
        return lag;
    }
    let d = detrended(y);
    let from = lag.saturating_sub(fold).max(2);
    (from..=lag + fold)
        .filter(|l| *l < d.len())
        .max_by(|a, b| lagged(&d, *a).total_cmp(&lagged(&d, *b)))
        .unwrap_or(lag)
}

fn peaks(y: &[f64]) -> Vec<(usize, f64)> {
    let n = y.len();
    if n < 8 {
        return Vec::new();
    }
    let d = detrended(y);
    let power = lagged(&d, 0);
    if power <= 1e-18 {
        return Vec::new();
    }
    let r: Vec<f64> = (0..=n / 2).map(|k| lagged(&d, k) / power).collect();
    let mut out = Vec::new();
    let (mut bartlett, mut valley) = (1.0, f64::INFINITY);
    for k in 2..r.len() {
        valley = valley.min(r[k - 1]);
        bartlett += 2.0 * r[k - 1] * r[k - 1];
        let reach = (k / 16).max(1);
        let around = k.saturating_sub(reach).max(1)..=(k + reach).min(r.len() - 1);
        let summit = around.clone().all(|j| r[j] <= r[k]);
        let noise = (1.0 / n as f64).sqrt();
        // A slow decay has no valley before it; Bartlett's band is halved, because the test that counts comes later.
        if summit && r[k] - valley > 3.0 * noise && r[k] > noise * bartlett.sqrt() * 0.5 {
            out.push((k, r[k]));
        }
    }
    out
}

fn lagged(d: &[f64], lag: usize) -> f64 {
    let n = d.len();
    let (a, b) = (&d[..n - lag], &d[lag..]);
    // Four sums side by side, which a processor adds at once.
    let mut sums = [0.0; 4];
    let (mut x, mut y) = (a.chunks_exact(4), b.chunks_exact(4));
    for (p, q) in x.by_ref().zip(y.by_ref()) {
        for k in 0..4 {
            sums[k] += p[k] * q[k];
        }
    }
    let rest: f64 = x
        .remainder()
        .iter()
        .zip(y.remainder())
        .map(|(p, q)| p * q)
        .sum();
    // Over the number of terms, or long periods would be put at a disadvantage.
    (sums.iter().sum::<f64>() + rest) / (n - lag) as f64
}

/// Without its least-squares line.
fn detrended(y: &[f64]) -> Vec<f64> {
    let n = y.len() as f64;
    let (mx, my) = ((n - 1.0) / 2.0, y.iter().sum::<f64>() / n);
    let (mut sxy, mut sxx) = (0.0, 0.0);
    for (i, v) in y.iter().enumerate() {
        sxy += (i as f64 - mx) * (v - my);
        sxx += (i as f64 - mx).powi(2);
    }
    let slope = if sxx > 0.0 { sxy / sxx } else { 0.0 };
    y.iter()
        .enumerate()
        .map(|(i, v)| v - my - slope * (i as f64 - mx))
        .collect()
}

/// About a centred moving mean of one period; the half periods at the ends take the nearest one.
fn about_level(y: &[f64], p: usize) -> Vec<f64> {
    let n = y.len();
    let mut sums = Vec::with_capacity(n + 1);
    sums.push(0.0);
    for v in y {
        sums.push(sums[sums.len() - 1] + v);
    }
    (0..n)
        .map(|i| {
            let from = i.saturating_sub(p / 2).min(n - p);
            y[i] - (sums[from + p] - sums[from]) / p as f64
        })
        .collect()
}

/// 1 − (squared error of each cycle foretold by the mean of the others) / (its squared size). `None` with fewer than two cycles.
fn strength(y: &[f64], p: usize) -> Option<f64> {
    let n = y.len();
    if p < 2 || n < 2 * p {
        return None;
    }
    let cycles = n / p;
    let d = &about_level(y, p)[n - cycles * p..];
    let pieces = p.min(PIECES);
    let cell = |c: usize, j: usize| {
        let (a, b) = (c * p + j * p / pieces, c * p + (j + 1) * p / pieces);
        d[a..b].iter().sum::<f64>() / (b - a) as f64
    };
    let (mut error, mut size) = (0.0, 0.0);
    for j in 0..pieces {
        let column: Vec<f64> = (0..cycles).map(|c| cell(c, j)).collect();
        let sum: f64 = column.iter().sum();
        for v in &column {
            error += (v - (sum - v) / (cycles as f64 - 1.0)).powi(2);
            size += v * v;
        }
    }
    (size > 1e-18).then(|| 1.0 - error / size)
}

fn remove(y: &mut [f64], p: usize) {
    let d = about_level(y, p);
    let mut sums = vec![(0.0, 0.0); p];
    for (i, v) in d.iter().enumerate() {
        sums[i % p].0 += v;
        sums[i % p].1 += 1.0;
    }
    for (i, v) in y.iter_mut().enumerate() {
        *v -= sums[i % p].0 / sums[i % p].1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulated::{Dice, daily};
    use super::*;
    use std::f64::consts::TAU;

    fn periods(y: &[f64]) -> Vec<usize> {
        find(y, Span::secs(1))
            .into_iter()
            .map(|s| s.period)
            .collect()
    }

    #[test]
    fn a_season_of_any_period_is_found() {
        for p in [7usize, 24, 37, 144, 288] {
            let y = daily(p, 7 * p.max(24), 0.2, p as u64);
            assert_eq!(
                periods(&y)
                    .first()
                    .copied()
                    .map(|f| f.abs_diff(p) <= p / 50),
                Some(true),
                "{p}: {:?}",
                periods(&y)
            );
        }
    }

    #[test]
    fn a_day_and_a_week_are_both_found_and_a_week_that_says_more_holds_its_day() {
        let week = |weekend: f64| -> Vec<f64> {
            let mut dice = Dice::new(5);
            (0..24 * 28)
                .map(|i| {
                    let quiet = if (i / 24) % 7 >= 5 { weekend } else { 1.0 };
                    (2.0 + (TAU * i as f64 / 24.0).sin()) * quiet + 0.1 * dice.normal()
                })
                .collect()
        };
        assert_eq!(periods(&week(0.85)), vec![24, 168]);
        assert!(periods(&week(0.4)).contains(&168));
    }

    #[test]
    fn no_season_is_found_where_there_is_none() {
        let mut false_finds = [0; 3];
        for seed in 0..60 {
            let mut dice = Dice::new(seed);
            let white: Vec<f64> = (0..700).map(|_| dice.normal()).collect();
            let mut x = 0.0;
            let red: Vec<f64> = white
                .iter()
                .map(|e| {
                    x = 0.9 * x + e;
                    x
                })
                .collect();
            let mut x = 0.0;
            let walk: Vec<f64> = white
                .iter()
                .map(|e| {
                    x += e;
                    x
                })
                .collect();
            for (count, y) in false_finds.iter_mut().zip([&white, &red, &walk]) {
                *count += usize::from(!periods(y).is_empty());
            }
        }
        assert!(
            false_finds.iter().all(|f| *f <= 4),
            "{false_finds:?} of 60 each"
        );
    }

    #[test]
    fn constants_steps_and_short_series_have_no_season() {
        assert!(periods(&[3.0; 500]).is_empty());
        assert!(periods(&[1.0, 2.0, 1.0]).is_empty());
        assert!(periods(&[]).is_empty());
        let step: Vec<f64> = (0..600).map(|i| if i < 350 { 1.0 } else { 9.0 }).collect();
        assert!(periods(&step).is_empty(), "{:?}", periods(&step));
        let line: Vec<f64> = (0..600).map(f64::from).collect();
        assert!(periods(&line).is_empty(), "{:?}", periods(&line));
    }

    #[test]
    fn a_period_near_a_day_is_taken_for_the_day() {
        assert_eq!(on_calendar(285, Span::secs(300)), 288);
        assert_eq!(on_calendar(23, Span::secs(3600)), 24);
        assert_eq!(on_calendar(144, Span::secs(1)), 144);
    }
}
