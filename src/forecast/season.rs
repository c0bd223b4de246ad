//! Which periods a series has: candidates are peaks of its robust autocorrelation and significant lines of its periodogram, and
//! a period counts only if it foretells cycles it has not seen.

use super::series::percentile;
use super::spectrum::Spectrum;
use crate::model::Span;

/// Most seasons that the models carry.
pub const MOST: usize = 2;
/// Lags are searched on at most this many points; longer series are averaged down first and refined afterwards.
const SEARCHED: usize = 2048;
/// Candidates tested for significance, the highest peaks first.
const CANDIDATES: usize = 10;
/// Lines of the periodogram that are among them.
const LINES: usize = 5;
/// A cycle is looked at in at most this many pieces, so that noise within a piece does not hide the season.
const PIECES: usize = 24;
/// And in so many where noise hides it.
const COARSE: usize = 8;
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
    let n = y.len();
    let candidates = candidates(y);
    // What the calendar does not know must be a line of the periodogram, too.
    let mut tried: Vec<usize> = candidates
        .periods
        .iter()
        .filter(|p| candidates.confirmed(**p, n))
        .map(|p| on_calendar(*p, step))
        .filter(|p| 3 * p <= n)
        .chain(calendar(step, &CALENDAR))
        .collect();
    tried.sort_unstable();
    tried.dedup();
    tried.retain(|p| found.iter().all(|f| !beside(*p, f.period)));
    let through = |p: usize, pieces: usize| -> Option<Season> {
        let strength = strength(y, p, pieces)?;
        (strength > needed(n, p, pieces)).then_some(Season {
            period: p,
            strength,
        })
    };
    let mut tested: Vec<Season> = tried
        .iter()
        .filter_map(|p| through(*p, PIECES.min(*p)))
        .collect();
    if tested.is_empty() {
        // Much noise within a piece: fewer pieces.
        let coarse = tried.iter().filter_map(|p| through(*p, COARSE.min(*p)));
        tested.extend(coarse);
    }
    tested.sort_by(|a, b| {
        b.strength
            .total_cmp(&a.strength)
            .then(a.period.cmp(&b.period))
    });
    let top = *tested.first()?;
    // Every multiple of a period fits as well as the period: take the shortest that is nearly as good, seen through pieces
    // as long. A week that says clearly more than its day is taken for itself, and holds the day.
    let piece = top.period.div_ceil(PIECES);
    let shortest = tried
        .iter()
        .filter(|p| **p < top.period)
        .flat_map(|p| [PIECES.min(*p), (p / piece).max(3).min(*p)].map(|k| through(*p, k)))
        .flatten()
        .filter(|s| s.strength > NEARLY * top.strength)
        .min_by_key(|s| s.period);
    Some(refined(y, step, shortest.unwrap_or(top)))
}

/// The period close by that explains most, unless the calendar knows it: a peak of the autocorrelation is blunt.
fn refined(y: &[f64], step: Span, about: Season) -> Season {
    if calendar(step, &CALENDAR).any(|c| c == about.period) {
        return about;
    }
    let reach = (about.period / 40).max(1);
    let mut best = about;
    for p in about.period.saturating_sub(reach).max(2)..=about.period + reach {
        if let Some(strength) = strength(y, p, PIECES.min(p))
            && strength > best.strength
        {
            best = Season {
                period: p,
                strength,
            };
        }
    }
    // Few cycles do not tell a day from a little more.
    let nearly = |c: &usize| {
        [PIECES, COARSE].iter().any(|k| {
            let both =
                strength(y, *c, *k.min(c)).zip(strength(y, best.period, *k.min(&best.period)));
            both.is_some_and(|(known, best)| known > NEARLY * best)
        })
    };
    let known = calendar(step, &CALENDAR).find(|c| alike(*c, best.period) && nearly(c));
    Season {
        period: known.unwrap_or(best.period),
        ..best
    }
}

/// So close that a season which grows or wanders leaves it behind when it is removed.
fn beside(p: usize, removed: usize) -> bool {
    p.abs_diff(removed) * 4 < p.max(removed)
}

/// Within a tenth of one another.
fn alike(a: usize, b: usize) -> bool {
    a.abs_diff(b) * 10 < a.max(b)
}

