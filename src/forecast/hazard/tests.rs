use super::super::simulated::Dice;
use super::*;
use crate::model::{NodeId, Site};

const DAY: Span = Span::secs(86_400);

fn node(k: usize, class: &str) -> Subject {
    let name = format!("n{k}");
    Subject {
        domain: Domain::Node(NodeId::new(name.clone())),
        name,
        class: class.into(),
        site: format!("s{}", k % 2),
    }
}
fn event(name: &str, at: i64, up: bool) -> Availability {
    Availability {
        at: Moment(at),
        subject: name.into(),
        kind: SubjectKind::Node,
        up,
    }
}
fn watch(days: i64) -> Watch {
    Watch {
        since: Moment(0),
        now: Moment(days * DAY.0),
        season: DAY,
        horizon: Span::secs(7200),
    }
}

/// Poisson failures of `rate` an hour with exponential repairs; `at_phase` keeps those of the first quarter day alone.
fn history(
    s: &[Subject],
    rates: &[f64],
    days: i64,
    repair_h: f64,
    at_phase: bool,
) -> Vec<Availability> {
    dealt(&mut Dice::new(21), s, rates, days, repair_h, at_phase)
}

fn dealt(
    dice: &mut Dice,
    s: &[Subject],
    rates: &[f64],
    days: i64,
    repair_h: f64,
    at_phase: bool,
) -> Vec<Availability> {
    let mut out = Vec::new();
    for (s, rate) in s.iter().zip(rates) {
        let mut t = dice.exponential(*rate);
        while t < days as f64 * 24.0 {
            if !at_phase || t % 24.0 < 6.0 {
                out.push(event(&s.name, (t * HOUR) as i64, false));
                t += dice.exponential(1.0 / repair_h);
                out.push(event(&s.name, (t * HOUR) as i64, true));
            }
            t += dice.exponential(*rate);
        }
    }
    out
}

#[test]
fn hazards_and_repairs_of_a_simulated_fleet_are_recovered() {
    let s: Vec<Subject> = (0..100)
        .map(|k| node(k, if k < 50 { "old" } else { "new" }))
        .collect();
    let rates: Vec<f64> = (0..100)
        .map(|k| if k < 50 { 0.02 } else { 0.005 })
        .collect();
    let events = history(&s, &rates, 100, 0.5, false);
    let h = hazards(&s, &events, &watch(100));
    let mean = |r: std::ops::Range<usize>| {
        h[r.clone()].iter().map(|h| h.per_hour).sum::<f64>() / r.len() as f64
    };
    assert!((mean(0..50) / 0.02 - 1.0).abs() < 0.1, "{}", mean(0..50));
    assert!(
        (mean(50..100) / 0.005 - 1.0).abs() < 0.1,
        "{}",
        mean(50..100)
    );
    let up: Vec<f64> = h[..50]
        .iter()
        .map(|h| h.within.0)
        .filter(|p| *p < 1.0)
        .collect();
    let p = up.iter().sum::<f64>() / up.len() as f64;
    assert!((p / (1.0 - (-0.04f64).exp()) - 1.0).abs() < 0.2, "{p}");
    assert!(
        (h[0].repair.as_secs_f64() / 1800.0 - 1.0).abs() < 0.1,
        "{:?}",
        h[0].repair
    );
}

#[test]
fn a_node_without_a_failure_is_judged_by_its_class() {
    let s = [
        node(0, "old"),
        node(2, "old"),
        node(4, "new"),
        node(6, "new"),
    ];
    let events: Vec<_> = (0..20)
        .flat_map(|k| {
            let t = k * 5 * 3_600_000;
            [event("n0", t, false), event("n0", t + 60_000, true)]
        })
        .collect();
    let h = hazards(&s, &events, &watch(5));
    assert!(
        h[0].per_hour > 2.0 * h[1].per_hour,
        "{} {}",
        h[0].per_hour,
        h[1].per_hour
    );
    assert!(
        h[1].per_hour > h[2].per_hour,
        "{} {}",
        h[1].per_hour,
        h[2].per_hour
    );
}

