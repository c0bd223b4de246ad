//! The loop against a real Nomad and Consul: `run`, `tui --config`, `plan`, `hold`.

use super::args::{ConfigArgs, Format, HoldArgs, RunArgs, Switch};
use super::logging::Tuner;
use super::signals::until_signal;
use super::stored::store_of_a_run;
use super::{Exit, by_hand, doors, exit, reload, service, telling};
use crate::act;
use crate::clients::connect::Access;
use crate::clients::consul::Consul;
use crate::clients::http::{Peer, System};
use crate::engine::house::{self, GatewaySetup, House, Setup};
use crate::engine::view::{Mode, OutlookView, PortionView, View};
use crate::engine::{Rules, Writes};
use crate::headless;
use crate::model::{Known, Span};
use crate::settings::{self, Config};
use crate::store::{self, Store};
use crate::tui;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Where a configuration is looked for, by those who only look.
const PLACES: [&str; 2] = ["foreshadow.hcl", "/etc/foreshadow/foreshadow.hcl"];

/// The configuration that was named, else the first that is at one of the usual places.
///
/// # Errors
/// `Usage`, where there is none.
pub(super) fn found(args: &ConfigArgs) -> Result<PathBuf, Exit> {
    let usual = || PLACES.iter().map(PathBuf::from).find(|p| p.is_file());
    args.config.clone().or_else(usual).ok_or_else(|| {
        let places = PLACES.join(" nor ");
        Exit::usage(format!(
            "there is neither {places}: say with --config FILE where the configuration is (the README shows one)"
        ))
    })
}

/// The configuration file, the environment's addresses, and the gateways that both make.
pub(super) fn read(path: &Path) -> Result<(Config, Access, Vec<GatewaySetup>), Exit> {
    let config = settings::read_config(path).map_err(Exit::usage)?;
    let access = Access::from_pairs(settings::access).map_err(Exit::usage)?;
    let gateways = config
        .gateways
        .iter()
        .map(|g| {
            Ok(GatewaySetup {
                id: g.id.clone(),
                site: g.site.clone(),
                consul: consul(&access, g.consul.as_deref())?,
                dns: g.dns,
                local: g.local,
            })
        })
        .collect::<Result<Vec<_>, Exit>>()?;
    Ok((config, access, gateways))
}

/// Where policies go that were read again, and who asks for that.
type Read = (watch::Sender<Rules>, mpsc::Receiver<()>);

type OpenStore = fn(&Path) -> Result<Store, store::Error>;

/// Everything a house needs, from the configuration file and the environment.
///
/// `open` opens the store: only who runs may set a damaged one aside.
fn setup(path: &Path, open: OpenStore, log: &Tuner) -> Result<(Config, Setup, Read), Exit> {
    let (config, access, gateways) = read(path)?;
    for peer in [&access.nomad, &access.consul] {
        if let Err(e) = peer.token_readable() {
            tracing::warn!("{}; until then nothing is asked there", super::chain(&e));
        }
    }
    let rules = Rules::new(settings::policies_of(path, &config).map_err(Exit::usage)?);
    let (rules_in, rules) = watch::channel(rules);
    let (reload, asked) = mpsc::channel(1);
    let name = gateways
        .first()
        .map(|g| g.id.to_string())
        .unwrap_or_default();
    let setup = Setup {
        name: format!("{name} (pid {})", std::process::id()),
        api: doors::asked_by_agents(&config),
        nomad: access.nomad,
        gateways,
        kv_datacenter: config.kv_datacenter.clone(),
        rules,
        reload,
        tune: log.tune(),
        store: Arc::new(
            open(&config.store)
                .map_err(|e| Exit::failed(&e))?
                .keeping(config.keep),
        ),
        mode: if config.act { Mode::Act } else { Mode::Observe },
        forecasting: config.forecasting,
        every: config.cycle,
        source: config.source,
        seed: u64::from(std::process::id()),
        writes: config.writes.map_or_else(Writes::default, Writes::of),
    };
    Ok((config, setup, (rules_in, asked)))
}

/// The gateway's own agent: the one of the environment, or another address with the same token and certificates.
fn consul(access: &Access, address: Option<&str>) -> Result<Peer, Exit> {
    let mut peer = access.consul.clone();
    if let Some(address) = address {
        peer.address = Peer::plain(System::Consul, address)
            .map_err(Exit::usage)?
            .address;
    }
    Ok(peer)
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Exit::failed(&e))
}

