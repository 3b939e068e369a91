//! A coin, and the set of all unspent coins with its running totals. Which coins a block may
//! spend is decided elsewhere (`connect`).

use bitcoin::{Amount, OutPoint, ScriptBuf, TxOut, consensus};
use imbl::OrdMap;

use super::muhash::MuHash;
use super::rules::MAX_SCRIPT_BYTES;

/// An unspent output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coin {
    /// Value and script.
    pub output: TxOut,
    /// Height of the block that created it.
    pub height: u32,
    /// Whether a coinbase created it.
    pub coinbase: bool,
}

/// Whether an output can never be spent, and so is never a coin.
pub fn is_unspendable(script: &ScriptBuf) -> bool {
    script.is_op_return() || script.len() > MAX_SCRIPT_BYTES
}

/// What a block does to the coin set, net: coins both created and spent in it do not appear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoinChange {
    /// Coins of earlier blocks that it spends.
    pub spent: Vec<(OutPoint, Coin)>,
    /// Coins that it leaves behind.
    pub created: Vec<(OutPoint, Coin)>,
}

/// The unspent coins after the tip. Ordered, so that nothing depends on a hasher; copies share what
/// is equal.
#[derive(Clone, Debug, Default)]
pub struct CoinSet {
    coins: OrdMap<OutPoint, Coin>,
    muhash: MuHash,
    total_sat: u64,
    bogosize: u64,
}

/// Bytes that Bitcoin Core's "bogosize" counts per coin beside its script: txid, index, height
/// and coinbase flag, value, script length.
const BOGOSIZE_FIXED_BYTES: u64 = 32 + 4 + 4 + 8 + 2;

impl CoinSet {
    /// The coin that `outpoint` names, if it is unspent.
    pub fn get(&self, outpoint: &OutPoint) -> Option<&Coin> {
        self.coins.get(outpoint)
    }

    /// How many coins there are.
    pub fn len(&self) -> usize {
        self.coins.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.coins.is_empty()
    }

    /// All coins, by outpoint.
    pub fn iter(&self) -> impl Iterator<Item = (&OutPoint, &Coin)> {
        self.coins.iter()
    }

    /// The sum of all coins.
    pub fn total_amount(&self) -> Amount {
        Amount::from_sat(self.total_sat)
    }

    /// Bitcoin Core's database-independent measure of the set's size.
    pub fn bogosize(&self) -> u64 {
        self.bogosize
    }

    /// The running hash of the set.
    pub fn muhash(&self) -> &MuHash {
        &self.muhash
    }

    /// Does what a valid block does.
    pub fn apply(&mut self, change: &CoinChange) {
        for (outpoint, _) in &change.spent {
            self.remove(outpoint);
        }
        for (outpoint, coin) in &change.created {
            self.insert(*outpoint, coin.clone());
        }
    }

    /// Adds a coin. One that is there already is replaced, in the totals too.
    pub fn insert(&mut self, outpoint: OutPoint, coin: Coin) {
        self.muhash.insert(&coin_bytes(&outpoint, &coin));
        self.total_sat += coin.output.value.to_sat();
        self.bogosize += bogosize(&coin);
        if let Some(old) = self.coins.insert(outpoint, coin) {
            self.forget(&outpoint, &old);
        }
    }

    fn remove(&mut self, outpoint: &OutPoint) {
        if let Some(coin) = self.coins.remove(outpoint) {
            self.forget(outpoint, &coin);
        }
    }

    /// Takes a coin that has left the map out of the totals.
    fn forget(&mut self, outpoint: &OutPoint, coin: &Coin) {
        self.muhash.remove(&coin_bytes(outpoint, coin));
        self.total_sat -= coin.output.value.to_sat();
        self.bogosize -= bogosize(coin);
    }
}

/// A coin as Bitcoin Core serialises it for the set hash.
fn coin_bytes(outpoint: &OutPoint, coin: &Coin) -> Vec<u8> {
    let mut bytes = consensus::serialize(outpoint);
    let code = (coin.height << 1) | u32::from(coin.coinbase);
    bytes.extend_from_slice(&code.to_le_bytes());
    bytes.extend_from_slice(&consensus::serialize(&coin.output));
    bytes
}

fn bogosize(coin: &Coin) -> u64 {
    BOGOSIZE_FIXED_BYTES + coin.output.script_pubkey.len() as u64
}
