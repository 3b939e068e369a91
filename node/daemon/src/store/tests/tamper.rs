//! Bytes of the file are changed while the node is down. It starts in any case, says what it
//! found, keeps what is sound, and gets back to where it was once peers give it the rest.

use std::fs;
use std::path::Path;

use bitcoin::{Block, consensus};
use peerlab_node::chain::fixture::Ledger;
use peerlab_node::chain::{OpenReport, UtxoStats};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::durable::{open, open_any, write_sample};
use crate::store::record::BLOCK_MAGIC;

/// A sound store: its file, its blocks, its end.
struct Sample {
    folder: tempfile::TempDir,
    bytes: Vec<u8>,
    blocks: Vec<Block>,
    stats: UtxoStats,
}

impl Sample {
    fn new() -> Sample {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sample");
        let stats = write_sample(&path);
        let blocks = open(&path).bodies();
        Sample {
            bytes: fs::read(&path).unwrap(),
            folder,
            blocks,
            stats,
        }
    }

    /// Opens changed bytes; whatever was changed, the ledger is sound, and complete again after
    /// the blocks have been fetched, and stays so.
    fn survive(&self, bytes: &[u8]) -> OpenReport {
        let path = self.folder.path().join("chain");
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let entry = entry.unwrap().path();
            if entry.file_name().unwrap() != "sample" {
                fs::remove_file(entry).unwrap();
            }
        }
        fs::write(&path, bytes).unwrap();
        let (mut ledger, report) = open_any(&path);
        assert_eq!(ledger.chain.tip().height, report.height);
        if report.damage.is_empty() {
            assert_eq!(
                ledger.chain.utxo_stats(),
                self.stats,
                "damage went unnoticed"
            );
        } else {
            assert!(
                report
                    .moved_aside
                    .as_ref()
                    .is_some_and(|path| Path::new(path).exists())
            );
        }
        self.resync(&mut ledger);
        drop(ledger);
        let ledger = open(&path);
        assert_eq!(ledger.chain.utxo_stats(), self.stats);
        assert_eq!(ledger.bodies().len(), self.blocks.len());
        report
    }

    fn resync(&self, ledger: &mut Ledger) {
        for block in &self.blocks {
            // The one above the gap has an unknown parent after a loss of headers.
            ledger
                .accept(block)
                .map(drop)
                .or_else(|error| {
                    assert_eq!(error.reason(), "prev-blk-not-found");
                    let gap = self.missing_header(block);
                    ledger.now = ledger.now.max(block.header.time);
                    ledger.chain.accept_headers(ledger.now, &[gap]).unwrap();
                    ledger.accept(block).map(drop)
                })
                .unwrap();
        }
        assert_eq!(ledger.chain.utxo_stats(), self.stats);
    }

    /// The header between the tip and the body above the gap.
    fn missing_header(&self, above: &Block) -> bitcoin::block::Header {
        let ledger = open(&self.folder.path().join("sample"));
        ledger
            .chain
            .entry(&above.header.prev_blockhash)
            .unwrap()
            .header
    }

    fn active_at(&self, height: u32) -> &Block {
        let ledger = open(&self.folder.path().join("sample"));
        let hash = ledger.chain.hash_at(height).unwrap();
        self.blocks
            .iter()
            .find(|block| block.block_hash() == hash)
            .unwrap()
    }
}

#[test]
fn an_untouched_file_is_sound() {
    let sample = Sample::new();
    let report = sample.survive(&sample.bytes);
    assert_eq!(
        report,
        OpenReport {
            height: 120,
            ..OpenReport::default()
        }
    );
}

#[test]
fn a_flipped_byte_of_a_body_costs_that_body_alone() {
    let sample = Sample::new();
    for height in [1, 57, 112, 120] {
        let block = sample.active_at(height);
        let body = consensus::serialize(block);
        let mut bytes = sample.bytes.clone();
        // Old copies may lie about in free pages; they count as salvage, so all are spoilt.
        let places = places_of(&sample.bytes, &body);
        assert!(!places.is_empty());
        for place in places {
            bytes[place + body.len() / 2] ^= 0x40;
        }
        let report = sample.survive(&bytes);
        assert!(!report.damage.is_empty());
        assert_eq!(
            report.salvaged_blocks as usize,
            sample.blocks.len() - 1,
            "height {height}"
        );
        assert_eq!(report.height, height - 1);
        assert_eq!(report.lost_blocks, [block.block_hash()]);
    }
}

#[test]
fn a_long_chain_is_kept_on_both_sides_of_a_gap() {
    // The file holds bodies in the order of their hashes, and the chain takes none that is more
    // than 288 blocks ahead: so they must be sorted.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain");
    let mut source = Ledger::new();
    source.mine(640);
    let blocks = source.bodies();
    let import = |path: &Path| {
        let mut ledger = open(path);
        let all = blocks
            .iter()
            .cloned()
            .map(Ok::<_, std::convert::Infallible>);
        ledger.chain.import(source.now, all).unwrap();
    };
    import(&path);
    let mut bytes = fs::read(&path).unwrap();
    let body = consensus::serialize(&blocks[399]);
    let places: Vec<usize> = places_of(&bytes, &body);
    places.iter().for_each(|place| bytes[place + 100] ^= 1);
    fs::write(&path, &bytes).unwrap();
    let (mut ledger, report) = open_any(&path);
    assert_eq!((report.height, report.salvaged_blocks), (399, 639));
    assert_eq!(
        ledger.chain.wanted_blocks(9),
        [(blocks[399].block_hash(), 400)]
    );
    ledger.accept(&blocks[399]).unwrap();
    assert_eq!(ledger.chain.utxo_stats(), source.chain.utxo_stats());
}

