//! The pool: every model fitted to one series, and what each would have said from every origin.

use super::autoregression::{self, Autoregression, LAGS};
use super::direct::{Direct, Sights};
use super::series::Clean;
use super::smoothing::{self, Lessons, Smoother};
use super::theta::Theta;
use super::trail::Trail;
use super::window::Window;
use ndarray::{Array1, Array2, ArrayView1};
use serde::{Deserialize, Serialize};

/// Origins that the pool learns from, at most; older ones only warm the smoothers up.
const ORIGINS: usize = 3000;

/// A model of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Member {
    /// Damped Holt–Winters with the seasons found.
    Smoothing,
    /// The same without a season.
    Level,
    /// What it was a season ago, moved by how the level has changed since.
    Naive,
    /// The same with the longest customary period, where that is not a season that was found.
    Custom,
    /// What is usual at that phase over several seasons, whatever the level is now.
    Usual,
    /// The theta method, about what is usual.
    Theta,
    /// The mean since the last shift of the level, about what is usual.
    Window,
    /// Autoregression about waves.
    Autoregression,
    /// Direct regression by horizon.
    Direct,
}

impl Member {
    pub fn name(self) -> &'static str {
        match self {
            Member::Smoothing => "smoothing",
            Member::Level => "level",
            Member::Naive => "naive",
            Member::Custom => "custom",
            Member::Usual => "usual",
            Member::Theta => "theta",
            Member::Window => "window",
            Member::Autoregression => "autoregression",
            Member::Direct => "direct",
        }
    }
}

/// The models of a series, fitted, and where they stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learnt {
    pub smooth: Smoother,
    level: Option<Smoother>,
    theta: Option<Theta>,
    window: Option<Window>,
    autoregression: Option<Box<Autoregression>>,
    direct: Option<Direct>,
    trail: Trail,
    /// Where the longest season found is among the trail's periods.
    season: Option<usize>,
}

/// The models with their rolled forecasts.
pub struct Pool {
    pub burn: usize,
    /// Columns of `rolled`, in points ahead.
    pub ahead: Vec<usize>,
    pub members: Vec<Member>,
    pub rolled: Vec<Array2<f64>>,
    pub learnt: Learnt,
}

/// What every fit learns from.
struct Class<'a> {
    y: &'a [f64],
    seen: &'a [bool],
    burn: usize,
    seasons: &'a [usize],
    horizon: usize,
    ahead: &'a [usize],
    recency: &'a [f64],
}

impl Pool {
    /// Fits every model to a bent series with these seasons, and with further periods for the regression to look at.
    pub fn fit(
        clean: &Clean,
        seasons: &[usize],
        periods: &[usize],
        horizon: usize,
        warm: Option<&Learnt>,
    ) -> Pool {
        let y = clean.y.as_slice().unwrap_or(&[]);
        let burn = smoothing::warm_up(y.len(), seasons);
        let class = Class {
            y,
            seen: &clean.seen,
            burn,
            seasons,
            horizon,
            ahead: &ahead(horizon),
            recency: &recency(y.len() - burn + 1, seasons),
        };
        let mut pool = Pool {
            burn,
            ahead: class.ahead.to_vec(),
            members: Vec::new(),
            rolled: Vec::new(),
            learnt: class.smoothed(Trail::new(y, periods), warm),
        };
        pool.roll_smoothers(&class);
        let views = pool.rolled.len();
        pool.look_up(&class);
        pool.about_usual(&class, warm);
        pool.regress(&class, views, warm);
        pool
    }

    fn enter(&mut self, member: Member, rolled: Array2<f64>) {
        self.members.push(member);
        self.rolled.push(rolled);
    }

    fn roll_smoothers(&mut self, c: &Class) {
        let main = smoothing::rolled(&c.lessons(c.seasons), &self.learnt.smooth.params, c.ahead);
        let level = self.learnt.level.as_ref();
        let level = level.map(|l| smoothing::rolled(&c.lessons(&[]), &l.params, c.ahead));
        self.enter(Member::Smoothing, main);
        if let Some(l) = level {
            self.enter(Member::Level, l);
        }
    }

