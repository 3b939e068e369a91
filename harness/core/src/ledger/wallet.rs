//! The harness' wallet: one fixed key that owns every pre-mined output, and what it signs.
//! The key is public knowledge: this is play money on a private chain.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{Message, Secp256k1, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Amount, CompressedPublicKey, Network, OutPoint, PrivateKey, PubkeyHash, ScriptBuf,
    Sequence, Transaction, TxIn, TxOut, WPubkeyHash, Witness, WitnessProgram, ecdsa,
};
use peerlab_link::NodeId;

/// The wallet's secret key: any number between one and the order of the curve would do.
const SECRET: [u8; 32] = [0x70; 32];
/// Fee of a transaction: 110 virtual bytes at about nine satoshis each.
const FEE: Amount = Amount::from_sat(1_000);

/// One spendable output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coin {
    pub(super) outpoint: OutPoint,
    pub(super) value: Amount,
}

/// A transaction that spends a coin, labelled; `None` where the coin cannot pay for it.
pub(super) fn pay(coin: Coin, label: &[u8]) -> Option<Transaction> {
    let paid = TxOut {
        value: coin.value.checked_sub(FEE)?,
        script_pubkey: ScriptBuf::new_p2wpkh(&nobody(label)),
    };
    Some(spend(coin, vec![paid]))
}

/// How an address is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressForm {
    /// As `bcrt1..`, which only the regtest of Bitcoin itself takes.
    Bech32,
    /// With the version byte 111, which the regtests of Bitcoin, Litecoin and Dogecoin have in common.
    Base58,
}

/// Where the blocks of a node pay to. Nobody can spend it; each node has its own.
pub fn payout_address(node: NodeId, form: AddressForm) -> String {
    let mut label = *b"peerlab payout 0000";
    label[15..19].copy_from_slice(&node.0.to_le_bytes());
    let hash = nobody(&label);
    let address = match form {
        AddressForm::Base58 => {
            let hash = PubkeyHash::from_byte_array(hash.to_byte_array());
            Address::p2pkh(hash, Network::Regtest)
        }
        AddressForm::Bech32 => {
            match WitnessProgram::new(bitcoin::WitnessVersion::V0, hash.as_byte_array()) {
                Ok(program) => Address::from_witness_program(program, Network::Regtest),
                Err(_) => unreachable!("20 bytes are a witness program of version 0"),
            }
        }
    };
    address.to_string()
}

/// What a pre-mined output pays to.
pub(super) fn script() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&public_key().wpubkey_hash())
}

/// Spends one of the wallet's coins, signed.
pub(super) fn spend(coin: Coin, outputs: Vec<TxOut>) -> Transaction {
    let mut tx = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: coin.outpoint,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: outputs,
    };
    let sighash = SighashCache::new(&tx).p2wpkh_signature_hash(
        0,
        &script(),
        coin.value,
        EcdsaSighashType::All,
    );
    let Ok(sighash) = sighash else {
        unreachable!("input 0 exists and the script is P2WPKH");
    };
    let signature = ecdsa::Signature {
        signature: Secp256k1::signing_only().sign_ecdsa(
            &Message::from_digest(sighash.to_byte_array()),
            &secret_key(),
        ),
        sighash_type: EcdsaSighashType::All,
    };
    tx.input[0].witness = Witness::p2wpkh(&signature, &public_key().0);
    tx
}

/// A key hash that nobody has the key of.
fn nobody(label: &[u8]) -> WPubkeyHash {
    let digest = sha256::Hash::hash(label).to_byte_array();
    let mut hash = [0; 20];
    hash.copy_from_slice(&digest[..20]);
    WPubkeyHash::from_byte_array(hash)
}

fn secret_key() -> SecretKey {
    match SecretKey::from_slice(&SECRET) {
        Ok(key) => key,
        Err(_) => unreachable!("the constant is a valid key"),
    }
}

fn public_key() -> CompressedPublicKey {
    let key = PrivateKey::new(secret_key(), Network::Regtest);
    CompressedPublicKey(key.public_key(&Secp256k1::signing_only()).inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_satisfy_the_sighash() {
        let coin = Coin {
            outpoint: OutPoint::null(),
            value: Amount::ONE_BTC,
        };
        let tx = pay(coin, b"somebody").unwrap();
        let sighash = SighashCache::new(&tx)
            .p2wpkh_signature_hash(0, &script(), coin.value, EcdsaSighashType::All)
            .unwrap();
        let signature = ecdsa::Signature::from_slice(tx.input[0].witness.nth(0).unwrap()).unwrap();
        Secp256k1::verification_only()
            .verify_ecdsa(
                &Message::from_digest(sighash.to_byte_array()),
                &signature.signature,
                &public_key().0,
            )
            .unwrap();
    }

    #[test]
    fn every_node_has_its_own_regtest_address() {
        for (form, beginnings) in [
            (AddressForm::Bech32, &["bcrt1q"][..]),
            (AddressForm::Base58, &["m", "n"]),
        ] {
            let a = payout_address(NodeId(0), form);
            assert!(beginnings.iter().any(|it| a.starts_with(it)), "{a}");
            assert_ne!(a, payout_address(NodeId(1), form));
        }
    }

    #[test]
    fn both_forms_pay_to_the_same_key_hash() {
        let scripts = [AddressForm::Bech32, AddressForm::Base58].map(|form| {
            let address: Address<_> = payout_address(NodeId(7), form).parse().unwrap();
            address.assume_checked().script_pubkey()
        });
        let [witness, p2pkh] = &scripts;
        // After `0 PUSH20`, and after `DUP HASH160 PUSH20`.
        assert_eq!(witness.as_bytes()[2..], p2pkh.as_bytes()[3..23]);
    }
}
