//! How far places are from what a portion calls, and what that changes.

use crate::common::{self, NOW};
use crate::outlook::{Stage, placed};
use foreshadow::model::*;
use foreshadow::planner::distance::Ways;
use foreshadow::planner::portions;

fn link(from: &str, to: &str, rtt: f64) -> Link {
    Link {
        from: from.into(),
        to: to.into(),
        rtt: Millis(rtt),
    }
}

/// Web calls cart, whose two instances are at edge-a and edge-b.
fn calls_cart(policy: &mut Policy, world: &mut World) {
    let cart = PortionPolicy {
        id: "cart".into(),
        groups: vec!["cart".into()],
        front: Some("shop-cart".into()),
        standby: false,
        ..policy.portions[0].clone()
    };
    policy.portions[0].depends_on = vec!["cart".into()];
    policy.portions.push(cart);
    if let Seen::Known { value, .. } = &mut world.allocs {
        for (n, site) in [(8, "edge-a"), (9, "edge-b")] {
            let mut alloc = common::alloc(n, "shop", site, 2);
            alloc.group = "cart".into();
            value.put(alloc);
        }
    }
}

#[test]
fn ways_that_no_shadow_has_measured_are_the_mean_over_what_is_called() {
    let (mut policy, mut world) = (common::policy(), common::world());
    calls_cart(&mut policy, &mut world);
    let links = vec![
        link("provider-a", "edge-a", 10.0),
        link("edge-b", "provider-a", 30.0),
    ];
    world.links = Seen::known(links, NOW);
    let block = |instead| UpstreamPolicy {
        name: "shop-cart".into(),
        env: "CART".into(),
        instead,
    };
    let door = Instead::ProductionReadonly {
        methods: vec!["GET".into()],
    };
    let stub = Instead::Stub {
        recording: vec![],
        latency: Millis(1.0),
    };
    use Upstreams::{ProductionReadonly, Shadow, Stub};
    let cases = [
        (Stub, vec![], 20.0),
        (Shadow, vec![], 20.0),
        (ProductionReadonly, vec![], 0.0),
        (Stub, vec![block(door)], 0.0),
        (ProductionReadonly, vec![block(stub)], 20.0),
    ];
    for (upstreams, stand_ins, expected) in cases {
        policy.portions[0].upstreams = upstreams;
        policy.portions[0].stand_ins = stand_ins;
        let found = portions(&common::job(), Some(&policy));
        let ways = Ways::new(&world, &policy, &found);
        let at = |site: &str| ways.unmeasured(&"web".into(), &site.into());
        assert_eq!(at("provider-a"), Millis(expected), "{upstreams:?}");
        assert_eq!(at("provider-b"), Millis(0.0), "nobody has measured it");
        let none = ways.unmeasured(&"cart".into(), &"provider-a".into());
        assert_eq!(none, Millis(0.0), "it calls nobody");
    }
}

#[test]
fn of_two_places_alike_the_one_nearer_to_what_is_called_is_chosen_and_the_reason_says_how_near() {
    for (near, far) in [("provider-a", "provider-b"), ("provider-b", "provider-a")] {
        let mut stage = Stage::new().demand(45.0);
        stage.policy.sites = ["provider-a", "provider-b"].map(Site::from).to_vec();
        calls_cart(&mut stage.policy, &mut stage.world);
        let mut links = Vec::new();
        for (site, rtt) in [(near, 20.0), (far, 60.0)] {
            // As far from its clients as the other one.
            links.push(link("edge-a", site, 20.0));
            links.push(link("edge-b", site, 20.0));
            links.push(link("provider-c", site, rtt));
        }
        stage.world.links = Seen::known(links, NOW);
        if let Seen::Known { value, .. } = &mut stage.world.nodes {
            let mut all: Vec<Node> = value.iter().cloned().collect();
            all.push(common::node("provider-c", 1));
            *value = all.into_iter().collect();
        }
        if let Seen::Known { value, .. } = &mut stage.world.allocs {
            for n in [8, 9] {
                let mut alloc = common::alloc(n, "shop", "provider-c", 1);
                alloc.group = "cart".into();
                value.put(alloc);
            }
        }
        let plan = stage.plan();
        let placed = placed(&plan);
        let (site, _, _, why) = &placed[0];
        assert_eq!(site, near, "{why}");
        assert!(why.contains("; 20 ms to what it calls"), "{why}");
    }
}