fn places_of(bytes: &[u8], needle: &[u8]) -> Vec<usize> {
    let found = bytes.windows(needle.len()).enumerate();
    found
        .filter(|(_, window)| *window == needle)
        .map(|(place, _)| place)
        .collect()
}

#[test]
fn any_flipped_byte_is_harmless_or_noticed() {
    let sample = Sample::new();
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut noticed = 0;
    for round in 0..60 {
        let mut bytes = sample.bytes.clone();
        // Half of them in the first pages, where the file says what it is.
        let range = if round % 2 == 0 { 8_192 } else { bytes.len() };
        let place = random.next_u32() as usize % range;
        bytes[place] ^= 1 << (random.next_u32() % 8);
        noticed += usize::from(!sample.survive(&bytes).damage.is_empty());
    }
    assert!(noticed >= 10, "only {noticed} of 60 were noticed");
}

#[test]
fn scattered_noise_is_survived() {
    let sample = Sample::new();
    let mut random = ChaCha8Rng::seed_from_u64(8);
    for burst in [16, 512, 8_192, 100_000] {
        let mut bytes = sample.bytes.clone();
        for _ in 0..8 {
            let place = random.next_u32() as usize % bytes.len();
            let end = bytes.len().min(place + burst);
            random.fill_bytes(&mut bytes[place..end]);
        }
        assert!(!sample.survive(&bytes).damage.is_empty());
    }
}

#[test]
fn a_torn_file_is_survived() {
    let sample = Sample::new();
    let length = sample.bytes.len();
    for kept in [
        0,
        1,
        100,
        4_096,
        length / 3,
        length / 2,
        length - 4_096,
        length - 1,
    ] {
        let report = sample.survive(&sample.bytes[..kept]);
        assert!(!report.damage.is_empty(), "{kept} of {length} bytes");
    }
}

#[test]
fn a_file_of_something_else_is_moved_aside() {
    let sample = Sample::new();
    for noise in [
        vec![0; 40_000],
        b"not a chain at all".to_vec(),
        vec![0xff; 100_000],
    ] {
        let report = sample.survive(&noise);
        assert!(!report.damage.is_empty());
        let aside = report.moved_aside.unwrap();
        assert!(aside.ends_with("chain.damaged"), "{aside}");
        assert_eq!((report.height, report.salvaged_blocks), (0, 0));
    }
}

#[test]
fn false_marks_do_not_hide_true_blocks() {
    // A block full of marks that promise more, itself spoilt: the others are found.
    let sample = Sample::new();
    let mut noise = Vec::new();
    for _ in 0..50_000 {
        noise.extend(BLOCK_MAGIC);
        noise.extend(60_000u32.to_le_bytes());
    }
    noise.extend(&sample.bytes);
    let report = sample.survive(&noise);
    assert_eq!(report.salvaged_blocks, 122);
}

#[test]
fn a_coin_changed_with_its_checksum_is_noticed() {
    use crate::store::record::{encode_coin, encode_outpoint};
    use redb::{Database, TableDefinition};
    let sample = Sample::new();
    let path = sample.folder.path().join("changed");
    fs::write(&path, &sample.bytes).unwrap();
    let ledger = open(&sample.folder.path().join("sample"));
    let outpoint = ledger.coinbase_at(50);
    let mut coin = ledger.chain.coin(&outpoint).unwrap().clone();
    coin.output.value *= 2;
    drop(ledger);
    // By redb itself, so that every page and record is in order.
    let table: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("coins");
    let db = Database::create(&path).unwrap();
    let transaction = db.begin_write().unwrap();
    let key = encode_outpoint(&outpoint);
    let record = encode_coin(&outpoint, &coin);
    transaction
        .open_table(table)
        .unwrap()
        .insert(&key[..], &record[..])
        .unwrap();
    transaction.commit().unwrap();
    drop(db);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let report = sample.survive(&bytes);
    assert_eq!(report.damage.len(), 1);
    assert_eq!(report.damage[0].part, "coins");
    assert_eq!((report.height_before, report.height), (Some(120), 120));
    assert_eq!(report.lost_blocks, []);
}

#[test]
fn a_rebuild_that_was_interrupted_is_begun_again_or_finished() {
    let sample = Sample::new();
    let name = |suffix: &str| sample.folder.path().join(format!("chain{suffix}"));
    // Killed while rebuilding: what is there of the new file does not count.
    fs::write(name(""), &sample.bytes).unwrap();
    fs::write(name(".rebuilt"), b"half").unwrap();
    assert_eq!(open(&name("")).chain.utxo_stats(), sample.stats);
    assert!(!name(".rebuilt").exists());
    // Killed between the two renamings.
    fs::rename(name(""), name(".rebuilt")).unwrap();
    fs::write(name(".damaged"), b"old").unwrap();
    assert_eq!(open(&name("")).chain.utxo_stats(), sample.stats);
    assert!(!name(".rebuilt").exists());
}
