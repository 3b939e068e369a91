//! The beginning and the end of connections.

use peerlab_node::Config;
use peerlab_node::wire::{AddressesV2, Command, Message, PeerAddress};

use crate::ledger::*;
use crate::puppet::*;
use crate::world::*;

#[test]
fn both_ends_learn_who_the_other_is() {
    let mut world = World::new(1);
    let a = world.add(connect_to(&[]));
    let b = world.add(connect_to(&[a]));
    world.run(secs(2));
    let (at_a, at_b) = (world.peers_of(a)[0], world.peers_of(b)[0]);
    assert!(at_a.kind.is_inbound() && !at_b.kind.is_inbound());
    assert_eq!(at_a.listen_addr(), Some(b.addr()));
    assert_eq!(
        at_a.version.as_ref().unwrap().start_height,
        PAST_BLOCKS as i32
    );
    assert!(at_b.ping.last.is_some() && at_b.ping.min <= at_b.ping.last);
    assert_eq!(at_a.traffic.received.total(), at_b.traffic.sent.total());
    assert_eq!(
        at_a.traffic.sent.of(Command::Version),
        at_b.traffic.received.of(Command::Version)
    );
    let chain = world.machine(a).chain();
    let known = at_a.sync.best_known().unwrap();
    assert_eq!(chain.entry(&known).unwrap().height, PAST_BLOCKS);
    assert_eq!(chain.fork_point(&known).unwrap().height, PAST_BLOCKS);
}

#[test]
fn a_peer_whose_link_goes_silent_is_noticed_and_replaced() {
    let mut world = World::new(2);
    let hub = world.add(connect_to(&[]));
    let node = world.add(connect_to(&[hub]));
    world.run(secs(10));
    world.set_silent(hub, true);
    world.run_until(secs(22), "who opened the connection notices", |w| {
        w.peers_of(node).is_empty()
    });
    assert_eq!(world.peers_of(hub).len(), 1, "it had nothing to say");
    world.mine(hub);
    world.run_until(secs(17), "now it notices too", |w| {
        w.peers_of(hub).is_empty()
    });
    world.set_silent(hub, false);
    world.run_until(secs(12), "they are connected again", |w| {
        w.peers_of(node).len() == 1
    });
}

#[test]
fn a_silent_link_is_noticed_even_by_who_says_nothing_and_opened_nothing() {
    let mut world = World::new(2);
    let hub = world.add(connect_to(&[]));
    let node = world.add(connect_to(&[hub]));
    world.run(secs(10));
    world.set_silent(hub, true);
    world.run_until(secs(140), "a ping is not answered", |w| {
        w.peers_of(hub).is_empty()
    });
    assert_eq!(world.peers_of(node).len(), 0);
}

#[test]
fn a_killed_peer_is_connected_to_again_when_it_is_back() {
    let mut world = World::new(3);
    let hub = world.add(connect_to(&[]));
    let node = world.add(connect_to(&[hub]));
    world.run(secs(60));
    world.kill(hub);
    world.run(secs(1));
    assert_eq!(world.peers_of(node).len(), 0);
    world.run(secs(30));
    world.restart(hub);
    world.run_until(secs(8), "connected", |w| w.peers_of(node).len() == 1);
}

#[test]
fn who_does_not_finish_the_handshake_is_let_go() {
    let mut world = World::new(4);
    let node = world.add(connect_to(&[]));
    let puppet = world.add_puppet();
    world.join(puppet, node);
    world.run(secs(14));
    assert!(world.reasons(node, puppet).is_empty());
    world.run(secs(2));
    assert_eq!(world.reasons(node, puppet), ["handshake timeout"]);
}

#[test]
fn who_leaves_pings_unanswered_but_talks_gets_longer() {
    let mut world = World::new(5);
    let node = world.add(connect_to(&[]));
    let puppet = world.add_puppet();
    let link = world.puppet_joins(puppet, node, 0);
    for n in 0..150 {
        world.say(puppet, link, Message::Ping(n));
        world.run(secs(1));
        if n == 60 {
            assert!(world.reasons(node, puppet).is_empty());
        }
    }
    assert_eq!(world.reasons(node, puppet), ["ping timeout"]);
}

#[test]
fn a_quiet_pair_pings_now_and_then_only() {
    let mut world = World::new(6);
    let a = world.add(connect_to(&[]));
    world.add(connect_to(&[a]));
    world.run(secs(10));
    let before = world.machine(a).totals().sent.total();
    world.run(secs(1_200));
    let spent = world.machine(a).totals().sent.total() - before;
    // A ping and a pong of 32 bytes every two minutes.
    assert!((18 * 32..=22 * 32).contains(&spent), "{spent} bytes");
    assert!(world.all_reasons(a).is_empty());
}

