//! `place`: solves an instance of the placement problem and says how good the answer is.

use super::Exit;
use super::args::{Format, PlaceArgs};
use crate::engine::clock::Stopwatch;
use crate::model::counted;
use crate::placement::{self, Answer, Candidate, Options, Problem};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// How long a search may take before it says how it gets on, and how often it then does.
const QUIET: Duration = Duration::from_secs(2);
/// The part of the time again that the linear bound may take; the rest sharpens it.
const PROOF_PART: f64 = 0.6;

pub fn place(args: PlaceArgs) -> Result<ExitCode, Exit> {
    let problem = Problem::from_json(&read(&args.input)?)
        .map_err(|e| Exit::usage(format!("{}: {e}", args.input.display())))?;
    let running = args
        .running
        .as_ref()
        .map(|path| running(path, &problem))
        .transpose()?;
    let portion = args
        .explain
        .as_ref()
        .map(|wanted| portion(&problem, wanted))
        .transpose()?;
    let watch = Stopwatch::start();
    let cancel = CancellationToken::new();
    let listener = listen(&cancel)?;
    let (answer, search) = solve(&problem, &args, running.as_deref(), &watch, &cancel);
    listener.shutdown_background();
    let report = Report {
        problem: &problem,
        rows: portion.map(|i| (i, placement::explain(&problem, &answer, i))),
        moved: running.map(|running| moved(&running, &answer)),
        answer,
        search,
        whole: watch.elapsed(),
    };
    match args.format {
        Format::Json => println!("{}", report.json()?),
        Format::Text => report.print(),
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends the search when the user interrupts it; the best answer so far is then printed.
fn listen(cancel: &CancellationToken) -> Result<Runtime, Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| Exit::failed(&e))?;
    runtime.spawn(super::signals::until_signal(cancel.clone()));
    Ok(runtime)
}

/// The answer, and how long the search for it took.
fn solve(
    problem: &Problem,
    args: &PlaceArgs,
    running: Option<&[Vec<usize>]>,
    watch: &Stopwatch,
    cancel: &CancellationToken,
) -> (Answer, Duration) {
    let limit = args.time_limit.unwrap_or(Duration::from_secs(1));
    let timed = args.iterations.is_none();
    let spent = || watch.elapsed().as_secs_f64() / limit.as_secs_f64().max(1e-9);
    let best = Mutex::new((QUIET, i64::MAX));
    let progress = |total: i64| tell(&best, watch.elapsed(), total);
    let options = Options {
        iterations: args.iterations,
        spent: timed.then_some(&spent),
        seed: args.seed,
        threads: args.threads,
        warm: running,
        move_cost: args.move_cost,
        progress: Some(&progress),
        ..Options::default()
    };
    let out_of_time = |limit: Duration| cancel.is_cancelled() || timed && watch.elapsed() >= limit;
    let mut answer = placement::search(problem, &options, &|| out_of_time(limit));
    let search = watch.elapsed();
    let rounds = if timed {
        u64::MAX
    } else {
        placement::BOUND_ROUNDS
    };
    let proven = limit + limit.mul_f64(PROOF_PART);
    placement::prove(problem, &mut answer, rounds, &|| out_of_time(proven));
    if timed {
        let (began, until) = (watch.elapsed(), limit * 2);
        let spent = || {
            if out_of_time(until) {
                return 1.0;
            }
            let rest = until.saturating_sub(began).as_secs_f64();
            watch.elapsed().saturating_sub(began).as_secs_f64() / rest
        };
        placement::sharpen(problem, &mut answer, &spent);
    }
    (answer, search)
}

/// Writes the best total so far to stderr, now and then; `told` holds when to write next, and the best.
fn tell(told: &Mutex<(Duration, i64)>, at: Duration, total: i64) {
    let Ok(mut told) = told.lock() else { return };
    told.1 = told.1.min(total);
    if at >= told.0 {
        eprintln!("place: {:.0} s, best so far {}", at.as_secs_f64(), told.1);
        told.0 = at + QUIET;
    }
}

fn read(path: &Path) -> Result<String, Exit> {
    std::fs::read_to_string(path)
        .map_err(|e| Exit::usage(format!("cannot read {}: {e}", path.display())))
}

