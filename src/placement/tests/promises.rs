//! Feasible, optimal where that can be counted, above the bound, and the same for the same seed.

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::super::bound::{lift, rounded_up};
use super::super::dual::{Dual, Shortlist};
use super::super::*;
use super::{instance, never, node, portion, problems, quick, small};

/// The best objective of all assignments there are.
pub(super) fn best_of_all(problem: &Problem) -> i64 {
    let choices: Vec<Vec<Vec<usize>>> = problem
        .instance()
        .portions
        .iter()
        .map(|portion| sets_of(problem, portion))
        .collect();
    let mut best = i64::MAX;
    let mut chosen = vec![Vec::new(); choices.len()];
    enumerate(problem, &choices, 0, &mut chosen, &mut best);
    best
}

fn enumerate(
    problem: &Problem,
    choices: &[Vec<Vec<usize>>],
    at: usize,
    chosen: &mut Vec<Vec<usize>>,
    best: &mut i64,
) {
    if at == choices.len() {
        *best = check(problem, chosen).map_or(*best, |score| score.objective.min(*best));
        return;
    }
    for set in &choices[at] {
        chosen[at].clone_from(set);
        enumerate(problem, choices, at + 1, chosen, best);
    }
}

/// Every set of a portion's candidates that keeps the domain rules.
fn sets_of(problem: &Problem, portion: &Portion) -> Vec<Vec<usize>> {
    let domain = |node: usize| problem.instance().nodes[node].domain;
    let mut sets = vec![Vec::new()];
    for &(node, _) in &portion.candidates {
        for at in 0..sets.len() {
            let set: &Vec<usize> = &sets[at];
            let clash = set.iter().any(|&other| domain(other) == domain(node));
            if domain(node) != portion.primary_domain && !clash && (set.len() as i64) < portion.k {
                let larger = set.iter().copied().chain([node]).collect();
                sets.push(larger);
            }
        }
    }
    sets
}

proptest! {
    // A search promises no optimum, so these instances are the same every time.
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::with_cases(48) })]

    #[test]
    fn tiny_instances_are_solved_to_the_optimum_and_the_bound_never_exceeds_it(
        problem in problems(5, 4, 2), seed in 0..100_u64
    ) {
        let answer = solve(&problem, &Options { iterations: Some(10_000), ..quick(seed) }, &never);
        let best = best_of_all(&problem);
        prop_assert_eq!(answer.objective, best);
        prop_assert!(answer.bound <= best, "bound {} above the optimum {best}", answer.bound);
    }
}

