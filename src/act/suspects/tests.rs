use super::*;
use proptest::prelude::*;

fn at(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 80))
}

/// Instance n at site n modulo `sites`.
fn estate(count: u8, sites: u8) -> Aims {
    let site = |n| Site::new(format!("s{}", n % sites));
    (0..count).map(|n| (at(n), site(n))).collect()
}

fn said(gateway: &str, vantage: &str, dead: &[u8]) -> Said {
    Said {
        gateway: gateway.into(),
        vantage: vantage.into(),
        dead: dead.iter().map(|n| at(*n)).collect(),
        times: 1,
    }
}

fn set(all: &[u8]) -> BTreeSet<SocketAddr> {
    all.iter().map(|n| at(*n)).collect()
}

const START: Moment = Moment(0);

/// A book of `here` over so many instances on so many sites, all of them reached, with one other gateway `b` that suspects nobody.
fn book(count: u8, sites: u8) -> Book {
    let mut book = Book::new("here");
    book.aim(&estate(count, sites), START);
    book.heard(vec![(said("b", "there", &[]), 1)], START);
    for n in 0..count {
        answers(&mut book, n, Answer::Open, KNOWN, START);
    }
    book
}

fn answers(book: &mut Book, n: u8, answer: Answer, times: u32, now: Moment) {
    for _ in 0..times {
        book.took(at(n), answer, now);
    }
}

/// `b` says so, in a write that is newer than all before.
fn says(book: &mut Book, dead: &[u8], now: Moment) {
    let index = book.others.values().map(|o| o.index).max().unwrap_or(0) + 1;
    book.heard(vec![(said("b", "there", dead), index)], now);
}

#[test]
fn a_refused_connection_counts_at_once_and_silence_only_three_times_in_a_row() {
    let mut book = book(4, 4);
    answers(&mut book, 0, Answer::Refused, 1, START);
    assert_eq!(book.own(), set(&[0]));
    answers(&mut book, 1, Answer::Silent, 2, START);
    answers(&mut book, 1, Answer::Open, 1, START);
    answers(&mut book, 1, Answer::Silent, 2, START);
    assert_eq!(book.own(), set(&[0]), "an answer between begins anew");
    answers(&mut book, 1, Answer::Silent, 1, START);
    assert_eq!(book.own(), set(&[0, 1]));
}

#[test]
fn what_our_own_machine_could_not_ask_says_nothing() {
    let mut book = book(3, 3);
    answers(&mut book, 0, Answer::Silent, 2, START);
    answers(&mut book, 0, Answer::Unsure, 9, START);
    assert_eq!(book.own(), set(&[]));
    answers(&mut book, 0, Answer::Silent, 1, START);
    assert_eq!(book.own(), set(&[0]));
    for ours in [
        ErrorKind::AddrNotAvailable,
        ErrorKind::PermissionDenied,
        ErrorKind::NetworkUnreachable,
        ErrorKind::Other,
    ] {
        assert_eq!(failed(ours), Answer::Unsure);
    }
    assert_eq!(failed(ErrorKind::ConnectionRefused), Answer::Refused);
    assert_eq!(failed(ErrorKind::HostUnreachable), Answer::Silent);
}

#[test]
fn whoever_never_answered_here_is_not_suspected() {
    let mut book = Book::new("here");
    book.aim(&estate(4, 4), START);
    book.heard(vec![(said("b", "there", &[]), 1)], START);
    answers(&mut book, 0, Answer::Refused, 50, START);
    answers(&mut book, 1, Answer::Open, KNOWN - 1, START);
    answers(&mut book, 1, Answer::Refused, 1, START);
    says(&mut book, &[0, 1], START);
    assert_eq!((book.own(), book.agreed()), (set(&[]), set(&[])));
}

#[test]
fn one_vantage_point_alone_makes_no_suspect_whichever_it_is() {
    let mut ours = book(3, 3);
    answers(&mut ours, 0, Answer::Refused, 100, START);
    assert_eq!((ours.own(), ours.agreed()), (set(&[0]), set(&[])));
    let mut theirs = book(3, 3);
    says(&mut theirs, &[0], START);
    assert_eq!(theirs.agreed(), set(&[]), "it answers here");
    // In either order both make one.
    says(&mut ours, &[0], START);
    answers(&mut theirs, 0, Answer::Refused, 1, START);
    assert_eq!((ours.agreed(), theirs.agreed()), (set(&[0]), set(&[0])));
}

