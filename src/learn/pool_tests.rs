use super::*;
use proptest::prelude::*;

const DAY: Span = Span::secs(86_400);

fn key(site: &str, class: &str) -> ProfileKey {
    ProfileKey {
        portion: "web".into(),
        release: "1".into(),
        site: site.into(),
        class: class.into(),
    }
}

/// Runs of one place, all made at once.
fn place(site: &str, class: &str, knees: &[f64]) -> Profile {
    let add = |f: Faded, v: &f64| evidence::add(f, *v);
    let knee = knees.iter().fold(Faded::default(), add);
    let startup = [800.0].iter().fold(Faded::default(), add);
    Profile {
        key: key(site, class),
        evidence: Evidence {
            half_life: DAY,
            knee,
            knee_open: false,
            startup,
            cpu: evidence::add(Faded::default(), 5.0),
        },
        knee: Rps(knee.mean.exp()),
        knee_spread: Rps(1.0),
        cpu_a_request: 5.0,
        bytes_a_request: 900.0,
        memory: MiB(30.0),
        startup: Span::millis(800),
        curve: Vec::new(),
        details: Details::default(),
        runs: knees.len() as u32,
        samples: 100,
        at: Moment(0),
    }
}

fn look(profiles: Vec<Profile>, at: &ProfileKey, now: Moment) -> Option<Known> {
    let beliefs = Beliefs {
        profiles,
        ..Beliefs::default()
    };
    let reading = Reading {
        now,
        half_life: DAY,
        sure: 0.1,
    };
    Measured::of(&beliefs)
        .known(&BTreeSet::from([at.clone()]), &reading)
        .remove(at)
}

#[test]
fn nothing_is_known_of_a_release_that_was_never_measured() {
    let mut other = place("edge-a", "small", &[30.0]);
    other.key.release = "0".into();
    assert_eq!(look(vec![other], &key("edge-a", "small"), Moment(0)), None);
}

#[test]
fn one_run_alone_is_believed_and_little_is_counted_on() {
    let k = look(
        vec![place("edge-a", "small", &[30.0])],
        &key("edge-a", "small"),
        Moment(0),
    )
    .expect("known");
    assert!((k.knee.middle - 30.0).abs() < 1e-9);
    assert!(k.knee.low < 25.0 && k.knee.high > 36.0, "{:?}", k.knee);
    assert_eq!((k.runs, k.from.len()), (1, 0));
    assert_eq!(k.lent(), 0.0);
}

#[test]
fn a_place_never_measured_borrows_more_surely_from_its_own_class_than_from_another() {
    let alike = look(
        vec![place("edge-a", "small", &[30.0, 31.0, 29.0])],
        &key("edge-b", "small"),
        Moment(0),
    )
    .expect("lent");
    let unlike = look(
        vec![place("edge-a", "small", &[30.0, 31.0, 29.0])],
        &key("edge-b", "std"),
        Moment(0),
    )
    .expect("lent");
    assert!((alike.knee.middle - unlike.knee.middle).abs() < 1e-9);
    assert!(alike.knee.spread < unlike.knee.spread * 0.5);
    assert!(unlike.knee.spread <= UNKNOWN);
    assert_eq!(alike.own, 0.0);
    assert!((alike.lent() - 1.0).abs() < 1e-9, "all of it is lent");
    assert_eq!(alike.from[0].site, Site::from("edge-a"));
    assert_eq!(
        alike.source(),
        "never measured, 100% lent by edge-a (small)"
    );
}

#[test]
fn thin_evidence_is_drawn_towards_its_class_and_much_of_it_is_not() {
    let others = || {
        vec![
            place("edge-b", "small", &[30.0, 30.0, 31.0, 29.0]),
            place("edge-c", "small", &[31.0, 30.0, 30.0, 29.0]),
        ]
    };
    let drawn = |knees: &[f64]| {
        let mut all = others();
        all.push(place("edge-a", "small", knees));
        look(all, &key("edge-a", "small"), Moment(0)).expect("known")
    };
    let (thin, thick) = (drawn(&[20.0]), drawn(&[20.0; 12]));
    assert!(thin.knee.middle > 22.0, "{:?}", thin.knee);
    assert!(thick.knee.middle < 21.0, "{:?}", thick.knee);
    assert!(thin.lent() > thick.lent());
}

