//! The same View without a screen: NDJSON, a small HTTP API and exit codes; it holds no state of its own.
