use super::super::simulated::daily;
use super::*;

const SEASON: usize = 144;
const PAST: usize = SEASON * 5;

fn id(name: &str) -> PortionId {
    PortionId::from(name)
}

fn series(values: Vec<f64>) -> Series {
    Series {
        start: Moment(0),
        step: Span::secs(1),
        values,
    }
}

/// Now is the last reading.
fn now() -> Moment {
    Moment((PAST as i64 - 1) * 1000)
}

/// `web` calls `cart` once in two requests.
fn history() -> History {
    let web = daily(SEASON, PAST, 0.1, 7);
    let cart: Vec<f64> = web.iter().map(|v| 0.5 * v).collect();
    History {
        demand: [(id("web"), series(web)), (id("cart"), series(cart))].into(),
        watched_since: Moment(0),
        ..History::default()
    }
}

fn policy() -> Policy {
    Policy {
        risk_tolerance: 0.3,
        step: Span::secs(1),
        season: Span::secs(SEASON as i64),
        horizon: Span::secs(30),
        ..Policy::default()
    }
}

fn event(from: i64, to: i64, factor: f64, portions: &[&str]) -> DemandEvent {
    DemandEvent {
        name: "sale".into(),
        window: Window {
            from: now() + Span::secs(from),
            to: now() + Span::secs(to),
        },
        factor,
        portions: portions.iter().map(|p| id(p)).collect(),
    }
}

fn node(name: &str, site: &str) -> Node {
    Node {
        id: NodeId::new(format!("id-{name}")),
        name: name.into(),
        site: site.into(),
        class: "small".into(),
        status: NodeStatus::Ready,
        eligible: true,
        draining: false,
        capacity: Resources::default(),
        clock: Mhz(0.0),
        price: Price(0.0),
        host_volumes: Default::default(),
        meta: Default::default(),
    }
}

fn world() -> World {
    let nodes = vec![node("a-1", "a"), node("a-2", "a"), node("b-1", "b")];
    World {
        nodes: Seen::known(nodes.into(), now()),
        gateways: [("gate".into(), "a".into())].into(),
        ..World::unknown(now(), "not looked yet")
    }
}

fn look(history: &History, policy: &Policy) -> Outlook {
    let calls = Calls::from([(id("web"), vec![id("cart")])]);
    let (beliefs, fits) = (Beliefs::default(), Fits::default());
    outlook(history, &world(), policy, &beliefs, &calls, &fits, now()).0
}

fn mean(o: &Outlook, portion: &str, k: usize) -> f64 {
    o.demand[&id(portion)].points[k].mean.0
}

#[test]
fn an_event_multiplies_the_path_while_it_holds_and_is_named() {
    let plain = look(&history(), &policy());
    let mut policy = policy();
    policy.events.push(event(10, 20, 3.0, &["web"]));
    let o = look(&history(), &policy);
    for k in 0..25 {
        // The k-th point lies k + 1 seconds ahead.
        let times = if (10..20).contains(&(k as i64 + 1)) {
            3.0
        } else {
            1.0
        };
        let (was, is) = (mean(&plain, "web", k), mean(&o, "web", k));
        assert!((is - times * was).abs() < 1e-6 * was, "{k}: {is} for {was}");
    }
    let because = &o.demand[&id("web")].because;
    assert!(
        because.contains("event sale: 3 times that, from in 10 s until in 20 s"),
        "{because}"
    );
}

#[test]
fn what_a_portion_with_an_event_calls_gets_what_follows_from_it() {
    let plain = look(&history(), &policy());
    let mut policy = policy();
    policy.events.push(event(0, 40, 3.0, &["web"]));
    let o = look(&history(), &policy);
    let more = mean(&o, "web", 4) - mean(&plain, "web", 4);
    let followed = mean(&o, "cart", 4) - mean(&plain, "cart", 4);
    assert!((followed / more - 0.5).abs() < 0.02, "{followed} of {more}");
    assert!(o.demand[&id("cart")].components.event > 0.0);
    assert!(
        o.demand[&id("cart")].because.contains("what web has more"),
        "{}",
        o.demand[&id("cart")].because
    );
}

#[test]
fn an_event_of_the_past_is_not_learnt() {
    let (plain, mut past) = (look(&history(), &policy()), history());
    // Yesterday at this time, for a sixth of the day.
    let mut policy = policy();
    policy.events.push(event(-(SEASON as i64), -120, 4.0, &[]));
    for s in past.demand.values_mut() {
        let n = s.values.len() - 1;
        for v in &mut s.values[n - SEASON..n - 120] {
            *v *= 4.0;
        }
    }
    let o = look(&past, &policy);
    for k in 0..30 {
        let (was, is) = (mean(&plain, "web", k), mean(&o, "web", k));
        assert!((is - was).abs() < 1e-6 * was, "{k}: {is} for {was}");
    }
}

