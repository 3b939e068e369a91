//! Output descriptors (BIP380) of scripts whose keys are not known: `addr(...)`, `raw(...)`,
//! `pk(...)` and `rawtr(...)`, each with its checksum.

use bitcoin::bech32::Fe32;
use bitcoin::bech32::primitives::checksum::{Checksum, Engine, PackedFe32};
use bitcoin::hex::DisplayHex;
use bitcoin::{Address, Script};

/// Characters that may stand in a descriptor, in the order that the checksum counts them
/// (BIP380).
const INPUT_CHARSET: &[u8; 95] = b"0123456789()[],'/*abcdefgh@:$%{}IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#\"\\ ";
/// BIP380's code.
enum DescriptorCode {}

impl Checksum for DescriptorCode {
    type MidstateRepr = u64;
    const CODE_LENGTH: usize = 32_767;
    const CHECKSUM_LENGTH: usize = 8;
    const GENERATOR_SH: [u64; 5] = [
        0xf5_dee5_1989,
        0xa9_fdca_3312,
        0x1b_ab10_e32d,
        0x37_06b1_677a,
        0x64_4d62_6ffd,
    ];
    const TARGET_RESIDUE: u64 = 1;
}

/// The descriptor that says most of this script without its keys.
pub fn infer(script: &Script, address: Option<&Address>) -> String {
    let bytes = script.as_bytes();
    let body = if let Some(key) = bytes
        .strip_prefix(&[0x51, 0x20])
        .filter(|_| script.is_p2tr())
    {
        format!("rawtr({})", key.to_lower_hex_string())
    } else if let Some(key) = script.p2pk_public_key() {
        format!("pk({key})")
    } else if let Some(address) = address {
        format!("addr({address})")
    } else {
        format!("raw({})", bytes.to_lower_hex_string())
    };
    let sum = checksum(&body);
    format!("{body}#{sum}")
}

/// BIP380's checksum. A character outside its set is left out; none of the above has one.
fn checksum(descriptor: &str) -> String {
    let place = |c: u8| INPUT_CHARSET.iter().position(|known| *known == c);
    let places: Vec<usize> = descriptor.bytes().filter_map(place).collect();
    let mut engine = Engine::<DescriptorCode>::new();
    for three in places.chunks(3) {
        let class = three.iter().fold(0, |class, place| class * 3 + place / 32);
        for symbol in three.iter().map(|place| place % 32).chain([class]) {
            // Of 32, and so a symbol.
            if let Ok(symbol) = Fe32::try_from(symbol as u8) {
                engine.input_fe(symbol);
            }
        }
    }
    engine.input_target_residue();
    (0..DescriptorCode::CHECKSUM_LENGTH)
        .rev()
        .filter_map(|i| Fe32::try_from(engine.residue().unpack(i)).ok())
        .map(Fe32::to_char)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_bip380_s_example() {
        DescriptorCode::sanity_check();
        assert_eq!(checksum("raw(deadbeef)"), "89f8spxm");
    }

    #[test]
    fn scripts_without_an_address_are_raw() {
        let script = bitcoin::ScriptBuf::from_hex("deadbeef").unwrap();
        assert_eq!(infer(&script, None), "raw(deadbeef)#89f8spxm");
    }
}
