//! Methods that make or take in blocks.

use std::sync::Arc;

use bitcoin::address::NetworkUnchecked;
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{Address, Block, ScriptBuf, Transaction};
use peerlab_node::chain::template::{BlockTemplate, commit_to_body, mine};
use peerlab_node::chain::{BlockError, BlockStatus};
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::context::{Answer, Context, NETWORK, done};
use super::error::{Code, OrFail, RpcError, fail};

/// Blocks mined by one call, at most: peers wait meanwhile.
pub(super) const BLOCKS_PER_CALL_MAX: u64 = 1_000;

pub(super) fn generatetoaddress(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let count = u64::try_from(arguments.integer(0)?).unwrap_or(0);
    let payout =
        address(arguments.text(1)?).or_fail(Code::InvalidAddressOrKey, "Error: Invalid address")?;
    // Regtest's target is met by every second nonce, so there is nothing to count.
    arguments.integer_or(2, 0)?;
    (count <= BLOCKS_PER_CALL_MAX).or_fail(
        Code::InvalidParameter,
        format!("nblocks may be at most {BLOCKS_PER_CALL_MAX}"),
    )?;
    let mut hashes = Vec::new();
    for offset in 0..count {
        let machine = &mut context.machine;
        let nonce = context.nonce.wrapping_add(offset);
        let template = machine
            .mempool()
            .template(machine.chain(), payout.clone(), nonce);
        let mut block = template.assemble(machine.chain(), context.now.unix_secs());
        search(&mut block)?;
        let hash = block.block_hash();
        machine
            .submit_block(context.now, Arc::new(block))
            .map_err(|error| {
                let message = format!("ProcessNewBlock, block not accepted: {error}");
                RpcError::new(Code::InternalError, message)
            })?;
        hashes.push(hash.to_string());
    }
    done(hashes)
}

pub(super) fn generateblock(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let payout = output(arguments.text(0)?).or_fail(
        Code::InvalidAddressOrKey,
        "Error: Invalid address or descriptor",
    )?;
    let mut template = BlockTemplate::empty(payout, context.nonce);
    for named in arguments.array(1)? {
        template.transactions.push(chosen(context, named)?);
    }
    let submit = arguments.flag_or(2, true)?;
    let chain = context.machine.chain();
    let mut block = template.assemble(chain, context.now.unix_secs());
    commit_to_body(&mut block);
    search(&mut block)?;
    let hash = block.block_hash().to_string();
    if !submit {
        return done(json!({ "hash": hash, "hex": serialize_hex(&block) }));
    }
    context
        .machine
        .submit_block(context.now, Arc::new(block))
        .map_err(|error| {
            RpcError::new(
                Code::Verify,
                format!("TestBlockValidity failed: {}", error.reason()),
            )
        })?;
    done(json!({ "hash": hash }))
}

pub(super) fn submitblock(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let block: Block = arguments.consensus(0, "Block decode failed")?;
    let first = block.txdata.first();
    first.is_some_and(Transaction::is_coinbase).or_fail(
        Code::Deserialization,
        "Block does not start with a coinbase",
    )?;
    let hash = block.block_hash();
    if let Some(entry) = context.machine.chain().entry(&hash) {
        if entry.status.has_body() {
            return done("duplicate");
        }
        if entry.status.is_invalid() {
            return done("duplicate-invalid");
        }
    }
    match context.machine.submit_block(context.now, Arc::new(block)) {
        Ok(()) => match context.machine.chain().entry(&hash).map(|e| e.status) {
            Some(BlockStatus::Valid) => done(Value::Null),
            // Stored, and so far not worth connecting.
            _ => done("inconclusive"),
        },
        Err(BlockError::Store(error)) => fail(Code::Database, error.to_string()),
        Err(error) => done(error.reason().into_owned()),
    }
}

/// A transaction given by id (in the mempool) or whole.
fn chosen(context: &Context<'_>, named: &Value) -> Result<Arc<Transaction>, RpcError> {
    let text = named
        .as_str()
        .or_fail(Code::Type, "JSON value is not a string as expected")?;
    if let Ok(txid) = text.parse() {
        let entry = context.machine.mempool().get(&txid).or_fail(
            Code::InvalidAddressOrKey,
            format!("Transaction {text} not in mempool."),
        )?;
        return Ok(Arc::clone(entry.tx.transaction()));
    }
    deserialize_hex(text).map(Arc::new).or_fail(
        Code::Deserialization,
        format!("Transaction decode failed for {text}. Make sure the tx has at least one input."),
    )
}

/// The script of an address of this network.
fn address(text: &str) -> Option<ScriptBuf> {
    let address: Address<NetworkUnchecked> = text.parse().ok()?;
    let address = address.require_network(NETWORK).ok()?;
    Some(address.script_pubkey())
}

/// The script of an address, or of the descriptors `addr(...)` and `raw(...)`; a checksum may
/// follow and is not looked at.
fn output(text: &str) -> Option<ScriptBuf> {
    let body = text.split('#').next().unwrap_or_default();
    let inner = |name: &str| {
        body.strip_prefix(name)?
            .strip_prefix('(')?
            .strip_suffix(')')
    };
    if let Some(hex) = inner("raw") {
        return ScriptBuf::from_hex(hex).ok();
    }
    address(inner("addr").unwrap_or(body))
}

fn search(block: &mut Block) -> Result<(), RpcError> {
    mine(block).or_fail(
        Code::InternalError,
        "no nonce gives the block a proof of work",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_regtest_are_taken() {
        let script = address("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080");
        assert!(script.is_some_and(|script| script.is_p2wpkh()));
        assert_eq!(address("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"), None);
        assert_eq!(address("nonsense"), None);
    }

    #[test]
    fn outputs_may_be_descriptors() {
        let plain = output("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080");
        assert!(plain.is_some());
        assert_eq!(
            output("addr(bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080)#8pk5s7ya"),
            plain
        );
        assert_eq!(output("raw(51)"), ScriptBuf::from_hex("51").ok());
        assert_eq!(output("raw(zz)"), None);
        assert_eq!(output("wpkh(51)"), None);
    }
}
