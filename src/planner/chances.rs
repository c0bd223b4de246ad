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
use std::collections::BTreeMap;

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
}

impl Chances {
    pub fn get(&self, key: &ProfileKey) -> Chance {
        let wanted = (&key.portion, &key.site, &key.class);
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
    let fresh = |at: Moment| scene.now.since(at) < scene.policy.step;
    if book.chances.at.is_some_and(fresh) {
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
    let known = &mut book.chances.of;
    known.retain(|(p, ..)| !now.iter().any(|q| &q.id == p));
    known.extend(of(scene, &now, copies));
    known.sort_by(|a, b| (&a.0, &a.1, &a.2).cmp(&(&b.0, &b.1, &b.2)));
}

fn of(
    scene: &Scene,
    portions: &[&PortionPolicy],
    copies: &BTreeMap<PortionId, Copies>,
) -> Vec<(PortionId, Site, NodeClass, Chance)> {
    let nodes = places::nodes(scene);
    let sites = wishes::sites(&nodes);
    let count = portions.iter().map(|p| (&p.id, 1)).collect();
    let homes = Homes::new(scene, &sites, copies, &count);
    let chosen = choices(scene, portions, copies, &nodes);
    let mut out: BTreeMap<(PortionId, Site, NodeClass), Chance> = BTreeMap::new();
    for (portion, chosen) in portions.iter().zip(&chosen) {
        let set = &copies[&portion.id];
        for (node, chosen) in nodes.iter().zip(chosen) {
            let home = set
                .of(Role::Primary)
                .any(|c| c.site == node.site && c.class == node.class);
            let chance = match home {
                true => Chance {
                    wanted: 1.0,
                    chosen: 1.0,
                },
                false => Chance {
                    wanted: wanted(scene, &homes, &portion.id, &node.site),
                    chosen: *chosen,
                },
            };
            let at = (portion.id.clone(), node.site.clone(), node.class.clone());
            let best = out.entry(at).or_default();
            if chance.of_use() > best.of_use() {
                *best = chance;
            }
        }
    }
    out.into_iter()
        .map(|((p, s, c), chance)| (p, s, c, chance))
        .collect()
}

/// Probability of the futures in which the portion wants a standby and clients reach the site.
fn wanted(scene: &Scene, homes: &Homes, portion: &PortionId, site: &Site) -> f64 {
    let scenarios = &scene.outlook.scenarios;
    if scenarios.list.is_empty() || !scene.forecasting {
        return UNFORESEEN + BLIND;
    }
    let foreseen = homes.wanted(portion, site);
    (foreseen + scenarios.left_out + UNFORESEEN).min(1.0)
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
