//! What somebody who looks for five seconds is told while something is wrong.

use super::*;
use crate::engine::view::{Health, LogKind, LogLine};
use crate::model::{Cause, NodeStatus, Span};
use crate::tui::sample;
use crate::tui::screen::{Place, Screen};

/// The shop with all sites and nodes up, every portion well, and nothing under way.
fn calm() -> View {
    let mut view = sample::shop();
    for s in view.sites.iter_mut() {
        (s.reachable, s.nodes_up) = (true, s.nodes);
    }
    for n in view.nodes.iter_mut() {
        n.status = NodeStatus::Ready;
    }
    for p in &mut view.portions {
        p.health = Health::Good;
        p.moving = None;
    }
    view.steps.clear();
    view
}

fn line(picture: &str, k: usize) -> &str {
    picture.lines().nth(k).expect("it has so many")
}

#[test]
fn a_lost_node_is_named_first_and_stands_first_among_the_nodes() {
    let mut view = calm();
    let lost = view.nodes.len() - 1;
    view.nodes[lost].status = NodeStatus::Down;
    let name = view.nodes[lost].name.clone();
    let state = at(view.clone(), Options::default());
    let first = format!("node {name} down; no SLO is broken, nothing needs you");
    assert!(picture(&state, (80, 24)).contains(&first));
    let mut nodes = at(view.clone(), Options::default());
    nodes.trail.push(Place::of(Screen::Nodes));
    let shown = picture(&nodes, (80, 24));
    let marked = shown.lines().find(|l| l.contains("> ")).expect("a cursor");
    assert!(marked.contains(&*name), "{shown}");
    view.nodes[0].status = NodeStatus::Disconnected;
    let two = picture(&at(view, Options::default()), (80, 24));
    assert!(line(&two, 0).contains("2 nodes down; "), "{two}");
}

#[test]
fn what_was_moved_since_something_broke_is_told_for_a_minute_and_before_what_is_learned() {
    let mut view = calm();
    let mut shadow = sample::shop().steps[0].clone();
    shadow.cause = Cause::Learning;
    (shadow.verb, shadow.state) = ("start shadow".into(), "under way".into());
    view.steps = vec![shadow];
    let sample = sample::shop();
    let moved = sample.portions.iter().find_map(|p| p.moving.clone());
    let mut moved = moved.expect("one of the sample moves");
    moved.cause = Cause::Reactive;
    let told = |view: &View, ago: i64, many: usize| {
        let mut view = view.clone();
        for p in view.portions.iter_mut().take(many) {
            let mut moved = moved.clone();
            moved.ended = Some(sample::NOW - Span::secs(ago));
            p.moving = Some(moved);
        }
        let picture = picture(&at(view, Options::default()), (80, 24));
        line(&picture, 1).to_string()
    };
    let first = view.portions[0].id.clone();
    let one = told(&view, 8, 1);
    assert!(one.contains(&format!("! moved {first} away 8 s ago · △ starts a shadow")));
    assert!(told(&view, 8, 3).contains("! moved 3 portions away 8 s ago"));
    assert!(!told(&view, 61, 3).contains("moved"));
}

#[test]
fn what_is_done_has_room_for_a_whole_move_at_80_columns_and_what_is_applied_is_done() {
    let mut view = sample::shop();
    for step in &mut view.steps {
        step.state = "applied".into();
    }
    let told = picture(&at(view, Options::default()), (80, 24));
    let doing = line(&told, 1);
    assert!(doing.contains("2 of 3 steps, 36% on standbys"), "{doing}");
    assert!(
        !doing.contains('…') && !doing.contains("shadow of"),
        "{doing}"
    );
    assert!(doing.contains("acts") && !doing.contains("keys"), "{doing}");
    assert!(line(&told, 23).contains("keys read-only"), "{told}");
}

