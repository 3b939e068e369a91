//! Start-up: the chain is rebuilt from its store and verified against itself; after damage it is
//! built anew from the bodies that are still sound.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bitcoin::{Block, BlockHash};
use imbl::Vector;

use super::coin::CoinSet;
use super::core::Chain;
use super::entry::BlockStatus;
use super::genesis::genesis_hash;
use super::header_check::check_work;
use super::import::ImportError;
use super::ledger::Ledger;
use super::storage::BatchedStorage;
use super::store::{Damage, IndexRecord, Loaded, Store, StoreError};
use super::tree::HeaderTree;

/// What start-up found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// What was not as the node had written it; empty for a sound store.
    pub damage: Vec<Damage>,
    /// Where the damaged file was moved, for inspection.
    pub moved_aside: Option<String>,
    /// Height that the damaged store claimed, if that could be read.
    pub height_before: Option<u32>,
    /// Height now. What lies between must be fetched from peers again, and is by ordinary sync.
    pub height: u32,
    /// After damage: bodies that were still sound and were validated and stored anew.
    pub salvaged_blocks: u64,
    /// After damage: blocks that the index knew and whose bodies are gone; to be fetched again.
    pub lost_blocks: Vec<BlockHash>,
}

impl Chain {
    /// Opens the chain in a store, new or old.
    pub fn open(mut store: Box<dyn Store>) -> Result<(Chain, OpenReport), StoreError> {
        let loaded = store.load()?;
        let mut damage = loaded.damage.clone();
        if damage.is_empty() {
            match restored(&loaded) {
                Ok(ledger) => return Chain::sound(ledger, store),
                Err(what) => damage.push(what),
            }
        }
        rebuild(store, &loaded, damage)
    }

    fn sound(
        ledger: Arc<Ledger>,
        store: Box<dyn Store>,
    ) -> Result<(Chain, OpenReport), StoreError> {
        let mut chain = Chain::stored(ledger, store);
        let height = chain.tip().height;
        // A branch may have been complete, and not yet tried, at a crash.
        chain.activate_best()?;
        chain.settle()?;
        let report = OpenReport {
            height,
            ..OpenReport::default()
        };
        Ok((chain, report))
    }

    fn stored(ledger: Arc<Ledger>, store: Box<dyn Store>) -> Chain {
        Chain::new(ledger, Box::new(BatchedStorage::new(store)), Arc::default())
    }
}

/// The state that a store knew. An error says what does not fit together.
fn restored(loaded: &Loaded) -> Result<Arc<Ledger>, Damage> {
    let mut ledger = Ledger::at_genesis();
    let Some(state) = &loaded.state else {
        let empty = loaded.index.is_empty() && loaded.coins.is_empty();
        return if empty {
            Ok(ledger)
        } else {
            Err(Damage::new("state", "missing"))
        };
    };
    let known = Arc::make_mut(&mut ledger);
    restore_index(&mut known.tree, &loaded.index)?;
    known.set_active(active_path(&known.tree, state.tip)?);
    let mut coins = CoinSet::default();
    for (outpoint, coin) in &loaded.coins {
        coins.insert(*outpoint, coin.clone());
    }
    if coins.len() as u64 != state.coins || !coins.muhash().same_set(&state.muhash) {
        return Err(Damage::new(
            "coins",
            "they are not the set that their hash names",
        ));
    }
    known.coins = coins;
    Ok(ledger)
}

fn restore_index(
    tree: &mut HeaderTree,
    index: &BTreeMap<BlockHash, IndexRecord>,
) -> Result<(), Damage> {
    for (hash, record) in index {
        if record.header.block_hash() != *hash || check_work(&record.header, hash).is_err() {
            return Err(Damage::new("index", format!("no header of block {hash}")));
        }
    }
    let order = parents_first(index);
    if order.len() < index.len() {
        return Err(Damage::new("index", "blocks without their ancestors"));
    }
    for hash in order {
        tree.restore(hash, &index[&hash]);
    }
    Ok(())
}

fn active_path(tree: &HeaderTree, tip: BlockHash) -> Result<Vector<BlockHash>, Damage> {
    let mut active = Vec::new();
    let mut next = tip;
    while next != genesis_hash() {
        let entry = tree
            .get(&next)
            .filter(|entry| entry.status == BlockStatus::Valid);
        let Some(entry) = entry else {
            return Err(Damage::new(
                "index",
                format!("active block {next} is not valid"),
            ));
        };
        active.push(next);
        next = entry.parent();
    }
    active.push(next);
    active.reverse();
    Ok(active.into())
}

/// The blocks that stand on genesis, parents before children.
pub(super) fn parents_first(index: &BTreeMap<BlockHash, IndexRecord>) -> Vec<BlockHash> {
    let mut children: BTreeMap<BlockHash, Vec<BlockHash>> = BTreeMap::new();
    for (hash, record) in index {
        children
            .entry(record.header.prev_blockhash)
            .or_default()
            .push(*hash);
    }
    let mut order = Vec::new();
    let mut ready = vec![genesis_hash()];
    while let Some(parent) = ready.pop() {
        let above = children.remove(&parent).unwrap_or_default();
        order.extend(&above);
        ready.extend(above);
    }
    order
}

/// Builds the chain anew from the sound bodies of a damaged store. They are validated as if they
/// came from a stranger, but for the clock: nothing says what time it is, and they had passed.
fn rebuild(
    mut store: Box<dyn Store>,
    loaded: &Loaded,
    damage: Vec<Damage>,
) -> Result<(Chain, OpenReport), StoreError> {
    let height_before = claimed_height(loaded);
    let salvage = store.start_over()?;
    let mut index = salvage.index;
    index.extend(loaded.index.clone());
    let mut chain = Chain::stored(Ledger::at_genesis(), store);
    // With the headers in place, bodies above a gap can be kept, and only the gap is fetched.
    // A header that does not fit is no loss, since nothing can stand on it.
    for hash in parents_first(&index) {
        let _ = chain.accept_headers(u32::MAX, &[index[&hash].header]);
    }
    let blocks = salvage.bodies.map(Ok::<Block, Infallible>);
    let imported = match chain.import(u32::MAX, blocks) {
        Ok(imported) => imported,
        Err(ImportError::Store(error)) => return Err(error),
        Err(ImportError::Source(never)) => match never {},
    };
    let moved_aside = chain.storage.seal()?;
    let lost_blocks = index
        .iter()
        .filter(|(_, record)| record.status.has_body())
        .map(|(hash, _)| *hash)
        .filter(|hash| {
            !chain
                .entry(hash)
                .is_some_and(|entry| entry.status.has_body())
        })
        .collect();
    let report = OpenReport {
        damage,
        moved_aside,
        height_before,
        height: chain.tip().height,
        salvaged_blocks: imported.new,
        lost_blocks,
    };
    Ok((chain, report))
}

fn claimed_height(loaded: &Loaded) -> Option<u32> {
    let mut next = loaded.state.as_ref()?.tip;
    let mut height = 0;
    while next != genesis_hash() {
        next = loaded.index.get(&next)?.header.prev_blockhash;
        height += 1;
        // Damaged records may lead in a circle.
        if height as usize > loaded.index.len() {
            return None;
        }
    }
    Some(height)
}
