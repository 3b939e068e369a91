//! Transactions, amounts and difficulty as Bitcoin Core shows them.

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hex::DisplayHex;
use bitcoin::{Amount, CompactTarget, Transaction, TxIn, TxOut};
use serde_json::{Map, Value, json};

use super::script_json::{script_pubkey, script_sig};

/// Satoshi in a BTC.
const SATS_PER_BTC: f64 = 100_000_000.0;

/// An amount in BTC. Its nearest double prints as the exact decimal.
pub fn btc(amount: Amount) -> Value {
    json!(amount.to_sat() as f64 / SATS_PER_BTC)
}

/// How many times harder than the easiest target of the main network.
pub fn difficulty(target: CompactTarget) -> f64 {
    let bits = target.to_consensus();
    let exponent = (bits >> 24) as i32;
    let mantissa = f64::from(bits & 0x00ff_ffff);
    f64::from(0x0000_ffff) / mantissa * 256f64.powi(29 - exponent)
}

/// Bytes for which fees are paid: a quarter of the weight, rounded up.
pub fn virtual_size(tx: &Transaction) -> u64 {
    tx.weight().to_vbytes_ceil()
}

/// A transaction with all its parts; the caller adds where it was found.
pub fn transaction(tx: &Transaction, with_hex: bool) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("txid".into(), tx.compute_txid().to_string().into());
    shown.insert("hash".into(), tx.compute_wtxid().to_string().into());
    // Unsigned since Core 28.
    shown.insert("version".into(), (tx.version.0 as u32).into());
    shown.insert("size".into(), tx.total_size().into());
    shown.insert("vsize".into(), virtual_size(tx).into());
    shown.insert("weight".into(), tx.weight().to_wu().into());
    shown.insert("locktime".into(), tx.lock_time.to_consensus_u32().into());
    let coinbase = tx.is_coinbase();
    shown.insert(
        "vin".into(),
        tx.input.iter().map(|i| input(i, coinbase)).collect(),
    );
    shown.insert(
        "vout".into(),
        tx.output.iter().enumerate().map(output).collect(),
    );
    if with_hex {
        shown.insert("hex".into(), serialize_hex(tx).into());
    }
    shown
}

fn input(input: &TxIn, coinbase: bool) -> Value {
    let mut shown = Map::new();
    if coinbase {
        shown.insert("coinbase".into(), input.script_sig.to_hex_string().into());
    } else {
        let previous = input.previous_output;
        shown.insert("txid".into(), previous.txid.to_string().into());
        shown.insert("vout".into(), previous.vout.into());
        shown.insert("scriptSig".into(), script_sig(&input.script_sig));
    }
    if !input.witness.is_empty() {
        shown.insert(
            "txinwitness".into(),
            input
                .witness
                .iter()
                .map(DisplayHex::to_lower_hex_string)
                .collect(),
        );
    }
    shown.insert("sequence".into(), input.sequence.to_consensus_u32().into());
    Value::Object(shown)
}

fn output((index, output): (usize, &TxOut)) -> Value {
    json!({
        "value": btc(output.value),
        "n": index,
        "scriptPubKey": script_pubkey(&output.script_pubkey),
    })
}

#[cfg(test)]
mod tests {
    use bitcoin::Network;
    use bitcoin::constants::genesis_block;

    use super::*;

    #[test]
    fn amounts_print_exactly() {
        for (sats, text) in [
            (0, "0.0"),
            (1, "1e-8"),
            (10_000_000, "0.1"),
            (5_000_000_000, "50.0"),
            (2_099_999_997_690_000, "20999999.9769"),
            (2_099_999_997_690_001, "20999999.97690001"),
        ] {
            assert_eq!(btc(Amount::from_sat(sats)).to_string(), text);
        }
    }

    #[test]
    fn difficulty_is_core_s() {
        // Mainnet's easiest, its block 32,256, and regtest's.
        assert_eq!(difficulty(CompactTarget::from_consensus(0x1d00_ffff)), 1.0);
        let first_retarget = difficulty(CompactTarget::from_consensus(0x1d00_d86a));
        assert!((first_retarget - 1.182_899_534_312_841).abs() < 1e-12);
        let regtest = difficulty(CompactTarget::from_consensus(0x207f_ffff));
        assert_eq!(format!("{regtest:.15e}"), "4.656542373906925e-10");
    }

    #[test]
    fn the_genesis_coinbase_is_shown() {
        let block = genesis_block(Network::Regtest);
        let shown = Value::Object(transaction(&block.txdata[0], true));
        assert_eq!(
            shown["txid"],
            "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
        );
        assert_eq!(shown["vsize"], 204);
        assert_eq!(shown["weight"], 816);
        assert_eq!(shown["vin"][0]["sequence"], 0xffff_ffff_u32);
        assert!(shown["vin"][0]["coinbase"].is_string());
        assert!(shown["vin"][0].get("txid").is_none());
        assert_eq!(shown["vout"][0]["value"], 50.0);
        assert_eq!(shown["vout"][0]["scriptPubKey"]["type"], "pubkey");
    }
}
