//! What a program in a local node can reach: its own node, and nothing of the machine's.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use crate::harness::Starter;
use crate::processes::eventually;
use peerlab_link::proto::{NODE_SHARED_MEMORY_MAX, NODE_TASKS_MAX};

/// Files that fit into a node's /tmp, at most.
const FILES_OF_TMP: u32 = 4096;
/// The machine's own, which no limit of a node may change.
const PID_MAX: &str = "/proc/sys/kernel/pid_max";

/// Whether this kernel bounds all that a node may have: the number of processes from Linux 6.14 on, and
/// shared memory, unless root asks for it, not much longer.
fn bounds_all() -> bool {
    let release = rustix::system::uname();
    let release = release.release().to_str().unwrap();
    let mut numbers = release.split(['.', '-']).map(|n| n.parse().unwrap_or(0));
    [numbers.next(), numbers.next()] >= [Some(6), Some(14)]
}

/// Set in nodes alone: the environment is the starter's.
fn is_inside() -> bool {
    std::env::current_exe().is_ok_and(|exe| exe.as_os_str() == "/probe")
}

/// The name of an error, as programs know it.
fn errno<T>(result: std::io::Result<T>) -> String {
    match result {
        Ok(_) => "done".to_owned(),
        Err(e) => e.raw_os_error().map_or(e.to_string(), |n| {
            rustix::io::Errno::from_raw_os_error(n)
                .to_string()
                .replace("os error ", "")
        }),
    }
}

/// The result of a system call by number.
fn call(number: libc::c_long, arguments: [libc::c_long; 3]) -> String {
    // SAFETY: every call made here is refused, or takes no pointer.
    let result = unsafe { libc::syscall(number, arguments[0], arguments[1], arguments[2], 0, 0) };
    errno(if result < 0 {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(())
    })
}

fn names(folder: &str) -> String {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names.join(" ")
}

/// What becomes of writing where a program should not, and where it may.
fn writes() -> Vec<(&'static str, String)> {
    vec![
        ("write root", errno(fs::write("/x", ""))),
        ("write shared", errno(fs::write("/peerlab/x", ""))),
        (
            "write program",
            errno(fs::OpenOptions::new().append(true).open("/probe")),
        ),
        (
            "write kernel setting",
            errno(fs::write("/proc/sys/kernel/core_pattern", "x")),
        ),
        ("write device", errno(fs::write("/dev/null", "x"))),
        ("change devices", {
            let devices = ["null", "zero", "full", "random", "urandom", "net/tun"];
            let mut changes: Vec<String> = devices
                .map(|device| format!("/dev/{device}"))
                .map(|device| {
                    let as_it_is = fs::metadata(&device).unwrap().permissions();
                    errno(fs::set_permissions(&device, as_it_is))
                })
                .to_vec();
            changes.dedup();
            changes.join(" ")
        }),
        ("write data", errno(fs::write("/data/x", "x"))),
        ("write tmp", errno(fs::write("/tmp/x", "x"))),
        ("run data", {
            fs::copy("/probe", "/data/probe").unwrap();
            errno(std::process::Command::new("/data/probe").spawn())
        }),
        ("fill data", {
            let filled = errno(fs::write("/data/full", vec![1; 64 << 20]));
            fs::remove_file("/data/full").unwrap();
            filled
        }),
    ]
}

/// Makes a process that waits for its end.
fn fork_waiting() -> std::io::Result<libc::pid_t> {
    // SAFETY: the child does nothing but wait.
    match unsafe { libc::fork() } {
        0 => loop {
            // SAFETY: as above.
            unsafe { libc::pause() };
        },
        -1 => Err(std::io::Error::last_os_error()),
        child => Ok(child),
    }
}