#[test]
fn what_comes_before_the_handshake_is_ignored() {
    let mut world = World::new(7);
    let node = world.add(connect_to(&[]));
    let puppet = world.add_puppet();
    let link = world.join(puppet, node);
    world.say(puppet, link, Message::GetAddr);
    world.say(puppet, link, Message::Ping(3));
    world.say(puppet, link, Message::Verack);
    world.run(secs(1));
    assert_eq!(world.heard(puppet), []);
    world.say(puppet, link, puppet_version(puppet, 0));
    world.run(secs(1));
    let commands: Vec<_> = world.heard(puppet).iter().map(Message::command).collect();
    let handshake = [
        Command::Version,
        Command::WtxidRelay,
        Command::SendAddrV2,
        Command::Verack,
    ];
    assert_eq!(commands, handshake);
    world.say(puppet, link, Message::Verack);
    world.run(secs(1));
    let commands: Vec<_> = world.heard(puppet).iter().map(Message::command).collect();
    assert_eq!(
        commands,
        [
            Command::SendHeaders,
            Command::SendCmpct,
            Command::Ping,
            Command::GetHeaders
        ]
    );
}

#[test]
fn addresses_come_in_the_form_that_was_asked_for() {
    let mut world = World::new(8);
    let node = world.add(Config::default());
    let sender = world.add_puppet();
    let address = PeerAddress {
        last_seen_secs: START.unix_secs(),
        services: 9,
        addr: "10.7.7.7:18444".parse().unwrap(),
    };
    let link = world.puppet_joins(sender, node, 0);
    world.say(sender, link, Message::Addr(vec![address, address]));
    world.run(secs(1));
    let old = world.add_puppet();
    let link = world.puppet_joins(old, node, 0);
    world.say(old, link, Message::GetAddr);
    world.run(secs(1));
    assert!(world.heard(old).contains(&Message::Addr(vec![address])));

    let new = world.add_puppet();
    let link = world.join(new, node);
    world.say(new, link, puppet_version(new, 0));
    world.say(new, link, Message::SendAddrV2);
    world.say(new, link, Message::Verack);
    world.say(new, link, Message::GetAddr);
    world.run(secs(1));
    assert!(
        world
            .heard(new)
            .contains(&Message::AddrV2(AddressesV2(vec![address])))
    );
}

#[test]
fn of_two_connections_dialled_at_the_same_moment_one_remains() {
    let mut world = World::new(9);
    let (a, b) = (Node(0), Node(1));
    world.add(connect_to(&[b]));
    world.add(connect_to(&[a]));
    world.run(secs(2));
    assert_eq!((world.peers_of(a).len(), world.peers_of(b).len()), (1, 1));
    assert!(
        !world.peers_of(a)[0].kind.is_inbound(),
        "the lower address's own stays"
    );
    let before = world.all_reasons(a).len() + world.all_reasons(b).len();
    world.run(secs(60));
    assert_eq!(
        world.all_reasons(a).len() + world.all_reasons(b).len(),
        before
    );
}

#[test]
fn a_node_that_comes_back_before_it_was_missed_is_let_in() {
    let mut world = World::new(10);
    let hub = world.add(connect_to(&[]));
    let spoke = world.add(connect_to(&[hub]));
    world.run(secs(10));
    // Its link goes, it dies and starts again, all within seconds: the hub still has the dead
    // connection.
    world.set_silent(spoke, true);
    world.kill(spoke);
    world.run(secs(3));
    world.restart(spoke);
    world.run_until(secs(5), "it is connected", |w| w.peers_of(spoke).len() == 1);
    world.mine(hub);
    world.run_until(secs(2), "and hears of blocks", |w| w.agree());
}

#[test]
fn the_only_peer_is_connected_to_again_however_often_it_went() {
    let mut world = World::new(3);
    let hub = world.add(connect_to(&[]));
    let node = world.add(connect_to(&[hub]));
    for _ in 0..10 {
        world.run_until(secs(40), "connected", |w| w.peers_of(node).len() == 1);
        world.kill(hub);
        world.run(secs(1));
        world.restart(hub);
    }
    world.run_until(secs(8), "connected again", |w| w.peers_of(node).len() == 1);
}
