//! The documents say what is so: the risk table, every key, and examples that can be read.

use foreshadow::model::Span;
use foreshadow::planner::risk;
use foreshadow::settings::{parse_config, parse_policy};

const README: &str = include_str!("../README.md");
const KEYS: &str = include_str!("../docs/policy.md");

/// The cells of the table rows of so many columns that begin with a number.
fn rows(text: &str, columns: usize) -> Vec<Vec<f64>> {
    let first_number = |cell: &str| {
        let number: String = cell
            .trim()
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        number.parse::<f64>().ok()
    };
    text.lines()
        .filter(|l| l.starts_with("| "))
        .filter_map(|l| {
            l.trim_matches('|')
                .split('|')
                .map(first_number)
                .collect::<Option<Vec<f64>>>()
        })
        .filter(|row| row.len() == columns)
        .collect()
}

#[test]
fn the_readmes_risk_table_is_what_the_planner_computes() {
    let rows = rows(README, 7);
    assert_eq!(rows.len(), 6, "{rows:?}");
    let day = Span::secs(86_400);
    for row in rows {
        let a = risk::appetite(row[0], day);
        let true_ones = [
            a.shadow_every.as_secs_f64() / day.as_secs_f64(),
            a.demand_level,
            a.disruption_above.0,
            a.max_step.fraction() * 100.0,
            a.load_factor * 100.0,
            a.tail_weight,
        ];
        for (said, is) in row[1..].iter().zip(true_ones) {
            assert!(
                (said - is).abs() <= is * 0.05,
                "at tolerance {}: {said} said, {is} is",
                row[0]
            );
        }
    }
}

#[test]
fn the_readmes_table_of_what_is_counted_on_is_what_the_planner_computes() {
    let rows = rows(README, 4);
    assert_eq!(rows.len(), 6, "{rows:?}");
    let day = Span::secs(86_400);
    for row in rows {
        let a = risk::appetite(row[0], day);
        let true_ones = [
            a.sure,
            a.half_life.as_secs_f64() / day.as_secs_f64(),
            a.shadow_part * 100.0,
        ];
        for (said, is) in row[1..].iter().zip(true_ones) {
            assert!(
                (said - is).abs() <= is * 0.05,
                "at tolerance {}: {said} said, {is} is",
                row[0]
            );
        }
    }
}

/// What a source file asks a section for: `.string("key")`, `.time("key")`, `.block("key")` …
fn asked(source: &str) -> Vec<&str> {
    let kinds = [
        "string", "strings", "one_of", "boolean", "number", "numbers", "time", "block", "blocks",
    ];
    let code = source.split("#[cfg(test)]").next().unwrap_or(source);
    let mut keys: Vec<&str> = kinds
        .iter()
        .flat_map(|k| code.split(&format!(".{k}(\"")).skip(1).collect::<Vec<_>>())
        .filter_map(|rest| rest.split('"').next())
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[test]
fn every_key_that_is_read_is_documented() {
    let sources = [
        include_str!("../src/settings/policy.rs"),
        include_str!("../src/settings/policy/load.rs"),
        include_str!("../src/settings/config.rs"),
        include_str!("../src/settings/upstream.rs"),
    ];
    let keys: Vec<&str> = sources.iter().flat_map(|s| asked(s)).collect();
    assert!(keys.len() > 30, "{keys:?}");
    for key in keys {
        let known = KEYS.contains(&format!("`{key}`")) || KEYS.contains(&format!("`{key} "));
        assert!(known, "{key} is not in docs/policy.md");
    }
}

#[test]
fn the_tests_that_stand_for_the_laws_exist() {
    let sources = [
        include_str!("laws/main.rs"),
        include_str!("laws/limits.rs"),
        include_str!("owners/hands.rs"),
        include_str!("planner/budget.rs"),
        include_str!("planner/moves.rs"),
        include_str!("planner/run.rs"),
        include_str!("planner/safety.rs"),
        include_str!("planner/switchover.rs"),
        include_str!("scheduler/paused.rs"),
        include_str!("../src/act/gateway_tests.rs"),
        include_str!("../src/act/switching.rs"),
        include_str!("../src/planner/traffic/went.rs"),
    ];
    let table = include_str!("../docs/switchover.md")
        .split("## Which law, which test")
        .nth(1)
        .expect("the table");
    let named = table.split('`').skip(1).step_by(2);
    let tests: Vec<&str> = named
        .filter(|n| n.matches('_').count() > 1)
        .map(|n| n.trim_end_matches('…'))
        .collect();
    assert!(tests.len() > 25, "{tests:?}");
    for test in tests {
        let there = sources.iter().any(|s| s.contains(&format!("fn {test}")));
        assert!(there, "docs/switchover.md names {test}, which is no test");
    }
}

#[test]
fn the_examples_can_be_read() {
    let example = README
        .split("```hcl\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("a configuration in the README");
    let packaged = include_str!("../assets/systemd/foreshadow.hcl");
    for (file, text) in [("README.md", example), ("foreshadow.hcl", packaged)] {
        let config = parse_config(file, text).expect("a good configuration");
        assert!(!config.act, "the example observes");
    }
    parse_policy("shop.hcl", include_str!("../policies/shop.hcl")).expect("a good policy");
}
