//! How much there is to read in a scenario: [`Size`].

use peerlab_link::{Loss, Nanos};

use super::ROUND_TO;
use crate::explore::scenario::Scenario;
use peerlab_core::topology::{
    AccessRates, ETHERNET_FRAMING_BYTES, MTU_DEFAULT, QUEUE_BYTES_DEFAULT,
};

/// How much there is to read; compared from the first figure to the last. Every step of shrinking
/// makes it smaller, which is why shrinking ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Nodes.
    pub nodes: usize,
    /// Faults, outages, blocks and payments.
    pub events: usize,
    /// Expectations.
    pub expectations: usize,
    /// Nodes that faults name, sides of partitions, properties of shapes.
    pub details: usize,
    /// Who knows whom.
    pub acquaintances: usize,
    /// Regions, losses, rates and other limits.
    pub network: usize,
    /// Length of the run.
    pub length: Nanos,
    /// Times that are not whole seconds.
    pub odd_times: usize,
}

impl Scenario {
    /// How much there is to read.
    pub fn size(&self) -> Size {
        Size {
            nodes: self.node_count(),
            events: self.event_count(),
            expectations: self.expect.len(),
            details: self.faults.iter().map(|fault| fault.kind.details()).sum(),
            acquaintances: self.acquaintance_count(),
            network: self.network_size(),
            length: self.phases.end(),
            odd_times: self
                .times()
                .filter(|time| !time.0.is_multiple_of(ROUND_TO.0))
                .count(),
        }
    }

    fn network_size(&self) -> usize {
        let jitters = self
            .paths
            .iter()
            .flatten()
            .filter(|path| path.jitter > Nanos::ZERO)
            .count();
        let of_group = |group: &peerlab_core::topology::Group| {
            let unlimited = |rates: &AccessRates| *rates == AccessRates::default();
            usize::from(group.loss != Loss::None)
                + usize::from(!group.access.rates.iter().all(unlimited))
                + usize::from(group.access.queue_bytes != QUEUE_BYTES_DEFAULT)
                + usize::from(group.cpu_millis.is_some())
                + usize::from(group.memory_bytes.is_some())
        };
        self.regions.len()
            + jitters
            + usize::from(self.filler_bytes != 0)
            + usize::from(self.mtu != MTU_DEFAULT)
            + usize::from(self.framing_bytes != ETHERNET_FRAMING_BYTES)
            + self.groups.iter().map(of_group).sum::<usize>()
    }

    /// Every time in it, once.
    fn times(&self) -> impl Iterator<Item = Nanos> {
        let moments = self
            .blocks
            .iter()
            .chain(&self.payments)
            .map(|moment| moment.at);
        let outages = self
            .outages
            .iter()
            .flat_map(|outages| [outages.start, outages.end]);
        let faults = self
            .faults
            .iter()
            .flat_map(|fault| [Some(fault.start), fault.end]);
        let phases = [self.phases.warmup, self.phases.faults, self.phases.settle];
        moments.chain(outages).chain(faults.flatten()).chain(phases)
    }
}