#[test]
fn two_gateways_of_one_process_are_one_vantage_point() {
    let mut book = Book::new("here");
    book.aim(&estate(3, 3), START);
    book.heard(vec![(said("b", "here", &[]), 1)], START);
    assert!(!book.probes(), "nobody could confirm it");
    assert!(book.due(START, 9, || 0.5).is_empty());
    book.heard(vec![(said("c", "there", &[]), 2)], START);
    for n in 0..3 {
        answers(&mut book, n, Answer::Open, KNOWN, START);
    }
    answers(&mut book, 0, Answer::Refused, 1, START);
    let both = vec![(said("b", "here", &[0]), 3), (said("c", "there", &[]), 2)];
    book.heard(both, START);
    assert_eq!(book.agreed(), set(&[]));
}

#[test]
fn what_was_said_before_we_listened_or_long_ago_does_not_count() {
    let mut fresh = Book::new("here");
    fresh.aim(&estate(3, 3), START);
    // Left behind by a gateway that may be gone.
    fresh.heard(vec![(said("b", "there", &[0]), 7)], START);
    answers(&mut fresh, 0, Answer::Open, KNOWN, START);
    answers(&mut fresh, 0, Answer::Refused, 1, START);
    assert_eq!(fresh.agreed(), set(&[]));
    // After a gap in our hearing, and after a store was restored, neither.
    fresh.deaf();
    fresh.heard(vec![(said("b", "there", &[0]), 9)], START);
    fresh.heard(vec![(said("b", "there", &[0]), 4)], START);
    assert_eq!(fresh.agreed(), set(&[]));
    fresh.heard(vec![(said("b", "there", &[0]), 5)], START);
    assert_eq!(fresh.agreed(), set(&[0]), "it lives, and says so again");

    let mut late = book(3, 3);
    says(&mut late, &[0], START);
    answers(&mut late, 0, Answer::Refused, 1, START + FRESH);
    assert_eq!(late.agreed(), set(&[]));
}

#[test]
fn whom_another_gateway_suspects_is_asked_at_once() {
    let mut book = book(3, 3);
    assert_eq!(book.due(START, 9, || 0.5).len(), 3);
    for n in 0..3 {
        answers(&mut book, n, Answer::Open, 1, START);
    }
    let soon = START + Span::millis(5);
    assert!(book.due(soon, 9, || 0.5).is_empty());
    says(&mut book, &[1], soon);
    assert_eq!(book.due(soon, 9, || 0.5), [at(1)]);
}

#[test]
fn most_sites_dying_at_once_are_our_own_blindness_and_change_nothing() {
    let mut book = book(6, 3);
    says(&mut book, &[0, 1, 3, 4], START);
    answers(&mut book, 0, Answer::Refused, 1, START);
    answers(&mut book, 3, Answer::Refused, 1, START);
    assert_eq!(book.agreed(), set(&[0, 3]), "a whole site may die");
    answers(&mut book, 1, Answer::Refused, 1, START);
    assert_eq!(book.own(), set(&[]), "nobody is accused by the blind");
    says(&mut book, &[0, 1, 3, 4], START);
    assert_eq!(book.agreed(), set(&[0, 3]), "nor is anybody cleared");
}

#[test]
fn a_suspect_that_flaps_needs_twice_as_many_good_answers_each_time_until_it_has_stood_for_long() {
    let mut book = book(3, 3);
    let mut took = Vec::new();
    let fall = |book: &mut Book, now| {
        answers(book, 0, Answer::Refused, 1, now);
        says(book, &[0], now);
        assert_eq!(book.agreed(), set(&[0]));
        let mut good = 0;
        while book.agreed() == set(&[0]) {
            answers(book, 0, Answer::Open, 1, now);
            good += 1;
        }
        good
    };
    for _ in 0..8 {
        took.push(fall(&mut book, START));
    }
    assert_eq!(took, [20, 40, 80, 160, 320, 640, 640, 640]);
    assert_eq!(fall(&mut book, START + FORGET), GOOD);
}

#[test]
fn a_suspect_is_cleared_by_its_answers_alone_and_not_by_silence_of_the_other_gateway() {
    let mut book = book(3, 3);
    answers(&mut book, 0, Answer::Refused, 1, START);
    says(&mut book, &[0], START);
    says(&mut book, &[], START);
    book.heard(vec![], START + Span::secs(60));
    assert_eq!(book.agreed(), set(&[0]));
    assert!(book.probes(), "it is asked until it is well");
    answers(&mut book, 0, Answer::Open, GOOD, START);
    assert_eq!(book.agreed(), set(&[]));
    assert!(!book.probes());
}

