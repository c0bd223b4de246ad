//! Shared capacities bind and are named; scenarios move standbys to where they serve; risk tolerance decides how far.

use super::super::*;
use super::{instance, never, node, portion, quick};

/// Three domains of one roomy node each beside home; each portion is cheapest on the first.
fn estate(portions: usize) -> Instance {
    let nodes = (0..4).map(|n| node(n, n, &[1_000], 0)).collect();
    let portions = (0..portions).map(|number| {
        let mut portion = portion(number, 1, 0, &[100]);
        portion.candidates = vec![(1, 10), (2, 20), (3, 40)];
        portion
    });
    instance(4, nodes, portions.collect())
}

fn drawing(free: i64, draws: Vec<Draw>) -> Conditions {
    let id = "link d0-d1".to_owned();
    let unit = "mbps".to_owned();
    let shared = vec![Shared {
        id,
        unit,
        free,
        draws,
    }];
    Conditions {
        shared,
        ..Conditions::default()
    }
}

fn draw(portion: usize, domain: Option<usize>, reserve: i64, active: i64) -> Draw {
    Draw {
        portion,
        node: None,
        domain,
        reserve,
        active,
    }
}

fn scenario(failed: &[usize], weight: i64) -> Scenario {
    Scenario {
        id: String::new(),
        weight,
        failed: failed.to_vec(),
        demand_pct: Vec::new(),
    }
}

fn solved(instance: Instance, conditions: Conditions) -> (Problem, Answer) {
    let problem = Problem::with(instance, conditions).expect("valid");
    let answer = solve(&problem, &quick(1), &never);
    assert_eq!(
        check(&problem, &answer.standbys).map(|score| score.objective),
        Ok(answer.objective)
    );
    (problem, answer)
}

#[test]
fn a_link_holds_what_is_always_sent_and_the_burst_of_one_failure() {
    // Each standby over the link holds 10 and bursts to 40: two are 80, a third needs 120.
    let draws: Vec<Draw> = (0..3).map(|i| draw(i, Some(1), 10, 40)).collect();
    let (_, answer) = solved(estate(3), drawing(80, draws.clone()));
    assert_eq!(answer.standbys.iter().filter(|s| *s == &[1]).count(), 2);
    assert_eq!(answer.unplaced, 0);
    // At home in another domain the third bursts in another failure: 30 held, 60 at most on top.
    let mut apart = estate(3);
    apart.portions[2].primary_domain = 3;
    let (_, answer) = solved(apart, drawing(90, draws));
    assert_eq!(answer.standbys, [[1], [1], [1]]);
}

#[test]
fn a_budget_leaves_out_what_it_cannot_pay_and_says_so() {
    let draws: Vec<Draw> = (0..3).map(|i| draw(i, None, 50, 50)).collect();
    let mut conditions = drawing(110, draws);
    conditions.shared[0].id = "budget".to_owned();
    conditions.shared[0].unit = "euro".to_owned();
    let (problem, answer) = solved(estate(3), conditions);
    assert_eq!(answer.unplaced, 1);
    let (portion, why) = &answer.why_unplaced[0];
    assert!(why.contains("\"budget\" (110 euro) lacks 40"), "{why}");
    let rows = explain(&problem, &answer, *portion);
    assert!(
        rows.iter()
            .all(|row| row.why_not.as_deref().is_some_and(|w| w.contains("budget")))
    );
}

#[test]
fn within_a_budget_that_is_spent_a_standby_may_still_move() {
    let draws: Vec<Draw> = (0..2).map(|i| draw(i, None, 50, 50)).collect();
    let problem = Problem::with(estate(2), drawing(100, draws)).expect("valid");
    let warm = vec![vec![3], vec![3]];
    let options = Options {
        warm: Some(&warm),
        ..quick(1)
    };
    assert_eq!(search(&problem, &options, &never).standbys, [[1], [1]]);
}

#[test]
fn a_standby_avoids_a_domain_that_fails_together_with_its_primary() {
    let mut conditions = Conditions {
        scenarios: vec![scenario(&[0], 90), scenario(&[0, 1], 10)],
        ..Conditions::default()
    };
    let (_, careless) = solved(estate(1), conditions.clone());
    assert_eq!(
        (careless.standbys, careless.unserved),
        (vec![vec![1]], None)
    );
    conditions.risk = Risk {
        expected_milli: 0,
        cvar_milli: 1_000,
        level_bp: 9_000,
    };
    let (_, careful) = solved(estate(1), conditions.clone());
    assert_eq!(careful.standbys, [[2]]);
    assert_eq!(careful.unserved.map(|unserved| unserved.cost), Some(0));
    // A tenth of 100 units is expected to go unserved; at 50 thousandths of a unit that is cheaper than the other place.
    conditions.risk = Risk {
        expected_milli: 50,
        cvar_milli: 0,
        level_bp: 0,
    };
    let (_, bold) = solved(estate(1), conditions);
    assert_eq!(bold.standbys, [[1]]);
    let unserved = bold.unserved.expect("scenarios are weighed");
    assert!((unserved.expected - 10.0).abs() < 1e-9);
    assert_eq!(unserved.cost, 1);
}

