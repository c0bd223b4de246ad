//! Whether standbys belong to a portion's pool.

use super::drain;
use crate::model::*;
use crate::planner::book::Book;
use crate::planner::instances::{Copies, Copy, Role};
use crate::planner::scene::Scene;

/// Decides whether standbys belong to the pool now, and why: the reason that is kept is the present one.
pub(super) fn surge(scene: &Scene, book: &mut Book, portion: &PortionPolicy, copies: &Copies) {
    let load = Load::of(scene, portion, copies);
    let settling = settling(scene, book, portion);
    let known = book.surging.get(&portion.id).map(|(cause, _)| *cause);
    if let Some((cause, why)) = load.asks(copies, settling) {
        book.calm.remove(&portion.id);
        let worse = cause == Cause::Reactive && known == Some(Cause::Predicted);
        // What may be the move's own doing makes nothing more urgent.
        if !(worse && settling) {
            // It stays as urgent as it was; what is told is what asks for it now.
            let cause = known.filter(|_| !worse).unwrap_or(cause);
            book.surging.insert(portion.id.clone(), (cause, why));
        }
        return;
    }
    let settle = scene.policy.ramp.settle;
    let why = match load.unrest() {
        Some(why) => {
            book.calm.remove(&portion.id);
            why
        }
        None => {
            let since = *book.calm.entry(portion.id.clone()).or_insert(scene.now);
            if scene.now.since(since) >= settle {
                book.surging.remove(&portion.id);
            }
            let lasts = settle.as_secs_f64();
            format!("the primaries suffice again; standbys stay until that has lasted {lasts:.0} s")
        }
    };
    if let Some((_, told)) = book.surging.get_mut(&portion.id) {
        *told = why;
    }
}

/// What the primaries have to carry, and what they can.
struct Load {
    /// Those that stay.
    primaries: usize,
    wanted: usize,
    standing: usize,
    carries: Option<f64>,
    now: Option<Rps>,
    soon: Option<Rps>,
    later: Option<Rps>,
    breach: Option<String>,
}

impl Load {
    fn of(scene: &Scene, portion: &PortionPolicy, copies: &Copies) -> Load {
        let stays = drain::stays(copies);
        let primaries: Vec<&Copy> = copies.standing().filter(|c| stays(c)).collect();
        let job = scene.world.job(&portion.job);
        let factor = scene.appetite.load_factor;
        let lead = scene.policy.ramp.soak.times(portion_lead(scene));
        Load {
            primaries: primaries.len(),
            wanted: job.map_or(0, |j| j.count(&portion.groups[0]) as usize),
            standing: copies.standing().count(),
            carries: Copies::capacity(primaries.into_iter()).map(|c| c.0 * factor),
            now: scene.rate(&portion.id),
            soon: scene.demand(&portion.id, lead),
            later: scene.demand(&portion.id, lead.times(2)),
            breach: scene.breach(portion),
        }
    }

    fn over(&self, demand: Option<Rps>, limit: f64) -> bool {
        let both = demand.zip(self.carries);
        both.is_some_and(|(d, c)| d.0 > c * limit)
    }

    /// Why standbys are to serve now, if they are.
    fn asks(&self, copies: &Copies, settling: bool) -> Option<(Cause, String)> {
        let stays = drain::stays(copies);
        let leaves = copies.of(Role::Primary).filter(|c| !stays(c));
        let leaves = leaves.filter_map(drain::leaving).next();
        let unsure = self.primaries == 0 || self.carries.is_none();
        let breach = self.breach.clone().filter(|_| !settling);
        if let Some(leaves) = leaves.filter(|_| unsure || self.over(self.now, 1.0)) {
            // What stays would not do alone.
            Some((leaves.cause(), leaves.why))
        } else if self.standing == 0 && self.wanted > 0 {
            Some((Cause::Reactive, "no primary is ready".to_string()))
        } else if let Some(breach) = breach {
            Some((Cause::Reactive, breach))
        } else if self.over(self.now, 1.0) {
            Some((Cause::Reactive, sentence("demand", self.now, self.carries)))
        } else if self.over(self.soon, 1.0) {
            let why = sentence("forecast", self.soon, self.carries);
            Some((Cause::Predicted, why))
        } else if self.standing < self.wanted && self.carries.is_none() {
            Some((Cause::Reactive, self.short()))
        } else {
            None
        }
    }

    /// Why not all is calm, where nothing asks for standbys.
    fn unrest(&self) -> Option<String> {
        if self.over(self.later, 0.9) {
            let (later, carries) = (self.later.unwrap_or_default(), self.carries);
            let carries = Rps(carries.unwrap_or_default());
            Some(format!(
                "forecast {later}, near the {carries} that the primaries carry"
            ))
        } else if self.standing < self.wanted {
            Some(self.short())
        } else if self.now.is_none() {
            // Without a reading of demand nobody can say that all is calm.
            Some("demand cannot be read".to_string())
        } else {
            self.breach.clone()
        }
    }

    fn short(&self) -> String {
        let wanted = counted(self.wanted, "primary");
        format!("{} of {wanted} ready", self.primaries)
    }
}

/// Whether the portion's own planned move, or the retreat from it, may be what hurts: then nothing is concluded yet.
pub(super) fn settling(scene: &Scene, book: &Book, portion: &PortionPolicy) -> bool {
    portion.front.as_ref().is_some_and(|service| {
        let moving = book.moves.get(service);
        let retreat = book.retreats.get(service);
        moving.is_some_and(|m| m.done > 0 && m.cause != Cause::Reactive)
            || retreat.is_some_and(|(at, _)| scene.now.since(*at) < scene.policy.ramp.settle)
    })
}

/// How many soaks ahead a surge must begin: every portion's ramp, one after the other.
fn portion_lead(scene: &Scene) -> i64 {
    (scene.policy.ramp.steps.len() * (scene.policy.portions.len() + 1)) as i64
}

fn sentence(what: &str, demand: Option<Rps>, carries: Option<f64>) -> String {
    format!(
        "{what} {} > {} that the primaries carry",
        demand.unwrap_or_default(),
        Rps(carries.unwrap_or_default())
    )
}
