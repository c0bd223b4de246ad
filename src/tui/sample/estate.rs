//! Sites, nodes, shadows, steps and the log of the sample.

use super::NOW;
use crate::engine::view::*;
use crate::model::*;
use std::sync::Arc;

pub fn room(cpu: f64, memory: f64) -> Resources {
    Resources {
        cpu: Mhz(cpu),
        memory: MiB(memory),
        disk: MiB(20_000.0),
        network: Mbps(1_000.0),
    }
}

const SITES: [(&str, &str, bool, f64, f64); 4] = [
    ("edge-a", "edge", true, 0.04, 0.62),
    ("edge-b", "edge", false, 0.31, 0.35),
    ("provider-a", "provider", true, 0.01, 0.44),
    ("provider-b", "provider", true, 0.01, 0.18),
];

pub fn sites() -> Vec<SiteView> {
    SITES
        .iter()
        .map(|(site, kind, reachable, hazard, reserved)| {
            let size = if *kind == "edge" { 6_000.0 } else { 12_000.0 };
            SiteView {
                site: Site::from(*site),
                kind: (*kind).into(),
                nodes_up: if *reachable { 3 } else { 0 },
                nodes: 3,
                capacity: room(size, size),
                reserved: room(size * reserved, size * reserved * 0.7),
                used: room(size * reserved * 0.55, size * reserved * 0.5),
                hazard: Probability(*hazard),
                reachable: *reachable,
            }
        })
        .collect()
}

pub fn nodes(portions: &[PortionView]) -> Vec<NodeView> {
    let mut all = Vec::new();
    for (site, kind, reachable, hazard, reserved) in SITES {
        for n in 1..=3 {
            let name = format!("{site}-{n}");
            let here = portions
                .iter()
                .flat_map(|p| p.instances.iter().map(move |i| (p, i)));
            let lives = here
                .filter(|(_, i)| *i.node == *name)
                .map(|(p, i)| match &*i.role {
                    "standby" => format!("{} (standby)", p.id),
                    _ => p.id.to_string(),
                });
            let size = if kind == "edge" { 2_000.0 } else { 4_000.0 };
            let part = reserved * (1.4 - 0.3 * f64::from(n));
            all.push(NodeView {
                id: NodeId::new(format!("{site}-{n}-id")),
                portions: lives.map(Into::into).collect(),
                name: name.into(),
                site: site.into(),
                class: if kind == "edge" {
                    "edge-small".into()
                } else {
                    "cloud-m".into()
                },
                status: if reachable {
                    NodeStatus::Ready
                } else {
                    NodeStatus::Down
                },
                eligible: !(site == "provider-b" && n == 3),
                capacity: room(size, size),
                reserved: room(size * part, size * part * 0.7),
                used: room(size * part * 0.5, size * part * 0.4),
                hazard: Probability(hazard),
            });
        }
    }
    all
}

pub fn links() -> Vec<Link> {
    let rtts = [
        ("edge-a", "edge-b", 8.0),
        ("edge-a", "provider-a", 21.0),
        ("edge-a", "provider-b", 34.0),
        ("edge-b", "provider-a", 23.0),
        ("edge-b", "provider-b", 29.0),
        ("provider-a", "provider-b", 4.2),
    ];
    rtts.into_iter()
        .map(|(from, to, rtt)| Link {
            from: from.into(),
            to: to.into(),
            rtt: Millis(rtt),
        })
        .collect()
}

pub fn shadows() -> Vec<ShadowView> {
    let of = |id: &str, portion: &str, site: &str, state: &str, ago: i64, verdict: Option<&str>| {
        ShadowView {
            id: id.into(),
            portion: portion.into(),
            site: site.into(),
            class: if site.starts_with("edge") {
                "edge-small".into()
            } else {
                "cloud-m".into()
            },
            state: state.into(),
            since: NOW - Span::secs(ago),
            verdict: verdict.map(String::from),
            judged: None,
            twin: None,
            along: Vec::new(),
        }
    };
    vec![
        of(
            "sh-0007",
            "web",
            "provider-a",
            "done",
            52,
            Some("pass: p95 182 ms ≤ 400 ms up to 71 rps (3 runs)"),
        ),
        of("sh-0009", "search", "provider-b", "measuring", 4, None),
        of("sh-0010", "cart", "provider-b", "starting", 1, None),
        of(
            "sh-0008",
            "pricing",
            "edge-b",
            "done",
            31,
            Some("fail: p95 512 ms > 400 ms at 30 rps"),
        ),
        of(
            "sh-0006",
            "cart",
            "provider-a",
            "done",
            70,
            Some("pass: p95 143 ms ≤ 400 ms up to 64 rps (3 runs)"),
        ),
    ]
}

pub fn candidates() -> Vec<CandidateView> {
    let of =
        |portion: &str, site: &str, use_probability, unknown, cost, value, due: Option<i64>| {
            CandidateView {
                portion: portion.into(),
                site: site.into(),
                class: if site.starts_with("edge") {
                    "edge-small".into()
                } else {
                    "cloud-m".into()
                },
                use_probability,
                wanted: (use_probability * 1.6_f64).min(1.0),
                chosen: use_probability / (use_probability * 1.6_f64).min(1.0),
                unknown,
                age: (unknown < 0.9).then_some(Span::secs(240)),
                own: if unknown < 0.9 { 0.8 } else { 0.0 },
                borrowed: 1.4,
                spread: unknown * 0.6,
                cost,
                value,
                due_in: due.map(Span::secs),
                after: None,
            }
        };
    vec![
        of("web", "provider-b", 0.31, 0.92, 0.004, 0.281, Some(18)),
        of("search", "provider-a", 0.18, 1.0, 0.003, 0.177, None),
        of("pricing", "provider-b", 0.22, 0.41, 0.003, 0.087, Some(95)),
        of("cart", "edge-a", 0.04, 0.66, 0.006, 0.02, None),
    ]
}

