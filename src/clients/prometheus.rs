//! Request counters and latency histograms from a Prometheus text endpoint: one scrape is a state, two are a window.

use super::http::{Ask, HttpError, Peer, Transport};
use crate::model::{Millis, Moment, Rps, Span};
use prometheus_parse::{Sample, Value};
use std::collections::{BTreeMap, HashMap};

#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(
        "the metrics endpoint {url} has no {kind} {metric:?} yet; if that does not come with the first request, check the name in the policy against the endpoint's text and its `# TYPE` lines"
    )]
    Missing {
        url: String,
        kind: &'static str,
        metric: String,
    },
    #[error(
        "the metrics endpoint {url} gives {value} for {metric:?}, which cannot be a count; nothing is concluded from it"
    )]
    NotACount {
        url: String,
        metric: String,
        value: f64,
    },
    #[error(
        "two scrapes at the same moment, or in the wrong order, make no window; scrape again later"
    )]
    NoTime,
}

/// A condition on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelMatch {
    Is(String, String),
    /// Such as `status` beginning with `5`.
    Begins(String, String),
}

/// A metric by name and labels; all its series that match are summed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    pub metric: String,
    pub labels: Vec<LabelMatch>,
}

impl Selector {
    pub fn named(metric: &str) -> Self {
        Selector {
            metric: metric.to_string(),
            labels: Vec::new(),
        }
    }
    pub fn with(mut self, label: LabelMatch) -> Self {
        self.labels.push(label);
        self
    }
    fn takes(&self, sample: &Sample) -> bool {
        self.labels.iter().all(|l| match l {
            LabelMatch::Is(k, v) => sample.labels.get(k) == Some(v.as_str()),
            LabelMatch::Begins(k, v) => sample
                .labels
                .get(k)
                .is_some_and(|have| have.starts_with(v.as_str())),
        })
    }
}

/// What to take from an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub requests: Selector,
    pub errors: Selector,
    /// A histogram of seconds, or of milliseconds when its name ends in `_ms` or `_milliseconds`.
    pub latency: Selector,
}

/// Counts by series in the order of their names, so that a series that began anew can be told from one that went on.
type Series = Vec<(Box<str>, f64)>;

/// Cumulative counts by upper bound in ms, in order.
type Buckets = Vec<(f64, f64)>;

/// What the counters stood at.
#[derive(Clone, Debug, PartialEq)]
pub struct Scrape {
    pub at: Moment,
    requests: Series,
    errors: Series,
    /// By series in the order of their names.
    buckets: Vec<(Box<str>, Buckets)>,
}

/// What an endpoint tells, read once for all who want something of it.
pub struct Page {
    at: Moment,
    url: String,
    samples: HashMap<String, Vec<Sample>>,
}

impl Page {
    /// Reads an exposition. `url` is for errors; `at` is when it was asked for.
    pub fn parse(text: &str, at: Moment, url: &str) -> Page {
        let lines = text.lines().map(|l| Ok(l.to_string()));
        // Lines that are no samples are skipped by the parser; an in-memory text has no read errors.
        let read = prometheus_parse::Scrape::parse(lines)
            .map(|s| s.samples)
            .unwrap_or_default();
        let mut samples: HashMap<String, Vec<Sample>> = HashMap::new();
        for sample in read {
            match samples.get_mut(&sample.metric) {
                Some(all) => all.push(sample),
                None => drop(samples.insert(sample.metric.clone(), vec![sample])),
            }
        }
        Page {
            at,
            url: url.to_string(),
            samples,
        }
    }

    fn named(&self, metric: &str) -> &[Sample] {
        self.samples.get(metric).map_or(&[], Vec::as_slice)
    }
}

impl Scrape {
    /// Since the process began.
    pub fn requests(&self) -> f64 {
        self.requests.iter().map(|s| s.1).sum()
    }
    pub fn errors(&self) -> f64 {
        self.errors.iter().map(|s| s.1).sum()
    }

    /// Reads an exposition. `url` is for errors; `at` is when it was asked for.
    pub fn parse(text: &str, wanted: &Wanted, at: Moment, url: &str) -> Result<Self, MetricsError> {
        Scrape::of(&Page::parse(text, at, url), wanted)
    }

    /// What is wanted of a page.
    pub fn of(page: &Page, wanted: &Wanted) -> Result<Self, MetricsError> {
        Ok(Scrape {
            at: page.at,
            requests: counters(page, &wanted.requests, true)?,
            errors: counters(page, &wanted.errors, false)?,
            buckets: histogram(page, &wanted.latency)?,
        })
    }
}

