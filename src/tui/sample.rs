//! A view for tests that looks like the shop estate mid-incident: a surge that was foreseen, and edge-b just cut off.

use crate::engine::view::*;
use crate::model::*;

/// Thursday, 07:42:10.
pub const NOW: Moment = Moment(1_780_000_000_000 - 1_780_000_000_000 % 86_400_000 + 27_730_000);

/// A day's load at second `s` from now (a season is 144 s), with some noise that is always the same.
fn load(s: i64, scale: f64) -> f64 {
    let day = ((s as f64 + 60.0) / 144.0 * std::f64::consts::TAU).sin();
    let noise = ((s * 7919).rem_euclid(13) as f64 - 6.0) / 6.0;
    (scale * (0.62 + 0.34 * day) + noise * scale * 0.025).max(0.0)
}

fn past(scale: f64, late_from: i64) -> Vec<PastPoint> {
    let point = |s: i64| {
        let rate = load(s, scale);
        let mid = load(s - 1, scale) * if s.rem_euclid(40) < 6 { 0.86 } else { 1.01 };
        let late = if s >= late_from {
            260.0 + 18.0 * (s - late_from) as f64
        } else {
            0.0
        };
        PastPoint {
            at: NOW + Span::secs(s),
            rate,
            p99: 118.0 + rate * 0.9 + late,
            success: if s >= late_from { 0.981 } else { 0.9995 },
            forecast: (s > -72).then_some((mid * 0.88, mid, mid * 1.13)),
        }
    };
    (-89..=0).map(point).collect()
}

fn band(scale: f64) -> Vec<BandPoint> {
    (1..=30)
        .map(|s| {
            let mid = load(s, scale);
            let spread = 0.08 + s as f64 * 0.006;
            let (low, high) = (mid * (1.0 - spread), mid * (1.0 + spread));
            BandPoint {
                at: NOW + Span::secs(s),
                low,
                mid,
                high,
            }
        })
        .collect()
}

fn instance(
    name: &str,
    n: usize,
    node: &str,
    role: &str,
    desired: u32,
    observed: Option<u32>,
) -> InstanceView {
    let site = node.rsplit_once('-').map_or(node, |(s, _)| s);
    let job = if role == "standby" {
        format!("shop-{name}-standby-{site}")
    } else {
        "shop".into()
    };
    InstanceView {
        alloc: AllocId::new(format!(
            "{:08x}-8c1d-4b5e-9f00-{n:012x}",
            0x3f2a_91c4_u32.wrapping_mul(n as u32 * 2 + 1) ^ name.len() as u32
        )),
        job: JobId::new(job),
        node: node.into(),
        site: site.into(),
        role: role.into(),
        ready: !node.starts_with("edge-b"),
        desired: Share(desired),
        observed: observed.map(Share),
        cpu: Some(Mhz(212.0)),
        memory: Some(MiB(48.0)),
    }
}

fn profile(portion: &str, site: &str, knee: f64) -> Profile {
    let point = |k: u32| {
        let rate = knee * f64::from(k) / 6.0;
        let late = 70.0 + 38.0 / (1.16 - f64::from(k) / 7.2).max(0.08);
        LoadPoint {
            rate: Rps(rate),
            requests: (rate * 4.0) as u64,
            failed: 0,
            p50: Millis(late * 0.5),
            p90: Millis(late * 0.9),
            p99: Millis(late * 1.4),
            at_slo: Millis(late),
            good: late <= 400.0,
        }
    };
    Profile {
        key: ProfileKey {
            portion: portion.into(),
            release: "r-7c19".into(),
            site: site.into(),
            class: if site.starts_with("edge") {
                "edge-small".into()
            } else {
                "cloud-m".into()
            },
        },
        knee: Rps(knee),
        knee_spread: Rps(knee * 0.06),
        cpu_a_request: 5.2,
        memory: MiB(46.0),
        startup: Span::millis(740),
        curve: (1..=7).map(point).collect(),
        runs: 3,
        samples: 2_180,
        at: NOW - Span::secs(52),
    }
}

struct Told<'a> {
    id: &'a str,
    health: Health,
    sentence: &'a str,
    scale: f64,
    p99: f64,
    success: f64,
    needs: &'a [&'a str],
}

