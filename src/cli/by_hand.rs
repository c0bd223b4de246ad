//! What people ask of a running foreshadow: `shadow`, `profiles`, `switch`, `abort`, and the attached dashboard.

use super::Exit;
use super::args::{
    AttachArgs, Format, ProfilesArgs, ShadowArgs, ShadowCommand, SwitchArgs, TuiArgs,
};
use super::exit;
use crate::engine::view::{Command, View};
use crate::headless::{Remote, RemoteError};
use crate::model::{Judged, PortionId, Profile, ShadowId, Site};
use crate::{settings, tui};
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    tokio::runtime::Runtime::new().map_err(|e| Exit::failed(&e))
}

fn remote(to: &AttachArgs) -> Result<Remote, Exit> {
    Remote::new(
        &to.attach,
        settings::secret("FORESHADOW_ACT_TOKEN").map_err(Exit::usage)?,
    )
    .map_err(Exit::usage)
}

fn wrong(e: &RemoteError) -> Exit {
    match e {
        RemoteError::Reach { .. } => Exit::unreachable(e),
        RemoteError::Address(_) => Exit::usage(e),
        RemoteError::Garbled { .. } | RemoteError::Refused { .. } => Exit::failed(e),
    }
}

fn look(to: &AttachArgs) -> Result<View, Exit> {
    let remote = remote(to)?;
    runtime()?.block_on(remote.view()).map_err(|e| wrong(&e))
}

/// Sends the command; names are checked first against what the other side knows.
fn ask(to: &AttachArgs, command: &Command) -> Result<ExitCode, Exit> {
    let remote = remote(to)?;
    runtime()?.block_on(async {
        let view = remote.view().await.map_err(|e| wrong(&e))?;
        known(&view, command).map_err(Exit::usage)?;
        let said = remote.command(command).await.map_err(|e| wrong(&e))?;
        println!("{said}");
        Ok(ExitCode::SUCCESS)
    })
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
    let command = Command::Switch {
        portion: PortionId::new(args.portion),
        to: Site::new(args.to),
    };
    ask(&args.at, &command)
}

pub fn abort(args: AttachArgs) -> Result<ExitCode, Exit> {
    ask(&args, &Command::Abort)
}

pub fn shadow(args: ShadowArgs) -> Result<ExitCode, Exit> {
    match args.command {
        ShadowCommand::Start { portion, site, at } => {
            let command = Command::StartShadow {
                portion: PortionId::new(portion),
                site: Site::new(site),
            };
            ask(&at, &command)
        }
        ShadowCommand::Stop { shadow, at } => {
            let shadow = ShadowId::new(shadow);
            ask(&at, &Command::StopShadow { shadow })
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
        let due = c.due_in.map_or("due now".to_string(), |d| {
            format!("due in {:.0} s", d.as_secs_f64())
        });
        println!(
            "  {:<12} {:<12} {:<12} value {:>8.0} = use {:.2} × unknown {:.2} / {:.5} core-h, {due}",
            c.portion,
            c.site,
            c.class.shown(),
            c.value,
            c.use_probability,
            c.unknown,
            c.cost
        );
    }
    Ok(ExitCode::SUCCESS)
}

pub fn profiles(args: ProfilesArgs) -> Result<ExitCode, Exit> {
    let view = look(&args.at)?;
    let all: Vec<&Profile> = view.portions.iter().flat_map(|p| &p.profiles).collect();
    let verdicts: Vec<&Judged> = view.portions.iter().flat_map(|p| &p.verdicts).collect();
    if args.format == Format::Json {
        let json = serde_json::json!({ "profiles": all, "verdicts": verdicts });
        println!("{json}");
        return Ok(ExitCode::SUCCESS);
    }
    for p in all {
        println!(
            "{:<12} {:<12} {:<12} carries {:>9} ± {:<9} {:>6.1} MHz·s and {:>7.0} B a request, ready after {} ms, {} runs, {:.0} s old",
            p.key.portion,
            p.key.site,
            p.key.class.shown(),
            p.knee,
            p.knee_spread,
            p.cpu_a_request,
            p.bytes_a_request,
            p.startup.0,
            p.runs,
            view.at.since(p.at).as_secs_f64()
        );
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
pub fn dashboard(args: TuiArgs) -> Result<ExitCode, Exit> {
    let remote = remote(&args.at)?;
    let options = tui::Options {
        look: tui::look::Look {
            color: !settings::no_color(),
            ascii: !settings::utf8(),
        },
        allow_act: args.allow_act,
    };
    runtime()?.block_on(async {
        let first = remote.view().await.map_err(|e| wrong(&e))?;
        let cancel = CancellationToken::new();
        tokio::spawn(super::sandbox::until_signal(cancel.clone()));
        let (views, commands) = remote.follow(first, cancel.clone());
        let ran = tui::run(views, commands, options, cancel.clone()).await;
        cancel.cancel();
        ran.map_err(|e| Exit {
            code: exit::FAILED,
            message: e.to_string(),
        })?;
        Ok(ExitCode::SUCCESS)
    })
}