#[test]
fn the_hour_counts_when_failures_keep_to_it_and_not_otherwise() {
    let s: Vec<Subject> = (0..20).map(|k| node(k, "c")).collect();
    let kept = history(&s, &[0.02; 20], 60, 0.2, true);
    let any = history(&s, &[0.02; 20], 60, 0.2, false);
    let at = |events: &[Availability], hour: i64| {
        let w = Watch {
            now: Moment(60 * DAY.0 + hour * 3_600_000),
            ..watch(60)
        };
        hazards(&s, events, &w)
            .iter()
            .map(|h| h.per_hour)
            .sum::<f64>()
    };
    assert!(
        at(&kept, 3) > 3.0 * at(&kept, 15),
        "{} {}",
        at(&kept, 3),
        at(&kept, 15)
    );
    assert!((at(&any, 3) / at(&any, 15) - 1.0).abs() < 0.05);
}

#[test]
fn the_day_of_the_week_counts_once_three_weeks_were_watched() {
    let s: Vec<Subject> = (0..20).map(|k| node(k, "c")).collect();
    let at = |weeks: i64, day: i64| {
        // One day of seven has all the failures.
        let mut events = history(&s, &[0.05; 20], weeks * 7, 0.2, false);
        let bad = |e: &Availability| e.at.0.rem_euclid(7 * DAY.0) < DAY.0;
        let mut open = std::collections::BTreeSet::new();
        events.retain(|e| match e.up {
            false if bad(e) => open.insert(e.subject.clone()),
            false => false,
            true => open.remove(&e.subject),
        });
        let w = Watch {
            now: Moment((weeks * 7 + day) * DAY.0 + DAY.0 / 2),
            ..watch(0)
        };
        let all = hazards(&s, &events, &w);
        all.iter().map(|h| h.per_hour).sum::<f64>()
    };
    assert!(at(8, 0) > 2.0 * at(8, 3), "{} {}", at(8, 0), at(8, 3));
    // Three more quiet days make the rate a fifth lower, no more.
    let early = at(2, 0) / at(2, 3);
    assert!(early < 1.4, "two weeks prove no week: {early}");
}

/// Twenty sites of five nodes, hundred days: nodes fail by themselves and with their sites, links with their ends.
#[test]
fn shared_shocks_are_told_from_own_failures_within_ten_percent_on_10_000_node_days() {
    let mut dice = Dice::new(3);
    let name = |k: usize| Site::new(format!("s{k:02}"));
    let mut subjects: Vec<Subject> = (0..100)
        .map(|k| Subject {
            site: name(k % 20).to_string(),
            ..node(k, "c")
        })
        .collect();
    subjects.extend((0..20).map(|k| Subject {
        domain: Domain::Site(name(k)),
        name: name(k).to_string(),
        class: String::new(),
        site: name(k).to_string(),
    }));
    subjects
        .extend((0..100).map(|k| Subject::link(&name(k % 20), &name((k % 20 + 1 + k / 20) % 20))));
    let rates = [
        (SubjectKind::Node, 0.01),
        (SubjectKind::Site, 0.006),
        (SubjectKind::Link, 0.02),
    ];
    let rate = |kind: SubjectKind| rates.iter().find(|r| r.0 == kind).map_or(0.0, |r| r.1);
    let mut events = Vec::new();
    let mut fall = |s: &Subject, at: f64, hours: f64| {
        for (t, up) in [(at, false), (at + hours, true)] {
            events.push(Availability {
                at: Moment((t * HOUR) as i64),
                subject: s.name.clone(),
                kind: s.kind(),
                up,
            });
        }
    };
    for s in &subjects {
        let own = dealt(
            &mut dice,
            std::slice::from_ref(s),
            &[rate(s.kind())],
            100,
            0.2,
            false,
        );
        for pair in own.chunks_exact(2) {
            let at = pair[0].at.0 as f64 / HOUR;
            let hours = pair[1].at.since(pair[0].at).0 as f64 / HOUR;
            fall(s, at, hours);
            if s.kind() == SubjectKind::Site {
                let along = subjects
                    .iter()
                    .filter(|o| o.within().contains(&s.name.as_str()));
                along.for_each(|o| fall(o, at + 0.003, hours));
            }
        }
    }
    let h = hazards(&subjects, &events, &watch(100));
    for (kind, truth) in rates {
        let of = subjects.iter().zip(&h).filter(|(s, _)| s.kind() == kind);
        let all: Vec<f64> = of.map(|(_, h)| h.per_hour).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        println!("{kind:?}: {mean:.4} an hour for {truth}");
        assert!(
            (mean / truth - 1.0).abs() < 0.1,
            "{kind:?}: {mean} for {truth}"
        );
    }
}

