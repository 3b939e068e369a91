//! What exploring finds in virtual time comes again with real nodes: the shrunk experiments of the
//! planted bugs fail in containers by the same check, and hold there with sound nodes.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure")]

#[expect(
    dead_code,
    reason = "the hunt of other tests, of which a part is used here"
)]
#[path = "planted/hunt.rs"]
mod hunt;

use hunt::{FAILED, HELD, hunt, run};
use peerlab_node::PlantedBug;

/// A host that does other things as well makes a run inconclusive, though its checks say the same.
const TOO_BUSY: i32 = 4;

fn fails_in_containers(bug: PlantedBug) {
    let quarry = hunt(bug);
    let sound = quarry.sound_file();
    // Both at once: they are small.
    let control = std::thread::spawn(move || run(&sound, "docker"));
    let (code, failed) = run(&quarry.file(), "docker");
    assert_eq!(failed, [quarry.check()], "{}", quarry.text());
    assert!([FAILED, TOO_BUSY].contains(&code), "{}", quarry.text());
    let (code, failed) = control.join().unwrap();
    assert!(failed.is_empty(), "{failed:?}: {}", quarry.text());
    assert!([HELD, TOO_BUSY].contains(&code), "{}", quarry.text());
}

#[test]
fn a_block_is_never_asked_for_again() {
    fails_in_containers(PlantedBug::NoRerequest);
}

#[test]
fn a_branch_is_never_left() {
    fails_in_containers(PlantedBug::FirstSeenForEver);
}

#[test]
fn a_reorganisation_is_not_announced() {
    fails_in_containers(PlantedBug::NoAnnouncementAfterReorg);
}
