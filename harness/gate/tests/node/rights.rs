//! Who the program is, and what it may.

use peerlab_link::proto::{FromGate, NodeFile, ProcessOp, Seen, ToGate};

use crate::fabric::{Bench, Gate};
use crate::processes::eventually;

/// Runs `cat /proc/self/status` under the gate and gives it.
fn status_with(options: &[&str]) -> (String, Bench, Gate) {
    let bench = Bench::new();
    let look = "cat /proc/self/status; echo HOME $HOME; echo PWD $PWD; ls -l /proc/self/fd";
    let script = bench.find("found", look) + "; sleep 1000";
    let gate = bench.gate(options, &script);
    let _tun = gate.run();
    let found = bench.findings("found");
    (found, bench, gate)
}

/// A field of /proc/PID/status.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}"))
        .trim()
}

fn mask(status: &str, name: &str) -> u64 {
    u64::from_str_radix(field(status, name), 16).unwrap()
}

const NET_ADMIN: u64 = 1 << 12;
const KILL_SETGID_SETUID_PTRACE: u64 = 1 << 5 | 1 << 6 | 1 << 7 | 1 << 19;

#[test]
fn with_drop_all_caps_even_root_has_none_and_can_get_none() {
    let (status, _bench, gate) = status_with(&["--drop-all-caps"]);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(mask(&status, set), 0, "{set}");
    }
    assert_eq!(field(&status, "NoNewPrivs"), "1");
    let own = std::fs::read_to_string(format!("/proc/{}/status", gate.pid())).unwrap();
    assert_eq!(mask(&own, "CapEff"), mask(&own, "CapPrm"));
    assert_eq!(
        mask(&own, "CapPrm") & !KILL_SETGID_SETUID_PTRACE,
        0,
        "the gate's own"
    );
    assert_eq!(mask(&own, "CapBnd"), 0);
}

#[test]
fn without_it_only_net_admin_is_lost() {
    let (status, _bench, _gate) = status_with(&[]);
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
    let had = match rustix::process::geteuid().is_root() {
        true => mask(&own, "CapBnd"),
        // In its own user namespace it had all there are.
        false => (2 << last.trim().parse::<u32>().unwrap()) - 1,
    };
    let expected = had & !NET_ADMIN;
    assert_eq!(mask(&status, "CapBnd"), expected);
    assert_eq!(mask(&status, "CapEff"), expected);
    assert_eq!(mask(&status, "CapAmb"), 0);
    assert_eq!(field(&status, "NoNewPrivs"), "1");
}

#[test]
fn folder_and_hosts_file_are_there_before_the_program() {
    if !rustix::process::geteuid().is_root() {
        return; // a user namespace of one user has no other
    }
    let bench = Bench::new();
    let (folder, hosts) = (bench.path("owned"), bench.path("hosts"));
    std::fs::create_dir(&folder).unwrap();
    let look = format!(
        "readlink {}; stat -c %u:%g {}",
        hosts.display(),
        folder.display()
    );
    let script = bench.find("found", &look) + "; sleep 1000";
    let own = format!("--own={}", folder.display());
    let hosts = format!("--hosts={}", hosts.display());
    let gate = bench.gate(&["--user=4321:1234", &own, &hosts], &script);
    let _tun = gate.run();
    assert_eq!(bench.findings("found"), "/peerlab/hosts\n4321:1234\n");
}

#[test]
fn the_program_becomes_the_user_with_its_groups_and_home() {
    if !rustix::process::geteuid().is_root() {
        return; // a user namespace of one user has no other
    }
    let (status, bench, gate) = status_with(&["--user", "4321:1234", "--workdir", "/usr"]);
    assert_eq!(field(&status, "Uid"), "4321\t4321\t4321\t4321");
    assert_eq!(field(&status, "Gid"), "1234\t1234\t1234\t1234");
    assert_eq!(field(&status, "Groups"), "");
    assert_eq!(mask(&status, "CapEff"), 0);
    assert_eq!(mask(&status, "CapPrm"), 0);
    assert!(status.contains("PWD /usr\n"), "{status}");
    // A second start is as the first.
    std::fs::remove_file(bench.path("found")).unwrap();
    gate.obeys(1, ProcessOp::Kill);
    gate.obeys(2, ProcessOp::Start);
    assert_eq!(
        field(&bench.findings("found"), "Uid"),
        "4321\t4321\t4321\t4321"
    );

    let (status, ..) = status_with(&["--user", "daemon"]);
    let account = std::process::Command::new("id")
        .args(["-u", "daemon"])
        .output()
        .unwrap();
    let uid = String::from_utf8(account.stdout).unwrap();
    assert!(field(&status, "Uid").starts_with(uid.trim()));
    assert!(
        status.contains("HOME /usr/sbin\n") || !status.contains("HOME /root\n"),
        "{status}"
    );
}

#[test]
fn the_program_inherits_no_descriptor_but_the_standard_three() {
    let (found, ..) = status_with(&[]);
    let links: Vec<&str> = found.lines().filter(|l| l.contains(" -> ")).collect();
    // `ls` itself holds the folder open.
    assert!(
        links.iter().any(|l| l.contains(" 0 -> /dev/null")),
        "{found}"
    );
    let beyond = links.iter().filter(|l| {
        let number = l.split(" -> ").next().unwrap().rsplit(' ').next().unwrap();
        number.parse::<u32>().unwrap() > 2 && !l.contains("/proc/")
    });
    assert_eq!(beyond.count(), 0, "{found}");
}

