//! Kill, stop, start, freeze, thaw and wipe.

use std::ffi::{c_int, c_void};

use peerlab_link::proto::{FromGate, ProcessOp, Seen, ToGate};

use crate::fabric::Bench;
use crate::processes::{children, eventually, state};

fn exited(status: i32, asked: bool) -> Vec<FromGate> {
    vec![FromGate::Exited { status, asked }]
}

/// Set for [`wait_for_a_child_in_the_same_memory`] inside the node.
const INSIDE: &str = "PEERLAB_TEST_VFORK";

const GONE: Result<Seen, String> = Ok(Seen::NotRunning);
const UP: Result<Seen, String> = Ok(Seen::Running);

fn refused(why: &str) -> Result<Seen, String> {
    Err(why.to_owned())
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
    assert_eq!(gate.order(1, ProcessOp::Kill), (exited(-9, true), GONE));
    assert_eq!(
        children(gate.pid()),
        [],
        "nothing is left when it is answered"
    );
    std::fs::remove_file(bench.path("up")).unwrap();
    assert_eq!(gate.order(2, ProcessOp::Start), (vec![], UP));
    bench.findings("up");
    assert_eq!(
        gate.order(3, ProcessOp::Start),
        (vec![], UP),
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
    let (_, result) = gate.order(1, ProcessOp::Start);
    assert_eq!(result, refused("the node has not been let go yet"));
    gate.send(&ToGate::Go { run: false });
    assert_eq!(gate.order(2, ProcessOp::Kill), (vec![], GONE));
    assert!(!bench.path("up").exists());
    assert_eq!(gate.order(3, ProcessOp::Start), (vec![], UP));
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
    assert_eq!(gate.order(1, ProcessOp::Stop), (exited(3, true), GONE));
    assert_eq!(bench.findings("bye"), "bye\n");
    assert_eq!(
        gate.order(2, ProcessOp::Stop),
        (vec![], GONE),
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
    assert_eq!(gate.answers_until_done(1), (exited(-9, true), GONE));
    assert_eq!(gate.answers_until_done(2), (vec![], UP));
    assert_eq!(gate.answers_until_done(3), (exited(-9, true), GONE));
}

#[test]
fn a_frozen_node_stands_still_and_can_be_thawed_stopped_or_killed() {
    let bench = Bench::new();
    let script = format!(
        "sleep 1001 & setsid sleep 1002 & echo up > {}; exec sleep 1000",
        bench.path("up").display()
    );
    let gate = bench.gate(&[], &script);
    let _tun = gate.run();
    bench.findings("up");
    let program = gate.program_pid();
    let frozen = Ok(Seen::StandsStill { processes: 3 });
    assert_eq!(gate.order(1, ProcessOp::Freeze), (vec![], frozen));
    assert_eq!(state(program), Some('T'), "when it is answered");
    assert_eq!(gate.order(2, ProcessOp::Thaw), (vec![], UP));
    eventually(|| (state(program) == Some('S')).then_some(()));
    gate.obeys(3, ProcessOp::Freeze);
    assert_eq!(gate.order(4, ProcessOp::Stop), (exited(-15, true), GONE));
    gate.obeys(5, ProcessOp::Start);
    gate.obeys(6, ProcessOp::Freeze);
    assert_eq!(gate.order(7, ProcessOp::Kill), (exited(-9, true), GONE));
    assert_eq!(gate.order(8, ProcessOp::Freeze), (vec![], GONE));
    assert_eq!(gate.order(9, ProcessOp::Thaw), (vec![], GONE));
}

extern "C" fn pause_for_ever(_: *mut c_void) -> c_int {
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

/// Not a test but the node's program in the test below, which runs this very binary there: it waits for a
/// child as `vfork` does until that becomes its program, which this one never does. Does nothing anywhere
/// else.
#[test]
fn wait_for_a_child_in_the_same_memory() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let mut stack = vec![0_u8; 64 << 10];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack grows down from its end, and is the child's alone as long as it lives: this thread
    // waits for its end.
    unsafe {
        let end = stack.as_mut_ptr().add(stack.len()).cast();
        libc::clone(pause_for_ever, end, flags, std::ptr::null_mut());
    }
}

#[test]
fn a_program_that_waits_for_a_child_it_has_just_made_can_be_frozen() {
    let bench = Bench::new();
    let own = std::env::current_exe().unwrap();
    let test = "control::wait_for_a_child_in_the_same_memory";
    let inside = format!("{INSIDE}=1");
    let program = ["/usr/bin/env", &inside, own.to_str().unwrap()];
    let command = [&program[..], &["--exact", test, "--nocapture"]].concat();
    let gate = bench.gate_of(&["--drop-all-caps"], &command);
    let _tun = gate.run();
    let program = gate.program_pid();
    let child = eventually(|| children(program).first().copied());
    let frozen = Ok(Seen::StandsStill { processes: 2 });
    assert_eq!(gate.order(1, ProcessOp::Freeze), (vec![], frozen));
    assert_eq!(state(child), Some('T'));
    assert_eq!(gate.order(2, ProcessOp::Thaw), (vec![], UP));
    let slow = ProcessOp::Slow {
        id: 1,
        cpu_millis: 100,
    };
    assert_eq!(gate.order(3, slow), (vec![], Ok(Seen::Slowed)));
    assert_eq!(gate.order(4, ProcessOp::Kill), (exited(-9, true), GONE));
}

#[test]
fn a_slow_node_is_seen_to_stand_still_in_its_turns() {
    let bench = Bench::new();
    let gate = bench.gate(
        &[],
        &format!("echo up > {}; exec sleep 1000", bench.path("up").display()),
    );
    let _tun = gate.run();
    bench.findings("up");
    let slow = ProcessOp::Slow {
        id: 4,
        cpu_millis: 100,
    };
    assert_eq!(gate.order(1, slow), (vec![], Ok(Seen::Slowed)));
    assert_eq!(gate.order(2, ProcessOp::Unslow { id: 4 }), (vec![], UP));
    gate.obeys(3, ProcessOp::Kill);
    assert_eq!(gate.order(4, slow), (vec![], GONE));
}

#[test]
fn wiping_leaves_what_was_there_before_the_program_first_ran() {
    let bench = Bench::new();
    let data = bench.path("data");
    std::fs::write(data.join("config"), "first").unwrap();
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
    let options = [&["--drop-all-caps", "--disk", data.to_str().unwrap()], user].concat();
    let gate = bench.gate(&options, &script);
    let _tun = gate.run();
    bench.findings("up");
    let (_, result) = gate.order(1, ProcessOp::Wipe);
    assert_eq!(result, refused("the program is running"));
    gate.obeys(2, ProcessOp::Kill);
    assert!(data.join("a/b/file").exists());
    let emptied = Ok(Seen::Emptied { entries: 5 });
    assert_eq!(gate.order(3, ProcessOp::Wipe), (vec![], emptied));
    let left: Vec<_> = std::fs::read_dir(&data).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    std::fs::remove_file(bench.path("up")).unwrap();
    gate.obeys(4, ProcessOp::Start);
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
    let (_, result) = gate.order(1, ProcessOp::Wipe);
    assert_eq!(result, refused("the node has no disk that can be emptied"));

    // What a program without capabilities has locked away from itself.
    let data = bench.path("data");
    let lock = format!(
        "cd {}; mkdir locked; touch locked/chain; chmod 500 locked",
        data.display()
    );
    let options = ["--drop-all-caps", "--disk", data.to_str().unwrap()];
    let gate = bench.gate(&options, &lock);
    let _tun = gate.run();
    gate.answer();
    let (_, result) = gate.order(1, ProcessOp::Wipe);
    let error = result.unwrap_err();
    assert!(error.contains("locked: Permission denied"), "{error}");
    assert!(data.join("locked/chain").exists());
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(data.join("locked"), open).unwrap();
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
    assert_eq!(gate.order(1, ProcessOp::Start), (vec![], UP));
}
