//! The common past of all nodes, and what may follow on it.

use std::sync::{Arc, OnceLock};

use bitcoin::opcodes::OP_TRUE;
use bitcoin::opcodes::all::OP_NOP;
use bitcoin::{
    Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
    absolute, transaction,
};
use peerlab_node::chain::MemoryStore;
use peerlab_node::chain::{CachedChain, Chain, template};
use peerlab_node::mempool::Mempool;

use crate::world::START;

/// Blocks of the common past whose coinbases can be spent by anyone.
pub const PAST_BLOCKS: u32 = 120;

/// The script that anyone can spend, long enough for the smallest transaction that is relayed.
pub fn anyone() -> ScriptBuf {
    let mut script = vec![OP_NOP.to_u8(); 8];
    script.push(OP_TRUE.to_u8());
    ScriptBuf::from_bytes(script)
}

/// A chain that knows nothing but the genesis block.
pub fn fresh_chain() -> CachedChain {
    Chain::open(Box::new(MemoryStore::default()))
        .unwrap()
        .0
        .into()
}

/// The blocks that every node starts with.
pub fn past() -> &'static [Arc<Block>] {
    static PAST: OnceLock<Vec<Arc<Block>>> = OnceLock::new();
    PAST.get_or_init(|| {
        let mut chain = fresh_chain();
        let begin = START.unix_secs() - 100_000;
        (0..PAST_BLOCKS)
            .map(|n| {
                let block = mine_on(&chain, &Mempool::new(), begin + n, u64::from(n));
                chain.accept_block(begin + n, Arc::clone(&block)).unwrap();
                block
            })
            .collect()
    })
}

/// A block on a chain's tip.
pub fn mine_on(chain: &Chain, mempool: &Mempool, unix_secs: u32, extra_nonce: u64) -> Arc<Block> {
    let mut block = mempool
        .template(chain, anyone(), extra_nonce)
        .assemble(chain, unix_secs);
    assert!(template::mine(&mut block));
    Arc::new(block)
}

/// A chain with the common past.
pub fn chain_with_past() -> CachedChain {
    let mut chain = fresh_chain();
    import_past(&mut chain);
    chain
}

/// Gives a fresh chain the common past.
pub fn import_past(chain: &mut CachedChain) {
    let blocks = past()
        .iter()
        .map(|b| Ok::<_, std::io::Error>(Block::clone(b)));
    chain.import(START.unix_secs(), blocks).unwrap();
}

/// Spends the coinbase of a block of the common past; two variants conflict.
pub fn spend_past(block: usize, variant: u64) -> Arc<Transaction> {
    spend(
        past()[block].txdata[0].compute_txid(),
        Amount::from_int_btc(50),
        variant,
    )
}

/// Spends the first output of a transaction.
pub fn spend(txid: Txid, value: Amount, variant: u64) -> Arc<Transaction> {
    Arc::new(Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint { txid, vout: 0 },
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: value - Amount::from_sat(1_000 + variant),
            script_pubkey: anyone(),
        }],
    })
}
