//! Proofs of an optimum agree with counting all assignments, and a proof that was stopped claims no more than it has.

use proptest::prelude::*;

use super::super::exact::{Exact, suits};
use super::super::{Problem, check, greedy, state};
use super::promises::best_of_all;
use super::{instance, never, node, portion, problems};

fn exact(problem: &Problem, limit: u64, abreast: u32) -> Exact<'_> {
    Exact {
        problem,
        cost: &problem.candidate_cost,
        limit,
        stop: &never,
        abreast,
    }
}

fn greedy_total(problem: &Problem) -> i64 {
    greedy::start(problem, &problem.candidate_cost, None).total()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_proven_optimum_is_the_best_of_all_assignments(problem in problems(5, 5, 2)) {
        prop_assert!(suits(&problem));
        let best = best_of_all(&problem);
        let known = greedy_total(&problem);
        for abreast in [0, 3] {
            let proof = exact(&problem, u64::MAX, abreast).run(known);
            prop_assert_eq!(proof.best, best);
            prop_assert_eq!(proof.bound, best);
            prop_assert_eq!(proof.slots.is_some(), best < known);
            if let Some(slots) = proof.slots {
                let counted = check(&problem, &state::standbys(&problem, &slots));
                prop_assert_eq!(counted.map(|score| score.objective), Ok(best));
            }
        }
    }

    #[test]
    fn a_proof_that_ran_out_of_steps_claims_no_more_than_is_so(problem in problems(5, 5, 3), limit in 0..3_000_u64) {
        let best = best_of_all(&problem);
        let proof = exact(&problem, limit, 0).run(greedy_total(&problem));
        prop_assert!(proof.bound <= best, "bound {} above the optimum {best}", proof.bound);
        prop_assert!(proof.best >= best);
    }

    #[test]
    fn what_is_known_to_be_the_best_is_proven_without_finding_it_again(problem in problems(5, 4, 2)) {
        let best = best_of_all(&problem);
        let proof = exact(&problem, u64::MAX, 0).run(best);
        prop_assert_eq!((proof.best, proof.bound, proof.slots), (best, best, None));
    }
}

#[test]
fn a_standby_for_which_there_is_no_room_is_proven_to_be_missing() {
    // Three standbys of 10 on two nodes of 15: the one with the least penalty stays out.
    let nodes = vec![
        node(0, 0, &[0], 0),
        node(1, 1, &[15], 30),
        node(2, 2, &[15], 30),
    ];
    let portions = (0..3).map(|i| {
        let mut portion = portion(i, 1, 0, &[10]);
        portion.candidates = vec![(1, 5), (2, 6)];
        portion.unplaced_penalty = 1_000 + i as i64;
        portion
    });
    let problem = Problem::new(instance(3, nodes, portions.collect())).expect("valid");
    let proof = exact(&problem, u64::MAX, 0).run(i64::MAX / 2);
    assert_eq!((proof.best, proof.bound), (1_071, 1_071));
}

#[test]
fn problems_of_many_standbys_are_left_to_the_search() {
    let many = (0..65).map(|i| portion(i, 1, 0, &[1])).collect();
    let problem = Problem::new(instance(1, vec![node(0, 0, &[9], 0)], many)).expect("valid");
    assert!(!suits(&problem));
}
