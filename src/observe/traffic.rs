//! What clients see of each portion, from metrics endpoints: the clients' own, or else the instances'.

use super::Sources;
use crate::clients::connect::Peer;
use crate::clients::http::System;
use crate::clients::prometheus::{LabelMatch, Metrics, Scrape, Selector, Wanted, Window};
use crate::model::{self, *};
use futures::future::join_all;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A window spans this many scrapes: long enough for quantiles, short enough to see a breach.
const SCRAPES: usize = 4;

/// So many readings of an endpoint are told: what was "just before".
const READINGS: usize = 20;

#[derive(Default)]
pub struct Memory {
    endpoints: BTreeMap<(PortionId, String), Endpoint>,
    /// Portions whose endpoints gave nothing at the last look, and why.
    silent: BTreeMap<PortionId, String>,
    at: Moment,
    /// Shortest time a scrape at a site took lately, in ms.
    rtt: BTreeMap<Site, VecDeque<f64>>,
}

struct Endpoint {
    metrics: Arc<Metrics>,
    scrapes: VecDeque<Scrape>,
    readings: VecDeque<Reading>,
}

impl Endpoint {
    /// What happened between the last two scrapes, kept for a while.
    fn note(&mut self, wish: &Wish) {
        let [.., before, last] = self.scrapes.make_contiguous() else {
            return;
        };
        let Ok(window) = Window::between(before, last) else {
            return;
        };
        self.readings.push_back(Reading {
            portion: wish.key.0.clone(),
            instance: wish.instance.clone(),
            from: before.at,
            at: last.at,
            requests: window.requests.max(0.0).round() as u64,
            latencies: Latencies {
                buckets: window.counts(),
                failed: window.errors.max(0.0).round() as u64,
            },
        });
        if self.readings.len() > READINGS {
            self.readings.pop_front();
        }
    }
}

/// Scrapes every endpoint once.
pub async fn read(sources: &Sources, memory: &mut Memory, world: &World, now: Moment) {
    let wanted = endpoints(sources, world);
    memory
        .endpoints
        .retain(|key, _| wanted.iter().any(|w| &w.key == key));
    for w in &wanted {
        if !memory.endpoints.contains_key(&w.key)
            && let Some(metrics) = metrics(sources, w)
        {
            memory.endpoints.insert(
                w.key.clone(),
                Endpoint {
                    metrics,
                    scrapes: VecDeque::new(),
                    readings: VecDeque::new(),
                },
            );
        }
    }
    let reads = wanted.iter().filter_map(|w| {
        let metrics = memory.endpoints.get(&w.key)?.metrics.clone();
        Some(async move {
            let began = (sources.clock)();
            let scrape = metrics.scrape(began).await;
            (w, scrape, (sources.clock)().since(began))
        })
    });
    let done = join_all(reads).await;
    memory.silent.clear();
    memory.at = now;
    for (w, scrape, took) in done {
        match scrape {
            Ok(scrape) => memory.take(w, scrape, took),
            Err(e) => {
                memory.silent.insert(w.key.0.clone(), e.to_string());
            }
        }
    }
}

struct Wish<'a> {
    key: (PortionId, String),
    metrics: &'a model::Metrics,
    site: Option<Site>,
    instance: Option<AllocId>,
}

fn endpoints<'a>(sources: &'a Sources, world: &World) -> Vec<Wish<'a>> {
    let portions = sources.policies.iter().flat_map(|p| &p.portions);
    portions
        .flat_map(|p| {
            if p.metrics.clients.is_empty() {
                instances(p, world)
            } else {
                let clients = p.metrics.clients.iter();
                clients
                    .map(|url| Wish {
                        key: (p.id.clone(), url.clone()),
                        metrics: &p.metrics,
                        site: None,
                        instance: None,
                    })
                    .collect()
            }
        })
        .collect()
}

/// Every instance in the portion's target, at its own address.
fn instances<'a>(portion: &'a PortionPolicy, world: &World) -> Vec<Wish<'a>> {
    let front = portion.front.as_ref().and_then(|f| world.fronts.get(f));
    let target = front.and_then(|f| f.target.as_ref()?.value()?.as_ref());
    target
        .into_iter()
        .flat_map(|t| &t.instances)
        .map(|i| Wish {
            key: (
                portion.id.clone(),
                format!("http://{}:{}{}", i.address, i.port, portion.metrics.path),
            ),
            metrics: &portion.metrics,
            site: Some(i.site.clone()),
            instance: Some(i.alloc.clone()),
        })
        .collect()
}

