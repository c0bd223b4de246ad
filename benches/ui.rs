//! What a frame costs: every screen over 5,000 portions, 10,000 nodes and 5,000 of everything else, at 200×60.
//!
//! `cargo bench --bench ui` measures a key and its frame (what an operator waits for), and prints each as a part of the 4 ms
//! that a frame may take; taking in a view that has not changed is the baseline.

use criterion::Criterion;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use foreshadow::engine::View;
use foreshadow::tui::render::render;
use foreshadow::tui::sample;
use foreshadow::tui::state::{Options, Place, Screen, State};
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
    Arc::new(view)
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
            b.iter(|| {
                let state = std::hint::black_box(state.clone());
                let (state, _) = update(state, key(KeyCode::Char('j')));
                buffer.reset();
                render(&state, area, &mut buffer);
                black_box(&buffer);
            });
        });
    }
    let state = State::new(Options::default(), Arc::clone(&view), (200, 60));
    group.bench_function("baseline: a view that is the same", |b| {
        b.iter(|| update(black_box(state.clone()), Event::View(Arc::clone(&view))));
    });
    group.finish();
    budget(&view, area);
    criterion.final_summary();
}

/// Each screen's frame alone, as a part of what it may take: the median of some.
fn budget(view: &Arc<View>, area: Rect) {
    for screen in Screen::ALL {
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
            "a frame of {:<9} {ms:6.2} ms, {:.2} of the {FRAME} ms it may take",
            screen.title(),
            ms / FRAME
        );
    }
}