/// The nodes of each portion in what an earlier `place` printed.
fn running(path: &Path, problem: &Problem) -> Result<Vec<Vec<usize>>, Exit> {
    #[derive(serde::Deserialize)]
    struct Placed {
        standbys: Vec<Vec<usize>>,
    }
    let placed: Placed = serde_json::from_str(&read(path)?).map_err(|e| {
        Exit::usage(format!(
            "{}: {e}; give what `foreshadow place --format json` printed",
            path.display()
        ))
    })?;
    if placed.standbys.len() != problem.portions() {
        return Err(Exit::usage(format!(
            "{} places {} portions, but the instance has {}; give a placement of the same portions, [] for new ones",
            path.display(),
            placed.standbys.len(),
            problem.portions()
        )));
    }
    Ok(placed.standbys)
}

/// The number of a portion, told by its id or its number.
fn portion(problem: &Problem, wanted: &str) -> Result<usize, Exit> {
    let portions = &problem.instance().portions;
    let numbered = || wanted.parse().ok().filter(|&i: &usize| i < portions.len());
    let found = portions
        .iter()
        .position(|p| p.id == wanted)
        .or_else(numbered);
    found.ok_or_else(|| {
        let ids = portions.iter().map(|p| p.id.as_str());
        let near = ids.min_by_key(|id| strsim::levenshtein(id, wanted));
        let hint = near.map_or_else(String::new, |id| format!("; did you mean {id:?}?"));
        Exit::usage(format!(
            "--explain: the instance has no portion {wanted:?}{hint}"
        ))
    })
}

/// Standbys that stand where none of their portion stood.
fn moved(running: &[Vec<usize>], answer: &Answer) -> usize {
    let both = running.iter().zip(&answer.standbys);
    both.map(|(before, after)| after.iter().filter(|node| !before.contains(node)).count())
        .sum()
}

struct Report<'a> {
    problem: &'a Problem,
    answer: Answer,
    rows: Option<(usize, Vec<Candidate>)>,
    moved: Option<usize>,
    search: Duration,
    whole: Duration,
}

impl Report<'_> {
    fn json(&self) -> Result<Value, Exit> {
        let mut json = serde_json::to_value(&self.answer).map_err(|e| Exit::failed(&e))?;
        json["search_ms"] = ms(self.search).into();
        json["solve_ms"] = ms(self.whole).into();
        if let Some(moved) = self.moved {
            json["moved"] = moved.into();
        }
        if let Some((portion, rows)) = &self.rows {
            let id = &self.problem.instance().portions[*portion].id;
            json["explain"] = json!({ "portion": id, "candidates": rows });
        }
        Ok(json)
    }

    fn print(&self) {
        let answer = &self.answer;
        let time = ms(self.whole);
        println!(
            "objective {} (bound {}, at most {:.2}% above the best), {} missing, {time:.0} ms",
            answer.objective,
            answer.bound,
            answer.gap_pct,
            counted(answer.unplaced, "standby")
        );
        if let Some(moved) = self.moved {
            println!("{} moved or new", counted(moved, "standby"));
        }
        if let Some(unserved) = &answer.unserved {
            println!(
                "unserved demand: {:.1} expected, {:.1} in the worst scenarios; {} of the objective",
                unserved.expected, unserved.cvar, unserved.cost
            );
        }
        let instance = self.problem.instance();
        for (portion, why) in &answer.why_unplaced {
            println!("  {}: {why}", instance.portions[*portion].id);
        }
        let Some((portion, rows)) = &self.rows else {
            return;
        };
        let portion = &instance.portions[*portion];
        println!(
            "{} wants {}; its candidates:",
            portion.id,
            counted(portion.k, "standby")
        );
        for row in rows {
            let node = &instance.nodes[row.node];
            let why = match (row.chosen, row.delta, &row.why_not) {
                (true, ..) => "chosen".to_owned(),
                (_, Some(delta), _) => format!("would change the objective by {delta:+}"),
                (_, None, why) => format!("not: {}", why.as_deref().unwrap_or_default()),
            };
            let domain = &instance.domains[node.domain].id;
            println!("  {:<12} {domain:<12} cost {:>8}  {why}", node.id, row.cost);
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
