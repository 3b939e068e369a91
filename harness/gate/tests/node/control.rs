//! Kill, stop, start, freeze, thaw and wipe.

use peerlab_link::proto::{FromGate, ProcessOp, ToGate};

use crate::fabric::Bench;
use crate::processes::{children, eventually, state};

fn exited(status: i32, asked: bool) -> Vec<FromGate> {
    vec![FromGate::Exited { status, asked }]
}

#[test]
fn a_killed_program_takes_its_whole_node_along_and_can_start_again() {
    let bench = Bench::new();
    // A child in its own session, a detached grandchild, one that ignores SIGTERM.
    let script = format!(
        "setsid sleep 1001 & (sleep 1002 &); trap '' TERM; echo up > {}; sleep 1000",
        bench.path("up").display()
    );
    let gate = bench.gate(&[], &script);
    let _tun = gate.run();
    bench.findings("up");
    assert!(!children(gate.pid()).is_empty());
    assert_eq!(gate.order(1, ProcessOp::Kill), (exited(-9, true), None));
    assert_eq!(
        children(gate.pid()),
        [],
        "nothing is left when it is answered"
    );
    std::fs::remove_file(bench.path("up")).unwrap();
    assert_eq!(gate.order(2, ProcessOp::Start), (vec![], None));
    bench.findings("up");
    assert_eq!(
        gate.order(3, ProcessOp::Start),
        (vec![], None),
        "it runs already"
    );
}

#[test]
fn an_idle_node_starts_when_told() {
    let bench = Bench::new();
    let gate = bench.gate(
        &[],
        &format!("echo up > {}; exit 5", bench.path("up").display()),
    );
    let _tun = gate.open();
    let (_, error) = gate.order(1, ProcessOp::Start);
    assert_eq!(error.as_deref(), Some("the node has not been let go yet"));
    gate.send(&ToGate::Go { run: false });
    assert_eq!(gate.order(2, ProcessOp::Kill), (vec![], None));
    assert!(!bench.path("up").exists());
    assert_eq!(gate.order(3, ProcessOp::Start), (vec![], None));
    assert_eq!(
        gate.answer(),
        FromGate::Exited {
            status: 5,
            asked: false
        }
    );
    bench.findings("up");
}

#[test]
fn a_polite_stop_lets_the_program_end_its_work() {
    let bench = Bench::new();
    let script = format!(
        "trap 'echo bye > {}; exit 3' TERM; echo up > {}; while :; do sleep 0.01; done",
        bench.path("bye").display(),
        bench.path("up").display()
    );
    let gate = bench.gate(&[], &script);
    let _tun = gate.run();
    bench.findings("up");
    assert_eq!(gate.order(1, ProcessOp::Stop), (exited(3, true), None));
    assert_eq!(bench.findings("bye"), "bye\n");
    assert_eq!(
        gate.order(2, ProcessOp::Stop),
        (vec![], None),
        "it is down already"
    );
}

#[test]
fn a_start_behind_a_stop_waits_and_a_kill_hastens_it() {
    let bench = Bench::new();
    let script = format!(
        "trap '' TERM; echo up >> {}; sleep 1000",
        bench.path("up").display()
    );
    let gate = bench.gate(&[], &script);
    let _tun = gate.run();
    bench.findings("up");
    gate.send(&ToGate::Process {
        tag: 1,
        op: ProcessOp::Stop,
    });
    gate.send(&ToGate::Process {
        tag: 2,
        op: ProcessOp::Start,
    });
    gate.send(&ToGate::Process {
        tag: 3,
        op: ProcessOp::Kill,
    });
    assert_eq!(gate.answers_until_done(1), (exited(-9, true), None));
    assert_eq!(gate.answers_until_done(2), (vec![], None));
    assert_eq!(gate.answers_until_done(3), (exited(-9, true), None));
}

