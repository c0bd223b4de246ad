//! Turns a world and an outlook into an immutable list of steps with reasons, and says why the others must wait; it may do nothing itself.
