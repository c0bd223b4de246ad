//! The cheapest pack of a node against all of them, and the bound that rests on it against the optimum.

use proptest::prelude::*;

use super::super::bound::Prices;
use super::super::cheapest::{Host, Visitor, cheapest};
use super::super::problem::Amounts;
use super::super::sharpen::sharpened;
use super::promises::best_of_all;
use super::{never, problems};

const ROWS: u32 = 3;

fn hosts() -> impl Strategy<Value = Host> {
    let amounts = || prop::array::uniform4(0..30_i32);
    let visitor = (-90..0_i32, 0..ROWS, amounts(), amounts());
    let visitors = prop::collection::vec(visitor, 0..9);
    let free = prop::array::uniform4(0..90_i32);
    (visitors, free, 0..60_i32).prop_map(|(visitors, free, open)| Host {
        visitors: (0_u32..)
            .zip(visitors)
            .map(|(visit, (cost, row, reserve, surge))| Visitor {
                visit,
                cost: f64::from(cost),
                row,
                reserve,
                surge,
            })
            .collect(),
        free,
        open_cost: f64::from(open),
        rows: ROWS as usize,
    })
}

/// What a pack (as bits) costs, if the node survives every failure with it.
fn cost_of(host: &Host, pack: u32) -> Option<f64> {
    let taken = || host.visitors.iter().filter(|v| pack & 1 << v.visit != 0);
    let holds = |r: usize| {
        let sum = |of: &dyn Fn(&Visitor) -> Amounts, row: Option<u32>| {
            let counts = taken().filter(|v| row.is_none_or(|row| v.row == row));
            counts.map(|v| of(v)[r]).sum::<i32>()
        };
        let base = sum(&|v| v.reserve, None);
        (0..ROWS).all(|row| base + sum(&|v| v.surge, Some(row)) <= host.free[r])
    };
    let cost = host.open_cost + taken().map(|v| v.cost).sum::<f64>();
    (0..host.free.len()).all(holds).then_some(cost)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_cheapest_pack_is_the_cheapest_of_all(host in hosts()) {
        let all = 0..1_u32 << host.visitors.len();
        let least = all.filter_map(|pack| cost_of(&host, pack)).fold(0.0, f64::min);
        let prices = vec![0.0; ROWS as usize * 4];
        let found = cheapest(host.clone(), &prices, u32::MAX, &never);
        prop_assert!((found.least - least).abs() < 1e-5, "{} for {least}", found.least);
        let pack = found.pack.iter().fold(0, |pack, visit| pack | 1 << visit);
        if pack != 0 {
            prop_assert_eq!(cost_of(&host, pack), Some(least));
        }
        let glance = cheapest(host.clone(), &prices, 1, &never).least;
        prop_assert!(glance <= least + 1e-9, "{glance} promises more than {least}");
        let stopped = cheapest(host.clone(), &found.prices, u32::MAX, &|| true).least;
        prop_assert!(stopped <= least + 1e-9, "{stopped} promises more than {least}");
    }

    #[test]
    fn a_sharpened_bound_is_no_lower_and_never_above_the_optimum(problem in problems(5, 4, 2)) {
        let best = best_of_all(&problem);
        let known = 2 * best + 1_000;
        let linear = Prices::raise(&problem, Prices::default(), known, 100, &never);
        let before = linear.bound;
        let sharp = sharpened(&problem, linear, known, &|| 0.0).bound;
        prop_assert!(before <= sharp && sharp <= best, "{before} to {sharp}, optimum {best}");
    }
}
