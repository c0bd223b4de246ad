//! Turns the wheel: see, foresee, plan, clear, act, learn. Owns the only clock and the only dice.

mod absorb;
pub mod clock;
mod command;
mod cycle;
mod fights;
mod foresee;
pub mod house;
mod interference;
mod journal;
mod know;
mod links;
mod measure;
mod notice;
mod picture;
pub mod pledges;
mod recall;
mod recover;
mod rules;
pub mod run;
mod settling;
pub mod simulate;
pub mod startup;
pub mod state;
mod turn;
pub mod view;
mod writes;

pub use crate::guard::Writes;
pub use absorb::absorb;
pub use command::{ask, preview};
pub use cycle::cycle;
pub use recover::{inherited, recover};
pub use rules::{Changed, Rules, adopt};
pub use run::{Shell, run};
pub use settling::Settling;
pub use state::{State, Workload};
pub use view::{Command, View};