#[test]
fn the_budget_of_probes_holds_whatever_their_number() {
    for count in [1u8, 50, 100, 200, 250] {
        let mut book = Book::new("here");
        book.aim(&estate(count, 7), START);
        book.heard(vec![(said("b", "there", &[]), 1)], START);
        let mut sent = 0;
        for tick in 0..1_000 {
            let now = START + Span::millis(10 * tick);
            let due = book.due(now, AT_ONCE, || 0.5);
            sent += due.len() as i64;
            for at in due {
                book.took(at, Answer::Open, now);
            }
        }
        // Ten seconds; the first round comes at once.
        let most = 10 * BUDGET + i64::from(count);
        assert!(sent <= most, "{count}: {sent}");
        let wanted = (10 * BUDGET).min(i64::from(count) * 200);
        assert!(sent * 10 >= wanted * 8, "{count}: {sent} of {wanted}");
    }
}

fn target(service: &str, shares: &[(u8, u32)]) -> Target {
    let instance = |(n, percent): &(u8, u32)| Instance {
        alloc: AllocId::new(format!("{n}")),
        address: at(*n).ip().to_string().into(),
        port: at(*n).port(),
        node: "n".into(),
        site: "s".into(),
        health: "/".into(),
        share: Share::percent(*percent),
    };
    Target {
        service: service.into(),
        plan: "p".into(),
        parent: None,
        epoch: Epoch(1),
        owner: Owner::Front,
        instances: shares.iter().map(instance).collect(),
        contingencies: vec![].into(),
        index: 1,
    }
}

#[test]
fn only_whoever_serves_or_would_serve_is_probed_and_only_where_all_its_services_allow_it() {
    let mut web = target("web", &[(0, 100), (1, 0), (2, 0), (3, 0)]);
    web.contingencies = vec![Contingency {
        domain: Domain::Node("n".into()),
        lost: ["0".into()].into(),
        shares: BTreeMap::from([("1".into(), Share::ALL), ("3".into(), Share::NONE)]).into(),
        stake: None,
    }]
    .into();
    let mut named = target("web", &[(4, 100)]);
    named.instances[0].address = "db.example".into();
    let quiet = target("quiet", &[(5, 100)]);
    let all = [web, named, quiet];
    let allowed = BTreeSet::from(["web".into()]);
    let found: BTreeSet<SocketAddr> = aims(all.iter(), &allowed).into_keys().collect();
    assert_eq!(found, set(&[0, 1]));
    let shared = [target("web", &[(6, 100)]), target("quiet", &[(6, 100)])];
    assert!(aims(shared.iter(), &allowed).is_empty());
    let both = BTreeSet::from(["web".into(), "quiet".into()]);
    assert_eq!(aims(shared.iter(), &both).len(), 1);
}

#[derive(Clone, Debug)]
enum Event {
    Took(u8, Answer),
    Says(Vec<u8>),
    Deaf,
    Passes(i64),
}

fn event() -> impl Strategy<Value = Event> {
    let answer = prop_oneof![
        3 => Just(Answer::Open),
        2 => Just(Answer::Refused),
        2 => Just(Answer::Silent),
        1 => Just(Answer::Unsure),
    ];
    prop_oneof![
        8 => (0u8..4, answer).prop_map(|(n, a)| Event::Took(n, a)),
        3 => prop::collection::vec(0u8..4, 0..3).prop_map(Event::Says),
        1 => Just(Event::Deaf),
        1 => (1i64..3_000).prop_map(Event::Passes),
    ]
}

proptest! {
    #[test]
    fn nobody_is_suspected_without_a_recent_word_of_another_and_never_by_a_good_answer(
        events in prop::collection::vec(event(), 1..120),
    ) {
        let mut book = book(4, 4);
        let mut now = START;
        let mut word: BTreeMap<u8, Moment> = BTreeMap::new();
        for event in events {
            let before = book.agreed();
            match event.clone() {
                Event::Took(n, answer) => book.took(at(n), answer, now),
                Event::Says(dead) => {
                    says(&mut book, &dead, now);
                    word.retain(|n, _| dead.contains(n));
                    word.extend(dead.into_iter().map(|n| (n, now)));
                }
                Event::Deaf => book.deaf(),
                Event::Passes(ms) => now = now + Span(ms),
            }
            for n in 0..4u8 {
                let (was, is) = (before.contains(&at(n)), book.agreed().contains(&at(n)));
                if is && !was {
                    let told = word.get(&n).is_some_and(|at| now.since(*at) < FRESH);
                    prop_assert!(told, "{n} by {event:?}");
                    prop_assert!(!book.blind());
                    prop_assert!(!matches!(event, Event::Took(m, Answer::Open) if m == n));
                }
                if was && !is {
                    prop_assert!(matches!(event, Event::Took(m, Answer::Open) if m == n));
                }
            }
            prop_assert!(book.agreed().len() <= 4);
        }
    }
}
