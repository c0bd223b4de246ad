//! One pack for each node, so that together they place what is wanted at the least cost: branch and bound over lists that hold every
//! pack an answer below the best known could use.
//!
//! Each branch adjusts the prices of the standbys to the packs it has left, drops every pack that is too dear at the new prices, and
//! then decides one question: whether this portion stands on that node, or whether a standby of it goes missing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use super::packs::{MOST_PORTIONS, Pack};
use super::polyak::{BRIEF, Polyak};
use super::problem::{NOWHERE, Problem};
use super::state::State;

/// Steps of the prices in the first branch and in each later one.
const ROUNDS_FIRST: u32 = 100;
const ROUNDS: u32 = 14;
/// Part of the newest choice in the average that tells what to decide next.
const FRESH: f64 = 0.2;

/// What booking an assignment counts as, in packs looked at.
const WEIGHING: u64 = 500;

type Prices = [f64; MOST_PORTIONS];

/// What the search goes by.
pub(super) struct Cover<'a> {
    pub(super) problem: &'a Problem,
    /// What each candidate costs the search.
    pub(super) cost: &'a [i64],
    /// Packs of each node.
    pub(super) packs: &'a [Vec<Pack>],
    /// What each missing standby of a portion costs beyond what its price already counts.
    pub(super) missing: &'a [f64],
    /// The dual value that regrets add to.
    pub(super) base: f64,
    /// No answer above it is looked for.
    pub(super) most: f64,
    /// Best total known, and its slots once one is found.
    pub(super) best: AtomicI64,
    pub(super) found: Mutex<Option<Vec<u32>>>,
    /// Packs looked at, and how many may be.
    pub(super) steps: AtomicU64,
    pub(super) limit: u64,
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
    pub(super) stopped: AtomicBool,
    /// The first so many decisions are followed both ways at once, where there are threads; then the order in which equally good
    /// answers are found depends on them.
    pub(super) abreast: u32,
}

/// A pack as the branches read it.
#[derive(Clone, Copy)]
struct Entry {
    portions: u64,
    regret: f64,
    number: u32,
}

/// What is left to choose from.
#[derive(Clone)]
struct Branch {
    /// For each node the packs it may still have, never none.
    lists: Vec<Vec<Entry>>,
    /// What the prices of the standbys are more than at the root.
    prices: Prices,
    /// Standbys of each portion that are given up, and portions of which no more may be, as bits.
    given_up: [u8; MOST_PORTIONS],
    no_more: u64,
    depth: u32,
}

/// What the prices say about a branch.
struct Outlook {
    value: f64,
    /// How often each portion (the minor index) was chosen for each node lately.
    share: Vec<Prices>,
    /// How many standbys of each portion no node chose lately.
    short: Prices,
}

/// What a branch is split by.
enum Question {
    /// Whether the portion stands on the node; the likelier answer.
    Stands {
        node: usize,
        portion: usize,
        likely: bool,
    },
    /// Whether one more standby of the portion goes missing.
    Misses(usize),
}