fn metrics(sources: &Sources, wish: &Wish) -> Option<Arc<Metrics>> {
    let labels: Vec<LabelMatch> = wish.metrics.only.iter().filter_map(|l| label(l)).collect();
    let with = |metric: &str| Selector {
        metric: metric.to_string(),
        labels: labels.clone(),
    };
    let mut errors = with(&wish.metrics.requests);
    // Without a word on failures none are counted: a label that no series carries.
    let never = || Some(LabelMatch::Is("foreshadow".into(), "never".into()));
    errors
        .labels
        .extend(label(&wish.metrics.failed).or_else(never));
    let wanted = Wanted {
        requests: with(&wish.metrics.requests),
        errors,
        latency: with(&wish.metrics.duration),
    };
    let mut peer = Peer::plain(System::Metrics, &wish.key.1).ok()?;
    peer.source = sources.source;
    peer.timeout = std::time::Duration::from_millis(800);
    Metrics::new(&peer, wanted).ok().map(Arc::new)
}

/// `label=value`, or `label=prefix*`.
fn label(text: &str) -> Option<LabelMatch> {
    let (key, value) = text.split_once('=')?;
    Some(match value.strip_suffix('*') {
        Some(prefix) => LabelMatch::Begins(key.into(), prefix.into()),
        None => LabelMatch::Is(key.into(), value.into()),
    })
}

impl Memory {
    fn take(&mut self, wish: &Wish, scrape: Scrape, took: Span) {
        if let Some(e) = self.endpoints.get_mut(&wish.key) {
            e.scrapes.push_back(scrape);
            if e.scrapes.len() > SCRAPES {
                e.scrapes.pop_front();
            }
            e.note(wish);
        }
        if let Some(site) = &wish.site {
            let times = self.rtt.entry(site.clone()).or_default();
            times.push_back(took.0 as f64);
            if times.len() > 60 {
                times.pop_front();
            }
        }
    }

    /// Each portion's traffic over the window; unknown where no endpoint gave two scrapes.
    pub fn traffic(&self, policies: &[Policy]) -> BTreeMap<PortionId, Seen<Traffic>> {
        policies
            .iter()
            .flat_map(|p| &p.portions)
            .map(|p| (p.id.clone(), self.of(p)))
            .collect()
    }

    fn of(&self, portion: &PortionPolicy) -> Seen<Traffic> {
        let ends = self.endpoints.iter().filter(|(k, _)| k.0 == portion.id);
        let windows: Vec<(Moment, Window)> = ends
            .filter_map(|(_, e)| {
                let (first, last) = (e.scrapes.front()?, e.scrapes.back()?);
                // An endpoint that fell silent tells of the past only.
                let recent = self.at.since(last.at) < Span::secs(3);
                recent.then(|| Window::between(first, last).ok().map(|w| (last.at, w)))?
            })
            .collect();
        let Some(at) = windows.iter().map(|(at, _)| *at).max() else {
            let why = self.silent.get(&portion.id).cloned();
            return Seen::unknown(
                why.unwrap_or_else(|| "no two readings of its metrics yet".into()),
            );
        };
        let rate = windows
            .iter()
            .map(|(_, w)| w.rate())
            .fold(Rps(0.0), |a, b| a + b);
        let whole = Window::merged(windows.iter().map(|(_, w)| w));
        let ms = |q: f64| whole.quantile(q).unwrap_or_default();
        Seen::known(
            Traffic {
                rate,
                success: whole.success().unwrap_or(1.0),
                samples: whole.requests.max(0.0) as u64,
                p50: ms(0.5),
                p99: ms(0.99),
                at_slo: ms(portion.slo.quantile),
            },
            at,
        )
    }

    /// The last readings of every endpoint, oldest first.
    pub fn readings(&self) -> Vec<Reading> {
        let all = self.endpoints.values().flat_map(|e| &e.readings);
        all.cloned().collect()
    }

    /// Links from here, as the quickest scrape at each site of late.
    pub fn links(&self, from: Option<&Site>) -> Vec<Link> {
        let Some(from) = from else {
            return Vec::new();
        };
        self.rtt
            .iter()
            .filter(|(site, _)| *site != from)
            .filter_map(|(site, times)| {
                let rtt = times.iter().copied().reduce(f64::min)?;
                Some(Link {
                    from: from.clone(),
                    to: site.clone(),
                    rtt: Millis(rtt),
                })
            })
            .collect()
    }
}
