//! An instance as people write it (`Instance`, JSON) and as the search reads it (`Problem`, flat arrays).

use serde::{Deserialize, Serialize};

/// Most resources an instance may have; unused ones are zero everywhere.
pub const MAX_RESOURCES: usize = 4;
/// The format every instance names.
pub const FORMAT: &str = "foreshadow-placement/1";
/// Largest capacity, so that a node's load plus one standby never overflows 32 bits.
const MAX_AMOUNT: i64 = 1 << 29;
/// Largest single cost, so that ten million standbys stay far below 64 bits.
pub(crate) const MAX_COST: i64 = 1 << 36;
/// Most standbys one portion may want.
const MAX_STANDBYS: i64 = 64;

/// Amounts of up to four resources, in the instance's units.
pub(crate) type Amounts = [i32; MAX_RESOURCES];

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
}

/// A validated instance in flat arrays. Candidates that can never be used (the primary's own domain, or a node too small
/// for the standby alone) are left out of the arrays, but stay in `instance` for explanations.
#[derive(Clone, Debug)]
pub struct Problem {
    pub(crate) instance: Instance,
    pub(crate) domains: usize,
    pub(crate) node_domain: Vec<u32>,
    pub(crate) free: Vec<Amounts>,
    pub(crate) open_cost: Vec<i64>,
    pub(crate) home: Vec<u32>,
    pub(crate) reserve: Vec<Amounts>,
    pub(crate) surge: Vec<Amounts>,
    pub(crate) penalty: Vec<i64>,
    /// Candidates of portion i: `candidate_start[i]..candidate_start[i + 1]`, cheapest first.
    pub(crate) candidate_start: Vec<u32>,
    pub(crate) candidate_node: Vec<u32>,
    pub(crate) candidate_portion: Vec<u32>,
    pub(crate) candidate_cost: Vec<i64>,
    /// Candidates of portion i in the order of their nodes, at the same offsets.
    pub(crate) by_node: Vec<u32>,
    /// Candidates that lie on node j: `visitor_start[j]..visitor_start[j + 1]`.
    pub(crate) visitor_start: Vec<u32>,
    pub(crate) visitors: Vec<u32>,
    /// Slots (wanted standbys) of portion i: `slot_start[i]..slot_start[i + 1]`.
    pub(crate) slot_start: Vec<u32>,
    pub(crate) slot_portion: Vec<u32>,
}

impl Problem {
    /// Parses and validates the JSON of one instance.
    ///
    /// # Errors
    /// `ProblemError` names the portion or node, the field, and what was expected.
    pub fn from_json(text: &str) -> Result<Self, ProblemError> {
        let instance: Instance =
            serde_json::from_str(text).map_err(|source| ProblemError::Json {
                line: source.line(),
                column: source.column(),
                source,
            })?;
        Self::new(instance)
    }

    /// Validates an instance and lays it out for the search.
    ///
    /// # Errors
    /// `ProblemError` names the portion or node, the field, and what was expected. An instance whose standbys do not fit
    /// is no error: its answer says what is unplaced.
    pub fn new(instance: Instance) -> Result<Self, ProblemError> {
        validate(&instance)?;
        let mut problem = Self::nodes_of(instance);
        problem.lay_out_portions();
        problem.lay_out_visitors();
        Ok(problem)
    }

    /// The instance this was made from.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Number of portions.
    pub fn portions(&self) -> usize {
        self.home.len()
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.node_domain.len()
    }

    /// Number of wanted standbys over all portions.
    pub fn wanted(&self) -> usize {
        self.slot_portion.len()
    }

    #[inline]
    pub(crate) fn candidates(&self, portion: usize) -> std::ops::Range<usize> {
        self.candidate_start[portion] as usize..self.candidate_start[portion + 1] as usize
    }

    #[inline]
    pub(crate) fn slots(&self, portion: usize) -> std::ops::Range<usize> {
        self.slot_start[portion] as usize..self.slot_start[portion + 1] as usize
    }

