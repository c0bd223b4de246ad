//! Chooses a face, loads files, starts the engine, drains; no logic.
