//! How forecasts did, and how wide their bands must be from now on.

use crate::model::{Rps, Skill};

/// Nominal coverage of the 10 to 90 % band.
const NOMINAL: f64 = 0.8;
/// Step of the adaptation in the long run: a miss widens by about 5 %, a hit narrows by about 1.2 %.
const GAMMA: f64 = 0.06;
/// … and for the first forecasts, so that a band that starts wrong is right within some tens of them.
const QUICK: f64 = 0.3;
/// Forecasts after which the step has come about half of the way down.
const SETTLES: f64 = 15.0;
/// A lesson is told after so many forecasts.
const TELL_EVERY: u64 = 60;

/// Takes one forecast's result in. The factor on the band's half-width follows adaptive conformal inference
/// (Gibbs & Candès 2021) in its multiplicative form: up by `γ·0.8` on a miss, down by `γ·0.2` on a hit, so that in the
/// long run one in five is a miss. `γ` shrinks with what was scored (Angelopoulos, Barber & Bates, "Online conformal
/// prediction with decaying step sizes", 2024). Returns a lesson now and then.
pub fn score(skill: &mut Skill, low: Rps, mid: Rps, high: Rps, actual: Rps) -> Option<String> {
    if !actual.0.is_finite() || !mid.0.is_finite() {
        return None;
    }
    let hit = low.0 <= actual.0 && actual.0 <= high.0;
    skill.scored += 1;
    skill.covered += u64::from(hit);
    let before = skill.width;
    let step = if hit { NOMINAL - 1.0 } else { NOMINAL };
    let gamma = GAMMA + (QUICK - GAMMA) / (1.0 + skill.scored as f64 / SETTLES);
    skill.width = (skill.width * (gamma * step).exp()).clamp(0.25, 8.0);
    let error = (actual.0 - mid.0).abs();
    skill.error = if skill.scored == 1 {
        Rps(error)
    } else {
        Rps(skill.error.0 * 0.97 + error * 0.03)
    };
    skill.scored.is_multiple_of(TELL_EVERY).then(|| {
        let word = if skill.width > before { "wider" } else { "narrower" };
        format!(
            "{} of {} forecasts were within their 80% band, off by {} on average; bands get {word} (× {:.2})",
            skill.covered, skill.scored, skill.error, skill.width
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_that_is_too_narrow_is_widened_until_four_of_five_are_inside() {
        let mut skill = Skill::default();
        // Errors uniform over ±10, a band of ±2 × width: nominal coverage needs a width of 4.
        let mut inside = 0;
        for i in 0..4000u32 {
            let error = f64::from(i.wrapping_mul(2_654_435_761) >> 16) / 65_536.0 * 20.0 - 10.0;
            let half = 2.0 * skill.width;
            let hit = error.abs() <= half;
            inside += u32::from(hit && i >= 1000);
            score(
                &mut skill,
                Rps(50.0 - half),
                Rps(50.0),
                Rps(50.0 + half),
                Rps(50.0 + error),
            );
        }
        let coverage = f64::from(inside) / 3000.0;
        assert!((coverage - 0.8).abs() < 0.03, "coverage {coverage}");
        assert!((3.0..5.0).contains(&skill.width), "width {}", skill.width);
    }

    #[test]
    fn a_reading_that_is_no_number_teaches_nothing() {
        let mut skill = Skill::default();
        score(&mut skill, Rps(1.0), Rps(2.0), Rps(3.0), Rps(f64::NAN));
        assert_eq!(skill, Skill::default());
    }
}
