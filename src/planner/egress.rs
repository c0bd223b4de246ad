//! What a portion's tasks call, as far as their job tells, and what of that the policy does not declare. Pure.

use crate::model::*;
use std::collections::BTreeSet;

/// Services and hosts that the groups call and that neither the policy's `upstream` blocks nor the workload itself know.
///
/// Looked at are Connect upstreams, `service` and `connect` in templates, and the hosts of URLs in environment, arguments and
/// templates. A host that is only known at run time (`${…}`, `{{…}}`) or is this machine is none. `known` are the services
/// of the workload's own portions: what `upstreams` says holds for them.
pub fn undeclared(
    job: &JobSpec,
    groups: &[Group],
    policy: &PortionPolicy,
    known: &BTreeSet<String>,
) -> Vec<String> {
    let host = |name: &str| name.split(':').next().unwrap_or(name).to_string();
    let declared: BTreeSet<String> = policy.stand_ins.iter().map(|u| host(&u.name)).collect();
    // `shop-cart.service.consul` is the service `shop-cart`.
    let service = |name: &str| name.split('.').next().unwrap_or(name).to_string();
    let mut found = called(job, groups);
    found.retain(|name| {
        let names = [host(name), service(name)];
        !names
            .iter()
            .any(|n| declared.contains(n) || known.contains(n))
    });
    found.into_iter().collect()
}

fn called(job: &JobSpec, groups: &[Group]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for group in groups.iter().filter_map(|g| job.group(g)) {
        let tasks = || list(group, "Tasks");
        let services = list(group, "Services").chain(tasks().flat_map(|t| list(t, "Services")));
        for service in services {
            let upstreams = service.at(&["Connect", "SidecarService", "Proxy", "Upstreams"]);
            let names = upstreams.and_then(Json::as_array).into_iter().flatten();
            found.extend(names.filter_map(|u| Some(u.get("DestinationName")?.as_str()?.into())));
        }
        for task in tasks() {
            let config = task.get("Config").unwrap_or(&Json::Null);
            let args = list(config, "args").chain(config.get("command"));
            let env = task.get("Env").and_then(Json::as_object);
            let env = env.into_iter().flat_map(|e| e.values());
            for text in args.chain(env).filter_map(Json::as_str) {
                hosts(text, &mut found);
            }
            for text in list(task, "Templates").filter_map(|t| t.get("EmbeddedTmpl")?.as_str()) {
                hosts(text, &mut found);
                templated(text, &mut found);
            }
        }
    }
    found
}

/// Hosts of the URLs in a text.
fn hosts(text: &str, into: &mut BTreeSet<String>) {
    for (at, _) in text.match_indices("://") {
        let rest = &text[at + 3..];
        let end = rest.find(|c: char| "/?#\"' ,;\n".contains(c));
        let authority = &rest[..end.unwrap_or(rest.len())];
        let host = authority.rsplit('@').next().unwrap_or(authority);
        let name = host.split(':').next().unwrap_or(host);
        let here = name == "localhost" || name.starts_with("127.");
        let later = authority.contains("${") || authority.contains("{{");
        if !name.is_empty() && !here && !later {
            into.insert(name.to_string());
        }
    }
}

/// Names in `service "name"` and `connect "name"`; a tag before a dot is left out.
fn templated(text: &str, into: &mut BTreeSet<String>) {
    for word in ["service \"", "connect \""] {
        for (at, _) in text.match_indices(word) {
            let rest = &text[at + word.len()..];
            let name = rest.split('"').next().unwrap_or(rest);
            let name = name.split('@').next().unwrap_or(name);
            let name = name.rsplit('.').next().unwrap_or(name);
            into.insert(name.to_string());
        }
    }
}
