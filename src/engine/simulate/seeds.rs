//! Worlds with random faults, and what must hold in them.