/// Two failures and demand that one of them multiplies, weighed as a careful plan weighs them.
fn risky(instance: Instance, pct: i64) -> Problem {
    let scenario = |failed: &[usize], pct| Scenario {
        id: format!("{failed:?}"),
        weight: 1,
        failed: failed.to_vec(),
        demand_pct: vec![pct; instance.portions.len()],
    };
    let last = instance.domains.len() - 1;
    let conditions = Conditions {
        scenarios: vec![
            scenario(&[0], 100),
            scenario(&[last], pct),
            scenario(&[0, last], 100),
        ],
        risk: Risk {
            expected_milli: 1_000,
            cvar_milli: 2_000,
            level_bp: 6_000,
        },
        ..Conditions::default()
    };
    Problem::with(instance, conditions).expect("legal conditions")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_looked_through_to_the_end_is_the_optimum_risk_and_all(
        instance in super::instances(4, 4, 2), pct in 50..300_i64
    ) {
        let problem = risky(instance, pct);
        let cost = problem.candidate_cost.clone();
        let start = super::super::greedy::start(&problem, &cost, None);
        let found = super::super::few::best(&start, &cost, u64::MAX);
        prop_assert_eq!(found.map(|f| f.0), Some(best_of_all(&problem)));
        prop_assert!(super::super::few::best(&start, &cost, 0).is_none_or(|f| f.0 == start.total()));
    }

    #[test]
    fn lifted_prices_prove_no_more_than_is_so(problem in problems(5, 5, 2)) {
        let dual = Dual::new(&problem);
        let slope = |at: &[f64]| dual.slope(at, &mut Shortlist::default());
        let start = slope(&dual.start()).value;
        let lifted = slope(&lift(&dual, &slope, dual.start(), &never)).value;
        prop_assert!(lifted >= start);
        prop_assert!(rounded_up(lifted) <= best_of_all(&problem), "{lifted}");
    }

    #[test]
    fn every_answer_passes_the_referee_and_its_gap_is_not_understated(
        problem in problems(20, 10, 3), seed in 0..100_u64
    ) {
        let answer = solve(&problem, &quick(seed), &never);
        let score = check(&problem, &answer.standbys);
        prop_assert!(answer.feasible);
        prop_assert_eq!(score.as_ref().map(|s| (s.objective, s.unplaced)), Ok((answer.objective, answer.unplaced)));
        prop_assert!(answer.bound <= answer.objective);
        let implied = answer.bound as f64 * (1.0 + answer.gap_pct / 100.0);
        prop_assert!(implied >= answer.objective as f64 - 1e-6 || answer.bound == 0);
        let short = (0..problem.portions())
            .filter(|&i| (answer.standbys[i].len() as i64) < problem.instance().portions[i].k);
        prop_assert_eq!(short.collect::<Vec<_>>(), answer.why_unplaced.iter().map(|w| w.0).collect::<Vec<_>>());
    }

    #[test]
    fn the_same_seed_gives_the_same_answer_with_any_number_of_threads(
        problem in problems(12, 8, 2), seed in 0..100_u64
    ) {
        let with = |threads| {
            solve(&problem, &Options { iterations: Some(1_500), threads, ..quick(seed) }, &never)
        };
        let one = with(1);
        prop_assert_eq!(&one, &with(2));
        prop_assert_eq!(&one, &with(5));
    }

    #[test]
    fn an_alternative_is_as_near_and_as_legal_as_it_says(problem in problems(10, 8, 2)) {
        let answer = search(&problem, &quick(1), &never);
        for portion in 0..problem.portions() {
            for there in alternatives(&problem, &answer, portion, 10.0) {
                prop_assert!(!answer.standbys[portion].contains(&there));
                let stands = answer.standbys[portion].len();
                let instead = (0..=stands).filter_map(|gone| {
                    let mut standbys = answer.standbys.clone();
                    if gone < stands {
                        standbys[portion].remove(gone);
                    }
                    standbys[portion].push(there);
                    check(&problem, &standbys).ok().map(|score| score.objective)
                });
                let best = instead.min().expect("one of the exchanges is legal");
                prop_assert!(best as f64 <= answer.objective as f64 * 1.1 + 1e-9);
            }
        }
    }
}

/// Eight domains of two nodes and forty portions, everything with room to spare.
fn roomy() -> Instance {
    let nodes = (0..16)
        .map(|n| node(n, n % 8, &[900, 900], 40 + n as i64))
        .collect();
    let portions = (0..40).map(|i| {
        let mut portion = portion(i, 1, i % 8, &[40 + i as i64, 30]);
        let cost = |n: usize| 10 + ((i * 31 + n * 17) % 23) as i64;
        portion.candidates = (0..16)
            .filter(|n| n % 8 != i % 8)
            .map(|n| (n, cost(n)))
            .collect();
        portion
    });
    instance(8, nodes, portions.collect())
}

#[test]
fn a_node_that_is_dearer_than_the_penalties_of_all_its_standbys_is_left_closed() {
    let mut portions = vec![portion(0, 1, 0, &[0]), portion(1, 1, 0, &[0])];
    for (portion, cost) in portions.iter_mut().zip([7, 1]) {
        portion.candidates = vec![(0, cost)];
        portion.unplaced_penalty = cost;
    }
    let nodes = vec![node(0, 1, &[40], 33)];
    let problem = Problem::new(instance(2, nodes, portions)).expect("valid");
    assert_eq!(search(&problem, &quick(94), &never).objective, 8);
}

