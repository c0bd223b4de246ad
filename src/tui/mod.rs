//! The operator's terminal: state, a pure update, one key table, one file a panel; it sees Views and sends Commands, nothing else.

pub mod acts;
pub mod keys;
pub mod look;
mod mouse;
pub mod overlay;
mod paint;
pub mod png;
mod press;
pub mod render;
pub mod rows;
mod run;
pub mod screen;
mod screenshot;
pub mod state;
pub mod svg;
pub mod theme;
pub mod update;

#[doc(hidden)]
pub mod sample;
#[cfg(test)]
mod tests;

pub use run::run;
pub use screenshot::{Format, ScreenshotError, draw, screenshot, text};
pub use state::Options;
