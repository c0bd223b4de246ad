//! Nomad's constraints and affinities, as far as the picture of a node tells: which nodes a copy may run on, and which it likes.
//!
//! What the picture does not hold (`${attr.…}`, versions) counts as fulfilled: Nomad's own plan has the last word.

use crate::model::{Group, JobSpec, Json, Node, list};

/// One constraint or affinity as Nomad's API gives it.
#[derive(Clone, Debug, PartialEq)]
struct Rule {
    left: String,
    operand: String,
    right: String,
    /// Of an affinity, -100 to 100.
    weight: f64,
}

impl Rule {
    fn of(v: &Json) -> Rule {
        let text = |key: &str| v.get(key).and_then(Json::as_str).unwrap_or("").to_string();
        Rule {
            left: text("LTarget"),
            operand: text("Operand"),
            right: text("RTarget"),
            weight: v.get("Weight").and_then(Json::as_f64).unwrap_or(0.0),
        }
    }

    /// Whether the node fulfils it; `None` where the picture cannot tell.
    fn holds(&self, node: &Node) -> Option<bool> {
        let (left, right) = (value(&self.left, node)?, value(&self.right, node)?);
        match self.operand.as_str() {
            "is_set" => return Some(left.is_some()),
            "is_not_set" => return Some(left.is_none()),
            "!=" | "not" => return Some(left != right),
            _ => {}
        }
        // As Nomad has it: what is not there fulfils nothing else.
        let (Some(left), Some(right)) = (left, right) else {
            return Some(false);
        };
        let items =
            |list: &str| -> Vec<String> { list.split(',').map(|i| i.trim().to_string()).collect() };
        match self.operand.as_str() {
            "=" | "==" | "is" | "" => Some(left == right),
            "<" => Some(left < right),
            "<=" => Some(left <= right),
            ">" => Some(left > right),
            ">=" => Some(left >= right),
            "regexp" => Some(regex::Regex::new(&right).ok()?.is_match(&left)),
            "set_contains" | "set_contains_all" => {
                let has = items(&left);
                Some(items(&right).iter().all(|i| has.contains(i)))
            }
            "set_contains_any" => {
                let has = items(&left);
                Some(items(&right).iter().any(|i| has.contains(i)))
            }
            _ => None,
        }
    }
}

/// What a target stands for on this node: `None` where the picture does not hold it, `Some(None)` where it is not set.
fn value(target: &str, node: &Node) -> Option<Option<String>> {
    let Some(name) = target.strip_prefix("${").and_then(|t| t.strip_suffix('}')) else {
        return Some(Some(target.to_string()));
    };
    if let Some(key) = name.strip_prefix("meta.") {
        return Some(node.meta.get(key).cloned());
    }
    match name {
        "node.datacenter" => Some(Some(node.site.to_string())),
        "node.class" => Some(Some(node.class.to_string())),
        "node.unique.id" => Some(Some(node.id.to_string())),
        "node.unique.name" => Some(Some(node.name.to_string())),
        _ => None,
    }
}

/// What the groups of a job want of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wants {
    constraints: Vec<Rule>,
    affinities: Vec<Rule>,
}

impl Wants {
    /// Of the job, its groups and their tasks; what spreads several copies over nodes has no meaning for one.
    pub fn of(job: &JobSpec, groups: &[Group]) -> Wants {
        let of_groups: Vec<&Json> = groups.iter().filter_map(|g| job.group(g)).collect();
        let tasks = of_groups.iter().flat_map(|g| list(g, "Tasks"));
        let levels: Vec<&Json> = std::iter::once(&*job.0)
            .chain(of_groups.iter().copied())
            .chain(tasks)
            .collect();
        let all = |key: &str| -> Vec<Rule> {
            let rules = levels.iter().flat_map(|v| list(v, key)).map(Rule::of);
            rules
                .filter(|r| !r.operand.starts_with("distinct_"))
                .collect()
        };
        Wants {
            constraints: all("Constraints"),
            affinities: all("Affinities"),
        }
    }

    pub fn allow(&self, node: &Node) -> bool {
        let mut rules = self.constraints.iter();
        rules.all(|r| r.holds(node) != Some(false))
    }

    /// How much the node is liked, -1 to 1: the weights of the affinities that it fulfils, over all of them.
    pub fn liking(&self, node: &Node) -> f64 {
        let all: f64 = self.affinities.iter().map(|a| a.weight.abs()).sum();
        let met = self
            .affinities
            .iter()
            .filter(|a| a.holds(node) == Some(true));
        met.map(|a| a.weight).sum::<f64>() / all.max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Shared;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn node() -> Node {
        Node {
            id: "id-1".into(),
            class: "small".into(),
            meta: Shared::new(BTreeMap::from([
                ("rack".to_string(), "r1".to_string()),
                ("tags".to_string(), "ssd, arm".to_string()),
            ])),
            ..Node::bare("edge-a-1", "edge-a")
        }
    }

    fn holds(left: &str, operand: &str, right: &str) -> Option<bool> {
        Rule::of(&json!({"LTarget": left, "Operand": operand, "RTarget": right}).into())
            .holds(&node())
    }

    #[test]
    fn operands_mean_what_nomad_means_by_them() {
        for (left, operand, right, expected) in [
            ("${node.class}", "=", "small", Some(true)),
            ("${node.class}", "!=", "small", Some(false)),
            ("${node.datacenter}", "regexp", "^edge-", Some(true)),
            ("${node.unique.name}", "=", "edge-b-1", Some(false)),
            ("${meta.rack}", ">", "r0", Some(true)),
            ("${meta.rack}", "is_set", "", Some(true)),
            ("${meta.row}", "is_not_set", "", Some(true)),
            ("${meta.row}", "=", "7", Some(false)),
            ("${meta.row}", "!=", "7", Some(true)),
            ("${meta.tags}", "set_contains", "ssd,arm", Some(true)),
            ("${meta.tags}", "set_contains", "ssd,gpu", Some(false)),
            ("${meta.tags}", "set_contains_any", "gpu,arm", Some(true)),
            ("${attr.kernel.name}", "=", "linux", None),
            ("${node.class}", "semver", ">= 1.0", None),
        ] {
            assert_eq!(
                holds(left, operand, right),
                expected,
                "{left} {operand} {right}"
            );
        }
    }

    #[test]
    fn a_job_its_groups_and_tasks_all_have_a_say() {
        let job = JobSpec::new(json!({
            "ID": "shop",
            "Constraints": [
                {"LTarget": "${attr.kernel.name}", "Operand": "=", "RTarget": "linux"},
                {"LTarget": "", "Operand": "distinct_hosts", "RTarget": "true"},
            ],
            "TaskGroups": [{
                "Name": "web",
                "Affinities": [
                    {"LTarget": "${meta.rack}", "Operand": "=", "RTarget": "r1", "Weight": 50},
                    {"LTarget": "${node.class}", "Operand": "=", "RTarget": "large", "Weight": 50},
                ],
                "Tasks": [{"Constraints": [{"LTarget": "${node.class}", "Operand": "=", "RTarget": "small"}]}],
            }],
        }));
        let wants = Wants::of(&job, &["web".into()]);
        assert!(wants.allow(&node()));
        assert_eq!(wants.liking(&node()), 0.5);
        let large = Node {
            class: "large".into(),
            ..node()
        };
        assert!(!wants.allow(&large));
        assert_eq!(Wants::default().liking(&large), 0.0);
    }
}
