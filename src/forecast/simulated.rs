//! Seeded series with a known truth, for the tests of this room.

use std::f64::consts::TAU;

/// A small seeded generator (SplitMix64), so that tests need no outside dice.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1)
    }
    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform().max(1e-12), self.uniform());
        (-2.0 * u.ln()).sqrt() * (TAU * v).cos()
    }
    pub fn exponential(&mut self, rate: f64) -> f64 {
        -self.uniform().max(1e-300).ln() / rate
    }
}

/// A level of 4 with a daily wave of two harmonics of amplitude 1.5, and noise.
pub fn daily(period: usize, n: usize, noise: f64, seed: u64) -> Vec<f64> {
    let mut dice = Dice::new(seed);
    (0..n)
        .map(|i| {
            let x = TAU * i as f64 / period as f64;
            4.0 + x.sin() + 0.5 * (2.0 * x + 1.0).sin() + noise * dice.normal()
        })
        .collect()
}
