//! What faces may know: one serialisable picture of the whole loop, and the few things they may ask for.

mod recall;

pub use recall::{MoveView, Page, PageRow, Preview, Stair};

use crate::model::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Observe,
    Act,
}

/// How a portion is; worst first when sorted in reverse.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    #[default]
    Good,
    Unknown,
    /// Foreseen: it will need something that is being prepared or already stands ready.
    Watch,
    Moving,
    Breach,
}

/// One point of a chart's past: when, what was, and what had been forecast for it (10 %, 50 %, 90 %).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PastPoint {
    pub at: Moment,
    pub rate: f64,
    pub p99: f64,
    pub success: f64,
    pub forecast: Option<(f64, f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BandPoint {
    pub at: Moment,
    pub low: f64,
    pub mid: f64,
    pub high: f64,
}

/// One instance behind a portion's front.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceView {
    pub alloc: AllocId,
    pub job: JobId,
    pub node: Arc<str>,
    pub site: Site,
    /// `primary` or `standby`.
    pub role: Cow<'static, str>,
    /// Its checks pass: those of its entries at most gateways, or of its own service while no gateway has an entry for it.
    pub ready: bool,
    pub desired: Share,
    /// Realised share in the SRV answers of the gateways, if they could be read.
    pub observed: Option<Share>,
    pub cpu: Option<Mhz>,
    pub memory: Option<MiB>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShadowView {
    pub id: ShadowId,
    pub portion: PortionId,
    pub site: Site,
    pub class: NodeClass,
    /// `starting`, `measuring`, `stopping`, `done`.
    pub state: String,
    pub since: Moment,
    pub verdict: Option<String>,
    /// The verdict in its parts, once it is judged.
    #[serde(default)]
    pub judged: Option<Judged>,
    /// Site of its twin, if one was asked for.
    #[serde(default)]
    pub twin: Option<Site>,
    /// What it calls, shadowed along with it.
    #[serde(default)]
    pub along: Vec<PortionId>,
}

/// Why a shadow would be worth running, as the chooser weighed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CandidateView {
    pub portion: PortionId,
    pub site: Site,
    pub class: NodeClass,
    pub use_probability: f64,
    /// Its parts: that a standby of the portion is wanted while the place stands, and that it would be chosen.
    #[serde(default)]
    pub wanted: f64,
    #[serde(default)]
    pub chosen: f64,
    /// What one more run would teach, 0…1 …
    pub unknown: f64,
    /// … from the age of the last one, own runs by what is left of each, runs' worth borrowed, and the spread of what is
    /// believed (of the logarithm).
    #[serde(default)]
    pub age: Option<Span>,
    #[serde(default)]
    pub own: f64,
    #[serde(default)]
    pub borrowed: f64,
    #[serde(default)]
    pub spread: f64,
    pub cost: f64,
    pub value: f64,
    pub due_in: Option<Span>,
    /// The unknown place that goes first.
    #[serde(default)]
    pub after: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PortionView {
    pub id: PortionId,
    pub workload: String,
    pub groups: Vec<Group>,
    pub depends_on: Vec<PortionId>,
    pub front: Option<ServiceName>,
    pub health: Health,
    /// One sentence: what is wrong or what is being done.
    pub sentence: String,
    /// Why it cannot be shadowed, if so.
    pub not_shadowable: Option<String>,
    pub slo: Slo,
    pub traffic: Option<Traffic>,
    pub instances: Vec<InstanceView>,
    /// Observed requests a second the ready instances can take within the SLO, by profile.
    pub capacity: Option<Rps>,
    pub past: Vec<PastPoint>,
    pub band: Vec<BandPoint>,
    pub model: Arc<str>,
    /// The models that were mixed and their weights, the heaviest first.
    #[serde(default)]
    pub models: SharedList<(Cow<'static, str>, f64)>,
    /// What the next point is made of.
    #[serde(default)]
    pub components: Components,
    pub because: Arc<str>,
    pub coverage_80: Option<f64>,
    /// How far forecasts were off lately, on average.
    #[serde(default)]
    pub error: Option<Rps>,
    /// What the demand to be covered within the horizon needs.
    #[serde(default)]
    pub need: Option<ResourceNeed>,
    pub profiles: Vec<Profile>,
    /// The verdicts in force for its release.
    #[serde(default)]
    pub verdicts: Vec<Judged>,
    /// What is counted on at each place, and how much of that is borrowed from where.
    #[serde(default)]
    pub known: Vec<Known>,
    /// How what its profiles said compares with what came.
    #[serde(default)]
    pub calibration: Calibration,
    /// The move of its traffic that is under way, or the last one.
    #[serde(default)]
    pub moving: Option<MoveView>,
    /// Its shares and latencies over time, oldest first.
    #[serde(default)]
    pub stairs: Vec<Stair>,
    /// Who pinned it, if somebody did.
    #[serde(default)]
    pub pinned: Option<String>,
}

impl PortionView {
    /// Whether that site serves all of its traffic, and nothing moves it.
    pub fn served_from(&self, site: &Site) -> bool {
        let moves = self.moving.as_ref().is_some_and(|m| m.ended.is_none());
        let mut serving = self.instances.iter().filter(|i| i.desired > Share::NONE);
        let all: Share = Share(serving.clone().map(|i| i.desired.0).sum());
        !moves && all > Share::NONE && serving.all(|i| &i.site == site)
    }
}

/// The futures that the plan was weighed over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OutlookView {
    pub workload: String,
    pub horizon: Span,
    pub scenarios: Shared<Scenarios>,
    /// Mean and 80 % band of all portions' demand, at its highest within the horizon.
    pub total: Option<BandPoint>,
    /// Demand at each site at that time, as traffic is shared now.
    pub sites: Vec<(Site, Rps)>,
}

impl OutlookView {
    pub fn of(of: &super::state::Workload) -> Self {
        let outlook = &of.outlook;
        let points = outlook
            .total
            .iter()
            .flat_map(|t| t.points.iter().enumerate());
        let peak = points.max_by(|a, b| a.1.mean.0.total_cmp(&b.1.mean.0));
        let at = peak.map_or(0, |(k, _)| k);
        let sites = outlook.sites.iter();
        OutlookView {
            workload: of.policy.workload.clone(),
            horizon: outlook.horizon,
            scenarios: outlook.scenarios.clone(),
            total: peak.map(|(_, p)| BandPoint {
                at: p.at,
                low: p.at_level(0.1).0,
                mid: p.mean.0,
                high: p.at_level(0.9).0,
            }),
            sites: sites
                .filter_map(|(site, path)| Some((site.clone(), path.get(at)?.1)))
                .collect(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SiteView {
    pub site: Site,
    /// `edge` or `provider`, from the node's meta `kind`, if given.
    pub kind: String,
    pub nodes_up: usize,
    pub nodes: usize,
    pub capacity: Resources,
    pub reserved: Resources,
    pub used: Resources,
    /// That it fails within the horizon.
    pub hazard: Probability,
    pub reachable: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeView {
    pub id: NodeId,
    pub name: Arc<str>,
    pub site: Site,
    pub class: NodeClass,
    pub status: NodeStatus,
    pub eligible: bool,
    pub capacity: Resources,
    pub reserved: Resources,
    pub used: Resources,
    pub hazard: Probability,
    pub portions: Vec<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepView {
    pub id: StepId,
    pub verb: String,
    pub portion: Option<PortionId>,
    pub cause: Cause,
    pub why: String,
    /// `intended`, `applied`, `verified`, `held: …`, …
    pub state: String,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LogKind {
    Portion,
    Shadow,
    Verdict,
    Forecast,
    Plan,
    Held,
    Effect,
    Verification,
    Fault,
    Lesson,
    Notice,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    pub at: Moment,
    /// Grows by one a line; a face follows the log by it.
    pub seq: u64,
    pub kind: LogKind,
    pub cause: Option<Cause>,
    pub portion: Option<PortionId>,
    pub text: String,
}

/// The eight steps of the loop and how often each has really happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tally {
    pub portions: u64,
    pub shadows: u64,
    pub measurements: u64,
    pub profiles: u64,
    pub forecasts: u64,
    pub preallocations: u64,
    pub switchovers: u64,
    pub failbacks: u64,
    pub lessons: u64,
    pub held: u64,
    /// Writes of shares that were handed on, and how often one was put off for the write budget.
    #[serde(default)]
    pub writes: u64,
    #[serde(default)]
    pub writes_waited: u64,
    /// Steps that were cleared, by verb and cause, and those that were held, by the law that held them.
    #[serde(default)]
    pub decisions: BTreeMap<String, BTreeMap<String, u64>>,
    #[serde(default)]
    pub holds: BTreeMap<String, u64>,
}

/// How old a reading is; `None` when there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReadingView {
    pub what: String,
    pub age: Option<Span>,
}

/// Bounds of the buckets in which reaction times are counted, in ms.
pub const REACTION_BOUNDS: [f64; 12] = [
    1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 10_000.0,
];

/// How many prepared switches took no longer than that (and longer than the bucket before), and their sum.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReactionCount {
    /// `None` for those above all bounds.
    pub up_to_ms: Option<f64>,
    pub count: u64,
    pub sum_ms: f64,
}

/// The leader whose plan this foreshadow shows. Steps, what waits, shadows, and how each portion is are the leader's word;
/// what is seen of nodes, instances and traffic is this one's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Following {
    pub leader: String,
    pub epoch: Epoch,
    /// The cycle of which it is, by the leader's clock.
    pub at: Moment,
    /// How long ago this word of the leader was first heard here, and how long ago it was last found to be its newest.
    pub age: Span,
    pub read: Span,
    /// Why it cannot be read now, if so. The last word heard is not shown for longer than readings count as fresh.
    pub deaf: Option<String>,
    /// What the leader said last.
    pub log: Vec<LogLine>,
}

/// Core-hours of a workload: what is left for shadows, and what was spent since its season began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetView {
    pub workload: String,
    pub shadows_left: CoreHours,
    pub shadows_spent: CoreHours,
    pub standbys_spent: CoreHours,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct View {
    pub at: Moment,
    pub cycle: u64,
    pub mode: Mode,
    /// `hold` is set, or cannot be read.
    pub hold: Option<String>,
    pub leader: String,
    pub epoch: Epoch,
    /// Whose decisions these are, where another foreshadow leads and was heard.
    #[serde(default)]
    pub following: Option<Following>,
    /// What cannot be seen now, one sentence each.
    pub blind: Vec<String>,
    pub portions: Vec<Shared<PortionView>>,
    pub sites: SharedList<SiteView>,
    pub links: Vec<Link>,
    pub nodes: SharedList<NodeView>,
    pub shadows: Vec<ShadowView>,
    pub candidates: Vec<CandidateView>,
    pub steps: Vec<StepView>,
    pub waiting: Vec<Shared<Waiting>>,
    pub hazards: SharedList<Arc<Hazard>>,
    /// One for each workload.
    #[serde(default)]
    pub outlook: Vec<Shared<OutlookView>>,
    /// Of each kind of reading, the oldest.
    #[serde(default)]
    pub readings: Vec<ReadingView>,
    #[serde(default)]
    pub budgets: Vec<BudgetView>,
    pub log: Vec<LogLine>,
    pub tally: Tally,
    pub coverage_80: Option<f64>,
    /// Of the newest prepared switches, in ms.
    pub reaction_ms: Vec<f64>,
    /// Of all since the process began, by bucket.
    #[serde(default)]
    pub reactions: Vec<ReactionCount>,
    /// Cycles in which something changed, oldest first.
    #[serde(default)]
    pub pages: Vec<Arc<Page>>,
    /// What the command that was looked at last would change.
    #[serde(default)]
    pub preview: Option<Preview>,
    /// Nothing is begun that nothing forces: by whom, and until when.
    #[serde(default)]
    pub frozen: Option<(String, Moment)>,
}

/// What a person may ask of the engine; each goes through planner and guard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    Hold {
        on: bool,
    },
    Abort,
    StartShadow {
        portion: PortionId,
        site: Site,
    },
    StopShadow {
        shadow: ShadowId,
    },
    Switch {
        portion: PortionId,
        to: Site,
    },
    /// While it is pinned no planned move of the portion goes on; what fails is still answered.
    Pin {
        portion: PortionId,
        on: bool,
    },
    /// Nothing is begun that nothing forces for so many minutes; 0 ends it.
    Freeze {
        minutes: u32,
    },
    /// Takes the inconclusive verdict of a place for a pass.
    Approve {
        portion: PortionId,
        site: Site,
    },
    /// Only shows what the plan would be after it.
    Preview {
        of: Box<Command>,
    },
    /// The same, with who asks for it: that goes into the log and the store.
    By {
        who: String,
        asked: Box<Command>,
    },
    /// Read the policies again.
    Reload,
    /// What the log on stderr tells from now on; without a filter, what it told when the process began.
    LogLevel {
        filter: Option<LogFilter>,
    },
}

impl Command {
    /// What is asked for, without who asks.
    pub fn bare(&self) -> &Command {
        match self {
            Command::By { asked, .. } => asked.bare(),
            other => other,
        }
    }
}
