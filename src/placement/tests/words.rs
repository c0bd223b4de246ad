//! Bad instances get a clear error, hopeless portions a reason, and explanations say why not.

use super::super::*;
use super::{instance, never, node, portion, quick, small};

#[test]
fn bad_instances_are_refused_in_words() {
    type Spoil = fn(&mut Instance);
    let cases: &[(Spoil, &str)] = &[
        (
            |i| i.format = "other/2".to_owned(),
            "has format \"other/2\"",
        ),
        (|i| i.resources.clear(), "names 0 resources"),
        (
            |i| i.resources = vec!["x".to_owned(); 5],
            "names 5 resources",
        ),
        (
            |i| i.resources = vec!["cpu".to_owned(); 2],
            "resource \"cpu\" occurs twice",
        ),
        (
            |i| i.domains[1].id = "d0".to_owned(),
            "domain \"d0\" occurs twice",
        ),
        (
            |i| i.nodes[1].id = "n0".to_owned(),
            "node \"n0\" occurs twice",
        ),
        (
            |i| i.portions.push(i.portions[0].clone()),
            "portion \"p0\" occurs twice",
        ),
        (
            |i| i.nodes[1].domain = 9,
            "node \"n1\": `domain` refers to number 9, but there are only 3",
        ),
        (
            |i| i.nodes[0].free = vec![1],
            "`free` has 1 numbers, expected one for each of the 2",
        ),
        (|i| i.nodes[0].free[0] = -1, "`free` is -1"),
        (|i| i.nodes[0].free[0] = i64::MAX, "use a larger unit"),
        (|i| i.nodes[0].open_cost = -4, "`open_cost` is -4"),
        (|i| i.portions[0].k = -1, "`k` is -1"),
        (|i| i.portions[0].k = 1_000_000, "`k` is 1000000"),
        (
            |i| i.portions[0].unplaced_penalty = i64::MAX,
            "`unplaced_penalty`",
        ),
        (
            |i| i.portions[0].primary_domain = 3,
            "`primary_domain` refers to number 3",
        ),
        (
            |i| i.portions[0].primary_node = Some(3),
            "`primary_node` refers to number 3",
        ),
        (
            |i| i.portions[0].reserve = vec![],
            "`reserve` has 0 numbers",
        ),
        (
            |i| i.portions[0].active[1] = 3,
            "`active` is below `reserve` for mem_mb",
        ),
        (
            |i| i.portions[0].candidates[0].0 = 7,
            "`candidates` refers to number 7",
        ),
        (|i| i.portions[0].candidates[0].1 = -7, "`candidates` is -7"),
        (
            |i| i.portions[0].candidates.push((1, 2)),
            "lists node 1 twice",
        ),
    ];
    for (spoil, expected) in cases {
        let mut bad = small();
        spoil(&mut bad);
        let text = Problem::new(bad).expect_err(expected).to_string();
        assert!(text.contains(expected), "{text:?} should say {expected:?}");
    }
}

#[test]
fn a_json_mistake_is_named_with_line_and_column() {
    let text = serde_json::to_string_pretty(&small()).expect("an instance is JSON");
    assert!(Problem::from_json(&text).is_ok());
    let error = Problem::from_json(&text.replacen("\"k\": 1", "\"k\": 1.5", 1))
        .expect_err("k is no integer");
    let ProblemError::Json { line, .. } = error else {
        panic!("{error} is no JSON error")
    };
    assert!(line > 1);
    assert!(error.to_string().contains("column"), "{error}");
}

#[test]
fn fields_that_only_inform_are_ignored() {
    let text = serde_json::to_string(&small()).expect("an instance is JSON");
    let richer = text.replacen(
        "\"open_cost\"",
        "\"shape\":[1,2],\"price\":0.5,\"open_cost\"",
        1,
    );
    assert!(Problem::from_json(&richer).is_ok());
}

