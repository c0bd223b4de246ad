//! Judges shadow runs, builds profiles and scores forecasts: outcomes in, beliefs out; it changes nothing in the world.
