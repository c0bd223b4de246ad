mod access;
mod answers;
mod faults;
mod metrics;
mod reading;
mod recorded;
