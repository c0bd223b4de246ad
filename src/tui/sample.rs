//! A view for tests and benchmarks that looks like the shop estate mid-incident: a surge that was foreseen, and edge-b just cut off.

mod estate;
mod past;
mod portions;

use crate::engine::view::*;
use crate::model::*;
use estate::*;
use portions::portions;

/// Thursday, 07:42:10.
pub const NOW: Moment = Moment(1_780_000_000_000 - 1_780_000_000_000 % 86_400_000 + 27_730_000);

/// The shop estate, 6 s after edge-b was cut off.
pub fn shop() -> View {
    let mut portions = portions();
    past::moved(&mut portions);
    let waiting = |what: &str, why: &str| {
        Shared::new(Waiting {
            what: what.into(),
            why: why.into(),
        })
    };
    let view = View {
        at: NOW,
        cycle: 812,
        mode: Mode::Act,
        leader: "edge-a".into(),
        epoch: Epoch(17),
        sites: sites().into(),
        links: links(),
        nodes: nodes(&portions).into(),
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
        hazards: vec![
            hazard(
                "edge-b",
                0.31,
                "2 failures in the last 6 h, 9 min to repair",
            ),
            hazard("edge-a", 0.04, "no failure in 12 days; the edge's own rate"),
        ]
        .into(),
        outlook: outlook().into_iter().map(Shared::new).collect(),
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
            ..Tally::default()
        },
        coverage_80: Some(0.81),
        reaction_ms: vec![212.0, 240.0],
        reactions: vec![ReactionCount {
            up_to_ms: Some(250.0),
            count: 2,
            sum_ms: 452.0,
        }],
        portions: portions.into_iter().map(Shared::new).collect(),
        ..View::default()
    };
    View {
        pages: past::pages(&view),
        ..view
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
    let sites = many(&view.sites, rows, |s, k| {
        s.site = Site::new(format!("{}-{k:04}", s.site))
    });
    view.sites = sites.into();
    let nodes = many(&view.nodes, rows, |n, k| {
        n.id = NodeId::new(format!("n-{k:04}"));
        n.name = format!("{}-{k:04}", n.name).into();
    });
    view.nodes = nodes.into();
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
    view.pages = many(&view.pages, rows, |p, k| {
        let page = std::sync::Arc::make_mut(p);
        (page.cycle, page.at) = (k as u64, NOW - Span::secs((rows - k) as i64));
    });
    view
}
