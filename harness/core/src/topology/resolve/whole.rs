//! The file as a whole: its head, and the order in which its sections are resolved.

use std::sync::Arc;

use peerlab_link::Nanos;

use super::abilities::check_probes;
use super::churn::resolve_churn;
use super::expect::{Circumstances, resolve_expect};
use super::faults::resolve_faults;
use super::ledger::resolve_ledger;
use super::network::{resolve_discovery, resolve_latency, resolve_network};
use super::nodes::{Names, resolve_groups, resolve_regions};
use super::problems::Problems;
use crate::error::Result;
use crate::topology::file::{self, File};
use crate::topology::marked::{Document, Path};
use crate::topology::resolved::{Phases, Topology};
use crate::topology::units::Seed;

/// The seed of an experiment that names none.
const SEED_DEFAULT: u64 = 1;
/// Shortest settle phase: two quiet times of a second with a block between leave little else.
const SETTLE_MIN: Nanos = Nanos::from_secs(5);
/// Longest name: it becomes part of a folder's name.
const NAME_CHARS_MAX: usize = 64;

/// Resolves a file.
///
/// # Errors
/// Its mistakes, each with its place.
pub fn resolve(file: File, document: Arc<Document>) -> Result<Topology> {
    let problems = Problems::new(document.clone());
    let root = Path::root();
    // Which version it is was looked at first of all.
    problems.optional(&root.key("version"), file.version);
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
    let churn = resolve_churn(&problems, &root.key("churn"), file.churn, &names, phases);
    let discovery = resolve_discovery(&problems, &network_path.key("discovery"), discovery, &names);
    let network = resolve_network(
        &problems,
        &network_path,
        network_section,
        regions.clone(),
        discovery,
    );
    let ledger = resolve_ledger(
        &problems,
        &root.key("ledger"),
        file.ledger,
        &groups,
        &names,
        phases,
    );
    let faults = resolve_faults(&problems, &root.key("faults"), file.faults, &names, phases);
    check_probes(&problems, &groups, &ledger, &faults);
    let circumstances = Circumstances {
        phases,
        groups: &groups,
        ledger: &ledger,
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
