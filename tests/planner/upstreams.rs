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
    let group = &job.0["TaskGroups"][0];
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
fn a_driver_that_cannot_run_the_stand_in_is_refused_with_what_to_do() {
    let mut live = shop();
    live.0["TaskGroups"][0]["Tasks"][0]["Driver"] = json!("docker");
    let why = shadow(&live, &portion(vec![stub("shop-cart")])).expect_err("no such task");
    assert!(
        why.contains("not of docker") && why.contains("leave the upstream blocks out"),
        "{why}"
    );
    assert!(shadow(&live, &portion(vec![])).is_ok());
}

/// Why web cannot be shadowed when its task has this environment and template, if so.
fn refused(env: &str, template: &str, stand_ins: Vec<UpstreamPolicy>) -> Option<String> {
    let mut live = shop();
    live.0["TaskGroups"][0]["Tasks"][0]["Env"]["CALLS"] = json!(env);
    live.0["TaskGroups"][0]["Tasks"][0]["Templates"] = json!([{"EmbeddedTmpl": template}]);
    let mut policy = common::policy();
    policy.portions = vec![portion(stand_ins)];
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
