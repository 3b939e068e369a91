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
/// When the folder cannot be read, there is nothing in it, or all of it is refused at once: then nothing
/// would be tried.
pub fn replay(folder: &Path, check: impl Fn(&[u8]) -> bool) -> Result<Vec<String>, String> {
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
    let mut all_refused = true;
    for file in files {
        let bytes = fs::read(&file).map_err(cannot)?;
        let checked = catch_unwind(AssertUnwindSafe(|| check(&bytes)));
        all_refused &= matches!(checked, Ok(false));
        if checked.is_err() || bytes.len() as u64 > INPUT_BYTES_MAX {
            failed.push(file.display().to_string());
        }
    }
    if all_refused {
        return Err(format!("all of {} is refused", folder.display()));
    }
    Ok(failed)
}
