//! What an attached terminal makes of the changes that are sent: the view that was meant, where the last one lay.

use foreshadow::engine::view::View;
use foreshadow::headless::change::{Change, Turns};
use foreshadow::headless::delta::{MORE, Patch, diff, thin};
use foreshadow::headless::made::Made;
use foreshadow::headless::stream::{Told, encode};
use foreshadow::model::{Moment, Span, Traffic};
use foreshadow::tui::sample;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// The same noise for the same seed.
struct Noise(u64);

impl Noise {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Another document: numbers, signs, lists and what is not there, each now and then. Names stay, as most of them are words of a type's own.
fn shake(value: &mut Value, noise: &mut Noise) {
    match value {
        Value::Bool(b) => *b ^= noise.below(8) == 0,
        Value::Number(n) if n.is_u64() && noise.below(8) == 0 => *n = noise.below(100).into(),
        Value::Number(n) if n.is_f64() && noise.below(8) == 0 => {
            let other = noise.below(1_000) as f64 / 8.0;
            *n = serde_json::Number::from_f64(other).unwrap();
        }
        Value::Array(all) => {
            all.iter_mut().for_each(|v| shake(v, noise));
            match noise.below(16) {
                0 => drop(all.drain(..all.len().min(1))),
                1 => all.extend(all.last().cloned()),
                2 => all.truncate(1),
                3 => all.reverse(),
                _ => {}
            }
        }
        Value::Object(all) => all.values_mut().for_each(|v| shake(v, noise)),
        _ => {}
    }
}

/// Whether a view can have that member.
fn fits(name: &str, part: &Value) -> bool {
    let mut document = serde_json::to_value(View::default()).unwrap();
    document[name] = part.clone();
    View::deserialize(&document).is_ok()
}

/// The view a while later. What would be no view any more, such as a pair that lost its half, stays as it was.
fn later(view: &View, noise: &mut Noise) -> View {
    let mut document = serde_json::to_value(view).unwrap();
    for (name, part) in document.as_object_mut().unwrap() {
        let was = part.clone();
        match part.as_array_mut() {
            Some(all) => {
                for one in all.iter_mut() {
                    let before = one.clone();
                    shake(one, noise);
                    if !fits(name, &Value::Array(vec![one.clone()])) {
                        *one = before;
                    }
                }
                if noise.below(4) == 0 {
                    drop(all.drain(..all.len().min(1)));
                }
            }
            None => shake(part, noise),
        }
        if !fits(name, part) {
            *part = was;
        }
    }
    let mut later = View::deserialize(&document).unwrap();
    for p in &mut later.portions {
        if noise.below(4) == 0 {
            p.sentence = format!("p99 {} ms", noise.below(100));
            p.traffic = p.traffic.filter(|t| t.samples % 2 == 0);
            p.moving = None;
        }
    }
    later.frozen = (noise.below(2) == 0).then(|| ("ann".into(), Moment(noise.below(9) as i64)));
    later
}

/// What the other side sends to make the one of the other, as it comes over the wire.
fn sent(old: &Value, new: &Value) -> Vec<Patch> {
    let patch = diff(old, new).map(|p| serde_json::to_string(&p).unwrap());
    let read = patch.map(|text| serde_json::from_str(&text).unwrap());
    read.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn a_view_that_is_changed_where_it_lies_is_the_one_that_was_sent(seed in any::<u64>(), hold in any::<[bool; 4]>()) {
        let mut noise = Noise(seed);
        let mut view = sample::crowd(6);
        let mut old = thin(&view, 3).unwrap();
        let mut turns = Turns::new(View::deserialize(&old).unwrap());
        let mut held = Vec::new();
        for hold in hold {
            // Somebody may look at what was shown for longer.
            held.extend(hold.then(|| (Arc::clone(turns.shown()), View::clone(turns.shown()))));
            view = later(&view, &mut noise);
            let new = thin(&view, 5).unwrap();
            turns.take(sent(&old, &new)).unwrap();
            prop_assert_eq!(&**turns.shown(), &View::deserialize(&new).unwrap());
            old = new;
        }
        for (shown, was) in held {
            prop_assert_eq!(&*shown, &was);
        }
    }
}

#[test]
fn what_nobody_looks_at_any_more_is_changed_and_not_copied() {
    let mut view = sample::crowd(3);
    let mut old = thin(&view, 3).unwrap();
    let mut turns = Turns::new(View::deserialize(&old).unwrap());
    let mut places = Vec::new();
    for cycle in 1..=6 {
        (view.cycle, view.portions[0].traffic) = (cycle, Some(Traffic::default()));
        let new = thin(&view, 3).unwrap();
        turns.take(sent(&old, &new)).unwrap();
        places.push(turns.shown().portions.as_ptr());
        old = new;
    }
    assert_eq!((places[0], places[1]), (places[2], places[3]));
    assert_eq!((places[2], places[3]), (places[4], places[5]));
    assert_ne!(places[0], places[1]);
}

#[test]
fn what_a_later_version_tells_is_passed_over_and_what_does_not_fit_is_refused() {
    let mut view = sample::shop();
    let read = |text: &str| serde_json::from_str::<Patch>(text).unwrap();
    let later = read(r#"{"o":[{"cycle":{"=":9},"mood":{"o":[{"of":{"=":1}}]}}]}"#);
    view.change(&later).unwrap();
    assert_eq!(view.cycle, 9);
    for wrong in [
        r#"{"o":[{"portions":{"a":[9,{},[]]}}]}"#,
        r#"{"o":[{"portions":{"a":[0,{"99":{"=":1}},[]]}}]}"#,
        r#"{"o":[{"cycle":{"=":"nine"}}]}"#,
        r#"{"o":[{"cycle":{"o":[{"x":{"=":1}}]}}]}"#,
    ] {
        let refused = view.change(&read(wrong)).unwrap_err();
        assert!(refused.to_string().contains("a new snapshot"), "{refused}");
    }
}

/// A view, and the one a second later.
fn two_views() -> (Arc<View>, Arc<View>) {
    let before = sample::shop();
    let mut after = before.clone();
    after.at = after.at + Span::secs(1);
    after.cycle += 1;
    (Arc::new(before), Arc::new(after))
}

#[test]
fn a_picture_is_made_once_for_all_readers_of_a_view() {
    let (before, after) = two_views();
    let mut made = Made::default();
    let first = made.picture(&before, MORE).unwrap();
    let second = made.picture(&before, 2 * MORE).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    let fewer = made.picture(&before, 1).unwrap();
    assert_ne!(first, fewer);
    let newer = made.picture(&after, MORE).unwrap();
    assert_ne!(first, newer);
    // Two readers of different views, in turns.
    assert_eq!(made.picture(&before, MORE).unwrap(), first);
}

#[test]
fn an_event_is_made_once_and_reads_as_if_each_reader_had_one_of_its_own() {
    let (before, after) = two_views();
    let mut made = Made::default();
    let old = made.picture(&before, MORE).unwrap();
    let new = made.picture(&after, MORE).unwrap();
    let (was, is) = (thin(&before, MORE).unwrap(), thin(&after, MORE).unwrap());
    let snapshot = encode(&Told::Snapshot(was.clone())).unwrap();
    assert_eq!(made.event(None, &old).unwrap(), Some(snapshot));
    let first = made.event(Some(&old), &new).unwrap().unwrap();
    let patch = diff(&was, &is).unwrap();
    assert_eq!(first, encode(&Told::Delta(patch)).unwrap());
    let second = made.event(Some(&old), &new).unwrap().unwrap();
    assert_eq!(first.as_ptr(), second.as_ptr());
    assert_eq!(made.event(Some(&new), &new).unwrap(), None);
}

#[test]
fn a_picture_that_no_reader_holds_is_not_kept() {
    let (before, _) = two_views();
    let mut made = Made::default();
    let picture = made.picture(&before, MORE).unwrap();
    made.event(None, &picture).unwrap();
    let kept = Arc::downgrade(&picture);
    drop(picture);
    assert!(kept.upgrade().is_none());
}
