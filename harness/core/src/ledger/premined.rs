//! The pre-mined chain: regtest blocks whose coinbases have matured and have been fanned out
//! into as many equal outputs as the experiment needs, in the block file format of Bitcoin Core
//! (what `-loadblock` reads).
//!
//! Layout, for `outputs` outputs in `F` fan-out transactions: blocks 1 to F pay one coinbase
//! each to the wallet, then follow empty blocks until the first coinbase is mature, and from
//! height `F + COINBASE_MATURITY` on come the blocks that hold the fan-out transactions. Without
//! outputs the chain is the genesis block alone.
//!
//! Timestamps are those of the genesis block plus ten minutes a block. They are as old as
//! regtest's genesis block, so that they never depend on the day of the run: a node that tells
//! initial block download by the age of its tip (Bitcoin Core's `-maxtipage`) leaves it with the
//! first block that is mined in the run.

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version as BlockVersion};
use bitcoin::blockdata::script::Builder;
use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::Hash;
use bitcoin::opcodes::OP_0;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, Network, OutPoint, ScriptBuf, Sequence, Transaction,
    TxIn, TxMerkleNode, TxOut, Txid, Witness, constants::genesis_block,
};

use super::wallet::{self, Coin};
use crate::event::Tip;

/// A coinbase can be spent this many blocks later (consensus).
const COINBASE_MATURITY: u32 = 100;
/// Outputs of one fan-out transaction: 62 kB, an easy fit below the 100 kB that nodes relay.
const FAN_OUT_OUTPUTS_MAX: u32 = 2_000;
/// Fan-out transactions in one block: 3.97 of the 4 million weight units.
const FAN_OUTS_PER_BLOCK: u32 = 15;
/// Seconds between two blocks of the chain.
const SPACING_SECS: u32 = 600;
/// Subsidy of regtest blocks up to height 149, and its halving interval (consensus).
const SUBSIDY: Amount = Amount::from_sat(50 * 100_000_000);
const HALVING_INTERVAL: u32 = 150;
/// Fee of a fan-out transaction: more than one satoshi a virtual byte.
const FAN_OUT_FEE: Amount = Amount::from_sat(100_000);
/// Compact form of regtest's target: every other hash is good.
const REGTEST_BITS: u32 = 0x207f_ffff;

/// The chain and what it holds.
#[derive(Clone, Debug)]
pub struct Premined {
    /// The blocks after genesis as a block file: each with magic and length before it.
    pub file: Vec<u8>,
    pub tip: Tip,
    /// Hashes by height, from genesis to the tip.
    pub hashes: Vec<BlockHash>,
    /// The spendable outputs, by number.
    coins: Vec<Coin>,
}

/// How many blocks the pre-mined chain of this many outputs has.
pub fn block_count(outputs: u32) -> u32 {
    if outputs == 0 {
        return 0;
    }
    let fan_outs = outputs.div_ceil(FAN_OUT_OUTPUTS_MAX);
    fan_outs + COINBASE_MATURITY - 1 + fan_outs.div_ceil(FAN_OUTS_PER_BLOCK)
}

impl Premined {
    /// Mines the chain. Some 10 ms for 2,000 outputs.
    pub fn mine(outputs: u32) -> Premined {
        let fan_outs = outputs.div_ceil(FAN_OUT_OUTPUTS_MAX);
        let genesis = genesis_block(Network::Regtest);
        let mut chain = Growing {
            hashes: vec![genesis.block_hash()],
            time: genesis.header.time,
            file: Vec::new(),
        };
        let mut coinbases = Vec::new();
        let mut coins = Vec::new();
        let mut next = 0;
        for height in 1..=block_count(outputs) {
            let mut txs = Vec::new();
            if height >= fan_outs + COINBASE_MATURITY {
                while next < fan_outs && txs.len() < FAN_OUTS_PER_BLOCK as usize {
                    let left = outputs - next * FAN_OUT_OUTPUTS_MAX;
                    let tx = fan_out(coinbases[next as usize], left.min(FAN_OUT_OUTPUTS_MAX));
                    let txid = tx.compute_txid();
                    coins.extend(tx.output.iter().enumerate().map(|(vout, out)| Coin {
                        outpoint: OutPoint::new(txid, vout as u32),
                        value: out.value,
                    }));
                    txs.push(tx);
                    next += 1;
                }
            }
            let coinbase = chain.append(height, txs);
            if height <= fan_outs {
                coinbases.push(Coin {
                    outpoint: OutPoint::new(coinbase, 0),
                    value: subsidy(height),
                });
            }
        }
        let height = (chain.hashes.len() - 1) as u32;
        let hash = chain.hashes[height as usize].to_string();
        Premined {
            file: chain.file,
            tip: Tip { hash, height },
            hashes: chain.hashes,
            coins,
        }
    }

    /// The output of this number, if the chain has it.
    pub(super) fn coin(&self, output: u32) -> Option<Coin> {
        self.coins.get(output as usize).copied()
    }
}

/// The chain as it grows.
struct Growing {
    hashes: Vec<BlockHash>,
    time: u32,
    file: Vec<u8>,
}

