//! Chains that share what they have in common do what chains with stores of their own do.

use std::sync::{Arc, Mutex};

use bitcoin::{Block, BlockHash};
use proptest::prelude::*;

use super::trees::{COINS, Plan, build, plans};
use crate::chain::fixture::{Ledger, reworked};
use crate::chain::{
    Batch, BlockAccepted, BlockUndo, CachedChain, Chain, Loaded, MemoryStore, NamedBlock, Salvage,
    SharedChainCache, Store, StoreError,
};

/// Nodes of a story. More than two, so that one finds what another computed in a third's state.
const NODES: usize = 3;

/// One thing that comes to a node.
#[derive(Clone, Debug)]
enum Act {
    /// A header, by place.
    Header(usize),
    /// All headers from one to another.
    Headers(usize, usize),
    /// A block.
    Block(usize),
    /// A block whose body is not the one that its header names.
    Tampered(usize),
    /// A block with its own header that breaks a rule on the tip.
    Invalid(usize),
    /// A block or header, at a clock that is so many hours behind the block's.
    TooEarly(usize, bool, u32),
    /// The node is killed and started again.
    Restart,
}

fn acts(length: usize) -> impl Strategy<Value = Vec<(usize, Act)>> {
    let place = 0..length;
    let act = prop_oneof![
        3 => place.clone().prop_map(Act::Header),
        1 => (place.clone(), place.clone()).prop_map(|(a, b)| Act::Headers(a.min(b), a.max(b))),
        8 => place.clone().prop_map(Act::Block),
        1 => place.clone().prop_map(Act::Tampered),
        1 => place.clone().prop_map(Act::Invalid),
        1 => (place, any::<bool>(), 0..5u32).prop_map(|(p, b, h)| Act::TooEarly(p, b, h)),
        1 => Just(Act::Restart),
    ];
    proptest::collection::vec((0..NODES, act), 0..70)
}

/// A store that outlives the chain in it, with all that a batch tells it.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<(MemoryStore, Batch)>>);

impl Store for Disk {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let kept = &self.0.lock().unwrap().1;
        let coins = kept.coins.iter();
        Ok(Loaded {
            index: kept.index.clone(),
            coins: coins
                .filter_map(|(outpoint, coin)| Some((*outpoint, coin.clone()?)))
                .collect(),
            state: kept.state.clone(),
            damage: Vec::new(),
        })
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let (bodies, kept) = &mut *self.0.lock().unwrap();
        let changes = batch.clone();
        kept.index.extend(changes.index);
        kept.coins.extend(changes.coins);
        kept.state = changes.state.or(kept.state.take());
        bodies.commit(batch)
    }

    fn block(&self, hash: &BlockHash) -> Result<Option<Arc<Block>>, StoreError> {
        self.0.lock().unwrap().0.block(hash)
    }

    fn undo(&self, hash: &BlockHash) -> Result<Option<Arc<BlockUndo>>, StoreError> {
        self.0.lock().unwrap().0.undo(hash)
    }

    fn start_over(&mut self) -> Result<Salvage, StoreError> {
        unreachable!("it is never damaged")
    }

    fn seal(&mut self) -> Result<Option<String>, StoreError> {
        unreachable!("it is never damaged")
    }
}

fn story() -> impl Strategy<Value = (Vec<Plan>, Vec<(usize, Act)>)> {
    plans().prop_flat_map(|(plans, _)| {
        let length = plans.len();
        (Just(plans), acts(length))
    })
}

/// All that can be seen of a chain.
fn view(chain: &Chain) -> String {
    let entries: Vec<_> = chain
        .entries()
        .map(|e| (e.hash, e.height, e.status, e.tx_count, e.is_linked()))
        .collect();
    let active: Vec<_> = (0..).map_while(|height| chain.hash_at(height)).collect();
    let tip = chain.tip().hash;
    let bodies: Vec<_> = chain
        .entries()
        .map(|e| chain.block(&e.hash).unwrap().is_some())
        .collect();
    let wanted: Vec<_> = chain
        .entries()
        .map(|e| chain.wanted_blocks_toward(&e.hash, 9))
        .collect();
    format!(
        "{entries:?} {active:?} {bodies:?} {wanted:?} {:?} {:?} {:?} {:?} {:?}",
        chain.best_header().hash,
        chain.tips(),
        chain.utxo_stats(),
        chain.locator(&tip),
        chain.wanted_blocks(9),
    )
}