/// Headless until a signal.
pub fn run(args: RunArgs, log: &Tuner) -> Result<ExitCode, Exit> {
    over(&args.config, log, async |house, cancel| {
        tell_events(house.views.clone(), args.format, cancel).await
    })
}

/// The same with the dashboard over it, until that is left.
pub fn dashboard(config: &Path, options: tui::Options, log: &Tuner) -> Result<ExitCode, Exit> {
    over(config, log, async |house, cancel| {
        let (views, commands) = (house.views.clone(), house.commands.clone());
        let ran = tui::run(views, commands, options, cancel).await;
        ran.map_err(|e| Exit::failed(&e))
    })
}

/// Runs the loop with its doors until `shown` has come to its end, which a signal asks for; then weights stay, the lock is given
/// back.
fn over(
    file: &Path,
    log: &Tuner,
    shown: impl AsyncFnOnce(&House, CancellationToken) -> Result<(), Exit>,
) -> Result<ExitCode, Exit> {
    runtime()?.block_on(async {
        let (config, setup, (rules, asked)) = setup(file, store_of_a_run, log)?;
        telling::begins(file, &config, &setup);
        let cancel = CancellationToken::new();
        let journal = doors::journal(&setup.store);
        let house = house::open(setup, cancel.clone()).map_err(|e| Exit::failed(&e))?;
        let keys = doors::keys(&config)?;
        let api = doors::api(&house, config.cycle, journal)?;
        let doors = doors::open(&config, &keys, &api, &cancel).await?;
        let signals = tokio::spawn(until_signal(cancel.clone()));
        let systemd = tokio::spawn(service::tell_systemd(house.views.clone(), cancel.clone()));
        tokio::spawn(telling::who_leads(house.views.clone(), cancel.clone()));
        let paths = config.policies.clone();
        let certificates = keys.certificates.clone();
        tokio::spawn(reload::keep(
            paths,
            rules,
            asked,
            certificates,
            cancel.clone(),
        ));
        let shown = shown(&house, cancel.clone()).await;
        cancel.cancel();
        house.closed().await;
        for last in std::iter::once(systemd).chain(doors) {
            // What it had to say is said, or cannot be.
            let _ = last.await;
        }
        let failed = shown.as_ref().err().map(|e| e.message.as_str());
        telling::ended(signals.is_finished(), failed);
        signals.abort();
        shown?;
        Ok(ExitCode::SUCCESS)
    })
}

/// What is decided, a line each on standard output, until `cancel`.
async fn tell_events(
    views: watch::Receiver<Arc<View>>,
    format: Format,
    cancel: CancellationToken,
) -> Result<(), Exit> {
    let mut out = std::io::stdout();
    let json = format == Format::Json;
    let say = |event: &serde_json::Value| super::sandbox::say(&mut out, json, event);
    headless::tell(views, say, cancel).await
}

/// Nothing written: what would be done.
pub fn plan(args: ConfigArgs, log: &Tuner) -> Result<ExitCode, Exit> {
    let config = found(&args)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let (_, mut setup, _read) = setup(&config, Store::open, log)?;
        setup.mode = Mode::Observe;
        let cancel = CancellationToken::new();
        let every = setup.every;
        let house = house::open(setup, cancel.clone()).map_err(|e| Exit::failed(&e))?;
        let view = seen_twice(&house, every).await;
        cancel.cancel();
        house.closed().await;
        let view = view.ok_or_else(|| Exit {
            code: exit::FAILED,
            message: "no cycle came to its end".into(),
        })?;
        if view.nodes.is_empty() && !view.blind.is_empty() {
            return Err(Exit {
                code: exit::UNREACHABLE,
                message: view.blind.join("\n"),
            });
        }
        tell(&view, args.format).map_err(|e| Exit::failed(&e))?;
        Ok(if view.steps.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(exit::CHANGES)
        })
    })
}

