//! The sandbox with the scheduler over it, with a dashboard or without; pictures of it; and what its tasks run.

use super::args::{ConsulKind, Format, SandboxArgs, TaskExecArgs};
use super::logging::Tuner;
use super::signals::until_signal;
use super::stored::store_of_a_run;
use super::{Exit, doors, exit};
use crate::clients::http::{Peer, System, Token};
use crate::engine::house::{self, GatewaySetup, House, Setup};
use crate::engine::run::Tune;
use crate::engine::view::{Mode, View};
use crate::engine::{Rules, State, Writes, clock};
use crate::headless::{self, Door, Keys, Place};
use crate::load::players::Loss;
use crate::load::shop::{self, ShopArgs};
use crate::model::*;
use crate::sandbox::fault::Fault;
use crate::sandbox::real_consul;
use crate::sandbox::runtime;
use crate::sandbox::world::{self, Options, World};
use crate::settings;
use crate::store::Store;
use crate::tui;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub(super) const JOB: &str = include_str!("../../jobs/shop.nomad.hcl");
pub(super) const POLICY: &str = include_str!("../../policies/shop.hcl");
/// How often the wheel turns over the sandbox, whose hours take seconds.
pub(super) const CYCLE: Span = Span::secs(1);

pub fn shop(args: ShopArgs) -> Result<ExitCode, Exit> {
    shop::run(args).map_err(|e| Exit::failed(&e))?;
    Ok(ExitCode::SUCCESS)
}

/// Becomes the task; returns only when it cannot.
pub fn task_exec(args: TaskExecArgs) -> Result<ExitCode, Exit> {
    let error = runtime::task_exec(args.command.into_iter().map(Into::into));
    Err(Exit::failed(&error))
}

/// Everything that one sandbox session holds.
struct Session {
    world: Arc<World>,
    house: House,
    folder: PathBuf,
    cancel: CancellationToken,
    playing: tokio::task::JoinHandle<()>,
    /// It has come to its end, and was waited for.
    played: bool,
    faults: mpsc::UnboundedReceiver<Fault>,
}

pub(super) fn read(path: Option<&Path>, builtin: &str) -> Result<String, Exit> {
    match path {
        None => Ok(builtin.to_string()),
        Some(path) => std::fs::read_to_string(path)
            .map_err(|e| Exit::usage(format!("cannot read {}: {e}", path.display()))),
    }
}

async fn open(args: &SandboxArgs, tune: Tune, cancel: CancellationToken) -> Result<Session, Exit> {
    let text = read(args.policy.as_deref(), POLICY)?;
    let name = args
        .policy
        .as_ref()
        .map_or("policies/shop.hcl".into(), |p| p.display().to_string());
    let mut policy = settings::parse_policy(&name, &text).map_err(Exit::usage)?;
    let folder = std::env::temp_dir().join(format!("foreshadow-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| Exit {
        code: exit::FAILED,
        message: format!(
            "cannot make the sandbox's folder {}: {e}; TMPDIR names another place",
            folder.display()
        ),
    })?;
    let world = start(args, &policy, &folder)
        .await
        .inspect_err(|_| remove(&folder))?;
    let world = Arc::new(world);
    // The policy names the clients' metrics by their usual address; this estate may have another one.
    let clients = policy
        .portions
        .iter_mut()
        .filter(|p| !p.metrics.clients.is_empty());
    let seen = world
        .metrics
        .iter()
        .map(|(_, at)| format!("http://{at}/metrics"));
    let seen: Vec<String> = seen.collect();
    clients.for_each(|p| p.metrics.clients = seen.clone());
    let store = args
        .store
        .clone()
        .unwrap_or_else(|| folder.join("foreshadow.db"));
    let store = Arc::new(store_of_a_run(&store).map_err(|e| Exit::failed(&e))?);
    remember(&store, &world, &policy).map_err(|e| Exit::failed(&e))?;
    let journal = doors::journal(&store);
    let setup = setup(args, &world, (policy, tune), store)?;
    let house = house::open(setup, cancel.clone()).map_err(|e| Exit::failed(&e))?;
    let place = Place::Http(world.api);
    let door = Door::open(&place, &Keys::default()).await;
    let door = door.map_err(|e| Exit::failed(&e))?;
    let api = doors::api(&house, CYCLE, journal)?;
    tokio::spawn(headless::serve(door, api, cancel.clone()));
    let (tell, faults) = mpsc::unbounded_channel();
    let played = world.clone();
    let playing = tokio::spawn(async move {
        if let Err(e) = played.play(tell).await {
            tracing::error!("{e}");
        }
    });
    Ok(Session {
        world,
        house,
        folder,
        cancel,
        playing,
        played: false,
        faults,
    })
}

