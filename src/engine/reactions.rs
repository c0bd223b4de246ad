//! How long prepared switches took: the newest as they are, all of them counted. What it holds is bounded by gateways and services.

use super::view::{REACTION_BOUNDS, ReactionCount};
use crate::model::*;
use std::collections::{BTreeMap, VecDeque};

/// The newest that are kept one by one.
const NEWEST: usize = 512;

/// What gateways reported of the contingencies that they put in force.
#[derive(Clone, Debug, Default)]
pub struct Reactions {
    /// When the last one of each was: a report stands in Consul until the next one.
    last: BTreeMap<(GatewayId, ServiceName), Moment>,
    newest: VecDeque<f64>,
    /// By bucket; the last one has no bound.
    counts: [(u64, f64); REACTION_BOUNDS.len() + 1],
}

impl Reactions {
    /// Takes in a report; `false` when it was counted already.
    pub fn count(
        &mut self,
        gateway: &GatewayId,
        service: &ServiceName,
        at: Moment,
        took: Span,
    ) -> bool {
        let last = self.last.insert((gateway.clone(), service.clone()), at);
        if last == Some(at) {
            return false;
        }
        let ms = took.0 as f64;
        let bucket = REACTION_BOUNDS.iter().position(|bound| ms <= *bound);
        let (n, sum) = &mut self.counts[bucket.unwrap_or(REACTION_BOUNDS.len())];
        *n += 1;
        *sum += ms;
        self.newest.push_back(ms);
        if self.newest.len() > NEWEST {
            self.newest.pop_front();
        }
        true
    }

    /// Forgets services that nobody asks for any more.
    pub fn keep(&mut self, service: impl Fn(&ServiceName) -> bool) {
        self.last.retain(|(_, of), _| service(of));
    }

    /// The newest, in ms, the oldest of them first.
    pub fn newest(&self) -> Vec<f64> {
        self.newest.iter().copied().collect()
    }

    /// All since the process began, by bucket.
    pub fn counted(&self) -> Vec<ReactionCount> {
        let bounds = REACTION_BOUNDS.into_iter().map(Some).chain([None]);
        let all = bounds.zip(self.counts);
        all.filter(|(_, (count, _))| *count > 0)
            .map(|(up_to_ms, (count, sum_ms))| ReactionCount {
                up_to_ms,
                count,
                sum_ms,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_once_and_what_is_kept_stays_small_however_many_come() {
        let mut reactions = Reactions::default();
        let (gateway, web) = (GatewayId::new("edge-a"), ServiceName::new("web"));
        let mut count = |at: i64, ms: i64| reactions.count(&gateway, &web, Moment(at), Span(ms));
        assert!(count(1, 20));
        assert!(!count(1, 20), "it stands in Consul still");
        for at in 2..=5_000 {
            assert!(count(at, 30_000));
        }
        assert_eq!((reactions.last.len(), reactions.newest.len()), (1, NEWEST));
        let counted = reactions.counted();
        let told: Vec<_> = counted.iter().map(|c| (c.up_to_ms, c.count)).collect();
        assert_eq!(told, [(Some(25.0), 1), (None, 4_999)]);
        assert_eq!(counted[1].sum_ms, 4_999.0 * 30_000.0);
        reactions.keep(|service| service.as_str() != "web");
        assert!(reactions.last.is_empty());
    }
}
