//! Standbys of sites that are to serve their own clients while they are cut off.

use super::apart;
use super::book::Book;
use super::burst;
use super::instances::Copies;
use super::places::Ask;
use super::placing;
use super::scene::{Draft, Scene};
use super::standbys::Need;
use crate::model::*;
use std::collections::BTreeMap;

/// Asks for what sites lack that are to serve their own clients, as far as the budget goes; where each of a site's nodes has a copy already
/// these grow, by so many.
pub fn sites(
    scene: &Scene,
    book: &Book,
    portion: &PortionPolicy,
    copies: &BTreeMap<PortionId, Copies>,
    running: usize,
    out: &mut Draft,
) -> (Vec<(Ask, Need)>, usize) {
    let budget = &scene.policy.budget;
    let Some(set) = copies.get(&portion.id) else {
        return (Vec::new(), 0);
    };
    let lacking = apart::lacking(scene, portion, set);
    let refused = book.refused.get(portion.id.as_str());
    if lacking.is_empty() || refused.is_some_and(|until| scene.now < *until) {
        return (Vec::new(), 0);
    }
    let room = match book.spent.standby.0 >= budget.standby.0 {
        true => 0,
        false => budget.max_standbys.saturating_sub(running),
    };
    if room < lacking.len() {
        let why = "budget: its site would not be served while it is cut off";
        out.wait(format!("own standby of {}", portion.id), why);
    }
    let (mut asks, mut grown) = (Vec::new(), 0);
    for site in lacking.into_iter().take(room) {
        let why = format!("clients of {site} have too few instances there, should it be cut off");
        let one = placing::ask_within(scene, portion, set, &site);
        if placing::possible(scene, copies, &one) == 0 {
            let more = burst::More {
                missing: 1,
                elsewhere: 0,
                within: Some(&site),
                cause: Cause::Predicted,
                why: &why,
            };
            let more = burst::grow(scene, book, portion, set, more, out);
            grown += more;
            if more > 0 {
                continue;
            }
        }
        let need = Need {
            count: 1,
            cause: Cause::Predicted,
            why,
            ..Need::none()
        };
        asks.push((one, need));
    }
    (asks, grown)
}
