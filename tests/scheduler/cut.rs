//! A site whose ways out are cut: its gateway keeps its clients served on what is there (the local Consul, the last plan, what was
//! prepared), says what it no longer knows, and comes back without a jump of shares that no plan explains.

use crate::estate::{Estate, JOB};
use crate::program::{Program, alone, kind, text};
use crate::several::{CALM, lock, until};
use foreshadow::act::entries::PREFIX;
use foreshadow::clients::consul::{Consul, KvQuery};
use foreshadow::engine::clock;
use foreshadow::engine::view::View;
use foreshadow::model::{Action, Applied, Instance, JobSpec, Memo, Share, Site, Target, keys};
use foreshadow::planner::derive::release;
use foreshadow::sandbox::fault::Fault;
use foreshadow::sandbox::world::ConsulKind;
use foreshadow::store::Store;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const STEP: Duration = Duration::from_secs(90);
const DATACENTER: Option<&str> = Some("edge");
const HOME: &str = "edge-a";
const AWAY: &str = "provider-a";
/// Looks at shares after the cut has healed, a quarter of a second apart: some cycles, and longer than a contingency has to be over.
const LOOKS: usize = 60;

/// The shop with two of its entry at each edge site.
fn job() -> String {
    let two = "group \"web\" {\n    count = 2";
    assert!(JOB.contains(two));
    JOB.replace(two, "group \"web\" {\n    count = 4")
}

/// Neither shadows nor standbys: what runs is what the job says.
pub fn quiet(policy: String) -> String {
    let quiet = policy.replace("max_shadows        = 2", "max_shadows = 0");
    let quiet = quiet.replace("max_standbys       = 8", "max_standbys = 0");
    assert!(quiet.contains("max_shadows = 0") && quiet.contains("max_standbys = 0"));
    quiet
}

/// A way between two sites that can be cut: what is on it is lost, and nothing comes back.
struct Way {
    at: SocketAddr,
    open: watch::Sender<bool>,
}

impl Way {
    async fn to(server: SocketAddr) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (open, seen) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, seen.clone()));
            }
        });
        Way { at, open }
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr, mut open: watch::Receiver<bool>) {
    if *open.borrow() {
        let Ok(mut server) = TcpStream::connect(server).await else {
            return;
        };
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            _ = open.wait_for(|open| !open) => {}
        }
    }
    // Who asks across a cut waits.
    let _ = open.wait_for(|open| *open).await;
}

/// The foreshadow of the site that is cut, and one elsewhere.
struct Two {
    estate: Estate,
    consul: Consul,
    home: Program,
    away: Program,
    ways: Vec<Way>,
}

impl Two {
    /// The one elsewhere leads, the other follows.
    async fn start() -> Two {
        let mut estate = Estate::of(&job(), ConsulKind::Embedded, Some(CALM)).await;
        estate.play();
        let config = estate.configure(quiet);
        let mut ways = Vec::new();
        let away = estate.at_gateway(&config, AWAY, &[HOME, AWAY]);
        ways.extend(beyond(&estate, &away, HOME).await);
        measured(&estate).await;
        let mut away = estate.schedule(&away);
        let consul = estate.gateway().0;
        until("a leader", async || lock(&consul).await?.session).await;
        let home = estate.at_gateway(&config, HOME, &[HOME, AWAY]);
        ways.extend(beyond(&estate, &home, AWAY).await);
        let nomad = Way::to(estate.world.nomad).await;
        let home = estate.schedule_on(&home, nomad.at);
        ways.push(nomad);
        away.until("verified shares of web", STEP, |line| {
            let shares = text(line).starts_with("set shares verified");
            kind(line) == "verification" && shares && line["portion"] == "web"
        });
        Two {
            estate,
            consul,
            home,
            away,
            ways,
        }
    }

    async fn view(&self, name: &str) -> Option<View> {
        self.estate.api(name).view().await.ok()
    }

    async fn breaks(&self, fault: Fault) {
        let open = !fault.is_loss();
        if fault.domain() == Some(foreshadow::model::Domain::Site(HOME.into())) {
            self.ways.iter().for_each(|w| {
                w.open.send_replace(open);
            });
        }
        self.estate.world.break_or_mend(&fault).await.unwrap();
    }

    /// Targets as the cut site's Consul has them, by service.
    async fn targets(&self) -> BTreeMap<String, Target> {
        let query = KvQuery {
            dc: DATACENTER,
            ..KvQuery::default()
        };
        let found = self.consul.kv_list(keys::TARGETS, query).await;
        let targets = found.expect("the local Consul answers").value.into_iter();
        let targets =
            targets.map(|p| serde_json::from_slice::<Target>(&p.value).expect("a target"));
        targets.map(|t| (t.service.to_string(), t)).collect()
    }

