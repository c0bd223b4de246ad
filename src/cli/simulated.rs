//! The sandbox whose runtime is simulated: the same events and the same summary, in virtual time.

use super::args::{ConsulKind, Format, SandboxArgs};
use super::sandbox::{CYCLE, JOB, POLICY, read, say, sentence, summary};
use super::signals::until_signal;
use super::validate::job_from;
use super::{Exit, series};
use crate::engine::clock;
use crate::engine::simulate::live::{Live, Met, Stage};
use crate::engine::view::{Command, View};
use crate::headless;
use crate::load::players::{Loss, Summary};
use crate::load::trace::{Compression, parse_events};
use crate::model::*;
use crate::sandbox::block::Block;
use crate::sandbox::estate::Estate;
use crate::sandbox::scenario::{DAY, Scenario};
use crate::sandbox::world::{SECONDS_PER_HOUR, played_day};
use crate::settings;
use crate::tui;
use serde_json::json;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

const TRACE: &str = include_str!("../../assets/traces/shop.csv");
const EVENTS: &str = include_str!("../../assets/traces/shop-events.csv");
/// A headless run without `--for` lasts no longer than this.
const LONGEST: Duration = Duration::from_secs(240);

pub fn sandbox(args: &SandboxArgs) -> Result<ExitCode, Exit> {
    refuse(args)?;
    if let Some(speed) = args.speed
        && !(speed.is_finite() && speed > 0.0)
    {
        return Err(Exit::usage(format!(
            "--speed {speed}: give seconds of virtual time in one of real time, such as 10"
        )));
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|e| Exit::failed(&e))?;
    runtime.block_on(async {
        let cancel = CancellationToken::new();
        tokio::spawn(until_signal(cancel.clone()));
        match args.headless {
            true => lines(args, cancel).await,
            false => dashboard(args, cancel).await,
        }
    })
}

/// What serves addresses or keeps files has no place where nothing runs.
fn refuse(args: &SandboxArgs) -> Result<(), Exit> {
    let given = [
        (matches!(args.consul, ConsulKind::Real), "--consul real"),
        (args.consul_bind.is_some(), "--consul-bind"),
        (args.dns_bind.is_some(), "--dns-bind"),
        (args.nomad_bind.is_some(), "--nomad-bind"),
        (args.acl, "--acl"),
        (args.store.is_some(), "--store"),
    ];
    match given.into_iter().find(|(given, _)| *given) {
        Some((_, name)) => Err(Exit::usage(format!(
            "{name} goes with --runtime process: the simulated runtime serves no address and keeps no file"
        ))),
        None => Ok(()),
    }
}

/// The sandbox's day as the process runtime has it: the same job, policy, trace, past failures and scenario. Its first moment is
/// `begins`, the played day's own where nobody says.
fn stage(args: &SandboxArgs, begins: Option<Moment>) -> Result<Stage, Exit> {
    let name = |path: &Option<std::path::PathBuf>, builtin: &str| {
        path.as_ref()
            .map_or(builtin.to_string(), |p| p.display().to_string())
    };
    let policy = read(args.policy.as_deref(), POLICY)?;
    let policy = settings::parse_policy(&name(&args.policy, "policies/shop.hcl"), &policy)
        .map_err(Exit::usage)?;
    let job = read(args.job.as_deref(), JOB)?;
    let job = job_from(&name(&args.job, "jobs/shop.nomad.hcl"), &job).map_err(Exit::usage)?;
    let text = read(args.scenario.as_deref(), DAY)?;
    let estate = Estate::builtin(Block::default());
    let scenario = name(&args.scenario, "assets/scenarios/day.hcl");
    let scenario = Scenario::parse(&text, &scenario, &estate).map_err(Exit::usage)?;
    let mut trace = series::built_in(TRACE, "assets/traces/shop.csv")?;
    let events = parse_events(EVENTS, "assets/traces/shop-events.csv").map_err(Exit::usage)?;
    let last = trace.step.times(trace.values.len() as i64 - 1);
    let from = played_day(trace.start + last);
    let time = Compression {
        trace: from,
        real: begins.unwrap_or(from),
        seconds_per_hour: SECONDS_PER_HOUR,
    };
    trace.start = time.real(trace.start);
    trace.step = Span((trace.step.0 as f64 * SECONDS_PER_HOUR / 3600.0).round() as i64);
    if let Some(rps) = scenario.rps {
        let played = time.real.since(trace.start).0 / trace.step.0.max(1);
        let played = trace.values.iter_mut().skip(played.max(0) as usize);
        played.for_each(|v| *v = rps);
    }
    Ok(Stage {
        policy,
        jobs: vec![job],
        trace,
        failures: time.past_events(&events),
        scenario,
        begins: time.real,
        every: CYCLE,
        forecasting: !args.no_forecast,
        seed: args.seed,
    })
}