#[test]
fn a_frozen_node_stands_still_and_can_be_thawed_stopped_or_killed() {
    let bench = Bench::new();
    let gate = bench.gate(
        &[],
        &format!("echo up > {}; exec sleep 1000", bench.path("up").display()),
    );
    let _tun = gate.run();
    bench.findings("up");
    let program = gate.program_pid();
    assert_eq!(gate.order(1, ProcessOp::Freeze), (vec![], None));
    eventually(|| (state(program) == Some('T')).then_some(()));
    assert_eq!(gate.order(2, ProcessOp::Thaw), (vec![], None));
    eventually(|| (state(program) == Some('S')).then_some(()));
    gate.order(3, ProcessOp::Freeze);
    assert_eq!(gate.order(4, ProcessOp::Stop), (exited(-15, true), None));
    gate.order(5, ProcessOp::Start);
    gate.order(6, ProcessOp::Freeze);
    assert_eq!(gate.order(7, ProcessOp::Kill), (exited(-9, true), None));
    let (_, error) = gate.order(8, ProcessOp::Freeze);
    assert_eq!(error.as_deref(), Some("the program is not running"));
    assert_eq!(gate.order(9, ProcessOp::Thaw), (vec![], None));
}

#[test]
fn wiping_empties_the_data_of_a_program_that_is_down() {
    let bench = Bench::new();
    let data = bench.path("data");
    let script = format!(
        "cd {}; mkdir -p a/b; echo x > a/b/file; ln -s / link; touch .hidden; echo up > {}; \
         sleep 1000",
        data.display(),
        bench.path("up").display()
    );
    let user: &[&str] = if rustix::process::geteuid().is_root() {
        &["--user", "4321"]
    } else {
        &[]
    };
    let options = [&["--drop-all-caps", "--data", data.to_str().unwrap()], user].concat();
    let gate = bench.gate(&options, &script);
    let _tun = gate.run();
    bench.findings("up");
    let (_, error) = gate.order(1, ProcessOp::Wipe);
    assert_eq!(error.as_deref(), Some("the program is running"));
    gate.order(2, ProcessOp::Kill);
    assert!(data.join("a/b/file").exists());
    assert_eq!(gate.order(3, ProcessOp::Wipe), (vec![], None));
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0);
    std::fs::remove_file(bench.path("up")).unwrap();
    gate.order(4, ProcessOp::Start);
    bench.findings("up");
    assert!(data.join("a/b/file").exists());
}

#[test]
fn a_wipe_that_cannot_be_done_says_why() {
    let bench = Bench::new();
    let gate = bench.gate(&[], "exit 0");
    let _tun = gate.run();
    assert_eq!(
        gate.answer(),
        FromGate::Exited {
            status: 0,
            asked: false
        }
    );
    let (_, error) = gate.order(1, ProcessOp::Wipe);
    assert_eq!(error.as_deref(), Some("the node has no data directory"));

    let gate = bench.gate(&["--data", "/no/such/folder"], "exit 0");
    let _tun = gate.run();
    gate.answer();
    let (_, error) = gate.order(1, ProcessOp::Wipe);
    assert!(error.unwrap().contains("No such file"));
}

#[test]
fn orphans_are_reaped() {
    let bench = Bench::new();
    let script = format!(
        "for i in 1 2 3 4 5 6 7 8; do (sleep 0.0$i &); done; sleep 0.2; echo up > {}; sleep 1000",
        bench.path("up").display()
    );
    let gate = bench.gate(&[], &script);
    let _tun = gate.run();
    bench.findings("up");
    let pid = gate.pid();
    eventually(|| (children(pid).len() == 1).then_some(()));
}

#[test]
fn a_program_that_ends_takes_what_it_left_behind_along() {
    let bench = Bench::new();
    let gate = bench.gate(&[], "setsid sleep 1000 & kill -SEGV $$");
    let _tun = gate.run();
    assert_eq!(
        gate.answer(),
        FromGate::Exited {
            status: -11,
            asked: false
        }
    );
    let pid = gate.pid();
    eventually(|| children(pid).is_empty().then_some(()));
    assert_eq!(gate.order(1, ProcessOp::Start), (vec![], None));
}
