//! The rows of each screen by identity: the same list moves the cursor and is drawn.

use super::screen::Screen;
use super::state::State;
use crate::engine::view::{
    CandidateView, InstanceView, LogLine, NodeView, Page, PageRow, PortionView, ShadowView,
    SiteView, StepView,
};
use crate::model::{Moment, NodeStatus, PortionId, ShadowId, Site};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Keeps what passes the filter; without one no text is made of anything.
fn keep<T>(state: &State, all: &mut Vec<&T>, text: impl Fn(&T) -> String) {
    if !state.unfiltered() {
        all.retain(|one| state.passes(&text(one)));
    }
}

/// The rows of the screen that is shown, filtered, in order, before any text is made of them.
pub enum Listed<'a> {
    None,
    Portions(Vec<&'a PortionView>),
    Instances(&'a [InstanceView]),
    Sites(Vec<&'a SiteView>),
    Nodes(Vec<&'a NodeView>),
    Shadows(Vec<&'a ShadowView>, Vec<&'a CandidateView>),
    Steps(Vec<&'a StepView>),
    Lines(Vec<&'a LogLine>),
    Pages(Vec<&'a Arc<Page>>),
}

impl Listed<'_> {
    pub fn len(&self) -> usize {
        match self {
            Listed::None => 0,
            Listed::Portions(all) => all.len(),
            Listed::Instances(all) => all.len(),
            Listed::Sites(all) => all.len(),
            Listed::Nodes(all) => all.len(),
            Listed::Shadows(all, more) => all.len() + more.len(),
            Listed::Steps(all) => all.len(),
            Listed::Lines(all) => all.len(),
            Listed::Pages(all) => all.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The identity of row `k`.
    pub fn id(&self, k: usize) -> Option<String> {
        Some(match self {
            Listed::None => return None,
            Listed::Portions(all) => all.get(k)?.id.to_string(),
            Listed::Instances(all) => all.get(k)?.alloc.to_string(),
            Listed::Sites(all) => all.get(k)?.site.to_string(),
            Listed::Nodes(all) => all.get(k)?.id.to_string(),
            Listed::Shadows(all, more) => match all.get(k) {
                Some(s) => format!("s:{}", s.id),
                None => candidate_row(more.get(k - all.len())?),
            },
            Listed::Steps(all) => all.get(k)?.id.to_string(),
            Listed::Lines(all) => all.get(k)?.seq.to_string(),
            Listed::Pages(all) => all.get(k)?.at.0.to_string(),
        })
    }

    /// Where the row of that identity stands.
    pub fn find(&self, row: &str) -> Option<usize> {
        match self {
            Listed::None => None,
            Listed::Portions(all) => all.iter().position(|p| p.id.as_str() == row),
            Listed::Instances(all) => all.iter().position(|i| i.alloc.as_str() == row),
            Listed::Sites(all) => all.iter().position(|s| s.site.as_str() == row),
            Listed::Nodes(all) => all.iter().position(|n| n.id.as_str() == row),
            Listed::Shadows(all, more) => match row.strip_prefix("s:") {
                Some(id) => all.iter().position(|s| s.id.as_str() == id),
                None => {
                    let k = more.iter().position(|c| is_candidate(row, c));
                    k.map(|k| k + all.len())
                }
            },
            Listed::Steps(all) => all.iter().position(|s| s.id.as_str() == row),
            Listed::Lines(all) => {
                let seq: u64 = row.parse().ok()?;
                all.iter().position(|l| l.seq == seq)
            }
            Listed::Pages(all) => {
                let at: i64 = row.parse().ok()?;
                all.iter().position(|p| p.at.0 == at)
            }
        }
    }
}

/// The rows of the screen that is shown.
pub fn listed(state: &State) -> Listed<'_> {
    match state.screen() {
        Screen::Overview => Listed::Portions(portions(state)),
        Screen::Portion => {
            let shown = state.shown_portion();
            Listed::Instances(shown.map_or(&[], |p| &p.instances))
        }
        Screen::Sites => Listed::Sites(sites(state)),
        Screen::Nodes => Listed::Nodes(nodes(state)),
        Screen::Shadows => Listed::Shadows(shadows(state), candidates(state)),
        Screen::Plan => Listed::Steps(steps(state)),
        Screen::Log => Listed::Lines(log(state)),
        Screen::Replay => Listed::Pages(pages(state)),
        Screen::Rollout | Screen::Help => Listed::None,
    }
}

/// Identities of the rows of the screen that is shown.
pub fn rows(state: &State) -> Vec<String> {
    let listed = listed(state);
    (0..listed.len()).filter_map(|k| listed.id(k)).collect()
}

/// Which of the rows have what was filtered for last.
pub fn having(state: &State) -> Vec<usize> {
    let mut only = state.clone();
    only.filter.clone_from(&state.search);
    let kept: BTreeSet<String> = rows(&only).into_iter().collect();
    let all = rows(state).into_iter().enumerate();
    let has = all.filter_map(|(k, row)| kept.contains(&row).then_some(k));
    has.collect()
}

/// What the row under the cursor is called elsewhere: a portion's, a site's or a shadow's name, a node's or an allocation's ID.
pub fn name_here(state: &State) -> Option<String> {
    let listed = listed(state);
    if let Listed::None = listed {
        return state.shown_portion().map(|p| p.id.to_string());
    }
    let at = state.cursor_on(&listed);
    match &listed {
        Listed::Lines(all) => Some(all.get(at)?.text.clone()),
        Listed::Pages(all) => {
            let lines: Vec<&str> = all.get(at)?.lines.iter().map(|l| l.text.as_str()).collect();
            Some(lines.join("\n"))
        }
        Listed::Shadows(..) => Some(listed.id(at)?.split_off(2)),
        _ => listed.id(at),
    }
}

fn candidate_row(c: &CandidateView) -> String {
    format!("c:{}/{}/{}", c.portion, c.site, c.class)
}

/// Whether that is the row of this candidate, without making a text of it.
fn is_candidate(row: &str, c: &CandidateView) -> bool {
    let rest = row.strip_prefix("c:");
    let rest = rest.and_then(|r| r.strip_prefix(c.portion.as_str())?.strip_prefix('/'));
    let rest = rest.and_then(|r| r.strip_prefix(c.site.as_str())?.strip_prefix('/'));
    rest == Some(c.class.as_str())
}

pub fn portions(state: &State) -> Vec<&PortionView> {
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

/// Those that are not up first, then by site and name.
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
    all.sort_by(|a, b| {
        let order = |n: &NodeView| n.status == NodeStatus::Ready;
        let names = || (&a.site, &a.name).cmp(&(&b.site, &b.name));
        order(a).cmp(&order(b)).then_with(names)
    });
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
    let at: i64 = cursor.row.parse().unwrap_or(i64::MAX);
    Some(pages.partition_point(|p| p.at.0 < at).min(last))
}

/// What was known of each portion at a moment: its newest row on the pages up to then, worst first.
pub fn known_at(state: &State, at: Moment) -> Vec<&PageRow> {
    let mut known: BTreeMap<&PortionId, &PageRow> = BTreeMap::new();
    for page in state.view.pages.iter().take_while(|p| p.at <= at) {
        known.extend(page.rows.iter().map(|r| (&r.id, r.as_ref())));
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
    let listed = listed(state);
    let at = state.cursor_on(&listed);
    let known = |id: &PortionId| state.view.portions.iter().any(|p| &p.id == id);
    let found = match &listed {
        Listed::Portions(all) => all.get(at).map(|p| p.id.clone()),
        Listed::Nodes(all) => all.get(at).and_then(|n| {
            let first = n.portions.first()?;
            Some(PortionId::new(first.split(' ').next().unwrap_or_default()))
        }),
        Listed::Shadows(all, more) => match all.get(at) {
            Some(s) => Some(s.portion.clone()),
            None => more.get(at - all.len()).map(|c| c.portion.clone()),
        },
        Listed::Steps(all) => all.get(at).and_then(|s| s.portion.clone()),
        Listed::Lines(all) => all.get(at).and_then(|l| l.portion.clone()),
        Listed::Pages(all) => all
            .get(at)
            .and_then(|p| p.lines.iter().find_map(|l| l.portion.clone())),
        Listed::None | Listed::Instances(_) | Listed::Sites(_) => None,
    };
    found.filter(known)
}

/// The site under the cursor.
pub fn site_here(state: &State) -> Option<Site> {
    let listed = Listed::Sites(sites(state));
    let at = state.cursor_on(&listed);
    match listed {
        Listed::Sites(all) => all.get(at).map(|s| s.site.clone()),
        _ => None,
    }
}

impl State {
    /// Where the cursor stands in rows.
    pub fn cursor_on(&self, listed: &Listed) -> usize {
        self.cursor_at(listed.len(), |row| listed.find(row))
    }

    /// The shadow under the cursor, if the shadows screen is shown and it still runs.
    pub fn shadow_here(&self) -> Option<ShadowId> {
        if self.screen() != Screen::Shadows {
            return None;
        }
        let (all, more) = (shadows(self), candidates(self));
        let listed = Listed::Shadows(all, more);
        let at = self.cursor_on(&listed);
        let Listed::Shadows(all, _) = listed else {
            return None;
        };
        let here = all.get(at).filter(|s| s.state != "done");
        here.map(|s| s.id.clone())
    }
}