pub fn steps() -> Vec<StepView> {
    let of = |id: &str, verb: &str, portion: &str, cause, state: &str, why: &str| StepView {
        id: id.into(),
        verb: verb.into(),
        portion: Some(portion.into()),
        cause,
        why: why.into(),
        state: state.into(),
    };
    vec![
        of(
            "p812-1",
            "set shares",
            "web",
            Cause::Reactive,
            "held: one service in a planned move at once",
            "edge-b is critical: 60% to provider-a, whose standby passes its check",
        ),
        of(
            "p812-2",
            "set shares",
            "cart",
            Cause::Reactive,
            "under way",
            "edge-b is lost: 25% to provider-a, ready at its warm size",
        ),
        of(
            "p812-3",
            "scale",
            "web",
            Cause::Predicted,
            "under way",
            "up to 91 rps foreseen in 18 s > 46 rps within the SLO: burst to 2",
        ),
        of(
            "p811-4",
            "measure shadow",
            "search",
            Cause::Learning,
            "under way",
            "18% chance of use at provider-b, nothing known there yet",
        ),
        of(
            "p810-1",
            "place standby",
            "pricing",
            Cause::Predicted,
            "verified",
            "up to 66.3 rps foreseen > 60 rps within the SLO, 31% that edge-b fails",
        ),
        of(
            "p809-2",
            "release standby",
            "search",
            Cause::Upkeep,
            "verified",
            "peak has passed 8 s ago",
        ),
        of(
            "p808-1",
            "start shadow",
            "cart",
            Cause::Learning,
            "stuck: no node of class cloud-m has 500 MHz free",
            "4% chance of use, 66% unknown",
        ),
    ]
}

pub fn log() -> Vec<LogLine> {
    use LogKind::*;
    let told: [(LogKind, Option<Cause>, Option<&str>, &str); 14] = [
        (
            Portion,
            None,
            Some("web"),
            "web (release r-7c19): can be shadowed, calls cart, search",
        ),
        (
            Portion,
            None,
            Some("ledger"),
            "ledger (release r-7c19): cannot be shadowed: it writes to host volume ledger",
        ),
        (
            Shadow,
            Some(Cause::Learning),
            Some("web"),
            "shadow sh-0007 of web starts at provider-a on cloud-m",
        ),
        (
            Verdict,
            None,
            Some("web"),
            "pass: p95 182 ms ≤ 400 ms up to 71 rps (3 runs)",
        ),
        (
            Forecast,
            None,
            Some("web"),
            "up to 91 rps in 18 s (90%), 46 rps within the SLO now",
        ),
        (
            Plan,
            Some(Cause::Predicted),
            Some("web"),
            "place standby of web at provider-a: 91 rps foreseen > 46 rps",
        ),
        (
            Effect,
            Some(Cause::Predicted),
            Some("web"),
            "standby of web registered at provider-a-1",
        ),
        (
            Verification,
            Some(Cause::Predicted),
            Some("web"),
            "standby of web passes its check 740 ms after register",
        ),
        (
            Lesson,
            None,
            Some("pricing"),
            "pricing: 4 of the last 5 forecasts too low; band widened to 1.3",
        ),
        (
            Fault,
            None,
            None,
            "site edge-b is lost: none of its nodes is heard",
        ),
        (
            Effect,
            Some(Cause::Reactive),
            Some("web"),
            "edge-a switched shop-web away from site edge-b in 212 ms: it was prepared",
        ),
        (
            Effect,
            Some(Cause::Reactive),
            Some("cart"),
            "cart: 25% to provider-a",
        ),
        (
            Held,
            Some(Cause::Reactive),
            Some("web"),
            "hold 60%: one service in a planned move at once",
        ),
        (
            Notice,
            None,
            None,
            "leader renewed its lease under epoch 17",
        ),
    ];
    let lines = told.into_iter().enumerate();
    lines
        .map(|(k, (kind, cause, portion, text))| LogLine {
            at: NOW - Span::secs(65 - 5 * k as i64),
            seq: k as u64 + 1,
            kind,
            cause,
            portion: portion.map(PortionId::from),
            text: text.into(),
        })
        .collect()
}

/// What the plan was weighed over.
pub fn outlook() -> Vec<OutlookView> {
    let scenario = |weight: f64, level: f64, failed: &[&str]| Scenario {
        weight,
        level,
        failed: failed.iter().map(|s| Domain::Site((*s).into())).collect(),
    };
    vec![OutlookView {
        workload: "shop".into(),
        horizon: Span::secs(30),
        scenarios: Shared::new(Scenarios {
            list: vec![
                scenario(0.45, 0.5, &[]),
                scenario(0.24, 0.8, &[]),
                scenario(0.31, 0.5, &["edge-b"]),
            ],
            considered: 184,
            left_out: 0.013,
            error: 0.041,
            error_relative: 0.22,
        }),
        total: Some(BandPoint {
            at: NOW + Span::secs(14),
            low: 171.0,
            mid: 196.0,
            high: 231.0,
        }),
        sites: vec![
            ("edge-a".into(), Rps(142.0)),
            ("provider-a".into(), Rps(54.0)),
        ],
    }]
}

pub fn hazard(site: &str, within: f64, why: &str) -> Arc<Hazard> {
    Arc::new(Hazard {
        domain: Domain::Site(site.into()),
        name: site.into(),
        per_hour: within * 4.0,
        within: Probability(within),
        repair: Span::secs(540),
        why: why.into(),
    })
}