fn tell(view: &View, format: Format) -> serde_json::Result<()> {
    if format == Format::Json {
        let forecasts: Vec<serde_json::Value> = view.portions.iter().map(|p| forecast(p)).collect();
        let known: Vec<&Known> = view.portions.iter().flat_map(|p| &p.known).collect();
        let plan = serde_json::json!({
            "steps": view.steps, "waiting": view.waiting, "blind": view.blind,
            "outlook": view.outlook, "forecasts": forecasts, "hazards": view.hazards,
            "candidates": view.candidates, "known": known,
        });
        println!("{}", serde_json::to_string(&plan)?);
        return Ok(());
    }
    for s in &view.steps {
        let portion = s
            .portion
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        println!("{:<15} {portion:<12} {:?}: {}", s.verb, s.cause, s.why);
    }
    for w in &view.waiting {
        println!("waits           {}: {}", w.what, w.why);
    }
    for b in &view.blind {
        println!("cannot see      {b}");
    }
    view.outlook.iter().for_each(|o| tell_outlook(o));
    for h in view.hazards.iter().filter(|h| h.within.0 >= 0.999) {
        println!("goes for sure   {:<12} {}", h.name, h.why);
    }
    for p in view.portions.iter().filter(|p| !p.because.is_empty()) {
        let covered = p
            .coverage_80
            .map(|c| format!("; {:.0}% within the 80% band lately", 100.0 * c));
        let covered = covered.unwrap_or_default();
        println!("foresees        {:<12} {}{covered}", p.id, p.because);
        if let Some(n) = &p.need {
            let (cpu, memory, network) = (n.needs.cpu, n.needs.memory, n.needs.network);
            let unsure = 100.0 * n.unsure;
            println!(
                "needs           {:<12} {cpu} ±{unsure:.0} %, {memory}, {network} at {}",
                p.id, n.demand
            );
        }
    }
    for c in view.candidates.iter().take(WORTH_TELLING) {
        println!("worth a shadow  {}", by_hand::worth(c));
    }
    Ok(())
}

/// How many of the places worth a shadow are told.
const WORTH_TELLING: usize = 6;

/// A portion's forecast as its reasons tell it: models, parts, how good it was lately, and what it needs.
fn forecast(p: &PortionView) -> serde_json::Value {
    serde_json::json!({
        "portion": p.id, "models": p.models, "components": p.components, "because": p.because,
        "coverage_80": p.coverage_80, "error": p.error, "need": p.need,
    })
}

/// What the plan was weighed over, and how well that stands for all that may come.
fn tell_outlook(outlook: &OutlookView) {
    let s = &outlook.scenarios;
    if s.list.is_empty() {
        return;
    }
    println!(
        "weighed over    {} of {} futures of {} within {} s: off by {:.3} on average ({:.0}% of what one alone would be), {:.1}% of probability not looked at",
        s.list.len(),
        s.considered,
        outlook.workload,
        outlook.horizon.0 / 1000,
        s.error,
        100.0 * s.error_relative,
        100.0 * s.left_out
    );
    if let Some(total) = &outlook.total {
        let sites = outlook.sites.iter();
        let sites: Vec<String> = sites.map(|(s, r)| format!("{s} {r}")).collect();
        println!(
            "demand          up to {:.1} rps in sum ({:.1} to {:.1}): {}",
            total.mid,
            total.low,
            total.high,
            sites.join(", ")
        );
    }
}

/// The first cycles can tell no rates: they need two readings of each endpoint. Where one is not to be had, what is seen by then.
async fn seen_twice(house: &House, every: Span) -> Option<Arc<View>> {
    let mut views = house.views.clone();
    let limit = Duration::from_millis(every.0.max(0) as u64 * 2 + 2_000);
    let rates = |v: &View| v.portions.iter().all(|p| p.traffic.is_some());
    let all = views.wait_for(|v| v.cycle >= 2 && rates(v));
    // Given up or gone: the last view says what is missing.
    let _ = tokio::time::timeout(limit, all).await;
    let last = Arc::clone(&house.views.borrow());
    (last.cycle >= 1).then_some(last)
}

pub fn hold(args: HoldArgs) -> Result<ExitCode, Exit> {
    let (peer, dc) = match &args.config {
        Some(path) => {
            let (config, access, gateways) = read(path)?;
            let first = gateways.into_iter().next().map(|g| g.consul);
            (first.unwrap_or(access.consul), config.kv_datacenter)
        }
        None => {
            let access = Access::from_pairs(settings::access).map_err(Exit::usage)?;
            (access.consul, access.dc)
        }
    };
    runtime()?.block_on(async {
        let consul = Consul::new(&peer).map_err(|e| Exit::failed(&e))?;
        let on = args.switch == Switch::On;
        act::hold(&consul, dc.as_deref(), on)
            .await
            .map_err(|e| Exit::unreachable(&e))?;
        println!(
            "foreshadow/hold is {}",
            if on {
                "set: nothing is written"
            } else {
                "clear"
            }
        );
        Ok(ExitCode::SUCCESS)
    })
}