#[test]
fn hopeless_portions_are_left_out_with_the_reason() {
    type Spoil = fn(&mut Instance);
    let cases: &[(Spoil, usize, &str)] = &[
        (
            |i| i.portions[0].candidates.clear(),
            1,
            "has no candidate nodes",
        ),
        (
            |i| i.portions[0].candidates = vec![(0, 1)],
            1,
            "shares the failure domain \"d0\"",
        ),
        (
            |i| {
                i.nodes.iter_mut().for_each(|n| n.free = vec![100, 0]);
                i.portions[0].candidates.remove(0);
            },
            1,
            "node \"n1\" has 0 mem_mb free, and one active standby needs 20",
        ),
        (
            |i| i.portions[0].k = 5,
            3,
            "lie in 2 failure domains beside its primary's",
        ),
        (
            |i| i.portions[0].unplaced_penalty = 3,
            1,
            "a missing standby only 3",
        ),
    ];
    for (spoil, missing, expected) in cases {
        let mut hopeless = small();
        spoil(&mut hopeless);
        let problem = Problem::new(hopeless).expect("hopeless, but no mistake");
        let answer = solve(&problem, &quick(1), &never);
        assert_eq!(
            (answer.feasible, answer.unplaced),
            (true, *missing),
            "{expected}"
        );
        let (portion, why) = &answer.why_unplaced[0];
        assert_eq!(*portion, 0);
        assert!(why.contains(expected), "{why:?} should say {expected:?}");
    }
}

#[test]
fn a_full_estate_names_the_nearest_node_and_what_it_lacks() {
    let nodes = vec![node(0, 0, &[0], 0), node(1, 1, &[12], 0)];
    let mut portions = vec![portion(0, 1, 0, &[10]), portion(1, 1, 0, &[10])];
    portions
        .iter_mut()
        .for_each(|portion| portion.candidates = vec![(1, 1)]);
    let problem = Problem::new(instance(2, nodes, portions)).expect("valid");
    let answer = solve(&problem, &quick(1), &never);
    let why = &answer.why_unplaced[0].1;
    assert!(why.contains("node \"n1\", lacks 8 cpu_mhz"), "{why}");
}

#[test]
fn an_empty_instance_has_an_empty_answer() {
    let problem = Problem::new(instance(1, vec![], vec![])).expect("valid");
    let answer = solve(&problem, &quick(1), &never);
    assert_eq!(
        (answer.objective, answer.bound, answer.gap_pct),
        (0, 0, 0.0)
    );
    assert!(answer.feasible && answer.standbys.is_empty());
}

#[test]
fn explain_lists_every_candidate_with_its_cost_or_why_not() {
    let problem = Problem::new(small()).expect("valid");
    let answer = solve(&problem, &quick(1), &never);
    let rows = explain(&problem, &answer, 0);
    assert_eq!(
        rows.iter().map(|row| row.node).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert!(
        rows[0]
            .why_not
            .as_ref()
            .is_some_and(|why| why.contains("failure domain"))
    );
    assert!(rows[1].chosen);
    assert_eq!(rows[2].delta, Some(2));
    assert_eq!(explain(&problem, &answer, 1), []);
}

#[test]
fn alternatives_lie_within_the_given_percentage() {
    let problem = Problem::new(small()).expect("valid");
    let answer = solve(&problem, &quick(1), &never);
    assert_eq!(answer.objective, 12);
    assert_eq!(alternatives(&problem, &answer, 0, 20.0), [2]);
    assert_eq!(alternatives(&problem, &answer, 0, 10.0), [] as [usize; 0]);
}

#[test]
fn the_referee_names_the_broken_rule() {
    let problem = Problem::new(small()).expect("valid");
    let cases: &[(Vec<Vec<usize>>, &str)] = &[
        (vec![], "for 0 portions, expected 1"),
        (vec![vec![1, 2]], "has 2 standbys, but wants 1"),
        (vec![vec![7]], "may not stand on node 7"),
        (vec![vec![0]], "one beside its primary"),
    ];
    for (standbys, expected) in cases {
        let text = check(&problem, standbys).expect_err(expected).to_string();
        assert!(text.contains(expected), "{text:?} should say {expected:?}");
    }
    let mut tight = small();
    tight.nodes[1].free = vec![9, 100];
    let tight = Problem::new(tight).expect("valid");
    let text = check(&tight, &[vec![1]])
        .expect_err("10 do not go into 9")
        .to_string();
    assert!(
        text.contains("needs 10 cpu_mhz if \"d0\" fails, but has 9"),
        "{text}"
    );
}