/// What becomes of taking more than a node may have.
fn excesses() -> Vec<(&'static str, String)> {
    vec![
        ("many files", {
            let files = 0..2 * FILES_OF_TMP;
            let mut made = files.map(|n| fs::write(format!("/tmp/{n}"), ""));
            errno(made.find(|made| made.is_err()).unwrap_or(Ok(())))
        }),
        ("much shared memory", {
            let bytes = 2 * NODE_SHARED_MEMORY_MAX;
            call(libc::SYS_shmget, [0, bytes.cast_signed(), 0o600])
        }),
        ("many processes", {
            let mut children = Vec::new();
            let last = loop {
                match fork_waiting() {
                    Ok(child) if children.len() < 2 * NODE_TASKS_MAX as usize => {
                        children.push(child)
                    }
                    last => break errno(last),
                }
            };
            for child in children {
                // SAFETY: both concern a child of this process.
                unsafe {
                    libc::kill(child, libc::SIGKILL);
                    libc::waitpid(child, std::ptr::null_mut(), 0);
                }
            }
            last
        }),
    ]
}

/// What becomes of system calls that a program has no use for.
fn system_calls() -> Vec<(&'static str, String)> {
    vec![
        ("mount", call(libc::SYS_mount, [0, 0, 0])),
        (
            "unshare",
            call(libc::SYS_unshare, [libc::CLONE_NEWUSER.into(), 0, 0]),
        ),
        (
            "clone",
            call(
                libc::SYS_clone,
                [(libc::CLONE_NEWUSER | libc::SIGCHLD).into(), 0, 0],
            ),
        ),
        ("clone3", call(libc::SYS_clone3, [0, 0, 0])),
        ("setns", call(libc::SYS_setns, [0, 0, 0])),
        (
            "ptrace",
            call(libc::SYS_ptrace, [libc::PTRACE_ATTACH.into(), 1, 0]),
        ),
        ("keys", call(libc::SYS_keyctl, [0, 0, 0])),
        ("bpf", call(libc::SYS_bpf, [0, 0, 0])),
        ("host name", call(libc::SYS_sethostname, [0, 0, 0])),
        ("chroot", call(libc::SYS_chroot, [0, 0, 0])),
        (
            "raw socket",
            call(
                libc::SYS_socket,
                [
                    libc::AF_INET.into(),
                    libc::SOCK_RAW.into(),
                    libc::IPPROTO_ICMP.into(),
                ],
            ),
        ),
    ]
}

/// Not a test but the node's program in the test below, which runs this very binary: tries what
/// it should not, and writes down what came of it. Does nothing anywhere else.
#[test]
fn inside() {
    if !is_inside() {
        return;
    }
    let argument = |name: &str| {
        let mut arguments = std::env::args();
        arguments
            .find_map(|a| a.strip_prefix(name).map(str::to_owned))
            .unwrap()
    };
    let port: u16 = argument("port=").parse().unwrap();
    let abstract_name = SocketAddr::from_abstract_name(argument("abstract=")).unwrap();
    let processes = names("/proc");
    let processes = processes.split(' ').filter(|n| n.parse::<u32>().is_ok());
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let status = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    };
    let mut environment: Vec<String> = std::env::vars().map(|(n, v)| format!("{n}={v}")).collect();
    environment.sort();
    let seen = [
        ("root", names("/")),
        ("devices", names("/dev")),
        ("shared", names("/peerlab")),
        ("processes", processes.count().to_string()),
        ("environment", environment.join(" ")),
        (
            "host",
            rustix::system::uname()
                .nodename()
                .to_str()
                .unwrap()
                .to_owned(),
        ),
        (
            "capabilities",
            status("CapBnd") + &status("CapPrm") + &status("CapEff"),
        ),
        ("no new privileges", status("NoNewPrivs")),
        ("seccomp", status("Seccomp:")),
        (
            "host loopback",
            errno(TcpStream::connect(("127.0.0.1", port))),
        ),
        (
            "host address",
            errno(TcpStream::connect(("192.0.2.1", port))),
        ),
        (
            "host abstract socket",
            errno(UnixStream::connect_addr(&abstract_name)),
        ),
        ("gate's memory", errno(fs::File::open("/proc/1/mem"))),
        (
            "threads",
            std::thread::spawn(|| "done").join().unwrap().to_owned(),
        ),
    ];
    let findings = seen.into_iter().chain(writes()).chain(system_calls());
    let findings = findings.chain(excesses());
    for (name, found) in findings {
        println!("FOUND {name}: {found}");
    }
    println!("FOUND end");
}