#[test]
fn a_line_of_the_pulse_says_whom_it_is_about() {
    let mut view = calm();
    view.log = vec![LogLine {
        at: sample::NOW,
        seq: 9_000,
        kind: LogKind::Verification,
        cause: None,
        portion: Some("web".into()),
        text: "set shares verified after 131 ms".into(),
    }];
    let told = picture(&at(view, Options::default()), (80, 24));
    assert!(told.contains("web: set shares verified"), "{told}");
}

#[test]
fn no_step_of_a_move_that_is_over_is_still_to_come() {
    let mut view = sample::shop();
    for p in &mut view.portions {
        if let Some(m) = &mut p.moving {
            (m.done, m.ended) = (1, Some(sample::NOW));
        }
    }
    let mut state = at(view, Options::default());
    state.trail.push(Place::of(Screen::Rollout));
    let told = picture(&state, (80, 24));
    assert!(
        told.contains("ended here") && told.contains("not taken"),
        "{told}"
    );
    assert!(
        !told.contains("to come") && told.contains("nothing moves"),
        "{told}"
    );
}

#[test]
fn a_move_that_went_all_the_way_is_done_and_tells_the_share_seen() {
    let mut view = sample::shop();
    for p in &mut view.portions {
        if let Some(m) = &mut p.moving {
            (m.done, m.ended) = (m.steps.len(), Some(sample::NOW));
        }
    }
    let mut state = at(view, Options::default());
    state.trail.push(Place::of(Screen::Rollout));
    let told = picture(&state, (80, 24));
    let last = told.lines().find(|l| l.contains("step 3"));
    let last = last.expect("three steps");
    assert!(
        last.contains("✓ done") && last.contains("seen    36%"),
        "{told}"
    );
}

#[test]
fn where_all_that_cannot_be_seen_is_at_one_gateway_it_is_named() {
    let mut view = sample::shop();
    view.blind = ["shop-cart", "shop-web"]
        .map(|s| format!("{s} at edge-b: connection timed out"))
        .to_vec();
    let told = picture(&at(view.clone(), Options::default()), (80, 24));
    let wanted = "blind to 2 things at edge-b: connection timed out";
    assert!(told.contains(wanted), "{told}");
    view.blind.push("nodes: refused".into());
    let told = picture(&at(view, Options::default()), (80, 24));
    assert!(
        told.contains("blind to 3 things; first shop-cart"),
        "{told}"
    );
}

#[test]
fn standbys_that_serve_or_are_ready_are_told_whole_at_80_columns() {
    let mut view = calm();
    view.portions[0].health = Health::Watch;
    let told = picture(&at(view, Options::default()), (80, 24));
    let wanted = "nothing needs you; standbys of 1 of 5 portions serve or are ready ";
    assert!(line(&told, 0).contains(wanted), "{told}");
}

#[test]
fn a_portions_screen_tells_its_slo_and_beside_it_what_is() {
    let mut state = at(sample::shop(), Options::default());
    state.trail.push(Place::of(Screen::Portion));
    let told = picture(&state, (80, 24));
    let wanted = "SLO p95 ≤ 400 ms, 99.0% answered · now 428 ms, 98.1%, 64.7 rps";
    assert!(told.contains(wanted), "{told}");
}

#[test]
fn the_smallest_terminal_is_told_what_is_needed_on_lines_of_its_own() {
    let state = at(sample::shop(), Options::default());
    let told = picture(&state, (20, 5));
    assert!(line(&told, 0).contains("foreshadow needs"), "{told}");
    assert!(line(&told, 1).contains("40x10 or more"), "{told}");
}

#[test]
fn a_site_that_is_cut_off_says_so_on_its_card_where_there_is_little_room() {
    let mut state = at(sample::shop(), Options::default());
    state.trail.push(Place::of(Screen::Sites));
    let told = picture(&state, (80, 24));
    let card = told.lines().find(|l| l.contains("edge-b edge"));
    assert!(card.is_some_and(|l| l.contains("cut off")), "{told}");
    let card = told.lines().find(|l| l.contains("provider-a provider"));
    assert!(card.is_some_and(|l| l.contains("3/3 up")), "{told}");
}
