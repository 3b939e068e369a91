//! A node's store whose file was changed while the node was down: it is opened or refused, what it says of
//! its chain is so, and blocks can be added to it.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use arbitrary::{Result, Unstructured};
use peerlab_daemon::fuzz::RedbStore;
use peerlab_fuzz::ledger;
use peerlab_node::chain::{Chain, template};
use peerlab_node::mempool::Mempool;

/// Blocks of the store.
const BLOCKS: u32 = 5;

pub fn check(bytes: &[u8]) -> bool {
    // The store itself catches panics of the database, of which libFuzzer would hear.
    #[cfg(feature = "libfuzzer")]
    drop(std::panic::take_hook());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("chain");
    let Ok(changed) = changed(&mut Unstructured::new(bytes)) else {
        return false;
    };
    fs::write(&file, changed).expect("room for it");
    let mut chain = open(&file);
    let found = chain.tip().height;
    assert!(found <= BLOCKS);
    mine(&mut chain);
    let tip = chain.tip().hash;
    drop(chain);
    assert_eq!(open(&file).tip().hash, tip, "what was added is there");
    found > 0
}

fn open(file: &Path) -> Chain {
    let store = RedbStore::open(file).expect("a file that can be written");
    Chain::open(Box::new(store)).expect("damage is no error").0
}

fn mine(chain: &mut Chain) {
    let secs = ledger::now().unix_secs();
    let payout = bitcoin::ScriptBuf::new();
    let template = Mempool::new().template(chain, payout, u64::from(chain.tip().height));
    let mut block = template.assemble(chain, secs);
    assert!(template::mine(&mut block));
    let accepted = chain.accept_block(secs, Arc::new(block));
    assert!(accepted.is_ok(), "{accepted:?}");
}

/// The sound file, with pieces of it written over.
fn changed(draw: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut file = sound().to_vec();
    if draw.ratio(1, 8)? {
        file.truncate(draw.int_in_range(0..=file.len())?);
    }
    while !draw.is_empty() && !file.is_empty() {
        let at = draw.int_in_range(0..=file.len() - 1)?;
        let length = usize::from(draw.arbitrary::<u8>()?)
            .min(draw.len())
            .min(file.len() - at);
        file[at..at + length].copy_from_slice(draw.bytes(length)?);
    }
    Ok(file)
}

fn sound() -> &'static [u8] {
    static SOUND: OnceLock<Vec<u8>> = OnceLock::new();
    SOUND.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("chain");
        let mut chain = open(&file);
        (0..BLOCKS).for_each(|_| mine(&mut chain));
        drop(chain);
        fs::read(file).expect("it was written")
    })
}

peerlab_fuzz::target!();
