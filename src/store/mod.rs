//! History, profiles, events and the journal on SQLite; it remembers, and never interprets.
