//! `nomad`: the job registered again with only the `weights` of its `service` block changed. Needs Nomad 1.9.2 or later.

use super::nomads_entries::{flag, newcomers, own, settled};
use super::{Case, Desk, Finding, OwnerError, Shares, Weigh, refused, serves_somewhere};
use crate::clients::http::HttpError;
use crate::clients::nomad::Nomad;
use crate::model::*;
use async_trait::async_trait;
use futures::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Nomad evaluates, and its clients register anew; what takes longer is tried again, so that the gateway can see to other services.
const IN_PLACE: Duration = Duration::from_secs(2);
/// Registrations that a person or another gateway got ahead of.
const TRIES: usize = 4;

pub(super) struct NomadJob;

#[async_trait]
impl Weigh for NomadJob {
    async fn preflight(&self, desk: &Desk, case: &Case<'_>) -> Result<Vec<Finding>, HttpError> {
        let Some(nomad) = &desk.nomad else {
            return Ok(vec![Finding::bad(
                "Nomad's version is not known; give its address",
            )]);
        };
        let agent = nomad.agent_self().await?;
        let version = agent.version_text();
        let mut found = vec![match agent.features().service_weights {
            true => Finding::good(format!("Nomad {version} takes weights in a service block")),
            false => Finding::bad(format!(
                "Nomad {version} drops weights of a service block (they came with 1.9.2); set owner = \"agent\" or \"front\""
            )),
        }];
        found.extend(case.job.map(|job| of_job(job, case)).unwrap_or_else(|| {
            let why = format!("Nomad has no job {}; register it", case.portion.job);
            vec![Finding::bad(why)]
        }));
        Ok(found)
    }

    async fn write(
        &self,
        desk: &Desk,
        target: &Target,
        shares: &Shares,
    ) -> Result<BTreeMap<AllocId, u32>, OwnerError> {
        serves_somewhere(Owner::Nomad, target, shares)?;
        let service = &target.service;
        let nomad = desk.nomad.as_ref().ok_or_else(|| {
            refused(
                Owner::Nomad,
                service,
                "this gateway does not know Nomad's address",
            )
        })?;
        let (jobs, wanted) = wanted(nomad, target, shares).await?;
        let (gain, lose): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|j| j.1 > j.2);
        for (job, weight, _) in gain.into_iter().chain(lose) {
            set(desk, nomad, target, &job, Some(weight)).await?;
        }
        let own = own(desk, service).await?;
        if newcomers(&own, shares) && !settled(desk, service, &wanted, IN_PLACE).await? {
            let why = "Nomad's clients do not show the weights yet; whoever is to come in waits";
            return Err(refused(Owner::Nomad, service, why));
        }
        flag(desk, &own, shares).await?;
        Ok(wanted)
    }

    async fn undo(&self, desk: &Desk, service: &ServiceName) -> Result<(), OwnerError> {
        let own = own(desk, service).await?;
        if let Some(nomad) = &desk.nomad {
            let mut jobs: Vec<String> = Vec::new();
            for o in &own {
                jobs.push(nomad.allocation(o.alloc.as_str()).await?.job_id);
            }
            jobs.sort();
            jobs.dedup();
            for job in jobs {
                take_away(nomad, service, &job).await?;
            }
        }
        for o in own.iter().filter(|o| o.maintenance) {
            desk.gateway
                .consul
                .maintenance(&o.entry.id, false, "")
                .await?;
        }
        Ok(())
    }
}