fn portion(told: &Told, instances: Vec<InstanceView>) -> PortionView {
    let late = told.health == Health::Breach;
    let past = past(told.scale, if late { -6 } else { 1 });
    let rate = past[past.len() - 1].rate;
    PortionView {
        id: told.id.into(),
        workload: "shop".into(),
        groups: vec![told.id.into()],
        depends_on: told.needs.iter().map(|n| PortionId::from(*n)).collect(),
        front: Some(ServiceName::new(format!("shop-{}", told.id))),
        health: told.health,
        sentence: told.sentence.into(),
        not_shadowable: (told.id == "ledger")
            .then(|| "it writes to host volume ledger, which only edge-a-3 has".into()),
        slo: Slo {
            quantile: 0.95,
            latency: Millis(400.0),
            success: 0.99,
        },
        traffic: (told.health != Health::Unknown).then_some(Traffic {
            rate: Rps(rate),
            success: told.success,
            samples: 243,
            p50: Millis(told.p99 / 3.0),
            p99: Millis(told.p99),
            at_slo: Millis(told.p99 * 0.7),
        }),
        instances,
        capacity: Some(Rps(told.scale * 1.18)),
        past,
        band: band(told.scale),
        model: "damped trend with a day's season".into(),
        because: "level 58, rising 0.4 a step, the season adds 12".into(),
        coverage_80: Some(0.823),
        profiles: if told.id == "ledger" {
            vec![]
        } else {
            vec![
                profile(told.id, "edge-a", 46.0),
                profile(told.id, "provider-a", 71.0),
            ]
        },
    }
}

fn portions() -> Vec<PortionView> {
    let told = |id, health, sentence, scale, p99, success, needs| Told {
        id,
        health,
        sentence,
        scale,
        p99,
        success,
        needs,
    };
    vec![
        portion(
            &told(
                "web",
                Health::Breach,
                "98.1% answered, p95 428 ms (limit 400 ms): traffic is being moved",
                80.0,
                612.0,
                0.981,
                &["cart", "search"],
            ),
            vec![
                instance("web", 1, "edge-a-1", "primary", 4_000, Some(4_000)),
                instance("web", 2, "edge-b-1", "primary", 0, Some(2_500)),
                instance("web", 3, "provider-a-1", "standby", 6_000, Some(3_500)),
            ],
        ),
        portion(
            &told(
                "cart",
                Health::Moving,
                "1 of 3 steps: edge-b is lost, its share goes to provider-a",
                52.0,
                231.0,
                0.9962,
                &["pricing", "ledger"],
            ),
            vec![
                instance("cart", 4, "edge-a-2", "primary", 7_500, Some(7_500)),
                instance("cart", 5, "edge-b-2", "primary", 0, Some(0)),
                instance("cart", 6, "provider-a-2", "standby", 2_500, Some(2_500)),
            ],
        ),
        portion(
            &told(
                "pricing",
                Health::Watch,
                "1 standbys stand ready, up to 66.3 rps foreseen",
                60.0,
                88.0,
                0.9999,
                &[],
            ),
            vec![
                instance("pricing", 7, "edge-a-1", "primary", 10_000, Some(10_000)),
                instance("pricing", 8, "provider-b-1", "standby", 0, Some(0)),
            ],
        ),
        portion(
            &told("search", Health::Good, "p99 104 ms", 24.0, 104.0, 1.0, &[]),
            vec![instance(
                "search",
                9,
                "edge-a-2",
                "primary",
                10_000,
                Some(10_000),
            )],
        ),
        portion(
            &told(
                "ledger",
                Health::Unknown,
                "traffic is not seen",
                12.0,
                0.0,
                1.0,
                &[],
            ),
            vec![instance("ledger", 10, "edge-a-3", "primary", 10_000, None)],
        ),
    ]
}

