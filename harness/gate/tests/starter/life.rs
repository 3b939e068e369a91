//! Starting, logs, and the end of everything.

use std::io::{Read as _, Write as _};

use peerlab_link::NodeId;
use peerlab_link::proto::{GATE_MESSAGE_BYTES_MAX, NODE_OOM_SCORE};
use peerlab_link::starter::{FromStarter, ToStarter};

use crate::harness::{Starter, built, spec};
use crate::processes::{all_gone, eventually};

/// A program that runs until it is ended, and says so.
const WAITING: [&str; 4] = ["/probe", "--exact", "life::wait_inside", "--nocapture"];

/// Not a test but the node's program in the tests below, which run this very binary.
#[test]
fn wait_inside() {
    if std::env::current_exe().is_ok_and(|exe| exe.as_os_str() == "/probe") {
        println!("waiting");
        loop {
            std::thread::park();
        }
    }
}

/// MiB that [`shout_inside`] writes.
const SHOUTED: usize = 300;

/// As above: writes much, as fast as it can, and ends.
#[test]
fn shout_inside() {
    if std::env::current_exe().is_ok_and(|exe| exe.as_os_str() == "/probe") {
        for _ in 0..SHOUTED {
            std::io::stderr().write_all(&[b'x'; 1 << 20]).unwrap();
        }
        println!("the end of it");
    }
}

/// Outer and inner starter, nursery, fabric, in the order in which they are made.
const OWN_PROCESSES: usize = 4;
const NURSERY: usize = 2;
const FABRIC: usize = 3;

fn oom_score(process: &str) -> i32 {
    let text = std::fs::read_to_string(format!("/proc/{process}/oom_score_adj"));
    text.unwrap().trim().parse().unwrap()
}

/// A starter with three nodes that run.
fn three_nodes() -> (Starter, Vec<u32>) {
    let mut starter = Starter::with_fabric();
    for node in 0..3 {
        starter.open_node(node, &WAITING);
    }
    starter.go();
    for node in 0..3 {
        eventually(|| starter.log(node).contains("waiting").then_some(()));
    }
    let family = starter.family();
    // And three times gate and program.
    assert_eq!(family.len(), OWN_PROCESSES + 6);
    // Where memory is short, what belongs to a node ends first.
    let own = oom_score("self");
    let scores = family.iter().map(|pid| oom_score(&pid.to_string()));
    let (nodes, others): (Vec<i32>, Vec<i32>) = scores.partition(|s| *s == NODE_OOM_SCORE);
    assert_eq!((nodes.len(), others), (6, vec![own; OWN_PROCESSES]));
    (starter, family)
}

#[test]
fn a_node_of_very_long_arguments_starts_as_any_other() {
    let mut starter = Starter::with_fabric();
    let long = "x".repeat(GATE_MESSAGE_BYTES_MAX);
    let command = [&WAITING[..], &["--skip", long.as_str()]].concat();
    starter.open_node(0, &command);
    starter.go();
    eventually(|| starter.log(0).contains("waiting").then_some(()));
}

#[test]
fn the_end_of_the_harness_is_the_end_of_everything() {
    let (mut starter, family) = three_nodes();
    starter.hang_up();
    assert_eq!(starter.process.wait().unwrap().code(), Some(0));
    all_gone(&family);
}

#[test]
fn killing_any_of_the_starters_processes_ends_everything() {
    for index in [0, 1] {
        let (mut starter, family) = three_nodes();
        let pid = family[index].to_string();
        assert!(
            std::process::Command::new("kill")
                .args(["-9", &pid])
                .status()
                .unwrap()
                .success()
        );
        assert!(!starter.process.wait().unwrap().success());
        all_gone(&family);
    }
}

