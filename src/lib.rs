//! foreshadow acts before the need: it shadows, profiles, forecasts, places, pre-allocates and switches, beside Nomad and Consul.
//!
//! Its core is a pure function turned by a small loop:
//!
//! ```text
//!  policies/*.hcl (what people want)
//!                 │ settings
//!  Nomad ─┐       ▼
//!  Consul ┼▶ observe ─▶ forecast ─▶ planner ─▶ guard ─▶ act ─▶ Nomad, Consul
//!  DNS ───┘   World      Outlook      Plan     Cleared   │
//!                 ▲         ▲          ▲                 │ Outcome
//!                 └──────── learn ─────┴─────────────────┘
//!                          Beliefs
//!
//!   faces    cli · tui · headless        look at the engine's View, send it Commands
//!   wheel    engine                      owns the only clock and the only dice
//!   hands    act · load · sandbox        touch the world, and only with a `Cleared` step and a lease
//!   senses   observe · clients · store   turn replies into a World, with ages and unknowns
//!   mind     forecast · placement · planner · guard · learn     pure: no IO, no clock, no dice
//!   nouns    model                       ids, units, World, Outlook, Plan, Step, Policy, Profile, Outcome
//! ```
//!
//! One turn is [`engine::cycle`]: a state, a world, a moment and dice go in; a state, cleared steps and a view come out.
//! Only [`guard`] makes a [`guard::Cleared`], and no hand takes anything else. What a room may import is a table that
//! `tests/rooms.rs` holds.

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
