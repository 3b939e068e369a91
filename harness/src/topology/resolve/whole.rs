//! The file as a whole: its head, and the order in which its sections are resolved.

use std::sync::Arc;

use peerlab_link::Nanos;

use super::churn::resolve_churn;
use super::expect::{Circumstances, resolve_expect};
use super::faults::resolve_faults;
use super::network::{resolve_discovery, resolve_latency, resolve_network};
use super::nodes::{Names, resolve_groups, resolve_regions};
use super::problems::Problems;
use crate::error::Result;
use crate::topology::file::{self, File};
use crate::topology::marked::{Document, Path};
use crate::topology::resolved::{Group, Ledger, Phases, Topology};
use crate::topology::units::{Frequency, Seed};

/// The seed of an experiment that names none.
const SEED_DEFAULT: u64 = 1;
/// Shortest settle phase: two quiet times of a second with a block between leave little else.
const SETTLE_MIN: Nanos = Nanos::from_secs(5);
/// Longest name: it becomes part of a folder's name.
const NAME_CHARS_MAX: usize = 64;
/// Most transactions in a run: each needs an output of its own in the pre-mined chain, which
/// every node loads.
const TRANSACTIONS_MAX: f64 = 200_000.0;
/// Shortest mean time between blocks.
const BLOCK_INTERVAL_MIN: Nanos = Nanos::from_millis(100);

/// Resolves a file.
///
/// # Errors
/// Its mistakes, each with its place.
pub fn resolve(file: File, document: Arc<Document>) -> Result<Topology> {
    let problems = Problems::new(document.clone());
    let root = Path::root();
    check_name(&problems, &root.key("name"), &file.name);
    let seed = problems.optional(&root.key("seed"), file.seed);
    let phases = resolve_phases(&problems, &root.key("phases"), file.phases);

    let mut network_section = file.network;
    let network_path = root.key("network");
    let latency = network_section.latency.take();
    let latency = resolve_latency(&problems, &network_path.key("latency"), latency);
    let regions = resolve_regions(&problems, &root.key("nodes"), &file.nodes, latency);
    let discovery = network_section.discovery.take();
    let loss = problems.optional(&network_path.key("loss"), network_section.loss.take());
    let groups = resolve_groups(&problems, &root.key("nodes"), file.nodes, &regions, loss);
    let names = Names::new(&groups, &regions.names);
    let churn = resolve_churn(&problems, &root.key("churn"), file.churn, &names);
    let discovery = resolve_discovery(&problems, &network_path.key("discovery"), discovery, &names);
    let network = resolve_network(
        &problems,
        &network_path,
        network_section,
        regions.clone(),
        discovery,
    );
    let ledger = resolve_ledger(&problems, &root.key("ledger"), file.ledger, &groups, phases);
    let faults = resolve_faults(&problems, &root.key("faults"), file.faults, &names, phases);
    let circumstances = Circumstances {
        phases,
        ledger,
        faults: &faults,
        nodes: names.count(),
    };
    let expect = resolve_expect(&problems, &root.key("expect"), file.expect, &circumstances);

    match (problems.none(), phases) {
        (true, Some(phases)) => Ok(Topology {
            name: file.name,
            description: file.description,
            seed: seed.map_or(SEED_DEFAULT, |Seed(seed)| seed),
            phases,
            groups,
            network,
            ledger,
            churn,
            faults: faults.into_iter().flatten().collect(),
            expect,
            document,
        }),
        _ => Err(problems.into_error()),
    }
}

fn check_name(problems: &Problems, path: &Path, name: &str) {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty()
        || name.len() > NAME_CHARS_MAX
        || !name.chars().all(fine)
        || name.starts_with(['.', '-'])
    {
        problems.add(
            path,
            format!("`{name}` is not a name for an experiment"),
            "run directories are named after it",
            format!("write at most {NAME_CHARS_MAX} letters, digits and dashes"),
        );
    }
}

fn resolve_phases(problems: &Problems, path: &Path, phases: file::Phases) -> Option<Phases> {
    let warmup = problems.value(&path.key("warmup"), phases.warmup);
    let faults = match phases.faults {
        Some(written) => problems.value(&path.key("faults"), written),
        None => Some(Nanos::ZERO),
    };
    let settle = problems.value(&path.key("settle"), phases.settle)?;
    if settle < SETTLE_MIN {
        problems.add(
            &path.key("settle"),
            "the settle phase is too short",
            "nodes come back in it, and then the ledger needs blocks and quiet to converge",
            format!(
                "give it at least {}s, better several block intervals",
                SETTLE_MIN.as_secs_f64()
            ),
        );
    }
    Some(Phases {
        warmup: warmup?,
        faults: faults?,
        settle,
    })
}

fn resolve_ledger(
    problems: &Problems,
    path: &Path,
    ledger: file::Ledger,
    groups: &[Group],
    phases: Option<Phases>,
) -> Ledger {
    let interval_path = path.key("block_interval");
    let block_interval = problems.optional(&interval_path, ledger.block_interval);
    let hash_power: f64 = groups.iter().map(|group| group.hash_power).sum();
    if block_interval.is_some() && hash_power == 0.0 && !groups.is_empty() {
        problems.add(
            &interval_path,
            "blocks are wanted, but nobody mines",
            "the hash power of all groups is zero",
            "give at least one group `hashpower: 1`",
        );
    }
    if block_interval.is_some_and(|interval| interval < BLOCK_INTERVAL_MIN) {
        problems.add(
            &interval_path,
            "the block interval is too short",
            "real nodes cannot mine and spread blocks so fast",
            format!("write at least {}ms", BLOCK_INTERVAL_MIN.0 / 1_000_000),
        );
    }
    if block_interval.is_none() && hash_power > 0.0 && problems.none() {
        let miner = groups.iter().find(|group| group.hash_power > 0.0);
        let name = miner.map_or("", |group| &group.name);
        problems.add(
            &Path::root().key("nodes").key(name).key("hashpower"),
            "there are miners, but no blocks are wanted",
            "`ledger` has no `block_interval`",
            "add `ledger: { block_interval: 10s }`, or remove `hashpower`",
        );
    }
    let frequency_path = path.key("transactions");
    let frequency = problems.optional(&frequency_path, ledger.transactions);
    let per_second = frequency.map_or(0.0, |Frequency { per_second }| per_second);
    if let Some(phases) = phases
        && per_second * phases.end().as_secs_f64() > TRANSACTIONS_MAX
    {
        problems.add(
            &frequency_path,
            "too many transactions",
            format!(
                "over {:.0}s that is {:.0}, and at most {TRANSACTIONS_MAX:.0} find an output to spend",
                phases.end().as_secs_f64(),
                per_second * phases.end().as_secs_f64()
            ),
            "lower the frequency, or shorten the phases",
        );
    }
    Ledger {
        block_interval,
        transactions_per_second: per_second,
    }
}
