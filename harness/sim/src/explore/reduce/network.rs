//! Simpler networks: fewer regions, losses and limits.

use std::collections::BTreeSet;

use peerlab_link::{Loss, Nanos, PathDelay};

use crate::explore::scenario::{Scenario, regions_of};
use peerlab_core::topology::{
    Access, AccessRates, ETHERNET_FRAMING_BYTES, MTU_DEFAULT, Places, QUEUE_BYTES_DEFAULT,
    REGION_DEFAULT,
};

impl Scenario {
    /// Simpler networks, the simplest first.
    pub fn simpler_networks(&self) -> Vec<Scenario> {
        let simplify: [fn(&mut Scenario); 6] = [
            |it| {
                it.one_latency();
                it.no_losses();
                it.no_limits();
            },
            Scenario::one_latency,
            Scenario::no_losses,
            Scenario::no_limits,
            Scenario::no_jitter,
            |it| {
                it.one_latency();
                it.no_limits();
            },
        ];
        let simpler = |simplify: fn(&mut Scenario)| {
            let mut simpler = self.clone();
            simplify(&mut simpler);
            simpler
        };
        simplify.into_iter().map(simpler).collect()
    }

    /// One region, one delay without jitter: the longest that there is, in whole milliseconds.
    fn one_latency(&mut self) {
        let used: BTreeSet<u16> = self.groups.iter().flat_map(regions_of).copied().collect();
        let base = |from: &u16, to: &u16| self.paths[usize::from(*from)][usize::from(*to)].base;
        let ways = used
            .iter()
            .flat_map(|from| used.iter().map(move |to| base(from, to)));
        let millis = ways.max().unwrap_or_default().0.div_ceil(1_000_000);
        self.regions = vec![REGION_DEFAULT.into()];
        self.paths = vec![vec![PathDelay {
            base: Nanos::from_millis(millis),
            jitter: Nanos::ZERO,
        }]];
        for group in &mut self.groups {
            let region = regions_of(group).first().copied().unwrap_or_default();
            let rates = group.access.rates[usize::from(region)];
            group.access.rates = vec![rates];
            group.regions = Places::Each(vec![0; group.count as usize]);
        }
    }

    fn no_jitter(&mut self) {
        self.paths
            .iter_mut()
            .flatten()
            .for_each(|path| path.jitter = Nanos::ZERO);
    }

    fn no_losses(&mut self) {
        self.groups
            .iter_mut()
            .for_each(|group| group.loss = Loss::None);
    }

    fn no_limits(&mut self) {
        (self.mtu, self.framing_bytes) = (MTU_DEFAULT, ETHERNET_FRAMING_BYTES);
        self.filler_bytes = 0;
        for group in &mut self.groups {
            group.access = Access {
                rates: vec![AccessRates::default(); self.regions.len()],
                queue_bytes: QUEUE_BYTES_DEFAULT,
            };
            (group.cpu_millis, group.memory_bytes) = (None, None);
        }
    }
}