#[test]
fn portions_and_sites_add_up_to_the_total_at_every_point() {
    let mut policy = policy();
    policy.events.push(event(5, 15, 2.0, &["web"]));
    let o = look(&history(), &policy);
    let total = o.total.as_ref().expect("two portions have a total");
    assert!(total.points.len() >= 30);
    for k in 0..total.points.len() {
        let portions = mean(&o, "web", k) + mean(&o, "cart", k);
        let sites: f64 = o.sites.values().map(|s| s[k].1.0).sum();
        let total = total.points[k].mean.0;
        assert!(
            (portions - total).abs() < 1e-9 * total,
            "{portions} of {total}"
        );
        assert!((sites - total).abs() < 1e-9 * total, "{sites} of {total}");
    }
}

#[test]
fn a_total_of_which_a_part_is_not_heard_is_not_told() {
    let mut history = history();
    let cart = history.demand.get_mut(&id("cart")).expect("cart");
    cart.values.truncate(PAST - 60);
    let o = look(&history, &policy());
    assert!(o.total.is_none());
    assert!(!o.demand[&id("web")].points.is_empty());
}

#[test]
fn maintenance_is_certain_and_what_falls_in_it_is_no_failure() {
    let mut history = history();
    let fell = |at: i64, up| Availability {
        at: Moment(at * 1000),
        subject: "a-1".into(),
        kind: SubjectKind::Node,
        up,
    };
    history.availability = vec![fell(100, false), fell(200, true)];
    let hazard = |o: &Outlook, name: &str| {
        let found = o.hazards.iter().find(|h| h.name == name);
        found.expect("a hazard of that name").clone()
    };
    let plain = look(&history, &policy());
    let mut policy = policy();
    let window = |from: i64, to: i64| Window {
        from: Moment(from * 1000),
        to: Moment(to * 1000),
    };
    let of = |window: Window, nodes: &[&str], sites: &[&str]| Maintenance {
        name: "rack".into(),
        window,
        nodes: nodes.iter().map(|n| n.to_string()).collect(),
        sites: sites.iter().map(|s| Site::from(*s)).collect(),
    };
    policy.maintenance.push(of(window(90, 210), &[], &["a"]));
    let o = look(&history, &policy);
    assert!(hazard(&o, "a-1").per_hour < hazard(&plain, "a-1").per_hour);
    let soon = now().0 / 1000 + 20;
    policy
        .maintenance
        .push(of(window(soon, soon + 60), &["b-1"], &[]));
    let o = look(&history, &policy);
    assert_eq!(hazard(&o, "b-1").within, Probability(1.0));
    assert!(
        hazard(&o, "b-1")
            .why
            .starts_with("maintenance rack, from in"),
        "{}",
        hazard(&o, "b-1").why
    );
    policy.maintenance[1].window = window(soon + 60, soon + 90);
    let later = look(&history, &policy);
    assert!(
        hazard(&later, "b-1").within.0 < 1.0,
        "not yet within the horizon"
    );
}

#[test]
fn the_links_from_where_clients_are_have_hazards_of_their_own() {
    let mut history = history();
    let cut = |at: i64, up| Availability {
        at: Moment(at * 1000),
        subject: link_name(&"b".into(), &"a".into()),
        kind: SubjectKind::Link,
        up,
    };
    let quiet = look(&history, &policy());
    history.availability = vec![
        cut(100, false),
        cut(130, true),
        cut(400, false),
        cut(420, true),
    ];
    let o = look(&history, &policy());
    let link = |o: &Outlook| {
        let domain = Domain::link(&"a".into(), &"b".into());
        let found = o.hazards.iter().find(|h| h.domain == domain);
        found.expect("the link").clone()
    };
    assert!(link(&o).per_hour > 2.0 * link(&quiet).per_hour);
    let site = |name: &str| Availability {
        subject: name.into(),
        kind: SubjectKind::Site,
        ..cut(99, false)
    };
    history.availability.insert(0, site("b"));
    history.availability.insert(
        2,
        Availability {
            up: true,
            ..site("b")
        },
    );
    history.availability.sort_by_key(|e| e.at);
    let blamed = look(&history, &policy());
    assert!(
        link(&blamed).per_hour < link(&o).per_hour,
        "the site took the link along"
    );
}

#[test]
fn scenarios_are_at_most_64_and_tell_their_error() {
    let o = look(&history(), &policy());
    let s = &o.scenarios;
    assert!(s.list.len() <= 64 && !s.list.is_empty());
    assert!((s.list.iter().map(|s| s.weight).sum::<f64>() - 1.0).abs() < 1e-9);
    // No allocation is seen: nodes change nothing, sites and links do.
    let failed = s.list.iter().flat_map(|s| &s.failed);
    assert!(failed.clone().all(|d| !matches!(d, Domain::Node(_))));
    assert!(failed.clone().any(|d| matches!(d, Domain::Link(..))));
    assert!(s.error < 0.05 && s.left_out < 0.01, "{s:?}");
}