impl Growing {
    /// Mines one block on the tip and returns its coinbase's id.
    fn append(&mut self, height: u32, mut txs: Vec<Transaction>) -> Txid {
        txs.insert(0, coinbase(height));
        let mut block = Block {
            header: Header {
                version: BlockVersion::NO_SOFT_FORK_SIGNALLING,
                prev_blockhash: self.hashes[self.hashes.len() - 1],
                merkle_root: TxMerkleNode::all_zeros(),
                time: self.time + SPACING_SECS,
                bits: CompactTarget::from_consensus(REGTEST_BITS),
                nonce: 0,
            },
            txdata: txs,
        };
        commit_to_witnesses(&mut block);
        if let Some(root) = block.compute_merkle_root() {
            block.header.merkle_root = root;
        }
        let target = block.header.target();
        while block.header.validate_pow(target).is_err() {
            block.header.nonce += 1;
        }
        self.time = block.header.time;
        self.hashes.push(block.block_hash());
        let bytes = serialize(&block);
        self.file
            .extend_from_slice(&Network::Regtest.magic().to_bytes());
        self.file
            .extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.file.extend_from_slice(&bytes);
        block.txdata[0].compute_txid()
    }
}

/// What a block of this height may create.
fn subsidy(height: u32) -> Amount {
    Amount::from_sat(SUBSIDY.to_sat() >> (height / HALVING_INTERVAL))
}

/// A coinbase that leaves the fees unclaimed.
fn coinbase(height: u32) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            // BIP34, and a second push: consensus wants at least two bytes.
            script_sig: Builder::new()
                .push_int(i64::from(height))
                .push_opcode(OP_0)
                .into_script(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: subsidy(height),
            script_pubkey: wallet::script(),
        }],
    }
}

/// Splits a mature coinbase into `outputs` equal parts.
fn fan_out(coin: Coin, outputs: u32) -> Transaction {
    let value = (coin.value - FAN_OUT_FEE) / u64::from(outputs);
    let outputs = vec![
        TxOut {
            value,
            script_pubkey: wallet::script(),
        };
        outputs as usize
    ];
    wallet::spend(coin, outputs)
}

/// BIP141: where a transaction carries a witness, the coinbase commits to all of them.
fn commit_to_witnesses(block: &mut Block) {
    if block.txdata.iter().all(|tx| tx.input[0].witness.is_empty()) {
        return;
    }
    let reserved = [0u8; 32];
    block.txdata[0].input[0].witness = Witness::from_slice(&[reserved]);
    let Some(root) = block.witness_root() else {
        return;
    };
    let commitment = Block::compute_witness_commitment(&root, &reserved);
    let mut script = vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
    script.extend_from_slice(commitment.as_byte_array());
    block.txdata[0].output.push(TxOut {
        value: Amount::ZERO,
        script_pubkey: ScriptBuf::from_bytes(script),
    });
}

#[cfg(test)]
mod tests {
    use bitcoin::consensus::deserialize;

    use super::*;

    /// Reads a block file back.
    fn blocks(mut file: &[u8]) -> Vec<Block> {
        let mut blocks = Vec::new();
        while !file.is_empty() {
            assert_eq!(file[..4], Network::Regtest.magic().to_bytes());
            let len = u32::from_le_bytes(file[4..8].try_into().unwrap()) as usize;
            blocks.push(deserialize(&file[8..8 + len]).unwrap());
            file = &file[8 + len..];
        }
        blocks
    }

    #[test]
    fn the_file_is_a_valid_chain_from_genesis() {
        let premined = Premined::mine(2_500);
        let blocks = blocks(&premined.file);
        let mut prev = genesis_block(Network::Regtest).header;
        for (i, block) in blocks.iter().enumerate() {
            let height = i as u64 + 1;
            assert_eq!(block.header.prev_blockhash, prev.block_hash());
            assert!(block.header.time > prev.time);
            block.header.validate_pow(block.header.target()).unwrap();
            assert!(block.check_merkle_root());
            assert!(block.check_witness_commitment());
            if height > 16 {
                // Up to 16 the height is an opcode, which this reader does not take.
                assert_eq!(block.bip34_block_height().unwrap(), height);
            }
            assert!(block.weight().to_wu() <= 4_000_000);
            assert_eq!(premined.hashes[i + 1], block.block_hash());
            prev = block.header;
        }
        assert_eq!(blocks.len() as u32, block_count(2_500));
        assert_eq!(premined.tip.height, blocks.len() as u32);
        assert_eq!(premined.tip.hash, prev.block_hash().to_string());
    }

    #[test]
    fn every_output_exists_and_no_coinbase_is_spent_too_early() {
        let premined = Premined::mine(31_000);
        assert_eq!(premined.coins.len(), 31_000);
        let blocks = blocks(&premined.file);
        let fan_out_height = blocks.iter().position(|b| b.txdata.len() > 1).unwrap() + 1;
        assert!(fan_out_height >= 16 + 100, "coinbase of block 16 is mature");
        let mut seen = std::collections::BTreeSet::new();
        for block in &blocks {
            for tx in &block.txdata[1..] {
                assert!(block.weight().to_wu() <= 4_000_000);
                let txid = tx.compute_txid();
                seen.extend((0..tx.output.len()).map(|v| OutPoint::new(txid, v as u32)));
            }
        }
        assert!(premined.coins.iter().all(|c| seen.contains(&c.outpoint)));
        assert_eq!(seen.len(), 31_000);
    }

    #[test]
    fn the_chain_is_the_same_every_time() {
        assert_eq!(Premined::mine(40).file, Premined::mine(40).file);
    }

    #[test]
    fn without_outputs_the_chain_is_genesis() {
        let premined = Premined::mine(0);
        assert!(premined.file.is_empty());
        assert_eq!(premined.tip.height, 0);
    }
}