fn remove(folder: &Path) {
    if let Err(e) = std::fs::remove_dir_all(folder) {
        tracing::warn!("{} is left behind: {e}", folder.display());
    }
}

async fn start(args: &SandboxArgs, policy: &Policy, folder: &Path) -> Result<World, Exit> {
    let path = settings::access("PATH").unwrap_or_default();
    let consul = match args.consul {
        ConsulKind::Embedded => world::ConsulKind::Embedded,
        ConsulKind::Real if args.consul_bind.or(args.dns_bind).is_some() => {
            return Err(Exit::usage(
                "--consul-bind and --dns-bind move the embedded Consul; leave them out with --consul real, whose agents have addresses of their own",
            ));
        }
        ConsulKind::Real => {
            let cache =
                settings::cache_folder().unwrap_or_else(|| PathBuf::from("target/real-consul"));
            let found = real_consul::find(&path, Some(&cache));
            let found = found.and_then(|f| std::path::absolute(f).ok());
            world::ConsulKind::Real(found.ok_or_else(|| {
                Exit::usage(format!(
                    "no consul on PATH nor under {}; run tests/setup, which unpacks Debian's",
                    cache.display()
                ))
            })?)
        }
    };
    let scenario = match &args.scenario {
        None => None,
        Some(path) => Some((read(Some(path), "")?, path.display().to_string())),
    };
    let entry = policy
        .portions
        .iter()
        .find(|p| !p.metrics.clients.is_empty())
        .or(policy.portions.first());
    let entry = entry.ok_or_else(|| Exit::usage("the policy has no portion"))?;
    let options = Options {
        job: read(args.job.as_deref(), JOB)?,
        entry: entry
            .front
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        limit: Duration::from_secs_f64(entry.slo.latency.0 / 1000.0),
        scenario,
        consul,
        consul_bind: args.consul_bind,
        dns_bind: args.dns_bind,
        nomad_bind: args.nomad_bind,
        acl: args.acl,
        binary: std::env::current_exe().map_err(|e| Exit::failed(&e))?,
        folder: folder.to_path_buf(),
        path,
        seed: args.seed,
    };
    World::start(options).await.map_err(|e| match &e {
        world::WorldError::Scenario(_) | world::WorldError::Job(_) => Exit::usage(&e),
        _ => Exit::failed(&e),
    })
}

/// The days before the played one. Each request at the entry causes one at every portion behind it.
fn remember(store: &Store, world: &World, policy: &Policy) -> Result<(), crate::store::Error> {
    if !store.is_new()? {
        return Ok(());
    }
    let samples = policy.portions.iter().flat_map(|p| {
        world.history.iter().map(|(at, rate)| Memo::Sample {
            portion: p.id.clone(),
            at: *at,
            rate: Rps(*rate),
        })
    });
    let failures = world.failures.iter().cloned().map(Memo::Availability);
    let memos: Vec<Memo> = samples.chain(failures).collect();
    store.remember(&memos)
}

fn setup(
    args: &SandboxArgs,
    world: &World,
    (policy, tune): (Policy, Tune),
    store: Arc<Store>,
) -> Result<Setup, Exit> {
    let gateways = world
        .gateways
        .iter()
        .map(|g| {
            let mut consul =
                Peer::plain(System::Consul, &format!("http://{}", g.http)).map_err(Exit::usage)?;
            consul.timeout = Duration::from_secs(3);
            if let Some(secrets) = &world.consul_secrets {
                consul.token = Token::Given(secrets.scheduler.clone().into());
            }
            Ok(GatewaySetup {
                id: GatewayId::new(g.name.as_str()),
                site: g.site.clone(),
                consul,
                dns: Some(g.dns),
                local: true,
            })
        })
        .collect::<Result<Vec<_>, Exit>>()?;
    Ok(Setup {
        name: format!("sandbox (pid {})", std::process::id()),
        api: None,
        nomad: nomad(world)?,
        gateways,
        kv_datacenter: Some("edge".into()),
        // The sandbox's policy is the one that it began with.
        rules: watch::channel(Rules::new(vec![policy])).1,
        reload: mpsc::channel(1).0,
        tune,
        store,
        mode: Mode::Act,
        forecasting: !args.no_forecast,
        every: CYCLE,
        source: Some(world.source),
        seed: args.seed,
        writes: Writes::default(),
    })
}

