//! Themes: what can be read and told apart.

use super::screens::on;
use super::*;
use crate::tui::look::Tone;
use crate::tui::sample;
use crate::tui::screen::Screen;
use ratatui::style::Color;

/// Every tone, so that a theme's test misses none.
const TONES: [Tone; 10] = [
    Tone::Plain,
    Tone::Strong,
    Tone::Dim,
    Tone::Accent,
    Tone::Good,
    Tone::Watch,
    Tone::Moving,
    Tone::Warn,
    Tone::Bad,
    Tone::Foreseen,
];

#[test]
fn every_theme_can_be_read_on_its_ground_and_under_the_cursor() {
    use crate::tui::theme::{NAMES, Theme};
    for name in NAMES {
        let theme = Theme::named(name).unwrap();
        assert_eq!(theme.faint(), None, "{name}");
        assert_eq!(theme.ground.is_none(), name == "default");
    }
}

/// A colour as eyes without one kind of cone see it (Machado, Oliveira, Fernandes: A physiologically-based model, 2009).
fn without_cone(colour: Color, kind: [[f64; 3]; 3]) -> [f64; 3] {
    let Color::Rgb(r, g, b) = colour else {
        panic!("a theme's colours are its own");
    };
    let light = [r, g, b].map(crate::tui::theme::linear);
    kind.map(|row| row.iter().zip(light).map(|(k, c)| k * c).sum())
}

#[test]
fn good_watch_moving_and_bad_differ_to_those_a_theme_is_made_for() {
    use crate::tui::theme::Theme;
    let deuteranopia = [
        [0.367_322, 0.860_646, -0.227_968],
        [0.280_085, 0.672_501, 0.047_413],
        [-0.011_820, 0.042_940, 0.968_881],
    ];
    let tritanopia = [
        [1.255_528, -0.076_749, -0.178_779],
        [-0.078_411, 0.930_809, 0.147_602],
        [0.004_733, 0.691_367, 0.303_900],
    ];
    let least = |name: &str, kind| {
        let theme = Theme::named(name).unwrap();
        let of = |tone: Tone| without_cone(theme.tones[tone as usize], kind);
        let states = [Tone::Good, Tone::Moving, Tone::Bad];
        let mut least = f64::INFINITY;
        for (k, a) in states.iter().enumerate() {
            for b in &states[k + 1..] {
                let off: f64 = of(*a)
                    .iter()
                    .zip(of(*b))
                    .map(|(x, y)| (x - y).powi(2))
                    .sum();
                least = least.min(off.sqrt());
            }
        }
        least
    };
    // Green and red of the dark theme are what such eyes mix up; it is the measure of what is too near.
    for (name, kind) in [("deuteranopia", deuteranopia), ("tritanopia", tritanopia)] {
        assert!(least(name, kind) > 0.3, "{name}: {}", least(name, kind));
    }
    assert!(least("deuteranopia", deuteranopia) > 1.3 * least("dark", deuteranopia));
}

#[test]
fn a_theme_colours_every_cell_and_every_tone() {
    use crate::tui::theme::Theme;
    let mut options = Options::default();
    options.look.theme = Theme::named("light").unwrap();
    let ground = options.look.theme.ground.map(|g| g.0);
    for tone in TONES {
        assert!(options.look.style(tone).fg.is_some());
    }
    for screen in Screen::ALL {
        let (state, _) = typed(on(sample::shop(), screen, options.clone()), ":s");
        let terminal = shown(&state, (120, 40));
        let bare = |c: &&ratatui::buffer::Cell| c.bg == Color::Reset;
        assert_eq!(terminal.backend().buffer().content.iter().find(bare), None);
        let most = terminal.backend().buffer().content.iter();
        assert!(most.filter(|c| Some(c.bg) == ground).count() > 2_400);
    }
}
