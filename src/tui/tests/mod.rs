//! What an operator sees, and what the keys do.

mod screens;
