//! Scripts in blocks: every soft fork is in force, and a verdict is worked out once.

use bitcoin::absolute::LockTime;
use bitcoin::key::{Keypair, TapTweak};
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::secp256k1::{Message, Secp256k1, SecretKey, ecdsa};
use bitcoin::sighash::{EcdsaSighashType, Prevouts, SighashCache, TapSighashType};
use bitcoin::{Amount, PublicKey, ScriptBuf, Sequence, Transaction, TxOut, Witness, opcodes};

use crate::chain::fixture::{Ledger, anyone, output_of, reworked, spend_to};

/// A ledger with one coin under a script, and a spending of it that is still unsigned.
fn setup(script: ScriptBuf) -> (Ledger, Transaction, TxOut) {
    let (mut ledger, coins) = Ledger::with_mature(1);
    let output = TxOut {
        value: Amount::from_sat(100_000),
        script_pubkey: script,
    };
    let funding = spend_to(&coins, vec![output.clone()]);
    ledger.confirm(vec![funding.clone()]);
    let pay = TxOut {
        value: Amount::from_sat(90_000),
        script_pubkey: anyone(),
    };
    let mut spending = spend_to(&[output_of(&funding, 0)], vec![pay]);
    spending.input[0].witness = Witness::new();
    (ledger, spending, output)
}

/// The bad way to spend is refused, the good one taken.
fn decide(
    script: ScriptBuf,
    bad: impl FnOnce(&mut Transaction, &TxOut),
    good: impl FnOnce(&mut Transaction, &TxOut),
) {
    let (mut ledger, unsigned, output) = setup(script);
    let mut spending = unsigned.clone();
    bad(&mut spending, &output);
    let block = ledger.block(vec![spending]);
    assert_eq!(
        ledger.refusal(&block),
        "mandatory-script-verify-flag-failed"
    );
    let mut spending = unsigned;
    good(&mut spending, &output);
    ledger.confirm(vec![spending]);
}

fn script(bytes: &[u8]) -> ScriptBuf {
    ScriptBuf::from_bytes(bytes.to_vec())
}

#[test]
fn p2sh_runs_the_redeem_script() {
    // Both redeem scripts have the hash that the output names, in their own case.
    let (yes, no) = (script(&[0x51]), script(&[0x00]));
    let (mut ledger, mut spending, _) = setup(no.to_p2sh());
    spending.input[0].script_sig = script(&[1, 0x00]);
    let block = ledger.block(vec![spending]);
    assert_eq!(
        ledger.refusal(&block),
        "mandatory-script-verify-flag-failed"
    );
    let (mut ledger, mut spending, _) = setup(yes.to_p2sh());
    spending.input[0].script_sig = script(&[1, 0x51]);
    ledger.confirm(vec![spending]);
}

fn key() -> (Secp256k1<bitcoin::secp256k1::All>, SecretKey, PublicKey) {
    let secp = Secp256k1::new();
    let secret = SecretKey::from_slice(&[0x42; 32]).unwrap();
    let public = PublicKey::new(secret.public_key(&secp));
    (secp, secret, public)
}

fn legacy_signature(tx: &Transaction, output: &TxOut) -> ecdsa::Signature {
    let (secp, secret, _) = key();
    let hash = SighashCache::new(tx)
        .legacy_signature_hash(0, &output.script_pubkey, EcdsaSighashType::All.to_u32())
        .unwrap();
    secp.sign_ecdsa(&Message::from(hash), &secret)
}

fn script_sig(der: &[u8], public: &PublicKey) -> ScriptBuf {
    let mut signature = PushBytesBuf::try_from(der.to_vec()).unwrap();
    signature
        .push(EcdsaSighashType::All.to_u32() as u8)
        .unwrap();
    Builder::new()
        .push_slice(signature)
        .push_key(public)
        .into_script()
}

#[test]
fn signatures_are_strict_der() {
    let (_, _, public) = key();
    decide(
        ScriptBuf::new_p2pkh(&public.pubkey_hash()),
        |tx, output| {
            let der = legacy_signature(tx, output).serialize_der().to_vec();
            // One more zero before R: the same number, not its shortest form.
            let mut padded = vec![der[0], der[1] + 1, der[2], der[3] + 1, 0];
            padded.extend(&der[4..]);
            tx.input[0].script_sig = script_sig(&padded, &public);
        },
        |tx, output| {
            let der = legacy_signature(tx, output).serialize_der();
            tx.input[0].script_sig = script_sig(&der, &public);
        },
    );
}

#[test]
fn a_signature_of_something_else_is_refused() {
    let (_, _, public) = key();
    decide(
        ScriptBuf::new_p2pkh(&public.pubkey_hash()),
        |tx, output| {
            let der = legacy_signature(tx, output).serialize_der();
            tx.input[0].script_sig = script_sig(&der, &public);
            tx.output[0].value -= Amount::ONE_SAT;
        },
        |tx, output| {
            let der = legacy_signature(tx, output).serialize_der();
            tx.input[0].script_sig = script_sig(&der, &public);
        },
    );
}

