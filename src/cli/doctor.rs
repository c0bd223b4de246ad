//! `foreshadow doctor`: one line for each thing that must work, with the remedy where it does not.

mod names;

use super::args::{ConfigArgs, Format};
use super::loop_::{found, read, runtime};
use super::{Exit, exit};
use crate::act::SERVICE;
use crate::act::owners::{self, Case, Desk};
use crate::clients::consul::Consul;
use crate::clients::gateway::Gateway;
use crate::clients::http::{HttpError, System};
use crate::clients::nomad::{Agent, Nomad, Topic};
use crate::engine::clock;
use crate::engine::house::GatewaySetup;
use crate::model::{JobId, JobSpec, Policy, PortionPolicy, Seen, counted, keys};
use crate::observe::META_ALLOC;
use crate::planner::owner;
use crate::settings;
use serde::Serialize;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

/// Which features this Nomad has, and from which version on it would have the others.
fn features(agent: &Agent) -> String {
    let all = agent.features().all();
    let has: Vec<&str> = all.iter().filter(|f| f.2).map(|f| f.0).collect();
    let lacks: Vec<String> = all
        .iter()
        .filter(|f| !f.2)
        .map(|(name, since, _)| format!("{name} (from {since} on)"))
        .collect();
    match (has.is_empty(), lacks.is_empty()) {
        (_, true) => has.join(", "),
        (true, _) => format!("none of {}", lacks.join(", ")),
        _ => format!("{}; not {}", has.join(", "), lacks.join(", ")),
    }
}

/// A rule of an ACL policy, and the file of this repository that has it.
struct Right {
    rule: &'static str,
    file: &'static str,
}

/// What looking needs …
const AGENT: Right = Right {
    rule: "agent { policy = \"read\" }",
    file: "nomad-watch.hcl",
};
const NODES: Right = Right {
    rule: "node { policy = \"read\" }",
    file: "nomad-watch.hcl",
};
const JOBS: Right = Right {
    rule: "namespace \"default\" { capabilities = [\"list-jobs\", \"read-job\"] }",
    file: "nomad-watch.hcl",
};
const CONSUL_AGENT: Right = Right {
    rule: "agent_prefix \"\" { policy = \"read\" }",
    file: "consul-watch.hcl",
};
const KEYS: Right = Right {
    rule: "key_prefix \"foreshadow/\" { policy = \"read\" }",
    file: "consul-watch.hcl",
};
/// … and acting.
const SUBMIT: Right = Right {
    rule: "namespace \"default\" { capabilities = [\"submit-job\"] }",
    file: "nomad-act.hcl",
};
const KEYS_WRITE: Right = Right {
    rule: "key_prefix \"foreshadow/\" { policy = \"write\" }",
    file: "consul-act.hcl",
};
const NOTES_WRITE: Right = Right {
    rule: "key_prefix \"foreshadow-notes/\" { policy = \"write\" }",
    file: "consul-act.hcl",
};

/// A condition that no key meets: asked for, it writes nothing, and a denial shows all the same.
const NEVER: u64 = u64::MAX;

/// Tells what was found, as it is found, and keeps it for those who read it as one document.
struct Findings {
    format: Format,
    all: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    ok: bool,
    what: String,
    text: String,
}

impl Findings {
    fn found(&mut self, ok: bool, what: &str, text: &str) {
        if self.format == Format::Text {
            let word = if ok { "ok  " } else { "FAIL" };
            println!("{word}  {what}: {text}");
        }
        let (what, text) = (what.to_string(), text.to_string());
        self.all.push(Finding { ok, what, text });
    }

    fn good(&mut self, what: &str, text: &str) {
        self.found(true, what, text);
    }

    fn bad(&mut self, what: &str, why: &str) {
        self.found(false, what, why);
    }

    fn tell(&mut self, what: &str, result: Result<String, HttpError>) {
        match result {
            Ok(text) => self.good(what, &text),
            Err(e) => self.bad(what, &e.to_string()),
        }
    }

    /// How it ends, once all is told.
    fn end(self) -> Result<ExitCode, Exit> {
        let bad = self.all.iter().filter(|f| !f.ok).count();
        if self.format == Format::Json {
            let document = serde_json::json!({ "findings": self.all, "bad": bad });
            println!("{document}");
        }
        Ok(match bad {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::from(exit::CHANGES),
        })
    }

    /// The same of what a token must be given; a denial names the rule.
    fn tell_right(&mut self, what: &str, right: &Right, result: Result<String, HttpError>) {
        match result {
            Err(HttpError::Denied { system, .. }) => {
                self.lacks(what, system, right.rule, right.file);
            }
            other => self.tell(what, other),
        }
    }

    fn lacks(&mut self, what: &str, system: System, rule: &str, file: &str) {
        self.bad(
            what,
            &format!("the token for {system} lacks the rule `{rule}` (policies/acl/{file} has it)"),
        );
    }