/// With `must_match`, some series has to match; otherwise it is enough that the metric is there (labelled error counters appear with the first error).
fn counters(page: &Page, selector: &Selector, must_match: bool) -> Result<Series, MetricsError> {
    let mut found: BTreeMap<String, f64> = BTreeMap::new();
    let mut seen = false;
    for sample in page.named(&selector.metric) {
        let (Value::Counter(count) | Value::Untyped(count)) = sample.value else {
            continue;
        };
        seen = true;
        if selector.takes(sample) {
            let count = counted(count, selector, &page.url)?;
            *found.entry(sample.labels.to_string()).or_default() += count;
        }
    }
    if !seen || (must_match && found.is_empty()) {
        return Err(missing("counter", selector, &page.url));
    }
    Ok(found.into_iter().map(|(s, n)| (s.into(), n)).collect())
}

fn histogram(page: &Page, selector: &Selector) -> Result<Vec<(Box<str>, Buckets)>, MetricsError> {
    let url = &page.url;
    let in_ms = ["_ms", "_milliseconds"]
        .iter()
        .any(|e| selector.metric.ends_with(e));
    let scale = if in_ms { 1.0 } else { 1000.0 };
    let mut found: BTreeMap<String, Buckets> = BTreeMap::new();
    let of_name = page.named(&selector.metric).iter();
    for sample in of_name.filter(|s| selector.takes(s)) {
        let Value::Histogram(counts) = &sample.value else {
            continue;
        };
        let mut buckets = Vec::with_capacity(counts.len());
        for c in counts {
            if c.less_than.is_nan() {
                return Err(not_a_count(selector, c.less_than, url));
            }
            buckets.push((c.less_than * scale, counted(c.count, selector, url)?));
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        found.insert(sample.labels.to_string(), buckets);
    }
    if found.is_empty() {
        return Err(missing("histogram", selector, url));
    }
    Ok(found.into_iter().map(|(s, b)| (s.into(), b)).collect())
}

fn counted(value: f64, selector: &Selector, url: &str) -> Result<f64, MetricsError> {
    if value.is_finite() && value >= 0.0 {
        return Ok(value);
    }
    Err(not_a_count(selector, value, url))
}

fn not_a_count(selector: &Selector, value: f64, url: &str) -> MetricsError {
    MetricsError::NotACount {
        url: url.to_string(),
        metric: selector.metric.clone(),
        value,
    }
}

fn missing(kind: &'static str, selector: &Selector, url: &str) -> MetricsError {
    MetricsError::Missing {
        url: url.to_string(),
        kind,
        metric: selector.metric.clone(),
    }
}

/// What happened between two scrapes of one endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub span: Span,
    pub requests: f64,
    pub errors: f64,
    /// Upper bound in ms and how many were at most as slow, in order.
    buckets: Vec<(f64, f64)>,
}

