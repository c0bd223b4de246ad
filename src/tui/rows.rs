//! The rows of each screen by identity: the same list moves the cursor and is drawn.

use super::state::{Screen, State};
use crate::engine::view::{
    CandidateView, LogLine, NodeView, Page, PageRow, ShadowView, SiteView, StepView,
};
use crate::model::{PortionId, Site};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Keeps what passes the filter; without one no text is made of anything.
fn keep<T>(state: &State, all: &mut Vec<&T>, text: impl Fn(&T) -> String) {
    if !state.unfiltered() {
        all.retain(|one| state.passes(&text(one)));
    }
}

/// Identities of the rows of the screen that is shown, filtered, in order.
pub fn rows(state: &State) -> Vec<String> {
    match state.screen() {
        Screen::Overview => portions(state)
            .into_iter()
            .map(|p| p.id.to_string())
            .collect(),
        Screen::Portion => state.shown_portion().map_or_else(Vec::new, |p| {
            p.instances.iter().map(|i| i.alloc.to_string()).collect()
        }),
        Screen::Sites => sites(state)
            .into_iter()
            .map(|s| s.site.to_string())
            .collect(),
        Screen::Nodes => nodes(state).into_iter().map(|n| n.id.to_string()).collect(),
        Screen::Shadows => shadows(state)
            .into_iter()
            .map(|s| format!("s:{}", s.id))
            .chain(candidates(state).into_iter().map(candidate_row))
            .collect(),
        Screen::Plan => steps(state).into_iter().map(|s| s.id.to_string()).collect(),
        Screen::Log => log(state).into_iter().map(|l| l.seq.to_string()).collect(),
        Screen::Replay => pages(state)
            .into_iter()
            .map(|p| p.cycle.to_string())
            .collect(),
        Screen::Rollout | Screen::Help => Vec::new(),
    }
}

pub fn candidate_row(c: &CandidateView) -> String {
    format!("c:{}/{}/{}", c.portion, c.site, c.class)
}

pub fn portions(state: &State) -> Vec<&crate::engine::view::PortionView> {
    let mut all = state.portions();
    keep(state, &mut all, |p| {
        format!("{} {} {:?}", p.id, p.sentence, p.health)
    });
    all
}

pub fn sites(state: &State) -> Vec<&SiteView> {
    let mut all: Vec<&SiteView> = state.view.sites.iter().collect();
    keep(state, &mut all, |s| format!("{} {}", s.site, s.kind));
    all
}

pub fn nodes(state: &State) -> Vec<&NodeView> {
    let site = state.place().site.as_ref();
    let text = |n: &NodeView| {
        format!(
            "{} {} {} {:?} {}",
            n.name,
            n.site,
            n.class,
            n.status,
            n.portions.join(" ")
        )
    };
    let all = state.view.nodes.iter();
    let mut all: Vec<&NodeView> = all.filter(|n| site.is_none_or(|s| &n.site == s)).collect();
    keep(state, &mut all, text);
    all
}

/// Those that run first, then the done ones, newest first.
pub fn shadows(state: &State) -> Vec<&ShadowView> {
    let text = |s: &ShadowView| {
        let verdict = s.verdict.as_deref().unwrap_or_default();
        format!("{} {} {} {} {verdict}", s.portion, s.site, s.class, s.state)
    };
    let mut all: Vec<&ShadowView> = state.view.shadows.iter().collect();
    keep(state, &mut all, text);
    all.sort_by_key(|s| (s.state == "done", std::cmp::Reverse(s.since)));
    all
}

/// Most valuable first.
pub fn candidates(state: &State) -> Vec<&CandidateView> {
    let mut all: Vec<&CandidateView> = state.view.candidates.iter().collect();
    keep(state, &mut all, |c| {
        format!("{} {} {}", c.portion, c.site, c.class)
    });
    all.sort_by(|a, b| b.value.total_cmp(&a.value));
    all
}

pub fn steps(state: &State) -> Vec<&StepView> {
    let text = |s: &StepView| {
        let portion = s.portion.as_ref().map_or("", PortionId::as_str);
        format!("{} {portion} {:?} {} {}", s.verb, s.cause, s.state, s.why)
    };
    let mut all: Vec<&StepView> = state.view.steps.iter().collect();
    keep(state, &mut all, text);
    all
}

