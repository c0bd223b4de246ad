//! The proof that a step may be done, and the right to do it for a while.

use crate::model::{Epoch, Moment, Span};
use serde::{Deserialize, Serialize};
use std::ops::Deref;

/// A thing that the guard let pass. Only this room can make one.
#[derive(Debug)]
pub struct Cleared<T>(T);

impl<T> Cleared<T> {
    pub(super) fn new(thing: T) -> Self {
        Self(thing)
    }
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Cleared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// The right to act: an epoch and a deadline. Not `Clone`: it is lent, never copied.
#[derive(Debug)]
pub struct Lease {
    epoch: Epoch,
    until: Moment,
}

impl Lease {
    pub fn new(epoch: Epoch, until: Moment) -> Self {
        Self { epoch, until }
    }
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
    /// What is left of it; nothing once the deadline has passed.
    pub fn left(&self, now: Moment) -> Option<Span> {
        (now < self.until).then(|| self.until.since(now))
    }
}

/// The laws for what touches production traffic, by number and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Law {
    CapacityBeforeWeight,
    OneEffectThenVerify,
    NoDataNeverAdvances,
    RetreatIsAPlan,
    FailStatic,
    EvidencePerRelease,
    JournalBeforeAct,
    EpochFences,
    BlastRadius,
    HoldKey,
    ActingIsOptIn,
    HealthNonEmpty,
    /// Not a law of the house but the policy's own limit.
    Policy,
    /// Part of the blast radius: so many targets a second.
    WriteBudget,
}

impl Law {
    /// The number under which the handbook lists it; 0 for the policy's own limits.
    pub fn number(self) -> u8 {
        match self {
            Law::Policy => 0,
            Law::WriteBudget => Law::BlastRadius.number(),
            other => other as u8 + 1,
        }
    }
}

impl Law {
    /// Its name in figures.
    pub fn word(self) -> &'static str {
        match self {
            Law::CapacityBeforeWeight => "capacity_before_weight",
            Law::OneEffectThenVerify => "one_effect_then_verify",
            Law::NoDataNeverAdvances => "no_data_never_advances",
            Law::RetreatIsAPlan => "retreat_is_a_plan",
            Law::FailStatic => "fail_static",
            Law::EvidencePerRelease => "evidence_per_release",
            Law::JournalBeforeAct => "journal_before_act",
            Law::EpochFences => "epoch_fences",
            Law::BlastRadius => "blast_radius",
            Law::HoldKey => "hold_key",
            Law::ActingIsOptIn => "acting_is_opt_in",
            Law::HealthNonEmpty => "health_non_empty",
            Law::Policy => "policy",
            Law::WriteBudget => "write_budget",
        }
    }
}

/// A step that must wait, the law that says so, and the sentence for the operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    pub law: Law,
    pub why: String,
}

impl Held {
    pub fn by(law: Law, why: impl Into<String>) -> Self {
        Self {
            law,
            why: why.into(),
        }
    }
}
