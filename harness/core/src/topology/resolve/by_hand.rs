//! Faults and choices of nodes that somebody asks for by hand, of a network whose file is resolved.

use std::sync::Arc;

use super::faults::resolve_kind;
use super::known::Known;
use super::problems::At;
use super::regions::Regions;
use super::selection::resolve_selection;
use crate::error::Result;
use crate::experiment::FaultKind;
use crate::topology::file;
use crate::topology::marked::Document;
use crate::topology::resolved::{Selection, Topology};
use crate::topology::written::WordOr;

/// Resolves what a fault does; its times have no part in it.
///
/// # Errors
/// Its mistakes; places are those of `document`.
pub fn resolve_by_hand(
    fault: file::Fault,
    topology: &Topology,
    document: Arc<Document>,
) -> Result<FaultKind<Selection>> {
    in_network(topology, document, |at, known| {
        resolve_kind(at, fault, known)
    })
}

/// Resolves a choice of nodes.
///
/// # Errors
/// As [`resolve_by_hand`].
pub fn resolve_nodes(
    nodes: WordOr<Vec<String>>,
    topology: &Topology,
    document: Arc<Document>,
) -> Result<Selection> {
    in_network(topology, document, |at, known| {
        resolve_selection(at, nodes, known, false)
    })
}

fn in_network<T>(
    topology: &Topology,
    document: Arc<Document>,
    resolve: impl FnOnce(&At, &Known<'_>) -> Option<T>,
) -> Result<T> {
    let regions = Regions {
        names: topology.network.regions.clone(),
        paths: topology.network.paths.clone(),
        // Only groups that do not say where they are would ask.
        shares: Vec::new(),
    };
    let known = Known {
        groups: &topology.groups,
        regions: &regions,
        phases: None,
    };
    let at = At::root(document);
    match resolve(&at, &known) {
        Some(resolved) if at.none() => Ok(resolved),
        _ => Err(at.into_error()),
    }
}