pub fn log(state: &State) -> Vec<&LogLine> {
    let text = |l: &LogLine| {
        let portion = l.portion.as_ref().map_or("", PortionId::as_str);
        let cause = l.cause.map(|c| format!("{c:?}")).unwrap_or_default();
        format!("{:?} {cause} {portion} {}", l.kind, l.text)
    };
    let mut all: Vec<&LogLine> = state.log.iter().collect();
    keep(state, &mut all, text);
    all
}

/// The last `n` lines about a portion, the newest first.
pub fn about<'a>(state: &'a State, id: &PortionId, n: usize) -> Vec<&'a LogLine> {
    let own = state.log.iter().rev();
    own.filter(|l| l.portion.as_ref() == Some(id))
        .take(n)
        .collect()
}

/// Pages of the past, oldest first.
pub fn pages(state: &State) -> Vec<&Arc<Page>> {
    let text = |p: &Page| -> String {
        let lines = p.lines.iter().map(|l| {
            let portion = l.portion.as_ref().map_or("", PortionId::as_str);
            format!("{:?} {portion} {}", l.kind, l.text)
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    let all = state.view.pages.iter();
    all.filter(|p| state.unfiltered() || state.passes(&text(p)))
        .collect()
}

/// Which of the pages is shown: the newest until the operator goes back.
pub fn page_at(state: &State, pages: &[&Arc<Page>]) -> Option<usize> {
    let last = pages.len().checked_sub(1)?;
    let Some(cursor) = state.cursors.get(&Screen::Replay) else {
        return Some(last);
    };
    // A page that has gone leaves the one after it.
    let cycle: u64 = cursor.row.parse().unwrap_or(u64::MAX);
    Some(pages.partition_point(|p| p.cycle < cycle).min(last))
}

/// What was known of each portion at a cycle: its newest row on the pages up to then, worst first.
pub fn known_at(state: &State, cycle: u64) -> Vec<&PageRow> {
    let mut known: BTreeMap<&PortionId, &PageRow> = BTreeMap::new();
    for page in state.view.pages.iter().take_while(|p| p.cycle <= cycle) {
        known.extend(page.rows.iter().map(|r| (&r.id, r)));
    }
    let mut all: Vec<&PageRow> = known.into_values().collect();
    all.sort_by(|a, b| b.health.cmp(&a.health).then_with(|| a.id.cmp(&b.id)));
    all
}

/// The portion that the row under the cursor is about, on any screen.
pub fn portion_here(state: &State) -> Option<PortionId> {
    if matches!(state.screen(), Screen::Portion | Screen::Rollout) {
        return state.shown_portion().map(|p| p.id.clone());
    }
    let rows = rows(state);
    let at = state.cursor_in(&rows);
    rows.get(at)?;
    let known = |id: &PortionId| state.view.portions.iter().any(|p| &p.id == id);
    let found = match state.screen() {
        Screen::Overview => portions(state).get(at).map(|p| p.id.clone()),
        Screen::Nodes => nodes(state).get(at).and_then(|n| {
            let first = n.portions.first()?;
            Some(PortionId::new(first.split(' ').next().unwrap_or_default()))
        }),
        Screen::Shadows => {
            let running = shadows(state);
            match running.get(at) {
                Some(s) => Some(s.portion.clone()),
                None => candidates(state)
                    .get(at - running.len())
                    .map(|c| c.portion.clone()),
            }
        }
        Screen::Plan => steps(state).get(at).and_then(|s| s.portion.clone()),
        Screen::Log => log(state).get(at).and_then(|l| l.portion.clone()),
        Screen::Replay => pages(state)
            .get(at)
            .and_then(|p| p.lines.iter().find_map(|l| l.portion.clone())),
        Screen::Portion | Screen::Rollout | Screen::Sites | Screen::Help => None,
    };
    found.filter(known)
}

/// The site under the cursor.
pub fn site_here(state: &State) -> Option<Site> {
    let all = sites(state);
    let rows: Vec<String> = all.iter().map(|s| s.site.to_string()).collect();
    all.get(state.cursor_in(&rows)).map(|s| s.site.clone())
}