impl Cover<'_> {
    /// Looks at every answer up to `most` that is better than the best known. False if it was stopped before.
    pub(super) fn run(&self) -> bool {
        let entry = |(number, pack): (usize, &Pack)| Entry {
            portions: pack.portions,
            regret: pack.regret,
            number: number as u32,
        };
        let all = |packs: &Vec<Pack>| packs.iter().enumerate().map(entry).collect();
        let root = Branch {
            lists: self.packs.iter().map(all).collect(),
            prices: [0.0; MOST_PORTIONS],
            given_up: [0; MOST_PORTIONS],
            no_more: 0,
            depth: 0,
        };
        self.descend(root);
        !self.stopped.load(Relaxed)
    }

    /// The most that regrets may sum up to.
    fn slack(&self) -> f64 {
        below(self.best.load(Relaxed)).min(self.most) - self.base
    }

    fn wanted(&self, branch: &Branch, portion: usize) -> u8 {
        self.problem.slots(portion).len() as u8 - branch.given_up[portion]
    }

    fn descend(&self, mut branch: Branch) {
        if self.stopped.load(Relaxed) || !self.settle(&mut branch) {
            return;
        }
        let outlook = self.ascend(&mut branch);
        if outlook.value > self.slack()
            || !self.sift(&mut branch, outlook.value)
            || !self.settle(&mut branch)
        {
            return;
        }
        let Some(question) = self.question(&branch, &outlook) else {
            self.weigh(&branch);
            return;
        };
        branch.depth += 1;
        let abreast = branch.depth <= self.abreast;
        let (first, second) = split(branch, &question);
        if abreast {
            rayon::join(|| self.descend(first), || self.descend(second));
        } else {
            self.descend(first);
            self.descend(second);
        }
    }

    /// Drops packs that break a rule with what every remaining pack of another node places. False if a node is left without one.
    fn settle(&self, branch: &mut Branch) -> bool {
        let problem = self.problem;
        loop {
            let mut sure = vec![0_u64; branch.lists.len()];
            let mut in_domain = vec![0_u64; problem.domains];
            let mut count = [0_u8; MOST_PORTIONS];
            for (node, list) in branch.lists.iter().enumerate() {
                self.step(list.len() as u64);
                let all = list.iter().fold(u64::MAX, |all, pack| all & pack.portions);
                let domain = &mut in_domain[problem.node_domain[node] as usize];
                if list.is_empty() || *domain & all != 0 {
                    return false;
                }
                *domain |= all;
                sure[node] = all;
                bits(all).for_each(|i| count[i] += 1);
            }
            let mut full = 0;
            for (i, &count) in count.iter().enumerate().take(problem.portions()) {
                let wanted = self.wanted(branch, i);
                if count > wanted {
                    return false;
                }
                full |= u64::from(count == wanted) << i;
            }
            let mut changed = false;
            for (node, list) in branch.lists.iter_mut().enumerate() {
                let taken = (full | in_domain[problem.node_domain[node] as usize]) & !sure[node];
                let before = list.len();
                list.retain(|pack| pack.portions & taken == 0);
                changed |= list.len() < before;
            }
            if !changed {
                return true;
            }
        }
    }

    /// Raises the prices' bound on the branch, as far as it takes to see that it holds nothing better.
    fn ascend(&self, branch: &mut Branch) -> Outlook {
        let portions = self.problem.portions();
        let lists = &branch.lists;
        let size: usize = lists.iter().map(Vec::len).sum();
        let mut at = branch.prices;
        let (ceilings, given_up) = self.limits(branch, &mut at);
        let wanted: Vec<f64> = (0..portions)
            .map(|i| f64::from(self.wanted(branch, i)))
            .collect();
        let mut share = vec![[0.0; MOST_PORTIONS]; lists.len()];
        let mut short = [0.0; MOST_PORTIONS];
        let mut climb = Polyak::new(&at[..portions], BRIEF);
        let rounds = if branch.depth == 0 {
            ROUNDS_FIRST
        } else {
            ROUNDS
        };
        for round in 0..rounds {
            self.step(size as u64);
            let sums = Sums::of(&at[..portions]);
            let mut slope = wanted.clone();
            let mut value = given_up + wanted.iter().zip(&at).map(|(w, a)| w * a).sum::<f64>();
            let fresh = if round == 0 { 1.0 } else { FRESH };
            for (list, share) in lists.iter().zip(&mut share) {
                let (cost, pack) = sums.cheapest(list);
                value += cost;
                share[..portions]
                    .iter_mut()
                    .for_each(|share| *share *= 1.0 - fresh);
                for i in bits(pack) {
                    slope[i] -= 1.0;
                    share[i] += fresh;
                }
            }
            for (short, slope) in short.iter_mut().zip(&slope) {
                *short += fresh * (slope - *short);
            }
            let slack = self.slack();
            let ceilings = &ceilings[..portions];
            let at = &mut at[..portions];
            let more = climb.step(at, (value, &slope), slack, f64::NEG_INFINITY, ceilings);
            if value > slack || !more || self.stopped.load(Relaxed) {
                break;
            }
        }
        branch.prices[..portions].copy_from_slice(&climb.best_at);
        Outlook {
            value: climb.best,
            share,
            short,
        }
    }

    /// The highest prices of the branch and what it has given up; portions that no pack places any more go to their ceiling.
    fn limits(&self, branch: &Branch, at: &mut Prices) -> (Prices, f64) {
        let packs = branch.lists.iter().flatten();
        let any = packs.fold(0, |any, pack| any | pack.portions);
        let mut ceilings: Prices = [f64::INFINITY; MOST_PORTIONS];
        let mut given_up = 0.0;
        for i in 0..self.problem.portions() {
            given_up += f64::from(branch.given_up[i]) * self.missing[i];
            if branch.no_more & 1 << i == 0 {
                ceilings[i] = self.missing[i];
            }
            if any & 1 << i == 0 {
                at[i] = self.missing[i];
            }
        }
        (ceilings, given_up)
    }

    /// Drops the packs that are too dear at the branch's prices. False if a node is left without one.
    fn sift(&self, branch: &mut Branch, value: f64) -> bool {
        let spare = self.slack() - value;
        let sums = Sums::of(&branch.prices[..self.problem.portions()]);
        branch.lists.iter_mut().all(|list| {
            self.step(2 * list.len() as u64);
            let most = sums.cheapest(list).0 + spare;
            list.retain(|pack| sums.cost(pack) <= most);
            !list.is_empty()
        })
    }

    /// What the remaining packs and the prices are least sure about; none once nothing is left to choose.
    fn question(&self, branch: &Branch, outlook: &Outlook) -> Option<Question> {
        let mut best = None;
        let mut most = f64::NEG_INFINITY;
        let mut open = 0;
        for (node, list) in branch
            .lists
            .iter()
            .enumerate()
            .filter(|(_, list)| list.len() > 1)
        {
            let (any, all) = list.iter().fold((0, u64::MAX), |(any, all), pack| {
                (any | pack.portions, all & pack.portions)
            });
            open |= any & !all;
            for portion in bits(any & !all) {
                let share = outlook.share[node][portion];
                let unsure = 0.5 - (share - 0.5).abs();
                if unsure > most {
                    most = unsure;
                    let likely = share >= 0.5;
                    best = Some(Question::Stands {
                        node,
                        portion,
                        likely,
                    });
                }
            }
        }
        let at_ceiling = bits(open & !branch.no_more)
            .filter(|&i| branch.prices[i] >= self.missing[i] && self.wanted(branch, i) > 0);
        let shortest = at_ceiling.max_by(|&a, &b| outlook.short[a].total_cmp(&outlook.short[b]));
        shortest.map(Question::Misses).or(best)
    }

    fn step(&self, steps: u64) {
        let before = self.steps.fetch_add(steps, Relaxed);
        let after = before + steps;
        if after > self.limit || (before >> 12 != after >> 12 && (self.stop)()) {
            self.stopped.store(true, Relaxed);
        }
    }

    /// Every node has one pack: books them, and keeps the assignment if that is legal and better.
    fn weigh(&self, branch: &Branch) {
        self.step(WEIGHING);
        let mut state = State::empty(self.problem, self.cost);
        for (node, list) in branch.lists.iter().enumerate() {
            for &candidate in &self.packs[node][list[0].number as usize].candidates {
                let portion = self.problem.candidate_portion[candidate as usize] as usize;
                let mut slots = self.problem.slots(portion);
                let slot = slots.find(|&slot| state.slots()[slot] == NOWHERE);
                match slot.filter(|&slot| state.may_put(slot, candidate as usize)) {
                    Some(slot) => state.put(slot, candidate as usize),
                    None => return,
                }
            }
        }
        let Ok(mut found) = self.found.lock() else {
            return;
        };
        if state.total() < self.best.load(Relaxed) {
            self.best.store(state.total(), Relaxed);
            *found = Some(state.slots().to_vec());
        }
    }
}

