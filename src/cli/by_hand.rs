//! What people ask of a running foreshadow: `shadow`, `profiles`, `switch`, `abort`, and the attached dashboard.

use super::Exit;
use super::args::{
    AttachArgs, Format, LogLevelArgs, ProfilesArgs, ShadowArgs, ShadowCommand, SwitchArgs,
};
use super::exit;
use super::plot;
use crate::engine::view::{CandidateView, Command, PortionView, View};
use crate::headless::{Remote, RemoteError, Trust};
use crate::model::{Calibration, Judged, Known, PortionId, Profile, Rps, ShadowId, Site, Track};
use crate::{settings, tui};
use std::collections::BTreeMap;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    tokio::runtime::Runtime::new().map_err(|e| Exit::failed(&e))
}

/// Where the API is looked for when no socket is there.
const LOCAL: &str = "http://127.0.0.1:4680";

fn remote(to: &AttachArgs) -> Result<Remote, Exit> {
    let secret = |name| settings::secret(name).map_err(Exit::usage);
    let trust = Trust {
        act_token: secret("FORESHADOW_ACT_TOKEN")?,
        read_token: secret("FORESHADOW_READ_TOKEN")?,
        ca: settings::access("FORESHADOW_CACERT").map(Into::into),
    };
    let named = to.attach.clone();
    let named = named.or_else(|| settings::access("FORESHADOW_API"));
    let own = || match settings::found_socket() {
        Some(socket) => format!("unix://{}", socket.display()),
        None => LOCAL.into(),
    };
    Remote::new(&named.unwrap_or_else(own), trust).map_err(Exit::usage)
}

fn wrong(e: &RemoteError) -> Exit {
    match e {
        RemoteError::Reach { .. } => Exit::unreachable(e),
        RemoteError::Address(_) | RemoteError::Authority { .. } | RemoteError::Client { .. } => {
            Exit::usage(e)
        }
        RemoteError::Garbled { .. } | RemoteError::Broken { .. } | RemoteError::Refused { .. } => {
            Exit::failed(e)
        }
    }
}

pub(super) fn look(to: &AttachArgs) -> Result<View, Exit> {
    let remote = remote(to)?;
    runtime()?.block_on(remote.view()).map_err(|e| wrong(&e))
}

/// Sends the command; names are checked first against what the other side knows. Returns what it showed.
fn ask(to: &AttachArgs, command: &Command) -> Result<View, Exit> {
    let remote = remote(to)?;
    runtime()?.block_on(async {
        let view = remote.view().await.map_err(|e| wrong(&e))?;
        known(&view, command).map_err(Exit::usage)?;
        let by = Command::By {
            who: settings::who(),
            asked: Box::new(command.clone()),
        };
        let said = remote.command(&by).await.map_err(|e| wrong(&e))?;
        println!("{said}");
        Ok(view)
    })
}

/// The same for what the leader alone plans: a follower has it wait until it leads itself.
fn ask_leader(to: &AttachArgs, command: &Command) -> Result<View, Exit> {
    let view = ask(to, command)?;
    match &view.following {
        Some(led) => Err(Exit {
            code: exit::LED_ELSEWHERE,
            message: format!(
                "this foreshadow does not lead ({} does): what was asked for counts once it leads; ask the leader",
                led.leader
            ),
        }),
        None => Ok(view),
    }
}

/// Why the command names something that is not there, if so.
fn known(view: &View, command: &Command) -> Result<(), String> {
    let portion = |id: &PortionId| {
        let all: Vec<&str> = view.portions.iter().map(|p| p.id.as_str()).collect();
        if all.contains(&id.as_str()) {
            return Ok(());
        }
        Err(format!(
            "no portion is called {id}; there are {}",
            all.join(", ")
        ))
    };
    let site = |site: &Site| {
        let all: Vec<&str> = view.sites.iter().map(|s| s.site.as_str()).collect();
        if all.contains(&site.as_str()) {
            return Ok(());
        }
        Err(format!(
            "no site is called {site}; there are {}",
            all.join(", ")
        ))
    };
    match command {
        Command::StartShadow {
            portion: p,
            site: s,
        }
        | Command::Switch { portion: p, to: s } => portion(p).and_then(|()| site(s)),
        Command::StopShadow { shadow } if !view.shadows.iter().any(|s| &s.id == shadow) => Err(
            format!("no shadow is called {shadow}; see `foreshadow shadow list`"),
        ),
        _ => Ok(()),
    }
}

