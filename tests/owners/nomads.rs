//! `nomad` and `agent` beside the sandbox's Nomad of 1.9.2, whose clients keep the weights of their entries, and a real Consul.

use super::fake::FakeRuntime;
use super::real_nomad::doctor;
use super::real_nomad::program::{Program, kind, text};
use super::*;
use foreshadow::clients::http::{Peer, System};
use foreshadow::engine::view::{LogKind, Mode};
use foreshadow::engine::{State, Workload, clock, cycle};
use foreshadow::observe::{Cluster, Sources};
use foreshadow::sandbox::nomad::{
    EstateConfig, Handle, HttpRegistrar, Mood, NodeConfig, NomadEstate,
};
use foreshadow::settings;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

struct Estate {
    ip: &'static str,
    bench: Bench,
    nomad: Arc<Nomad>,
    runtime: Arc<FakeRuntime>,
    server: Handle,
    _agent: Agent,
}

impl Estate {
    async fn start(name: &str, ip: &'static str) -> Option<Estate> {
        let agent = Agent::start(name, ip, "")?;
        // Whoever was first has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut node = NodeConfig::new("edge-a-1", "edge-a", ip);
        node.consul = Some(format!("http://{ip}:8500"));
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5));
        let client = client.build().unwrap();
        let registrar = Arc::new(HttpRegistrar::for_nodes(client, [&node], None));
        let config = EstateConfig {
            mood: Mood::V1_9_2,
            compare_every: Duration::from_millis(500),
            ..EstateConfig::new(([127, 0, 0, 1], 0).into(), vec![node])
        };
        let runtime = FakeRuntime::new("");
        let server = NomadEstate::start(config, runtime.clone(), registrar)
            .await
            .unwrap();
        let at = format!("http://{}", server.address());
        let nomad = Arc::new(Nomad::new(&Peer::plain(System::Nomad, &at).unwrap()).unwrap());
        Some(Estate {
            ip,
            bench: Bench::start(&agent, Some(nomad.clone())),
            nomad,
            runtime,
            server,
            _agent: agent,
        })
    }

    /// Its check is a connection to Consul's own agent, so it passes.
    async fn run(&self, id: &str, count: u32) {
        let check = json!({"Type": "tcp", "Name": "alive", "PortLabel": "8500", "Interval": 200_000_000, "Timeout": 1_000_000_000});
        let job = JobSpec::new(json!({
            "ID": id, "Name": id, "Type": "service", "Datacenters": ["edge-a"],
            "TaskGroups": [{
                "Name": "web", "Count": count,
                "Networks": [{"DynamicPorts": [{"Label": "http"}]}],
                "Services": [{"Name": SERVICE, "PortLabel": "http", "Checks": [check]}],
                "Tasks": [{"Name": "serve", "Driver": "raw_exec", "Config": {"command": "/bin/serve"},
                           "Resources": {"CPU": 100, "MemoryMB": 32}}],
            }],
        }));
        self.nomad.register(&job, None).await.unwrap();
    }

    /// The job's serving instances, each with its part of the percents.
    async fn instances(&self, job: &str, percent: u32) -> Vec<Instance> {
        let found = self.nomad.allocations(None).await.unwrap().value;
        let own: Vec<_> = found.iter().filter(|a| a.job_id == job).collect();
        let each = Share(percent * 100 / own.len() as u32);
        own.iter()
            .map(|a| Instance {
                share: each,
                // Where a check of ours passes.
                health: "/v1/status/leader".into(),
                ..instance(AllocId::new(a.id.as_str()), self.ip, 8500, 0)
            })
            .collect()
    }

    async fn job(&self, id: &str) -> Value {
        let found = self.nomad.job(id, None).await.unwrap();
        found.value.unwrap().spec.value()
    }

    async fn weights(&self, id: &str) -> Value {
        self.job(id).await["TaskGroups"][0]["Services"][0]["Weights"].clone()
    }

    async fn shares(&self, owner: Owner, one: u32, two: u32) -> Target {
        let mut all = self.instances("one", one).await;
        all.extend(self.instances("two", two).await);
        target(owner, all)
    }
}

