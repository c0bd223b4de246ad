//! What allocations and nodes use now.

use crate::clients::null_default;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AllocStats {
    #[serde(deserialize_with = "null_default")]
    pub resource_usage: ResourceUsage,
    #[serde(deserialize_with = "null_default")]
    pub tasks: BTreeMap<String, TaskUsage>,
    /// Nanoseconds since the epoch: when it was measured, some time ago on a quiet node.
    pub timestamp: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskUsage {
    #[serde(deserialize_with = "null_default")]
    pub resource_usage: ResourceUsage,
    pub timestamp: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ResourceUsage {
    #[serde(deserialize_with = "null_default")]
    pub cpu_stats: CpuStats,
    #[serde(deserialize_with = "null_default")]
    pub memory_stats: MemoryStats,
}

impl ResourceUsage {
    /// Bytes held, from what the driver measures: raw_exec gives RSS, cgroup drivers `Usage`.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_stats.usage.max(self.memory_stats.rss)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CpuStats {
    /// Of one core; may be over 100.
    pub percent: f64,
    /// MHz, Nomad's unit.
    pub total_ticks: f64,
    pub throttled_periods: u64,
    /// Nanoseconds.
    pub throttled_time: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MemoryStats {
    /// Bytes.
    #[serde(rename = "RSS")]
    pub rss: u64,
    pub usage: u64,
    pub max_usage: u64,
}

/// A node's machine.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostStats {
    #[serde(rename = "CPUTicksConsumed")]
    pub cpu_ticks_consumed: f64,
    #[serde(rename = "CPU", deserialize_with = "null_default")]
    pub cpu: Vec<CoreStats>,
    #[serde(deserialize_with = "null_default")]
    pub memory: HostMemory,
    #[serde(deserialize_with = "null_default")]
    pub alloc_dir_stats: DiskStats,
    /// Nanoseconds since the epoch.
    pub timestamp: i64,
    /// Seconds.
    pub uptime: u64,
}

/// Percentages of one core.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CoreStats {
    pub user: f64,
    pub system: f64,
    pub idle: f64,
}

/// Bytes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostMemory {
    pub total: u64,
    pub available: u64,
    pub used: u64,
    pub free: u64,
}

/// Bytes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DiskStats {
    pub size: u64,
    pub used: u64,
    pub available: u64,
}
