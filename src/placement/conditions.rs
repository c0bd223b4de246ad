//! What an instance may say beyond the shared format: capacities that nodes share, and futures with the price of their risk.

use serde::{Deserialize, Serialize};

use super::instance::{Instance, MAX_AMOUNT, MAX_COST, MAX_SCENARIOS, Place, ProblemError, unique};

/// Largest demand of a portion in a scenario, in percent of `active`.
const MAX_DEMAND_PCT: i64 = 10_000;
/// The whole, in basis points.
pub(crate) const WHOLE_BP: i64 = 10_000;

/// Keys of the same JSON document as the instance; all may be absent, and then change nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Conditions {
    /// Capacities that standbys on several nodes share: links between sites, budgets, spread.
    #[serde(default)]
    pub shared: Vec<Shared>,
    /// Futures over which unserved demand is weighed; none without `risk`.
    #[serde(default)]
    pub scenarios: Vec<Scenario>,
    #[serde(default)]
    pub risk: Risk,
}

/// One capacity of one quantity, held like a node's: always the reserve, and the active amount of those portions whose
/// primary's domain failed, for every single domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shared {
    pub id: String,
    /// What the amounts count, for messages: `mbps`, `euro`, `standbys`.
    #[serde(default)]
    pub unit: String,
    pub free: i64,
    pub draws: Vec<Draw>,
}

/// What one standby of a portion takes of a shared capacity where it stands on `node`, or in `domain`, or (neither given)
/// anywhere. The first draw of a shared capacity that matches counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    pub portion: usize,
    #[serde(default)]
    pub node: Option<usize>,
    #[serde(default)]
    pub domain: Option<usize>,
    /// Taken all the time.
    #[serde(default)]
    pub reserve: i64,
    /// Taken after the primary's domain failed; at least `reserve`.
    pub active: i64,
}

impl Draw {
    /// Whether a standby of `portion` on this node takes it.
    pub(crate) fn matches(&self, portion: usize, node: usize, domain: usize) -> bool {
        self.portion == portion
            && self.node.is_none_or(|own| own == node)
            && self.domain.is_none_or(|own| own == domain)
    }
}

/// One future: what fails, and how much is asked then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    #[serde(default)]
    pub id: String,
    /// How likely, relative to the other scenarios.
    pub weight: i64,
    /// Domains that fail together.
    #[serde(default)]
    pub failed: Vec<usize>,
    /// For each portion, the demand in percent of `active`; empty for 100 everywhere.
    #[serde(default)]
    pub demand_pct: Vec<i64>,
}

/// What unserved demand costs, in thousandths of a cost unit for each unit of the first resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Risk {
    /// For the expectation over the scenarios.
    #[serde(default)]
    pub expected_milli: i64,
    /// For the conditional value at risk (lambda): the expectation over the worst scenarios.
    #[serde(default)]
    pub cvar_milli: i64,
    /// The level: scenarios beyond this part of the probability are the worst, in basis points (9000: the worst tenth).
    #[serde(default)]
    pub level_bp: i64,
}

impl Conditions {
    /// # Errors
    /// `ProblemError` names the shared capacity or scenario, the field, and what was expected.
    pub(crate) fn validate(&self, instance: &Instance) -> Result<(), ProblemError> {
        unique("shared capacity", self.shared.iter().map(|s| &s.id))?;
        self.shared
            .iter()
            .try_for_each(|shared| shared.validate(instance))?;
        if self.scenarios.len() > MAX_SCENARIOS {
            let found = self.scenarios.len();
            return Err(ProblemError::Scenarios { found });
        }
        self.scenarios
            .iter()
            .try_for_each(|scenario| scenario.validate(instance))?;
        let here = Place {
            what: "risk",
            id: "of the instance",
        };
        here.number("expected_milli", self.risk.expected_milli, MAX_COST)?;
        here.number("cvar_milli", self.risk.cvar_milli, MAX_COST)?;
        here.number("level_bp", self.risk.level_bp, WHOLE_BP - 1)
    }
}

impl Shared {
    fn validate(&self, instance: &Instance) -> Result<(), ProblemError> {
        let here = Place {
            what: "shared capacity",
            id: &self.id,
        };
        here.number("free", self.free, MAX_AMOUNT)?;
        for draw in &self.draws {
            here.index("portion", draw.portion, instance.portions.len())?;
            here.index("node", draw.node.unwrap_or(0), instance.nodes.len())?;
            here.index("domain", draw.domain.unwrap_or(0), instance.domains.len())?;
            here.number("reserve", draw.reserve, MAX_AMOUNT)?;
            here.number("active", draw.active, MAX_AMOUNT)?;
            if draw.active < draw.reserve {
                return Err(ProblemError::Shrinks {
                    id: instance.portions[draw.portion].id.clone(),
                    resource: self.id.clone(),
                });
            }
        }
        Ok(())
    }
}

impl Scenario {
    fn validate(&self, instance: &Instance) -> Result<(), ProblemError> {
        let here = Place {
            what: "scenario",
            id: &self.id,
        };
        here.number("weight", self.weight, MAX_AMOUNT)?;
        for &domain in &self.failed {
            here.index("failed", domain, instance.domains.len())?;
        }
        let expected = instance.portions.len();
        if !self.demand_pct.is_empty() && self.demand_pct.len() != expected {
            return Err(ProblemError::Demand {
                id: self.id.clone(),
                found: self.demand_pct.len(),
                expected,
            });
        }
        self.demand_pct
            .iter()
            .try_for_each(|&pct| here.number("demand_pct", pct, MAX_DEMAND_PCT))
    }
}
