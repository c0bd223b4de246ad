//! What will demand and disruption be? Pure functions from history to an outlook; no IO, no clock, no dice of its own.
