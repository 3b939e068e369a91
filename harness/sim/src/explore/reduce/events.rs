//! Fewer faults, outages, payments, blocks and expectations.

use super::chosen;
use crate::explore::scenario::{Fault, Scenario};
use peerlab_core::experiment::Expectation;

impl Scenario {
    /// Without any fault or outage: what must hold then. What is expected of faults is left out.
    #[must_use]
    pub fn fault_free_control(&self) -> Scenario {
        let expect = self.expect.iter().filter_map(Expectation::without_faults);
        Scenario {
            expect: expect.collect(),
            faults: Vec::new(),
            outages: Vec::new(),
            ..self.clone()
        }
    }

    /// With one expectation only.
    #[must_use]
    pub fn keep_expectation(&self, index: usize) -> Scenario {
        Scenario {
            expect: self.expect.get(index).cloned().into_iter().collect(),
            ..self.clone()
        }
    }

    /// With these faults only; double spends whose partition is gone go with it.
    #[must_use]
    pub fn keep_faults(&self, kept: &[usize]) -> Scenario {
        let across = |index: &usize| self.faults[*index].kind.across();
        let there = |index: &usize| across(index).is_none_or(|split| kept.contains(&split));
        let kept: Vec<usize> = kept.iter().copied().filter(there).collect();
        let fault = |index: &usize| {
            let mut fault = self.faults[*index].clone();
            if let Some(partition) = fault.kind.across_mut() {
                let place = kept.iter().position(|index| *index == *partition);
                *partition = place.unwrap_or(0);
            }
            fault
        };
        Scenario {
            faults: kept.iter().map(fault).collect(),
            ..self.clone()
        }
    }

    /// With these outages only.
    #[must_use]
    pub fn keep_outages(&self, kept: &[usize]) -> Scenario {
        Scenario {
            outages: kept.iter().map(|index| self.outages[*index]).collect(),
            ..self.clone()
        }
    }

    /// With these payments only.
    #[must_use]
    pub fn keep_payments(&self, kept: &[usize]) -> Scenario {
        Scenario {
            payments: kept.iter().map(|index| self.payments[*index]).collect(),
            ..self.clone()
        }
    }

    /// How many blocks may be left out: all but those that decide.
    pub fn spare_block_count(&self) -> usize {
        let spare = self.blocks.iter().filter(|block| !self.decides(block.at));
        spare.count()
    }

    /// With these only of the blocks that may be left out.
    #[must_use]
    pub fn keep_spare_blocks(&self, kept: &[usize]) -> Scenario {
        let mut keep = chosen(kept);
        let mut smaller = self.clone();
        smaller
            .blocks
            .retain(|block| self.decides(block.at) || keep());
        smaller
    }

    /// The same with one fault changed.
    #[must_use]
    pub fn with_fault(&self, index: usize, change: impl FnOnce(&mut Fault)) -> Scenario {
        let mut smaller = self.clone();
        change(&mut smaller.faults[index]);
        smaller.drop_empty();
        smaller
    }

    /// Drops faults that do nothing any more.
    pub(super) fn drop_empty(&mut self) {
        let numbered = self.faults.iter_mut().enumerate();
        let kept: Vec<usize> = numbered
            .filter_map(|(index, fault)| fault.kind.prune().then_some(index))
            .collect();
        *self = self.keep_faults(&kept);
    }
}
