//! Turns replies into a `World` in which every value has its age and unknowns stay unknown; it may not guess.
