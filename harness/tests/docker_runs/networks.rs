//! Networks that stay, in containers.

use std::process::Command;

use crate::networks_of::{self, User};
use crate::saved_networks;
use crate::support::{Engine, GONE_WITHIN};

#[test]
fn a_network_is_worked_with_and_becomes_an_experiment() {
    networks_of::a_network_is_worked_with_and_becomes_an_experiment("docker");
}

#[test]
fn nodes_join_and_leave() {
    networks_of::nodes_join_and_leave("docker");
}

#[test]
fn a_node_without_a_shell_offers_its_rpc() {
    networks_of::a_node_without_a_shell_offers_its_rpc("docker");
}

#[test]
fn a_network_is_saved_and_brought_up_again() {
    saved_networks::a_network_is_saved_and_brought_up_again("docker");
}

#[test]
fn no_program_of_the_host_comes_into_containers() {
    let user = User::of("docker");
    user.up("2 --name net");
    let said = user.refused("connect true", 2);
    assert!(said.contains("peerlab forward"), "{said}");
    assert_eq!(user.says("ps").lines().count(), 3);
    user.says("down");
}

#[test]
fn the_network_of_a_run_is_kept() {
    networks_of::the_network_of_a_run_is_kept("docker");
}

#[test]
fn a_killed_holder_leaves_no_container() {
    let engine = Engine::new();
    let user = User::of("docker");
    let file = user.path("held.yaml");
    let text =
        "name: held\nseed: 1\nphases: { warmup: 4s, settle: 6s }\nnodes: { held: { count: 2 } }\n";
    std::fs::write(file, text).unwrap();
    let holder = user.up("held.yaml --name net");
    let all = engine.of_all_runs();
    let run = all.iter().find_map(|name| {
        let name = name.trim_start_matches('/').strip_prefix("peerlab-")?;
        name.strip_suffix("-held-0")
    });
    let run = run.unwrap_or_else(|| panic!("no node of it among {all:?}"));
    assert_eq!(engine.containers(run).len(), 3, "the fabric and two nodes");
    let volumes = engine.volumes(run);
    let killed = Command::new("kill")
        .args(["-KILL", &holder.to_string()])
        .status();
    assert!(killed.unwrap().success());
    engine.wait_until_gone(run, &volumes, GONE_WITHIN);
    let said = user.refused("status -n net", 2);
    assert!(said.contains("no network `net` is up"), "{said}");
}
