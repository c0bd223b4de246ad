//! What a shadow's load is made of, and what its measurement showed beyond the points of a curve.

use super::counted;
use super::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How requests are spread in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// At random (a Poisson process), as those of many clients come.
    #[default]
    Poisson,
    /// At constant distances.
    Constant,
    /// As in the log that is replayed, faster or slower as the rate asks.
    Own,
}

/// One kind of request of a synthetic mix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MixPart {
    pub method: String,
    pub path: String,
    /// How often against the others.
    pub weight: f64,
}

/// How a portion's shadows are driven: the policy's `load` block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadPolicy {
    /// An access log whose requests are replayed.
    pub from: Option<String>,
    /// Fields of a log of JSON lines, where they have other names: ours, theirs.
    pub fields: Vec<(String, String)>,
    /// A synthetic mix; without it and a log, the portion's `path` alone.
    pub mix: Vec<MixPart>,
    pub arrivals: Arrivals,
    /// Methods that may be sent to a shadow.
    pub methods: Vec<String>,
    /// That the knee lies where the search says.
    pub confidence: f64,
    /// The search ends when the knee is known to this part.
    pub resolution: f64,
    /// Longest time of one rate, and of them all.
    pub each: Span,
    pub lasts: Span,
}

impl Default for LoadPolicy {
    fn default() -> Self {
        LoadPolicy {
            from: None,
            fields: Vec::new(),
            mix: Vec::new(),
            arrivals: Arrivals::Poisson,
            methods: SAFE_METHODS.map(str::to_string).to_vec(),
            confidence: 0.9,
            resolution: 0.2,
            each: Span::millis(2_000),
            lasts: Span::millis(12_000),
        }
    }
}

/// A portion that the measured one calls, and how far it is from where the shadow ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Upstream {
    pub portion: PortionId,
    pub site: Site,
    /// `None` where nobody has measured the way.
    pub rtt: Option<Millis>,
}

/// From the registration to the first passing check, in parts; each is taken on one machine's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StartUp {
    /// From the registration until Nomad had chosen a node (the server's clock).
    pub placed: Option<Span>,
    /// From the node's first word until it began to fetch, or to start: folders, templates (the node's clock).
    pub prepared: Option<Span>,
    /// Image and artifacts, until the last task ran; zero when nothing had to be fetched.
    pub fetched: Option<Span>,
    /// From there to the running tasks, where nothing was fetched.
    pub started: Option<Span>,
    /// The rest, up to the first passing check.
    pub passing: Option<Span>,
}

/// What came of one load, besides its point on the curve.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadDetail {
    pub rate: Rps,
    /// Decided with the confidence that was asked for.
    pub proven: bool,
    /// Answered well, a second.
    pub throughput: Rps,
    /// Requests by latency: upper bound of each bucket, rising, and how many lie in it.
    pub histogram: Vec<(Millis, u64)>,
    /// Failed requests by the name of their fault.
    pub errors: Vec<(String, u64)>,
    /// Of the allocation at the end of this load.
    pub cpu: Option<Mhz>,
    pub memory: Option<MiB>,
    /// Of the answers, header fields included.
    pub network: Mbps,
    /// How late the generator itself was (99th percentile).
    pub own_delay: Millis,
}

/// What a run showed beyond what profiles are folded from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Details {
    /// The knee is no lower than the first and lies below the second, with this confidence.
    pub proven: (Option<Rps>, Option<Rps>),
    pub confidence: f64,
    /// In order of load.
    pub loads: Vec<LoadDetail>,
    pub startup: StartUp,
    pub upstreams: Vec<Upstream>,
    /// What kind of load it was, in words.
    pub load: String,
}

impl Details {
    /// `10 to 14 rps (95% sure)`, or what of it is known.
    pub fn bracket(&self) -> Option<String> {
        let sure = format!("{:.0}% sure", 100.0 * self.confidence);
        match self.proven {
            (Some(low), Some(high)) => Some(format!("{low} to {high} ({sure})")),
            (Some(low), None) => Some(format!("at least {low} ({sure})")),
            (None, Some(high)) => Some(format!("below {high} ({sure})")),
            (None, None) => None,
        }
    }
}

impl StartUp {
    /// `placed 40 ms, prepared 50 ms, fetched 400 ms, passing 410 ms`: the parts that are known.
    pub fn sentence(&self) -> Option<String> {
        let parts = [
            ("placed", self.placed),
            ("prepared", self.prepared),
            ("fetched", self.fetched),
            ("started", self.started),
            ("passing", self.passing),
        ];
        let known = parts
            .iter()
            .filter_map(|(name, part)| part.map(|p| format!("{name} {} ms", p.0)));
        let known: Vec<String> = known.collect();
        (!known.is_empty()).then(|| known.join(", "))
    }
}

impl Details {
    /// What the run showed, for the log; `None` when that is nothing.
    pub fn sentence(&self) -> Option<String> {
        let requests = |l: &LoadDetail| l.histogram.iter().map(|b| b.1).sum::<u64>();
        let spent: u64 = self.loads.iter().map(requests).sum();
        let most = self.loads.iter().map(|l| l.throughput).reduce(Rps::max)?;
        let knee = self.bracket().unwrap_or_else(|| "not proven".into());
        let mut told = vec![format!(
            "knee {knee} by {spent} requests at {}, at most {most} answered",
            counted(self.loads.len(), "load")
        )];
        told.extend(self.startup.sentence().map(|s| format!("start-up: {s}")));
        told.extend(self.upstreams.iter().filter_map(|u| {
            let rtt = u.rtt?;
            Some(format!("{:.1} ms to {} at {}", rtt.0, u.portion, u.site))
        }));
        Some(told.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_tells_the_parts_that_are_known() {
        assert_eq!(Details::default().sentence(), None);
        let details = Details {
            proven: (Some(Rps(10.0)), None),
            confidence: 0.95,
            loads: vec![LoadDetail {
                throughput: Rps(9.5),
                histogram: vec![(Millis(1.0), 40), (Millis(2.0), 2)],
                ..LoadDetail::default()
            }],
            startup: StartUp {
                placed: Some(Span(40)),
                passing: Some(Span(410)),
                ..StartUp::default()
            },
            upstreams: vec![Upstream {
                portion: PortionId::new("cart"),
                site: Site::new("edge-a"),
                rtt: Some(Millis(3.25)),
            }],
            ..Details::default()
        };
        let said = details.sentence().unwrap_or_default();
        assert!(said.contains("by 42 requests at 1 load"), "{said}");
        assert!(
            said.contains("start-up: placed 40 ms, passing 410 ms"),
            "{said}"
        );
        assert!(said.ends_with("3.2 ms to cart at edge-a"), "{said}");
    }

    #[test]
    fn the_bracket_says_what_is_proven_and_nothing_more() {
        let of = |low: Option<f64>, high: Option<f64>| Details {
            proven: (low.map(Rps), high.map(Rps)),
            confidence: 0.953,
            ..Details::default()
        };
        let said = |low, high| of(low, high).bracket();
        assert!(
            said(Some(10.0), Some(14.0))
                .is_some_and(|s| s.contains("to") && s.ends_with("(95% sure)"))
        );
        assert!(said(Some(10.0), None).is_some_and(|s| s.starts_with("at least")));
        assert!(said(None, Some(14.0)).is_some_and(|s| s.starts_with("below")));
        assert_eq!(said(None, None), None);
    }
}