/// How many entries of each weight are given out.
fn tally(found: &[(u16, u16)]) -> Vec<u16> {
    let mut all: Vec<u16> = found.iter().map(|(_, weight)| *weight).collect();
    all.sort_unstable();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nomad_writes_one_weight_a_job_in_place_and_its_clients_keep_it() {
    let Some(estate) = Estate::start("owner-nomad", "127.0.214.6").await else {
        return;
    };
    let bench = &estate.bench;
    estate.run("one", 2).await;
    estate.run("two", 1).await;
    bench.until("all pass", |e| passing(e, 3)).await;

    // 30 % over two instances and 70 % over one: 3 + 3 to 14.
    let report = bench
        .apply(&estate.shares(Owner::Nomad, 30, 70).await)
        .await;
    assert_eq!(report.weights.values().sum::<u32>(), 20, "{report:?}");
    let weight = |p: u32| json!({"Passing": p, "Warning": 1});
    assert_eq!(
        (estate.weights("one").await, estate.weights("two").await),
        (weight(3), weight(14))
    );
    let of = |e: &ServiceEntry| e.service.weights.passing;
    let all = |e: &[ServiceEntry]| e.iter().map(of).collect::<std::collections::BTreeSet<_>>();
    bench
        .until("the clients have it", |e| all(e) == [3, 14].into())
        .await;
    assert_eq!(tally(&bench.srv().await), [3, 3, 14]);
    assert_eq!(
        estate.runtime.starts.lock().unwrap().len(),
        3,
        "nothing was started anew"
    );
    assert_eq!(estate.job("two").await["Version"], 1);

    // The client's next comparisons change nothing of it: it is the job's own.
    for entry in bench.consul.agent_services().await.unwrap().values() {
        let foreign = Registration::reweighted(entry, 55).unwrap();
        bench.consul.register(&foreign).await.unwrap();
    }
    bench
        .until("a foreign weight is reset to the job's", |e| {
            all(e) == [3, 14].into()
        })
        .await;

    // 0 % is maintenance and the least weight, never 0.
    bench
        .apply(&estate.shares(Owner::Nomad, 100, 0).await)
        .await;
    let out = |e: &[ServiceEntry]| e.iter().filter(|e| e.in_maintenance()).count() == 1;
    bench.until("one is out", out).await;
    assert_eq!(
        (estate.weights("one").await, estate.weights("two").await),
        (weight(1), weight(1))
    );
    assert_eq!(tally(&bench.srv().await), [1, 1]);

    // And back.
    bench
        .apply(&estate.shares(Owner::Nomad, 50, 50).await)
        .await;
    bench
        .until("back", |e| {
            all(e) == [1, 2].into() && e.iter().all(|e| !e.in_maintenance())
        })
        .await;
    assert_eq!(tally(&bench.srv().await), [1, 1, 2]);

    // Whoever was not known to the newest target's writer changes nothing: the index that it read is gone.
    let stale = JobSpec::new(estate.job("two").await);
    let mut edited = stale.clone();
    edited.edit()["TaskGroups"][0]["Count"] = json!(2);
    estate.nomad.register(&edited, None).await.unwrap();
    let refused = estate
        .nomad
        .register(&stale, Some(stale.modify_index()))
        .await;
    assert!(refused.is_err_and(|e| e.is_stale_index()));

    // Another owner takes over: the jobs are as before the first weight.
    let front = estate.shares(Owner::Front, 50, 50).await;
    bench.apply(&front).await;
    let none = (Value::Null, Value::Null);
    assert_eq!(
        (estate.weights("one").await, estate.weights("two").await),
        none
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auto_takes_nomad_from_1_9_2_on_and_the_scheduler_verifies_what_it_wrote() {
    let ip = "127.0.214.10";
    let Some(estate) = Estate::start("owner-auto", ip).await else {
        return;
    };
    estate.run("one", 2).await;
    estate.bench.until("both pass", |e| passing(e, 2)).await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    write("web.hcl", &policy("auto"));
    let config = format!(
        "mode = \"act\"\npolicies = [\"web.hcl\"]\ncycle = \"1s\"\n\
         gateway \"edge-b\" {{\n  site = \"edge-a\"\n  dns = \"{ip}:8600\"\n}}\n"
    );
    let config = write("foreshadow.hcl", &config);
    let env = [
        ("NOMAD_ADDR", format!("http://{}", estate.server.address())),
        ("CONSUL_HTTP_ADDR", format!("{ip}:8500")),
    ];
    let told = doctor(&config, &env).await;
    println!("{}", told.join("\n"));
    assert!(
        told[0].starts_with("ok    owner of web: nomad: Nomad 1.9.2"),
        "{told:?}"
    );
    assert!(told.iter().all(|l| l.starts_with("ok")), "{told:?}");
    write("web.hcl", &policy("agent"));
    let told = doctor(&config, &env).await;
    println!("{}", told.join("\n"));
    assert!(
        told[0].starts_with("FAIL") && told[0].contains("every 30 s"),
        "{told:?}"
    );
    write("web.hcl", &policy("auto"));
    let args = ["run", "--config", &config, "--format", "json"];
    let mut scheduler = Program::start(folder.path(), &args, &env);
    scheduler.until("verified shares", PATIENCE, |line| {
        kind(line) == "verification" && text(line).starts_with("set shares verified")
    });
    scheduler.signal(Signal::SIGTERM);
    assert!(scheduler.until_its_end(PATIENCE).success());
    let key = keys::target(&SERVICE.into());
    let target = estate
        .bench
        .consul
        .kv_get(&key, None, true, None)
        .await
        .unwrap();
    let target: Target = serde_json::from_slice(&target.value.unwrap().value).unwrap();
    assert_eq!(target.owner, Owner::Nomad);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agent_beside_a_nomad_that_resets_weights_is_named_with_the_remedy() {
    let ip = "127.0.214.7";
    let Some(estate) = Estate::start("owner-fight", ip).await else {
        return;
    };
    let bench = &estate.bench;
    estate.run("one", 1).await;
    estate.run("two", 1).await;
    bench.until("both pass", |e| passing(e, 2)).await;
    // As if it had been written before Nomad was upgraded: today's planner would not.
    let fought = estate.shares(Owner::Agent, 80, 20).await;
    let report = bench.apply(&fought).await;
    assert_eq!(report.weights.values().sum::<u32>(), 5);
    let plain = |e: &[ServiceEntry]| e.iter().all(|e| e.service.weights.passing == 1);
    bench.until("Nomad has reset them", plain).await;

    let policy = settings::parse_policy("web.hcl", &policy("agent")).unwrap();
    let sources = Sources {
        nomad: estate.nomad.clone(),
        lists: estate.nomad.clone(),
        wake: None,
        gateways: vec![bench.desk.gateway.clone()],
        keeper: bench.consul.clone(),
        kv_datacenter: None,
        policies: vec![policy.clone()],
        source: None,
        site: Some("edge-a".into()),
        clock: now,
    };
    let eyes = Cluster::new(sources);
    let mut state = State {
        mode: Mode::Act,
        epoch: Some(Epoch(3)),
        workloads: vec![Workload {
            policy,
            ..Workload::default()
        }],
        ..State::default()
    };
    let mut dice = clock::dice(1);
    let named = async {
        loop {
            let at = now();
            let world = eyes.look(at).await;
            assert_eq!(world.keeps_weights.value(), Some(&true));
            let (next, steps, view) = cycle(state, &world, at, &mut dice);
            let writes = steps.iter().any(|s| s.action.touches_traffic());
            assert!(!writes, "a weight that would be reset is not written");
            let told = view
                .log
                .iter()
                .find(|l| l.text.contains("are reset by Nomad"));
            if let Some(line) = told {
                return (line.clone(), view.waiting.clone());
            }
            state = next;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let (line, _) = tokio::time::timeout(PATIENCE, named)
        .await
        .expect("the fight is named");
    assert_eq!(
        (line.kind, line.portion),
        (LogKind::Fault, Some("web".into()))
    );
    assert!(line.text.contains("had 4 and has 1 now"), "{}", line.text);
    assert!(
        line.text.contains("every 30 s; set owner = \"nomad\""),
        "{}",
        line.text
    );
    println!("{}", line.text);
}
