//! The journal of the pretend world: what is open, and what explains the targets that stand.

use super::faults::Kind as Trouble;
use super::world::World;
use crate::model::*;

impl World {
    pub(super) fn note(&mut self, step: &Step, epoch: Epoch, state: JournalState) {
        if self.is(|k| *k == Trouble::DiskFull) {
            return;
        }
        self.journal(JournalEntry {
            step: step.clone(),
            epoch,
            state,
            at: self.now,
            note: String::new(),
        });
    }

    /// Steps that the journal left open.
    pub fn open_steps(&self) -> Vec<JournalEntry> {
        let open = self.journal.values().filter(|e| !e.state.is_final());
        open.cloned().collect()
    }

    /// Writes the entry. What has ended goes once it explains no target any more, or a long run would keep every target it wrote.
    pub fn journal(&mut self, entry: JournalEntry) {
        let ended = entry.state.is_final();
        self.journal.insert(entry.step.id.clone(), entry);
        if ended {
            let mut all = std::mem::take(&mut self.journal);
            all.retain(|_, e| !e.state.is_final() || self.explains(&e.step));
            self.journal = all;
        }
    }

    /// Whether the step's plan is that of a target as it stands.
    fn explains(&self, step: &Step) -> bool {
        let Action::SetTarget { target, .. } = &step.action else {
            return false;
        };
        let part = self.part_of(&target.service);
        let now = part.and_then(|part| self.targets[part].as_ref());
        now.is_some_and(|t| t.plan == target.plan)
    }
}