#[test]
fn with_age_a_place_falls_back_on_others_that_are_younger_and_its_spread_grows() {
    let all = || {
        let mut young = place("edge-b", "small", &[30.0, 30.0, 30.0]);
        young.at = Moment(DAY.0 * 10);
        vec![place("edge-a", "small", &[20.0, 20.0, 20.0]), young]
    };
    let at = key("edge-a", "small");
    let fresh = look(all(), &at, Moment(0)).expect("known");
    let old = look(all(), &at, Moment(DAY.0 * 10)).expect("known");
    assert!(old.knee.middle > fresh.knee.middle);
    assert!(old.knee.spread > fresh.knee.spread);
    assert!(old.own < 0.01 && old.runs == 3);
    assert_eq!(old.age, Some(DAY.times(10)));
}

#[test]
fn classes_that_differ_much_lend_each_other_little() {
    let all = vec![
        place("edge-a", "small", &[30.0, 30.5]),
        place("provider-a", "std", &[8.0, 8.1]),
    ];
    let slow = look(all, &key("provider-a", "std"), Moment(0)).expect("known");
    assert!(slow.knee.middle < 9.0, "{:?}", slow.knee);
}

#[test]
fn predictions_that_were_poor_make_what_is_believed_wider() {
    let mut beliefs = Beliefs {
        profiles: vec![place("edge-a", "small", &[30.0])],
        ..Beliefs::default()
    };
    let reading = Reading {
        now: Moment(0),
        half_life: DAY,
        sure: 0.1,
    };
    let at = key("edge-a", "small");
    let keys = BTreeSet::from([at.clone()]);
    let before = Measured::of(&beliefs).known(&keys, &reading)[&at].clone();
    let skill = beliefs.skill.entry("web".into()).or_default();
    skill.calibration.capacity.width = 2.0;
    skill.calibration.startup.bias = 2f64.ln();
    let after = Measured::of(&beliefs).known(&keys, &reading)[&at].clone();
    assert!((after.knee.spread - 2.0 * before.knee.spread).abs() < 1e-9);
    assert!(after.knee.low < before.knee.low);
    assert!((after.startup.middle - 2.0 * before.startup.middle).abs() < 1e-6);
}

proptest! {
    #[test]
    fn whatever_was_measured_the_parts_are_parts_and_the_quantiles_are_in_order(
        knees in prop::collection::vec((0usize..3, 0usize..3, 0.5..200.0f64), 1..12),
        age in 0i64..40,
    ) {
        let mut all: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
        for (site, class, knee) in knees {
            all.entry((site, class)).or_default().push(knee);
        }
        let profiles: Vec<Profile> = all
            .iter()
            .map(|((s, c), v)| place(&format!("s{s}"), &format!("c{c}"), v))
            .collect();
        for site in 0..3 {
            for class in 0..3 {
                let at = key(&format!("s{site}"), &format!("c{class}"));
                let k = look(profiles.clone(), &at, Moment(DAY.0 * age)).expect("lent at least");
                prop_assert!(k.knee.low <= k.knee.middle && k.knee.middle <= k.knee.high);
                prop_assert!(k.knee.spread > 0.0 && k.knee.spread <= UNKNOWN + 1e-9);
                let parts: f64 = k.from.iter().map(|l| l.part).sum();
                prop_assert!((parts - k.lent()).abs() < 1e-6, "{parts} of {}", k.lent());
                prop_assert!((0.0..=1.0 + 1e-9).contains(&k.lent()));
            }
        }
    }
}
