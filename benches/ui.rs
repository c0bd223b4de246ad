//! What a frame costs: every screen over 5,000 portions, 10,000 nodes and 5,000 of everything else, at 200×60.
//!
//! `cargo bench --bench ui` measures a key and its frame (what an operator waits for), and prints each as a part of the 4 ms
//! that a frame may take; taking in a view that has not changed is the baseline.

use criterion::{BatchSize, Criterion};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use foreshadow::engine::View;
use foreshadow::model::Link;
use foreshadow::tui::render::render;
use foreshadow::tui::sample;
use foreshadow::tui::screen::{Place, Screen};
use foreshadow::tui::state::{Options, State};
use foreshadow::tui::update::{Event, update};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::hint::black_box;
use std::sync::Arc;

const PORTIONS: usize = 5_000;
const NODES: usize = 10_000;
/// What a frame may take, in ms.
const FRAME: f64 = 4.0;

fn busy(portions: usize) -> Arc<View> {
    let mut view = sample::crowd(portions);
    let nodes = view.nodes.clone();
    for k in nodes.len()..portions * NODES / PORTIONS {
        let mut node = nodes[k % nodes.len()].clone();
        node.id = format!("m-{k:05}").as_str().into();
        view.nodes.push(node);
    }
    // Each site has a link to the one before it.
    let links = view.sites.windows(2).map(|pair| Link {
        from: pair[0].site.clone(),
        to: pair[1].site.clone(),
        ..view.links[0].clone()
    });
    view.links = links.collect();
    Arc::new(view)
}

/// As many portions on the four sites of the sample: the map is drawn.
fn few_sites(view: &View) -> Arc<View> {
    let shop = sample::shop();
    Arc::new(View {
        sites: shop.sites,
        links: shop.links,
        ..view.clone()
    })
}

fn key(code: KeyCode) -> Event {
    Event::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    // `cargo test` runs benches once, unoptimised, to see that they work.
    let portions = match std::env::args().any(|a| a == "--bench") {
        true => PORTIONS,
        false => 100,
    };
    let view = busy(portions);
    let area = Rect::new(0, 0, 200, 60);
    let mut group = criterion.benchmark_group("ui");
    for screen in Screen::ALL {
        let mut state = State::new(Options::default(), Arc::clone(&view), (200, 60));
        state.trail.push(Place::of(screen));
        let mut buffer = Buffer::empty(area);
        let name = format!("key and frame, {}", screen.title());
        group.bench_function(name, |b| {
            let press = |state| {
                let (state, _) = update(state, key(KeyCode::Char('j')));
                buffer.reset();
                render(&state, area, &mut buffer);
                // The state is let go of after the clock has stopped.
                state
            };
            b.iter_batched(|| state.clone(), press, BatchSize::LargeInput);
        });
    }
    let state = State::new(Options::default(), Arc::clone(&view), (200, 60));
    group.bench_function("baseline: a view that is the same", |b| {
        b.iter(|| update(black_box(state.clone()), Event::View(Arc::clone(&view))));
    });
    group.finish();
    for screen in Screen::ALL {
        budget(&view, screen, screen.title(), area);
    }
    budget(&few_sites(&view), Screen::Sites, "the map", area);
    criterion.final_summary();
}

/// A screen's frame alone, as a part of what it may take: the median of some.
fn budget(view: &Arc<View>, screen: Screen, name: &str, area: Rect) {
    let mut state = State::new(Options::default(), Arc::clone(view), (200, 60));
    state.trail.push(Place::of(screen));
    let mut buffer = Buffer::empty(area);
    let mut took: Vec<f64> = (0..21)
        .map(|_| {
            let watch = foreshadow::engine::clock::Stopwatch::start();
            buffer.reset();
            render(&state, area, &mut buffer);
            watch.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    took.sort_by(f64::total_cmp);
    let ms = took[took.len() / 2];
    println!(
        "a frame of {name:<9} {ms:6.2} ms, {:.2} of the {FRAME} ms it may take",
        ms / FRAME
    );
}
