//! Where a run's warm-up ends: a change point that is believed only at the start and only downwards.

/// The warm-up is looked for in this part of the run.
const PART: usize = 3;
/// A run shorter than this has no warm-up that could be told.
const SHORTEST: usize = 60;
/// How sure the change must be.
const SURE: f64 = 0.001;

/// Requests at the start of a run that belong to its warm-up: up to the most likely single change point by Pettitt's rank
/// test (A. N. Pettitt, "A non-parametric approach to the change-point problem", Applied Statistics 28, 1979), if it lies in
/// the first third, is significant, and latency falls there. In the order of sending, in ms, finite.
pub(super) fn length(latency: &[f64]) -> usize {
    let n = latency.len();
    if n < SHORTEST {
        return 0;
    }
    let ranks = mid_ranks(latency);
    let (mut sum, mut best, mut at) = (0.0, 0.0f64, 0);
    for (t, rank) in ranks.iter().enumerate().take(n - 1) {
        sum += rank;
        // U(t) = 2 Σ ranks − t (n + 1): positive where what came first is slower.
        let u = 2.0 * sum - (t + 1) as f64 * (n as f64 + 1.0);
        if u.abs() > best.abs() {
            (best, at) = (u, t + 1);
        }
    }
    let n = n as f64;
    let p = 2.0 * (-6.0 * best * best / (n * n * n + n * n)).exp();
    if best > 0.0 && p < SURE && at <= latency.len() / PART {
        at
    } else {
        0
    }
}

fn mid_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut i = 0;
    while i < order.len() {
        let run = order[i..]
            .iter()
            .take_while(|k| values[**k] == values[order[i]])
            .count();
        let rank = i as f64 + (run as f64 + 1.0) / 2.0;
        for k in &order[i..i + run] {
            ranks[*k] = rank;
        }
        i += run;
    }
    ranks
}