#[test]
fn the_program_hears_every_signal() {
    let bench = Bench::new();
    // No shell: those reset the signal mask themselves.
    let gate = bench.gate_of(&[], &["/bin/sleep", "1000"]);
    let _tun = gate.run();
    let path = format!("/proc/{}", gate.program_pid());
    let is_up = |name: String| (name == "sleep\n").then_some(());
    eventually(|| {
        std::fs::read_to_string(format!("{path}/comm"))
            .ok()
            .and_then(is_up)
    });
    let status = std::fs::read_to_string(format!("{path}/status")).unwrap();
    assert_eq!(mask(&status, "SigBlk"), 0);
    // Signals 32 and 33 belong to the C library.
    assert_eq!(mask(&status, "SigIgn") & !(0b11 << 31), 0);
}

#[test]
fn the_program_cannot_touch_the_gate() {
    let bench = Bench::new();
    let script = bench.find(
        "found",
        "cat /proc/1/environ; cat /proc/1/maps; ls -l /proc/1/fd/0; cat /proc/1/exe; \
         kill -STOP 1; kill -KILL 1; kill -TERM 1; kill -INT 1",
    ) + "; sleep 1000";
    let gate = bench.gate(&["--drop-all-caps"], &script);
    let _tun = gate.run();
    let found = bench.findings("found");
    assert!(found.matches("Permission denied").count() >= 4, "{found}");
    // It still serves, and the program still runs.
    assert_eq!(gate.order(1, ProcessOp::Thaw), (vec![], Ok(Seen::Running)));
    assert!(!matches!(
        crate::processes::state(gate.program_pid()),
        None | Some('Z')
    ));
}

#[test]
fn what_cannot_be_resolved_fails_before_the_barrier() {
    for (options, command, reason) in [
        (
            &["--user", "nobody-of-this-name"][..],
            "/bin/sh",
            "no user \"nobody-of-this-name\"",
        ),
        (
            &[],
            "/no/such/program",
            "/no/such/program cannot be used: No such file",
        ),
        (
            &[],
            "no-such-program",
            "no program no-such-program in the image",
        ),
        (&[], "/etc/passwd", "/etc/passwd is not an executable file"),
    ] {
        let bench = Bench::new();
        let mut gate = bench.gate_of(options, &[command]);
        assert!(matches!(gate.answer(), FromGate::Hello { .. }));
        gate.configure();
        let FromGate::Failed { reason: told } = gate.answer() else {
            panic!("{command}")
        };
        assert!(told.contains(reason), "{told}");
        assert_eq!(gate.ended().0.code(), Some(1));
    }
}

#[test]
fn files_are_there_before_the_program_and_are_the_users() {
    if !rustix::process::geteuid().is_root() {
        return; // a user namespace of one user has no other
    }
    let bench = Bench::new();
    let (mine, roots) = (bench.path("made/mine"), bench.path("roots"));
    let shown = format!("{} {}", mine.display(), roots.display());
    let script =
        bench.find("found", &format!("cat {shown}; stat -c %u:%a {shown}")) + "; sleep 1000";
    let gate = bench.gate(&["--user=4321:1234"], &script);
    assert!(matches!(gate.answer(), FromGate::Hello { .. }));
    for (path, owner, mode) in [(&mine, None, 0o600), (&roots, Some("0:0"), 0o644)] {
        let head = NodeFile {
            path: path.to_str().unwrap().into(),
            mode,
            owner: owner.map(str::to_owned),
            bytes: Vec::new(),
        };
        for (head, text) in [(Some(head), "in "), (None, "pieces\n")] {
            let bytes = text.into();
            gate.send(&ToGate::File { head, bytes });
        }
    }
    gate.configure();
    assert!(matches!(gate.receive(), Some((FromGate::Tun, Some(_)))));
    gate.send(&ToGate::Go { run: true });
    let expected = "in pieces\nin pieces\n4321:600\n0:644\n";
    assert_eq!(bench.findings("found"), expected);
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let bench = Bench::new();
    let mut gate = bench.gate_of(&[], &["/bin/sh"]);
    assert!(matches!(gate.answer(), FromGate::Hello { .. }));
    let head = NodeFile {
        path: "/proc/nothing/here".into(),
        mode: 0o644,
        owner: None,
        bytes: Vec::new(),
    };
    gate.send(&ToGate::File {
        head: Some(head),
        bytes: Vec::new(),
    });
    gate.configure();
    let FromGate::Failed { reason } = gate.answer() else {
        panic!("it was written")
    };
    assert!(reason.contains("/proc/nothing/here"), "{reason}");
    assert_eq!(gate.ended().0.code(), Some(1));
}

#[test]
fn a_program_that_cannot_be_executed_is_told_as_a_shell_does() {
    for (interpreter, status, reason) in [
        ("/no/such/interpreter", 127, "No such file"),
        ("/etc/passwd", 126, "Permission denied"),
    ] {
        let bench = Bench::new();
        let file = bench.path("script");
        std::fs::write(&file, format!("#!{interpreter}\n")).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&file, executable).unwrap();
        let gate = bench.gate_of(&[], &[file.to_str().unwrap()]);
        let _tun = gate.run();
        assert_eq!(
            gate.answer(),
            FromGate::Exited {
                status,
                asked: false
            }
        );
        let (_, result) = gate.order(1, ProcessOp::Start);
        let error = result.unwrap_err();
        assert!(
            error.contains("/script: ") && error.contains(reason),
            "{error}"
        );
    }
}
