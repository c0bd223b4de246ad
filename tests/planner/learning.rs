//! What shadows know and do not know: what it costs a place, which shadow is next, and what is scored afterwards.

use crate::common::{self, NOW};
use crate::outlook::{Stage, placed};
use foreshadow::engine::{State, absorb, clock, cycle};
use foreshadow::model::*;
use foreshadow::planner::book::Purse;
use foreshadow::planner::worth::Candidate;

/// The sites where standbys may go, alike but for what is known of them.
fn providers(stage: &mut Stage) {
    stage.policy.sites = ["provider-a", "provider-b"].map(Site::from).to_vec();
    if let Seen::Known { value, .. } = &mut stage.world.nodes {
        value.edit(|n| {
            if n.site.as_str() == "provider-b" {
                n.class = "spot".into();
            }
        });
    }
}

fn runs(mut profile: Profile, runs: u32) -> Profile {
    profile.runs = runs;
    profile
}

/// Edges that are known, and what is said of class `std` at provider-a and `spot` at provider-b.
fn knowing(providers: Vec<Profile>) -> Vec<Profile> {
    let mut all = vec![
        common::profile("edge-a", "small", 30.0),
        common::profile("edge-b", "small", 30.0),
    ];
    all.extend(providers);
    all
}

fn site_of(stage: &mut Stage) -> (String, String) {
    let plan = stage.plan();
    let placed = placed(&plan);
    assert_eq!(placed.len(), 1, "{plan:?}");
    (placed[0].0.clone(), placed[0].3.to_string())
}

#[test]
fn of_two_places_that_are_believed_alike_the_better_known_one_is_chosen_and_the_reason_says_what_is_counted_on()
 {
    for (well, poorly) in [("provider-a", "provider-b"), ("provider-b", "provider-a")] {
        let mut stage = Stage::new().demand(45.0);
        providers(&mut stage);
        let class = |site: &str| if site == "provider-a" { "std" } else { "spot" };
        stage.beliefs.profiles = knowing(vec![
            runs(common::profile(well, class(well), 30.0), 20),
            runs(common::profile(poorly, class(poorly), 30.0), 1),
        ]);
        let (site, why) = site_of(&mut stage);
        assert_eq!(site, well);
        assert!(
            why.contains("counts on") && why.contains("of 30.0 rps believed"),
            "{why}"
        );
        assert!(why.contains("own runs of 20"), "{why}");
    }
}

#[test]
fn a_place_that_cannot_carry_its_part_is_avoided_however_cheap_it_is() {
    let mut stage = Stage::new().demand(45.0);
    providers(&mut stage);
    for n in 1..=3 {
        stage.node(&format!("provider-a-{n}"), |n| n.price = Price(0.0));
        stage.node(&format!("provider-b-{n}"), |n| n.price = Price(0.3));
    }
    let slow = |knee: f64| {
        knowing(vec![
            common::profile("provider-a", "std", knee),
            common::profile("provider-b", "spot", 40.0),
        ])
    };
    stage.beliefs.profiles = slow(40.0);
    assert_eq!(site_of(&mut stage).0, "provider-a", "the cheap one");
    stage.beliefs.profiles = slow(8.0);
    assert_eq!(site_of(&mut stage).0, "provider-b");
}

#[test]
fn one_that_was_measured_nowhere_is_no_zero_and_no_certainty_its_place_is_said_to_be_unknown() {
    let mut stage = Stage::new().demand(45.0);
    stage.beliefs.profiles.clear();
    if let Seen::Known { value, .. } = &mut stage.world.allocs {
        *value = value.iter().take(1).cloned().collect();
    }
    let (_, why) = site_of(&mut stage);
    assert!(
        why.contains("nothing is known of it on any node yet"),
        "{why}"
    );
}

/// The candidates of a stage that may run one shadow.
fn worth(stage: &mut Stage) -> Vec<Candidate> {
    stage.policy.budget.max_shadows = 1;
    stage.plan();
    stage.book.worth.clone()
}

fn at<'a>(all: &'a [Candidate], site: &str) -> &'a Candidate {
    let found = all.iter().find(|c| c.key.site.as_str() == site);
    found.unwrap_or_else(|| panic!("{site} in {all:#?}"))
}

#[test]
fn where_production_runs_a_shadow_is_worth_most_and_elsewhere_as_much_as_futures_and_the_solver_want_the_place()
 {
    let lost = [
        Domain::Site("edge-a".into()),
        Domain::Site("provider-b".into()),
    ];
    let mut stage = Stage::new()
        .demand(20.0)
        .futures(&[(0.9, &[]), (0.1, &lost)]);
    stage.beliefs.profiles.clear();
    let all = worth(&mut stage);
    assert_eq!(at(&all, "edge-a").use_probability, 1.0);
    // The only future that wants a standby takes provider-b with it.
    let (a, b) = (at(&all, "provider-a"), at(&all, "provider-b"));
    assert!((a.chance.wanted - 0.12).abs() < 1e-9, "{:?}", a.chance);
    assert!((b.chance.wanted - 0.02).abs() < 1e-9, "{:?}", b.chance);
    for c in &all {
        let said = c.use_probability * c.unknown / c.cost;
        assert!((c.value - said).abs() < 1e-9, "{c:?}");
        assert_eq!(c.unknown, 1.0, "nothing is known");
    }
    assert!(
        all.windows(2).all(|w| w[0].value >= w[1].value),
        "the best first"
    );
}

