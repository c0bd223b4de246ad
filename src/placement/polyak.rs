//! Ascent of a dual towards a total that is known to be near its top: deflected subgradients with Polyak's step.
//!
//! Source: Camerini, Fratta and Maffioli, "On improving relaxation methods by modified gradient techniques" (1975).

/// How an ascent goes.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    /// Part of the old direction that a new one keeps.
    kept: f64,
    /// After so many steps that gained nothing, steps are shorter by this factor ...
    patience: u32,
    shorter: f64,
    /// ... and go on from the best point.
    back: bool,
}

/// For some hundred steps from anywhere.
pub(super) const LONG: Manner = Manner {
    kept: 0.5,
    patience: 5,
    shorter: 0.7,
    back: true,
};
/// For a dozen steps from a good point.
pub(super) const BRIEF: Manner = Manner {
    kept: 0.3,
    patience: 3,
    shorter: 0.6,
    back: false,
};

/// One ascent, and the best point it has seen.
pub(super) struct Polyak {
    pub(super) best: f64,
    pub(super) best_at: Vec<f64>,
    manner: Manner,
    direction: Vec<f64>,
    /// Part of Polyak's step.
    stride: f64,
    idle: u32,
}

impl Polyak {
    pub(super) fn new(at: &[f64], manner: Manner) -> Self {
        Self::with_stride(at, manner, 1.0)
    }

    /// The same with a first step of this part of Polyak's.
    pub(super) fn with_stride(at: &[f64], manner: Manner, stride: f64) -> Self {
        Self {
            best: f64::NEG_INFINITY,
            best_at: at.to_vec(),
            manner,
            direction: vec![0.0; at.len()],
            stride,
            idle: 0,
        }
    }

    /// How long steps are by now, in parts of Polyak's.
    pub(super) fn stride(&self) -> f64 {
        self.stride
    }

    /// Takes note of the value and slope at a point, and moves the point towards `target`, between `floor` and the ceilings. False where
    /// no direction is left to go.
    pub(super) fn step(
        &mut self,
        at: &mut [f64],
        (value, slope): (f64, &[f64]),
        target: f64,
        floor: f64,
        ceilings: &[f64],
    ) -> bool {
        if value > self.best {
            self.best = value;
            self.best_at.copy_from_slice(at);
            self.idle = 0;
        } else {
            self.idle += 1;
        }
        if self.idle == self.manner.patience {
            self.idle = 0;
            self.stride *= self.manner.shorter;
            if self.manner.back {
                at.copy_from_slice(&self.best_at);
            }
        }
        let kept = self.manner.kept;
        let mut length = 0.0;
        for (i, d) in self.direction.iter_mut().enumerate() {
            *d = kept * *d + (1.0 - kept) * slope[i];
            let held = (at[i] <= floor && *d < 0.0) || (at[i] >= ceilings[i] && *d > 0.0);
            length += if held { 0.0 } else { *d * *d };
        }
        if length == 0.0 {
            return false;
        }
        let step = self.stride * (target - value).max(1.0) / length;
        for (i, d) in self.direction.iter().enumerate() {
            at[i] = (at[i] + step * d).clamp(floor, ceilings[i]);
        }
        true
    }
}
