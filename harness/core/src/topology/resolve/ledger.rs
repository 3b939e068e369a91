//! The ledger: who mines and who pays, drawn or listed.

use peerlab_link::Nanos;

use super::known::Known;
use super::problems::{At, seconds};
use crate::topology::file;
use crate::topology::resolved::{Blocks, Ledger, Moment, Transactions};
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
pub fn resolve_ledger(at: &At, ledger: file::Ledger, known: &Known<'_>) -> Ledger {
    let blocks = match ledger.blocks {
        None => resolve_lottery(at, ledger.block_interval, known),
        Some(listed) => {
            check_no_lottery(at, ledger.block_interval.is_some(), known);
            let listed = listed.into_iter().map(|block| (block.at, block.by));
            Blocks::Listed(resolve_listed(
                &at.key("blocks"),
                listed,
                "block",
                "by",
                known,
            ))
        }
    };
    let filler_bytes = resolve_filler(&at.key("filler"), ledger.filler);
    let at = at.key("transactions");
    let transactions = match ledger.transactions {
        None => Transactions::PerSecond(0.0),
        Some(WordOr::Word(word)) => Transactions::PerSecond(resolve_frequency(&at, &word, known)),
        Some(WordOr::Long(listed)) => {
            let count = listed.len();
            if count as f64 > TRANSACTIONS_MAX {
                at.add(
                    "too many transactions",
                    format!("the list has {count}, and at most {TRANSACTIONS_MAX:.0} find an output to spend"),
                    "shorten the list",
                );
            }
            let listed = listed.into_iter().map(|one| (one.at, one.to));
            Transactions::Listed(resolve_listed(&at, listed, "transaction", "to", known))
        }
    };
    Ledger {
        blocks,
        transactions,
        filler_bytes,
    }
}

/// That nothing speaks of a lottery beside a list of blocks.
fn check_no_lottery(at: &At, has_interval: bool, known: &Known<'_>) {
    let miner = known.groups.iter().find(|group| group.hash_power > 0.0);
    if has_interval {
        at.name("block_interval").add(
            "blocks are either drawn or listed",
            "both `block_interval` and `blocks` are there",
            "keep one of the two",
        );
    } else if let Some(miner) = miner {
        at.top().key("nodes").key(&miner.name).key("hashpower").add(
            "`hashpower` has no meaning here",
            "every block and its miner are listed in `ledger.blocks`, so that no lottery is held",
            "remove it",
        );
    }
}

fn resolve_filler(at: &At, written: Option<Written<Size>>) -> u32 {
    let bytes = at.optional(written).map_or(0, |size| size.bytes);
    if bytes > FILLER_BYTES_MAX {
        at.add(
            "the filler is too large",
            format!("a block of {bytes} bytes more is larger than any block may be"),
            "4 MB is the most",
        );
    }
    bytes as u32
}

fn resolve_lottery(at: &At, written: Option<Written<Nanos>>, known: &Known<'_>) -> Blocks {
    let at = at.key("block_interval");
    let miner = known.groups.iter().find(|group| group.hash_power > 0.0);
    match (at.optional(written), miner) {
        (None, Some(miner)) if at.none() => {
            at.top().key("nodes").key(&miner.name).key("hashpower").add(
                "there are miners, but no blocks are wanted",
                "`ledger` has no `block_interval`",
                "add `ledger: { block_interval: 10s }`, or remove `hashpower`",
            );
            Blocks::None
        }
        (None, _) => Blocks::None,
        (Some(interval), miner) => {
            if miner.is_none() && !known.groups.is_empty() {
                at.add(
                    "blocks are wanted, but nobody mines",
                    "the hash power of all groups is zero",
                    "give at least one group `hashpower: 1`",
                );
            }
            if interval < BLOCK_INTERVAL_MIN {
                at.add(
                    "the block interval is too short",
                    "real nodes cannot mine and spread blocks so fast",
                    format!("write at least {}ms", BLOCK_INTERVAL_MIN.0 / 1_000_000),
                );
            }
            Blocks::Every(interval)
        }
    }
}

/// What is listed with a time and a node's name, by time; what is at one instant stays in the
/// order of the file.
fn resolve_listed(
    at: &At,
    listed: impl Iterator<Item = (Written<Nanos>, String)>,
    what: &str,
    node_key: &str,
    known: &Known<'_>,
) -> Vec<Moment> {
    let moments = listed.enumerate().map(|(index, (time, name))| {
        let at = at.item(index);
        let time = resolve_instant(&at.key("at"), time, what, known);
        let node = known.find_node(&at.key(node_key), &name);
        Some(Moment {
            at: time?,
            node: node?,
        })
    });
    let mut moments: Vec<Moment> = moments.flatten().collect();
    moments.sort_by_key(|moment| moment.at);
    moments
}

/// An instant within the run.
fn resolve_instant(
    at: &At,
    written: Written<Nanos>,
    what: &str,
    known: &Known<'_>,
) -> Option<Nanos> {
    let time = at.value(written)?;
    let end = known.phases?.end();
    if time >= end {
        let (time, end) = (seconds(time), seconds(end));
        at.add(
            format!("the {what} comes after the end"),
            format!("it comes at {time}, and the run ends at {end}"),
            "times count from the start of the run: move it, or lengthen a phase",
        );
        return None;
    }
    Some(time)
}

fn resolve_frequency(at: &At, word: &str, known: &Known<'_>) -> f64 {
    let frequency = at.word::<Frequency>(word);
    let per_second = frequency.map_or(0.0, |Frequency { per_second }| per_second);
    let length = known
        .phases
        .map_or(0.0, |phases| phases.end().as_secs_f64());
    let count = per_second * length;
    if count > TRANSACTIONS_MAX {
        at.add(
            "too many transactions",
            format!("over {length:.0}s that is {count:.0}, and at most {TRANSACTIONS_MAX:.0} find an output to spend"),
            "lower the frequency, or shorten the phases",
        );
    }
    per_second
}
