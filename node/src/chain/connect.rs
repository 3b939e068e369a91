//! Whether a block may follow the tip, judged by the coins it spends, and what it does to them.
//! Bitcoin Core's `ConnectBlock`. Changes nothing: the caller applies the result.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use bitcoin::{Amount, Block, OutPoint, Transaction, TxOut, Txid};

use super::block_check::TxIds;
use super::coin::{Coin, CoinChange, CoinSet, is_unspendable};
use super::error::BlockInvalid;
use super::locktime::sequence_locks_met;
use super::rules::{COINBASE_MATURITY_BLOCKS, MAX_BLOCK_SIGOPS_COST, subsidy};
use super::scripts::{ScriptCache, verify_scripts};

/// Why a transaction may not spend what it names. The reasons are those of Bitcoin Core's
/// `CheckTxInputs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum InputError {
    /// A coinbase output is not yet mature.
    Immature,
    /// A value, or the sum of values, is out of range.
    ValuesOutOfRange,
    /// It pays out more than it takes in.
    BelowOut,
}

impl InputError {
    /// Bitcoin Core's reject reason.
    pub fn reason(self) -> &'static str {
        match self {
            InputError::Immature => "bad-txns-premature-spend-of-coinbase",
            InputError::ValuesOutOfRange => "bad-txns-inputvalues-outofrange",
            InputError::BelowOut => "bad-txns-in-belowout",
        }
    }
}

/// Checks maturity and amounts of a transaction that would be mined at `height`, spending these
/// coins; returns its fee.
pub fn spend_inputs(tx: &Transaction, coins: &[&Coin], height: u32) -> Result<Amount, InputError> {
    let mut total_in = Amount::ZERO;
    for coin in coins {
        if coin.coinbase && height < coin.height.saturating_add(COINBASE_MATURITY_BLOCKS) {
            return Err(InputError::Immature);
        }
        total_in = total_in
            .checked_add(coin.output.value)
            .filter(|sum| *sum <= Amount::MAX_MONEY)
            .ok_or(InputError::ValuesOutOfRange)?;
    }
    // The outputs were checked to sum to at most the maximum.
    let total_out = tx.output.iter().map(|output| output.value).sum::<Amount>();
    total_in.checked_sub(total_out).ok_or(InputError::BelowOut)
}

/// The coins as a block sees them while it is being connected: those of the set, less what it has
/// spent so far, plus what it has created so far.
struct BlockView<'a> {
    base: &'a CoinSet,
    spent: BTreeSet<OutPoint>,
    created: BTreeMap<OutPoint, Coin>,
}

impl BlockView<'_> {
    fn get(&self, outpoint: &OutPoint) -> Option<&Coin> {
        self.created.get(outpoint).or_else(|| {
            self.base
                .get(outpoint)
                .filter(|_| !self.spent.contains(outpoint))
        })
    }

    fn spend(&mut self, outpoint: OutPoint) {
        if self.created.remove(&outpoint).is_none() {
            self.spent.insert(outpoint);
        }
    }

    fn create(&mut self, tx: &Transaction, txid: Txid, height: u32) {
        let coinbase = tx.is_coinbase();
        for (vout, output) in (0u32..).zip(&tx.output) {
            if !is_unspendable(&output.script_pubkey) {
                let coin = Coin {
                    output: output.clone(),
                    height,
                    coinbase,
                };
                self.created.insert(OutPoint { txid, vout }, coin);
            }
        }
    }

    fn into_change(self) -> CoinChange {
        let spent = self
            .spent
            .into_iter()
            .filter_map(|outpoint| Some((outpoint, self.base.get(&outpoint)?.clone())))
            .collect();
        CoinChange {
            spent,
            created: self.created.into_iter().collect(),
        }
    }
}

/// The coins that a block leaves behind, as they were created; for taking it off again.
pub fn created_by(
    block: &Block,
    ids: &TxIds,
    height: u32,
    coins: &CoinSet,
) -> Vec<(OutPoint, Coin)> {
    let base = CoinSet::default();
    let mut view = BlockView {
        base: &base,
        spent: BTreeSet::new(),
        created: BTreeMap::new(),
    };
    for (tx, txid) in block.txdata.iter().zip(&ids.txids) {
        view.create(tx, *txid, height);
    }
    // Those that the block spent itself are not in the set.
    view.created
        .into_iter()
        .filter(|(outpoint, _)| coins.get(outpoint).is_some())
        .collect()
}

/// What surrounds a block that is being connected.
pub struct Place<'a> {
    /// Where it would stand.
    pub height: u32,
    /// Of its parent, the tip.
    pub parent_median_time: u32,
    /// Median time past of the active chain's block at a height.
    pub median_time_at: &'a dyn Fn(u32) -> u32,
    /// Transactions known to be good.
    pub scripts: &'a Mutex<ScriptCache>,
}