    /// The weights of our entries at the cut site's agent; `None` in maintenance.
    async fn weights(&self) -> BTreeMap<String, Option<u16>> {
        let services = self.consul.agent_services().await.unwrap();
        let checks = self.consul.agent_checks().await.unwrap();
        let out = |id: &str| {
            checks
                .values()
                .any(|c| c.is_maintenance() && c.service_id == id)
        };
        let ours = services.into_values().filter(|s| s.id.starts_with(PREFIX));
        let ours = ours.map(|s| (s.id.clone(), (!out(&s.id)).then_some(s.weights.passing)));
        ours.collect()
    }

    /// What the gateway of the cut site says that it applied of a service.
    async fn applied(&self, service: &str) -> Applied {
        let key = keys::applied(&HOME.into(), &service.into());
        let found = self.consul.kv_get(&key, DATACENTER, true, None).await;
        let pair = found.expect("Consul answers").value.expect("a report");
        serde_json::from_slice(&pair.value).expect("a report")
    }

    /// Plans whose steps set shares, as both journals have them.
    fn planned(&self) -> BTreeSet<String> {
        let stores = [HOME, AWAY].map(|name| self.estate.folder().join(format!("{name}.db")));
        stores.iter().flat_map(|store| plans(store)).collect()
    }

    /// What changed between two looks at the targets is a step that some journal has.
    fn is_explained(&self, before: &BTreeMap<String, Target>, now: &BTreeMap<String, Target>) {
        let changed = now.iter().filter(|(service, target)| {
            let was = before.get(*service);
            was.is_none_or(|was| was.shares() != target.shares())
        });
        let changed: Vec<(&String, String)> =
            changed.map(|(s, t)| (s, t.plan.to_string())).collect();
        if !changed.is_empty() {
            let planned = self.planned();
            let jumped = changed.iter().find(|(_, plan)| !planned.contains(plan));
            assert!(jumped.is_none(), "no journal has {jumped:?}");
        }
    }
}

/// What shadows would have found of the entry at the edge. Instances that nobody measured get no more than their first shares, and which of
/// them are ready by then is chance.
async fn measured(estate: &Estate) {
    let job = reqwest::get(format!("http://{}/v1/job/shop", estate.world.nomad)).await;
    let job = job.expect("Nomad answers").bytes().await.expect("a job");
    let job = JobSpec::new(serde_json::from_slice(&job).expect("a job"));
    let release = release(&job, &["web".into()]);
    let memos = [HOME, "edge-b"].map(|site| {
        let key =
            json!({"portion": "web", "release": release, "site": site, "class": "edge-small"});
        let profile = json!({
            "key": key, "knee": 30.0, "knee_spread": 1.0, "cpu_a_request": 3.0, "memory": 32.0,
            "startup": 1000, "curve": [], "runs": 20, "samples": 2_000, "at": clock::now(),
        });
        Memo::Profile(serde_json::from_value(profile).expect("a profile"))
    });
    let store = estate.folder().join(format!("{AWAY}.db"));
    let store = Store::open(&store).expect("a store");
    store.remember(&memos).expect("it is kept");
}

/// Puts a way before the agent of another gateway in a configuration, whose DNS is then out of sight.
async fn beyond(estate: &Estate, config: &Path, name: &str) -> Option<Way> {
    let gateway = estate.world.gateways.iter().find(|g| g.name == name)?;
    let way = Way::to(gateway.http).await;
    let text = std::fs::read_to_string(config).unwrap();
    let (direct, dns) = (
        format!("http://{}", gateway.http),
        format!("  dns = \"{}\"\n", gateway.dns),
    );
    assert!(text.contains(&direct) && text.contains(&dns), "{text}");
    let text = text
        .replace(&direct, &format!("http://{}", way.at))
        .replace(&dns, "");
    std::fs::write(config, text).unwrap();
    Some(way)
}

fn plans(store: &Path) -> Vec<String> {
    let journal = Store::open(store).and_then(|s| s.recent(5_000)).unwrap();
    let shares = journal.iter().filter_map(|entry| match &entry.step.action {
        Action::SetTarget { target, .. } => Some(target.plan.to_string()),
        _ => None,
    });
    shares.collect()
}

fn at_home(target: &Target) -> Vec<&Instance> {
    let all = target.instances.iter();
    all.filter(|i| i.site.as_str() == HOME && i.share > Share::NONE)
        .collect()
}