    /// The members that need no fit, only a look at the past.
    fn look_up(&mut self, c: &Class) {
        let (season, longest) = (self.learnt.season, self.learnt.longest());
        let mut members = vec![Member::Naive, Member::Usual];
        if longest != season {
            members.insert(1, Member::Custom);
        }
        for member in members {
            let t = &self.learnt.trail;
            let rolled = Array2::from_shape_fn((c.rows(), c.ahead.len()), |(r, k)| {
                let (o, h) = (c.burn + r, c.ahead[k]);
                match member {
                    Member::Naive => t.naive(o, h, season),
                    Member::Custom => t.naive(o, h, longest),
                    _ => t.usual(o, h),
                }
            });
            self.enter(member, rolled);
        }
    }

    /// The members that follow what the series lies from its usual value at each phase.
    fn about_usual(&mut self, c: &Class, warm: Option<&Learnt>) {
        let l = &mut self.learnt;
        let off: Vec<Option<f64>> = (0..c.y.len())
            .map(|s| (c.seen[s] && s > 0).then(|| l.off(s, c.y[s])).flatten())
            .collect();
        let from = off.iter().position(Option::is_some).unwrap_or(0);
        if from + 2 * c.horizon >= c.y.len() {
            return;
        }
        let burn = c.burn.max(from + 1);
        let mut theta = Theta::fit(&off, burn, c.horizon, warm.and_then(|w| w.theta.as_ref()));
        let mut window = Window::fit(&off, burn, c.horizon, warm.and_then(|w| w.window.as_ref()));
        (l.theta, l.window) = (Some(theta), Some(window));
        (theta, window) = (theta.anew(), window.anew());
        let mut rolled = [(); 2].map(|()| Array2::zeros((c.rows(), c.ahead.len())));
        for o in 0..=c.y.len() {
            if let Some(r) = o.checked_sub(c.burn).filter(|_| o > 0) {
                for (k, h) in c.ahead.iter().enumerate() {
                    let base = l.base(o, *h);
                    rolled[0][[r, k]] = base + theta.ahead(*h);
                    rolled[1][[r, k]] = base + window.level();
                }
            }
            if let Some(v) = off.get(o) {
                theta.take(*v);
                window.take(*v);
            }
        }
        let [theta, window] = rolled;
        self.enter(Member::Theta, theta);
        self.enter(Member::Window, window);
    }

    /// The members that are regressions; the direct one sees the first `views` members' forecasts.
    fn regress(&mut self, c: &Class, views: usize, warm: Option<&Learnt>) {
        let lessons = autoregression::Lessons {
            y: c.y,
            seen: c.seen,
            burn: c.burn,
            seasons: c.seasons,
            recency: c.recency,
        };
        let before = warm.and_then(|w| w.autoregression.as_deref());
        if let Some(a) = Autoregression::fit(&lessons, c.horizon, before) {
            self.enter(Member::Autoregression, a.rolled(c.y, c.burn, c.ahead));
            self.learnt.autoregression = Some(Box::new(a.all));
        }
        let sights = Sights {
            trail: &self.learnt.trail,
            seen: c.seen,
            y: c.y,
            burn: c.burn,
            smoothers: &self.rolled[..views],
            ahead: c.ahead,
            recency: c.recency,
        };
        if let Some(d) = Direct::fit(&sights, warm.and_then(|w| w.direct.as_ref())) {
            let rolled = d.rolled(&sights);
            self.learnt.direct = Some(d.all);
            self.enter(Member::Direct, rolled);
        }
    }
}

impl Class<'_> {
    fn lessons<'a>(&'a self, periods: &'a [usize]) -> Lessons<'a> {
        Lessons {
            y: self.y,
            seen: self.seen,
            periods,
            burn: self.burn,
            horizon: self.horizon,
        }
    }

    fn rows(&self) -> usize {
        self.y.len() - self.burn + 1
    }

    /// The smoothers, fitted; nothing else yet.
    fn smoothed(&self, trail: Trail, warm: Option<&Learnt>) -> Learnt {
        let fit = |periods: &[usize], warm: Option<&Smoother>| {
            smoothing::fit(&self.lessons(periods), warm.map(|s| &s.params))
        };
        let level = warm.and_then(|w| w.level.as_ref());
        Learnt {
            season: trail.position(self.seasons.last()),
            level: (!self.seasons.is_empty()).then(|| fit(&[], level)),
            ..Learnt::of(fit(self.seasons, warm.map(|w| &w.smooth)), trail)
        }
    }
}