#[test]
fn a_search_stopped_at_once_still_answers_with_a_feasible_placement() {
    let problem = Problem::new(roomy()).expect("valid");
    let answer = search(&problem, &Options::default(), &|| true);
    assert_eq!(check(&problem, &answer.standbys).map(|s| s.unplaced), Ok(0));
}

#[test]
fn without_a_number_of_iterations_the_search_goes_on_until_it_is_stopped() {
    let problem = Problem::new(roomy()).expect("valid");
    let asked = AtomicU32::new(0);
    let stop = || asked.fetch_add(1, Ordering::Relaxed) >= 20;
    let answer = search(
        &problem,
        &Options {
            threads: 1,
            ..Options::default()
        },
        &stop,
    );
    assert!(answer.feasible);
    assert!(asked.into_inner() >= 20);
}

#[test]
fn one_cooling_ends_when_the_budget_is_spent() {
    let problem = Problem::new(roomy()).expect("valid");
    let asked = AtomicU32::new(0);
    let spent = || f64::from(asked.fetch_add(1, Ordering::Relaxed)) / 700.0;
    let options = Options {
        spent: Some(&spent),
        threads: 1,
        ..Options::default()
    };
    let answer = search(&problem, &options, &never);
    assert!(answer.feasible);
    assert!(asked.load(Ordering::Relaxed) >= 700);
}

#[test]
fn more_rounds_never_lower_the_bound() {
    let problem = Problem::new(roomy()).expect("valid");
    let bounds: Vec<i64> = [0, 1, 10, 100, 1_000]
        .iter()
        .map(|&rounds| lower_bound(&problem, 2_000, rounds, &never))
        .collect();
    assert!(bounds.is_sorted(), "{bounds:?}");
    assert!(bounds[4] > bounds[0]);
}

#[test]
fn a_running_placement_is_kept_when_moves_cost_more_than_they_save() {
    let problem = Problem::new(roomy()).expect("valid");
    let running = search(&problem, &quick(1), &never);
    let mut news = roomy();
    news.nodes[3].free = vec![0, 0];
    let changed = Problem::new(news).expect("valid");
    let options = Options {
        warm: Some(&running.standbys),
        move_cost: 5_000,
        ..quick(2)
    };
    let answer = search(&changed, &options, &never);
    for (portion, (before, after)) in running.standbys.iter().zip(&answer.standbys).enumerate() {
        if before != &[3] {
            assert_eq!(before, after, "portion {portion} moved without need");
        }
    }
    assert_eq!(answer.unplaced, 0);
    assert_eq!(
        check(&changed, &answer.standbys).map(|s| s.objective),
        Ok(answer.objective)
    );
}

#[test]
fn without_a_move_cost_a_warm_start_is_left_for_something_better() {
    let problem = Problem::new(small()).expect("valid");
    let warm = vec![vec![2]];
    let options = Options {
        warm: Some(&warm),
        ..quick(1)
    };
    assert_eq!(search(&problem, &options, &never).standbys, [[1]]);
}

#[test]
fn capacity_is_held_once_for_each_failure_and_not_for_all_failures_at_once() {
    // Two portions at home in different domains share one node: 5 + 5 held, and 5 more if either home fails.
    let nodes = vec![
        node(0, 0, &[0], 0),
        node(1, 1, &[0], 0),
        node(2, 2, &[15], 0),
    ];
    let mut portions = vec![portion(0, 1, 0, &[10]), portion(1, 1, 1, &[10])];
    portions
        .iter_mut()
        .for_each(|portion| portion.candidates = vec![(2, 1)]);
    let spread = Problem::new(instance(3, nodes.clone(), portions.clone())).expect("valid");
    assert_eq!(solve(&spread, &quick(1), &never).unplaced, 0);
    portions[1].primary_domain = 0;
    let together = Problem::new(instance(3, nodes, portions)).expect("valid");
    assert_eq!(solve(&together, &quick(1), &never).unplaced, 1);
}
