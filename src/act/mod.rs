//! Carries out `Cleared` steps: lease, journal, one effect, verify; it has no choices of its own.

pub mod entries;
