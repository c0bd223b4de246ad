//! Who may do what: the answers a real Nomad 1.0.18 with ACLs gave to the same tokens, asked of the sandbox's.

use crate::access_calls::{CALLS, EVERYONE, JOB, NIL, POLICIES};
use crate::fake::{Answer, Estate};
use foreshadow::sandbox::nomad::NodeConfig;
use serde_json::{Value, json};
use std::collections::BTreeMap;

struct Access {
    estate: Estate,
    tokens: BTreeMap<&'static str, String>,
}

impl Access {
    async fn start() -> Access {
        let nodes = vec![NodeConfig::new("edge-a-1", "edge-a", "127.0.10.1")];
        let estate = Estate::start(nodes, |c| c.acl = true).await;
        let first = estate.call("POST", "/v1/acl/bootstrap", None).await.json();
        let secret = |token: &Value| token["SecretID"].as_str().expect("a secret").to_string();
        let mut access = Access {
            estate,
            tokens: [("anonymous", String::new()), ("management", secret(&first))].into(),
        };
        for (name, rules) in POLICIES {
            let policy = json!({"Name": name, "Rules": rules});
            let path = format!("/v1/acl/policy/{name}");
            access.manage("POST", &path, Some(policy)).await;
            let token = json!({"Name": name, "Type": "client", "Policies": [name]});
            let token = access.manage("POST", "/v1/acl/token", Some(token)).await;
            access.tokens.insert(name, secret(&token.json()));
        }
        let namespace = json!({"Name": "dev"});
        access
            .manage("POST", "/v1/namespace", Some(namespace))
            .await;
        access
    }

    async fn ask(&self, who: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let token = &self.tokens[who];
        self.estate.call_as(token, method, path, body).await
    }

    async fn manage(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let answer = self.ask("management", method, path, body.as_ref()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer
    }
}

#[tokio::test]
async fn each_token_may_do_what_its_policies_say_and_nothing_else() {
    let access = Access::start().await;
    let job: Value = serde_json::from_str(JOB).expect("JSON");
    access.manage("POST", "/v1/jobs", Some(job)).await;
    let mut asked = 0;
    for (method, path, body, allowed) in CALLS {
        let path = path.replace("NIL", NIL);
        let body = body.replace("NIL", NIL);
        let body: Option<Value> =
            (!body.is_empty()).then(|| serde_json::from_str(&body).expect("JSON"));
        for who in access.tokens.keys() {
            let answer = access.ask(who, method, &path, body.as_ref()).await;
            let expected = *allowed == EVERYONE || allowed.split(' ').any(|a| a == *who);
            let refused = answer.status == 403 || answer.body == "Permission denied";
            assert_eq!(
                refused, !expected,
                "{who}: {method} {path} {body:?}: {} {}",
                answer.status, answer.body
            );
            if refused {
                assert_eq!(answer.body, "Permission denied", "{who}: {method} {path}");
            }
            asked += 1;
        }
    }
    println!("requests with a token, each allowed or refused as by a real Nomad: {asked}");
}

#[tokio::test]
async fn a_token_nobody_has_is_refused_in_nomads_words() {
    let access = Access::start().await;
    let cases = [
        (NIL, "/v1/nodes", 403, "ACL token not found"),
        (
            "short",
            "/v1/nodes",
            500,
            "acl token lookup failed: index error: UUID must be 36 characters",
        ),
        (
            "short",
            "/v1/agent/self",
            500,
            "failed to resolve ACL token: acl token lookup failed: index error: UUID must be 36 characters",
        ),
        (NIL, "/v1/acl/token/self", 404, "ACL token not found"),
        (
            "",
            "/v1/acl/token/self",
            500,
            "acl token lookup failed: missing secret id",
        ),
        (NIL, "/v1/status/leader", 200, "\"127.0.0.1:4647\""),
    ];
    for (token, path, status, body) in cases {
        let answer = access.estate.call_as(token, "GET", path, None).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (status, body),
            "{path}"
        );
    }
    let again = access.estate.call("POST", "/v1/acl/bootstrap", None).await;
    assert_eq!(again.status, 400);
    assert!(
        again
            .body
            .starts_with("ACL bootstrap already done (reset index: ")
    );
}

