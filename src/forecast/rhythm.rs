//! When a series is hard to foretell: some hours of the day surprise more than others.

use serde::{Deserialize, Serialize};

/// How fast the usual error at a phase follows, a season.
const PHASE_SPEED: f64 = 0.3;

/// How large one-step errors usually are at each phase of the longest season.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rhythm {
    period: usize,
    /// Running means by phase at each point, of which the last few seasons are kept.
    means: Vec<f64>,
}

impl Rhythm {
    /// Of a season of `period` points; none with 0.
    pub fn new(period: usize) -> Self {
        Rhythm {
            period,
            means: Vec::new(),
        }
    }

    /// Takes the next point's error in.
    pub fn push(&mut self, error: f64) {
        if self.period == 0 {
            return;
        }
        let ago = self.means.len().checked_sub(self.period);
        let before = ago.map_or(error, |i| self.means[i]);
        self.means.push(before + PHASE_SPEED * (error - before));
        if self.means.len() >= 4 * self.period {
            self.means.drain(..self.period);
        }
    }

    /// For each of so many points ahead, averaged over neighbouring phases; `usual` where nothing is known.
    pub fn ahead(&self, ahead: &[usize], usual: f64) -> Vec<f64> {
        let n = self.means.len();
        let reach = self.period / 48;
        ahead
            .iter()
            .map(|h| {
                let back = self.period * h.div_ceil(self.period.max(1));
                let Some(at) = (n + h - 1).checked_sub(back).filter(|_| self.period > 0) else {
                    return usual;
                };
                let around = &self.means[at.saturating_sub(reach)..(at + reach + 1).min(n)];
                around.iter().sum::<f64>() / around.len() as f64
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loud_hour_is_expected_to_be_loud_a_season_later() {
        let mut r = Rhythm::new(96);
        (0..480).for_each(|i| {
            r.push(if (40..60).contains(&(i % 96)) {
                5.0
            } else {
                1.0
            })
        });
        let ahead = r.ahead(&[10, 50, 96 + 50], 2.0);
        assert!(
            (ahead[0] - 1.0).abs() < 1e-9 && (ahead[1] - 5.0).abs() < 1e-9,
            "{ahead:?}"
        );
        assert_eq!(ahead[1], ahead[2]);
        assert_eq!(Rhythm::new(0).ahead(&[1, 2], 2.0), vec![2.0, 2.0]);
    }
}