    async fn of_nomad(&mut self, nomad: &Nomad) {
        let agent = nomad.agent_self().await;
        let has = agent.as_ref().ok().map(features);
        let version = agent.map(|a| format!("version {}", a.version_text()));
        self.tell_right("Nomad", &AGENT, version);
        if let Some(has) = has {
            self.tell("Nomad features", Ok(has));
        }
        let nodes = nomad.nodes(None).await;
        let nodes = nodes.map(|n| counted(n.value.len(), "node"));
        self.tell_right("Nomad nodes", &NODES, nodes);
        let allocs = nomad.allocations(None).await;
        let allocs = allocs.map(|a| counted(a.value.len(), "allocation"));
        self.tell_right("Nomad allocations", &JOBS, allocs);
        let events = nomad.event_stream(&[Topic::Node, Topic::Allocation, Topic::Evaluation], 0);
        let events = match events.await {
            Ok(_) => Ok("followed".to_string()),
            Err(HttpError::Denied { .. } | HttpError::NotFound { .. }) => {
                Ok("refused; lists are watched instead".to_string())
            }
            Err(e) => Err(e),
        };
        self.tell("Nomad events", events);
    }

    async fn of_gateway(&mut self, gateway: &GatewaySetup, consul: &Consul, dc: Option<&str>) {
        let version = consul.agent_self().await.map(|a| {
            let (node, dc, version) = (a.node_name(), a.datacenter(), a.version_text());
            format!("{node} in {dc}, version {version}")
        });
        self.tell_right(
            &format!("Consul agent of {}", gateway.id),
            &CONSUL_AGENT,
            version,
        );
        let hold = consul.kv_get(keys::HOLD, dc, true, None).await;
        let hold = hold.map(|k| k.value.map_or("clear", |_| "set").to_string());
        self.tell_right(
            &format!("foreshadow/hold through {}", gateway.id),
            &KEYS,
            hold,
        );
    }

    /// The rights to act, asked for without an effect: a job planned as it is, a key written on a condition that cannot be met.
    async fn of_rights(
        &mut self,
        policies: &[Policy],
        nomad: &Nomad,
        consul: &Consul,
        dc: Option<&str>,
    ) {
        for (under, right) in [(keys::ROOT, &KEYS_WRITE), (keys::NOTES, &NOTES_WRITE)] {
            let key = format!("{under}doctor");
            let written = consul.kv_cas(&key, b"", NEVER, dc).await;
            let written = written.map(|_| "may be written".to_string());
            self.tell_right(&format!("keys under {under}"), right, written);
        }
        let jobs: BTreeSet<&JobId> = policies
            .iter()
            .flat_map(|p| &p.portions)
            .map(|p| &p.job)
            .collect();
        for id in jobs {
            let what = format!("job {id}");
            match nomad.job(id.as_str(), None).await.map(|j| j.value) {
                Ok(Some(job)) => {
                    let planned = nomad.plan(&without_volumes(job.spec)).await;
                    self.tell_right(&what, &SUBMIT, planned.map(|_| "may be submitted".into()));
                }
                Ok(None) => {} // That is told of already.
                Err(e) => self.tell_right(&what, &JOBS, Err(e)),
            }
        }
    }

    /// The rights to write services and sessions through this gateway's agent, which Consul tells of. The lock's session and our own
    /// entry are at the first gateway's.
    async fn of_services(
        &mut self,
        policies: &[Policy],
        desk: &Desk,
        (first, dc): (bool, Option<&str>),
    ) {
        let Gateway { id, consul, .. } = &desk.gateway;
        let portions = policies.iter().flat_map(|p| &p.portions);
        let fronts = portions.filter(|p| p.owner.is_front());
        let fronts: BTreeSet<&str> = fronts
            .filter_map(|p| Some(p.front.as_ref()?.as_str()))
            .collect();
        let mut wanted: Vec<(&str, &str)> = fronts.into_iter().map(|f| ("service", f)).collect();
        let Ok(agent) = consul.agent_self().await else {
            return; // That is told of already.
        };
        if first {
            wanted.push(("service", SERVICE));
            // One of another datacenter is of a node there.
            if dc.is_none_or(|dc| dc == agent.datacenter()) {
                wanted.push(("session", agent.node_name()));
            }
        }
        let asked = wanted.iter().map(|(of, name)| (*of, "write", *name));
        let may = consul.allowed(&asked.collect::<Vec<_>>(), None).await;
        let what = format!("services and sessions through {id}");
        let may = match may {
            Ok(may) => may,
            Err(e @ HttpError::Denied { .. }) => return self.bad(&what, &e.to_string()),
            Err(e) => {
                let text = format!("whether they may be written shows at the first act ({e})");
                return self.tell(&what, Ok(text));
            }
        };
        let lacking: Vec<_> = (wanted.iter().zip(&may))
            .filter(|(_, may)| !**may)
            .map(|(wanted, _)| wanted)
            .collect();
        for (of, name) in &lacking {
            let rule = format!("{of} \"{name}\" {{ policy = \"write\" }}");
            self.lacks(&what, System::Consul, &rule, "consul-act.hcl");
        }
        if lacking.is_empty() {
            self.tell(&what, Ok("may be written".into()));
        }
    }

