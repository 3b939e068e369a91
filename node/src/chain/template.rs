//! Mining: a block for the tip, and the search for its proof of work. Which transactions it holds
//! is the mempool's choice.

use std::sync::Arc;

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::opcodes::OP_0;
use bitcoin::script::Builder;
use bitcoin::{
    Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Witness,
    transaction,
};

use super::block_check::TxIds;
use super::context_check::{COMMITMENT_BYTES, COMMITMENT_PREFIX, witness_commitment};
use super::core::Chain;
use super::entry::HeaderEntry;
use super::header_check::check_work;
use super::rules::{required_bits, subsidy};

/// Weight kept free for header, transaction count and coinbase (as Bitcoin Core's
/// `-blockreservedweight`).
pub const RESERVED_WEIGHT: u64 = 8_000;

/// Signature operations kept free for the coinbase.
pub const RESERVED_SIGOPS_COST: u64 = 400;

/// The reserved value that the coinbase's witness must hold (BIP141); Bitcoin Core uses zeros too.
const WITNESS_RESERVED: [u8; 32] = [0; 32];

/// The nonces tried at most by one call. Every second hash meets regtest's target, so 64 failures
/// in a row mean that something else is wrong (chance 2^-64).
const MAX_NONCES: u32 = 64;

/// What a miner decides about its block.
#[derive(Clone, Debug)]
pub struct BlockTemplate {
    /// Who gets subsidy and fees.
    pub payout: ScriptBuf,
    /// Put in the coinbase so that two miners with one payout script make different blocks.
    pub extra_nonce: u64,
    /// What else goes in, parents first.
    pub transactions: Vec<Arc<Transaction>>,
    /// The sum of their fees.
    pub fees: Amount,
}

impl BlockTemplate {
    /// A block without transactions but the coinbase.
    pub fn empty(payout: ScriptBuf, extra_nonce: u64) -> BlockTemplate {
        BlockTemplate {
            payout,
            extra_nonce,
            transactions: Vec::new(),
            fees: Amount::ZERO,
        }
    }

    /// The block on the chain's tip, complete but for its proof of work.
    pub fn assemble(&self, chain: &Chain, unix_secs: u32) -> Block {
        let tip = chain.tip();
        self.assemble_on(tip, chain.median_time_past(&tip.hash), unix_secs)
    }

    /// As [`BlockTemplate::assemble`], on any parent.
    pub fn assemble_on(
        &self,
        parent: &HeaderEntry,
        parent_median_time: u32,
        unix_secs: u32,
    ) -> Block {
        let mut txdata = vec![self.coinbase(parent.height + 1)];
        txdata.extend(self.transactions.iter().map(|tx| Transaction::clone(tx)));
        let header = Header {
            version: Version::NO_SOFT_FORK_SIGNALLING,
            prev_blockhash: parent.hash,
            merkle_root: TxMerkleNode::all_zeros(),
            time: unix_secs.max(parent_median_time.saturating_add(1)),
            bits: required_bits(),
            nonce: 0,
        };
        let mut block = Block { header, txdata };
        commit_to_body(&mut block);
        block
    }

    fn coinbase(&self, height: u32) -> Transaction {
        let script_sig = Builder::new()
            .push_int(i64::from(height))
            .push_opcode(OP_0)
            .push_slice(self.extra_nonce.to_le_bytes())
            .into_script();
        let value = subsidy(height) + self.fees;
        Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::null(),
                script_sig,
                sequence: Sequence::MAX,
                witness: Witness::from_slice(&[WITNESS_RESERVED]),
            }],
            output: vec![
                TxOut {
                    value,
                    script_pubkey: self.payout.clone(),
                },
                TxOut {
                    value: Amount::ZERO,
                    script_pubkey: commitment_script(&[0; 32]),
                },
            ],
        }
    }
}

/// Makes a block's coinbase (whose last output is a witness commitment) and header name its body
/// as it now is.
pub fn commit_to_body(block: &mut Block) {
    let commitment = witness_commitment(&TxIds::of(block), &WITNESS_RESERVED);
    if let Some(output) = block.txdata[0].output.last_mut() {
        output.script_pubkey = commitment_script(&commitment);
    }
    commit_to_transactions(block);
}

/// Makes a block's header name its transactions as they now are.
pub fn commit_to_transactions(block: &mut Block) {
    if let Some(root) = block.compute_merkle_root() {
        block.header.merkle_root = root;
    }
}

/// Searches a nonce that meets regtest's target. Returns whether one was found.
pub fn mine(block: &mut Block) -> bool {
    (0..MAX_NONCES).any(|_| {
        if check_work(&block.header, &block.block_hash()).is_ok() {
            return true;
        }
        block.header.nonce = block.header.nonce.wrapping_add(1);
        false
    })
}

fn commitment_script(hash: &[u8; 32]) -> ScriptBuf {
    let mut bytes = Vec::with_capacity(COMMITMENT_BYTES);
    bytes.extend_from_slice(&COMMITMENT_PREFIX);
    bytes.extend_from_slice(hash);
    ScriptBuf::from_bytes(bytes)
}