#[test]
fn what_is_down_is_down_and_old_failures_are_forgotten() {
    let s = [node(0, "c"), node(1, "d")];
    let events = [
        event("n0", 1_000_000, false),
        event("n0", 1_100_000, true),
        event("n1", 5 * DAY.0 - 9_000, false),
    ];
    let h = hazards(&s, &events, &watch(5));
    assert_eq!(h[1].within, Probability(1.0));
    assert!(h[1].why.starts_with("down for 9 s"), "{}", h[1].why);
    let later = hazards(&s[..1], &events[..2], &watch(500));
    assert!(later[0].per_hour < h[0].per_hour / 3.0);
}

#[test]
fn an_outage_that_the_site_shares_is_the_sites_alone() {
    let site = Subject {
        domain: Domain::Site(Site("s0".into())),
        name: "s0".into(),
        class: String::new(),
        site: "s0".into(),
    };
    let subjects = [node(0, "c"), node(2, "c"), site];
    let mut events = Vec::new();
    let (node_of, site_of) = (SubjectKind::Node, SubjectKind::Site);
    for (name, kind) in [("n0", node_of), ("n2", node_of), ("s0", site_of)] {
        for (at, up) in [(1000, false), (90_000, true)] {
            events.push(Availability {
                at: Moment(DAY.0 + at),
                subject: name.into(),
                kind,
                up,
            });
        }
    }
    let h = hazards(&subjects, &events, &watch(5));
    let quiet = hazards(&subjects, &[], &watch(5));
    assert_eq!(h[0].per_hour, quiet[0].per_hour);
    assert!(h[2].per_hour > quiet[2].per_hour);
}

#[test]
fn nothing_watched_gives_the_prior() {
    let h = hazards(
        &[node(0, "c")],
        &[],
        &Watch {
            since: Moment(0),
            now: Moment(0),
            season: DAY,
            horizon: DAY,
        },
    );
    assert!(
        (h[0].per_hour - 1.0 / 720.0).abs() < 1e-9,
        "{}",
        h[0].per_hour
    );
    assert!(h[0].within.0 > 0.02 && h[0].within.0 < 0.04);
}

/// Mean squared distance of the probabilities from what happened.
fn brier(told: &[f64], happened: &[bool]) -> f64 {
    let off = told.iter().zip(happened);
    off.map(|(p, h)| (p - f64::from(u8::from(*h))).powi(2))
        .sum::<f64>()
        / told.len() as f64
}

#[test]
fn probabilities_have_a_better_brier_score_than_each_nodes_own_frequency() {
    let mut dice = Dice::new(9);
    let (mut told, mut plain, mut truth, mut happened) = (vec![], vec![], vec![], vec![]);
    let s: Vec<Subject> = (0..40)
        .map(|k| node(k, if k < 20 { "old" } else { "new" }))
        .collect();
    let watch = Watch {
        horizon: Span::secs(6 * 3600),
        ..watch(10)
    };
    for _ in 0..30 {
        // Short histories of nodes that differ within their class.
        let rates: Vec<f64> = (0..40)
            .map(|k| (if k < 20 { 0.02 } else { 0.004 }) * (0.5 + dice.uniform()))
            .collect();
        let events = dealt(&mut dice, &s, &rates, 10, 0.2, false);
        for ((s, h), rate) in s.iter().zip(hazards(&s, &events, &watch)).zip(&rates) {
            // What is down now is no forecast.
            if h.within.0 == 1.0 {
                continue;
            }
            let failed = events
                .iter()
                .filter(|e| e.subject == s.name && !e.up)
                .count();
            told.push(h.within.0);
            plain.push(1.0 - (-(failed as f64 / 240.0) * 6.0).exp());
            truth.push(1.0 - (-rate * 6.0).exp());
            happened.push(dice.exponential(*rate) < 6.0);
        }
    }
    let scores = [&told, &plain, &truth].map(|p| brier(p, &happened));
    println!(
        "Brier: ours {:.4}, each node's own {:.4}, the truth {:.4}",
        scores[0], scores[1], scores[2]
    );
    assert!(scores[0] < scores[1], "{scores:?}");
    assert!(scores[0] < 1.1 * scores[2], "{scores:?}");
}
