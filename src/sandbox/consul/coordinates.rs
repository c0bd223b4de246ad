//! Network coordinates in the manner of Vivaldi, fitted to given round trips.

use std::time::Duration;

use serde_json::{Value, json};

pub(super) const DIMENSIONS: usize = 8;
const HEIGHT: f64 = 1e-5;
const DEFAULT_ROUND_TRIP: f64 = 200e-6;
const ROUNDS: usize = 400;
/// How much of a pair's error one step takes away.
const GAIN: f64 = 0.25;

type Place = [f64; DIMENSIONS];

/// Coordinates of `nodes` in Consul's JSON; distances between them are about the round trips in seconds.
pub(super) fn from_round_trips(
    nodes: &[String],
    round_trips: &[(String, String, Duration)],
) -> Vec<Value> {
    let wanted = |a: &str, b: &str| {
        let pair = round_trips
            .iter()
            .find(|(x, y, _)| (x == a && y == b) || (x == b && y == a));
        pair.map_or(DEFAULT_ROUND_TRIP, |(_, _, round_trip)| {
            round_trip.as_secs_f64()
        })
    };
    // Starting on different axes, so that no two nodes lie on one spot.
    let mut places: Vec<Place> = (0..nodes.len())
        .map(|at| {
            let mut place = [0.0; DIMENSIONS];
            place[at % DIMENSIONS] = 1e-3 * (1 + at / DIMENSIONS) as f64;
            place
        })
        .collect();
    let mut worst = vec![0.0_f64; nodes.len()];
    for round in 0..ROUNDS {
        for i in 0..nodes.len() {
            for j in 0..nodes.len() {
                if i != j {
                    let error = pull(
                        &mut places,
                        i,
                        j,
                        (wanted(&nodes[i], &nodes[j]) - 2.0 * HEIGHT).max(0.0),
                    );
                    if round + 1 == ROUNDS {
                        worst[i] = worst[i].max(error / wanted(&nodes[i], &nodes[j]));
                    }
                }
            }
        }
    }
    let shown = places.iter().zip(worst);
    shown.map(|(place, error)| json!({"Vec": place, "Error": error.min(1.5), "Adjustment": 0.0, "Height": HEIGHT})).collect()
}

fn pull(places: &mut [Place], i: usize, j: usize, wanted: f64) -> f64 {
    let away: Place = std::array::from_fn(|d| places[i][d] - places[j][d]);
    let distance = away.iter().map(|d| d * d).sum::<f64>().sqrt().max(1e-12);
    for d in 0..DIMENSIONS {
        places[i][d] += GAIN * (wanted - distance) * away[d] / distance;
    }
    (wanted - distance).abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_between_coordinates_are_the_round_trips() {
        let nodes: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        let ms = |ms| Duration::from_millis(ms);
        let trips = vec![
            ("a".into(), "b".into(), ms(20)),
            ("b".into(), "c".into(), ms(30)),
            ("c".into(), "a".into(), ms(40)),
        ];
        let places = from_round_trips(&nodes, &trips);
        let coordinate = |at: usize, d: usize| places[at]["Vec"][d].as_f64().unwrap();
        for (a, b, seconds) in [(0, 1, 0.020), (1, 2, 0.030), (2, 0, 0.040)] {
            let squares: f64 = (0..DIMENSIONS)
                .map(|d| (coordinate(a, d) - coordinate(b, d)).powi(2))
                .sum();
            let distance = squares.sqrt() + 2.0 * HEIGHT;
            assert!(
                (distance - seconds).abs() < 1e-3,
                "{a}-{b}: {distance} s, wanted {seconds} s"
            );
        }
    }
}