impl Window {
    /// A counter that fell began anew (its process restarted): what it shows has happened since.
    pub fn between(earlier: &Scrape, later: &Scrape) -> Result<Self, MetricsError> {
        let span = later.at.since(earlier.at);
        if span.0 <= 0 {
            return Err(MetricsError::NoTime);
        }
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (series, now) in &later.buckets {
            for (bound, count) in grown_buckets(before(&earlier.buckets, series), now) {
                match buckets.iter_mut().find(|b| b.0 == bound) {
                    Some(sum) => sum.1 += count,
                    None => buckets.push((bound, count)),
                }
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(Window {
            span,
            requests: grown(&earlier.requests, &later.requests),
            errors: grown(&earlier.errors, &later.errors),
            buckets,
        })
    }

    /// Several endpoints' windows as one: counts add up, the longest span counts.
    pub fn merged<'a>(windows: impl Iterator<Item = &'a Window>) -> Window {
        let mut whole = Window {
            span: Span(0),
            requests: 0.0,
            errors: 0.0,
            buckets: Vec::new(),
        };
        for w in windows {
            whole.span = whole.span.max(w.span);
            whole.requests += w.requests;
            whole.errors += w.errors;
            for (bound, count) in &w.buckets {
                match whole.buckets.iter_mut().find(|b| b.0 == *bound) {
                    Some(sum) => sum.1 += count,
                    None => whole.buckets.push((*bound, *count)),
                }
            }
        }
        whole.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        whole
    }

    pub fn rate(&self) -> Rps {
        Rps(self.requests / self.span.as_secs_f64())
    }

    /// 0 to 1; `None` without a request: no data is not success.
    pub fn success(&self) -> Option<f64> {
        (self.requests > 0.0).then(|| (1.0 - self.errors / self.requests).clamp(0.0, 1.0))
    }

    /// How many were in each bucket alone, by its upper bound in ms; what lies beyond the last finite bound counts as twice it.
    pub fn counts(&self) -> Vec<(Millis, u64)> {
        let mut out: Vec<(Millis, u64)> = Vec::with_capacity(self.buckets.len());
        let mut below = 0.0f64;
        for &(bound, count) in &self.buckets {
            let more = (count - below).max(0.0).round() as u64;
            below = below.max(count);
            let last = out.last().map_or(1.0, |b| b.0.0);
            let bound = if bound.is_finite() { bound } else { last * 2.0 };
            out.push((Millis(bound), more));
        }
        out
    }

    /// Requests in the histogram.
    pub fn samples(&self) -> f64 {
        self.buckets.last().map_or(0.0, |b| b.1)
    }

    /// Latency at a quantile (0 to 1), linear within its bucket. Beyond the last finite bound it is that bound, as
    /// Prometheus has it: a lower limit. `None` without a request.
    pub fn quantile(&self, q: f64) -> Option<Millis> {
        let total = self.samples();
        if total <= 0.0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let rank = q * total;
        let mut below = (0.0, 0.0);
        for &(bound, count) in &self.buckets {
            if count >= rank && count > below.1 {
                if bound.is_infinite() {
                    return Some(Millis(below.0));
                }
                let part = ((rank - below.1) / (count - below.1)).clamp(0.0, 1.0);
                return Some(Millis(below.0 + (bound - below.0) * part));
            }
            // Counts are cumulative; one that falls (scraped while it was written) is taken as its predecessor.
            below = (
                if bound.is_finite() { bound } else { below.0 },
                count.max(below.1),
            );
        }
        Some(Millis(below.0))
    }
}

/// What a series stood at, of those in the order of their names.
fn before<'a, T>(earlier: &'a [(Box<str>, T)], series: &str) -> Option<&'a T> {
    let at = earlier
        .binary_search_by(|(s, _)| s.as_ref().cmp(series))
        .ok();
    at.map(|at| &earlier[at].1)
}

fn grown(earlier: &Series, later: &Series) -> f64 {
    later
        .iter()
        .map(|(series, now)| match before(earlier, series) {
            Some(before) if before <= now => now - before,
            _ => *now,
        })
        .sum()
}

fn grown_buckets(earlier: Option<&Vec<(f64, f64)>>, now: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let same_shape = |e: &&Vec<(f64, f64)>| {
        e.len() == now.len() && e.iter().zip(now).all(|(a, b)| a.0 == b.0 && a.1 <= b.1)
    };
    match earlier.filter(same_shape) {
        Some(before) => before
            .iter()
            .zip(now)
            .map(|(a, b)| (b.0, b.1 - a.1))
            .collect(),
        None => now.to_vec(),
    }
}

/// An endpoint.
#[derive(Debug)]
pub struct Exposition {
    http: Transport,
    url: String,
}

impl Exposition {
    /// `peer.address` is the whole URL of the text, `…/metrics`. The connections of another endpoint, if there is one, are
    /// used for this one too.
    pub fn new(peer: &Peer, beside: Option<&Exposition>) -> Result<Self, HttpError> {
        Ok(Exposition {
            http: match beside {
                Some(other) => other.http.beside(peer)?,
                None => Transport::new(peer)?,
            },
            url: peer.address.to_string(),
        })
    }

    /// Asks once; `now` becomes the page's moment.
    pub async fn read(&self, now: Moment) -> Result<Page, MetricsError> {
        let answer = self.http.send(&Ask::get("read metrics", &[])).await?;
        let text = String::from_utf8_lossy(&answer.body);
        Ok(Page::parse(&text, now, &self.url))
    }
}

/// An endpoint and what to take from it.
#[derive(Debug)]
pub struct Metrics {
    from: Exposition,
    wanted: Wanted,
}

impl Metrics {
    /// `peer.address` is the whole URL of the text, `…/metrics`.
    pub fn new(peer: &Peer, wanted: Wanted) -> Result<Self, HttpError> {
        Ok(Metrics {
            from: Exposition::new(peer, None)?,
            wanted,
        })
    }

    /// Asks once; `now` becomes the scrape's moment.
    pub async fn scrape(&self, now: Moment) -> Result<Scrape, MetricsError> {
        Scrape::of(&self.from.read(now).await?, &self.wanted)
    }
}
