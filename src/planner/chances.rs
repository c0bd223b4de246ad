//! How likely the plan would ever use a place: from the outlook's futures, and from where the solver would put a standby.

use super::book::Book;
use super::instances::{Copies, Role};
use super::links::Links;
use super::places;
use super::placing;
use super::prospects::Homes;
use super::scene::Scene;
use super::standbys::Need;
use super::wishes;
use crate::model::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// No future is impossible: a place keeps this chance of being wanted …
const UNFORESEEN: f64 = 0.02;
/// … and this much more while nothing is foreseen at all.
const BLIND: f64 = 0.1;
/// An alternative that costs so much more than the chosen place, in the solver's units, is chosen e times less often once
/// prices, room and what is known have moved.
const NEAR: f64 = 100.0;
/// No place is ever out of the question.
const LEAST: f64 = 0.02;
/// Portions whose places are asked of the solver at once; the others follow at the next time.
const AT_ONCE: usize = 64;
/// What the solver would choose is asked again after so many steps, or once nodes, jobs or homes are others.
const SOLVED: i64 = 5;

/// How likely a place would be used, in its two parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Chance {
    /// That some standby of the portion will be wanted while the place still stands.
    pub wanted: f64,
    /// That the plan would then choose the place: 1 where production runs or the solver puts one.
    pub chosen: f64,
}

impl Chance {
    pub fn of_use(&self) -> f64 {
        self.wanted * self.chosen
    }
}

/// Chances of all places, and when they were last asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Chances {
    pub at: Option<Moment>,
    /// In the order of the places.
    pub of: Vec<(PortionId, Site, NodeClass, Chance)>,
    /// Where to go on when there are more portions than are asked for at once.
    pub next: usize,
    /// When the solver was last asked for a portion's places, and what was there then.
    #[serde(default)]
    pub solved: BTreeMap<PortionId, (Moment, u64)>,
}

impl Chances {
    pub fn get(&self, key: &ProfileKey) -> Chance {
        self.at(&key.portion, &key.site, &key.class)
    }

    fn at(&self, portion: &PortionId, site: &Site, class: &NodeClass) -> Chance {
        let wanted = (portion, site, class);
        let at = (self.of).binary_search_by(|(p, s, c, _)| (p, s, c).cmp(&wanted));
        at.map_or(
            Chance {
                wanted: UNFORESEEN,
                chosen: LEAST,
            },
            |at| self.of[at].3,
        )
    }
}

/// Asks outlook and solver anew, once a step of the policy.
pub fn renew(scene: &Scene, book: &mut Book, copies: &BTreeMap<PortionId, Copies>) {
    let turn = |at: Moment| (at + phase(scene.policy)).0 / scene.policy.step.0.max(1);
    if (book.chances.at).is_some_and(|at| turn(at) == turn(scene.now)) {
        return;
    }
    let can = |p: &&PortionPolicy| {
        let found = scene.portions.iter().find(|x| x.id == p.id);
        copies.contains_key(&p.id) && found.is_some_and(|x| x.not_shadowable.is_none())
    };
    let all: Vec<&PortionPolicy> = scene.policy.portions.iter().filter(can).collect();
    let from = if book.chances.next < all.len() {
        book.chances.next
    } else {
        0
    };
    let now: Vec<&PortionPolicy> = all.iter().skip(from).take(AT_ONCE).copied().collect();
    book.chances.next = from + now.len();
    book.chances.at = Some(scene.now);
    let made = of(scene, &now, copies, &mut book.chances);
    let ours = |p: &PortionId| scene.policy.portion(p).is_some();
    book.chances.solved.retain(|p, _| ours(p));
    let known = &mut book.chances.of;
    known.retain(|(p, ..)| ours(p) && !now.iter().any(|q| &q.id == p));
    known.extend(made);
    known.sort_by(|a, b| (&a.0, &a.1, &a.2).cmp(&(&b.0, &b.1, &b.2)));
}

/// When within a step a workload's turn comes: many that begin at once are spread over it.
fn phase(policy: &Policy) -> Span {
    let mut name = DefaultHasher::new();
    policy.workload.hash(&mut name);
    Span((name.finish() % policy.step.0.max(1) as u64) as i64)
}

fn of(
    scene: &Scene,
    portions: &[&PortionPolicy],
    copies: &BTreeMap<PortionId, Copies>,
    known: &mut Chances,
) -> Vec<(PortionId, Site, NodeClass, Chance)> {
    let nodes = places::nodes(scene);
    let sites = wishes::sites(&nodes);
    let count = portions.iter().map(|p| (&p.id, 1)).collect();
    let homes = Homes::new(scene, &sites, copies, &count);
    let chosen = chosen(scene, portions, copies, &nodes, known);
    let mut out = Vec::new();
    for (portion, chosen) in portions.iter().zip(chosen) {
        let primaries = copies[&portion.id].of(Role::Primary);
        let at_home: BTreeSet<_> = primaries.map(|c| (c.site(), c.class())).collect();
        let wanted = wanted(scene, &homes, &portion.id, &sites);
        for ((site, class), chosen) in chosen {
            let chance = match at_home.contains(&(site, class)) {
                true => Chance {
                    wanted: 1.0,
                    chosen: 1.0,
                },
                false => Chance {
                    wanted: wanted[site],
                    chosen,
                },
            };
            out.push((portion.id.clone(), site.clone(), class.clone(), chance));
        }
    }
    out
}