#[test]
fn a_program_reaches_its_node_and_nothing_of_the_machines() {
    let pid_max = fs::read_to_string(PID_MAX).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let name = format!("peerlab-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _abstract_listener = UnixListener::bind_addr(&address).unwrap();
    // From outside, all of it can be reached.
    TcpStream::connect(("127.0.0.1", port)).unwrap();
    UnixStream::connect_addr(&address).unwrap();

    let mut starter = Starter::with_fabric();
    starter.open_node(
        4,
        &[
            "/probe",
            "--exact",
            "isolation::inside",
            "--nocapture",
            &format!("port={port}"),
            &format!("abstract={name}"),
        ],
    );
    starter.go();
    assert_eq!(starter.fabric_says(), "exited 4 0", "{}", starter.log(4));
    let log = eventually(|| Some(starter.log(4)).filter(|l| l.contains("FOUND end")));
    let mut found: Vec<&str> = log
        .lines()
        .filter_map(|l| l.strip_prefix("FOUND "))
        .collect();
    let expected = [
        "root: data dev peerlab probe proc tmp",
        "devices: fd full net null ptmx pts random shm stderr stdin stdout urandom zero",
        "shared: fabric.sock file",
        "processes: 2",
        "environment: HOME=/data PATH=/:/bin:/usr/bin",
        "host: node-4",
        &format!("capabilities: {}", "0".repeat(48)),
        "no new privileges: 1",
        "seccomp: 2",
        "host loopback: Connection refused (111)",
        "host address: Network is unreachable (101)",
        "host abstract socket: Connection refused (111)",
        "gate's memory: Permission denied (13)",
        "threads: done",
        "write root: Read-only file system (30)",
        "write shared: Read-only file system (30)",
        "write program: Permission denied (13)",
        "write kernel setting: Read-only file system (30)",
        "write device: done",
        "change devices: Read-only file system (30)",
        "write data: done",
        "write tmp: done",
        "run data: Permission denied (13)",
        "fill data: No space left on device (28)",
        "mount: Operation not permitted (1)",
        "unshare: Operation not permitted (1)",
        "clone: Operation not permitted (1)",
        "clone3: Function not implemented (38)",
        "setns: Operation not permitted (1)",
        "ptrace: Operation not permitted (1)",
        "keys: Operation not permitted (1)",
        "bpf: Operation not permitted (1)",
        "host name: Operation not permitted (1)",
        "chroot: Operation not permitted (1)",
        "raw socket: Operation not permitted (1)",
        "many files: No space left on device (28)",
        "much shared memory: No space left on device (28)",
        "many processes: Resource temporarily unavailable (11)",
        "end",
    ];
    let mut expected = expected.to_vec();
    if !bounds_all() {
        for findings in [&mut found, &mut expected] {
            findings.retain(|f| !f.starts_with("much ") && !f.starts_with("many processes"));
        }
    }
    assert_eq!(found, expected);
    assert_eq!(fs::read_to_string(PID_MAX).unwrap(), pid_max);
}

#[test]
fn nodes_do_not_see_each_other_beside_the_network() {
    let mut starter = Starter::with_fabric();
    let program = |name| ["/probe", "--exact", name, "--nocapture"];
    starter.open_node(1, &program("isolation::leave_a_mark"));
    starter.open_node(2, &program("isolation::leave_a_mark"));
    starter.go();
    let mut ends = [starter.fabric_says(), starter.fabric_says()];
    ends.sort();
    assert_eq!(
        ends,
        ["exited 1 0", "exited 2 0"],
        "{} {}",
        starter.log(1),
        starter.log(2)
    );
}

/// As [`inside`]: fails where another node has been before.
#[test]
fn leave_a_mark() {
    if !is_inside() {
        return;
    }
    for folder in ["/data", "/tmp"] {
        assert_eq!(names(folder), "");
        fs::write(format!("{folder}/mark"), "").unwrap();
    }
    let address = SocketAddr::from_abstract_name("mark").unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    // SAFETY: makes a shared memory segment of this name, or fails where there is one.
    let segment = unsafe { libc::shmget(77, 4096, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) };
    assert!(segment >= 0);
}
