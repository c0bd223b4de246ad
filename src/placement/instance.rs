//! An instance as people write it (JSON), and what may be wrong with it.

use serde::{Deserialize, Serialize};

/// Most resources an instance may have; unused ones are zero everywhere.
pub const MAX_RESOURCES: usize = 4;
/// The format every instance names.
pub const FORMAT: &str = "foreshadow-placement/1";
/// Largest capacity, so that a node's load plus one standby never overflows 32 bits.
pub(crate) const MAX_AMOUNT: i64 = 1 << 29;
/// Largest single cost, so that ten million standbys stay far below 64 bits.
pub(crate) const MAX_COST: i64 = 1 << 36;
/// Most scenarios one instance may have.
pub const MAX_SCENARIOS: usize = 64;
/// Most standbys one portion may want.
const MAX_STANDBYS: i64 = 64;

/// A failure domain: everything in it may be lost at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Domain {
    pub id: String,
    #[serde(default)]
    pub kind: String,
}

/// A node that may hold standbys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: String,
    /// Index into `domains`.
    pub domain: usize,
    /// What the primaries leave, one number a resource.
    pub free: Vec<i64>,
    /// Paid once when the node holds any standby.
    #[serde(default)]
    pub open_cost: i64,
}

/// A portion of a workload whose primary may fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Portion {
    pub id: String,
    /// Standbys wanted.
    pub k: i64,
    #[serde(default)]
    pub primary_node: Option<usize>,
    /// Index into `domains`; no standby may stand there.
    pub primary_domain: usize,
    /// Held by each standby all the time, one number a resource.
    pub reserve: Vec<i64>,
    /// Held by each standby after the primary's domain failed; at least `reserve`.
    pub active: Vec<i64>,
    /// `(node, cost)`: where a standby may stand.
    pub candidates: Vec<(usize, i64)>,
    /// Paid for each missing standby.
    pub unplaced_penalty: i64,
}

/// One instance of format `foreshadow-placement/1`; informative fields are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    pub format: String,
    #[serde(default)]
    pub name: String,
    pub resources: Vec<String>,
    pub domains: Vec<Domain>,
    pub nodes: Vec<Node>,
    pub portions: Vec<Portion>,
}

/// Why an instance cannot be solved as it stands.
#[derive(Debug, thiserror::Error)]
pub enum ProblemError {
    #[error(
        "reading a placement instance: line {line}, column {column}: {source}; see the format {FORMAT}"
    )]
    Json {
        line: usize,
        column: usize,
        #[source]
        source: serde_json::Error,
    },
    #[error("placement instance has format {found:?}, expected {FORMAT:?}; convert it first")]
    Format { found: String },
    #[error(
        "placement instance names {found} resources, expected 1 to {MAX_RESOURCES}; name each of them once"
    )]
    Resources { found: usize },
    #[error("{what} {id:?} occurs twice; give each its own id")]
    Duplicate { what: &'static str, id: String },
    #[error(
        "{what} {id:?}: `{field}` refers to number {index}, but there are only {count}; count from 0"
    )]
    OutOfRange {
        what: &'static str,
        id: String,
        field: &'static str,
        index: usize,
        count: usize,
    },
    #[error(
        "{what} {id:?}: `{field}` has {found} numbers, expected one for each of the {expected} resources"
    )]
    Shape {
        what: &'static str,
        id: String,
        field: &'static str,
        found: usize,
        expected: usize,
    },
    #[error("{what} {id:?}: `{field}` is {value}, expected 0 to {max}; {advice}")]
    Number {
        what: &'static str,
        id: String,
        field: &'static str,
        value: i64,
        max: i64,
        advice: &'static str,
    },
    #[error(
        "portion {id:?}: `active` is below `reserve` for {resource}; a standby never shrinks when it becomes active"
    )]
    Shrinks { id: String, resource: String },
    #[error("portion {id:?} lists node {node} twice among its candidates; keep the cheaper one")]
    TwiceCandidate { id: String, node: usize },
    #[error(
        "placement instance has {found} scenarios, expected at most {MAX_SCENARIOS}; merge alike ones and add their weights"
    )]
    Scenarios { found: usize },
    #[error(
        "scenario {id:?}: `demand_pct` has {found} numbers, expected one for each of the {expected} portions, or none for 100 %"
    )]
    Demand {
        id: String,
        found: usize,
        expected: usize,
    },
}