fn told<E: std::fmt::Debug>(outcome: Result<BlockAccepted, E>) -> String {
    let hashes = |blocks: Vec<NamedBlock>| -> Vec<_> {
        blocks.iter().map(|block| block.block_hash()).collect()
    };
    match outcome {
        Ok(moved) => format!(
            "{} {:?} {:?} {:?}",
            moved.new,
            hashes(moved.connected),
            hashes(moved.disconnected),
            moved.rejected
        ),
        Err(error) => format!("{error:?}"),
    }
}

/// Gives an act to a chain. What the chain says of it.
fn perform(chain: &mut CachedChain, now: u32, blocks: &[Block], act: &Act) -> String {
    let accept =
        |chain: &mut CachedChain, block: Block| told(chain.accept_block(now, Arc::new(block)));
    match *act {
        Act::Header(at) => format!("{:?}", chain.accept_headers(now, &[blocks[at].header])),
        Act::Headers(from, to) => {
            let headers: Vec<_> = blocks[from..=to].iter().map(|b| b.header).collect();
            format!("{:?}", chain.accept_headers(now, &headers))
        }
        Act::Block(at) => accept(chain, blocks[at].clone()),
        Act::Tampered(at) => {
            let mut block = blocks[at].clone();
            block.txdata[0].input[0].witness.clear();
            accept(chain, block)
        }
        Act::Invalid(at) => {
            let greedy = reworked(blocks[at].clone(), |block| {
                block.txdata[0].output[0].value += bitcoin::Amount::ONE_SAT;
            });
            accept(chain, greedy)
        }
        Act::TooEarly(at, body, hours) => {
            let now = blocks[at].header.time - hours * 3_600;
            if body {
                told(chain.accept_block(now, Arc::new(blocks[at].clone())))
            } else {
                format!("{:?}", chain.accept_headers(now, &[blocks[at].header]))
            }
        }
        // A store in memory forgets all: see below for one that does not.
        Act::Restart => String::new(),
    }
}

/// The blocks of a base, to start from.
fn past(base: &Ledger) -> Vec<Block> {
    let heights = 1..=base.chain.tip().height;
    heights
        .map(|height| base.chain.hash_at(height).unwrap())
        .map(|hash| base.chain.block(&hash).unwrap().unwrap().as_ref().clone())
        .collect()
}

fn import(chain: &mut CachedChain, blocks: &[Block]) {
    let blocks = blocks.iter().cloned().map(Ok::<_, std::io::Error>);
    chain.import(u32::MAX, blocks).unwrap();
}

fn lone(past: &[Block]) -> CachedChain {
    let (chain, _) = Chain::open(Box::new(MemoryStore::default())).unwrap();
    let mut chain = CachedChain::from(chain);
    import(&mut chain, past);
    chain
}

fn shared(past: &[Block], cache: &SharedChainCache) -> CachedChain {
    let mut chain = CachedChain::new(cache);
    import(&mut chain, past);
    chain
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn sharing_changes_nothing_that_can_be_seen((plans, acts) in story()) {
        let (mut base, coins) = Ledger::with_mature(COINS);
        let root = past(&base);
        let (_, blocks) = build(&mut base, &coins, &plans);
        let now = base.now;
        let cache = SharedChainCache::new();
        let first = shared(&root, &cache);
        let mut pairs: Vec<(CachedChain, CachedChain)> =
            (0..NODES).map(|_| (lone(&root), first.fork())).collect();
        for (node, act) in &acts {
            let (alone, shared) = &mut pairs[*node];
            prop_assert_eq!(
                perform(alone, now, &blocks, act),
                perform(shared, now, &blocks, act)
            );
            prop_assert_eq!(view(alone), view(shared));
        }
    }

    #[test]
    fn a_new_start_finds_what_a_store_would_have((plans, acts) in story()) {
        let (mut base, coins) = Ledger::with_mature(COINS);
        let root = past(&base);
        let (_, blocks) = build(&mut base, &coins, &plans);
        let now = base.now;
        let disk = Disk::default();
        let open = || CachedChain::from(Chain::open(Box::new(disk.clone())).unwrap().0);
        let mut stored = open();
        import(&mut stored, &root);
        let mut shared = shared(&root, &SharedChainCache::new());
        for (_, act) in acts.iter().take(25) {
            if matches!(act, Act::Restart) {
                drop(stored);
                stored = open();
                shared = shared.reopened();
                prop_assert_eq!(view(&stored), view(&shared));
            }
            perform(&mut stored, now, &blocks, act);
            perform(&mut shared, now, &blocks, act);
            prop_assert_eq!(view(&stored), view(&shared));
        }
    }
}

