//! Which links between sites carry: told by what gateways at one end see of instances at the other.

use super::notice::{event, news};
use super::state::State;
use super::still::Moved;
use crate::model::*;
use crate::planner;
use std::collections::BTreeMap;

/// A link must look dead for so long before it is taken for dead: checks do not all run at once.
const SURE: Span = Span::secs(10);

/// Notes links that fell or came back. One is down while nothing at its far end that runs, and that others see passing,
/// passes from its near end; what nobody can tell changes nothing.
pub fn notice(state: &mut State, world: &World, moved: &Moved, now: Moment) {
    let mut sights = std::mem::take(&mut state.links_sights);
    let links = seen(world, &mut sights, moved, now);
    state.links_sights = sights;
    for (link, carries) in links {
        let was = state.links_up.get(&link).copied();
        if carries {
            state.links_silent.remove(&link);
        }
        let since = *match carries {
            true => &now,
            false => state.links_silent.entry(link.clone()).or_insert(now),
        };
        if !carries && now.since(since) < SURE {
            continue;
        }
        state.links_up.insert(link.clone(), carries);
        // One that was never seen to carry has not failed.
        if was.is_some_and(|was| was != carries) {
            let word = if carries { "is back" } else { "is cut" };
            let text = format!("link {} – {} {word}", link.0, link.1);
            state.say(now, news(carries), None, None, text);
            let name = link_name(&link.0, &link.1);
            event(state, since, &name, SubjectKind::Link, carries);
        }
    }
}

/// What one gateway sees of one front: by the site of its instances, whether some pass, and whether some fail there alone. It stays
/// so while what it was told from does. In the order of the fronts.
#[derive(Clone, Debug, Default)]
pub struct Sights(BTreeMap<GatewayId, Vec<(ServiceName, Sight)>>);

#[derive(Clone, Debug)]
struct Sight {
    entries: SharedList<FrontEntry>,
    far: Vec<(Site, bool)>,
}

/// Every link of which something can be told now, and whether it carries.
fn seen(
    world: &World,
    sights: &mut Sights,
    moved: &Moved,
    now: Moment,
) -> BTreeMap<(Site, Site), bool> {
    if moved.all() {
        sights.0.clear();
    }
    let mut out: BTreeMap<(Site, Site), bool> = BTreeMap::new();
    for (gateway, near) in &world.gateways {
        let mut far: BTreeMap<Site, bool> = BTreeMap::new();
        let of_gateway = sights.0.entry(gateway.clone()).or_default();
        let mut before = std::mem::take(of_gateway).into_iter().peekable();
        for (service, front) in &world.fronts {
            while before.next_if(|(s, _)| s < service).is_some() {}
            let known = before.next_if(|(s, _)| s == service);
            let entries = front.entries.get(gateway);
            let Some(entries) = entries.and_then(|e| e.fresh(now, planner::FRESH)) else {
                continue;
            };
            let same = |s: &Sight| s.entries.is_same(entries) && !moved.among(&s.entries);
            if let Some(known) = known.filter(|(_, sight)| same(sight)) {
                let told = known.1.far.iter();
                told.for_each(|(site, passes)| tell(&mut far, site, *passes));
                of_gateway.push(known);
                continue;
            }
            let (told, fails) = sight(world, front, (gateway, near), entries, now);
            told.iter()
                .for_each(|(site, passes)| tell(&mut far, site, *passes));
            // What others see of one that fails may change by itself.
            if !fails {
                let (entries, far) = (entries.clone(), told);
                of_gateway.push((service.clone(), Sight { entries, far }));
            }
        }
        for (site, passes) in far {
            let link = if *near <= site {
                (near.clone(), site)
            } else {
                (site, near.clone())
            };
            *out.entry(link).or_default() |= passes;
        }
    }
    out
}

fn tell(far: &mut BTreeMap<Site, bool>, site: &Site, passes: bool) {
    match far.get_mut(site) {
        Some(told) => *told |= passes,
        None => drop(far.insert(site.clone(), passes)),
    }
}

