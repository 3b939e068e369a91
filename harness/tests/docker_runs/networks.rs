//! Networks that stay, in containers.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::networks_of::{self, User};
use crate::support::{Engine, GONE_WITHIN};

#[test]
fn a_network_is_worked_with_and_becomes_an_experiment() {
    networks_of::a_network_is_worked_with_and_becomes_an_experiment("docker");
}

#[test]
fn a_killed_holder_leaves_no_container() {
    let engine = Engine::new();
    let user = User::of("docker");
    let before = engine.of_all_runs();
    let holder = user.up("2 --name net");
    let mut ours = engine.of_all_runs();
    ours.retain(|name| !before.contains(name));
    assert!(ours.len() > 2, "the fabric and two nodes: {ours:?}");
    let killed = Command::new("kill")
        .args(["-KILL", &holder.to_string()])
        .status();
    assert!(killed.unwrap().success());
    let deadline = Instant::now() + GONE_WITHIN;
    while engine.of_all_runs().iter().any(|name| ours.contains(name)) {
        assert!(Instant::now() < deadline, "containers are left");
        std::thread::sleep(Duration::from_millis(100));
    }
    let said = user.refused("status -n net", 2);
    assert!(said.contains("no network `net` is up"), "{said}");
}
