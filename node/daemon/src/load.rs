//! Loading: the store is opened, block files are taken in, and the machine is put together.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use peerlab_node::chain::block_file::BlockFileReader;
use peerlab_node::chain::{Chain, ImportError, OpenReport};
use peerlab_node::options::Failure;
use peerlab_node::options::Settings;
use peerlab_node::time::Time;
use tracing::{info, warn};

use crate::store::RedbStore;

/// The store's file, in the folder of the network.
const STORE_FILE: &str = "chain.redb";

/// Where the store is.
pub fn store_path(folder: &Path) -> PathBuf {
    folder.join(STORE_FILE)
}

/// Opens the chain and takes in the block files. May take long; runs on a thread of its own.
///
/// # Errors
/// If the store or a block file cannot be used. Damage to the store is no error: it is reported,
/// and what is missing is fetched from peers.
pub fn load(settings: &Settings, now: Time) -> Result<Chain, Failure> {
    let path = store_path(&settings.folder);
    let unusable = |cause: &dyn std::fmt::Display| {
        Failure::new(format!("cannot open {}", path.display()))
            .cause(cause)
            .hint("free space or fix permissions there, or choose another folder: -datadir=DIR")
    };
    let store = RedbStore::open(&path).map_err(|error| unusable(&error))?;
    let (mut chain, report) = Chain::open(Box::new(store)).map_err(|error| unusable(&error))?;
    log_damage(&report);
    for file in &settings.load_blocks {
        take_in(&mut chain, file, now)?;
    }
    Ok(chain)
}

fn log_damage(report: &OpenReport) {
    for damage in &report.damage {
        warn!("the store was damaged: {damage}");
    }
    if report.damage.is_empty() {
        return;
    }
    warn!(
        height = report.height,
        height_before = ?report.height_before,
        salvaged_blocks = report.salvaged_blocks,
        lost_blocks = report.lost_blocks.len(),
        "the chain was built anew from what was sound; the rest is fetched from peers"
    );
    if let Some(path) = &report.moved_aside {
        warn!("the damaged file was moved to {path}");
    }
}

fn take_in(chain: &mut Chain, path: &Path, now: Time) -> Result<(), Failure> {
    let file = File::open(path).map_err(|error| {
        Failure::new(format!("cannot read -loadblock={}", path.display()))
            .cause(error)
            .hint("give a file of blocks in Bitcoin Core's blk format")
    })?;
    let blocks = BlockFileReader::new(BufReader::new(file));
    match chain.import(now.unix_secs(), blocks) {
        Ok(imported) => {
            info!(
                read = imported.read,
                new = imported.new,
                orphans = imported.orphans,
                refused = imported.refused,
                "took in {}",
                path.display()
            );
            for (hash, reason) in &imported.refused_first {
                warn!(%hash, "refused: {reason}");
            }
            Ok(())
        }
        // As Core: what was sound is kept, and the node runs.
        Err(ImportError::Source(error)) => {
            warn!("stopped reading {}: {error}", path.display());
            Ok(())
        }
        Err(ImportError::Store(error)) => Err(Failure::new("the store failed")
            .cause(error)
            .hint("check the space and the health of the disk under -datadir")),
    }
}
