//! Every planted bug bites: the same story ends well without it, and badly with it.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

#[expect(
    dead_code,
    reason = "the stage of other stories, of which some props are used here"
)]
#[path = "peers/ledger.rs"]
mod ledger;
#[expect(
    dead_code,
    reason = "the stage of other stories, of which some props are used here"
)]
#[path = "peers/puppet.rs"]
mod puppet;
#[expect(
    dead_code,
    unused_imports,
    reason = "the stage of other stories, of which some props are used here"
)]
#[path = "peers/world/mod.rs"]
mod world;

use peerlab_node::wire::Message;
use peerlab_node::{Config, PlantedBug};

use ledger::PAST_BLOCKS;
use world::{Node, World, connect_to, secs};

/// A node of the story, with the bug or without.
fn add(world: &mut World, bug: Option<PlantedBug>, peers: &[Node]) -> Node {
    world.add(Config {
        planted_bug: bug,
        ..connect_to(peers)
    })
}

/// A peer announces a block to a node and does not deliver it, and goes away in the end; another has
/// it all the time. Returns whether the node gets it.
fn gets_a_stalled_block(bug: Option<PlantedBug>) -> bool {
    let mut world = World::new(1);
    let miner = add(&mut world, None, &[]);
    let node = add(&mut world, bug, &[miner]);
    let puppet = world.add_puppet();
    let link = world.puppet_joins(puppet, node, PAST_BLOCKS as i32);
    world.run(secs(2));
    world.partition(|n| u32::from(n == miner));
    let block = world.mine(miner);
    let header = world.machine(miner).chain().entry(&block).unwrap().header;
    world.say(puppet, link, Message::Headers(vec![header].into()));
    world.run(secs(1));
    let asked = world.heard(puppet);
    assert!(asked.iter().any(|m| matches!(m, Message::GetData(_))));
    world.heal();
    world.run_answering(secs(60), puppet);
    world.kill(puppet);
    world.run(secs(60));
    world.tip(node) == block
}

#[test]
fn no_rerequest_leaves_a_node_without_a_stalled_block() {
    assert!(gets_a_stalled_block(None));
    assert!(!gets_a_stalled_block(Some(PlantedBug::NoRerequest)));
}

/// Two halves mine apart, and are joined. Returns whether all come to agree.
fn agree_after_a_partition(bug: Option<PlantedBug>) -> bool {
    let mut world = World::new(2);
    let left = add(&mut world, bug, &[]);
    let right = add(&mut world, bug, &[left]);
    world.run(secs(3));
    world.partition(|n| u32::from(n == left));
    world.mine(left);
    world.mine(right);
    world.mine(right);
    world.run(secs(3));
    world.heal();
    world.run(secs(30));
    // Many more blocks do not change it.
    for _ in 0..5 {
        world.mine(right);
        world.run(secs(3));
    }
    world.agree()
}

#[test]
fn first_seen_for_ever_keeps_the_branch_with_less_work() {
    assert!(agree_after_a_partition(None));
    assert!(!agree_after_a_partition(Some(PlantedBug::FirstSeenForEver)));
}

/// A line of three; the two on the left lose a race during a partition. Returns whether the one
/// at the end, which only the one in the middle knows, has the winner's tip: soon after the
/// partition, and after it connected anew.
fn the_end_of_the_line_hears(bug: Option<PlantedBug>) -> (bool, bool) {
    let mut world = World::new(3);
    let end = add(&mut world, bug, &[]);
    let middle = add(&mut world, bug, &[end]);
    let winner = add(&mut world, bug, &[middle]);
    world.run(secs(3));
    world.partition(|n| u32::from(n == winner));
    world.mine(end);
    world.mine(winner);
    let tip = world.mine(winner);
    world.run(secs(3));
    world.heal();
    world.run(secs(60));
    assert_eq!(world.tip(middle), tip);
    let heard = world.tip(end) == tip;
    let now = world.now;
    world.command(middle, |m| m.disconnect_node(now, end.addr()));
    world.run(secs(10));
    (heard, world.tip(end) == tip)
}

#[test]
fn no_announcement_after_reorg_leaves_those_behind_on_the_old_branch() {
    let bug = PlantedBug::NoAnnouncementAfterReorg;
    assert_eq!(the_end_of_the_line_hears(None), (true, true));
    assert_eq!(the_end_of_the_line_hears(Some(bug)), (false, true));
}
