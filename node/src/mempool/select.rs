//! Which transactions go into the next block: best fee rate first, where a transaction counts
//! together with its unconfirmed ancestors, and parents come before children.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use bitcoin::{ScriptBuf, Txid};

use super::entry::MempoolEntry;
use super::pool::Mempool;
use crate::chain::Chain;
use crate::chain::is_final;
use crate::chain::rules::MAX_BLOCK_SIGOPS_COST;
use crate::chain::template::{BlockTemplate, RESERVED_SIGOPS_COST, RESERVED_WEIGHT};

/// What a transaction and its ancestors not yet chosen pay together, per weight; ties go to the
/// one that came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Score {
    fee: u64,
    weight: u64,
    sequence: Reverse<u64>,
    txid: Txid,
}

impl Ord for Score {
    fn cmp(&self, other: &Score) -> std::cmp::Ordering {
        let left = u128::from(self.fee) * u128::from(other.weight);
        let right = u128::from(other.fee) * u128::from(self.weight);
        left.cmp(&right)
            .then(self.sequence.cmp(&other.sequence))
            .then(self.txid.cmp(&other.txid))
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Score) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Mempool {
    /// A template for the next block, paying to a script. See [`BlockTemplate::extra_nonce`].
    pub fn template(&self, chain: &Chain, payout: ScriptBuf, extra_nonce: u64) -> BlockTemplate {
        let mut template = BlockTemplate::empty(payout, extra_nonce);
        let mut weight_left = self.block_weight_max - RESERVED_WEIGHT;
        let mut sigops_left = MAX_BLOCK_SIGOPS_COST - RESERVED_SIGOPS_COST;
        let mut chosen = BTreeSet::new();
        let mut heap: BinaryHeap<Score> = self
            .entries
            .values()
            .map(|entry| self.score(entry, &chosen))
            .collect();
        while let Some(score) = heap.pop() {
            let Some(entry) = self.get(&score.txid) else {
                continue;
            };
            if chosen.contains(&entry.txid()) {
                continue;
            }
            // Choosing others changed what its package holds: it goes back with a new score.
            let now = self.score(entry, &chosen);
            if now != score {
                heap.push(now);
                continue;
            }
            let package = self.package(entry, &chosen);
            let sigops = package.iter().map(|entry| entry.sigops_cost).sum::<u64>();
            if now.weight > weight_left || sigops > sigops_left || !all_final(chain, &package) {
                continue;
            }
            weight_left -= now.weight;
            sigops_left -= sigops;
            for entry in &package {
                chosen.insert(entry.txid());
                template.fees += entry.fee;
                template
                    .transactions
                    .push(Arc::clone(entry.tx.transaction()));
            }
            // What depends on them may be worth more now that they are paid for.
            let children = package
                .iter()
                .flat_map(|entry| self.descendants(&entry.txid()));
            let children: BTreeSet<Txid> = children.filter(|txid| !chosen.contains(txid)).collect();
            heap.extend(
                children
                    .iter()
                    .filter_map(|txid| self.get(txid))
                    .map(|entry| self.score(entry, &chosen)),
            );
        }
        template
    }

    fn score(&self, entry: &MempoolEntry, chosen: &BTreeSet<Txid>) -> Score {
        let package = self.package(entry, chosen);
        Score {
            fee: package.iter().map(|entry| entry.fee.to_sat()).sum(),
            weight: package.iter().map(|entry| entry.weight()).sum(),
            sequence: Reverse(entry.sequence),
            txid: entry.txid(),
        }
    }

    /// An entry and its ancestors, but those already chosen; parents first.
    fn package(&self, entry: &MempoolEntry, chosen: &BTreeSet<Txid>) -> Vec<&MempoolEntry> {
        let mut package: Vec<&MempoolEntry> = self
            .ancestors(&entry.txid())
            .iter()
            .chain([&entry.txid()])
            .filter(|txid| !chosen.contains(*txid))
            .filter_map(|txid| self.get(txid))
            .collect();
        package.sort_unstable_by_key(|entry| entry.sequence);
        package
    }
}

/// Locktimes were met when the transactions came in, and stay met while the chain grows; after a
/// reorganisation all are judged again. Looked at once more, since a block that fails is worse
/// than a block with one transaction fewer.
fn all_final(chain: &Chain, package: &[&MempoolEntry]) -> bool {
    let tip = chain.tip();
    let median_time = chain.median_time_past(&tip.hash);
    package
        .iter()
        .all(|entry| is_final(&entry.tx, tip.height + 1, median_time))
}