    /// Whether gateways see a death of its instances themselves, or go by Consul's checks; either will do.
    fn of_probes(&mut self, portion: &PortionPolicy, gateways: usize) {
        let Some(service) = &portion.front else {
            return;
        };
        let text = match (portion.probe, gateways) {
            (false, _) => "off by the policy; a death is seen by Consul's checks".to_string(),
            (true, 0 | 1) => {
                "none: there is one gateway, and two must agree; a death is seen by Consul's checks"
                    .to_string()
            }
            (true, n) => format!("by {n} gateways, where each has a foreshadow of its own"),
        };
        self.tell(&format!("probes of {service}"), Ok(text));
    }

    /// Whether each front's owner of weights fits the service, Nomad and Consul as they are.
    async fn of_owners(&mut self, portion: &PortionPolicy, nomad: &Nomad, desks: &[Desk]) {
        let Some(service) = &portion.front else {
            return;
        };
        let what = format!("owner of {service}");
        let keeps = match nomad.agent_self().await {
            Ok(agent) => Seen::known(agent.features().service_weights, clock::now()),
            Err(e) => Seen::unknown(e.to_string()),
        };
        let job = match nomad.job(portion.job.as_str(), None).await {
            Ok(found) => found.value.map(|j| j.spec),
            Err(e) => return self.tell(&what, Err(e)),
        };
        let owner = match owner::owner(portion.owner, service, job.as_ref(), &keeps) {
            Ok(owner) => owner,
            Err(why) => return self.bad(&what, &why),
        };
        let case = Case {
            service,
            portion,
            job: job.as_ref(),
        };
        // What is true of Nomad or the job is the same at every gateway.
        let mut told = BTreeSet::new();
        for desk in desks {
            match owners::preflight(owner, desk, &case).await {
                Err(e) => self.tell(&format!("{what} at {}", desk.gateway.id), Err(e)),
                Ok(found) => {
                    for finding in found.into_iter().filter(|f| told.insert(f.text.clone())) {
                        self.found(finding.good, &what, &format!("{owner}: {}", finding.text));
                    }
                }
            }
        }
    }
}

/// Host volumes have rules of their own, which shadows never need.
fn without_volumes(mut job: JobSpec) -> JobSpec {
    let mut spec = job.edit();
    let groups = spec.get_mut("TaskGroups").and_then(|g| g.as_array_mut());
    for group in groups.into_iter().flatten() {
        group["Volumes"] = serde_json::Value::Null;
        let tasks = group.get_mut("Tasks").and_then(|t| t.as_array_mut());
        for task in tasks.into_iter().flatten() {
            task["VolumeMounts"] = serde_json::Value::Null;
        }
    }
    drop(spec);
    job
}

/// One line for each thing that must work, with the remedy where it does not.
pub fn doctor(args: ConfigArgs) -> Result<ExitCode, Exit> {
    let path = found(&args)?;
    runtime()?.block_on(async {
        // Without the store, which a running foreshadow holds.
        let (config, access, gateways) = read(&path)?;
        let policies = settings::policies_of(&path, &config).map_err(Exit::usage)?;
        let nomad = Arc::new(Nomad::new(&access.nomad).map_err(|e| Exit::failed(&e))?);
        let mut findings = Findings {
            format: args.format,
            all: Vec::new(),
        };
        findings.of_nomad(&nomad).await;
        findings.of_sites(&policies, &gateways, &nomad).await;
        findings.of_jobs(&policies, &nomad).await;
        let dc = config.kv_datacenter.as_deref();
        let mut desks = Vec::new();
        for gateway in &gateways {
            let consul = Arc::new(Consul::new(&gateway.consul).map_err(|e| Exit::failed(&e))?);
            findings.of_gateway(gateway, &consul, dc).await;
            desks.push(desk(gateway, consul, nomad.clone(), dc));
        }
        if let Some(desk) = desks.first().filter(|_| config.act) {
            let consul = &desk.gateway.consul;
            findings.of_rights(&policies, &nomad, consul, dc).await;
            for (k, desk) in desks.iter().enumerate() {
                findings.of_services(&policies, desk, (k == 0, dc)).await;
            }
        }
        for portion in policies.iter().flat_map(|p| &p.portions) {
            findings.of_owners(portion, &nomad, &desks).await;
            findings.of_probes(portion, desks.len());
        }
        findings.end()
    })
}

fn desk(of: &GatewaySetup, consul: Arc<Consul>, nomad: Arc<Nomad>, dc: Option<&str>) -> Desk {
    Desk {
        gateway: Gateway {
            id: of.id.clone(),
            site: of.site.clone(),
            consul,
            dns: None,
            local: of.local,
        },
        nomad: Some(nomad),
        kv_datacenter: dc.map(str::to_string),
        meta_alloc: META_ALLOC,
    }
}
