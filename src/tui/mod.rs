//! The operator's terminal: state, a pure update, one key table, one file a panel; it sees Views and sends Commands, nothing else.
