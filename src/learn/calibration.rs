//! What profiles said against what came of it, and how much wider their word is taken from then on.

use crate::model::*;

/// Nominal coverage of the band from the 10 % to the 90 % quantile, and its half-width in standard deviations.
const NOMINAL: f64 = 0.8;
const HALF_BAND: f64 = 1.2816;
/// Step of the adaptation: a miss widens by about 27 %, a hit narrows by about 6 %. Switchovers are rare: what is learned
/// of each must count.
const GAMMA: f64 = 0.3;
/// Weight of the newest error in the bias.
const NEWEST: f64 = 0.3;
/// Good predictions narrow no further than this: what is believed stays at least as wide as its runs were.
const WIDTH: (f64, f64) = (1.0, 4.0);

/// Takes one prediction's result in, of something that had better be small; `None` for what says nothing. The width follows
/// adaptive conformal inference (Gibbs & Candès, NeurIPS 2021) in its multiplicative form, as the forecasts' bands do; what
/// came better than said is no reason to count on less, so it leaves the width alone.
pub fn score(track: &mut Track, predicted: &Estimate, actual: f64) -> Option<bool> {
    if !(actual.is_finite() && actual > 0.0 && predicted.middle > 0.0) {
        return None;
    }
    let off = (actual / predicted.middle).ln();
    let hit = off.abs() <= HALF_BAND * predicted.spread;
    // What was said had the bias in it already: this is what is still missing.
    track.bias += NEWEST * (off.clamp(-2.0, 2.0));
    count(track, hit, off > 0.0);
    Some(hit)
}

/// A load came and was held or not. Held proves only that the capacity is at least as high, so there are two ways to miss: a
/// load below the band that was not held, and one above it that was.
pub fn score_capacity(
    track: &mut Track,
    predicted: &Estimate,
    load: Rps,
    held: bool,
) -> Option<bool> {
    if !(load.0 > 0.0 && predicted.middle > 0.0) {
        return None;
    }
    let off = (load.0 / predicted.middle).ln();
    let (below, above) = (
        off < -HALF_BAND * predicted.spread,
        off > HALF_BAND * predicted.spread,
    );
    let hit = match held {
        true => !above,
        // Failed below what was nearly sure to be carried.
        false => !below,
    };
    let weight = if hit { 0.0 } else { NEWEST };
    track.bias += weight * (off.clamp(-2.0, 2.0) - track.bias);
    count(track, hit, !held);
    Some(hit)
}

fn count(track: &mut Track, hit: bool, worse: bool) {
    track.scored += 1;
    track.covered += u64::from(hit);
    let step = match (hit, worse) {
        (true, _) => NOMINAL - 1.0,
        (false, true) => NOMINAL,
        (false, false) => 0.0,
    };
    track.width = (track.width * (GAMMA * step).exp()).clamp(WIDTH.0, WIDTH.1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(middle: f64, spread: f64) -> Estimate {
        Estimate {
            middle,
            spread,
            ..Estimate::default()
        }
    }

    #[test]
    fn what_is_off_again_and_again_is_taken_ever_wider_and_its_bias_is_known() {
        let mut track = Track::default();
        for _ in 0..8 {
            // As the profile would say it with the bias learned so far.
            let said = estimate(100.0 * track.bias.exp(), 0.1);
            score(&mut track, &said, 200.0);
        }
        assert!((track.bias.exp() - 2.0).abs() < 0.2, "{track:?}");
        assert!(track.width > 1.3, "{track:?}");
        assert!(track.covered < track.scored);
    }

    #[test]
    fn what_came_better_than_said_is_counted_as_a_miss_and_makes_nothing_wider() {
        let mut track = Track::default();
        assert_eq!(score(&mut track, &estimate(100.0, 0.1), 20.0), Some(false));
        assert_eq!(
            score_capacity(&mut track, &estimate(20.0, 0.1), Rps(90.0), true),
            Some(false)
        );
        assert_eq!((track.width, track.covered, track.scored), (1.0, 0, 2));
    }

    #[test]
    fn what_comes_as_was_said_leaves_the_width_as_it_was() {
        let mut track = Track::default();
        for _ in 0..20 {
            assert_eq!(score(&mut track, &estimate(100.0, 0.1), 102.0), Some(true));
        }
        assert_eq!((track.width, track.covered), (1.0, 20));
    }

    #[test]
    fn a_load_that_was_held_proves_no_more_than_that_it_is_carried() {
        let said = estimate(60.0, 0.1);
        let mut track = Track::default();
        for (load, held, hit) in [
            (20.0, true, true),
            (59.0, true, true),
            (59.0, false, true),
            (90.0, true, false),
            (40.0, false, false),
            (90.0, false, true),
        ] {
            let got = score_capacity(&mut track, &said, Rps(load), held);
            assert_eq!(got, Some(hit), "{load} {held}");
        }
    }

    #[test]
    fn what_says_nothing_is_not_counted() {
        let mut track = Track::default();
        assert_eq!(score(&mut track, &estimate(0.0, 0.1), 5.0), None);
        assert_eq!(score(&mut track, &estimate(5.0, 0.1), f64::NAN), None);
        assert_eq!(
            score_capacity(&mut track, &estimate(5.0, 0.1), Rps(0.0), true),
            None
        );
        assert_eq!(track, Track::default());
    }
}
