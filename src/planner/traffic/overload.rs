//! Instances that fail their checks for want of more of them: to take them out would leave even fewer for the same work, which fail next.

use super::{Ground, fallen, up};
use crate::model::*;
use crate::planner::instances::Copies;

/// Why all shares stay although instances fell out: Nomad runs them all, nothing new could help, and what is left does not carry the demand.
/// Consul's checks take out what fails as long as it fails, and let it serve again the moment it answers. (The panic threshold of
/// load balancers: <https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/panic_threshold>.)
pub(super) fn stays(ground: &Ground) -> Option<String> {
    let copies = ground.copies;
    let fallen: Vec<&AllocId> = fallen(ground.current, copies).map(|(id, _)| id).collect();
    let runs = |id: &AllocId| copies.get(id).is_some_and(|c| c.alive);
    if fallen.is_empty() || !fallen.iter().all(|id| runs(id)) {
        return None;
    }
    let left = || copies.all.iter().filter(|c| up(copies, &c.alloc));
    let has = |id: &AllocId| ground.current.get(id).is_some_and(|s| *s > Share::NONE);
    if left().next().is_none() || left().any(|c| !has(&c.alloc)) {
        return None;
    }
    let (now, carried) = (
        ground.scene.rate(&ground.portion.id)?,
        Copies::capacity(left())?,
    );
    (now > carried).then(|| {
        format!(
            "{} fail their checks under {now}, of which the rest carry {carried}: too much work, not death; shares stay, and what answers again serves at once",
            fallen.len()
        )
    })
}
