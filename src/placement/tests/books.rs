//! The search's own books agree with the referee's count after any moves.

use proptest::prelude::*;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::super::bound::Prices;
use super::super::guide::Guide;
use super::super::problem::NOWHERE;
use super::super::state::{State, standbys};
use super::super::walk::Walk;
use super::super::{Problem, check, greedy};
use super::{never, problems};

/// The same assignment booked from nothing.
fn booked_anew<'p>(state: &State<'p>, problem: &'p Problem) -> State<'p> {
    let mut anew = State::empty(problem, &problem.candidate_cost);
    for (slot, &candidate) in state
        .slots()
        .iter()
        .enumerate()
        .filter(|(_, c)| **c != NOWHERE)
    {
        assert!(
            anew.may_put(slot, candidate as usize),
            "an assignment may be booked in any order"
        );
        anew.put(slot, candidate as usize);
    }
    anew
}

fn objective(problem: &Problem, state: &State) -> Result<i64, TestCaseError> {
    check(problem, &standbys(problem, state.slots()))
        .map(|score| score.objective)
        .map_err(|violation| TestCaseError::fail(violation.to_string()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn after_any_moves_the_books_agree_with_the_referee(
        problem in problems(14, 9, 3), seed in 0..u64::MAX, temperature in 0.1..200.0_f64
    ) {
        let start = greedy::start(&problem, &problem.candidate_cost, None);
        let guide = Guide::of(&problem, &Prices::default());
        let mut walk = Walk::new(start, &guide, Xoshiro256PlusPlus::seed_from_u64(seed));
        for _ in 0..12 {
            (0..60).for_each(|_| walk.step(temperature));
            let state = walk.state();
            prop_assert_eq!(objective(&problem, state)?, state.total());
            let anew = booked_anew(state, &problem);
            prop_assert_eq!(anew.total(), state.total());
            for candidate in 0..problem.candidate_cost.len() {
                prop_assert_eq!(anew.shortfall(candidate), state.shortfall(candidate));
                let slot = problem.slots(problem.candidate_portion[candidate] as usize).start;
                if slot < problem.wanted() && problem.slot_portion[slot] == problem.candidate_portion[candidate] {
                    let roomy = state.shortfall(candidate).iter().all(|s| *s == 0);
                    prop_assert_eq!(state.fits(slot, candidate), roomy && state.lacking(slot, candidate).is_none());
                }
            }
        }
        let best = standbys(&problem, walk.best());
        prop_assert_eq!(check(&problem, &best).map(|score| score.objective), Ok(walk.best_total()));
        prop_assert!(walk.best_total() <= walk.state().total());
        walk.return_to_best();
        prop_assert_eq!(walk.state().total(), walk.best_total());
        let missing = walk.state().missing().len();
        walk.squeeze_best(&never);
        prop_assert!(walk.state().missing().len() <= missing);
        prop_assert_eq!(objective(&problem, walk.state())?, walk.state().total());
        prop_assert_eq!(walk.state().total(), walk.best_total());
    }

    #[test]
    fn a_node_packed_anew_keeps_the_books(
        problem in problems(20, 4, 3), seed in 0..u64::MAX, temperature in 0.1..200.0_f64
    ) {
        let start = greedy::start(&problem, &problem.candidate_cost, None);
        let prices = Prices::raise(&problem, Prices::default(), start.total(), 40, &never);
        let guide = Guide::of(&problem, &prices);
        let mut walk = Walk::new(start, &guide, Xoshiro256PlusPlus::seed_from_u64(seed));
        for _ in 0..40 {
            walk.step(temperature);
            walk.repack(temperature);
            prop_assert_eq!(objective(&problem, walk.state())?, walk.state().total());
            prop_assert_eq!(booked_anew(walk.state(), &problem).total(), walk.state().total());
        }
        let best = standbys(&problem, walk.best());
        prop_assert_eq!(check(&problem, &best).map(|score| score.objective), Ok(walk.best_total()));
    }

    #[test]
    fn the_delta_of_every_legal_change_is_what_the_referee_counts(
        problem in problems(8, 6, 2), seed in 0..u64::MAX
    ) {
        let start = greedy::start(&problem, &problem.candidate_cost, None);
        let guide = Guide::of(&problem, &Prices::default());
        let mut walk = Walk::new(start, &guide, Xoshiro256PlusPlus::seed_from_u64(seed));
        (0..100).for_each(|_| walk.step(100.0));
        let state = walk.state();
        let before = objective(&problem, state)?;
        for slot in 0..problem.wanted() {
            for candidate in problem.candidates(problem.slot_portion[slot] as usize) {
                let stays = state.node_of(slot) == Some(problem.candidate_node[candidate] as usize);
                if stays || !state.may_put(slot, candidate) {
                    continue;
                }
                let mut moved = state.clone();
                moved.shift(slot, candidate);
                prop_assert_eq!(objective(&problem, &moved)? - before, state.delta(slot, candidate));
                prop_assert_eq!(moved.total() - state.total(), state.delta(slot, candidate));
            }
        }
    }

    #[test]
    fn whether_one_makes_room_for_another_is_what_taking_it_away_shows(
        problem in problems(10, 5, 2), seed in 0..u64::MAX
    ) {
        let start = greedy::start(&problem, &problem.candidate_cost, None);
        let guide = Guide::of(&problem, &Prices::default());
        let mut walk = Walk::new(start, &guide, Xoshiro256PlusPlus::seed_from_u64(seed));
        (0..100).for_each(|_| walk.step(100.0));
        let state = walk.state();
        for candidate in 0..problem.candidate_cost.len() {
            let node = problem.candidate_node[candidate] as usize;
            let portion = problem.candidate_portion[candidate] as usize;
            for &leaving in state.members(node) {
                let leaving = leaving as usize;
                if problem.slots(portion).contains(&leaving) {
                    continue;
                }
                let mut without = state.clone();
                without.take(leaving);
                let fits = without.shortfall(candidate).iter().all(|short| *short == 0);
                prop_assert_eq!(state.takes_instead(candidate, leaving), fits);
            }
        }
    }

    #[test]
    fn a_refused_candidate_really_breaks_a_rule(problem in problems(8, 6, 2)) {
        let state = greedy::start(&problem, &problem.candidate_cost, None);
        for slot in (0..problem.wanted()).filter(|&slot| state.slots()[slot] == NOWHERE) {
            let portion = problem.slot_portion[slot] as usize;
            for candidate in problem.candidates(portion).filter(|&c| !state.may_put(slot, c)) {
                let mut forced = standbys(&problem, state.slots());
                forced[portion].push(problem.candidate_node[candidate] as usize);
                prop_assert!(check(&problem, &forced).is_err());
            }
        }
    }
}