/// For each portion how near each place, by its likeliest node, is to being chosen: as the solver said lately, or says now.
fn chosen<'a>(
    scene: &Scene,
    portions: &[&PortionPolicy],
    copies: &BTreeMap<PortionId, Copies>,
    nodes: &[&'a Node],
    known: &mut Chances,
) -> Vec<BTreeMap<(&'a Site, &'a NodeClass), f64>> {
    let marks: Vec<u64> = portions
        .iter()
        .map(|p| mark(scene, p, &copies[&p.id], nodes))
        .collect();
    let lately = |k: usize| {
        let solved = known.solved.get(&portions[k].id);
        solved.is_some_and(|(at, mark)| {
            *mark == marks[k] && scene.now.since(*at) < scene.policy.step.times(SOLVED)
        })
    };
    let (told, asked): (Vec<usize>, Vec<usize>) = (0..portions.len()).partition(|k| lately(*k));
    let mut out = vec![BTreeMap::new(); portions.len()];
    for k in told {
        for node in nodes {
            let (portion, site, class) = (&portions[k].id, &node.site, &node.class);
            let chosen = known.at(portion, site, class).chosen;
            out[k].insert((site, class), chosen);
        }
    }
    let ask: Vec<&PortionPolicy> = asked.iter().map(|k| portions[*k]).collect();
    for (k, chosen) in asked.into_iter().zip(choices(scene, &ask, copies, nodes)) {
        for (node, chosen) in nodes.iter().zip(chosen) {
            let best: &mut f64 = out[k].entry((&node.site, &node.class)).or_default();
            *best = best.max(chosen);
        }
        let solved = (scene.now, marks[k]);
        known.solved.insert(portions[k].id.clone(), solved);
    }
    out
}

/// Differs once the nodes, what the portion is or where it is at home are others.
fn mark(scene: &Scene, portion: &PortionPolicy, copies: &Copies, nodes: &[&Node]) -> u64 {
    let mut mark = DefaultHasher::new();
    nodes.iter().for_each(|n| n.id.hash(&mut mark));
    scene.release(&portion.id).hash(&mut mark);
    let primaries = copies.of(Role::Primary);
    let home: BTreeSet<_> = primaries.map(|c| (c.site(), c.class())).collect();
    home.hash(&mut mark);
    mark.finish()
}

/// For each site the probability of the futures in which the portion wants a standby and clients reach the site.
fn wanted<'a>(
    scene: &Scene,
    homes: &Homes,
    portion: &PortionId,
    sites: &[&'a Site],
) -> BTreeMap<&'a Site, f64> {
    let scenarios = &scene.outlook.scenarios;
    if scenarios.list.is_empty() || !scene.forecasting {
        return sites.iter().map(|s| (*s, UNFORESEEN + BLIND)).collect();
    }
    let foreseen = sites.iter().zip(homes.wanted(portion));
    foreseen
        .map(|(s, foreseen)| (*s, (foreseen + scenarios.left_out + UNFORESEEN).min(1.0)))
        .collect()
}

/// For each portion, how near each node is to being chosen for one more standby, 0…1, were all that is unknown to turn out
/// well: 1 for the solver's choice, less for its near-optimal alternatives the more they cost.
fn choices(
    scene: &Scene,
    portions: &[&PortionPolicy],
    copies: &BTreeMap<PortionId, Copies>,
    nodes: &[&Node],
) -> Vec<Vec<f64>> {
    let need = Need {
        count: 1,
        cause: Cause::Learning,
        ..Need::none()
    };
    let mut out: Vec<Vec<f64>> = portions.iter().map(|_| vec![LEAST; nodes.len()]).collect();
    // What has no standbys is never placed elsewhere.
    let placed: Vec<usize> = (0..portions.len())
        .filter(|i| portions[*i].standby)
        .collect();
    if placed.is_empty() {
        return out;
    }
    let asks: Vec<places::Ask> = placed
        .iter()
        .map(|i| portions[*i])
        .map(|p| places::Ask {
            hopeful: true,
            ..placing::ask(scene, p, &copies[&p.id], 1, &need)
        })
        .collect();
    let links = Links::of(scene, copies);
    let found = places::alternatives(scene, nodes, &asks, copies, &links);
    for (i, near) in placed.into_iter().zip(found) {
        for (node, delta) in near {
            out[i][node] = (-(delta.max(0) as f64) / NEAR).exp().max(LEAST);
        }
    }
    out
}
