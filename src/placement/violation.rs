//! What is wrong with an assignment.

use crate::model::counted;

/// The rule that an assignment breaks.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Violation {
    #[error(
        "placement has standbys for {found} portions, expected {expected}; give one list for each portion"
    )]
    Length { found: usize, expected: usize },
    #[error(
        "portion {portion:?} has {}, but wants {wanted}; remove some",
        counted(found, "standby")
    )]
    TooMany {
        portion: String,
        found: usize,
        wanted: i64,
    },
    #[error("portion {portion:?} may not stand on node {node}; choose one of its candidates")]
    NotCandidate { portion: String, node: usize },
    #[error(
        "portion {portion:?} has two standbys in one failure domain, or one beside its primary; spread them"
    )]
    SharedDomain { portion: String },
    #[error(
        "node {node:?} needs {needed} {resource} if {failed:?} fails, but has {free}; move a standby away"
    )]
    Overload {
        node: String,
        resource: String,
        failed: String,
        needed: i64,
        free: i64,
    },
    #[error(
        "shared capacity {shared:?} needs {needed} {unit} if {failed:?} fails, but has {free}; move a standby that uses it, or raise it"
    )]
    Overdrawn {
        shared: String,
        unit: String,
        failed: String,
        needed: i64,
        free: i64,
    },
}
