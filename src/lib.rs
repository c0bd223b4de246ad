//! foreshadow acts before the need: it shadows, profiles, forecasts, places, pre-allocates and switches.

pub mod act;
pub mod cli;
pub mod clients;
pub mod engine;
pub mod forecast;
pub mod guard;
pub mod headless;
pub mod learn;
pub mod load;
pub mod model;
pub mod observe;
pub mod placement;
pub mod planner;
pub mod sandbox;
pub mod settings;
pub mod store;
pub mod tui;
