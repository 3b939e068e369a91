//! What gates and programs write: a file each in the starter's memory, of which only the end is
//! kept. The starter looks now and then and gives the beginning back to the machine.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use peerlab_link::NodeId;
use rustix::fs::{FallocateFlags, fallocate};

use super::roots::LOG_DIR;

/// Bytes of each log's end that are kept.
pub const LOG_BYTES_KEPT: u64 = 256 << 10;
/// A log may grow to this before its beginning is given back.
const LOG_BYTES_MAX: u64 = 2 * LOG_BYTES_KEPT;
/// `st_blocks` counts these.
const BLOCK_BYTES: u64 = 512;

fn path(node: NodeId) -> PathBuf {
    PathBuf::from(LOG_DIR).join(node.to_string())
}

/// A node's log, to be written at its end.
///
/// # Errors
/// When memory is full.
pub fn create(node: NodeId) -> Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path(node))
        .context("cannot make the node's log")
}

/// The end of a node's log, at most so many bytes; empty where there is none.
pub fn tail(node: NodeId, bytes_max: u64) -> Vec<u8> {
    let read = || -> std::io::Result<Vec<u8>> {
        let file = File::open(path(node))?;
        let length = file.metadata()?.len();
        let from = length.saturating_sub(bytes_max.min(LOG_BYTES_KEPT));
        let mut bytes = vec![0; (length - from) as usize];
        let count = file.read_at(&mut bytes, from)?;
        bytes.truncate(count);
        Ok(bytes)
    };
    read().unwrap_or_default()
}

/// Gives back the beginnings of logs that have grown too long.
pub fn trim() {
    let Ok(entries) = fs::read_dir(LOG_DIR) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.blocks() * BLOCK_BYTES > LOG_BYTES_MAX
            && let Ok(file) = OpenOptions::new().write(true).open(entry.path())
        {
            let spare = metadata.len().saturating_sub(LOG_BYTES_KEPT);
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // What cannot be given back now may be next time.
            let _ = fallocate(&file, flags, 0, spare);
        }
    }
}