impl ProblemError {
    pub(crate) fn json(source: serde_json::Error) -> Self {
        Self::Json {
            line: source.line(),
            column: source.column(),
            source,
        }
    }
}

/// # Errors
/// `ProblemError` names the portion or node, the field, and what was expected.
pub(crate) fn validate(instance: &Instance) -> Result<(), ProblemError> {
    if instance.format != FORMAT {
        return Err(ProblemError::Format {
            found: instance.format.clone(),
        });
    }
    let count = instance.resources.len();
    if !(1..=MAX_RESOURCES).contains(&count) {
        return Err(ProblemError::Resources { found: count });
    }
    unique("resource", instance.resources.iter())?;
    unique("domain", instance.domains.iter().map(|d| &d.id))?;
    unique("node", instance.nodes.iter().map(|n| &n.id))?;
    unique("portion", instance.portions.iter().map(|p| &p.id))?;
    for node in &instance.nodes {
        let here = Place {
            what: "node",
            id: &node.id,
        };
        here.index("domain", node.domain, instance.domains.len())?;
        here.resources("free", &node.free, count)?;
        here.number("open_cost", node.open_cost, MAX_COST)?;
    }
    instance
        .portions
        .iter()
        .try_for_each(|portion| validate_portion(instance, portion))
}

fn validate_portion(instance: &Instance, portion: &Portion) -> Result<(), ProblemError> {
    let here = Place {
        what: "portion",
        id: &portion.id,
    };
    here.number("k", portion.k, MAX_STANDBYS)?;
    here.number("unplaced_penalty", portion.unplaced_penalty, MAX_COST)?;
    here.index(
        "primary_domain",
        portion.primary_domain,
        instance.domains.len(),
    )?;
    if let Some(node) = portion.primary_node {
        here.index("primary_node", node, instance.nodes.len())?;
    }
    here.resources("reserve", &portion.reserve, instance.resources.len())?;
    here.resources("active", &portion.active, instance.resources.len())?;
    for (r, resource) in instance.resources.iter().enumerate() {
        if portion.active[r] < portion.reserve[r] {
            return Err(ProblemError::Shrinks {
                id: portion.id.clone(),
                resource: resource.clone(),
            });
        }
    }
    let mut seen = std::collections::HashSet::new();
    for &(node, cost) in &portion.candidates {
        here.index("candidates", node, instance.nodes.len())?;
        here.number("candidates", cost, MAX_COST)?;
        if !seen.insert(node) {
            return Err(ProblemError::TwiceCandidate {
                id: portion.id.clone(),
                node,
            });
        }
    }
    Ok(())
}

pub(crate) fn unique<'a>(
    what: &'static str,
    ids: impl Iterator<Item = &'a String>,
) -> Result<(), ProblemError> {
    let mut seen = std::collections::HashSet::new();
    for id in ids {
        if !seen.insert(id) {
            return Err(ProblemError::Duplicate {
                what,
                id: id.clone(),
            });
        }
    }
    Ok(())
}

/// The thing whose fields are being checked.
pub(crate) struct Place<'a> {
    pub(crate) what: &'static str,
    pub(crate) id: &'a str,
}

impl Place<'_> {
    pub(crate) fn index(
        &self,
        field: &'static str,
        index: usize,
        count: usize,
    ) -> Result<(), ProblemError> {
        if index < count {
            return Ok(());
        }
        let (what, id) = (self.what, self.id.to_owned());
        Err(ProblemError::OutOfRange {
            what,
            id,
            field,
            index,
            count,
        })
    }

    fn resources(
        &self,
        field: &'static str,
        found: &[i64],
        expected: usize,
    ) -> Result<(), ProblemError> {
        if found.len() != expected {
            let (what, id, found) = (self.what, self.id.to_owned(), found.len());
            return Err(ProblemError::Shape {
                what,
                id,
                field,
                found,
                expected,
            });
        }
        found
            .iter()
            .try_for_each(|&value| self.number(field, value, MAX_AMOUNT))
    }

    pub(crate) fn number(
        &self,
        field: &'static str,
        value: i64,
        max: i64,
    ) -> Result<(), ProblemError> {
        if (0..=max).contains(&value) {
            return Ok(());
        }
        let advice = if value < 0 {
            "negative amounts have no meaning"
        } else {
            "use a larger unit"
        };
        Err(ProblemError::Number {
            what: self.what,
            id: self.id.to_owned(),
            field,
            value,
            max,
            advice,
        })
    }
}