/// The strength that a series of `n` points without a season hardly reaches at period `p`, looked at in so many pieces: the fewer cycles, the more.
fn needed(n: usize, p: usize, pieces: usize) -> f64 {
    let cycles = n as f64 / p as f64;
    let pieces = (pieces as f64 * cycles).max(1.0);
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

/// Periods worth a test, and the significant lines of the periodogram as periods.
#[derive(Default)]
struct Candidates {
    periods: Vec<usize>,
    lines: Vec<f64>,
}

impl Candidates {
    /// Whether the periodogram of `n` points has a line at a period, or at both its half and its third, as exactly as it
    /// can tell: a line at the half alone is a period of its own.
    fn confirmed(&self, p: usize, n: usize) -> bool {
        let p = p as f64;
        let at = |k: f64| {
            let line = |l: &f64| (l - p / k).abs() <= 1.0 + p * p / (2.0 * k * n as f64);
            self.lines.iter().any(line)
        };
        at(1.0) || (at(2.0) && at(3.0))
    }
}

/// Lags at which the autocorrelation has a significant local maximum (Bartlett's band), refined to full resolution, and
/// the lines of the periodogram.
fn candidates(y: &[f64]) -> Candidates {
    let fold = y.len().div_ceil(SEARCHED).max(1);
    let coarse: Vec<f64> = y
        .chunks_exact(fold)
        .map(|c| c.iter().sum::<f64>() / fold as f64)
        .collect();
    let (peaks, lines) = peaks(&coarse);
    let mut peaks: Vec<(usize, f64)> = peaks
        .into_iter()
        .map(|(lag, r)| (resolved(y, lag * fold, fold), r))
        .collect();
    let mut lines: Vec<f64> = lines.into_iter().map(|l| l * fold as f64).collect();
    if fold > 1 {
        // Periods shorter than a few folds are lost in the averages.
        let (near, close) = self::peaks(&y[y.len() - SEARCHED..]);
        let short = 8 * fold;
        peaks.extend(near.into_iter().filter(|(lag, _)| *lag < short));
        lines.extend(close.into_iter().filter(|l| *l < short as f64));
    }
    peaks.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    peaks.dedup_by_key(|p| p.0);
    peaks.truncate(CANDIDATES);
    Candidates {
        periods: peaks.into_iter().map(|p| p.0).collect(),
        lines,
    }
}

fn resolved(y: &[f64], lag: usize, fold: usize) -> usize {
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

/// Peaks of the autocorrelation with its height there, those at lines of the periodogram among them, and all such lines.
fn peaks(y: &[f64]) -> (Vec<(usize, f64)>, Vec<f64>) {
    let n = y.len();
    if n < 8 {
        return Default::default();
    }
    let spectrum = Spectrum::of(&detrended(y));
    let mut r = spectrum.autocovariance(n / 2 + 1);
    let power = r[0];
    if power <= 1e-18 {
        return Default::default();
    }
    r.iter_mut().for_each(|v| *v /= power);
    let lines: Vec<f64> = spectrum.lines().iter().map(|l| l.0).collect();
    let mut out: Vec<(usize, f64)> = lines
        .iter()
        .map(|period| period.round() as usize)
        .filter(|p| *p >= 2 && *p < r.len())
        .take(LINES)
        .map(|p| (p, r[p].max(0.0)))
        .collect();
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
    (out, lines)
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

/// 1 − (squared error of each cycle, in so many pieces, foretold by the mean of the others) / (its squared size). `None` with fewer than two cycles.
fn strength(y: &[f64], p: usize, pieces: usize) -> Option<f64> {
    let n = y.len();
    if p < 2 || n < 2 * p {
        return None;
    }
    let cycles = n / p;
    let d = &about_level(y, p)[n - cycles * p..];
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
        for p in [7usize, 24, 37, 49, 101, 144, 211, 288, 613] {
            for noise in [0.2, 0.8] {
                let y = daily(p, 7 * p.max(24), noise, p as u64);
                let found = periods(&y);
                let close = |f: usize| f.abs_diff(p) <= p / 50;
                assert_eq!(found.len(), 1, "{p} with noise {noise}: {found:?}");
                assert!(close(found[0]), "{p} with noise {noise}: {found:?}");
            }
        }
    }

    #[test]
    fn a_season_is_found_through_gaps_and_outliers() {
        let mut y = daily(49, 49 * 9, 0.4, 3);
        // Gaps come interpolated.
        y[60..75].fill(4.0);
        y[200..230].fill(3.5);
        for at in [20, 150, 333] {
            y[at] = 400.0;
        }
        let found = periods(&y);
        assert!(found.len() == 1 && found[0].abs_diff(49) <= 1, "{found:?}");
    }

    #[test]
    fn a_noisy_day_is_a_day_and_not_two() {
        let mut dice = Dice::new(21);
        let mut days = 0;
        for _ in 0..30 {
            let y: Vec<f64> = (0..24 * 14)
                .map(|i| {
                    let wave = (TAU * f64::from(i) / 24.0).sin();
                    (2.0 + wave + 1.2 * dice.normal()).max(0.0)
                })
                .collect();
            let found: Vec<usize> = find(&y, Span::secs(3600))
                .iter()
                .map(|s| s.period)
                .collect();
            assert!(!found.iter().any(|p| (40..56).contains(p)), "{found:?}");
            days += usize::from(found.contains(&24));
        }
        assert!(days >= 27, "{days} of 30");
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