/// Events as lines until the scenario ends, or `--for` has passed.
async fn lines(args: &SandboxArgs, cancel: CancellationToken) -> Result<ExitCode, Exit> {
    let stage = stage(args, None)?;
    let length = args.lasts.unwrap_or(stage.scenario.length.min(LONGEST));
    let json = args.format == Format::Json;
    let mut out = std::io::stdout();
    let listening = json!({
        "at": headless::rfc3339(stage.begins), "kind": "listening", "runtime": "simulated",
        "nomad": null, "consul": null, "dns": null, "api": null,
    });
    say(&mut out, json, &listening)?;
    let mut live = Live::new(stage);
    let mut follower = headless::Follower::default();
    let mut pace = args.speed.map(pace);
    while live.since().0 < length.as_millis() as i64 && !cancel.is_cancelled() {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        for (at, fault) in live.turn() {
            let event = json!({"at": headless::rfc3339(at), "kind": "fault", "text": fault.to_string(), "scenario": true});
            say(&mut out, json, &event)?;
        }
        for event in follower.fresh(live.view()) {
            say(&mut out, json, &event)?;
        }
        // A signal is heard between two turns.
        tokio::task::yield_now().await;
    }
    let summary = sum_up(&live);
    match json {
        true => headless::write_summary(&mut out, summary).map_err(|e| Exit::failed(&e))?,
        false => println!("{}", sentence(&summary)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Ticks of real time, one a cycle.
fn pace(speed: f64) -> tokio::time::Interval {
    clock::ticks(Span((CYCLE.0 as f64 / speed).round() as i64))
}

/// The dashboard over it, at real time's pace where nobody says.
async fn dashboard(args: &SandboxArgs, cancel: CancellationToken) -> Result<ExitCode, Exit> {
    let mut live = Live::new(stage(args, Some(clock::now()))?);
    let (show, views) = watch::channel(Arc::new(live.view().clone()));
    let (commands, mut asked) = mpsc::channel::<Command>(16);
    let mut ticks = pace(args.speed.unwrap_or(1.0));
    let (end, lasts) = (cancel.clone(), args.lasts);
    let playing = tokio::spawn(async move {
        loop {
            tokio::select! {
                () = end.cancelled() => return live,
                Some(command) = asked.recv() => live.ask(command),
                _ = ticks.tick() => {
                    live.turn();
                    show.send_replace(Arc::new(live.view().clone()));
                }
            }
            if lasts.is_some_and(|l| live.since().0 >= l.as_millis() as i64) {
                end.cancel();
            }
        }
    });
    let options = args.looks.options(args.allow_act)?;
    let ran = tui::run(views, commands, options, cancel.clone()).await;
    cancel.cancel();
    let live = playing.await.map_err(|e| Exit::failed(&e))?;
    ran.map_err(|e| Exit::failed(&e))?;
    println!("{}", sentence(&sum_up(&live)));
    Ok(ExitCode::SUCCESS)
}

fn sum_up(live: &Live) -> serde_json::Value {
    let Met {
        requests,
        lost,
        late,
        unexplained,
    } = live.met();
    let seen = Summary {
        requests,
        lost,
        late,
        losses: Vec::new(),
    };
    // Parts of requests are no requests: they are told once they come to one.
    let mut rest = 0.0;
    let told = unexplained.into_iter().filter_map(|(after, lost)| {
        rest += lost;
        let whole = f64::floor(rest);
        rest -= whole;
        let loss = Loss {
            at: Moment(after.0),
            until: Moment(after.0),
            site: Site::new(""),
            instance: None,
            fault: None,
            said: None,
            requests: whole as u64,
        };
        (whole >= 1.0).then_some((after, loss))
    });
    summary(&seen, &told.collect::<Vec<_>>(), live.state())
}

/// The view at the end of so much of the sandbox's simulated day: the same seed gives the same view.
///
/// # Errors
/// Never with the built-in files, which are part of the program.
pub fn short_run(seed: u64, lasts: Span) -> Result<View, Exit> {
    let args = SandboxArgs {
        seed,
        ..SandboxArgs::default()
    };
    let mut live = Live::new(stage(&args, None)?);
    while live.since() < lasts {
        live.turn();
    }
    Ok(live.view().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_run_ends_with_the_same_view_for_the_same_seed() {
        let run = |seed| short_run(seed, Span::secs(20)).ok();
        let first = run(1).expect("the built-in files are right");
        assert!(first.portions.len() >= 3 && first.cycle >= 20);
        assert_eq!(Some(first), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn a_simulated_run_can_be_looked_back_at_from_its_first_turn_on() {
        let view = short_run(1, Span::secs(60)).expect("the built-in files are right");
        let first = view.pages.first().expect("a page");
        assert_eq!((first.cycle, first.rows.len()), (1, view.portions.len()));
        let lines = view.pages.iter().flat_map(|p| &p.lines);
        let told: Vec<u64> = lines.map(|l| l.seq).collect();
        assert_eq!(told, (1..=told.len() as u64).collect::<Vec<_>>());
        assert_eq!(told.last(), view.log.last().map(|l| &l.seq));
        let mut fronts = view.portions.iter().filter(|p| p.front.is_some());
        assert!(fronts.all(|p| p.stairs.len() > 1), "shares over time");
        assert!(view.portions.iter().any(|p| p.moving.is_some()), "a move");
    }
}