    #[inline]
    pub(crate) fn visitors(&self, node: usize) -> &[u32] {
        &self.visitors[self.visitor_start[node] as usize..self.visitor_start[node + 1] as usize]
    }

    /// The candidate of `portion` on `node`, if it may stand there.
    #[inline]
    pub(crate) fn candidate_on(&self, portion: usize, node: usize) -> Option<usize> {
        let row = &self.by_node[self.candidates(portion)];
        row.binary_search_by_key(&(node as u32), |&c| self.candidate_node[c as usize])
            .ok()
            .map(|at| row[at] as usize)
    }

    fn nodes_of(instance: Instance) -> Self {
        Self {
            domains: instance.domains.len(),
            node_domain: instance.nodes.iter().map(|n| n.domain as u32).collect(),
            free: instance.nodes.iter().map(|n| amounts(&n.free)).collect(),
            open_cost: instance.nodes.iter().map(|n| n.open_cost).collect(),
            home: instance
                .portions
                .iter()
                .map(|p| p.primary_domain as u32)
                .collect(),
            reserve: instance
                .portions
                .iter()
                .map(|p| amounts(&p.reserve))
                .collect(),
            surge: Vec::with_capacity(instance.portions.len()),
            penalty: instance
                .portions
                .iter()
                .map(|p| p.unplaced_penalty)
                .collect(),
            candidate_start: vec![0],
            candidate_node: Vec::new(),
            candidate_portion: Vec::new(),
            candidate_cost: Vec::new(),
            by_node: Vec::new(),
            visitor_start: Vec::new(),
            visitors: Vec::new(),
            slot_start: vec![0],
            slot_portion: Vec::new(),
            instance,
        }
    }

    fn lay_out_portions(&mut self) {
        for (i, portion) in self.instance.portions.iter().enumerate() {
            let active = amounts(&portion.active);
            let mut row: Vec<(i64, u32)> = portion
                .candidates
                .iter()
                .filter(|&&(node, _)| {
                    self.node_domain[node] != self.home[i] && within(&active, &self.free[node])
                })
                .map(|&(node, cost)| (cost, node as u32))
                .collect();
            row.sort_unstable();
            let first = self.candidate_node.len() as u32;
            for &(cost, node) in &row {
                self.candidate_node.push(node);
                self.candidate_portion.push(i as u32);
                self.candidate_cost.push(cost);
            }
            let mut order: Vec<u32> = (first..first + row.len() as u32).collect();
            order.sort_unstable_by_key(|&c| self.candidate_node[c as usize]);
            self.by_node.extend(order);
            self.candidate_start.push(self.candidate_node.len() as u32);
            self.surge
                .push(std::array::from_fn(|r| active[r] - self.reserve[i][r]));
            self.slot_portion
                .extend(std::iter::repeat_n(i as u32, portion.k as usize));
            self.slot_start.push(self.slot_portion.len() as u32);
        }
    }

    fn lay_out_visitors(&mut self) {
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); self.nodes()];
        for (c, &node) in self.candidate_node.iter().enumerate() {
            rows[node as usize].push(c as u32);
        }
        self.visitor_start.push(0);
        for row in rows {
            self.visitors.extend(row);
            self.visitor_start.push(self.visitors.len() as u32);
        }
    }
}

/// Whether every amount of `what` is at most that of `of`.
pub(crate) fn within(what: &Amounts, of: &Amounts) -> bool {
    what.iter().zip(of).all(|(a, b)| a <= b)
}

fn amounts(of: &[i64]) -> Amounts {
    std::array::from_fn(|r| of.get(r).map_or(0, |&a| a as i32))
}

fn validate(instance: &Instance) -> Result<(), ProblemError> {
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

fn unique<'a>(
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
struct Place<'a> {
    what: &'static str,
    id: &'a str,
}

impl Place<'_> {
    fn index(&self, field: &'static str, index: usize, count: usize) -> Result<(), ProblemError> {
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

    fn number(&self, field: &'static str, value: i64, max: i64) -> Result<(), ProblemError> {
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
