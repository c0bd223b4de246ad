//! What stands in for a shadow's upstreams in its job, and calls that nobody declared.

use crate::common;
use crate::estate::shop;
use foreshadow::model::*;
use foreshadow::planner::{derive, portions};
use serde_json::json;

fn stub(name: &str) -> UpstreamPolicy {
    UpstreamPolicy {
        name: name.into(),
        env: UpstreamPolicy::usual_env(name),
        instead: Instead::Stub {
            recording: vec![],
            latency: Millis(5.0),
        },
    }
}

fn portion(stand_ins: Vec<UpstreamPolicy>) -> PortionPolicy {
    PortionPolicy {
        id: "web".into(),
        stand_ins,
        ..common::policy().portions.remove(0)
    }
}

fn shadow(live: &JobSpec, portion: &PortionPolicy) -> Result<JobSpec, String> {
    let (node, deadline) = (common::node("provider-a", 2), common::NOW + Span::secs(45));
    derive::shadow(live, portion, &node, &"web-1".into(), deadline)
}

#[test]
fn a_task_beside_the_shadows_own_stands_in_and_the_others_are_told_where() {
    let door = UpstreamPolicy {
        env: "SEARCH".into(),
        instead: Instead::ProductionReadonly {
            methods: vec!["GET".into()],
        },
        ..stub("shop-search")
    };
    let wanted = vec![stub("shop-cart"), door];
    let job = shadow(&shop(), &portion(wanted.clone())).expect("a shadow");
    let group = &job.value()["TaskGroups"][0];
    let ports: Vec<&str> = group["Networks"][0]["DynamicPorts"]
        .as_array()
        .expect("ports")
        .iter()
        .filter_map(|p| p["Label"].as_str())
        .collect();
    assert_eq!(ports, ["http", "foreshadow_up_0", "foreshadow_up_1"]);
    let (own, beside) = (&group["Tasks"][0], &group["Tasks"][1]);
    assert_eq!(
        own["Env"]["UPSTREAM_SHOP_CART"],
        "${NOMAD_ADDR_foreshadow_up_0}"
    );
    assert_eq!(own["Env"]["SEARCH"], "${NOMAD_ADDR_foreshadow_up_1}");
    assert_eq!(
        own["Env"]["CART"], "http://shop-cart-origin:8080/items",
        "the rest of its environment stays"
    );
    assert_eq!(beside["Name"], UPSTREAMS_TASK);
    assert_eq!(beside["Driver"], "raw_exec");
    let plan = beside["Env"][UPSTREAMS_PLAN].as_str().expect("a plan");
    let plan: Vec<UpstreamPolicy> = serde_json::from_str(plan).expect("upstreams");
    assert_eq!(plan, wanted);
    assert!(own["Env"].get(UPSTREAMS_PLAN).is_none());
}

#[test]
fn beside_containers_it_is_a_task_of_the_node_which_they_reach_unless_their_network_keeps_them_from_it()
 {
    let made = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut live = shop();
        live.edit()["TaskGroups"][0]["Tasks"][0]["Driver"] = json!("docker");
        change(&mut live.edit()["TaskGroups"][0]);
        shadow(&live, &portion(vec![stub("shop-cart")]))
    };
    let job = made(&|_| {}).expect("a shadow");
    let tasks = &job.value()["TaskGroups"][0]["Tasks"];
    assert_eq!(
        (&tasks[0]["Driver"], &tasks[1]["Driver"]),
        (&json!("docker"), &json!("raw_exec"))
    );
    assert_eq!(
        tasks[0]["Env"]["UPSTREAM_SHOP_CART"],
        "${NOMAD_ADDR_foreshadow_up_0}"
    );
    for mode in ["host", "bridge", "shop-net"] {
        let own = |g: &mut serde_json::Value| g["Tasks"][0]["Config"]["network_mode"] = json!(mode);
        assert!(made(&own).is_ok(), "{mode}");
    }
    for mode in ["none", "container:abc"] {
        let own = |g: &mut serde_json::Value| g["Tasks"][0]["Config"]["network_mode"] = json!(mode);
        let why = made(&own).expect_err("it cannot be reached");
        assert!(why.contains(&format!("the network {mode}")), "{why}");
    }
    let why = made(&|g| g["Networks"][0]["Mode"] = json!("bridge")).expect_err("another network");
    assert!(
        why.contains("network mode bridge") && why.contains("mode host"),
        "{why}"
    );
    let why = made(&|g| g["Tasks"][0]["Driver"] = json!("qemu")).expect_err("no such task");
    assert!(
        why.contains("not of qemu") && why.contains("leave the upstream blocks out"),
        "{why}"
    );
    let mut qemu = shop();
    qemu.edit()["TaskGroups"][0]["Tasks"][0]["Driver"] = json!("qemu");
    assert!(shadow(&qemu, &portion(vec![])).is_ok());
}