/// What of the job itself fits or does not.
fn of_job(job: &JobSpec, case: &Case<'_>) -> Vec<Finding> {
    let (id, service) = (job.id(), case.service);
    let mut found = Vec::new();
    match own_block(job, service) {
        Some(block) if in_mesh(block) => found.push(Finding::bad(format!(
            "{service} is in the mesh, where weights of entries do nothing; set owner = \"mesh\""
        ))),
        Some(_) => {}
        None => found.push(Finding::bad(format!(
            "no service block of job {id} is called {service}; name one so, or set owner = \"front\""
        ))),
    }
    let sites = list(&job.0, "Datacenters").count();
    if sites > 1 {
        found.push(Finding::bad(format!(
            "job {id} runs at {sites} sites and has one weight for all of them; make it one job a site, or set owner = \"front\""
        )));
    }
    let deploys = !job.0["Update"].is_null() || job.groups().any(|g| !g["Update"].is_null());
    let more = if deploys { " and a deployment" } else { "" };
    found.push(Finding::good(format!(
        "each step makes a version of job {id}{more}, and Nomad keeps 6; keep the stable one first: nomad job tag apply -name stable {id}"
    )));
    found
}

/// Job, weight wanted, weight now.
type Weighed = (String, u32, u32);

/// One weight for each job by the shares of its serving instances; 1, the least, where a job has none. And what that means
/// for each instance.
async fn wanted(
    nomad: &Nomad,
    target: &Target,
    shares: &Shares,
) -> Result<(Vec<Weighed>, BTreeMap<AllocId, u32>), OwnerError> {
    let found = target
        .instances
        .iter()
        .map(|i| nomad.allocation(i.alloc.as_str()));
    let mut jobs: BTreeMap<String, Vec<(AllocId, Share)>> = BTreeMap::new();
    for (instance, alloc) in target.instances.iter().zip(join_all(found).await) {
        let share = shares.get(&instance.alloc).copied().unwrap_or_default();
        jobs.entry(alloc?.job_id)
            .or_default()
            .push((instance.alloc.clone(), share));
    }
    let serving = |all: &[(AllocId, Share)]| {
        let some = all.iter().filter(|(_, s)| *s > Share::NONE);
        some.fold((Share::NONE, 0), |(sum, n), (_, s)| {
            (Share(sum.0 + s.0), n + 1)
        })
    };
    let parts: Vec<(Share, u32)> = jobs
        .values()
        .map(|all| serving(all))
        .filter(|p| p.1 > 0)
        .collect();
    let mut least = least_weights(&parts, MOST_WEIGHT).into_iter();
    let (mut weighed, mut each) = (Vec::new(), BTreeMap::new());
    for (job, instances) in jobs {
        let serves = serving(&instances).1 > 0;
        let weight = serves.then(|| least.next()).flatten().unwrap_or(1);
        let now = nomad.job(&job, None).await?.value;
        let now = now
            .and_then(|j| weight_of(own_block(&j.spec, &target.service)?))
            .unwrap_or(1);
        each.extend(
            instances
                .into_iter()
                .filter(|(_, s)| *s > Share::NONE)
                .map(|(id, _)| (id, weight)),
        );
        weighed.push((job, weight, now));
    }
    Ok((weighed, each))
}

fn weight_of(block: &Json) -> Option<u32> {
    block
        .get("Weights")?
        .get("Passing")?
        .as_u64()?
        .try_into()
        .ok()
}

/// Registers the job with this weight, if it has another. Only over the job that was read (`EnforceIndex`), and only while
/// the target is still the one in force after that reading: an older write can never land on a newer one.
async fn set(
    desk: &Desk,
    nomad: &Nomad,
    target: &Target,
    job: &str,
    weight: Option<u32>,
) -> Result<(), OwnerError> {
    let service = &target.service;
    for _ in 0..TRIES {
        let Some(found) = nomad.job(job, None).await?.value else {
            return Err(refused(
                Owner::Nomad,
                service,
                format!("Nomad has no job {job} any more"),
            ));
        };
        let mut spec = found.spec;
        let Some(block) = own_block(&spec, service) else {
            let why = format!("no service block of job {job} is called {service}");
            return Err(refused(Owner::Nomad, service, why));
        };
        if weight_of(block) == weight || (weight == Some(1) && weight_of(block).is_none()) {
            return Ok(());
        }
        in_force(desk, target).await?;
        put(&mut spec, service, weight);
        match nomad.register(&spec, Some(spec.modify_index())).await {
            Ok(_) => return Ok(()),
            Err(e) if e.is_stale_index() => tracing::debug!("{e}; read again"),
            Err(e) => return Err(e.into()),
        }
    }
    let why = format!("job {job} was changed by somebody else each time; look who writes it");
    Err(refused(Owner::Nomad, service, why))
}

