use crate::tui::sample;
use crate::tui::*;

#[test]
fn print_all() {
    for size in [(120, 40), (80, 24), (60, 15), (200, 60)] {
        for screen in state::Screen::ALL {
            if size != (120, 40)
                && !matches!(
                    screen,
                    state::Screen::Overview | state::Screen::Portion | state::Screen::Sites
                )
            {
                continue;
            }
            let name = screen.title();
            println!("== {name} {size:?}");
            println!(
                "{}",
                text(&draw(&sample::shop(), name, size, Options::default()).unwrap())
            );
        }
    }
    std::fs::create_dir_all("/tmp/shots").unwrap();
    for screen in state::Screen::ALL {
        std::fs::write(
            format!("/tmp/shots/{}.svg", screen.title()),
            screenshot(&sample::shop(), screen.title(), (120, 40), Format::Svg).unwrap(),
        )
        .unwrap();
    }
}
