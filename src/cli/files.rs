//! What a job is made of: `partition`.

use super::Exit;
use super::args::{Format, PartitionArgs};
use super::validate::job_from;
use crate::clients::connect::Access;
use crate::clients::nomad::Nomad;
use crate::model::{JobId, JobSpec, Policy};
use crate::planner::{self, Portion};
use crate::settings;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

pub fn partition(args: PartitionArgs) -> Result<ExitCode, Exit> {
    let policy = args
        .policy
        .as_deref()
        .map(settings::read_policy)
        .transpose()
        .map_err(Exit::usage)?;
    let jobs: Vec<JobSpec> = args.jobs.iter().map(|j| job(j)).collect::<Result<_, _>>()?;
    if let (Some(policy), Some(path)) = (&policy, &args.policy) {
        of_these(policy, &jobs).map_err(|e| Exit::usage(format!("{}: {e}", path.display())))?;
    }
    let all: Vec<&JobSpec> = jobs.iter().collect();
    let portions = planner::workload(&all, policy.as_ref());
    match args.format {
        _ if args.dot => print!("{}", planner::graph::dot(&portions)),
        Format::Json if jobs.len() == 1 => println!(
            "{}",
            serde_json::json!({ "job": jobs[0].id(), "portions": portions })
        ),
        Format::Json => println!(
            "{}",
            serde_json::json!({ "jobs": jobs.iter().map(JobSpec::id).collect::<Vec<_>>(), "portions": portions })
        ),
        Format::Text => {
            portions.iter().for_each(|p| println!("{}", sentence(p)));
            print!("\nwho calls whom\n{}", planner::graph::tree(&portions));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Why the policy says nothing of these jobs, if so.
fn of_these(policy: &Policy, jobs: &[JobSpec]) -> Result<(), String> {
    let of: BTreeSet<&JobId> = policy.portions.iter().map(|p| &p.job).collect();
    if jobs.iter().any(|j| of.contains(&j.id())) {
        return Ok(());
    }
    let names = |all: Vec<String>| all.join(", ");
    Err(format!(
        "it is a policy of {}, and says nothing of {}",
        names(of.iter().map(ToString::to_string).collect()),
        names(jobs.iter().map(|j| j.id().to_string()).collect())
    ))
}

/// From a file, else from Nomad.
fn job(name: &str) -> Result<JobSpec, Exit> {
    if !Path::new(name).exists() {
        return from_nomad(&JobId::new(name));
    }
    let text = settings::read_text(Path::new(name)).map_err(Exit::usage)?;
    job_from(name, &text).map_err(Exit::usage)
}

fn from_nomad(id: &JobId) -> Result<JobSpec, Exit> {
    let access = Access::from_pairs(settings::access).map_err(Exit::usage)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| Exit::failed(&e))?;
    runtime.block_on(async {
        let nomad = Nomad::new(&access.nomad).map_err(|e| Exit::failed(&e))?;
        let found = nomad.job(id.as_str(), None).await.map_err(|e| Exit::unreachable(&e))?;
        found.value.map(|j| j.spec).ok_or_else(|| {
            Exit::usage(format!("{id} is neither a file nor a job that Nomad knows; give a path that exists or an ID from `nomad status`"))
        })
    })
}

fn sentence(p: &Portion) -> String {
    let groups: Vec<&str> = p.groups.iter().map(|g| g.as_str()).collect();
    let calls: Vec<&str> = p.depends_on.iter().map(|d| d.as_str()).collect();
    let calls = if calls.is_empty() {
        "nothing".into()
    } else {
        calls.join(", ")
    };
    let can = p
        .not_shadowable
        .as_ref()
        .map_or_else(|| "yes".to_string(), |why| format!("no: {why}"));
    let fused = p
        .fused
        .as_ref()
        .map_or_else(String::new, |why| format!("\n    fused because {why}"));
    let cycle: Vec<&str> = p.cycle.iter().map(|c| c.as_str()).collect();
    let cycle = match cycle.join(", ") {
        none if none.is_empty() => none,
        with => format!("\n    in a circle of calls with {with}"),
    };
    format!(
        "{}\n    groups {} (release {})\n    needs {} and {}, calls {calls}\n    can be shadowed: {can}{fused}{cycle}",
        p.id,
        groups.join(", "),
        p.release,
        p.needs.cpu,
        p.needs.memory
    )
}
