//! Experiment files. What the two parsers read in two ways is refused; each mistake has its place; and what is
//! read becomes a plan that can be carried out, and is read again when it is written.
#![cfg_attr(feature = "libfuzzer", no_main)]

use peerlab_core::plan::{Plan, compile};
use peerlab_core::topology::{Topology, parse};

/// Experiments beyond this take long to be drawn.
const NODES_MAX: usize = 64;
const SECONDS_MAX: f64 = 600.0;

pub fn check(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    match parse("fuzz.yaml", text) {
        Ok(topology) => drawn(&topology),
        Err(error) => {
            for report in &error.reports {
                let more = report.what.ends_with("more mistakes in this file");
                assert!(report.place.is_some() || more, "{}", error.render());
            }
            false
        }
    }
}

fn drawn(topology: &Topology) -> bool {
    let ends = topology.phases.end().as_secs_f64();
    if topology.node_count() > NODES_MAX || ends > SECONDS_MAX {
        return false;
    }
    let Ok(plan) = compile(topology, 1) else {
        return false;
    };
    assert_eq!(plan.validate(), Ok(()));
    let again = Plan::parse("plan.json", &plan.to_json());
    assert_eq!(again, Ok(plan));
    true
}

peerlab_fuzz::target!();
