//! The end of a run: last counters and every live node's account, for as long as there is time; and what comes
//! after it, where the network stays.

use peerlab_link::{Nanos, NodeId};

use super::{Closing, Conductor};
use crate::conduct::io::Order;
use crate::conduct::measuring::Measuring;
use crate::conduct::readiness::Readiness;
use crate::conduct::replacements::Reading;
use crate::event::What;

/// How long the accounts of all nodes may take at the end, and what each node adds to it.
const ACCOUNTS_TIMEOUT: Nanos = Nanos::from_secs(60);
const ACCOUNT_SHARE: Nanos = Nanos::from_millis(200);
/// How long measuring all nodes from inside may take at the end.
const USAGES_TIMEOUT: Nanos = Nanos::from_secs(10);
/// Why nobody knows what became of a workload action.
const NO_ANSWER: &str = "no answer before the run ended";

impl Conductor<'_> {
    /// Whether all was done and told, or there was no more time to tell it.
    pub fn is_over(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| {
            let told = self.accounts_open == 0 && self.counts > closing.counts;
            let measured = self.measuring.open.is_empty() || self.now >= closing.usages_by;
            (told && measured) || self.now >= closing.accounts_by
        })
    }

    /// In the closing phase: how many nodes are done with their account, and of how many.
    pub fn accounted(&self) -> Option<(usize, usize)> {
        let total = self.closing.as_ref()?.accounts;
        Some((total.saturating_sub(self.accounts_open), total))
    }

    /// Writes the last lines: see [`crate::conduct::ended`]. Nothing may be handled afterwards, unless the network
    /// stays.
    pub fn finish(&mut self, t: Nanos, interrupted: Option<bool>) {
        self.sequencer.finish();
        self.by_hand.give_up(NO_ANSWER);
        for node in self.nodes.starting() {
            let reason = self.nodes.why_unready(node);
            self.sequencer.event(t, What::Unanswered { node, reason });
        }
        for action in self.open_actions.take() {
            self.sequencer.event(t, action.missed(NO_ANSWER));
        }
        if let Some(interrupted) = interrupted {
            self.sequencer.event(t, What::Ended { interrupted });
        }
    }

    /// The run is over and its record whole, and the network stays nevertheless: nothing of the plan
    /// happens any more, only what is asked by hand. What comes from now on is no part of that record.
    pub fn stay(&mut self, count_interval: Nanos) {
        self.setup.end = None;
        self.setup.workload = Box::new(std::iter::empty());
        self.setup.count_interval = count_interval;
        self.next_action = None;
        self.next_count = self.now;
        self.accounts_open = 0;
        self.closing = None;
        // Whom nobody waits for any more: a node may come when it likes.
        self.readiness = Readiness::default();
        self.measuring = Measuring::default();
    }

    /// The plan is over: last counters, and every live node's account.
    pub(super) fn close(&mut self) {
        let counts = self.counts;
        // Of those whose program is down as well: what their devices lost is lost.
        self.measure(self.measurable(), true);
        self.count(Reading::Row);
        self.ask_accounts(true);
        let accounts = self.accounts_open;
        let share = Nanos(ACCOUNT_SHARE.0 * accounts as u64);
        self.closing = Some(Closing {
            accounts,
            counts,
            accounts_by: self
                .now
                .saturating_add(ACCOUNTS_TIMEOUT)
                .saturating_add(share),
            usages_by: self.now.saturating_add(USAGES_TIMEOUT),
        });
    }

    /// Has nodes measured from inside, where that can be.
    pub(super) fn measure(&mut self, nodes: Vec<NodeId>, memory: bool) {
        if self.setup.measures_usage {
            for node in &nodes {
                self.measuring.open.ordered(*node);
            }
            self.orders.push_back(Order::MeasureUsage { nodes, memory });
        }
    }

    /// The nodes whose gates can answer. Programs of the host have none that measures.
    pub(super) fn measurable(&self) -> Vec<NodeId> {
        let mut nodes = self.nodes.present();
        nodes.retain(|node| self.membership.is_measurable(*node));
        nodes
    }

    pub(super) fn ask_accounts(&mut self, ledger: bool) {
        let nodes = self.nodes.up();
        self.accounts_open += nodes.len();
        self.orders.push_back(Order::AskAccounts { nodes, ledger });
    }
}
