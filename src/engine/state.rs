//! What the engine carries from cycle to cycle: data only.

use super::foresee::Told;
use super::links::Sights;
use super::picture::Gallery;
use super::pledges::Pledge;
use super::reactions::Reactions;
use super::recall::Recall;
use super::still::{Still, Then};
use super::view::{LogKind, LogLine, Mode, PastPoint, Preview, Tally};
use crate::forecast::Fits;
use crate::guard::Writes;
use crate::learn;
use crate::model::*;
use crate::planner::{Book, Census, Portion};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Points of the past kept for charts.
const PAST: usize = 360;
/// Points kept for charts of all portions together: of many portions each keeps fewer.
const POINTS: usize = 100_000;
/// Points of each portion at least.
const FEWEST: usize = 12;
/// Log lines kept for faces.
const LINES: usize = 2_000;

/// One workload: what its people want, and the planner's memory of it.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    pub policy: Policy,
    pub portions: Vec<Portion>,
    /// The jobs and the policy's portions that `portions` were found in: while they stay, so does what was found.
    pub found_in: (Vec<JobSpec>, SharedList<PortionPolicy>),
    pub book: Book,
    pub outlook: Outlook,
    /// What is known of each portion at each place now, and when and from what that was last worked out.
    pub known: BTreeMap<ProfileKey, Known>,
    pub known_from: Option<(Moment, u64)>,
    /// What forecasts have learnt of each series; losing it costs time, nothing else.
    pub fits: Fits,
    pub plan: Option<Plan>,
    /// What it was planned with, while nothing is under way in it.
    pub still: Option<Still>,
}

/// A forecast that waits for the moment it spoke of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Promise {
    pub at: Moment,
    pub low: f64,
    pub mid: f64,
    pub high: f64,
}

#[derive(Clone, Debug, Default)]
pub struct State {
    pub mode: Mode,
    pub forecasting: bool,
    pub workloads: Vec<Workload>,
    /// Of more workloads than this (64 unless it is said) those that are still are not planned at each turn.
    pub few: Option<usize>,
    /// What the last turn saw of Nomad.
    pub then: Then,
    pub history: History,
    /// When outlooks were last made, and the hazards of everything as they were told for them.
    pub foreseen: Moment,
    pub dangers: Vec<Told>,
    pub beliefs: Beliefs,
    pub epoch: Option<Epoch>,
    pub cycle: u64,
    pub seq: u64,
    pub log: VecDeque<LogLine>,
    pub tally: Tally,
    /// What may still be written this second.
    pub writes: Writes,
    pub past: BTreeMap<PortionId, VecDeque<PastPoint>>,
    pub promises: BTreeMap<PortionId, VecDeque<Promise>>,
    /// Predictions of profiles that wait for what comes of them.
    pub pledges: Vec<Pledge>,
    /// Status of each node at the last look, by name.
    pub nodes_up: BTreeMap<String, (Site, bool)>,
    pub sites_up: BTreeMap<Site, bool>,
    /// Whether each link carried when last something could be told, and since when those that do not look dead.
    pub links_up: BTreeMap<(Site, Site), bool>,
    pub links_silent: BTreeMap<(Site, Site), Moment>,
    pub links_sights: Sights,
    /// Reaction times of contingencies.
    pub reactions: Reactions,
    /// Outcomes for the step list of faces, newest last.
    pub recent: VecDeque<(Step, String)>,
    pub held: Vec<(Step, String)>,
    /// What is said once is not said again until it changes, by topic.
    pub said: BTreeMap<String, String>,
    /// Production's readings just before each running shadow.
    pub before: BTreeMap<ShadowId, Vec<Arc<Reading>>>,
    /// What the store should keep; the shell drains it.
    pub memos: Vec<Memo>,
    /// Portions whose planned moves are held by hand, and who asked for it.
    pub pins: BTreeMap<PortionId, String>,
    /// What was counted of the world at the last turn, and what was painted of it.
    pub census: Census,
    pub gallery: Gallery,
    /// What faces can look back at.
    pub recall: Recall,
    /// What was looked at before asking for it.
    pub preview: Option<Preview>,
}

/// How many points of each of so many portions are kept, of the most for one.
pub(super) fn kept_each(most: usize, portions: usize) -> usize {
    (POINTS / portions.max(1)).clamp(FEWEST, most)
}

impl State {
    pub fn say(
        &mut self,
        at: Moment,
        kind: LogKind,
        cause: Option<Cause>,
        portion: Option<&PortionId>,
        text: impl Into<String>,
    ) {
        self.seq += 1;
        self.log.push_back(LogLine {
            at,
            seq: self.seq,
            kind,
            cause,
            portion: portion.cloned(),
            text: text.into(),
        });
        if self.log.len() > LINES {
            self.log.pop_front();
        }
    }

    /// Says it only when it differs from what was last said on the topic.
    pub fn say_once(
        &mut self,
        topic: &str,
        at: Moment,
        kind: LogKind,
        portion: Option<&PortionId>,
        text: String,
    ) -> bool {
        if self.said.get(topic) == Some(&text) {
            return false;
        }
        self.said.insert(topic.to_string(), text.clone());
        self.say(at, kind, None, portion, text);
        true
    }

    /// Takes a new verdict into what is believed and kept; gives the one that is in force. `changed`: its run says that the
    /// place is not what it was.
    pub fn settle_verdict(&mut self, new: Judged, changed: bool) -> Judged {
        let judged = learn::in_force(self.beliefs.verdict(&new.key), new, changed);
        self.beliefs.verdicts.retain(|v| v.key != judged.key);
        self.beliefs.verdicts.push(judged.clone());
        self.memos.push(Memo::Judged(judged.clone()));
        judged
    }

    /// Makes the portion's shadows rarer by a factor; gives how rare they are.
    pub fn caution(&mut self, portion: &PortionId, factor: f64, most: f64) -> f64 {
        let caution = self.beliefs.caution.entry(portion.clone()).or_insert(1.0);
        *caution = (*caution * factor).min(most);
        let factor = *caution;
        self.memos.push(Memo::Caution {
            portion: portion.clone(),
            factor,
        });
        factor
    }

    pub fn remember_point(&mut self, portion: &PortionId, point: PastPoint) {
        let most = kept_each(PAST, self.past.len());
        let past = self.past.entry(portion.clone()).or_default();
        past.push_back(point);
        while past.len() > most {
            past.pop_front();
        }
    }

    pub fn learn(&mut self, at: Moment, portion: Option<&PortionId>, text: String) {
        let lesson = Lesson {
            at,
            portion: portion.cloned(),
            text: text.clone(),
        };
        self.tally.lessons += 1;
        self.memos.push(Memo::Lesson(lesson.clone()));
        self.beliefs.lessons.push(lesson);
        if self.beliefs.lessons.len() > 200 {
            self.beliefs.lessons.remove(0);
        }
        self.say(at, LogKind::Lesson, None, portion, text);
    }
}
