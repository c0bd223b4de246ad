//! Who calls whom, as a graph: its cycles, and its pictures as text and for Graphviz. Pure.

use super::partition::Portion;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Sets of nodes that reach each other, of two or more, ascending; `calls[i]` are the nodes that `i` calls.
pub fn cycles(calls: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let mut graph: DiGraph<(), ()> = DiGraph::with_capacity(calls.len(), 0);
    for _ in calls {
        graph.add_node(());
    }
    for (from, to) in calls.iter().enumerate() {
        for to in to {
            graph.add_edge(NodeIndex::new(from), NodeIndex::new(*to), ());
        }
    }
    let circles = tarjan_scc(&graph).into_iter().filter(|c| c.len() > 1);
    let mut found: Vec<Vec<usize>> = circles
        .map(|c| {
            let mut c: Vec<usize> = c.into_iter().map(NodeIndex::index).collect();
            c.sort_unstable();
            c
        })
        .collect();
    found.sort();
    found
}

/// Callers above what they call, each portion's own callees indented below it; one that was shown before is only named.
pub fn tree(portions: &[Portion]) -> String {
    let by_id: BTreeMap<&str, &Portion> = portions.iter().map(|p| (p.id.as_str(), p)).collect();
    let called: BTreeSet<&str> = portions
        .iter()
        .flat_map(|p| p.depends_on.iter().map(|d| d.as_str()))
        .collect();
    let mut shown = BTreeSet::new();
    let mut out = String::new();
    let roots = portions.iter().filter(|p| !called.contains(p.id.as_str()));
    // In a circle nobody is without a caller: then the first of it comes first.
    for root in roots.chain(portions) {
        if !shown.contains(root.id.as_str()) {
            branch(root, &by_id, &mut shown, "", "", &mut out);
        }
    }
    out
}

fn branch<'a>(
    portion: &'a Portion,
    by_id: &BTreeMap<&'a str, &'a Portion>,
    shown: &mut BTreeSet<&'a str>,
    first: &str,
    rest: &str,
    out: &mut String,
) {
    let again = !shown.insert(portion.id.as_str());
    let more = again && !portion.depends_on.is_empty();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{first}{}{}",
        portion.id,
        if more { " (above)" } else { "" }
    );
    if again {
        return;
    }
    let last = portion.depends_on.len().saturating_sub(1);
    for (k, to) in portion.depends_on.iter().enumerate() {
        let (own, below) = match k == last {
            true => ("└─ ", "   "),
            false => ("├─ ", "│  "),
        };
        let (own, below) = (format!("{rest}{own}"), format!("{rest}{below}"));
        match by_id.get(to.as_str()) {
            Some(next) => branch(next, by_id, shown, &own, &below, out),
            None => {
                let _ = writeln!(out, "{own}{to} (not among these jobs)");
            }
        }
    }
}

/// For Graphviz (`dot -Tsvg`): a box a job, dashed what cannot be shadowed.
pub fn dot(portions: &[Portion]) -> String {
    let mut out =
        String::from("digraph workload {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n");
    let jobs: BTreeSet<&str> = portions.iter().map(|p| p.job.as_str()).collect();
    for (k, job) in jobs.into_iter().enumerate() {
        let _ = writeln!(out, "  subgraph cluster_{k} {{\n    label={job:?};");
        for p in portions.iter().filter(|p| p.job.as_str() == job) {
            let style = match p.not_shadowable {
                Some(_) => ", style=\"rounded,dashed\"",
                None => "",
            };
            let groups: Vec<&str> = p.groups.iter().map(|g| g.as_str()).collect();
            let label = match groups.join(", ") {
                groups if groups == p.id.as_str() => groups,
                groups => format!("{}\n{groups}", p.id),
            };
            let _ = writeln!(out, "    {:?} [label={label:?}{style}];", p.id.as_str());
        }
        out.push_str("  }\n");
    }
    for p in portions {
        for to in &p.depends_on {
            let _ = writeln!(out, "  {:?} -> {:?};", p.id.as_str(), to.as_str());
        }
    }
    out.push_str("}\n");
    out
}
