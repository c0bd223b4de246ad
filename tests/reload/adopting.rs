//! What a running engine makes of policies that were read again.

use foreshadow::engine::{Changed, Rules, State, adopt};
use foreshadow::model::{Moment, Policy};
use foreshadow::settings::parse_policy;

fn policy(workload: &str, tolerance: f64) -> Policy {
    let text = format!(
        "workload \"{workload}\" {{\n  job = \"shop\"\n  risk_tolerance = {tolerance}\n  sites = [\"edge-a\"]\n  peak_rps = 10\n  budget {{\n    shadow_core_hours = 1\n  }}\n  slo {{\n    latency = \"400ms\"\n  }}\n  portion \"web\" {{\n    front = \"shop-web\"\n  }}\n}}\n"
    );
    parse_policy("p.hcl", &text).unwrap_or_else(|e| panic!("{e}"))
}

fn running() -> State {
    let mut state = State::default();
    adopt(
        &mut state,
        &Rules::new(vec![policy("shop", 0.3)]),
        Moment(1),
    );
    state.workloads[0].book.serial = 7;
    state
}

fn last(state: &State) -> &str {
    state.log.back().map_or("", |l| l.text.as_str())
}

#[test]
fn a_changed_policy_is_taken_over_and_what_was_in_hand_stays() {
    let mut state = running();
    let changed = adopt(
        &mut state,
        &Rules::new(vec![policy("shop", 0.7)]),
        Moment(2),
    );
    assert_eq!(changed.workloads, ["shop"]);
    assert!(!changed.looked_at && !changed.history, "{changed:?}");
    assert_eq!(
        state.workloads[0].policy.risk_tolerance,
        policy("shop", 0.7).risk_tolerance
    );
    assert_eq!(state.workloads[0].book.serial, 7);
    assert_eq!(last(&state), "policies were read again: shop changed");
    let same = adopt(
        &mut state,
        &Rules::new(vec![policy("shop", 0.7)]),
        Moment(3),
    );
    assert_eq!(same, Changed::default());
    assert_eq!(
        last(&state),
        "policies were read again: nothing has changed"
    );
}

#[test]
fn another_service_to_look_at_is_told_and_a_new_workload_joins() {
    let mut state = running();
    let mut other = policy("shop", 0.3);
    other.portions[0].front = Some("shop-front".into());
    let changed = adopt(
        &mut state,
        &Rules::new(vec![other, policy("second", 0.3)]),
        Moment(2),
    );
    assert!(changed.looked_at && changed.history);
    assert_eq!(state.workloads.len(), 2);
}

#[test]
fn files_that_are_wrong_or_lack_what_runs_change_nothing() {
    let mut no_portion = policy("shop", 0.9);
    no_portion.portions.clear();
    for (read, why) in [
        (
            Err("shop.hcl:3:1: the file has no policys".to_string()),
            "shop.hcl:3:1",
        ),
        (
            Ok(vec![policy("other", 0.9)]),
            "workload shop is in no file",
        ),
        (Ok(vec![no_portion]), "portion web of shop is in no file"),
    ] {
        let mut state = running();
        let before = state.workloads[0].policy.clone();
        let rules = Rules::new(vec![before.clone()]).next(read);
        assert_eq!(*rules.policies, std::slice::from_ref(&before));
        assert_eq!(adopt(&mut state, &rules, Moment(2)), Changed::default());
        assert_eq!(state.workloads.len(), 1);
        assert_eq!(state.workloads[0].policy, before);
        let said = last(&state);
        assert!(
            said.starts_with("policies stay as they were: ") && said.contains(why),
            "{said}"
        );
        // Put right, they are taken.
        let right = rules.next(Ok(vec![policy("shop", 0.9)]));
        assert_eq!(adopt(&mut state, &right, Moment(3)).workloads, ["shop"]);
    }
}