impl Learnt {
    /// A smoother alone.
    pub fn of(smooth: Smoother, trail: Trail) -> Self {
        Learnt {
            smooth,
            level: None,
            theta: None,
            window: None,
            autoregression: None,
            direct: None,
            trail,
            season: None,
        }
    }

    fn longest(&self) -> Option<usize> {
        self.trail.periods().checked_sub(1)
    }

    /// What is usual where point `o + h − 1` lies in the longest season found; zero without one or before its second.
    fn base(&self, o: usize, h: usize) -> f64 {
        self.trail.base(o, h, self.season).unwrap_or(0.0)
    }

    /// How far value `v` of point `s` lies from what was usual there; `None` before the second season.
    fn off(&self, s: usize, v: f64) -> Option<f64> {
        Some(v - self.trail.base(s, 1, self.season)?)
    }

    /// Takes one more point in, where `None` is a gap in which `foretold` was expected.
    pub fn take(&mut self, value: Option<f64>, foretold: f64) {
        let off = value.and_then(|v| self.off(self.trail.taken(), v));
        if let Some(t) = &mut self.theta {
            t.take(off);
        }
        if let Some(w) = &mut self.window {
            w.take(off);
        }
        self.trail.push(value.unwrap_or_else(|| foretold.max(0.0)));
        self.smooth.state.take(&self.smooth.params, value);
        if let Some(l) = &mut self.level {
            l.state.take(&l.params, value);
        }
    }

    /// Forgets what no forecast up to `horizon` points ahead looks at.
    pub fn forget(&mut self, horizon: usize) {
        self.trail.forget(horizon, LAGS);
    }

    /// Each member's forecast from where the models stand.
    pub fn paths(&self, members: &[Member], horizon: usize) -> Vec<Array1<f64>> {
        let o = self.trail.taken();
        let smooth = Array1::from(self.smooth.path(horizon));
        let level = self.level.as_ref().map(|l| Array1::from(l.path(horizon)));
        let views: Vec<ArrayView1<f64>> = std::iter::once(smooth.view())
            .chain(level.iter().map(|l| l.view()))
            .collect();
        let each = |f: &dyn Fn(usize) -> f64| (1..=horizon).map(f).collect::<Array1<f64>>();
        let path = |member: &Member| -> Option<Array1<f64>> {
            Some(match member {
                Member::Smoothing => smooth.clone(),
                Member::Level => level.clone()?,
                Member::Naive => each(&|h| self.trail.naive(o, h, self.season)),
                Member::Custom => each(&|h| self.trail.naive(o, h, self.longest())),
                Member::Usual => each(&|h| self.trail.usual(o, h)),
                Member::Theta => {
                    let t = self.theta.as_ref()?;
                    each(&|h| self.base(o, h) + t.ahead(h))
                }
                Member::Window => {
                    let level = self.window.as_ref()?.level();
                    each(&|h| self.base(o, h) + level)
                }
                Member::Autoregression => {
                    Array1::from(self.autoregression.as_ref()?.path(&self.trail, o, horizon))
                }
                Member::Direct => {
                    Array1::from(self.direct.as_ref()?.path(&self.trail, o, &views, horizon))
                }
            })
        };
        let paths = members.iter().map(path);
        paths.map(|p| p.unwrap_or_else(|| smooth.clone())).collect()
    }
}

/// Horizons that are learnt: close ones each, far ones ever wider apart; between them what was learnt is interpolated.
fn ahead(horizon: usize) -> Vec<usize> {
    let mut out = vec![1];
    let mut next = 2;
    while next < horizon {
        out.push(next);
        next = (next + 1).max(next * 3 / 2);
    }
    if horizon > 1 {
        out.push(horizon);
    }
    out
}

/// Weight of each of `rows` origins: a half-life of three and a half of the longest season, or a quarter of the rows.
pub fn recency(rows: usize, seasons: &[usize]) -> Vec<f64> {
    let half = seasons
        .iter()
        .max()
        .map_or(rows as f64 / 2.0, |m| 3.5 * *m as f64)
        .max(20.0);
    (0..rows)
        .map(|r| {
            if rows - r > ORIGINS {
                0.0
            } else {
                0.5f64.powf((rows - r) as f64 / half)
            }
        })
        .collect()
}