/// Judges a block that passed the checks without coins.
pub fn check_connect(
    coins: &CoinSet,
    block: &Block,
    ids: &TxIds,
    place: &Place<'_>,
) -> Result<CoinChange, BlockInvalid> {
    let mut view = BlockView {
        base: coins,
        spent: BTreeSet::new(),
        created: BTreeMap::new(),
    };
    refuse_overwriting(coins, block, ids)?;
    let mut fees = Amount::ZERO;
    let mut sigops = 0u64;
    for (index, tx) in block.txdata.iter().enumerate() {
        let txid = ids.txids[index];
        let name = |error: BlockInvalid| BlockInvalid {
            detail: format!("transaction {txid} {}", error.detail),
            ..error
        };
        if index == 0 {
            sigops += tx.total_sigop_cost(|_| None) as u64;
        } else {
            let spent = gather(&view, tx).map_err(name)?;
            let fee = check_spending(tx, &spent, place).map_err(name)?;
            fees = fees
                .checked_add(fee)
                .filter(|sum| *sum <= Amount::MAX_MONEY)
                .ok_or_else(|| name(BlockInvalid::new("bad-txns-accumulated-fee-outofrange")))?;
            let outputs: Vec<TxOut> = spent.iter().map(|coin| coin.output.clone()).collect();
            sigops += sigop_cost(tx, &outputs);
            if sigops > MAX_BLOCK_SIGOPS_COST {
                return Err(name(BlockInvalid::new("bad-blk-sigops")));
            }
            verify_scripts(place.scripts, tx, ids.wtxids[index], &outputs).map_err(|error| {
                name(BlockInvalid::with(
                    "mandatory-script-verify-flag-failed",
                    error.to_string(),
                ))
            })?;
            tx.input
                .iter()
                .for_each(|input| view.spend(input.previous_output));
        }
        view.create(tx, txid, place.height);
    }
    check_coinbase_value(block, place.height, fees)?;
    Ok(view.into_change())
}

/// BIP30: no transaction may overwrite unspent outputs of an equal one.
fn refuse_overwriting(coins: &CoinSet, block: &Block, ids: &TxIds) -> Result<(), BlockInvalid> {
    for (tx, txid) in block.txdata.iter().zip(&ids.txids) {
        let vouts = 0..tx.output.len() as u32;
        if vouts
            .into_iter()
            .any(|vout| coins.get(&OutPoint { txid: *txid, vout }).is_some())
        {
            return Err(BlockInvalid::with(
                "bad-txns-BIP30",
                format!("transaction {txid}"),
            ));
        }
    }
    Ok(())
}

fn gather<'a>(view: &'a BlockView<'_>, tx: &Transaction) -> Result<Vec<&'a Coin>, BlockInvalid> {
    tx.input
        .iter()
        .map(|input| {
            view.get(&input.previous_output)
                .ok_or_else(|| BlockInvalid::new("bad-txns-inputs-missingorspent"))
        })
        .collect()
}

fn check_spending(
    tx: &Transaction,
    spent: &[&Coin],
    place: &Place<'_>,
) -> Result<Amount, BlockInvalid> {
    let fee =
        spend_inputs(tx, spent, place.height).map_err(|error| BlockInvalid::new(error.reason()))?;
    let heights: Vec<u32> = spent.iter().map(|coin| coin.height).collect();
    let met = sequence_locks_met(
        tx,
        &heights,
        place.height,
        place.parent_median_time,
        place.median_time_at,
    );
    if met {
        Ok(fee)
    } else {
        Err(BlockInvalid::new("bad-txns-nonfinal"))
    }
}

/// The signature operations of a transaction at BIP141's prices, given the outputs that it spends
/// in the order of its inputs.
pub fn sigop_cost(tx: &Transaction, spent: &[TxOut]) -> u64 {
    let by_outpoint: BTreeMap<OutPoint, &TxOut> = tx
        .input
        .iter()
        .map(|input| input.previous_output)
        .zip(spent)
        .collect();
    tx.total_sigop_cost(|outpoint| by_outpoint.get(outpoint).map(|output| (*output).clone())) as u64
}

fn check_coinbase_value(block: &Block, height: u32, fees: Amount) -> Result<(), BlockInvalid> {
    let claimed = block.txdata[0]
        .output
        .iter()
        .map(|output| output.value)
        .sum::<Amount>();
    let allowed = subsidy(height) + fees;
    if claimed > allowed {
        let detail = format!("coinbase pays {claimed}, limit {allowed}");
        return Err(BlockInvalid::with("bad-cb-amount", detail));
    }
    Ok(())
}
