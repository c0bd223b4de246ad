//! May a node run a group at all?

use super::super::json::*;
use super::super::state::node::Node;
use serde_json::Value;
use std::cmp::Ordering;

/// Why a node may not run a group, in the words of Nomad's `ConstraintFiltered`; `None` if it may.
///
/// `distinct_hosts` and `distinct_property` depend on where others are, and are looked at elsewhere.
pub fn refusal(node: &Node, job: &Value, group: &Value) -> Option<String> {
    let own = list(job, "Constraints")
        .iter()
        .chain(list(group, "Constraints"));
    let tasks = list(group, "Tasks");
    for constraint in own.chain(tasks.iter().flat_map(|t| list(t, "Constraints"))) {
        if !holds(node, constraint) {
            return Some(words(constraint));
        }
    }
    if tasks
        .iter()
        .any(|t| !node.config.drivers.contains_key(text(t, "Driver")))
    {
        return Some("missing drivers".into());
    }
    let volumes_fit = entries(group, "Volumes").all(|(_, v)| {
        text(v, "Type") != "host"
            || node
                .config
                .host_volumes
                .get(text(v, "Source"))
                .is_some_and(|have| flag(v, "ReadOnly") || !have.read_only)
    });
    (!volumes_fit).then(|| "missing compatible host volumes".into())
}

/// Whether the group's constraints name something unique to a node, so that classes tell nothing.
pub fn escapes_classes(job: &Value, group: &Value) -> bool {
    let all = list(job, "Constraints")
        .iter()
        .chain(list(group, "Constraints"));
    all.chain(
        list(group, "Tasks")
            .iter()
            .flat_map(|t| list(t, "Constraints")),
    )
    .any(|c| {
        [text(c, "LTarget"), text(c, "RTarget")]
            .iter()
            .any(|t| t.contains("unique."))
    })
}

/// As Nomad prints a constraint.
pub fn words(constraint: &Value) -> String {
    format!(
        "{} {} {}",
        text(constraint, "LTarget"),
        text(constraint, "Operand"),
        text(constraint, "RTarget")
    )
}

/// Whether a constraint or an affinity holds on a node.
pub fn holds(node: &Node, term: &Value) -> bool {
    let operand = text(term, "Operand");
    let (left, right) = (
        node.resolve(text(term, "LTarget")),
        node.resolve(text(term, "RTarget")),
    );
    match operand {
        "distinct_hosts" | "distinct_property" => true,
        "is_set" => left.is_some(),
        "is_not_set" => left.is_none(),
        "!=" | "not" => left != right,
        _ => match (left, right) {
            (Some(left), Some(right)) => compare(operand, &left, &right),
            _ => false,
        },
    }
}

fn compare(operand: &str, left: &str, right: &str) -> bool {
    match operand {
        "=" | "==" | "is" => left == right,
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        ">=" => left >= right,
        "regexp" => regex::Regex::new(right).is_ok_and(|r| r.is_match(left)),
        "version" | "semver" => version_holds(left, right),
        "set_contains" | "set_contains_all" => parts(right).all(|r| parts(left).any(|l| l == r)),
        "set_contains_any" => parts(right).any(|r| parts(left).any(|l| l == r)),
        _ => false,
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}

/// Whether a version satisfies `>= 1.2, < 2.0`.
fn version_holds(version: &str, wanted: &str) -> bool {
    let Some(version) = version_parts(version) else {
        return false;
    };
    parts(wanted).all(|rule| {
        let at = rule
            .find(|c: char| c.is_ascii_digit() || c == 'v')
            .unwrap_or(rule.len());
        let Some(bound) = version_parts(&rule[at..]) else {
            return false;
        };
        let order = compare_versions(&version, &bound);
        match rule[..at].trim() {
            "" | "=" => order == Ordering::Equal,
            "!=" => order != Ordering::Equal,
            ">" => order == Ordering::Greater,
            ">=" => order != Ordering::Less,
            "<" => order == Ordering::Less,
            "<=" => order != Ordering::Greater,
            "~>" => {
                let fixed = bound.0.len().saturating_sub(1).max(1);
                order != Ordering::Less
                    && (0..fixed)
                        .all(|i| version.0.get(i).unwrap_or(&0) == bound.0.get(i).unwrap_or(&0))
            }
            _ => false,
        }
    })
}

type Version = (Vec<u64>, String);

fn version_parts(text: &str) -> Option<Version> {
    let text = text.trim().trim_start_matches('v');
    let text = text.split('+').next()?;
    let (numbers, pre) = text.split_once('-').unwrap_or((text, ""));
    let numbers: Option<Vec<u64>> = numbers.split('.').map(|n| n.parse().ok()).collect();
    Some((numbers?, pre.to_string()))
}

fn compare_versions(a: &Version, b: &Version) -> Ordering {
    for i in 0..a.0.len().max(b.0.len()) {
        match a.0.get(i).unwrap_or(&0).cmp(b.0.get(i).unwrap_or(&0)) {
            Ordering::Equal => {}
            other => return other,
        }
    }
    match (a.1.is_empty(), b.1.is_empty()) {
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ => a.1.cmp(&b.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::nomad::state::node::NodeConfig;
    use serde_json::json;

    fn node() -> Node {
        let mut config = NodeConfig::new("edge-a-1", "edge-a", "127.0.10.1");
        config.class = "fast".into();
        config.meta.insert("zones".into(), "red, blue".into());
        config
            .attributes
            .insert("kernel.version".into(), "6.1.4".into());
        Node::new("id".into(), config, 1)
    }

    #[test]
    fn constraints_hold_as_nomad_reads_them() {
        let cases = [
            ("${node.datacenter}", "=", "edge-a", true),
            ("${node.unique.name}", "!=", "edge-a-1", false),
            ("${node.class}", "regexp", "^fa", true),
            ("${attr.kernel.version}", "version", ">= 6.1, < 7", true),
            ("${attr.kernel.version}", "version", "~> 6.0.1", false),
            ("${meta.zones}", "set_contains", "blue,red", true),
            ("${meta.zones}", "set_contains_any", "green,red", true),
            ("${meta.zones}", "set_contains", "green", false),
            ("${meta.none}", "=", "x", false),
            ("${meta.none}", "!=", "x", true),
            ("${meta.zones}", "is_set", "", true),
        ];
        for (left, operand, right, holds_there) in cases {
            let term = json!({"LTarget": left, "Operand": operand, "RTarget": right});
            assert_eq!(
                holds(&node(), &term),
                holds_there,
                "{left} {operand} {right}"
            );
        }
    }

    #[test]
    fn a_group_needs_its_driver_and_its_host_volume() {
        let group = |driver: &str, source: &str| json!({"Tasks": [{"Driver": driver}], "Volumes": {"d": {"Type": "host", "Source": source}}});
        let mut node = node();
        assert_eq!(
            refusal(&node, &json!({}), &group("docker", "x")).as_deref(),
            Some("missing drivers")
        );
        assert_eq!(
            refusal(&node, &json!({}), &group("raw_exec", "x")).as_deref(),
            Some("missing compatible host volumes")
        );
        node.config
            .host_volumes
            .insert("x".into(), Default::default());
        assert_eq!(refusal(&node, &json!({}), &group("raw_exec", "x")), None);
    }
}
