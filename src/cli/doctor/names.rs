//! Whether what the files name is there: datacenters of Nomad's, jobs, and their groups.

use super::Findings;
use crate::clients::nomad::Nomad;
use crate::engine::house::GatewaySetup;
use crate::model::{JobId, JobSpec, Policy, PortionPolicy, Site};
use std::collections::{BTreeMap, BTreeSet};

impl Findings {
    /// Sites of policies and gateways, which are Nomad's datacenters. Whether its nodes can be read at all is told already.
    pub(super) async fn of_sites(
        &mut self,
        policies: &[Policy],
        gateways: &[GatewaySetup],
        nomad: &Nomad,
    ) {
        let Ok(nodes) = nomad.nodes(None).await else {
            return;
        };
        let nodes = nodes.value.into_iter();
        let there: BTreeSet<Site> = nodes.map(|n| Site::new(n.datacenter)).collect();
        let wanted = policies
            .iter()
            .map(|p| (format!("sites of {}", p.workload), p.sites.clone()));
        let stand = gateways
            .iter()
            .map(|g| (format!("site of gateway {}", g.id), vec![g.site.clone()]));
        for (what, sites) in wanted.chain(stand) {
            let away: Vec<&Site> = sites.iter().filter(|s| !there.contains(*s)).collect();
            match away.is_empty() {
                true => self.good(&what, &list(&sites)),
                false => self.bad(
                    &what,
                    &format!(
                        "Nomad has no node in datacenter {}; there are {}",
                        list(away),
                        list(&there)
                    ),
                ),
            }
        }
    }

    /// Jobs that policies name, and groups of theirs that portions are made of. What cannot be read is told of elsewhere.
    pub(super) async fn of_jobs(&mut self, policies: &[Policy], nomad: &Nomad) {
        let mut jobs: BTreeMap<&JobId, Option<JobSpec>> = BTreeMap::new();
        for policy in policies {
            let named: BTreeSet<&JobId> = policy.portions.iter().map(|p| &p.job).collect();
            for job in named {
                if !jobs.contains_key(job) {
                    let Ok(found) = nomad.job(job.as_str(), None).await else {
                        continue;
                    };
                    jobs.insert(job, found.value.map(|j| j.spec));
                }
                let of = policy.portions.iter().filter(|p| p.job == *job);
                self.of_job((&policy.workload, job), jobs[job].as_ref(), of);
            }
        }
    }

    fn of_job<'a>(
        &mut self,
        (workload, job): (&str, &JobId),
        spec: Option<&JobSpec>,
        portions: impl Iterator<Item = &'a PortionPolicy>,
    ) {
        let what = format!("job {job} of {workload}");
        let Some(spec) = spec else {
            let why =
                "Nomad has no such job; look at `job` in the policy, and at `nomad job status`";
            return self.bad(&what, why);
        };
        let named = spec.groups().filter_map(|g| g.get("Name")?.as_str());
        let named = list(named);
        let mut well = true;
        for portion in portions {
            let lacking = |g: &&crate::model::Group| spec.group(g).is_none();
            let lacking: Vec<_> = portion.groups.iter().filter(lacking).collect();
            if !lacking.is_empty() {
                well = false;
                let why = format!(
                    "it has no group {} of portion {}; there are {named}: a portion is called after its group, or says `groups`",
                    list(lacking),
                    portion.id
                );
                self.bad(&what, &why);
            }
        }
        if well {
            self.good(&what, &format!("groups {named}"));
        }
    }
}

fn list<T: ToString>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = all.into_iter().map(|one| one.to_string()).collect();
    all.join(", ")
}
