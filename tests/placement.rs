//! The shared instances, where there are any: proven optima are reached, and no bound exceeds what is known to be feasible.

use std::path::PathBuf;

use foreshadow::placement::{Options, Problem, check, lower_bound, search, solve};

/// A shared instance, found by walking up from the crate; none (said aloud) where it was not given along.
fn shared(name: &str) -> Option<Problem> {
    let file = format!("shared/placement/inst_{name}.json");
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let found = root
        .ancestors()
        .map(|folder| folder.join(&file))
        .find(|path| path.is_file());
    let Some(path) = found else {
        println!("skipped: no {file} in any folder above {}", root.display());
        return None;
    };
    let text = std::fs::read_to_string(&path).expect("a file that is there can be read");
    Some(Problem::from_json(&text).expect("a shared instance is valid"))
}

#[test]
fn small_shared_instances_are_solved_to_their_optimum_and_proven_to_be() {
    for (name, optimum) in [
        ("20x10_s1", 24_278),
        ("20x10_s2", 26_412),
        ("20x10_s1_t1.8", 25_382),
    ] {
        let Some(problem) = shared(name) else {
            continue;
        };
        for seed in 0..3 {
            let options = Options {
                iterations: Some(200_000),
                seed,
                ..Options::default()
            };
            let answer = solve(&problem, &options, &|| false);
            assert_eq!(answer.objective, optimum, "{name}, seed {seed}");
            let counted = check(&problem, &answer.standbys).map(|score| score.objective);
            assert_eq!(counted, Ok(optimum), "{name}, seed {seed}");
            assert_eq!(
                (answer.bound, answer.gap_pct),
                (optimum, 0.0),
                "{name}, seed {seed}"
            );
        }
    }
}

#[test]
fn larger_shared_instances_are_bounded_below_the_best_known_placement() {
    // Best known feasible objective, and a bound that so many rounds must reach.
    let cases = [
        ("200x50_s1", 195_751, 193_500, 1_500),
        ("200x50_s1_t1.8", 200_712, 197_000, 1_500),
        ("2000x200_s1", 1_578_434, 1_450_000, 250),
    ];
    for (name, feasible, reached, rounds) in cases {
        let Some(problem) = shared(name) else {
            continue;
        };
        let bound = lower_bound(&problem, feasible, rounds, &|| false);
        assert!(
            bound <= feasible,
            "{name}: bound {bound} above a feasible {feasible}"
        );
        assert!(
            bound >= reached,
            "{name}: bound {bound} has not reached {reached}"
        );
    }
}

#[test]
fn a_medium_shared_instance_is_solved_well_and_alike_by_any_number_of_threads() {
    let Some(problem) = shared("200x50_s1") else {
        return;
    };
    let with = |threads| {
        let (iterations, bound_rounds) = (Some(60_000), 10);
        let options = Options {
            iterations,
            seed: 5,
            threads,
            bound_rounds,
            ..Options::default()
        };
        solve(&problem, &options, &|| false)
    };
    let answer = with(1);
    assert_eq!(answer, with(3));
    assert_eq!(answer.unplaced, 0);
    // Within 3 % of the best known bound, 194,220, after a twentieth of a second.
    assert!(answer.objective < 200_000, "{}", answer.objective);
}

#[test]
fn news_of_one_portion_in_a_hundred_moves_few_standbys_and_places_all() {
    let Some(problem) = shared("200x50_s1") else {
        return;
    };
    let options = Options {
        iterations: Some(60_000),
        seed: 1,
        ..Options::default()
    };
    let running = search(&problem, &options, &|| false);
    for first in 0..5 {
        let mut news = problem.instance().clone();
        for portion in news
            .portions
            .iter_mut()
            .skip(first * 37)
            .step_by(100)
            .take(2)
        {
            for amount in portion.active.iter_mut().chain(&mut portion.reserve) {
                *amount = *amount * 5 / 4;
            }
        }
        let changed = Problem::new(news).expect("valid");
        let options = Options {
            iterations: Some(5_000),
            warm: Some(&running.standbys),
            move_cost: 100,
            ..Options::default()
        };
        let answer = search(&changed, &options, &|| false);
        let both = running.standbys.iter().zip(&answer.standbys);
        let moved = both.map(|(old, new)| new.iter().filter(|node| !old.contains(node)).count());
        let moved: usize = moved.sum();
        assert_eq!(answer.unplaced, 0, "news {first}");
        assert!(
            moved * 100 <= problem.wanted() * 3,
            "news {first}: {moved} moved"
        );
    }
}
