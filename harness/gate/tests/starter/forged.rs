//! Signals that a program sends to its gate: none of them passes for one of the engine's.

use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;

use crate::harness::Starter;
use crate::processes::{eventually, state};

/// Ways to send what has no sender in the node.
const WAYS: [&str; 3] = ["queued", "of-a-file", "without-details"];
/// The gate, for its program.
const GATE: libc::pid_t = 1;
/// From `linux/fcntl.h`.
const F_SETSIG: libc::c_int = 10;
/// Signals that wait for a process, at most: more than a machine lets a user have.
const WAITING_MAX: u32 = 1 << 20;

/// Queues a signal from nobody; whether the kernel did so.
fn queue(call: libc::c_long, receiver: &[libc::pid_t], signal: i32) -> bool {
    // SAFETY: all zeros is a value of this plain structure.
    let mut info: libc::siginfo_t = unsafe { MaybeUninit::zeroed().assume_init() };
    info.si_signo = signal;
    info.si_code = libc::SI_QUEUE;
    let info = &raw const info;
    let result = match *receiver {
        // SAFETY: the call reads numbers, and the structure, which lives across it.
        [process] => unsafe { libc::syscall(call, process, signal, info) },
        // SAFETY: as above.
        [process, thread] => unsafe { libc::syscall(call, process, thread, signal, info) },
        _ => -1,
    };
    result == 0
}

/// Has the kernel send SIGTERM to the gate because a pipe can be read.
fn send_of_a_file() {
    let (read, write) = std::io::pipe().unwrap();
    for (what, value) in [
        (libc::F_SETOWN, GATE),
        (F_SETSIG, libc::SIGTERM),
        (libc::F_SETFL, libc::O_ASYNC),
    ] {
        // SAFETY: these calls take numbers.
        assert_eq!(unsafe { libc::fcntl(read.as_raw_fd(), what, value) }, 0);
    }
    rustix::io::write(&write, b"x").unwrap();
}

/// Sends SIGTERM when so many signals wait that the kernel would keep no details of one more.
fn send_without_details() {
    let own = std::process::id().cast_signed();
    let signal = libc::SIGRTMIN();
    // SAFETY: blocks a signal for this thread, and asks for the thread's number.
    let thread = unsafe {
        let mut set = MaybeUninit::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
        libc::gettid()
    };
    let is_taken = |_: &u32| queue(libc::SYS_rt_tgsigqueueinfo, &[own, thread], signal);
    assert!((0..WAITING_MAX).take_while(is_taken).count() > 0);
    assert!(queue(libc::SYS_rt_sigqueueinfo, &[GATE], libc::SIGTERM));
}

/// Leaves an orphan to the gate, and waits until that has reaped it: it has heard what was sent before.
fn gate_has_heard() {
    let mut shell = std::process::Command::new("/probe");
    shell.args(["--exact", "forged::leave_an_orphan", "--nocapture"]);
    let said = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    let orphan = said.lines().find_map(|line| line.strip_prefix("orphan "));
    let orphan: u32 = orphan.unwrap().parse().unwrap();
    eventually(|| state(orphan).is_none().then_some(()));
}

fn is_inside() -> bool {
    std::env::current_exe().is_ok_and(|exe| exe.as_os_str() == "/probe")
}

/// Not a test but what [`gate_has_heard`] runs; does nothing anywhere else.
#[test]
fn leave_an_orphan() {
    if is_inside() {
        // SAFETY: the child ends at once.
        match unsafe { libc::fork() } {
            // SAFETY: as above.
            0 => unsafe { libc::_exit(0) },
            orphan => println!("orphan {orphan}"),
        }
    }
}

/// Not a test but the node's program in the test below; does nothing anywhere else.
#[test]
fn inside() {
    if !is_inside() {
        return;
    }
    match std::env::args().next_back().unwrap().as_str() {
        "queued" => assert!(queue(libc::SYS_rt_sigqueueinfo, &[GATE], libc::SIGTERM)),
        "of-a-file" => send_of_a_file(),
        "without-details" => send_without_details(),
        other => panic!("{other}"),
    }
    gate_has_heard();
}

#[test]
fn a_program_cannot_pass_for_the_engine() {
    let mut starter = Starter::with_fabric();
    for (node, way) in (0..).zip(WAYS) {
        starter.open_node(
            node,
            &["/probe", "--exact", "forged::inside", "--nocapture", way],
        );
    }
    starter.go();
    let mut ends: Vec<String> = WAYS.iter().map(|_| starter.fabric_says()).collect();
    ends.sort();
    let logs: Vec<String> = (0..3).map(|node| starter.log(node)).collect();
    assert_eq!(
        ends,
        ["exited 0 0", "exited 1 0", "exited 2 0"],
        "{logs:#?}"
    );
}