#[test]
fn many_chains_compute_a_block_once_and_hold_one_state() {
    let mut base = Ledger::new();
    base.mine(3);
    let cache = SharedChainCache::new();
    let first = shared(&past(&base), &cache);
    let mut chains: Vec<CachedChain> = (0..50).map(|_| first.fork()).collect();
    let block = base.block(Vec::new());
    base.now = block.header.time;
    for chain in chains.iter_mut().step_by(2) {
        chain.accept_headers(base.now, &[block.header]).unwrap();
    }
    for chain in &mut chains {
        let block = Arc::new(block.clone());
        chain.accept_block(base.now, block).unwrap();
    }
    // A header, a block on it, and a block at once.
    assert_eq!(cache.computed_count(), 3);
    let ledger = &chains[0].ledger;
    assert!(chains.iter().all(|c| Arc::ptr_eq(&c.ledger, ledger)));
    assert_eq!(first.tip().height, 3);
}

#[test]
fn the_order_of_rivals_is_forgotten_when_their_strife_is_over() {
    let mut base = Ledger::new();
    base.mine(3);
    let fork = base.chain.tip().hash;
    let rivals = [(); 2].map(|()| base.block_on(&fork, Vec::new()));
    let cache = SharedChainCache::new();
    let mut chains = [(); 2].map(|()| shared(&past(&base), &cache));
    for (chain, order) in chains.iter_mut().zip([[0, 1], [1, 0]]) {
        for at in order {
            let block = Arc::new(rivals[at].clone());
            chain.accept_block(block.header.time, block).unwrap();
        }
    }
    assert_ne!(chains[0].tip().hash, chains[1].tip().hash);
    let coins: Vec<_> = chains.iter().map(|chain| chain.utxo_stats()).collect();
    assert_ne!(coins[0].muhash, coins[1].muhash);
    base.accept(&rivals[0]).unwrap();
    let next = base.block(Vec::new());
    for chain in &mut chains {
        let block = Arc::new(next.clone());
        chain.accept_block(block.header.time, block).unwrap();
    }
    // One has validated both rivals, the other one only: that can be seen, so it stays apart.
    assert_eq!(chains[0].utxo_stats(), chains[1].utxo_stats());
    assert_ne!(chains[0].tips(), chains[1].tips());
}

#[test]
fn a_lie_among_what_is_shared_would_show() {
    let mut base = Ledger::new();
    base.mine(3);
    let block = base.block(Vec::new());
    let cache = SharedChainCache::new();
    let mut chains = [(); 2].map(|()| shared(&past(&base), &cache));
    let mut alone = lone(&past(&base));
    let now = block.header.time;
    perform(
        &mut chains[0],
        now,
        std::slice::from_ref(&block),
        &Act::Block(0),
    );
    perform(
        &mut alone,
        now,
        std::slice::from_ref(&block),
        &Act::Block(0),
    );
    assert_eq!(view(&chains[0]), view(&alone));
    let from = chains[1].ledger.fingerprint;
    let lie = Ok(BlockAccepted::default());
    cache.keep_block_transition(from, block.block_hash(), &chains[1].ledger.clone(), &lie);
    perform(&mut chains[1], now, &[block], &Act::Block(0));
    assert_ne!(view(&chains[1]), view(&alone));
}

#[test]
#[should_panic(expected = "a store of its own")]
fn a_chain_with_a_store_of_its_own_is_not_copied() {
    CachedChain::from(Ledger::new().chain).fork();
}