/// Sites elsewhere of which a gateway's entries of one front tell that some instance passes, or that one fails only from here; and
/// whether any fails from here.
fn sight(
    world: &World,
    front: &Front,
    (gateway, near): (&GatewayId, &Site),
    entries: &[FrontEntry],
    now: Moment,
) -> (Vec<(Site, bool)>, bool) {
    let mut any = false;
    let mut far: BTreeMap<&Site, (bool, bool)> = BTreeMap::new();
    for e in entries.iter().filter(|e| e.checked && e.agent_alive) {
        let Some(site) = runs_at(world, &e.instance).filter(|s| *s != near) else {
            continue;
        };
        let told = far.entry(site).or_default();
        told.0 |= e.passing;
        any |= !e.passing;
        told.1 |= !e.passing && others_see(world, front, gateway, &e.instance, now);
    }
    let told = far
        .into_iter()
        .filter(|(_, (passes, fails))| *passes || *fails);
    let told = told.map(|(site, (passes, _))| (site.clone(), passes));
    (told.collect(), any)
}

/// The site of an instance on a node that Nomad hears.
fn runs_at<'a>(world: &'a World, instance: &AllocId) -> Option<&'a Site> {
    let node = world.node(&world.alloc(instance).filter(|a| a.holds())?.node)?;
    (node.status == NodeStatus::Ready).then_some(&node.site)
}

/// Whether a gateway elsewhere sees it passing: then it is not the instance that fails.
fn others_see(
    world: &World,
    front: &Front,
    but: &GatewayId,
    instance: &AllocId,
    now: Moment,
) -> bool {
    let near = world.gateways.get(but);
    let others = front
        .entries
        .iter()
        .filter(|(g, _)| world.gateways.get(*g) != near);
    others
        .filter_map(|(_, e)| e.fresh(now, planner::FRESH))
        .flatten()
        .any(|e| &e.instance == instance && e.passing && e.agent_alive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(passing: bool) -> FrontEntry {
        FrontEntry {
            instance: "x".into(),
            address: "10.0.0.1".into(),
            port: 1,
            weight: 1,
            passing,
            checked: true,
            maintenance: false,
            agent_alive: true,
        }
    }

    /// One instance at `p`, as the gateways at `a` and `b` see it.
    fn world(at: Moment, from_a: bool, from_b: bool, running: bool) -> World {
        let mut world = World::unknown(at, "not read");
        world.gateways = [("a".into(), "a".into()), ("b".into(), "b".into())].into();
        let status = if running {
            NodeStatus::Ready
        } else {
            NodeStatus::Down
        };
        let node = Node {
            status,
            ..Node::bare("n", "p")
        };
        let alloc = Alloc {
            id: "x".into(),
            job: "shop".into(),
            group: "web".into(),
            node: "n".into(),
            node_name: "n".into(),
            status: AllocStatus::Running,
            desired_run: true,
            resources: Resources::default(),
            ports: Default::default(),
            created: Moment(0),
        };
        world.nodes = Seen::known(vec![node].into(), at);
        world.allocs = Seen::known(vec![alloc].into(), at);
        let mut front = Front::default();
        for (gateway, passing) in [("a", from_a), ("b", from_b)] {
            let entries = Seen::known(vec![entry(passing)].into(), at);
            front.entries.insert(gateway.into(), entries);
        }
        world.fronts.insert("shop-web".into(), front);
        world
    }

    /// What is remembered after these looks, each some seconds after the one before.
    fn after(looks: &[(i64, bool, bool, bool)]) -> Vec<(i64, String, bool)> {
        let mut state = State::default();
        for (at, a, b, running) in looks {
            let now = Moment(at * 1000);
            let world = world(now, *a, *b, *running);
            let moved = Moved::since(&mut state, &world, now);
            notice(&mut state, &world, &moved, now);
        }
        let events = state.history.availability.iter();
        events
            .filter(|e| e.kind == SubjectKind::Link)
            .map(|e| (e.at.0 / 1000, e.subject.clone(), e.up))
            .collect()
    }

    #[test]
    fn a_link_is_cut_when_only_one_side_no_longer_sees_what_runs() {
        let seen = after(&[
            (0, true, true, true),
            (5, false, true, true),
            (16, false, true, true),
            (30, true, true, true),
        ]);
        let name = "a – p".to_string();
        assert_eq!(seen, [(5, name.clone(), false), (30, name, true)]);
    }

    #[test]
    fn an_instance_or_a_node_that_fails_is_no_link() {
        let failing = [
            (0, true, true, true),
            (5, false, false, true),
            (30, false, false, true),
        ];
        assert_eq!(after(&failing), []);
        let down = [
            (0, true, true, true),
            (5, false, true, false),
            (30, false, true, false),
        ];
        assert_eq!(after(&down), []);
    }

    #[test]
    fn checks_that_do_not_run_at_once_cut_nothing() {
        let early = [
            (0, true, true, true),
            (5, false, true, true),
            (9, false, false, true),
        ];
        assert_eq!(after(&early), []);
    }
}
