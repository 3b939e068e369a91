//! A target's corpus, given to it once.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Largest input that is kept, bytes: small ones are read, and are quick.
const INPUT_BYTES_MAX: u64 = 16 << 10;

/// The folder of a target's inputs.
pub fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target)
}

/// Gives a target every file of a folder; the names of those at which it panics, or that are too large to
/// be kept.
///
/// # Errors
/// When the folder cannot be read, or there is nothing in it.
pub fn replay(folder: &Path, check: impl Fn(&[u8])) -> Result<Vec<String>, String> {
    let cannot = |e| format!("{}: {e}", folder.display());
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        files.push(entry.map_err(cannot)?.path());
    }
    files.sort();
    if files.is_empty() {
        return Err(format!("{} is empty", folder.display()));
    }
    let mut failed = Vec::new();
    for file in files {
        let bytes = fs::read(&file).map_err(cannot)?;
        let passed = catch_unwind(AssertUnwindSafe(|| check(&bytes))).is_ok();
        if !passed || bytes.len() as u64 > INPUT_BYTES_MAX {
            failed.push(file.display().to_string());
        }
    }
    Ok(failed)
}
