use super::*;
use crate::engine::command::tests::state;
use crate::engine::view::Mode;
use crate::engine::{clock, cycle};
use crate::planner::book::Fall;

const NOW: Moment = Moment(50_000);

/// A turn over a world of which nothing is known.
fn turned(state: State, at: Moment) -> (State, View) {
    let mut world = World::unknown(at, "nobody looked");
    world.hold = Seen::known(false, at);
    let (state, _, mut view) = cycle(state, &world, at, &mut clock::dice(1));
    view.epoch = state.epoch.unwrap_or_default();
    (state, view)
}

fn leader() -> (State, View) {
    let mut state = state();
    state.epoch = Some(Epoch(7));
    state.pins.insert("web".into(), "ann".into());
    let book = &mut state.workloads[0].book;
    book.asked.insert("web".into(), "edge-b".into());
    book.retreats.insert("shop-web".into(), (NOW, 2));
    book.node_falls.insert("n1".into(), Fall::default());
    book.spent.at = NOW;
    turned(state, NOW)
}

fn heard(view: &View, state: &State, read: Moment) -> Heard {
    Heard {
        bulletin: Arc::new(Bulletin::of(state, view)),
        since: NOW,
        read,
        deaf: None,
    }
}

#[test]
fn a_follower_shows_what_the_leader_decides_and_says_whose_word_it_is_and_how_old() {
    let (leads, mut told) = leader();
    told.waiting.push(Shared::new(Waiting {
        what: "a switch of web".into(),
        why: "edge-b is down".into(),
    }));
    told.portions[0].sentence = "told by the leader".into();
    let heard = heard(&told, &leads, NOW + Span::secs(3));
    let (_, mut view) = turned(state(), NOW + Span::secs(5));
    view.leader = "edge-a (pid 1)".into();
    follow(&mut view, &heard);
    assert_eq!(view.portions[0].sentence, "told by the leader");
    assert_eq!(view.portions[0].pinned.as_deref(), Some("ann"));
    assert_eq!((&view.waiting, &view.steps), (&told.waiting, &told.steps));
    let following = view.following.unwrap();
    assert_eq!(
        (following.leader.as_str(), following.epoch),
        ("edge-a (pid 1)", Epoch(7))
    );
    assert_eq!((following.at, following.age), (NOW, Span::secs(5)));
    assert_eq!((following.read, following.deaf), (Span::secs(2), None));
    assert_eq!(view.cycle, 1, "its own eyes stay its own");
}

#[test]
fn who_is_cut_off_says_since_when_and_shows_its_own_eyes_again() {
    let (leads, mut told) = leader();
    told.portions[0].sentence = "told by the leader".into();
    let mut heard = heard(&told, &leads, NOW);
    heard.deaf = Some("no route".into());
    let (_, own) = turned(state(), NOW + planner::FRESH);
    let mut view = own.clone();
    follow(&mut view, &heard);
    assert_eq!(
        view.portions[0].sentence, "told by the leader",
        "as fresh as a reading may be"
    );
    let (_, own) = turned(state(), NOW + planner::FRESH + Span::secs(1));
    let mut view = own.clone();
    follow(&mut view, &heard);
    assert_eq!(view.portions, own.portions);
    let blind = "the leader's plan: last read 16 s ago: no route";
    assert!(view.blind.contains(&blind.to_string()), "{:?}", view.blind);
    assert_eq!(view.following.unwrap().deaf.as_deref(), Some("no route"));
}

#[test]
fn a_new_leader_goes_on_from_the_last_ones_memory_where_its_own_says_nothing() {
    let (mut leads, view) = leader();
    let asked = crate::engine::Command::Freeze { minutes: 30 };
    crate::engine::ask(&mut leads, asked, NOW);
    let bytes = Bulletin::of(&leads, &view).packed(usize::MAX).unwrap();
    let last: Bulletin = pack::unpack(&bytes).unwrap();
    let mut next = state();
    next.workloads[0]
        .book
        .retreats
        .insert("shop-web".into(), (NOW + Span::secs(1), 5));
    let text = succeed(&mut next, &last, NOW).unwrap();
    assert!(
        text.starts_with("5 entries of the book of the leader of epoch 7"),
        "{text}"
    );
    assert_eq!(
        next.pins.get(&PortionId::from("web")).map(String::as_str),
        Some("ann")
    );
    let (own, theirs) = (&next.workloads[0], &leads.workloads[0]);
    assert_eq!(own.policy.freezes, theirs.policy.freezes);
    assert_eq!(own.book.asked, theirs.book.asked);
    assert_eq!(own.book.node_falls, theirs.book.node_falls);
    assert_eq!(
        own.book.retreats[&ServiceName::from("shop-web")].1,
        5,
        "its own is newer"
    );
    assert_eq!(succeed(&mut next, &last, NOW), None, "once");
    let later = NOW + Span::secs(3_600);
    let mut late = state();
    succeed(&mut late, &last, later);
    assert!(
        late.workloads[0].policy.freezes.is_empty(),
        "it has ended by then"
    );
}

#[test]
fn a_portion_that_no_policy_names_is_not_pinned() {
    let (mut leads, view) = leader();
    leads.pins.insert("gone".into(), "ann".into());
    let mut next = state();
    succeed(&mut next, &Bulletin::of(&leads, &view), NOW);
    assert_eq!(next.pins.len(), 1, "{:?}", next.pins);
}

#[test]
fn a_bulletin_that_differs_in_figures_alone_says_the_same() {
    let (state, view) = leader();
    let one = Bulletin::of(&state, &view);
    let (state, later) = turned(state, NOW + Span::secs(12));
    let mut two = Bulletin::of(&state, &later);
    two.log.clone_from(&one.log);
    assert_ne!(one, two);
    assert_eq!(one.matter(), two.matter());
    two.pins.insert("cart".into(), "bob".into());
    assert_ne!(one.matter(), two.matter());
}

#[test]
fn a_bulletin_that_is_too_large_goes_without_its_log() {
    let (state, mut view) = leader();
    view.mode = Mode::Act;
    let whole = Bulletin::of(&state, &view);
    assert!(!whole.log.is_empty());
    let bytes = whole.packed(0).unwrap();
    let small: Bulletin = pack::unpack(&bytes).unwrap();
    assert_eq!(
        small,
        Bulletin {
            log: Vec::new(),
            ..whole
        }
    );
}
