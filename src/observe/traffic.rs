//! What clients see of each portion, from metrics endpoints: the clients' own, or else the instances'.

use super::Sources;
use crate::clients::http::{Peer, System};
use crate::clients::prometheus::{
    Exposition, LabelMatch, MetricsError, Page, Scrape, Selector, Wanted, Window,
};
use crate::model::{self, *};
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// A window spans this many scrapes: long enough for quantiles, short enough to see a breach.
const SCRAPES: usize = 4;

/// So many readings of an endpoint are told: what was "just before"; fewer where there are many endpoints.
const READINGS: usize = 20;
const ALL_READINGS: usize = 40_000;
const FEWEST_READINGS: usize = 8;

/// Places that are read at the same time; of more, each is read no sooner than this after the last time, however often is looked,
/// and they take turns: a look reads as many of them as the time since the last one is of it.
const AT_ONCE: usize = 64;
const RESPITE: Span = Span::secs(5);
/// An endpoint that gave nothing for so long when it was read tells of the past only.
const SILENT: Span = Span::secs(3);

#[derive(Default)]
pub struct Memory {
    endpoints: BTreeMap<(PortionId, String), Endpoint>,
    /// A digest of what was wanted at the last look, in the order of the policies.
    asked_for: u64,
    /// Where they are read, each place once for all portions that are told of there.
    pages: BTreeMap<String, Place>,
    /// Portions whose endpoints gave nothing when they were last read, and why.
    silent: BTreeMap<PortionId, String>,
    /// The last look.
    at: Option<Moment>,
    /// What is known of each portion: it stays while none of its endpoints is read.
    known: BTreeMap<PortionId, Seen<Traffic>>,
    /// Shortest time a scrape at a site took lately, in ms.
    rtt: BTreeMap<Site, VecDeque<f64>>,
}

struct Place {
    page: Arc<Exposition>,
    asked: Option<Moment>,
}

#[derive(Default)]
struct Endpoint {
    /// When it was last read, whether or not it gave something.
    asked: Moment,
    scrapes: VecDeque<Scrape>,
    readings: VecDeque<Arc<Reading>>,
}

impl Endpoint {
    /// What happened between the last two scrapes, the last of which are kept.
    fn note(&mut self, wish: &Wish, most: usize) {
        let [.., before, last] = self.scrapes.make_contiguous() else {
            return;
        };
        let Ok(window) = Window::between(before, last) else {
            return;
        };
        let past = (self.readings.len() + 1).saturating_sub(most);
        self.readings.drain(..past);
        self.readings.push_back(Arc::new(Reading {
            portion: wish.key.0.clone(),
            instance: wish.instance.clone(),
            from: before.at,
            at: last.at,
            requests: window.requests.max(0.0).round() as u64,
            latencies: Latencies {
                buckets: window.counts(),
                failed: window.errors.max(0.0).round() as u64,
            },
        }));
    }
}

/// Reads every place whose turn it is, and takes what each endpoint wants of it.
pub async fn read(sources: &Sources, memory: &mut Memory, world: &World, now: Moment) {
    let wishes = endpoints(sources, world);
    let mut told = BTreeSet::new();
    let asked_for = digest(&wishes);
    if std::mem::replace(&mut memory.asked_for, asked_for) != asked_for {
        told = memory.meet(sources, &wishes);
        memory.silent.retain(|portion, _| !told.contains(portion));
    }
    let mut of_place: BTreeMap<String, Vec<&Wish>> = BTreeMap::new();
    let due = memory.turn(now);
    for wish in wishes.iter().filter(|w| due.contains(&w.key.1)) {
        of_place.entry(wish.key.1.clone()).or_default().push(wish);
    }
    let reads = of_place.into_iter().filter_map(|(url, wishes)| {
        let page = memory.pages.get(&url)?.page.clone();
        Some(async move {
            let began = (sources.clock)();
            let page = page.read(began).await;
            (wishes, page, (sources.clock)().since(began))
        })
    });
    let reads: Vec<_> = reads.collect();
    let most = (ALL_READINGS / wishes.len().max(1)).clamp(FEWEST_READINGS, READINGS);
    // A page is let go before the next ones are read: of many there are only so many at once.
    let mut done = futures::stream::iter(reads).buffered(AT_ONCE);
    while let Some((wishes, page, took)) = done.next().await {
        for wish in wishes {
            if told.insert(wish.key.0.clone()) {
                memory.silent.remove(&wish.key.0);
            }
            memory.take(wish, &page, (now, took), most);
        }
    }
    for portion in sources.policies.iter().flat_map(|p| &p.portions) {
        if told.contains(&portion.id) || !memory.known.contains_key(&portion.id) {
            let of = memory.of(portion);
            memory.known.insert(portion.id.clone(), of);
        }
    }
}