/// The two answers to a question, the likelier one first.
fn split(branch: Branch, question: &Question) -> (Branch, Branch) {
    let (mut first, mut second) = (branch.clone(), branch);
    match *question {
        Question::Stands {
            node,
            portion,
            likely,
        } => {
            let stands = |pack: &Entry| pack.portions & 1 << portion != 0;
            first.lists[node].retain(|pack| stands(pack) == likely);
            second.lists[node].retain(|pack| stands(pack) != likely);
        }
        Question::Misses(portion) => {
            first.no_more |= 1 << portion;
            second.given_up[portion] += 1;
        }
    }
    (first, second)
}

/// Sums of prices for each value of each four bits of a set of portions.
struct Sums(Vec<[f64; 16]>);

impl Sums {
    fn of(prices: &[f64]) -> Self {
        let sums = |prices: &[f64]| {
            let mut sums = [0.0; 16];
            for set in 1..1_usize << prices.len() {
                sums[set] = sums[set & (set - 1)] + prices[set.trailing_zeros() as usize];
            }
            sums
        };
        Self(prices.chunks(4).map(sums).collect())
    }

    /// What the pack regrets at prices that are so much more than at the root.
    #[inline]
    fn cost(&self, pack: &Entry) -> f64 {
        let mut set = pack.portions;
        let mut cost = pack.regret;
        for sums in &self.0 {
            cost -= sums[(set & 15) as usize];
            set >>= 4;
        }
        cost
    }

    /// What a node's cheapest pack costs, and its portions.
    fn cheapest(&self, list: &[Entry]) -> (f64, u64) {
        let mut best = (f64::INFINITY, 0);
        for pack in list {
            let cost = self.cost(pack);
            if cost < best.0 {
                best = (cost, pack.portions);
            }
        }
        best
    }
}

/// The largest sum of costs that may still be less than a total: they are integers, and floating point may add a little.
pub(super) fn below(total: i64) -> f64 {
    let total = total as f64;
    total - 1.0 + 1e-6 + total.abs() * 1e-9
}

fn bits(mut of: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = of.trailing_zeros() as usize;
        (of != 0).then(|| {
            of &= of - 1;
            bit
        })
    })
}
