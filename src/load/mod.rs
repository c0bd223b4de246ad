//! The open-loop load generator and the clients that honour SRV weights; it drives load and measures, it does not judge.