#[tokio::test]
async fn without_acls_there_is_nothing_to_manage_and_nothing_refused() {
    let estate = Estate::start(vec![NodeConfig::new("a", "edge", "127.0.10.1")], |_| ()).await;
    for path in ["/v1/acl/policies", "/v1/acl/tokens", "/v1/acl/token/self"] {
        let answer = estate.call("GET", path, None).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (400, "ACL support disabled")
        );
    }
    let nodes = estate.call_as("whatever", "GET", "/v1/nodes", None).await;
    assert_eq!(nodes.status, 200);
}

#[tokio::test]
async fn an_allocation_is_hidden_from_a_token_without_read_job_and_its_stop_refused() {
    let access = Access::start().await;
    let job = json!({"Job": {"ID": "a", "Name": "a", "Datacenters": ["edge-a"], "TaskGroups": [{"Name": "g",
        "Tasks": [{"Name": "x", "Driver": "raw_exec", "Config": {"command": "/bin/true"}}]}]}});
    let registered = access.manage("POST", "/v1/jobs", Some(job)).await.json();
    let eval = format!(
        "/v1/evaluation/{}",
        registered["EvalID"].as_str().expect("ID")
    );
    let management = access.tokens["management"].clone();
    access
        .estate
        .until_as(&management, &eval, |e| e["Status"] == "complete")
        .await;
    let all = access.manage("GET", "/v1/allocations", None).await.json();
    let id = all[0]["ID"].as_str().expect("an allocation");
    let path = format!("/v1/allocation/{id}");
    let hidden = access.ask("node-reader", "GET", &path, None).await;
    assert_eq!(hidden.status, 500);
    assert_eq!(hidden.body, format!("Unknown allocation {id:?}"));
    let stop = format!("{path}/stop");
    for (who, status) in [("reader", 403), ("lister", 403), ("stopper", 200)] {
        let answer = access.ask(who, "PUT", &stop, None).await;
        assert_eq!(answer.status, status, "{who}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_job_carries_the_accessor_of_who_registered_it() {
    let access = Access::start().await;
    let job: Value = serde_json::from_str(JOB).expect("JSON");
    let sent = access.ask("writer", "POST", "/v1/jobs", Some(&job)).await;
    assert_eq!(sent.status, 200);
    let own = access
        .ask("writer", "GET", "/v1/acl/token/self", None)
        .await
        .json();
    let kept = access.ask("writer", "GET", "/v1/job/t", None).await.json();
    assert_eq!(kept["NomadTokenID"], own["AccessorID"]);
    let again = access.manage("POST", "/v1/jobs", Some(job)).await.json();
    let kept = access.ask("writer", "GET", "/v1/job/t", None).await.json();
    assert_eq!(
        (&kept["Version"], &kept["JobModifyIndex"]),
        (&json!(1), &again["JobModifyIndex"])
    );
}

#[tokio::test]
async fn the_policies_that_foreshadow_ships_let_its_scheduler_act_and_no_more() {
    let nodes = vec![NodeConfig::new("edge-a-1", "edge-a", "127.0.10.1")];
    let estate = Estate::start(nodes, |c| c.acl = true).await;
    let secrets = estate.handle.secrets().expect("ACLs are on");
    let job: Value = serde_json::from_str(JOB).expect("JSON");
    let drain = format!("/v1/node/{NIL}/drain");
    let cases = [
        ("GET", "/v1/nodes?resources=true", None, 200),
        ("GET", "/v1/agent/self", None, 200),
        ("POST", "/v1/job/t/plan", Some(&job), 200),
        ("POST", "/v1/jobs", Some(&job), 200),
        ("GET", "/v1/allocations", None, 200),
        ("GET", "/v1/job/t", None, 200),
        ("DELETE", "/v1/job/t?purge=true", None, 200),
        ("POST", drain.as_str(), Some(&json!({})), 403),
        ("GET", "/v1/operator/scheduler/configuration", None, 403),
        ("GET", "/v1/acl/tokens", None, 403),
        ("POST", "/v1/jobs?namespace=dev", Some(&job), 403),
    ];
    for (method, path, body, status) in cases {
        let answer = estate.call_as(&secrets.scheduler, method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
    }
    let all = estate
        .call_as(&secrets.management, "GET", "/v1/acl/tokens", None)
        .await;
    assert_eq!(all.status, 200);
    let again = estate.handle.secrets().expect("the same ones");
    assert_eq!(again.management, secrets.management);
    assert!(!format!("{secrets:?}").contains(&secrets.management));
    let closed = estate.call("POST", "/v1/acl/bootstrap", None).await;
    assert_eq!(closed.status, 400, "{}", closed.body);
}