/// The sandbox's name of the node that has this address.
fn node_of(instance: &Instance) -> String {
    let number = instance.address.rsplit('.').next().expect("an address");
    format!("{HOME}-{number}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_is_cut_off_goes_on_by_itself_and_comes_back_without_a_jump() {
    let _alone = alone();
    let two = Two::start().await;
    let dns = two.estate.gateway().1;
    // An instance of a portion at the site that may die: it carries traffic, and another one there is prepared to.
    let (service, doomed) = until(
        "an instance at the site that another one stands in for",
        async || {
            let all = two.targets().await;
            all.values().find_map(|target| {
                let stands_in = |doomed: &Instance| {
                    let prepared = target
                        .contingencies
                        .iter()
                        .find(|c| *c.lost == [doomed.alloc.clone()]);
                    let takes = |i: &&Instance| {
                        let there = i.site == doomed.site && i.node != doomed.node;
                        there && prepared.is_some_and(|c| c.shares.get(&i.alloc).is_some())
                    };
                    target.instances.iter().any(|i| takes(&i))
                };
                let doomed = at_home(target).into_iter().find(|i| stands_in(i))?;
                Some((target.service.clone(), doomed.clone()))
            })
        },
    )
    .await;
    until("a follower at the site", async || {
        two.view(HOME).await?.following
    })
    .await;
    let before = (two.targets().await, two.weights().await);
    let (holder, epoch) = {
        let lock = lock(&two.consul).await.expect("somebody leads");
        (lock.session, lock.lock_index)
    };

    two.breaks(Fault::CutSite(Site::new(HOME))).await;
    let view = until("word of what the site no longer knows", async || {
        let view = two.view(HOME).await?;
        let knows_not = |what: &str| view.blind.iter().any(|b| b.starts_with(what));
        let nothing =
            knows_not("nodes") && knows_not("allocations") && knows_not("shop-web at provider-a");
        nothing.then_some(view)
    })
    .await;
    let unknown = view.readings.iter().filter(|r| r.age.is_none());
    let unknown: Vec<&str> = unknown.map(|r| r.what.as_str()).collect();
    assert!(unknown.contains(&"nodes"), "{unknown:?}");
    two.is_explained(&before.0, &two.targets().await);
    let kept = two.weights().await;
    let lost: Vec<&String> = before
        .1
        .keys()
        .filter(|id| !kept.contains_key(*id))
        .collect();
    assert_eq!(
        lost,
        [] as [&String; 0],
        "entries stay while the site is cut off"
    );

    let node = node_of(&doomed);
    two.breaks(Fault::KillNode(node.clone())).await;
    let applied = until("the contingency of the dead instance", async || {
        let applied = two.applied(service.as_str()).await;
        applied.contingency.is_some().then_some(applied)
    })
    .await;
    println!(
        "{HOME}, cut off, lost {node}: {:?} of {service}",
        applied.contingency
    );
    let answered = until("answers without the dead one", async || {
        let found = dns.srv(&format!("{service}.service.consul")).await.ok()?;
        let dead = found
            .iter()
            .any(|r| r.ip.is_some_and(|ip| ip.to_string() == *doomed.address));
        (!found.is_empty() && !dead).then_some(found.len())
    })
    .await;
    assert!(answered > 0);
    let new = until("a leader within the site", async || {
        let lock = lock(&two.consul).await?;
        let ours = lock.session.is_some() && lock.session != holder;
        (ours && two.view(HOME).await?.epoch.0 == lock.lock_index).then_some(lock.lock_index)
    })
    .await;
    assert_eq!(new, epoch + 1);

    let cut = two.targets().await;
    two.is_explained(&before.0, &cut);
    two.breaks(Fault::ReviveNode(node)).await;
    two.breaks(Fault::HealSite(Site::new(HOME))).await;
    until("the other one to follow", async || {
        let view = two.view(AWAY).await?;
        let hears = view
            .following
            .as_ref()
            .is_some_and(|f| f.epoch.0 == new && f.deaf.is_none());
        hears.then_some(())
    })
    .await;
    let mut last = cut;
    for _ in 0..LOOKS {
        let now = two.targets().await;
        two.is_explained(&last, &now);
        last = now;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let view = two.view(HOME).await.expect("it answers");
    assert!(
        view.blind.iter().all(|b| !b.starts_with("nodes")),
        "{:?}",
        view.blind
    );
    for program in [&two.home, &two.away] {
        assert!(Path::new(&format!("/proc/{}", program.pid())).exists());
    }
    let Two {
        estate, home, away, ..
    } = two;
    drop((home, away));
    estate.stop().await;
}
