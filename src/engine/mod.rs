//! Turns the wheel: see, foresee, plan, clear, act, learn. Owns the only clock and the only dice.

pub mod view;

pub use view::{Command, View};
