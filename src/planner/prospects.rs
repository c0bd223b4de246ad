//! The outlook's scenarios as the solver takes them: in each, which portions want their standbys, how much, and which sites are gone.

use super::instances::{Copies, Copy};
use super::scene::Scene;
use crate::model::{Domain, PortionId, Rps, Scenario, Site};
use crate::placement;
use std::collections::{BTreeMap, BTreeSet};

/// Probabilities become integers for the solver.
const PARTS: f64 = 1e6;
/// The solver takes so many percent of what a standby was placed for.
const MOST_PCT: f64 = 10_000.0;

/// Who stands in for whom, while scenarios are laid out.
pub struct Homes<'a> {
    scene: &'a Scene<'a>,
    /// Sites in the order of the solver's domains; those of the portions' homes follow.
    sites: &'a [&'a Site],
    homes: Vec<Home<'a>>,
}

/// One portion: what serves it, and how many standbys it has and asks for.
pub struct Home<'a> {
    pub portion: &'a PortionId,
    primaries: Vec<&'a Copy>,
    each: Option<Rps>,
    pub standbys: usize,
}

impl<'a> Homes<'a> {
    /// `standbys` counts, for each portion of the problem, those that stand and those that are asked for.
    pub fn new(
        scene: &'a Scene<'a>,
        sites: &'a [&'a Site],
        copies: &'a BTreeMap<PortionId, Copies>,
        standbys: &BTreeMap<&'a PortionId, usize>,
    ) -> Self {
        let homes = standbys.iter().map(|(portion, standbys)| {
            let set = copies.get(*portion);
            Home {
                portion,
                primaries: set.map(|s| s.standing().collect()).unwrap_or_default(),
                each: set.and_then(|s| s.all.iter().filter_map(|c| c.capacity).reduce(Rps::min)),
                standbys: *standbys,
            }
        });
        Homes {
            scene,
            sites,
            homes: homes.collect(),
        }
    }

    /// The solver's domain that fails whenever the portion wants its standbys.
    pub fn domain(&self, portion: &PortionId) -> usize {
        let at = self.homes.iter().position(|h| h.portion == portion);
        self.sites.len() + at.unwrap_or(0)
    }

    /// Names of these domains, in their order.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.homes.iter().map(|h| format!("home of {}", h.portion))
    }

    /// One for each scenario of the outlook. `of` names the portion of each of the solver's portions.
    pub fn scenarios(&self, of: &[&PortionId]) -> Vec<placement::Scenario> {
        let list = &self.scene.outlook.scenarios.list;
        let all = list.iter().filter(|_| self.scene.forecasting).enumerate();
        all.map(|(k, s)| self.scenario(k, s, of)).collect()
    }

    /// For each site the probability of the futures in which the portion wants its standbys and clients reach the site.
    pub fn wanted(&self, portion: &PortionId) -> Vec<f64> {
        let mut all = vec![0.0; self.sites.len()];
        let Some(home) = self.homes.iter().find(|h| h.portion == portion) else {
            return all;
        };
        for s in &self.scene.outlook.scenarios.list {
            let gone = self.gone(&s.failed);
            let lost = |c: &Copy| self.loses(&gone, s, c);
            if self.wants(home, s.level, lost).is_none() {
                continue;
            }
            for (site, sum) in self.sites.iter().zip(&mut all) {
                if !gone.contains(site) {
                    *sum += s.weight;
                }
            }
        }
        all
    }

    /// Whether the copy is lost in that future.
    fn loses(&self, gone: &BTreeSet<&Site>, s: &Scenario, c: &Copy) -> bool {
        gone.contains(c.site()) || s.failed.iter().any(|d| d.holds(c.node(), c.site()))
    }

    fn scenario(&self, k: usize, s: &Scenario, of: &[&PortionId]) -> placement::Scenario {
        let gone = self.gone(&s.failed);
        let lost = |c: &Copy| self.loses(&gone, s, c);
        let wants: Vec<Option<i64>> = self
            .homes
            .iter()
            .map(|home| self.wants(home, s.level, lost))
            .collect();
        let sites = self.sites.iter().enumerate();
        let mut failed: Vec<usize> = sites
            .filter(|(_, s)| gone.contains(*s))
            .map(|(j, _)| j)
            .collect();
        failed.extend(
            (0..wants.len())
                .filter(|h| wants[*h].is_some())
                .map(|h| self.sites.len() + h),
        );
        let pct =
            |portion: &&PortionId| wants[self.domain(portion) - self.sites.len()].unwrap_or(0);
        placement::Scenario {
            id: format!("{k}"),
            weight: ((s.weight * PARTS).round() as i64).max(1),
            failed,
            demand_pct: of.iter().map(pct).collect(),
        }
    }

    /// Sites that are down, and those that clients cannot reach.
    fn gone<'d>(&self, failed: &'d [Domain]) -> BTreeSet<&'d Site> {
        let site = |d: &'d Domain| match d {
            Domain::Site(s) => Some(s),
            Domain::Link(..) => self.scene.behind(d),
            Domain::Node(_) => None,
        };
        failed.iter().filter_map(site).collect()
    }

    /// What is left for the portion's standbys, in percent of what all of them carry; `None` where the primaries do.
    fn wants(&self, home: &Home, level: f64, lost: impl Fn(&Copy) -> bool) -> Option<i64> {
        let scene = self.scene;
        let left: Vec<&Copy> = home
            .primaries
            .iter()
            .copied()
            .filter(|c| !lost(c))
            .collect();
        let path = scene.outlook.demand.get(home.portion);
        let peak = path.and_then(|p| p.peak(level, scene.now, scene.now + scene.policy.horizon));
        let demand = peak.or(scene.rate(home.portion))?;
        let carried = Copies::capacity(left.iter().copied());
        let (Some(each), Some(carried)) = (home.each.filter(|e| e.0 > 0.0), carried) else {
            return (left.len() < home.primaries.len()).then_some(100);
        };
        let factor = scene.appetite.load_factor;
        let more = demand.0 - carried.0 * factor;
        let theirs = home.standbys.max(1) as f64 * each.0 * factor;
        (more > 0.0).then(|| (100.0 * more / theirs).ceil().clamp(1.0, MOST_PCT) as i64)
    }
}

/// What unserved demand costs the solver, by the appetite for risk.
pub fn risk(scene: &Scene) -> placement::Risk {
    let level = scene.appetite.demand_level;
    placement::Risk {
        expected_milli: 1000,
        cvar_milli: (scene.appetite.tail_weight * 1000.0).round() as i64,
        level_bp: ((level * 10_000.0).round() as i64).clamp(0, 9_999),
    }
}

/// What the solver expects to go unserved, in one sentence: of all that the standbys are wanted for, in parts of what they hold.
pub fn sentence(scene: &Scene, unserved: &placement::Unserved, held: f64) -> String {
    let part = |v: f64| 100.0 * v / held.max(1.0);
    format!(
        "unserved: {:.1} % of what standbys hold expected, {:.1} % over the worst {:.0} %",
        part(unserved.expected),
        part(unserved.cvar),
        100.0 * (1.0 - scene.appetite.demand_level)
    )
}