#[test]
fn without_its_nursery_the_starter_makes_no_node_and_says_so() {
    let (mut starter, family) = three_nodes();
    let nursery = family[NURSERY].to_string();
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-9", &nursery]).status().unwrap().success());
    starter.tell(&ToStarter::StartNode(Box::new(spec(3, &WAITING))));
    match starter.told() {
        FromStarter::Failed { reason, .. } => {
            assert!(reason.starts_with("cannot make a process for"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert!(!starter.process.wait().unwrap().success());
    all_gone(&family);
}

#[test]
fn the_end_of_the_fabric_ends_the_nodes_and_is_told() {
    let (mut starter, family) = three_nodes();
    let fabric = family[FABRIC].to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-9", &fabric])
            .status()
            .unwrap()
            .success()
    );
    let mut told: Vec<FromStarter> = (0..4).map(|_| starter.told()).collect();
    told.sort_by_key(|message| match message {
        FromStarter::NodeEnded { node, .. } => node.0 + 1,
        _ => 0,
    });
    assert_eq!(told[0], FromStarter::FabricEnded { status: -9 });
    for (node, message) in told[1..].iter().enumerate() {
        assert_eq!(
            *message,
            FromStarter::NodeEnded {
                node: NodeId(node as u32),
                status: 0
            }
        );
    }
}

#[test]
fn the_end_of_a_gate_is_told() {
    let (mut starter, family) = three_nodes();
    let is_gate = |pid: &&u32| {
        let parent = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let parent = parent
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .nth(1)
            .unwrap();
        parent == family[1].to_string()
    };
    let gates: Vec<&u32> = family[OWN_PROCESSES..].iter().filter(is_gate).collect();
    assert_eq!(gates.len(), 3);
    let gate = gates[1].to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-9", &gate])
            .status()
            .unwrap()
            .success()
    );
    let FromStarter::NodeEnded { node, status: -9 } = starter.told() else {
        panic!("no end")
    };
    assert_eq!(starter.fabric_says(), format!("lost {node}"));
}

#[test]
fn a_program_that_is_not_there_is_told_by_its_gate() {
    let mut starter = Starter::with_fabric();
    starter.tell(&ToStarter::StartNode(Box::new(spec(9, &["/none"]))));
    assert_eq!(starter.told(), FromStarter::NodeStarted { node: NodeId(9) });
    let said = starter.fabric_says();
    assert!(
        said.starts_with("failed 9 the program /none cannot be used"),
        "{said}"
    );
    assert_eq!(
        starter.told(),
        FromStarter::NodeEnded {
            node: NodeId(9),
            status: 1
        }
    );
    assert!(starter.log(9).contains("the program /none cannot be used"));
}

#[test]
fn of_a_long_log_the_end_is_kept_and_no_write_fails() {
    let mut starter = Starter::with_fabric();
    starter.open_node(
        1,
        &["/probe", "--exact", "life::shout_inside", "--nocapture"],
    );
    starter.go();
    assert_eq!(starter.fabric_says(), "exited 1 0", "{}", starter.log(1));
    let (log, left_out) = starter.log_and_left_out(1);
    assert!(log.contains("the end of it"), "{log}");
    assert_eq!(log.len(), 256 << 10);
    let shouted = (SHOUTED << 20) as u64;
    let written = left_out + log.len() as u64;
    assert!((shouted..shouted + 1024).contains(&written), "{written}");
    assert_eq!(starter.log(2), "", "a node that was never started has none");
}

#[test]
fn what_cannot_be_set_up_is_told_with_its_reason() {
    let fabric = built("examples/open_gates");
    for (fabric, program, reason) in [
        (
            "/no/fabric",
            "/bin/true",
            "cannot copy the program /no/fabric",
        ),
        (
            fabric.as_str(),
            "/no/program",
            "cannot copy the program /no/program",
        ),
    ] {
        let mut starter = Starter::spawn();
        starter.tell(&ToStarter::Setup {
            fabric: fabric.into(),
            programs: vec![("program".to_owned(), program.into())],
            images: Vec::new(),
        });
        let FromStarter::Failed { reason: told, .. } = starter.told() else {
            panic!("ready")
        };
        assert!(told.contains(reason), "{told}");
        assert!(starter.told_or_end().is_none());
        assert_eq!(starter.process.wait().unwrap().code(), Some(1));
    }
}

#[test]
fn a_machine_that_forbids_it_is_told_how_to_allow_it() {
    for (prepare, reason, hint) in [
        (
            "echo 0 > /proc/sys/user/max_user_namespaces",
            "cannot make namespaces: No space left",
            "sudo sysctl user.max_user_namespaces=65536",
        ),
        (
            "mount -t tmpfs none /dev/net",
            "/dev/net/tun",
            "sudo modprobe tun",
        ),
    ] {
        let mut starter = Starter::spawn_after(prepare);
        let FromStarter::Failed {
            reason: told,
            hint: Some(advice),
        } = starter.set_up()
        else {
            panic!("{prepare} is no hindrance");
        };
        assert!(told.contains(reason), "{told}");
        assert!(advice.contains(hint), "{advice}");
        assert_eq!(starter.process.wait().unwrap().code(), Some(1));
    }
}

#[test]
fn a_harness_that_says_nothing_leaves_nothing() {
    let mut starter = Starter::spawn();
    starter.hang_up();
    assert_eq!(starter.process.wait().unwrap().code(), Some(1));

    let mut starter = Starter::spawn();
    starter.tell(&ToStarter::StartFabric);
    let FromStarter::Failed { reason, .. } = starter.told() else {
        panic!("it began")
    };
    assert!(reason.contains("did not begin with a setup"), "{reason}");
    assert_eq!(starter.process.wait().unwrap().code(), Some(1));
    let mut said = String::new();
    starter
        .process
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said, "");
}

#[test]
fn many_nodes_come_up_and_go() {
    const COUNT: u32 = 100;
    let mut starter = Starter::with_fabric();
    for node in 0..COUNT {
        starter.tell(&ToStarter::StartNode(Box::new(spec(node, &WAITING))));
    }
    for _ in 0..COUNT {
        let said = starter.fabric_says();
        assert!(said.starts_with("open "), "{said}");
    }
    for _ in 0..COUNT {
        assert!(matches!(starter.told(), FromStarter::NodeStarted { .. }));
    }
    let family = starter.family();
    assert_eq!(family.len(), OWN_PROCESSES + COUNT as usize);
    starter.hang_up();
    assert!(starter.process.wait().unwrap().success());
    all_gone(&family);
}