fn room(cpu: f64, memory: f64) -> Resources {
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

fn sites() -> Vec<SiteView> {
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

fn nodes(portions: &[PortionView]) -> Vec<NodeView> {
    let mut all = Vec::new();
    for (site, kind, reachable, hazard, reserved) in SITES {
        for n in 1..=3 {
            let name = format!("{site}-{n}");
            let here = portions
                .iter()
                .flat_map(|p| p.instances.iter().map(move |i| (p, i)));
            let lives = here
                .filter(|(_, i)| i.node == name)
                .map(|(p, i)| match i.role.as_str() {
                    "standby" => format!("{} (standby)", p.id),
                    _ => p.id.to_string(),
                });
            let size = if kind == "edge" { 2_000.0 } else { 4_000.0 };
            let part = reserved * (1.4 - 0.3 * f64::from(n));
            all.push(NodeView {
                id: NodeId::new(format!("{site}-{n}-id")),
                portions: lives.collect(),
                name,
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

fn links() -> Vec<Link> {
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

fn shadows() -> Vec<ShadowView> {
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

fn candidates() -> Vec<CandidateView> {
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
                unknown,
                cost,
                value,
                due_in: due.map(Span::secs),
            }
        };
    vec![
        of("web", "provider-b", 0.31, 0.92, 0.004, 0.281, Some(18)),
        of("search", "provider-a", 0.18, 1.0, 0.003, 0.177, None),
        of("pricing", "provider-b", 0.22, 0.41, 0.003, 0.087, Some(95)),
        of("cart", "edge-a", 0.04, 0.66, 0.006, 0.02, None),
    ]
}

fn steps() -> Vec<StepView> {
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

fn log() -> Vec<LogLine> {
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

/// The shop estate, 6 s after edge-b was cut off.
pub fn shop() -> View {
    let portions = portions();
    let waiting = |what: &str, why: &str| Waiting {
        what: what.into(),
        why: why.into(),
    };
    View {
        at: NOW,
        cycle: 812,
        mode: Mode::Act,
        leader: "edge-a".into(),
        epoch: Epoch(17),
        sites: sites(),
        links: links(),
        nodes: nodes(&portions),
        shadows: shadows(),
        candidates: candidates(),
        steps: steps(),
        waiting: vec![
            waiting(
                "switch web back to edge-b",
                "edge-b is not reachable; all must be well for 8 s",
            ),
            waiting(
                "shadow of web at provider-b",
                "2 of 2 shadows run; due in 18 s",
            ),
            waiting(
                "anything for ledger",
                "its traffic is not seen; unknown only holds",
            ),
        ],
        log: log(),
        tally: Tally {
            portions: 5,
            shadows: 10,
            measurements: 27,
            profiles: 8,
            forecasts: 812,
            preallocations: 4,
            switchovers: 2,
            failbacks: 0,
            lessons: 6,
            held: 3,
        },
        coverage_80: Some(0.81),
        reaction_ms: vec![212.0, 240.0],
        portions,
        ..View::default()
    }
}

/// Nothing can be seen.
pub fn blind() -> View {
    let mut view = shop();
    view.hold = Some("foreshadow/hold cannot be read; it counts as set".into());
    view.blind = ["nodes", "allocations", "jobs", "hold", "leadership"]
        .map(|w| format!("{w}: GET http://127.0.0.1:4646 refused; is Nomad running?"))
        .to_vec();
    view.leader = "unknown".into();
    for p in &mut view.portions {
        p.health = Health::Unknown;
        p.sentence = "traffic is not seen".into();
        p.traffic = None;
        p.instances.clear();
    }
    view.sites.clear();
    view.nodes.clear();
    view.links.clear();
    view.steps.clear();
    view
}

/// So many rows of everything.
pub fn crowd(rows: usize) -> View {
    let mut view = shop();
    fn many<T: Clone>(from: &[T], rows: usize, name: impl Fn(&mut T, usize)) -> Vec<T> {
        let of = |k: usize| {
            let mut one = from[k % from.len()].clone();
            name(&mut one, k);
            one
        };
        (0..rows).map(of).collect()
    }
    view.portions = many(&view.portions, rows, |p, k| {
        p.id = PortionId::new(format!("{}-{k:04}", p.id))
    });
    view.sites = many(&view.sites, rows, |s, k| {
        s.site = Site::new(format!("{}-{k:04}", s.site))
    });
    view.nodes = many(&view.nodes, rows, |n, k| {
        n.id = NodeId::new(format!("n-{k:04}"));
        n.name = format!("{}-{k:04}", n.name);
    });
    view.shadows = many(&view.shadows, rows, |s, k| {
        s.id = ShadowId::new(format!("sh-{k:04}"))
    });
    view.candidates = many(&view.candidates, rows, |c, k| {
        c.portion = PortionId::new(format!("{}-{k:04}", c.portion))
    });
    view.steps = many(&view.steps, rows, |s, k| {
        s.id = StepId::new(format!("p-{k:04}"))
    });
    view.waiting = many(&view.waiting, rows, |_, _| {});
    view.blind = vec!["traffic: not read".into(); rows];
    view.log = many(&view.log, rows, |l, k| l.seq = k as u64 + 1);
    view
}