/// The estate's Nomad, with the scheduler's own token where it wants one.
fn nomad(world: &World) -> Result<Peer, Exit> {
    let address = format!("http://{}", world.nomad);
    let mut peer = Peer::plain(System::Nomad, &address).map_err(Exit::usage)?;
    if let Some(secrets) = &world.secrets {
        peer.token = Token::Given(secrets.scheduler.clone().into());
    }
    Ok(peer)
}

pub fn sandbox(args: SandboxArgs, log: &Tuner) -> Result<ExitCode, Exit> {
    if args.speed.is_some() {
        return Err(Exit::usage(
            "--speed goes with --runtime simulated: real processes run in real time",
        ));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Exit::failed(&e))?;
    runtime.block_on(async {
        let cancel = CancellationToken::new();
        tokio::spawn(until_signal(cancel.clone()));
        let session = open(&args, log.tune(), cancel.clone()).await?;
        if args.headless {
            headless(&args, session).await
        } else {
            dashboard(&args, session).await
        }
    })
}

async fn dashboard(args: &SandboxArgs, session: Session) -> Result<ExitCode, Exit> {
    let options = args.looks.options(args.allow_act)?;
    let (views, commands) = (session.house.views.clone(), session.house.commands.clone());
    if let Some(limit) = args.lasts {
        let cancel = session.cancel.clone();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(limit, cancel.cancelled()).await;
            cancel.cancel();
        });
    }
    let ran = tui::run(views, commands, options, session.cancel.clone()).await;
    session.cancel.cancel();
    let (summary, _) = close(session).await;
    ran.map_err(|e| Exit::failed(&e))?;
    println!("{}", sentence(&summary));
    Ok(ExitCode::SUCCESS)
}

/// Events until the scenario ends, `--for` has passed or a signal comes; then the summary. Where nobody reads any more, nothing
/// stays behind all the same.
async fn headless(args: &SandboxArgs, mut session: Session) -> Result<ExitCode, Exit> {
    let json = args.format == Format::Json;
    let mut out = std::io::stdout();
    let told = tell(args, &mut session, &mut out).await;
    session.cancel.cancel();
    let (summary, _) = close(session).await;
    told?;
    if json {
        headless::write_summary(&mut out, summary).map_err(|e| Exit::failed(&e))?;
    } else {
        println!("{}", sentence(&summary));
    }
    Ok(ExitCode::SUCCESS)
}

async fn tell(args: &SandboxArgs, session: &mut Session, out: &mut impl Write) -> Result<(), Exit> {
    let json = args.format == Format::Json;
    let listening = json!({
        "at": headless::rfc3339(clock::now()), "kind": "listening",
        "nomad": format!("http://{}", session.world.nomad),
        "nomad_token": session.world.secrets.as_ref().map(|s| s.management.as_str()),
        "consul_token": session.world.consul_secrets.as_ref().map(|s| s.management.as_str()),
        "consul": session.world.gateways.first().map(|g| format!("http://{}", g.http)),
        "dns": session.world.gateways.first().map(|g| g.dns.to_string()),
        "metrics": session.world.metrics.iter().map(|(_, at)| format!("http://{at}/metrics")).collect::<Vec<_>>(),
        "api": format!("http://{}", session.world.api),
    });
    say(out, json, &listening)?;
    let mut views = session.house.views.clone();
    let mut follower = headless::Follower::default();
    let limit = args.lasts.unwrap_or(Duration::from_secs(240));
    let mut over = std::pin::pin!(tokio::time::timeout(limit, std::future::pending::<()>()));
    loop {
        tokio::select! {
            () = session.cancel.cancelled() => break,
            _ = &mut over => break,
            _ = &mut session.playing, if args.lasts.is_none() => {
                session.played = true;
                break;
            }
            Some(fault) = session.faults.recv() => {
                let event = json!({"at": headless::rfc3339(clock::now()), "kind": "fault", "text": fault.to_string(), "scenario": true});
                say(out, json, &event)?;
            }
            changed = views.changed() => {
                if changed.is_err() {
                    break;
                }
                let view = views.borrow_and_update().clone();
                for event in follower.fresh(&view) {
                    say(out, json, &event)?;
                }
            }
        }
    }
    session.cancel.cancel();
    let last = session.house.views.borrow().clone();
    for event in follower.fresh(&last) {
        say(out, json, &event)?;
    }
    Ok(())
}