#[test]
fn the_dummy_of_checkmultisig_is_empty() {
    // No signature of no key.
    decide(
        script(&[0x00, 0x00, 0xae]),
        |tx, _| tx.input[0].script_sig = script(&[0x51]),
        |tx, _| tx.input[0].script_sig = script(&[0x00]),
    );
}

#[test]
fn checklocktimeverify_is_in_force() {
    let lock = Builder::new()
        .push_int(90)
        .push_opcode(opcodes::all::OP_CLTV)
        .push_opcode(opcodes::all::OP_DROP)
        .push_opcode(opcodes::OP_TRUE)
        .into_script();
    let with = |height: u32| {
        move |tx: &mut Transaction, _: &TxOut| {
            tx.lock_time = LockTime::from_consensus(height);
            tx.input[0].sequence = Sequence::ZERO;
        }
    };
    decide(lock, with(89), with(90));
}

#[test]
fn checksequenceverify_is_in_force() {
    let lock = Builder::new()
        .push_int(1)
        .push_opcode(opcodes::all::OP_CSV)
        .push_opcode(opcodes::all::OP_DROP)
        .push_opcode(opcodes::OP_TRUE)
        .into_script();
    let with = |sequence: u32| {
        move |tx: &mut Transaction, _: &TxOut| {
            tx.input[0].sequence = Sequence::from_consensus(sequence);
        }
    };
    decide(lock, with(0), with(1));
}

#[test]
fn witness_programs_need_their_witness() {
    let inner = script(&[0x51]);
    let bytes = inner.to_bytes();
    decide(
        inner.to_p2wsh(),
        |_, _| (),
        move |tx, _| tx.input[0].witness = Witness::from_slice(&[bytes]),
    );
}

fn taproot_witness(tx: &Transaction, output: &TxOut) -> [u8; 64] {
    let (secp, secret, _) = key();
    let tweaked = Keypair::from_secret_key(&secp, &secret).tap_tweak(&secp, None);
    let hash = SighashCache::new(tx)
        .taproot_key_spend_signature_hash(0, &Prevouts::All(&[output]), TapSighashType::Default)
        .unwrap();
    secp.sign_schnorr_no_aux_rand(&Message::from(hash), &tweaked.to_keypair())
        .serialize()
}

#[test]
fn taproot_signatures_are_verified() {
    let (secp, secret, _) = key();
    let (internal, _) = secret.x_only_public_key(&secp);
    decide(
        ScriptBuf::new_p2tr(&secp, internal, None),
        |tx, output| {
            let mut signature = taproot_witness(tx, output);
            signature[40] ^= 1;
            tx.input[0].witness = Witness::from_slice(&[signature]);
        },
        |tx, output| {
            let signature = taproot_witness(tx, output);
            tx.input[0].witness = Witness::from_slice(&[signature]);
        },
    );
}

fn verified(ledger: &Ledger) -> u64 {
    ledger.chain.script_cache().lock().unwrap().verified_count()
}

#[test]
fn a_verdict_serves_every_block_with_the_same_transaction() {
    let (mut ledger, coins) = Ledger::with_mature(1);
    let before = verified(&ledger);
    let spend = ledger.spend(&coins, 1_000);
    let (left, right) = (ledger.block(vec![spend.clone()]), ledger.block(vec![spend]));
    ledger.accept(&left).unwrap();
    assert_eq!(verified(&ledger), before + 1);
    // A reorganisation to a block with the same transaction verifies nothing again.
    ledger.accept(&right).unwrap();
    let on_right = ledger.block_on(&right.block_hash(), Vec::new());
    ledger.accept(&on_right).unwrap();
    assert_eq!(ledger.chain.tip().hash, on_right.block_hash());
    assert_eq!(verified(&ledger), before + 1);
}

#[test]
fn a_verdict_does_not_serve_other_witnesses() {
    let (mut ledger, coins) = Ledger::with_mature(1);
    let spend = ledger.spend(&coins, 1_000);
    let good = ledger.block(vec![spend]);
    ledger.accept(&good).unwrap();
    // The same txid with a worthless witness, on a branch of its own.
    let parent = good.header.prev_blockhash;
    let rival = ledger.block_on(&parent, good.txdata[1..].to_vec());
    let rival = reworked(rival, |block| {
        block.txdata[1].input[0].witness = Witness::from_slice(&[[0x00]]);
    });
    assert_eq!(
        rival.txdata[1].compute_txid(),
        good.txdata[1].compute_txid()
    );
    ledger.accept(&rival).unwrap();
    let next = ledger.block_on(&rival.block_hash(), Vec::new());
    assert_eq!(ledger.refusal(&next), "bad-prevblk");
    assert_eq!(ledger.chain.tip().hash, good.block_hash());
}
