//! Exploring finds what is really there: for each rule that our node can be told to break, a seed
//! in which the network fails for it, and a small experiment that shows it. With sound nodes
//! neither the search nor the small experiment finds anything.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure")]

mod hunt;

use hunt::{FAILED, HELD, hunt, hunt_in_vain, run};
use peerlab_node::PlantedBug;

/// What a person can take in.
const EVENTS_MAX: usize = 10;
const NODES_MAX: usize = 8;

fn is_found_and_shrunk(bug: PlantedBug) {
    let quarry = hunt(bug);
    let scenario = quarry.scenario();
    let (events, nodes) = (scenario.event_count(), scenario.node_count());
    assert!(events <= EVENTS_MAX, "{events} events: {}", quarry.text());
    assert!(nodes <= NODES_MAX, "{nodes} nodes: {}", quarry.text());
    let failed = vec![quarry.check()];
    assert_eq!(
        run(&quarry.file(), "sim"),
        (FAILED, failed),
        "{}",
        quarry.text()
    );
    assert_eq!(run(&quarry.sound_file(), "sim"), (HELD, Vec::new()));
    hunt_in_vain(bug);
}

#[test]
fn a_block_that_is_never_asked_for_again_is_found() {
    is_found_and_shrunk(PlantedBug::NoRerequest);
}

#[test]
fn a_branch_that_is_never_left_is_found() {
    is_found_and_shrunk(PlantedBug::FirstSeenForEver);
}

#[test]
fn a_reorganisation_that_is_not_announced_is_found() {
    is_found_and_shrunk(PlantedBug::NoAnnouncementAfterReorg);
}