struct Wish<'a> {
    key: (PortionId, String),
    metrics: &'a model::Metrics,
    site: Option<Site>,
    instance: Option<AllocId>,
}

fn digest(wishes: &[Wish]) -> u64 {
    let mut digest = DefaultHasher::new();
    wishes.iter().for_each(|w| w.key.hash(&mut digest));
    digest.finish()
}

fn endpoints<'a>(sources: &'a Sources, world: &World) -> Vec<Wish<'a>> {
    let portions = sources.policies.iter().flat_map(|p| &p.portions);
    portions
        .flat_map(|p| {
            if p.metrics.clients.is_empty() {
                match target(p, world) {
                    Some(Some(target)) => instances(p, target),
                    Some(None) => primaries(p, world),
                    None => Vec::new(),
                }
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

/// The portion's target, as far as it can be read: there may be none.
fn target<'a>(portion: &PortionPolicy, world: &'a World) -> Option<Option<&'a Target>> {
    let front = world.fronts.get(portion.front.as_ref()?)?;
    front.target.as_ref()?.value().map(Option::as_ref)
}

/// Every instance in the portion's target, at its own address.
fn instances<'a>(portion: &'a PortionPolicy, target: &Target) -> Vec<Wish<'a>> {
    let all = target.instances.iter();
    all.map(|i| wish(portion, (&i.address, i.port), &i.site, &i.alloc))
        .collect()
}

/// Where no target was ever written, traffic is that of the job's own instances: who only observes is to know the demand, too.
fn primaries<'a>(portion: &'a PortionPolicy, world: &World) -> Vec<Wish<'a>> {
    let allocs = world.allocs.value().into_iter();
    let running = allocs
        .flat_map(|all| all.of(&portion.job))
        .filter(|a| a.desired_run && a.status == AllocStatus::Running)
        .filter(|a| portion.groups.first() == Some(&a.group));
    let wishes = running.filter_map(|alloc| {
        let (address, port) = alloc.ports.get(&portion.port)?;
        let site = &world.node(&alloc.node)?.site;
        Some(wish(portion, (address, *port), site, &alloc.id))
    });
    wishes.collect()
}

fn wish<'a>(
    portion: &'a PortionPolicy,
    (address, port): (&str, u16),
    site: &Site,
    instance: &AllocId,
) -> Wish<'a> {
    let path = &portion.metrics.path;
    Wish {
        key: (portion.id.clone(), format!("http://{address}:{port}{path}")),
        metrics: &portion.metrics,
        site: Some(site.clone()),
        instance: Some(instance.clone()),
    }
}

fn wanted_of(wish: &Wish) -> Wanted {
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
    Wanted {
        requests: with(&wish.metrics.requests),
        errors,
        latency: with(&wish.metrics.duration),
    }
}

