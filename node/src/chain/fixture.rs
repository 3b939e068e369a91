//! For tests, here and (by the feature `fixture`) of what is built on this library: a ledger with a
//! clock of its own, blocks and spendings made to measure.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use bitcoin::absolute::LockTime;
use bitcoin::{
    Amount, Block, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
    transaction,
};

use super::memory_store::MemoryStore;
use super::store::Store;
use super::template::{BlockTemplate, commit_to_body, commit_to_transactions, mine};
use super::{BlockAccepted, BlockError, Chain};

/// When tests begin: a while after regtest's genesis (2011).
pub const START_SECS: u32 = 1_600_000_000;

/// Seconds between the blocks of tests.
pub const SPACING_SECS: u32 = 600;

/// A witness script that allows any spending.
pub fn anyone_script() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51])
}

/// An output script that anyone may spend, by a witness of the script alone.
pub fn anyone() -> ScriptBuf {
    anyone_script().to_p2wsh()
}

/// A chain in memory, or in any store, with a clock.
pub struct Ledger {
    /// The chain.
    pub chain: Chain,
    /// Its clock, seconds since the Unix epoch.
    pub now: u32,
    /// Counts the blocks made, so that no two are alike.
    pub extra_nonce: u64,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger::new()
    }
}

impl Ledger {
    /// Genesis alone.
    pub fn new() -> Ledger {
        Ledger::in_store(Box::new(MemoryStore::default()))
    }

    /// What a store holds.
    pub fn in_store(store: Box<dyn Store>) -> Ledger {
        let (chain, report) = Chain::open(store).unwrap();
        assert_eq!(report.damage, []);
        Ledger {
            chain,
            now: START_SECS,
            extra_nonce: 0,
        }
    }

    /// A ledger with `count` mature coinbase outputs, oldest first.
    pub fn with_mature(count: u32) -> (Ledger, Vec<OutPoint>) {
        let mut ledger = Ledger::new();
        ledger.mine(count + 99);
        let coins = (1..=count)
            .map(|height| ledger.coinbase_at(height))
            .collect();
        (ledger, coins)
    }

    /// The first output of the coinbase of the active block at a height.
    pub fn coinbase_at(&self, height: u32) -> OutPoint {
        let hash = self.chain.hash_at(height).unwrap();
        let block = self.chain.block(&hash).unwrap().unwrap();
        OutPoint {
            txid: block.txdata[0].compute_txid(),
            vout: 0,
        }
    }

    /// A good block on a known parent, paying to anyone, its time one spacing after the parent's.
    pub fn block_on(&mut self, parent: &BlockHash, transactions: Vec<Transaction>) -> Block {
        self.extra_nonce += 1;
        let mut template = BlockTemplate::empty(anyone(), self.extra_nonce);
        template.transactions = transactions.into_iter().map(Arc::new).collect();
        let entry = self.chain.entry(parent).unwrap();
        let median_time = self.chain.median_time_past(parent);
        let time = (entry.header.time + SPACING_SECS).max(START_SECS);
        let mut block = template.assemble_on(entry, median_time, time);
        assert!(mine(&mut block));
        block
    }

    /// A good block on the tip.
    pub fn block(&mut self, transactions: Vec<Transaction>) -> Block {
        let tip = self.chain.tip().hash;
        self.block_on(&tip, transactions)
    }

    /// Offers a block; the clock stands at the block's time.
    pub fn accept(&mut self, block: &Block) -> Result<BlockAccepted, BlockError> {
        self.now = self.now.max(block.header.time);
        self.chain.accept_block(self.now, Arc::new(block.clone()))
    }

    /// All bodies but that of genesis, lowest first.
    pub fn bodies(&self) -> Vec<Block> {
        let mut entries: Vec<_> = self
            .chain
            .entries()
            .filter(|entry| entry.height > 0 && entry.status.has_body())
            .map(|entry| (entry.height, entry.hash))
            .collect();
        entries.sort_unstable();
        entries
            .iter()
            .map(|(_, hash)| Block::clone(&self.chain.block(hash).unwrap().unwrap()))
            .collect()
    }

    /// Mines empty blocks on the tip.
    pub fn mine(&mut self, count: u32) {
        for _ in 0..count {
            let block = self.block(Vec::new());
            self.accept(&block).unwrap();
        }
    }

    /// Mines a block of these transactions on the tip.
    pub fn confirm(&mut self, transactions: Vec<Transaction>) -> Block {
        let block = self.block(transactions);
        self.accept(&block).unwrap();
        block
    }

    /// The reason for which a block is refused.
    pub fn refusal(&mut self, block: &Block) -> String {
        let before = (self.chain.tip().hash, self.chain.utxo_stats());
        let error = self.accept(block).expect_err("the block is faulty");
        let after = (self.chain.tip().hash, self.chain.utxo_stats());
        assert_eq!(before, after, "a refused block changed the ledger");
        error.reason().into_owned()
    }

    /// A spending of coins that anyone may spend, all to one output, less the fee.
    pub fn spend(&self, coins: &[OutPoint], fee: u64) -> Transaction {
        let total: u64 = coins
            .iter()
            .map(|coin| self.chain.coin(coin).unwrap().output.value.to_sat())
            .sum();
        spend_to(
            coins,
            vec![TxOut {
                value: Amount::from_sat(total - fee),
                script_pubkey: anyone(),
            }],
        )
    }
}

/// A spending of coins that anyone may spend.
pub fn spend_to(coins: &[OutPoint], output: Vec<TxOut>) -> Transaction {
    let script = anyone_script();
    Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: coins
            .iter()
            .map(|coin| TxIn {
                previous_output: *coin,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::MAX,
                witness: Witness::from_slice(&[script.as_bytes()]),
            })
            .collect(),
        output,
    }
}

/// The outpoint of a transaction's output.
pub fn output_of(tx: &Transaction, vout: u32) -> OutPoint {
    OutPoint {
        txid: tx.compute_txid(),
        vout,
    }
}

/// Changes a block and makes commitment, merkle root and work good again.
pub fn reworked(mut block: Block, change: impl FnOnce(&mut Block)) -> Block {
    change(&mut block);
    commit_to_body(&mut block);
    assert!(mine(&mut block));
    block
}

/// Changes a block and makes merkle root and work good again, but not the witness commitment.
pub fn reworked_without_commitment(mut block: Block, change: impl FnOnce(&mut Block)) -> Block {
    change(&mut block);
    commit_to_transactions(&mut block);
    assert!(mine(&mut block));
    block
}

/// Changes a block's header and makes its work good again.
pub fn remined(mut block: Block, change: impl FnOnce(&mut Block)) -> Block {
    change(&mut block);
    assert!(mine(&mut block));
    block
}
