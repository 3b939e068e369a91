//! Archives that libFuzzer has changed, made such that a reader does not stop at their checksums.

/// A tar is made of these.
const BLOCK: usize = 512;
/// Where a header has the length of what follows it, in octal, and its checksum.
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// Gives every header of a tar the checksum that it must have.
pub fn repaired(bytes: &[u8]) -> Vec<u8> {
    let mut tar = bytes.to_vec();
    tar.resize(bytes.len().next_multiple_of(BLOCK), 0);
    let mut at = 0;
    while at < tar.len() {
        let header = &mut tar[at..at + BLOCK];
        at += BLOCK;
        if header.iter().all(|byte| *byte == 0) {
            continue;
        }
        header[CHECKSUM].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let body = size_of_body(&header[SIZE]).next_multiple_of(BLOCK);
        // One that reaches beyond the end is none to be stepped over.
        if body <= tar.len() - at {
            at += body;
        }
    }
    tar
}

fn size_of_body(field: &[u8]) -> usize {
    let text = String::from_utf8_lossy(field);
    let digits = text.trim_matches(['\0', ' ']);
    let size = usize::from_str_radix(digits, 8).unwrap_or(0);
    size.min(usize::MAX / 2)
}
