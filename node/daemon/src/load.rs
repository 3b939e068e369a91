//! Loading: the store is opened, block files are taken in, and the machine is put together.

use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::failure::Failure;
use super::options::Settings;
use crate::chain::{Chain, ImportError, OpenReport};
use crate::mempool::Mempool;
use crate::store::RedbStore;
use crate::store::blockfile::BlockFileReader;
use crate::time::Time;
use crate::{Config, Machine};

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
    tell(&report);
    for file in &settings.load_blocks {
        take_in(&mut chain, file, now)?;
    }
    Ok(chain)
}

fn tell(report: &OpenReport) {
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

/// The machine with this chain.
pub fn machine(settings: &Settings, chain: Chain, seed: u64, now: Time) -> Machine {
    let mut mempool = Mempool::new();
    mempool.set_min_relay_fee(settings.relay_fee_min.to_sat());
    Machine::new(config(settings), chain, mempool, seed, now)
}

/// What the machine is told of the settings.
pub fn config(settings: &Settings) -> Config {
    let mut config = Config {
        listen_port: settings.listen.first().map(SocketAddr::port),
        external_addr: settings.external,
        connect_only: settings.connect.is_some(),
        connect: settings.connect.clone().unwrap_or_default(),
        add_nodes: settings.add_nodes.clone(),
        seed_nodes: settings.seed_nodes.clone(),
        connections_max: usize::from(settings.connections_max),
        relay_transactions: !settings.blocks_only,
        #[cfg(feature = "planted-bugs")]
        planted_bug: settings.planted_bug,
        ..Config::default()
    };
    if let Some(timeout) = settings.connect_timeout {
        config.timing.connect_timeout = timeout;
    }
    if let Some(timeout) = settings.peer_timeout {
        config.timing.peer_timeout = timeout;
    }
    config
}
