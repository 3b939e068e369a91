//! Scripts as Bitcoin Core shows them: disassembly, kind, address and descriptor.

use bitcoin::opcodes::all;
use bitcoin::opcodes::{Class, ClassifyContext, Opcode};
use bitcoin::script::{Instruction, PushBytes, read_scriptint_non_minimal};
use bitcoin::{Address, Network, Script};
use serde_json::{Value, json};

use super::context::present;
use super::descriptor;

/// The pay-to-anchor script: version 1, two bytes.
const ANCHOR: [u8; 4] = [0x51, 2, 0x4e, 0x73];

/// `scriptPubKey` of an output: `asm`, `desc`, `hex`, `address` if it has one, `type`.
pub fn script_pubkey(script: &Script) -> Value {
    let address = Address::from_script(script, Network::Regtest).ok();
    present(json!({
        "asm": disassemble(script, false),
        "desc": descriptor::infer(script, address.as_ref()),
        "hex": script.to_hex_string(),
        "type": kind(script),
        "address": address,
    }))
}

/// `scriptSig` of an input: `asm` with signature types, `hex`.
pub fn script_sig(script: &Script) -> Value {
    json!({ "asm": disassemble(script, true), "hex": script.to_hex_string() })
}

/// The kind of an output script, in Bitcoin Core's words.
pub fn kind(script: &Script) -> &'static str {
    if script.is_p2pk() {
        "pubkey"
    } else if script.is_p2pkh() {
        "pubkeyhash"
    } else if script.is_p2sh() {
        "scripthash"
    } else if script.is_p2wpkh() {
        "witness_v0_keyhash"
    } else if script.is_p2wsh() {
        "witness_v0_scripthash"
    } else if script.is_p2tr() {
        "witness_v1_taproot"
    } else if script.as_bytes() == ANCHOR {
        "anchor"
    } else if script.is_witness_program()
        && script.witness_version().is_some_and(|v| v.to_num() > 0)
    {
        "witness_unknown"
    } else if script.is_op_return() && Script::from_bytes(&script.as_bytes()[1..]).is_push_only() {
        "nulldata"
    } else if script.is_multisig() {
        "multisig"
    } else {
        "nonstandard"
    }
}

/// Disassembly. With `signatures`, the type of a signature is shown in words behind it.
pub fn disassemble(script: &Script, signatures: bool) -> String {
    let mut words = Vec::new();
    for instruction in script.instructions() {
        words.push(match instruction {
            Ok(Instruction::PushBytes(bytes)) => show_push(bytes, signatures, script),
            Ok(Instruction::Op(opcode)) => show_opcode(opcode),
            Err(_) => {
                words.push("[error]".to_owned());
                break;
            }
        });
    }
    words.join(" ")
}

fn show_push(bytes: &PushBytes, signatures: bool, script: &Script) -> String {
    let raw = bytes.as_bytes();
    // A number need not be in its shortest form; the value is what counts here.
    if let Ok(number) = read_scriptint_non_minimal(raw) {
        return number.to_string();
    }
    let hex = |bytes: &[u8]| bitcoin::hex::DisplayHex::to_lower_hex_string(bytes);
    if signatures
        && !script.is_op_return()
        && let Ok(signature) = bitcoin::ecdsa::Signature::from_slice(raw)
        && let Some((_, body)) = raw.split_last()
    {
        let kind = signature.sighash_type.to_string().replace("SIGHASH_", "");
        return format!("{}[{kind}]", hex(body));
    }
    hex(raw)
}

fn show_opcode(opcode: Opcode) -> String {
    match opcode.classify(ClassifyContext::TapScript) {
        Class::PushNum(number) => return number.to_string(),
        Class::SuccessOp | Class::ReturnOp if is_unassigned(opcode) => {
            return "OP_UNKNOWN".to_owned();
        }
        _ => {}
    }
    match opcode {
        all::OP_CLTV => "OP_CHECKLOCKTIMEVERIFY".to_owned(),
        all::OP_CSV => "OP_CHECKSEQUENCEVERIFY".to_owned(),
        other => other.to_string(),
    }
}

/// Above the last opcode with a name.
fn is_unassigned(opcode: Opcode) -> bool {
    opcode.to_u8() > all::OP_CHECKSIGADD.to_u8()
}

#[cfg(test)]
mod tests {
    use bitcoin::ScriptBuf;

    use super::*;

    fn script(hex: &str) -> ScriptBuf {
        ScriptBuf::from_hex(hex).unwrap()
    }

    #[test]
    fn disassembly_is_core_s() {
        for (hex, asm) in [
            (
                "76a914000000000000000000000000000000000000000088ac",
                "OP_DUP OP_HASH160 0000000000000000000000000000000000000000 OP_EQUALVERIFY OP_CHECKSIG",
            ),
            ("00", "0"),
            ("4f", "-1"),
            ("51", "1"),
            ("60", "16"),
            ("02e803", "1000"),
            ("0181", "-1"),
            ("0400000080", "0"),
            ("b1b2", "OP_CHECKLOCKTIMEVERIFY OP_CHECKSEQUENCEVERIFY"),
            ("6a", "OP_RETURN"),
            ("fe", "OP_UNKNOWN"),
            ("4c", "[error]"),
            ("5105", "1 [error]"),
        ] {
            assert_eq!(disassemble(&script(hex), false), asm, "{hex}");
        }
    }

    #[test]
    fn kinds_are_told_apart() {
        let zeros = |n: usize| "00".repeat(n);
        for (hex, expected) in [
            (format!("76a914{}88ac", zeros(20)), "pubkeyhash"),
            (format!("a914{}87", zeros(20)), "scripthash"),
            (format!("0014{}", zeros(20)), "witness_v0_keyhash"),
            (format!("0020{}", zeros(32)), "witness_v0_scripthash"),
            (format!("5120{}", zeros(32)), "witness_v1_taproot"),
            ("51024e73".to_owned(), "anchor"),
            ("51024e74".to_owned(), "witness_unknown"),
            (format!("5220{}", zeros(32)), "witness_unknown"),
            (format!("0010{}", zeros(16)), "nonstandard"),
            ("6a0401020304".to_owned(), "nulldata"),
            ("6a".to_owned(), "nulldata"),
            ("6aac".to_owned(), "nonstandard"),
            ("51".to_owned(), "nonstandard"),
            (String::new(), "nonstandard"),
        ] {
            assert_eq!(kind(&script(&hex)), expected, "{hex}");
        }
    }

    #[test]
    fn an_output_with_an_address_shows_it_with_its_descriptor() {
        let shown = script_pubkey(&script("0014751e76e8199196d454941c45d1b3a323f1433bd6"));
        assert_eq!(
            shown,
            serde_json::json!({
                "asm": "0 751e76e8199196d454941c45d1b3a323f1433bd6",
                "desc": "addr(bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080)#8pk5s7ya",
                "hex": "0014751e76e8199196d454941c45d1b3a323f1433bd6",
                "address": "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
                "type": "witness_v0_keyhash",
            })
        );
    }
}
