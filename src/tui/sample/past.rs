//! What the sample looks back at: a move of web and cart, and pages of the last minute.

use super::NOW;
use crate::engine::view::*;
use crate::model::*;
use std::sync::Arc;

/// web's surge: two of three steps are done, the third waits for its soak.
fn surge() -> MoveView {
    MoveView {
        kind: "surge".into(),
        cause: Cause::Predicted,
        why: "up to 91 rps foreseen in 18 s > 94 rps that its primaries carry".into(),
        from: Share::NONE,
        to: Share(6_000),
        steps: vec![Share(2_500), Share(6_000), Share(10_000)],
        done: 2,
        since: NOW - Span::secs(14),
        verified: Some(NOW - Span::millis(1_600)),
        soak: Span::secs(4),
        min_samples: 5,
        waits: Some("soaking for 2400 ms".into()),
        ended: None,
    }
}

fn failback() -> MoveView {
    MoveView {
        kind: "failback".into(),
        cause: Cause::Upkeep,
        why: "primaries carry the forecast again; traffic goes back".into(),
        from: Share(3_000),
        to: Share::NONE,
        steps: vec![Share::ALL],
        done: 1,
        since: NOW - Span::secs(50),
        verified: Some(NOW - Span::secs(46)),
        soak: Span::secs(4),
        min_samples: 5,
        waits: None,
        ended: Some(NOW - Span::secs(44)),
    }
}

/// Shares of web's standbys over its surge, seen half a second after they were asked for.
fn stairs() -> Vec<Stair> {
    let asked = |ms: i64| match ms {
        i64::MIN..-12_000 => (0, 0),
        -12_000..-6_000 => (1_500, 1),
        _ => (3_600, 2),
    };
    let point = |k: i64| {
        let ms = -30_000 + k * 500;
        let (desired, done) = asked(ms);
        let load = 300.0 + 4.0 * (k % 7) as f64;
        let moving = ms >= -14_000;
        Stair {
            at: NOW + Span::millis(ms),
            desired: Share(desired),
            observed: Some(Share(asked(ms - 500).0)),
            step: moving.then_some(if ms < -12_000 { 0 } else { done }),
            p99: (
                Some(load + if ms > -20_000 { 240.0 } else { 0.0 } - f64::from(desired) / 15.0),
                (desired > 0).then_some(180.0 + 3.0 * (k % 5) as f64),
            ),
            success: (Some(0.981), (desired > 0).then_some(0.9996)),
        }
    };
    (0..=60).map(point).collect()
}

/// Puts moves, shares over time and verdicts into the portions that have them.
pub fn moved(portions: &mut [PortionView]) {
    for p in portions {
        match p.id.as_str() {
            "web" => (p.moving, p.stairs) = (Some(surge()), stairs()),
            "cart" => p.moving = Some(failback()),
            "search" => p.verdicts.push(open_verdict()),
            _ => {}
        }
    }
}

/// A verdict that a person may approve.
fn open_verdict() -> Judged {
    Judged {
        key: ProfileKey {
            portion: "search".into(),
            release: "r-7c19".into(),
            site: "provider-b".into(),
            class: "cloud-m".into(),
        },
        at: NOW - Span::secs(30),
        ruling: Ruling::Inconclusive,
        because: "131 of 200 requests a side: p95 of 97 ms against 92 ms could be either".into(),
        against: Against::Production,
        rate: Rps(12.0),
        baseline: 131,
        shadow: 131,
        times: 1,
        undecided: 0,
    }
}

/// A page for every second line of the log, with what was known then.
pub fn pages(view: &View) -> Vec<Arc<Page>> {
    let row = |p: &PortionView, ago: i64| {
        Arc::new(PageRow {
            id: p.id.clone(),
            health: if ago > 25 { Health::Good } else { p.health },
            sentence: if ago > 25 {
                "p99 131 ms".into()
            } else {
                p.sentence.clone()
            },
            rate: p
                .traffic
                .as_ref()
                .map(|t| (t.rate.0 - ago as f64 / 3.0).max(1.0)),
            p99: p.traffic.as_ref().map(|t| t.p99.0),
            success: p.traffic.as_ref().map(|t| t.success),
            foreseen: p.band.iter().map(|b| b.high).reduce(f64::max),
            capacity: p.capacity.map(|c| c.0),
            shares: p
                .instances
                .iter()
                .map(|i| {
                    (
                        i.node.to_string(),
                        i.role.to_string(),
                        i.desired,
                        i.observed,
                    )
                })
                .collect(),
        })
    };
    let pages = view.log.chunks(2).enumerate().map(|(k, lines)| {
        let at = lines.first().map_or(NOW, |l| l.at);
        let ago = NOW.since(at).0 / 1000;
        let told =
            |p: &PortionView| k == 0 || lines.iter().any(|l| l.portion.as_ref() == Some(&p.id));
        Arc::new(Page {
            at,
            cycle: 700 + k as u64,
            rows: view
                .portions
                .iter()
                .filter(|p| told(p))
                .map(|p| row(p, ago))
                .collect(),
            lines: lines.to_vec(),
            ..Page::default()
        })
    });
    pages.collect()
}