pub fn switch(args: SwitchArgs) -> Result<ExitCode, Exit> {
    let (portion, to) = (PortionId::new(args.portion), Site::new(args.to));
    let command = Command::Switch {
        portion: portion.clone(),
        to: to.clone(),
    };
    let view = ask_leader(&args.at, &command)?;
    let known = view.portions.iter().find(|p| p.id == portion);
    if known.is_some_and(|p| p.served_from(&to)) {
        println!(
            "{portion} is served from {to} already: nothing is to be moved, and it stays there until `foreshadow abort`"
        );
    }
    Ok(ExitCode::SUCCESS)
}

pub fn abort(args: AttachArgs) -> Result<ExitCode, Exit> {
    ask_leader(&args, &Command::Abort).map(|_| ExitCode::SUCCESS)
}

pub fn reload(args: AttachArgs) -> Result<ExitCode, Exit> {
    ask(&args, &Command::Reload).map(|_| ExitCode::SUCCESS)
}

pub fn log_level(args: LogLevelArgs) -> Result<ExitCode, Exit> {
    // Without a filter it is the one of its start: clap wants `--reset` for that.
    let filter = args.filter;
    ask(&args.at, &Command::LogLevel { filter }).map(|_| ExitCode::SUCCESS)
}

pub fn shadow(args: ShadowArgs) -> Result<ExitCode, Exit> {
    match args.command {
        ShadowCommand::Start { portion, site, at } => {
            let command = Command::StartShadow {
                portion: PortionId::new(portion),
                site: Site::new(site),
            };
            ask_leader(&at, &command).map(|_| ExitCode::SUCCESS)
        }
        ShadowCommand::Stop { shadow, at } => {
            let shadow = ShadowId::new(shadow);
            ask_leader(&at, &Command::StopShadow { shadow }).map(|_| ExitCode::SUCCESS)
        }
        ShadowCommand::List { at, format } => list(&look(&at)?, format),
    }
}

fn list(view: &View, format: Format) -> Result<ExitCode, Exit> {
    if format == Format::Json {
        let json = serde_json::json!({ "shadows": view.shadows, "candidates": view.candidates });
        println!("{json}");
        return Ok(ExitCode::SUCCESS);
    }
    for s in &view.shadows {
        println!(
            "{:<16} {:<12} {:<12} {:<12} {:<10} {}",
            s.id,
            s.portion,
            s.site,
            s.class.shown(),
            s.state,
            s.verdict.as_deref().unwrap_or("")
        );
    }
    println!("next, by what a shadow there would be worth:");
    for c in view.candidates.iter().take(8) {
        println!("  {}", worth(c));
    }
    Ok(ExitCode::SUCCESS)
}

/// A candidate's value with all of its terms, in one line.
pub fn worth(c: &CandidateView) -> String {
    let due = match (&c.after, c.due_in) {
        (Some(first), _) => format!("waits for {first}, of which nothing is known"),
        (None, Some(d)) => format!("due in {:.0} s", d.as_secs_f64()),
        (None, None) => "due now".to_string(),
    };
    let age = c.age.map_or("never".to_string(), |a| {
        format!("{:.0} s ago", a.as_secs_f64())
    });
    format!(
        "{:<12} {:<12} {:<12} value {:>8.0} = use {:.3} (wanted {:.2} × chosen {:.2}) × unknown {:.2} (last run {age}, {:.1} own + {:.1} borrowed, ±{:.0}%) / {:.5} core-h, {due}",
        c.portion,
        c.site,
        c.class.shown(),
        c.value,
        c.use_probability,
        c.wanted,
        c.chosen,
        c.unknown,
        c.own,
        c.borrowed,
        100.0 * c.spread,
        c.cost
    )
}