#[test]
fn nothing_is_shadowed_twice_while_a_neighbour_is_unknown() {
    let mut stage = Stage::new().demand(20.0);
    // Long ago: the edge is due again, and production runs there.
    let mut old = common::profile("edge-a", "small", 30.0);
    old.at = NOW - Span::secs(1_000);
    stage.beliefs.profiles = vec![old.clone()];
    let all = worth(&mut stage);
    let edge = at(&all, "edge-a");
    assert!(edge.due_in.is_none() && edge.after.is_some(), "{edge:?}");
    let plan = stage.plan();
    let started = plan.steps.iter().find_map(|s| match &s.action {
        Action::StartShadow { key, .. } => Some(key.site.to_string()),
        _ => None,
    });
    assert!(started.is_none_or(|s| s != "edge-a"), "{plan:?}");
    // Once all are known it is the edge's turn.
    let mut all = common::profiles(30.0);
    all[0] = old;
    stage.book = Default::default();
    stage.beliefs.profiles = all;
    let all = worth(&mut stage);
    assert_eq!(at(&all, "edge-a").after, None);
}

#[test]
fn a_new_release_starts_from_no_evidence() {
    let mut stage = Stage::new().demand(20.0);
    for p in &mut stage.beliefs.profiles {
        p.key.release = "an older one".into();
    }
    for c in worth(&mut stage) {
        assert_eq!(
            (c.unknown, c.terms.age, c.terms.borrowed),
            (1.0, None, 0.0),
            "{c:?}"
        );
    }
}

#[test]
fn the_purse_fills_with_the_season_and_holds_no_more_than_one() {
    let (season, budget) = (Span::secs(100), CoreHours(10.0));
    let mut purse = Purse::default();
    let turn = |purse: &mut Purse, at: i64, spent: f64| {
        purse.turn(budget, season, CoreHours(spent), NOW + Span::secs(at));
        purse.left.0
    };
    assert_eq!(turn(&mut purse, 0, 0.0), 10.0, "it begins full");
    assert_eq!(turn(&mut purse, 0, 8.0), 2.0);
    assert!(
        (turn(&mut purse, 50, 0.0) - 7.0).abs() < 1e-9,
        "half a season fills half of it"
    );
    assert_eq!(
        turn(&mut purse, 5_000, 0.0),
        10.0,
        "what was not spent is not carried on"
    );
    assert!(
        (turn(&mut purse, 5_000, 12.0) + 2.0).abs() < 1e-9,
        "what runs is not ended"
    );
}

#[test]
fn without_anything_in_the_purse_no_shadow_starts_and_the_plan_says_why() {
    let mut stage = Stage::new().demand(20.0);
    stage.policy.budget.max_shadows = 1;
    stage.beliefs.profiles.clear();
    stage
        .book
        .purse
        .turn(CoreHours(0.001), Span::secs(144), CoreHours(0.001), NOW);
    let plan = stage.plan();
    assert!(
        !plan
            .steps
            .iter()
            .any(|s| matches!(s.action, Action::StartShadow { .. }))
    );
    let said = plan
        .waiting
        .iter()
        .find(|w| w.what == "shadows")
        .expect("why");
    assert!(said.why.contains("no more are kept"), "{}", said.why);
}

/// A standby that was registered two seconds ago and passes now, where shadows said `startup`.
fn started(startup: Span) -> State {
    let mut state = common::state();
    for p in &mut state.beliefs.profiles {
        p.startup = startup;
    }
    let (mut state, ..) = cycle(state, &common::world(), NOW, &mut clock::dice(1));
    let mut job = common::job();
    job.edit()["ID"] = serde_json::json!("foreshadow-standby-web-1");
    let step = Step {
        id: "p.9".into(),
        plan: "p".into(),
        portion: Some("web".into()),
        cause: Cause::Predicted,
        action: Action::PlaceStandby {
            portion: "web".into(),
            site: "provider-a".into(),
            node: "id-provider-a-1".into(),
            job,
            needs: Resources::default(),
        },
        why: String::new(),
        waits_on: vec![],
    };
    let book = &mut state.workloads[0].book;
    book.inflight.insert(step.id.clone(), step.clone());
    let outcome = Outcome {
        step,
        started: NOW,
        at: NOW,
        verdict: Verdict::Applied,
        measured: None,
    };
    absorb(&mut state, outcome);
    let later = common::at(common::with_standby(common::world()), NOW + Span::secs(2));
    cycle(state, &later, later.at, &mut clock::dice(2)).0
}

#[test]
fn a_standby_that_took_much_longer_than_said_makes_start_up_less_sure_and_is_remembered() {
    let well = started(Span::millis(1_900));
    let calibration = |s: &State| s.beliefs.skill[&PortionId::from("web")].calibration;
    assert_eq!(
        (
            calibration(&well).startup.covered,
            calibration(&well).startup.scored
        ),
        (1, 1)
    );
    let poor = started(Span::millis(200));
    let track = calibration(&poor).startup;
    assert_eq!((track.covered, track.scored), (0, 1));
    assert!(track.width > 1.0 && track.bias > 0.5, "{track:?}");
    let kept = poor
        .memos
        .iter()
        .any(|m| matches!(m, Memo::Skill { skill, .. } if skill.calibration.startup == track));
    assert!(kept, "the store keeps it");
    // The next plan takes it into account.
    let before = poor.workloads[0]
        .known
        .values()
        .map(|k| k.startup.high)
        .fold(0.0, f64::max);
    let world = common::at(common::with_standby(common::world()), NOW + Span::secs(3));
    let (next, _, view) = cycle(poor, &world, world.at, &mut clock::dice(3));
    let after = next.workloads[0]
        .known
        .values()
        .map(|k| k.startup.high)
        .fold(0.0, f64::max);
    assert!(after > before * 1.2, "{before} then {after}");
    assert_eq!(view.portions[0].calibration.startup, track, "faces show it");
    assert!(!view.portions[0].known.is_empty());
}
