//! The file as a whole: its head, and the order in which its sections are resolved.

use std::sync::Arc;

use peerlab_link::Nanos;

use super::abilities::check_probes;
use super::churn::resolve_churn;
use super::expect::{Circumstances, resolve_expect};
use super::faults::resolve_faults;
use super::known::Known;
use super::ledger::resolve_ledger;
use super::network::{resolve_discovery, resolve_network};
use super::nodes::resolve_groups;
use super::problems::At;
use super::regions::resolve_regions;
use crate::error::Result;
use crate::topology::file::{self, File};
use crate::topology::marked::Document;
use crate::topology::resolved::{Phases, Topology};

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
pub fn resolve(mut file: File, document: Arc<Document>) -> Result<Topology> {
    let at = At::root(document.clone());
    // Which version it is was looked at first of all.
    at.key("version").optional(file.version);
    check_name(&at.key("name"), &file.name);
    let seed = at.key("seed").optional(file.seed);
    let phases = resolve_phases(&at.key("phases"), file.phases);

    let of_network = at.key("network");
    let regions = resolve_regions(&at, file.network.latency.take(), &file.nodes);
    let loss = of_network.key("loss").optional(file.network.loss.take());
    let groups = resolve_groups(&at.key("nodes"), file.nodes, &regions, loss);
    let known = Known {
        groups: &groups,
        regions: &regions,
        phases,
    };
    let churn = resolve_churn(&at.key("churn"), file.churn, &known);
    let discovery = file.network.discovery.take();
    let discovery = resolve_discovery(&of_network.key("discovery"), discovery, &known);
    let network = resolve_network(&of_network, file.network, regions.clone(), discovery);
    let ledger = resolve_ledger(&at.key("ledger"), file.ledger, &known);
    let faults = resolve_faults(&at.key("faults"), file.faults, &known);
    check_probes(&at, &groups, &ledger, &faults);
    let circumstances = Circumstances {
        known,
        ledger: &ledger,
        faults: &faults,
    };
    let expect = resolve_expect(&at.key("expect"), file.expect, &circumstances);
    let (expect, expect_paths) = expect.into_iter().unzip();

    match (at.none(), phases) {
        (true, Some(phases)) => Ok(Topology {
            name: file.name,
            description: file.description,
            seed: seed.unwrap_or(SEED_DEFAULT),
            phases,
            groups,
            network,
            ledger,
            churn,
            faults: faults.into_iter().flatten().collect(),
            expect,
            expect_paths,
            document,
        }),
        _ => Err(at.into_error()),
    }
}

fn check_name(at: &At, name: &str) {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty()
        || name.len() > NAME_CHARS_MAX
        || !name.chars().all(fine)
        || name.starts_with(['.', '-'])
    {
        at.add(
            format!("`{name}` is not a name for an experiment"),
            "run directories are named after it",
            format!("write at most {NAME_CHARS_MAX} letters, digits and dashes"),
        );
    }
}

fn resolve_phases(at: &At, phases: file::Phases) -> Option<Phases> {
    let warmup = at.key("warmup").value(phases.warmup);
    let faults = match phases.faults {
        Some(written) => at.key("faults").value(written),
        None => Some(Nanos::ZERO),
    };
    let at = at.key("settle");
    let settle = at.value(phases.settle)?;
    if settle < SETTLE_MIN {
        let least = SETTLE_MIN.as_secs_f64();
        at.add(
            "the settle phase is too short",
            "nodes come back in it, and then the ledger needs blocks and quiet to converge",
            format!("give it at least {least}s, better several block intervals"),
        );
    }
    Some(Phases {
        warmup: warmup?,
        faults: faults?,
        settle,
    })
}