/// What is counted on at a place and how sure that is, in one line.
fn counted_on(k: &Known) -> String {
    let age = k
        .age
        .map_or(String::new(), |a| format!(", {:.0} s old", a.as_secs_f64()));
    format!(
        "{:<12} {:<12} {:<12} carries {:>9}{} (counted on {}, ±{:.0}%), {:.1} MHz·s a request, starts in {:.0} ms (at most {:.0}); {}{age}, half-life {:.0} s",
        k.key.portion,
        k.key.site,
        k.key.class.shown(),
        Rps(k.knee.middle),
        if k.knee_open { " or more" } else { "" },
        Rps(k.knee.low),
        100.0 * k.knee.spread,
        k.cpu.middle,
        k.startup.middle,
        k.startup.high,
        k.source(),
        k.half_life.as_secs_f64()
    )
}

/// How the predictions of a portion's profiles did, in one line.
fn judged(p: &PortionView) -> Option<String> {
    let c = &p.calibration;
    let tell = |name: &str, t: &Track| {
        let off = 100.0 * (t.bias.exp() - 1.0);
        (t.scored > 0).then(|| {
            format!(
                "{name} {} of {} within its band (off by {off:+.0}%, spread × {:.2})",
                t.covered, t.scored, t.width
            )
        })
    };
    let all = [
        tell("latency", &c.latency),
        tell("capacity", &c.capacity),
        tell("start-up", &c.startup),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    (!all.is_empty()).then(|| format!("{:<12} came as foreseen: {}", p.id, all.join(", ")))
}

pub fn profiles(args: ProfilesArgs) -> Result<ExitCode, Exit> {
    let view = look(&args.at)?;
    let all: Vec<&Profile> = view.portions.iter().flat_map(|p| &p.profiles).collect();
    let verdicts: Vec<&Judged> = view.portions.iter().flat_map(|p| &p.verdicts).collect();
    if let Some(path) = &args.svg {
        let picture = plot::curves(&view.portions);
        std::fs::write(path, picture).map_err(|e| Exit::failed(&e))?;
    }
    if args.format == Format::Json {
        let known: Vec<&Known> = view.portions.iter().flat_map(|p| &p.known).collect();
        let scored: BTreeMap<&PortionId, &Calibration> = view
            .portions
            .iter()
            .map(|p| (&p.id, &p.calibration))
            .collect();
        let json = serde_json::json!({ "profiles": all, "known": known, "verdicts": verdicts, "calibration": scored });
        println!("{json}");
        return Ok(ExitCode::SUCCESS);
    }
    for portion in &view.portions {
        for k in &portion.known {
            println!("{}", counted_on(k));
        }
    }
    for line in view.portions.iter().filter_map(|p| judged(p)) {
        println!("{line}");
    }
    for v in verdicts {
        println!(
            "{:<12} {:<12} {:<12} {}, {} in a row, {:.0} s old",
            v.key.portion,
            v.key.site,
            v.key.class.shown(),
            v.sentence(),
            v.times,
            view.at.since(v.at).as_secs_f64()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The dashboard over a foreshadow in another process.
pub fn dashboard(at: &AttachArgs, options: tui::Options) -> Result<ExitCode, Exit> {
    let remote = remote(at)?;
    runtime()?.block_on(async {
        let (first, begun) = remote.begin().await.map_err(|e| wrong(&e))?;
        let cancel = CancellationToken::new();
        tokio::spawn(super::signals::until_signal(cancel.clone()));
        let (views, commands) = remote.follow(first, Some(begun), cancel.clone());
        let ran = tui::run(views, commands, options, cancel.clone()).await;
        cancel.cancel();
        ran.map_err(|e| Exit {
            code: exit::FAILED,
            message: e.to_string(),
        })?;
        Ok(ExitCode::SUCCESS)
    })
}