pub(super) fn say(out: &mut impl Write, json: bool, event: &serde_json::Value) -> Result<(), Exit> {
    let written = if json {
        headless::write_event(out, event)
    } else {
        let part = |key: &str| event.get(key).and_then(|v| v.as_str()).unwrap_or("");
        let text = if part("text").is_empty() {
            event.to_string()
        } else {
            part("text").to_string()
        };
        writeln!(
            out,
            "{}  {:<12} {:<10} {:<9} {text}",
            part("at"),
            part("kind"),
            part("portion"),
            part("cause")
        )
    };
    written.map_err(|e| Exit::failed(&e))
}

/// Stops scheduler and estate, and sums up.
async fn close(session: Session) -> (serde_json::Value, State) {
    let (seen, unexplained) = session.world.summary();
    let state = session.house.closed().await;
    session.playing.abort();
    // The player's own hold on the estate goes with it; one that came to its end has let go already.
    if !session.played {
        let _ = session.playing.await;
    }
    if let Some(world) = Arc::into_inner(session.world) {
        world.stop().await;
    }
    remove(&session.folder);
    (summary(&seen, &unexplained, &state), state)
}

pub(super) fn summary(
    seen: &crate::load::players::Summary,
    unexplained: &[(Span, Loss)],
    state: &State,
) -> serde_json::Value {
    let (scored, covered) = state
        .beliefs
        .skill
        .values()
        .fold((0, 0), |(s, c), k| (s + k.scored, c + k.covered));
    let mut reactions: Vec<f64> = state.reactions.newest();
    reactions.sort_by(f64::total_cmp);
    let quantile = |q: f64| {
        let last = reactions.len().checked_sub(1)?;
        reactions.get((last as f64 * q).round() as usize).copied()
    };
    json!({
        "requests": seen.requests, "lost": seen.lost, "late": seen.late,
        "switchovers": state.tally.switchovers, "failbacks": state.tally.failbacks,
        "shadows": state.tally.shadows, "profiles": state.tally.profiles,
        "preallocations": state.tally.preallocations,
        "coverage_80": (scored > 0).then(|| covered as f64 / scored as f64),
        "reaction_ms_p50": quantile(0.5), "reaction_ms_p99": quantile(0.99),
        "lost_by": by_fault(seen),
        "lost_planned": unexplained.iter().map(|(_, loss)| loss.requests).sum::<u64>(),
        "unexplained": unexplained.iter().map(|(after, loss)| json!({
            "after_s": after.as_secs_f64(), "site": loss.site, "instance": loss.instance,
            "fault": loss.fault.map(|f| f.to_string()), "said": loss.said, "requests": loss.requests,
        })).collect::<Vec<_>>(),
        "lessons": state.tally.lessons, "forecasts": state.tally.forecasts, "held": state.tally.held,
    })
}

/// How requests were lost, by the name of the fault.
fn by_fault(seen: &crate::load::players::Summary) -> std::collections::BTreeMap<String, u64> {
    let mut by = std::collections::BTreeMap::new();
    for loss in &seen.losses {
        if let Some(fault) = loss.fault {
            *by.entry(format!("{} {fault}", loss.site)).or_default() += loss.requests;
        }
    }
    by
}

pub(super) fn sentence(s: &serde_json::Value) -> String {
    let coverage = s["coverage_80"]
        .as_f64()
        .map_or("not known yet".into(), |c| format!("{:.0}%", c * 100.0));
    let n = |key: &str, one: &str| counted(&s[key], one);
    format!(
        "{}, {} lost ({} of them unexplained by faults), {} late · {}, {} · {}, {}, {} · 80% band held {coverage}",
        n("requests", "request"),
        s["lost"],
        s["lost_planned"],
        s["late"],
        n("switchovers", "switchover"),
        n("failbacks", "failback"),
        n("shadows", "shadow"),
        n("profiles", "profile"),
        n("preallocations", "pre-allocation")
    )
}

/// The picture of a sandbox that has run for a while.
pub(super) fn view_after(seed: u64, after: Duration) -> Result<View, Exit> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| Exit::failed(&e))?;
    runtime.block_on(async {
        let cancel = CancellationToken::new();
        tokio::spawn(until_signal(cancel.clone()));
        let args = SandboxArgs {
            seed,
            ..SandboxArgs::default()
        };
        let tune: Tune = Arc::new(|_| Err("a picture is being taken".into()));
        let session = open(&args, tune, cancel.clone()).await?;
        eprintln!("the sandbox runs for {after:?} …");
        let _ = tokio::time::timeout(after, cancel.cancelled()).await;
        cancel.cancel();
        let view = session.house.views.borrow().clone();
        close(session).await;
        Ok(View::clone(&view))
    })
}