#[test]
fn the_value_at_risk_counts_the_scenario_at_the_level_in_part() {
    let conditions = Conditions {
        scenarios: vec![scenario(&[], 95), scenario(&[0, 1, 2, 3], 5)],
        risk: Risk {
            expected_milli: 1_000,
            cvar_milli: 1_000,
            level_bp: 9_000,
        },
        ..Conditions::default()
    };
    // Whatever is chosen, 100 units go unserved in one scenario of 5 %, which is half of the worst tenth.
    let (_, answer) = solved(estate(1), conditions);
    let unserved = answer.unserved.expect("scenarios are weighed");
    assert!((unserved.expected - 5.0).abs() < 1e-9);
    assert!((unserved.cvar - 50.0).abs() < 1e-9);
    assert_eq!(unserved.cost, 55);
    assert_eq!(answer.objective, 10 + 55);
}

#[test]
fn a_node_that_two_failures_together_overload_serves_in_proportion() {
    let mut both = estate(2);
    both.portions[1].primary_domain = 3;
    both.portions[1].candidates = vec![(1, 10)];
    both.portions[0].candidates = vec![(1, 10)];
    both.nodes[1].free = vec![150];
    let conditions = Conditions {
        scenarios: vec![scenario(&[0, 3], 1)],
        risk: Risk {
            expected_milli: 1_000,
            cvar_milli: 0,
            level_bp: 0,
        },
        ..Conditions::default()
    };
    let (_, answer) = solved(both, conditions);
    assert_eq!(answer.unserved.map(|unserved| unserved.cost), Some(50));
}

#[test]
fn demand_beyond_the_active_size_is_weighed_too() {
    let mut one = estate(1);
    one.nodes[1].free = vec![150];
    let mut surge = scenario(&[0], 1);
    surge.demand_pct = vec![200];
    let conditions = Conditions {
        scenarios: vec![surge],
        risk: Risk {
            expected_milli: 1_000,
            cvar_milli: 0,
            level_bp: 0,
        },
        ..Conditions::default()
    };
    // 200 wanted: the cheapest node serves 150, the next serves all of it.
    let (_, answer) = solved(one, conditions);
    assert_eq!(answer.standbys, [[2]]);
}

#[test]
fn bad_conditions_are_refused_in_words() {
    type Spoil = fn(&mut Conditions);
    let cases: &[(Spoil, &str)] = &[
        (
            |c| c.shared[0].draws[0].portion = 9,
            "`portion` refers to number 9",
        ),
        (
            |c| c.shared[0].draws[0].domain = Some(9),
            "`domain` refers to number 9",
        ),
        (
            |c| c.shared[0].draws[0].node = Some(9),
            "`node` refers to number 9",
        ),
        (|c| c.shared[0].free = -1, "`free` is -1"),
        (
            |c| c.shared[0].draws[0].active = 1,
            "`active` is below `reserve` for link d0-d1",
        ),
        (
            |c| c.shared.push(c.shared[0].clone()),
            "\"link d0-d1\" occurs twice",
        ),
        (
            |c| c.scenarios[0].failed = vec![7],
            "`failed` refers to number 7",
        ),
        (|c| c.scenarios[0].weight = -2, "`weight` is -2"),
        (
            |c| c.scenarios[0].demand_pct = vec![1],
            "`demand_pct` has 1 numbers",
        ),
        (
            |c| c.scenarios[0].demand_pct = vec![1, -1],
            "`demand_pct` is -1",
        ),
        (
            |c| c.scenarios = vec![scenario(&[], 1); 65],
            "has 65 scenarios",
        ),
        (|c| c.risk.level_bp = 10_000, "`level_bp` is 10000"),
    ];
    for (spoil, expected) in cases {
        let mut conditions = drawing(50, vec![draw(0, None, 5, 10)]);
        conditions.scenarios = vec![scenario(&[0], 1)];
        spoil(&mut conditions);
        let refused = Problem::with(estate(2), conditions).expect_err(expected);
        assert!(refused.to_string().contains(expected), "{refused}");
    }
}

#[test]
fn conditions_are_further_keys_of_the_same_document() {
    let mut document = serde_json::to_value(estate(1)).expect("an instance is JSON");
    document["shared"] = serde_json::json!([{ "id": "spread", "free": 0, "draws": [{ "portion": 0, "domain": 1, "active": 1 }] }]);
    document["scenarios"] = serde_json::json!([{ "weight": 1, "failed": [0, 2] }]);
    document["risk"] = serde_json::json!({ "cvar_milli": 5_000, "level_bp": 9_500 });
    let problem = Problem::from_json(&document.to_string()).expect("valid");
    assert_eq!(solve(&problem, &quick(1), &never).standbys, [[3]]);
}
