//! What the doctor is told of owners that no other test asks about: each thing that does not fit comes with its remedy.

use super::*;
use foreshadow::act::owners::{Case, Finding, preflight};
use foreshadow::settings;
use serde_json::{Value, json};

fn job(connect: Value) -> JobSpec {
    let service = json!({"Name": SERVICE, "Connect": connect});
    JobSpec::new(json!({"ID": "one", "TaskGroups": [{"Name": "web", "Services": [service]}]}))
}

async fn found(bench: &Bench, owner: Owner, job: &JobSpec) -> (Vec<String>, Vec<String>) {
    let policy = settings::parse_policy("web.hcl", &policy("front")).unwrap();
    let case = Case {
        service: &SERVICE.into(),
        portion: &policy.portions[0],
        job: Some(job),
    };
    let all = preflight(owner, &bench.desk, &case).await.unwrap();
    let (good, bad): (Vec<Finding>, Vec<Finding>) = all.into_iter().partition(|f| f.good);
    let texts = |of: Vec<Finding>| of.into_iter().map(|f| f.text).collect();
    (texts(good), texts(bad))
}

#[tokio::test]
async fn a_mesh_that_is_off_or_speaks_tcp_or_has_a_splitter_of_its_own_is_told_with_the_remedy() {
    let sidecar = job(json!({"SidecarService": {}}));
    let Some(agent) = Agent::start("owner-no-mesh", "127.0.214.13", "") else {
        return;
    };
    let (_, bad) = found(&Bench::start(&agent, None), Owner::Mesh, &sidecar).await;
    assert!(
        bad.len() == 1 && bad[0].contains("connect { enabled = true }"),
        "{bad:?}"
    );

    let more = r#", "connect": {"enabled": true}"#;
    let agent = Agent::start("owner-preflight", "127.0.214.14", more).unwrap();
    let bench = Bench::start(&agent, None);
    let (_, bad) = found(&bench, Owner::Mesh, &sidecar).await;
    assert!(
        bad.len() == 1 && bad[0].contains("Protocol = \"http\""),
        "{bad:?}"
    );
    let defaults = json!({"Kind": "service-defaults", "Name": SERVICE, "Protocol": "http"});
    assert!(bench.consul.config_cas(&defaults, 0).await.unwrap());
    let (good, bad) = found(&bench, Owner::Mesh, &sidecar).await;
    assert!(
        bad.is_empty() && good[0].contains("speaks http"),
        "{good:?} {bad:?}"
    );
    let (_, bad) = found(&bench, Owner::Mesh, &job(Value::Null)).await;
    assert!(
        bad.len() == 1 && bad[0].contains("sidecar_service"),
        "{bad:?}"
    );
    let own = json!({"Kind": "service-splitter", "Name": SERVICE, "Splits": [{"Weight": 100.0}]});
    assert!(bench.consul.config_cas(&own, 0).await.unwrap());
    let (_, bad) = found(&bench, Owner::Mesh, &sidecar).await;
    assert!(bad.len() == 1 && bad[0].contains("remove it"), "{bad:?}");
    let (_, bad) = found(&bench, Owner::Agent, &sidecar).await;
    assert!(
        bad.iter().any(|b| b.contains("set owner = \"mesh\"")),
        "{bad:?}"
    );
}

#[tokio::test]
async fn external_wants_consul_esm_and_no_agent_beside_the_instance() {
    let ip = "127.0.214.15";
    let Some(agent) = Agent::start("owner-esm", ip, "") else {
        return;
    };
    let bench = Bench::start(&agent, None);
    let backend = Backend::start(ip);
    bench
        .consul
        .register(&nomads_own(&alloc(1), &backend))
        .await
        .unwrap();
    bench.until("it is listed", |e| e.len() == 1).await;
    let (_, bad) = found(&bench, Owner::External, &job(Value::Null)).await;
    assert!(bad.len() == 2, "{bad:?}");
    assert!(
        bad[0].contains("start consul-esm") && bad[1].contains("take the service out"),
        "{bad:?}"
    );
    let esm = Registration {
        id: "esm".into(),
        name: "consul-esm".into(),
        passing_weight: 1,
        warning_weight: 1,
        ..Registration::default()
    };
    bench.consul.register(&esm).await.unwrap();
    bench
        .consul
        .deregister(&nomads_own(&alloc(1), &backend).id)
        .await
        .unwrap();
    bench.until("it is gone", <[ServiceEntry]>::is_empty).await;
    let (good, bad) = found(&bench, Owner::External, &job(Value::Null)).await;
    assert!(bad.is_empty() && good.len() == 2, "{good:?} {bad:?}");
}
