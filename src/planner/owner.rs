//! Whose weights a service's are: as the policy says, or by what the service is and what this Nomad can do.

use super::instances::Copies;
use super::shares::exact;
use crate::model::*;
use std::collections::BTreeMap;

/// The owner of a service's weights, or why it cannot be told yet. Pure.
///
/// `auto`: a service that no block of the job registers has entries of foreshadow's own. One that the job registers itself
/// belongs to the mesh if it is in it; else Nomad's own `weights` where Nomad keeps them (since 1.9.2), the agent's before.
/// `external` is never guessed.
pub fn owner(
    choice: OwnerChoice,
    service: &ServiceName,
    job: Option<&JobSpec>,
    keeps_weights: &Seen<bool>,
) -> Result<Owner, String> {
    let OwnerChoice::This(owner) = choice else {
        let job = job.ok_or("the job cannot be read, so nobody can tell who owns its weights")?;
        return match own_block(job, service) {
            None => Ok(Owner::Front),
            Some(block) if in_mesh(block) => Ok(Owner::Mesh),
            Some(_) => match keeps_weights {
                Seen::Known { value: true, .. } => Ok(Owner::Nomad),
                Seen::Known { value: false, .. } => Ok(Owner::Agent),
                Seen::Unknown { why } => Err(format!(
                    "Nomad's version decides who owns its weights, and is unknown: {why}"
                )),
            },
        };
    };
    match (owner, keeps_weights.value()) {
        (Owner::Agent, Some(true)) => Err(format!("owner \"agent\" {RESET}")),
        (Owner::Nomad, Some(false)) => Err(
            "owner \"nomad\" needs Nomad 1.9.2 or later: older ones drop `weights` of a job; set owner = \"agent\" or \"front\""
                .to_string(),
        ),
        _ => Ok(owner),
    }
}

/// What Nomad does to foreign weights since 1.9.2, and the remedy.
pub const RESET: &str = "fights with this Nomad: since 1.9.2 its clients compare their entries every 30 s and reset a foreign weight; \
     set owner = \"nomad\" (or \"front\", with another name in the job's service block)";

/// Shares that `nomad` can write: all serving instances of a job have the job's one weight, so they share alike.
pub fn level(copies: &Copies, shares: BTreeMap<AllocId, Share>) -> BTreeMap<AllocId, Share> {
    let job_of = |id: &AllocId| copies.get(id).map(|c| c.job.clone());
    let mut jobs: BTreeMap<Option<JobId>, (f64, f64)> = BTreeMap::new();
    for (id, share) in shares.iter().filter(|(_, s)| **s > Share::NONE) {
        let (sum, count) = jobs.entry(job_of(id)).or_default();
        *sum += share.fraction();
        *count += 1.0;
    }
    let parts: Vec<(AllocId, f64)> = shares
        .iter()
        .map(|(id, share)| match jobs.get(&job_of(id)) {
            Some((sum, count)) if *share > Share::NONE => (id.clone(), sum / count),
            _ => (id.clone(), 0.0),
        })
        .collect();
    exact(&parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(name: &str, connect: serde_json::Value) -> JobSpec {
        let service = json!({"Name": name, "Connect": connect});
        JobSpec::new(json!({"ID": "shop", "TaskGroups": [{"Name": "web", "Services": [service]}]}))
    }

    fn auto(job: &JobSpec, keeps: Seen<bool>) -> Result<Owner, String> {
        owner(OwnerChoice::Auto, &"shop-web".into(), Some(job), &keeps)
    }

    fn known(keeps: bool) -> Seen<bool> {
        Seen::known(keeps, Moment(0))
    }

    #[test]
    fn auto_goes_by_what_the_service_is_and_what_nomad_can_do() {
        let other = job("shop-web-origin", json!(null));
        let own = job("shop-web", json!(null));
        let sidecar = job("shop-web", json!({"SidecarService": {}}));
        let native = job("shop-web", json!({"Native": true}));
        for keeps in [known(true), known(false), Seen::unknown("?")] {
            assert_eq!(auto(&other, keeps.clone()), Ok(Owner::Front));
            assert_eq!(auto(&sidecar, keeps.clone()), Ok(Owner::Mesh));
            assert_eq!(auto(&native, keeps), Ok(Owner::Mesh));
        }
        assert_eq!(auto(&own, known(true)), Ok(Owner::Nomad));
        assert_eq!(auto(&own, known(false)), Ok(Owner::Agent));
        assert!(auto(&own, Seen::unknown("?")).is_err());
    }

    #[test]
    fn an_owner_that_this_nomad_would_undo_writes_nothing() {
        let this = |owner| OwnerChoice::This(owner);
        let agent = owner(this(Owner::Agent), &"a".into(), None, &known(true));
        assert!(agent.is_err_and(|why| why.contains("30 s") && why.contains("owner = \"nomad\"")));
        assert!(owner(this(Owner::Nomad), &"a".into(), None, &known(false)).is_err());
        let unknown = owner(this(Owner::Agent), &"a".into(), None, &Seen::unknown("?"));
        assert_eq!(unknown, Ok(Owner::Agent));
    }
}
