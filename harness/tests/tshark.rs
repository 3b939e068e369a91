//! Wireshark finds the messages of nodes in what a run captures. Needs tshark.

#[path = "shared/networks.rs"]
mod networks_of;
#[path = "../gate/tests/shared/processes.rs"]
mod processes;

use std::process::Command;

use networks_of::User;

/// The port of peers on regtest, as tshark is told of it.
const PORT_IS_OF_BITCOIN: &str = "tcp.port==18444,bitcoin";

#[test]
fn a_capture_is_dissected() {
    let user = User::of("local");
    let text = "name: pair\nseed: 1\nphases: { warmup: 4s, settle: 6s }\n\
                nodes: { peers: { count: 2, hashpower: 1 } }\nledger: { block_interval: 2s }\n";
    std::fs::write(user.path("pair.yaml"), text).unwrap();
    let ran = user.run("run pair.yaml --engine local --capture peers-0 --out run");
    assert!(matches!(ran.status.code(), Some(0 | 4)), "{ran:?}");
    let output = Command::new("tshark")
        .arg("-r")
        .arg(user.path("run/capture/peers-0.pcapng"))
        .args(["-d", PORT_IS_OF_BITCOIN])
        .args(["-Y", "bitcoin", "-T", "fields", "-e", "bitcoin.command"])
        .output()
        .unwrap();
    let commands = String::from_utf8_lossy(&output.stdout);
    for command in ["version", "verack", "headers"] {
        assert!(commands.contains(command), "{output:?}");
    }
}
