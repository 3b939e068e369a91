//! A real process writes blocks and is killed at any instant: no block that it acknowledged is
//! lost, and what is left is sound.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use peerlab_node::chain::fixture::Ledger;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::durable::open;

/// Names the file to the writing process; without it, the writer is a test of nothing.
const PATH_VARIABLE: &str = "PEERLAB_CRASH_TEST_STORE";

/// How often the writer is killed.
const KILLS: u32 = 36;

/// How every line of an acknowledged block begins.
const ACKNOWLEDGED: &str = "acknowledged ";

/// Acknowledgements after which a writer ends by itself, so that it cannot outlive its parent by
/// much.
const BLOCKS_MAX: u32 = 2_000;

/// Not a test: the process that is killed. It runs when the other test starts it.
#[test]
fn writer() {
    let Some(path) = std::env::var_os(PATH_VARIABLE) else {
        return;
    };
    let mut ledger = open(Path::new(&path));
    let mut random = ChaCha8Rng::seed_from_u64(u64::from(ledger.chain.tip().height));
    for _ in 0..BLOCKS_MAX {
        write_some(&mut ledger, &mut random);
    }
}

/// Extends the tip, with a spending if there is something to spend, or starts a branch a little
/// below that overtakes.
fn write_some(ledger: &mut Ledger, random: &mut ChaCha8Rng) {
    let tip = ledger.chain.tip().clone();
    if tip.height > 110 && random.next_u32().is_multiple_of(4) {
        let depth = random.next_u32() % 3 + 1;
        let mut parent = ledger.chain.hash_at(tip.height - depth).unwrap();
        for _ in 0..=depth {
            let block = ledger.block_on(&parent, Vec::new());
            parent = block.block_hash();
            ledger.accept(&block).unwrap();
            acknowledge(parent);
        }
        return;
    }
    let mut transactions = Vec::new();
    if tip.height > 101 {
        let coin = ledger.coinbase_at(random.next_u32() % (tip.height - 100) + 1);
        if ledger.chain.coin(&coin).is_some() {
            transactions.push(ledger.spend(&[coin], 1_000));
        }
    }
    let block = ledger.block(transactions);
    ledger.accept(&block).unwrap();
    acknowledge(block.block_hash());
}

fn acknowledge(hash: BlockHash) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{ACKNOWLEDGED}{hash}").unwrap();
    out.flush().unwrap();
}

/// A writing process, killed when it goes out of scope.
struct Writer {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Writer {
    fn start(path: &Path) -> Writer {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "store::tests::crash::writer",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(PATH_VARIABLE, path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Writer { process, lines }
    }

    /// The next acknowledged block; `None` when the pipe is empty and the process gone.
    fn next(&mut self) -> Option<BlockHash> {
        loop {
            let line = self.lines.next()?.unwrap();
            // The test harness prints the test's name on the same line.
            if let Some((_, hash)) = line.split_once(ACKNOWLEDGED) {
                // The last line may be torn.
                return hash.parse().ok();
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn no_acknowledged_block_is_lost_to_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain");
    {
        let mut ledger = open(&path);
        ledger.mine(112);
    }
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut acknowledged = Vec::new();
    for _ in 0..KILLS {
        let mut writer = Writer::start(&path);
        // Some while into its work, and then some way into a write.
        for _ in 0..random.next_u32() % 6 {
            acknowledged.extend(writer.next());
        }
        let instant = Instant::now() + Duration::from_micros(u64::from(random.next_u32() % 12_000));
        while Instant::now() < instant {
            std::hint::spin_loop();
        }
        writer.process.kill().unwrap();
        while let Some(hash) = writer.next() {
            acknowledged.push(hash);
        }
        drop(writer);
        check(&path, &acknowledged);
    }
    assert!(
        acknowledged.len() > KILLS as usize,
        "the writers hardly wrote"
    );
    replay(&path);
}

/// The file opens without damage, and has every acknowledged block.
fn check(path: &Path, acknowledged: &[BlockHash]) {
    let ledger = open(path);
    for hash in acknowledged {
        let block = ledger.chain.block(hash).unwrap();
        assert!(
            block.is_some_and(|block| block.block_hash() == *hash),
            "lost {hash}"
        );
        let entry = ledger.chain.entry(hash).unwrap();
        assert!(
            ledger.chain.tip().work >= entry.work,
            "the tip fell behind {hash}"
        );
    }
}

/// The coins are those of the best chain, validated from scratch.
fn replay(path: &Path) {
    let ledger = open(path);
    let mut fresh = Ledger::new();
    for height in 1..=ledger.chain.tip().height {
        let hash = ledger.chain.hash_at(height).unwrap();
        fresh
            .accept(&ledger.chain.block(&hash).unwrap().unwrap())
            .unwrap();
    }
    assert_eq!(fresh.chain.utxo_stats(), ledger.chain.utxo_stats());
}
