//! The ledger: who mines and who pays, drawn or listed.

use peerlab_link::Nanos;

use super::faults::seconds;
use super::network::node_of;
use super::nodes::Names;
use super::problems::Problems;
use crate::topology::file;
use crate::topology::listed::{BlockAt, TransactionAt};
use crate::topology::marked::Path;
use crate::topology::resolved::{Blocks, Group, Ledger, Moment, Phases, Transactions};
use crate::topology::units::{Frequency, Size};
use crate::topology::written::{WordOr, Written};

/// Most transactions in a run: each needs an output of its own in the pre-mined chain, which
/// every node loads.
const TRANSACTIONS_MAX: f64 = 200_000.0;
/// Largest block: four million weight units, each of a byte at least (BIP141).
const FILLER_BYTES_MAX: u64 = 4_000_000;
/// Shortest mean time between blocks.
const BLOCK_INTERVAL_MIN: Nanos = Nanos::from_millis(100);

/// Resolves the section.
pub fn resolve_ledger(
    problems: &Problems,
    path: &Path,
    ledger: file::Ledger,
    groups: &[Group],
    names: &Names,
    phases: Option<Phases>,
) -> Ledger {
    let miner = groups.iter().find(|group| group.hash_power > 0.0);
    let blocks = match (ledger.block_interval, ledger.blocks) {
        (interval, None) => resolve_lottery(problems, path, interval, groups),
        (interval, Some(listed)) => {
            if interval.is_some() {
                problems.add(
                    &path.name("block_interval"),
                    "blocks are either drawn or listed",
                    "both `block_interval` and `blocks` are there",
                    "keep one of the two",
                );
            } else if let Some(miner) = miner {
                problems.add(
                    &Path::root().key("nodes").key(&miner.name).key("hashpower"),
                    "`hashpower` has no meaning here",
                    "every block and its miner are listed in `ledger.blocks`, so that no lottery is held",
                    "remove it",
                );
            }
            Blocks::Listed(resolve_blocks(
                problems,
                &path.key("blocks"),
                listed,
                names,
                phases,
            ))
        }
    };
    let filler_bytes = resolve_filler(problems, &path.key("filler"), ledger.filler);
    let path = path.key("transactions");
    let transactions = match ledger.transactions {
        None => Transactions::PerSecond(0.0),
        Some(WordOr::Word(word)) => {
            Transactions::PerSecond(resolve_frequency(problems, &path, &word, phases))
        }
        Some(WordOr::Long(listed)) => {
            Transactions::Listed(resolve_transactions(problems, &path, listed, names, phases))
        }
    };
    Ledger {
        blocks,
        transactions,
        filler_bytes,
    }
}

fn resolve_filler(problems: &Problems, path: &Path, written: Option<Written<Size>>) -> u32 {
    let bytes = problems
        .optional(path, written)
        .map_or(0, |size| size.bytes);
    if bytes <= FILLER_BYTES_MAX {
        return bytes as u32;
    }
    problems.add(
        path,
        "the filler is too large",
        format!("a block of {bytes} bytes more is larger than any block may be"),
        "4 MB is the most",
    );
    0
}

fn resolve_lottery(
    problems: &Problems,
    path: &Path,
    written: Option<Written<Nanos>>,
    groups: &[Group],
) -> Blocks {
    let path = path.key("block_interval");
    let interval = problems.optional(&path, written);
    let hash_power: f64 = groups.iter().map(|group| group.hash_power).sum();
    if interval.is_some() && hash_power == 0.0 && !groups.is_empty() {
        problems.add(
            &path,
            "blocks are wanted, but nobody mines",
            "the hash power of all groups is zero",
            "give at least one group `hashpower: 1`",
        );
    }
    if interval.is_some_and(|interval| interval < BLOCK_INTERVAL_MIN) {
        problems.add(
            &path,
            "the block interval is too short",
            "real nodes cannot mine and spread blocks so fast",
            format!("write at least {}ms", BLOCK_INTERVAL_MIN.0 / 1_000_000),
        );
    }
    if interval.is_none() && hash_power > 0.0 && problems.none() {
        let miner = groups.iter().find(|group| group.hash_power > 0.0);
        let name = miner.map_or("", |group| &group.name);
        problems.add(
            &Path::root().key("nodes").key(name).key("hashpower"),
            "there are miners, but no blocks are wanted",
            "`ledger` has no `block_interval`",
            "add `ledger: { block_interval: 10s }`, or remove `hashpower`",
        );
    }
    interval.map_or(Blocks::None, Blocks::Every)
}

fn resolve_blocks(
    problems: &Problems,
    path: &Path,
    listed: Vec<BlockAt>,
    names: &Names,
    phases: Option<Phases>,
) -> Vec<Moment> {
    let blocks = listed.into_iter().enumerate().map(|(index, block)| {
        let path = path.item(index);
        let at = resolve_instant(problems, &path.key("at"), block.at, "the block", phases);
        let node = node_of(problems, &path.key("by"), &block.by, names);
        Some(Moment {
            at: at?,
            node: node?,
        })
    });
    sorted(blocks)
}

fn resolve_transactions(
    problems: &Problems,
    path: &Path,
    listed: Vec<TransactionAt>,
    names: &Names,
    phases: Option<Phases>,
) -> Vec<Moment> {
    if listed.len() as f64 > TRANSACTIONS_MAX {
        problems.add(
            path,
            "too many transactions",
            format!(
                "the list has {}, and at most {TRANSACTIONS_MAX:.0} find an output to spend",
                listed.len()
            ),
            "shorten the list",
        );
    }
    let transactions = listed.into_iter().enumerate().map(|(index, one)| {
        let path = path.item(index);
        let at = resolve_instant(problems, &path.key("at"), one.at, "the transaction", phases);
        let node = node_of(problems, &path.key("to"), &one.to, names);
        Some(Moment {
            at: at?,
            node: node?,
        })
    });
    sorted(transactions)
}

/// By time; what is at one instant stays in the order of the file.
fn sorted(moments: impl Iterator<Item = Option<Moment>>) -> Vec<Moment> {
    let mut moments: Vec<Moment> = moments.flatten().collect();
    moments.sort_by_key(|moment| moment.at);
    moments
}

/// An instant within the run.
fn resolve_instant(
    problems: &Problems,
    path: &Path,
    written: Written<Nanos>,
    what: &str,
    phases: Option<Phases>,
) -> Option<Nanos> {
    let at = problems.value(path, written)?;
    let end = phases?.end();
    if at < end {
        return Some(at);
    }
    problems.add(
        path,
        format!("{what} comes after the end"),
        format!(
            "it comes at {}, and the run ends at {}",
            seconds(at),
            seconds(end)
        ),
        "times count from the start of the run: move it, or lengthen a phase",
    );
    None
}

fn resolve_frequency(problems: &Problems, path: &Path, word: &str, phases: Option<Phases>) -> f64 {
    let frequency = problems.word::<Frequency>(path, word);
    let per_second = frequency.map_or(0.0, |Frequency { per_second }| per_second);
    if let Some(phases) = phases
        && per_second * phases.end().as_secs_f64() > TRANSACTIONS_MAX
    {
        problems.add(
            path,
            "too many transactions",
            format!(
                "over {:.0}s that is {:.0}, and at most {TRANSACTIONS_MAX:.0} find an output to spend",
                phases.end().as_secs_f64(),
                per_second * phases.end().as_secs_f64()
            ),
            "lower the frequency, or shorten the phases",
        );
    }
    per_second
}
