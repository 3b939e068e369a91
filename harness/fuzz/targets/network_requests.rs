//! Lines of requests to the process that holds a network: read, and what they ask for found in the network.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::sync::LazyLock;

use peerlab::network::{Envelope, Request};
use peerlab_core::plan::{Roster, stay};
use peerlab_core::topology::parse;
use peerlab_core::topology::written::Value as _;
use peerlab_core::view::Until;
use peerlab_fuzz::parts;

const NETWORK: &str = "
name: network
seed: 1
phases: { warmup: 4s, settle: 6s }
nodes: { miners: { count: 2, hashpower: 1 }, peers: { count: 5, access: internet-2019 } }
network: { latency: internet-2019 }
ledger: { block_interval: 10s }
";
const SEED: u64 = 1;

static ROSTER: LazyLock<Roster> = LazyLock::new(|| {
    let topology = parse("network.yaml", NETWORK).expect("it is right");
    let staying = stay(&topology, SEED).expect("it can be drawn");
    Roster::new(&topology, &staying.plan)
});

pub fn check(bytes: &[u8]) -> bool {
    let mut is_request = false;
    for line in parts(bytes) {
        match Envelope::read(line) {
            Err(error) => assert_eq!(error.kind.exit_code(), 2, "{error}"),
            Ok(envelope) => {
                let again = serde_json::to_vec(&envelope).expect("it was read from JSON");
                assert_eq!(Envelope::read(&again).as_ref(), Ok(&envelope));
                assert!(!again.contains(&b'\n'), "{envelope:?}");
                find(&envelope.request);
                is_request = true;
            }
        }
    }
    is_request
}

/// Finds nodes, faults and conditions in the network. What cannot be met is an error of whoever asks.
fn find(request: &Request) {
    let mut roster = ROSTER.clone();
    let mut nodes = |choices: &[String]| match roster.choose(choices) {
        Ok(found) => assert!(found.iter().all(|node| roster.all().len() > node.index())),
        Err(error) => assert_eq!(error.kind.exit_code(), 2, "{error}"),
    };
    match request {
        Request::Fault { fault, .. } => {
            if let Err(error) = ROSTER.clone().fault(fault) {
                assert_eq!(error.kind.exit_code(), 2, "{error}");
            }
        }
        Request::Add { group, count } => {
            if let Err(error) = ROSTER.clone().grow(group, *count, &[]) {
                assert_eq!(error.kind.exit_code(), 2, "{error}");
            }
        }
        Request::Rpc { node, .. }
        | Request::Exec { node, .. }
        | Request::Shell { node, .. }
        | Request::Dial { node, .. } => {
            nodes(std::slice::from_ref(node));
        }
        Request::Logs { nodes: chosen, .. }
        | Request::Start { nodes: chosen }
        | Request::Remove { nodes: chosen }
        | Request::Capture { nodes: chosen, .. } => nodes(chosen),
        Request::Mine { by, .. } => nodes(by.as_slice()),
        Request::Wait { until, .. } => drop(Until::parse(until.trim())),
        Request::Describe
        | Request::Nodes
        | Request::Status
        | Request::Snapshot
        | Request::Links
        | Request::Heal { .. }
        | Request::Connect
        | Request::Pay { .. }
        | Request::PayAt { .. }
        | Request::Save { .. }
        | Request::Down => {}
    }
}

peerlab_fuzz::target!();
