//! Transactions, amounts and difficulty as Bitcoin Core shows them.

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hex::DisplayHex;
use bitcoin::{Amount, CompactTarget, Target, Transaction, TxIn, TxOut};
use serde_json::{Value, json};

use super::context::present;
use super::script_json::{script_pubkey, script_sig};

/// An amount in BTC. Its nearest double prints as the exact decimal.
pub fn btc(amount: Amount) -> Value {
    json!(amount.to_btc())
}

/// How many times harder than the easiest target of the main network.
pub fn difficulty(target: CompactTarget) -> f64 {
    Target::from_compact(target).difficulty_float()
}

/// A transaction with all its parts; the caller adds where it was found.
pub fn transaction(tx: &Transaction, with_hex: bool) -> Value {
    let coinbase = tx.is_coinbase();
    present(json!({
        "txid": tx.compute_txid(),
        "hash": tx.compute_wtxid(),
        // Unsigned since Core 28.
        "version": tx.version.0 as u32,
        "size": tx.total_size(),
        "vsize": tx.vsize(),
        "weight": tx.weight().to_wu(),
        "locktime": tx.lock_time.to_consensus_u32(),
        "vin": tx.input.iter().map(|i| input(i, coinbase)).collect::<Value>(),
        "vout": tx.output.iter().enumerate().map(output).collect::<Value>(),
        "hex": with_hex.then(|| serialize_hex(tx)),
    }))
}

fn input(input: &TxIn, coinbase: bool) -> Value {
    let previous = (!coinbase).then_some(input.previous_output);
    let items = input.witness.iter().map(DisplayHex::to_lower_hex_string);
    present(json!({
        "coinbase": coinbase.then(|| input.script_sig.to_hex_string()),
        "txid": previous.map(|output| output.txid),
        "vout": previous.map(|output| output.vout),
        "scriptSig": (!coinbase).then(|| script_sig(&input.script_sig)),
        "txinwitness": (!input.witness.is_empty()).then(|| items.collect::<Value>()),
        "sequence": input.sequence.to_consensus_u32(),
    }))
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
        let shown = transaction(&block.txdata[0], true);
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