/// Where an endpoint is read; all are asked from the same place, so they share their connections.
fn page(sources: &Sources, url: &str, beside: Option<&Exposition>) -> Option<Arc<Exposition>> {
    let mut peer = Peer::plain(System::Metrics, url).ok()?;
    peer.source = sources.source;
    peer.timeout = std::time::Duration::from_millis(800);
    Exposition::new(&peer, beside).ok().map(Arc::new)
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
    /// Endpoints and places as they are wanted now; what is not wanted any more is forgotten. The portions that it was of.
    fn meet(&mut self, sources: &Sources, wishes: &[Wish]) -> BTreeSet<PortionId> {
        let wanted: BTreeSet<&(PortionId, String)> = wishes.iter().map(|w| &w.key).collect();
        let gone = self
            .endpoints
            .extract_if(.., |key, _| !wanted.contains(key));
        let gone = gone.map(|(key, _)| key.0).collect();
        let places: BTreeSet<&str> = wishes.iter().map(|w| w.key.1.as_str()).collect();
        self.pages.retain(|url, _| places.contains(url.as_str()));
        for url in places {
            if !self.pages.contains_key(url) {
                let other = self.pages.values().next().map(|p| p.page.clone());
                let page = page(sources, url, other.as_deref());
                let place = |page| (url.to_string(), Place { page, asked: None });
                self.pages.extend(page.map(place));
            }
        }
        for wish in wishes {
            self.endpoints.entry(wish.key.clone()).or_default();
        }
        gone
    }

    /// The places that this look reads: all of a few; of many those that were not read for the longest time.
    fn turn(&mut self, now: Moment) -> BTreeSet<String> {
        let since = self.at.replace(now).map_or(RESPITE, |at| now.since(at));
        let few = self.pages.len() <= AT_ONCE;
        let part = (since.0 as f64 / RESPITE.0 as f64).clamp(0.0, 1.0);
        let most = (self.pages.len() as f64 * part).ceil() as usize;
        let rests = |p: &Place| p.asked.is_some_and(|at| now.since(at) < RESPITE);
        let due = self.pages.iter_mut().filter(|(_, p)| few || !rests(p));
        let mut due: Vec<(&String, &mut Place)> = due.collect();
        if !few {
            due.sort_by_key(|(_, p)| p.asked);
            due.truncate(most);
        }
        due.into_iter()
            .map(|(url, place)| {
                place.asked = Some(now);
                url.clone()
            })
            .collect()
    }

    /// What an endpoint wants of the page that was read, if it was; so many readings of each are kept.
    fn take(
        &mut self,
        wish: &Wish,
        page: &Result<Page, MetricsError>,
        (asked, took): (Moment, Span),
        most: usize,
    ) {
        let Some(e) = self.endpoints.get_mut(&wish.key) else {
            return;
        };
        e.asked = asked;
        let scrape = match page {
            Ok(page) => Scrape::of(page, &wanted_of(wish)).map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        match scrape {
            Ok(scrape) => {
                if e.scrapes.len() == SCRAPES {
                    e.scrapes.pop_front();
                }
                e.scrapes.push_back(scrape);
            }
            Err(why) => {
                self.silent.insert(wish.key.0.clone(), why);
                return;
            }
        }
        e.note(wish, most);
        if let Some(site) = &wish.site {
            let times = self.rtt.entry(site.clone()).or_default();
            times.push_back(took.0 as f64);
            if times.len() > 60 {
                times.pop_front();
            }
        }
    }

    /// Each portion's traffic over the window; unknown where no endpoint gave two scrapes.
    pub fn traffic(&self) -> BTreeMap<PortionId, Seen<Traffic>> {
        self.known.clone()
    }

    fn of(&self, portion: &PortionPolicy) -> Seen<Traffic> {
        let from = (portion.id.clone(), String::new());
        let ends = self.endpoints.range(from..);
        let ends = ends.take_while(|(k, _)| k.0 == portion.id);
        let windows: Vec<(Moment, Window)> = ends
            .filter_map(|(_, e)| {
                let (first, last) = (e.scrapes.front()?, e.scrapes.back()?);
                let recent = e.asked.since(last.at) < SILENT;
                recent.then(|| Window::between(first, last).ok().map(|w| (last.at, w)))?
            })
            .collect();
        let Some(at) = windows.iter().map(|(at, _)| *at).max() else {
            let why = self.silent.get(&portion.id).cloned();
            return Seen::unknown(
                why.unwrap_or_else(|| "waiting for a second reading of its metrics".into()),
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
    pub fn readings(&self) -> Vec<Arc<Reading>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// So many places, none of which was read yet.
    fn places(many: usize) -> Memory {
        let peer = Peer::plain(System::Metrics, "http://127.0.0.1:1/metrics").expect("a peer");
        let page = Arc::new(Exposition::new(&peer, None).expect("a place"));
        let place = |n| {
            let (page, asked) = (page.clone(), None);
            (format!("{n:03}"), Place { page, asked })
        };
        Memory {
            pages: (0..many).map(place).collect(),
            ..Memory::default()
        }
    }

    #[test]
    fn many_places_take_turns_and_none_is_read_sooner_than_it_may_be() {
        let mut memory = places(500);
        let mut last: BTreeMap<String, i64> = BTreeMap::new();
        let mut most = 0;
        for at in (0..60_000).step_by(500) {
            let read = memory.turn(Moment(at));
            for url in &read {
                let before = last.insert(url.clone(), at);
                let rested = before.map_or(RESPITE.0, |then| at - then);
                assert!(rested >= RESPITE.0, "{url} after {rested} ms");
                // All were read at once to begin with, and are spread over the time in which each is due once more.
                let longest = if at > 12_000 {
                    RESPITE.0 + 1_000
                } else {
                    RESPITE.0 * 2
                };
                assert!(rested <= longest, "{url} after {rested} ms");
            }
            if at > 12_000 {
                most = most.max(read.len());
            }
        }
        assert!(last.values().all(|at| *at > 50_000), "each of them is read");
        assert!(most <= 100, "{most} at one look, where a tenth is due");
    }

    #[test]
    fn seldom_looks_read_all_of_them_and_so_do_looks_at_few() {
        let mut memory = places(500);
        for at in [0, 10_000, 20_000] {
            assert_eq!(memory.turn(Moment(at)).len(), 500);
        }
        let mut memory = places(AT_ONCE);
        for at in [0, 500, 1_000] {
            let read: BTreeSet<String> = memory.turn(Moment(at));
            assert_eq!(read.len(), AT_ONCE);
        }
    }
}
