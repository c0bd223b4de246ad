//! How the dashboard looks, and pictures of it.

use super::time;
use clap::{Args, ValueEnum};
use std::time::Duration;

/// What lines are drawn with.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum GlyphKind {
    /// By the locale and the terminal
    #[default]
    Auto,
    Braille,
    Blocks,
    Ascii,
}

#[derive(Args, Debug, Clone, Default)]
pub struct LookArgs {
    /// default (the terminal's own colours), dark, light, deuteranopia, tritanopia, or a file of `bad = "#ff7b85"` lines
    #[arg(long, value_name = "NAME|FILE", env = "FORESHADOW_THEME")]
    pub theme: Option<String>,
    #[arg(long, value_enum, default_value = "auto")]
    pub glyphs: GlyphKind,
    /// Keys of your own: a file of `hold = "ctrl-o f9"` lines, by the words that `?` lists
    #[arg(long, value_name = "FILE", env = "FORESHADOW_KEYS")]
    pub keys: Option<String>,
    /// The mouse works from the start: clicks select and open, the wheel scrolls (m takes it or gives it back)
    #[arg(long)]
    pub mouse: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    Txt,
    Svg,
    Png,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Without --attach or --sandbox a simulated day is played for a while and drawn: the same seed draws the same picture. With --sandbox the real one runs, and what is measured on this machine differs from run to run."
)]
pub struct ScreenshotArgs {
    /// overview, portion, rollout, sites, nodes, shadows, plan, log, replay or help; several with commas between them are drawn
    /// from one run
    #[arg(default_value = "overview", value_delimiter = ',')]
    pub screens: Vec<String>,
    /// Columns and rows
    #[arg(long, default_value = "120x40", value_name = "WIDTHxHEIGHT")]
    pub size: String,
    /// [default: txt, or by the ending of --output]
    #[arg(long, value_enum)]
    pub format: Option<Picture>,
    /// Draw what the foreshadow at this address shows now
    #[arg(long, value_name = "URL", conflicts_with_all = ["sandbox", "after", "seed"])]
    pub attach: Option<String>,
    /// Draw a run of the sandbox with real processes, in real time
    #[arg(long)]
    pub sandbox: bool,
    /// How long the day is played before the picture is taken
    #[arg(long = "after", value_name = "TIME", value_parser = time, default_value = "30s")]
    pub after: Duration,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub looks: LookArgs,
    /// Where to put it; {} in it becomes the screen's name [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub output: Option<String>,
    /// Instead of screens, put plots of all portions there: forecast.svg, profiles.svg and weights.svg
    #[arg(long, value_name = "FOLDER", conflicts_with = "output")]
    pub export: Option<std::path::PathBuf>,
}