#[test]
fn a_url_that_names_an_upstream_leads_to_what_stands_in_for_it() {
    let mut live = shop();
    let mut edit = live.edit();
    let task = &mut edit["TaskGroups"][0]["Tasks"][0];
    task["Config"]["args"] = json!([
        "--cart",
        "http://shop-cart:8080/items",
        "http://shop-cart-2:80/"
    ]);
    task["Env"] = json!({
        "A": "http://shop-cart.service.consul/x,http://other/y",
        "B": "https://shop-cart/",
        "C": "shop-cart",
    });
    task["Templates"] = json!([{"EmbeddedTmpl": "url = \"http://shop-cart:8080\""}]);
    drop(edit);
    let job = shadow(&live, &portion(vec![stub("shop-cart")])).expect("a shadow");
    let own = &job.value()["TaskGroups"][0]["Tasks"][0];
    let there = "http://${NOMAD_ADDR_foreshadow_up_0}";
    assert_eq!(own["Config"]["args"][1], format!("{there}/items"));
    assert_eq!(
        own["Config"]["args"][2], "http://shop-cart-2:80/",
        "another service"
    );
    assert_eq!(own["Env"]["A"], format!("{there}/x,http://other/y"));
    assert_eq!(own["Env"]["B"], "https://shop-cart/", "it speaks no TLS");
    assert_eq!(own["Env"]["C"], "shop-cart");
    let template = own["Templates"][0]["EmbeddedTmpl"].as_str();
    assert_eq!(
        template,
        Some("url = \"http://{{ env \"NOMAD_ADDR_foreshadow_up_0\" }}\"")
    );
}

/// Why web cannot be shadowed when its task has this environment and template, if so.
fn refused(env: &str, template: &str, stand_ins: Vec<UpstreamPolicy>) -> Option<String> {
    let mut live = shop();
    live.edit()["TaskGroups"][0]["Tasks"][0]["Env"]["CALLS"] = json!(env);
    live.edit()["TaskGroups"][0]["Tasks"][0]["Templates"] = json!([{"EmbeddedTmpl": template}]);
    let mut policy = common::policy();
    policy.portions = vec![portion(stand_ins)].into();
    let found = portions(&live, Some(&policy));
    let web = found.into_iter().find(|p| p.id == PortionId::from("web"));
    web.expect("web").not_shadowable
}

#[test]
fn egress_that_nobody_declared_is_a_finding() {
    assert_eq!(
        refused("", "", vec![]),
        None,
        "the workload's own services are known"
    );
    for quiet in [
        "http://shop-cart-origin:8080/items",
        "http://shop-cart-origin.service.consul/",
        "http://127.0.0.1:9000/",
        "http://${NOMAD_ADDR_http}/",
        "plain words",
    ] {
        assert_eq!(refused(quiet, "", vec![]), None, "{quiet}");
    }
    let why = refused("https://user@pay.example.com:443/v1", "", vec![]).expect("a finding");
    assert!(
        why.contains("it calls pay.example.com, which the policy does not declare")
            && why.contains("add upstream \"pay.example.com\""),
        "{why}"
    );
    let template = "{{ range service \"blue.mail@dc2\" }}{{ .Address }}{{ end }}";
    let why = refused("", template, vec![]).expect("a finding");
    assert!(why.contains("it calls mail,"), "{why}");
    let both = refused("https://pay.example.com/", template, vec![stub("mail")]);
    assert!(both.is_some_and(|w| w.contains("it calls pay.example.com,")));
    let declared = vec![stub("mail"), stub("pay.example.com:443")];
    assert_eq!(
        refused("https://pay.example.com/", template, declared),
        None
    );
}
