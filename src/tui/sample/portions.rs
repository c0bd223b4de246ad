//! The five portions of the sample.

use super::NOW;
use crate::engine::view::*;
use crate::model::*;

/// A day's load at second `s` from now (a season is 144 s), with some noise that is always the same.
fn load(s: i64, scale: f64) -> f64 {
    let s = s - (scale as i64 * 7) % 13;
    let surge = |at: f64, wide: f64| 1.0 / (1.0 + (-(s as f64 - at) / wide).exp());
    let day =
        0.3 + 0.12 * (s as f64 / 23.0).sin() + 0.55 * surge(-14.0, 6.0) - 0.4 * surge(24.0, 4.0);
    let noise = ((s * 7919).rem_euclid(13) as f64 - 6.0) / 6.0;
    (scale * day + noise * scale * 0.025).max(0.0)
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
    role: &'static str,
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

/// What the last run showed: three loads around the knee.
fn details(knee: f64, site: &str) -> Details {
    let load = |k: u32| {
        let rate = knee * f64::from(k) / 6.0;
        let middle = 40.0 * 1.5f64.powi(k as i32 - 3);
        let bucket = |i: i32| {
            let off = f64::from(i - 5);
            let n = (rate * 12.0 * (-off * off / 9.0).exp()) as u64;
            (Millis(middle * 1.25f64.powi(i - 5)), n)
        };
        LoadDetail {
            rate: Rps(rate),
            proven: k != 6,
            throughput: Rps(rate * if k > 6 { 0.96 } else { 1.0 }),
            histogram: (0..12).map(bucket).filter(|b| b.1 > 0).collect(),
            errors: match k > 6 {
                true => vec![("timeout".into(), 11)],
                false => Vec::new(),
            },
            cpu: Some(Mhz(rate * 5.2)),
            memory: Some(MiB(38.0 + f64::from(k))),
            network: Mbps(rate * 0.0072),
            own_delay: Millis(0.1),
        }
    };
    Details {
        proven: (Some(Rps(knee * 5.0 / 6.0)), Some(Rps(knee * 7.0 / 6.0))),
        confidence: 0.9,
        loads: (3..=7).map(load).collect(),
        startup: StartUp {
            placed: Some(Span::millis(40)),
            prepared: Some(Span::millis(25)),
            fetched: Some(Span::millis(310)),
            started: Some(Span(0)),
            passing: Some(Span::millis(365)),
        },
        upstreams: vec![Upstream {
            portion: "search".into(),
            site: "edge-a".into(),
            rtt: Some(Millis(if site == "edge-a" { 0.0 } else { 21.0 })),
        }],
        load: "GET /".into(),
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
        evidence: Evidence::default(),
        knee: Rps(knee),
        knee_spread: Rps(knee * 0.06),
        cpu_a_request: 5.2,
        bytes_a_request: 900.0,
        memory: MiB(46.0),
        startup: Span::millis(740),
        curve: (1..=7).map(point).collect(),
        details: details(knee, site),
        runs: 3,
        samples: 2_180,
        at: NOW - Span::secs(52),
    }
}

fn track(scored: u64, covered: u64, bias: f64) -> Track {
    Track {
        scored,
        covered,
        bias,
        width: if covered + 1 < scored { 1.31 } else { 1.0 },
    }
}

/// Two places that were measured, and one that borrows from them.
fn known(portion: &str) -> Vec<Known> {
    let estimate = |middle: f64, spread: f64| Estimate {
        middle,
        low: middle * (1.0 - spread),
        high: middle * (1.0 + spread),
        spread,
    };
    let of = |site: &str, knee: f64, runs: u32, from: &[(&str, f64)]| {
        let key = profile(portion, site, knee).key;
        let lent: f64 = from.iter().map(|f| f.1).sum();
        let own = f64::from(runs) * 0.8;
        Known {
            knee: estimate(knee, 0.05 + 0.3 * lent),
            knee_open: false,
            startup: estimate(740.0, 0.2),
            cpu: estimate(5.2, 0.1),
            age: (runs > 0).then_some(Span::secs(52)),
            half_life: Span::secs(190),
            runs,
            samples: u64::from(runs) * 700,
            own,
            borrowed: if runs > 0 {
                own * lent / (1.0 - lent)
            } else {
                2.1
            },
            from: from
                .iter()
                .map(|(site, part)| Lender {
                    site: (*site).into(),
                    class: profile(portion, site, knee).key.class,
                    runs: 2.4,
                    part: *part,
                })
                .collect(),
            one_run: 0.12,
            one_start: 0.2,
            key,
        }
    };
    vec![
        of("edge-a", 46.0, 3, &[("provider-a", 0.04)]),
        of("provider-a", 71.0, 3, &[("edge-a", 0.05)]),
        of(
            "provider-b",
            68.0,
            0,
            &[("provider-a", 0.9), ("edge-a", 0.1)],
        ),
    ]
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
        models: vec![
            ("smoothing".into(), 0.52),
            ("direct".into(), 0.31),
            ("usual".into(), 0.17),
        ]
        .into(),
        components: Components {
            level: told.scale * 0.72,
            trend: 0.4,
            season: told.scale * 0.15,
            event: 0.0,
            reconciled: told.scale * 0.01,
        },
        error: Some(Rps(told.scale * 0.03)),
        need: (told.id != "ledger").then_some(ResourceNeed {
            demand: Rps(told.scale),
            needs: Resources {
                cpu: Mhz(told.scale * 5.2),
                memory: MiB(138.0),
                disk: MiB(0.0),
                network: Mbps(told.scale * 0.0072),
            },
            unsure: 0.06,
            runs: 6,
        }),
        because: "level 58, rising 0.4 a step, the season adds 12".into(),
        coverage_80: Some(0.823),
        known: match told.id {
            "ledger" => vec![],
            id => known(id),
        },
        calibration: Calibration {
            latency: track(9, 8, 0.04),
            capacity: track(9, 9, 0.0),
            startup: track(4, 2, 0.6),
        },
        profiles: if told.id == "ledger" {
            vec![]
        } else {
            vec![
                profile(told.id, "edge-a", 46.0),
                profile(told.id, "provider-a", 71.0),
            ]
        },
        verdicts: Vec::new(),
        moving: None,
        stairs: Vec::new(),
        pinned: None,
    }
}

pub fn portions() -> Vec<PortionView> {
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
                "98.1% answered (limit 99%), p95 428 ms (limit 400 ms): traffic is being moved",
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
                "1 standby stands ready, up to 66.3 rps foreseen",
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
