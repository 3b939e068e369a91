//! What the fuzz targets share. A target is a file of `targets/` with a function `check`, which panics
//! where something is wrong, and says whether the input got past what refuses input: libFuzzer calls it
//! with bytes that it makes up (`ci/fuzz`), and `tests/corpus.rs` with those that are kept in `corpus/`,
//! one folder a target: hand-picked ones, and whatever was once a finding.

pub mod ledger;
pub mod replay;
pub mod scripted;
pub mod tar;

/// Makes the program of a target that libFuzzer drives; nothing without the feature.
#[macro_export]
macro_rules! target {
    () => {
        #[cfg(feature = "libfuzzer")]
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            check(bytes);
        });
    };
}

/// What stands between two parts of an input that is a text, or much of it.
pub const SEPARATOR: &[u8] = b"\n====\n";

/// The parts of an input.
pub fn parts(bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(SEPARATOR.len()).position(|w| w == SEPARATOR) {
        parts.push(&rest[..at]);
        rest = &rest[at + SEPARATOR.len()..];
    }
    parts.push(rest);
    parts
}
