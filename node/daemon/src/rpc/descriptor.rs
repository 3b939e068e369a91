//! Output descriptors (BIP380) of scripts whose keys are not known: `addr(...)`, `raw(...)`,
//! `pk(...)` and `rawtr(...)`, each with its checksum.

use bitcoin::hex::DisplayHex;
use bitcoin::{Address, Script};

/// Characters that may stand in a descriptor, in the order that the checksum counts them
/// (BIP380).
const INPUT_CHARSET: &[u8; 95] = b"0123456789()[],'/*abcdefgh@:$%{}IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#\"\\ ";
/// Characters of the checksum: those of bech32.
const CHECKSUM_CHARSET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// Characters in a checksum.
const CHECKSUM_CHARS: u64 = 8;
/// The generator of the code (BIP380).
const GENERATOR: [u64; 5] = [
    0xf5_dee5_1989,
    0xa9_fdca_3312,
    0x1b_ab10_e32d,
    0x37_06b1_677a,
    0x64_4d62_6ffd,
];

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
    let mut code = 1;
    let mut class = 0;
    let mut in_class = 0;
    for character in descriptor.bytes() {
        let Some(place) = INPUT_CHARSET.iter().position(|c| *c == character) else {
            continue;
        };
        let place = place as u64;
        code = step(code, place & 31);
        class = class * 3 + (place >> 5);
        in_class += 1;
        if in_class == 3 {
            code = step(code, class);
            (class, in_class) = (0, 0);
        }
    }
    if in_class > 0 {
        code = step(code, class);
    }
    for _ in 0..CHECKSUM_CHARS {
        code = step(code, 0);
    }
    code ^= 1;
    (0..CHECKSUM_CHARS)
        .map(|i| code >> (5 * (CHECKSUM_CHARS - 1 - i)) & 31)
        .filter_map(|place| CHECKSUM_CHARSET.get(place as usize))
        .map(|c| char::from(*c))
        .collect()
}

fn step(code: u64, value: u64) -> u64 {
    let top = code >> 35;
    let mut next = (code & 0x7_ffff_ffff) << 5 ^ value;
    for (bit, generator) in GENERATOR.iter().enumerate() {
        if top >> bit & 1 == 1 {
            next ^= generator;
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_bip380_s_example() {
        assert_eq!(checksum("raw(deadbeef)"), "89f8spxm");
    }

    #[test]
    fn scripts_without_an_address_are_raw() {
        let script = bitcoin::ScriptBuf::from_hex("deadbeef").unwrap();
        assert_eq!(infer(&script, None), "raw(deadbeef)#89f8spxm");
    }
}
