//! Units as newtypes; no bare `f64` crosses rooms.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};

/// A moment, in milliseconds since the Unix epoch. The mind is told the time, it never asks.
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
#[serde(transparent)]
pub struct Moment(pub i64);

/// A length of time in milliseconds. Sums and differences stop at the ends of what can be told: a moment may come from a file.
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
#[serde(transparent)]
pub struct Span(pub i64);

impl Span {
    pub const fn millis(ms: i64) -> Self {
        Self(ms)
    }
    pub const fn secs(s: i64) -> Self {
        Self(s * 1000)
    }
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }
    pub fn times(self, n: i64) -> Self {
        Self(self.0.saturating_mul(n))
    }
}

impl Moment {
    /// How long before `self` the `earlier` moment lies (negative when it lies after).
    pub fn since(self, earlier: Moment) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Moment {
    type Output = Moment;
    fn add(self, span: Span) -> Moment {
        Moment(self.0.saturating_add(span.0))
    }
}
impl Sub<Span> for Moment {
    type Output = Moment;
    fn sub(self, span: Span) -> Moment {
        Moment(self.0.saturating_sub(span.0))
    }
}

/// A share of a service's traffic in basis points: 10,000 is all of it.
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
#[serde(transparent)]
pub struct Share(pub u32);

impl Share {
    pub const NONE: Share = Share(0);
    pub const ALL: Share = Share(10_000);
    pub fn percent(p: u32) -> Self {
        Self(p * 100)
    }
    /// The share as a fraction of one.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(100) {
            write!(f, "{}%", self.0 / 100)
        } else {
            write!(f, "{:.1}%", f64::from(self.0) / 100.0)
        }
    }
}

macro_rules! quantity {
    ($(#[$doc:meta])* $id:ident, $unit:literal, $digits:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $id(pub f64);

        impl Add for $id {
            type Output = $id;
            fn add(self, other: $id) -> $id {
                $id(self.0 + other.0)
            }
        }
        impl Sub for $id {
            type Output = $id;
            fn sub(self, other: $id) -> $id {
                $id(self.0 - other.0)
            }
        }
        impl $id {
            pub fn max(self, other: $id) -> $id {
                $id(self.0.max(other.0))
            }
            pub fn min(self, other: $id) -> $id {
                $id(self.0.min(other.0))
            }
        }
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{:.", $digits, "}", $unit), self.0)
            }
        }
    };
}

quantity!(/// Requests a second.
    Rps, " rps", "1");
quantity!(/// Milliseconds of latency.
    Millis, " ms", "0");
quantity!(/// CPU in MHz, Nomad's unit.
    Mhz, " MHz", "0");
quantity!(/// Memory or disk in MiB, Nomad's unit.
    MiB, " MiB", "0");
quantity!(/// Network bandwidth in Mbit/s.
    Mbps, " Mbit/s", "1");
quantity!(/// Money an hour.
    Price, "/h", "3");
quantity!(/// A probability, 0 to 1.
    Probability, "", "3");
quantity!(/// Core-hours of shadows and standbys.
    CoreHours, " core-h", "2");

/// What an allocation needs or a node has: compute, memory, disk and network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    pub cpu: Mhz,
    pub memory: MiB,
    pub disk: MiB,
    pub network: Mbps,
}

impl Resources {
    pub fn plus(self, o: Resources) -> Resources {
        Resources {
            cpu: self.cpu + o.cpu,
            memory: self.memory + o.memory,
            disk: self.disk + o.disk,
            network: self.network + o.network,
        }
    }
    pub fn minus(self, o: Resources) -> Resources {
        Resources {
            cpu: self.cpu - o.cpu,
            memory: self.memory - o.memory,
            disk: self.disk - o.disk,
            network: self.network - o.network,
        }
    }
    pub fn times(self, n: f64) -> Resources {
        Resources {
            cpu: Mhz(self.cpu.0 * n),
            memory: MiB(self.memory.0 * n),
            disk: MiB(self.disk.0 * n),
            network: Mbps(self.network.0 * n),
        }
    }
    /// How many times `need` fits into `self`. Bandwidth is asked for only where it is kept (`with_network`): a node that does
    /// not fingerprint it keeps no book of it.
    pub fn times_fits(&self, need: &Resources, with_network: bool) -> usize {
        let network = with_network.then_some((self.network.0, need.network.0));
        let dimensions = [
            (self.cpu.0, need.cpu.0),
            (self.memory.0, need.memory.0),
            (self.disk.0, need.disk.0),
        ];
        dimensions
            .into_iter()
            .chain(network)
            .filter(|(_, need)| *need > 0.0)
            .map(|(free, need)| (free / need).max(0.0) as usize)
            .min()
            .unwrap_or(usize::MAX)
    }
}
