//! What an attached face costs its link: 500 portions over 200 kbit/s must stay live, measured in bytes.

use foreshadow::engine::view::{BandPoint, PastPoint, View};
use foreshadow::headless::delta::{MORE, diff, thin};
use foreshadow::headless::stream::{Packer, Told, encode};
use foreshadow::model::{Millis, Rps, Span};
use foreshadow::tui::sample;
use serde_json::Value;

const PORTIONS: usize = 500;
/// How often a scheduler looks (`cycle` in its configuration), and how often it forecasts anew (`step` in a policy).
const CYCLE: Span = Span::secs(10);
const FORECAST: u64 = 6;
/// 200 kbit/s, in bytes a second.
const LINK: f64 = 25_000.0;

/// The same noise each time, so that no number is like its neighbour and nothing packs better than it would.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
    fn around(&mut self, value: f64) -> f64 {
        value * (0.9 + 0.2 * self.next())
    }
}

fn shake(value: &mut Value, noise: &mut Noise) {
    match value {
        Value::Number(n) if n.is_f64() => {
            let shaken = noise.around(n.as_f64().unwrap_or(0.0));
            if let Some(number) = serde_json::Number::from_f64(shaken) {
                *n = number;
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|v| shake(v, noise)),
        Value::Object(all) => all.values_mut().for_each(|v| shake(v, noise)),
        _ => {}
    }
}

/// An estate of so many portions of which each number is its own; lists that do not grow with portions stay as they are.
fn estate(noise: &mut Noise) -> View {
    let (few, mut view) = (sample::shop(), sample::crowd(PORTIONS));
    (view.sites, view.blind, view.log) = (few.sites, few.blind, few.log);
    (view.shadows, view.steps, view.waiting) = (few.shadows, few.steps, few.waiting);
    let mut value = serde_json::to_value(&view).expect("a view is JSON");
    shake(&mut value, noise);
    serde_json::from_value(value).expect("it still is a view")
}

/// A cycle later: every portion's traffic is another, its past has slid, and now and then its forecast is new.
fn later(view: &View, noise: &mut Noise) -> View {
    let mut view = view.clone();
    view.at = view.at + CYCLE;
    view.cycle += 1;
    let (at, fresh) = (view.at, view.cycle.is_multiple_of(FORECAST));
    for p in &mut view.portions {
        if let Some(t) = &mut p.traffic {
            t.rate = Rps(noise.around(t.rate.0));
            t.p99 = Millis(noise.around(t.p99.0));
            t.at_slo = Millis(noise.around(t.at_slo.0));
            t.success = 1.0 - noise.next() / 100.0;
            t.samples += 17;
            p.sentence = format!("p99 {}", t.p99);
        }
        let rate = noise.around(60.0);
        p.past.push(PastPoint {
            at,
            rate,
            p99: noise.around(130.0),
            success: 1.0 - noise.next() / 100.0,
            forecast: Some((noise.around(50.0), rate, noise.around(70.0))),
        });
        p.past.remove(0);
        for i in &mut p.instances {
            i.cpu = i.cpu.map(|c| foreshadow::model::Mhz(noise.around(c.0)));
        }
        if fresh {
            p.band = p.band.iter().map(|b| band(b, noise)).collect();
        }
    }
    for n in view.nodes.iter_mut() {
        n.used.cpu.0 = noise.around(n.used.cpu.0);
    }
    view
}

fn band(b: &BandPoint, noise: &mut Noise) -> BandPoint {
    BandPoint {
        at: b.at + CYCLE.times(FORECAST as i64),
        low: noise.around(b.low),
        mid: noise.around(b.mid),
        high: noise.around(b.high),
    }
}

#[test]
fn five_hundred_portions_stay_live_over_two_hundred_kilobits() {
    let mut noise = Noise(7);
    let mut view = estate(&mut noise);
    let mut whole = MORE;
    let mut old = thin(&view, whole).expect("it is JSON");
    let mut packer = Packer::new(true);
    let mut sent = |told: Told| {
        let event = encode(&told).expect("it is JSON");
        packer.pack(event).expect("it packs").len() as f64 / LINK
    };
    let first = sent(Told::Snapshot(old.clone()));
    println!("{PORTIONS} portions over 200 kbit/s: the first picture stands after {first:.1} s");
    // The link carries one event after the other; meanwhile the estate goes on, and what comes next tells all that changed.
    let (mut clock, mut cycle, mut lag, mut filled) = (first, 1.0, first, 0.0);
    let (mut steady, mut busy) = (0u32, 0.0);
    while steady < 2 * FORECAST as u32 {
        let every = CYCLE.as_secs_f64();
        let due = clock >= cycle * every;
        if due {
            view = later(&view, &mut noise);
            cycle += 1.0;
        } else if whole >= PORTIONS {
            clock = cycle * every;
            continue;
        }
        whole += MORE;
        let new = thin(&view, whole).expect("it is JSON");
        let took = diff(&old, &new).map_or(0.0, |patch| sent(Told::Delta(patch)));
        (clock, old, lag) = (clock + took, new, f64::max(lag, took));
        if whole >= PORTIONS && filled == 0.0 {
            filled = clock;
        } else if filled > 0.0 {
            (steady, busy) = (steady + 1, busy + took);
        }
    }
    let share = busy / (f64::from(steady) * CYCLE.as_secs_f64());
    println!(
        "all of it after {filled:.0} s; no event takes more than {lag:.1} s; then {:.0}% of the link",
        share * 100.0
    );
    assert!(
        lag < CYCLE.as_secs_f64(),
        "an event takes {lag} s, longer than a cycle"
    );
    assert!(share < 0.5, "changes alone take {share} of the link");
}
