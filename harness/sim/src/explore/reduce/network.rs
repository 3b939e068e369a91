//! Simpler networks: fewer regions, losses and limits.

use peerlab_link::{Loss, Nanos, PathDelay};

use crate::explore::scenario::{Scenario, region_in};
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
        let used =
            |region: u16| (0..self.node_count() as u32).any(|node| self.region_of(node) == region);
        let used: Vec<bool> = (0..self.regions.len() as u16).map(used).collect();
        let between = |(from, row): (usize, &Vec<PathDelay>)| {
            let there = |to: &usize| used[from] && used[*to];
            (0..row.len()).filter(there).map(|to| row[to].base).max()
        };
        let longest = self
            .paths
            .iter()
            .enumerate()
            .filter_map(between)
            .max()
            .unwrap_or_default();
        let millis = longest.0.div_ceil(1_000_000);
        self.regions = vec![REGION_DEFAULT.into()];
        self.paths = vec![vec![PathDelay {
            base: Nanos::from_millis(millis),
            jitter: Nanos::ZERO,
        }]];
        for group in &mut self.groups {
            let region = region_in(group, 0) as usize;
            let rates = group.access.rates.get(region).copied().unwrap_or_default();
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