/// The target is still what it was: no newer leader, and no newer plan.
async fn in_force(desk: &Desk, target: &Target) -> Result<(), OwnerError> {
    let (key, dc) = (keys::target(&target.service), desk.kv_datacenter.as_deref());
    let now = desk
        .gateway
        .consul
        .kv_get(&key, dc, true, None)
        .await?
        .value;
    match now {
        Some(pair) if pair.modify_index == target.index => Ok(()),
        _ => {
            let why = "a newer target is in force";
            Err(refused(Owner::Nomad, &target.service, why))
        }
    }
}

/// Only `Services[].Weights` of that name, everywhere in the job.
fn put(spec: &mut JobSpec, service: &ServiceName, weight: Option<u32>) {
    let weights = weight.map_or(Value::Null, |w| json!({"Passing": w, "Warning": 1}));
    let change = |owner: &mut Value| {
        let services = owner.get_mut("Services").and_then(Value::as_array_mut);
        for block in services.into_iter().flatten() {
            if block["Name"].as_str() == Some(service.as_str()) {
                block["Weights"] = weights.clone();
            }
        }
    };
    let mut spec = spec.edit();
    let groups = spec.get_mut("TaskGroups").and_then(Value::as_array_mut);
    for group in groups.into_iter().flatten() {
        change(group);
        let tasks = group.get_mut("Tasks").and_then(Value::as_array_mut);
        tasks.into_iter().flatten().for_each(change);
    }
}

/// The job without weights, as it was before the first of them.
async fn take_away(nomad: &Nomad, service: &ServiceName, job: &str) -> Result<(), OwnerError> {
    for _ in 0..TRIES {
        let Some(found) = nomad.job(job, None).await?.value else {
            return Ok(());
        };
        let mut spec = found.spec;
        if own_block(&spec, service).and_then(weight_of).is_none() {
            return Ok(());
        }
        put(&mut spec, service, None);
        match nomad.register(&spec, Some(spec.modify_index())).await {
            Ok(_) => return Ok(()),
            Err(e) if e.is_stale_index() => tracing::debug!("{e}; read again"),
            Err(e) => return Err(e.into()),
        }
    }
    let why = format!("job {job} was changed by somebody else each time; look who writes it");
    Err(refused(Owner::Nomad, service, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_job_changes_but_the_weights_of_that_service() {
        let service = |name: &str| json!({"Name": name, "PortLabel": "http", "Meta": {"a": "b"}});
        let before = JobSpec::new(json!({
            "ID": "shop", "JobModifyIndex": 7,
            "TaskGroups": [{"Name": "web", "Count": 2, "Services": [service("shop-web"), service("other")],
                            "Tasks": [{"Name": "t", "Services": [service("shop-web")], "Env": {"A": "1"}}]}],
        }));
        let mut after = before.clone();
        put(&mut after, &"shop-web".into(), Some(30));
        let weights = json!({"Passing": 30, "Warning": 1});
        let mut expected = before.clone();
        expected.edit()["TaskGroups"][0]["Services"][0]["Weights"] = weights.clone();
        expected.edit()["TaskGroups"][0]["Tasks"][0]["Services"][0]["Weights"] = weights;
        assert_eq!(after, expected);
        assert_eq!(
            own_block(&after, &"shop-web".into()).and_then(weight_of),
            Some(30)
        );
        assert_eq!(own_block(&after, &"other".into()).and_then(weight_of), None);
    }
}
