//! Networks that stay, on this machine.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::command::programs_for_everybody;
use crate::foreign_image::{COMMAND, FOLDER, RUN_CONFIG, saved_image};
use crate::networks_of::{self, User};
use crate::processes::{all_gone, eventually, family, signal};
use crate::saved_networks;

const SMALL: &str = include_str!("../experiments/small.yaml");

#[test]
fn a_network_is_worked_with_and_becomes_an_experiment() {
    networks_of::a_network_is_worked_with_and_becomes_an_experiment("local");
}

#[test]
fn nodes_join_and_leave() {
    networks_of::nodes_join_and_leave("local");
}

#[test]
fn what_goes_on_ends_with_its_network() {
    networks_of::what_goes_on_ends_with_its_network("local");
}

#[test]
fn what_nobody_reads_ends() {
    networks_of::what_nobody_reads_ends("local");
}

#[test]
fn payments_come_at_a_rate() {
    networks_of::payments_come_at_a_rate("local");
}

#[test]
fn a_node_without_a_shell_offers_its_rpc() {
    networks_of::a_node_without_a_shell_offers_its_rpc("local");
}

/// A program of this machine reaches all nodes at their addresses, and nothing else.
#[test]
fn a_program_of_the_host_comes_in_and_leaves() {
    let user = User::of("local");
    user.up("3 --name net --out record");
    user.says("wait --until up>=3 --timeout 60s");
    let ask = "exec 3<>/dev/tcp/10.0.0.2/18444 && echo reached";
    let mut command = user.command("connect -n net --json bash -c");
    let output = command.arg(ask).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    let (address, rest) = said.split_once('\n').unwrap();
    let address: serde_json::Value = serde_json::from_str(address).unwrap();
    assert_eq!(address["ip"], "10.0.0.4");
    assert_eq!(rest, "reached\n", "{errors}");
    // Its exit code is the program's; and a partition is one for it as well.
    assert_eq!(user.run("connect sh -c false").status.code(), Some(1));
    let mut guest = user.command("connect sleep 1000").spawn().unwrap();
    let guests = || {
        let rows = user.tells("ps --json");
        let rows = rows.as_array().unwrap().clone();
        rows.iter().filter(|row| row["state"] == "guest").count()
    };
    eventually(|| (guests() == 1).then_some(()));
    let status = user.tells("status --json");
    assert_eq!(
        (&status["nodes"], &status["agreed"]),
        (&3.into(), &true.into())
    );
    signal(guest.id(), "TERM");
    guest.wait().unwrap();
    eventually(|| (guests() == 0).then_some(()));
    // Where the network ends, so does the program.
    let mut guest = user.command("connect sleep 1000").spawn().unwrap();
    eventually(|| (guests() == 1).then_some(()));
    let all = family(guest.id());
    user.says("down");
    assert_eq!(guest.wait().unwrap().code(), Some(3));
    all_gone(&all);
    let judged = user.run("report record");
    assert!(matches!(judged.status.code(), Some(0 | 4)), "{judged:?}");
}

#[test]
fn a_network_is_saved_and_brought_up_again() {
    saved_networks::a_network_is_saved_and_brought_up_again("local");
}

#[test]
fn a_snapshot_that_is_not_whole_is_refused() {
    saved_networks::a_snapshot_that_is_not_whole_is_refused("local");
}

/// Its data lie in a folder of the image, in a file of its own.
#[test]
fn a_network_of_a_foreign_image_is_saved() {
    let write = |file: &Path| saved_image(file, RUN_CONFIG);
    let command = COMMAND.replace("/data", FOLDER);
    saved_networks::a_network_of_a_foreign_image_is_saved("local", write, &command);
}

#[test]
fn mistakes_are_told() {
    networks_of::mistakes_are_told("local");
}

#[test]
fn names_are_completed() {
    networks_of::names_are_completed("local");
}

#[test]
fn the_network_of_a_run_is_kept() {
    networks_of::the_network_of_a_run_is_kept("local");
}

#[test]
fn a_network_that_cannot_be_kept_is_refused() {
    networks_of::a_network_that_cannot_be_kept_is_refused("local");
}

#[test]
fn a_run_to_be_kept_ends_with_whoever_called_it_and_by_an_interrupt() {
    let user = User::of("local");
    for (how, is_told) in [("INT", true), ("KILL", false)] {
        std::fs::write(user.path("small.yaml"), SMALL).unwrap();
        let words = format!("run small.yaml --keep --engine local --out {how}");
        let mut command = user.command(&words);
        let mut run = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = user.path(how).join("events.jsonl");
        eventually(|| {
            let log = std::fs::read_to_string(&log).ok()?;
            log.contains("\"phase\"").then_some(())
        });
        let all = family(run.id());
        assert!(all.len() > 4 * 2, "{all:?}");
        signal(run.id(), how);
        let status = run.wait().unwrap();
        let mut errors = String::new();
        run.stderr
            .take()
            .unwrap()
            .read_to_string(&mut errors)
            .unwrap();
        assert_eq!(status.code(), is_told.then_some(130), "{errors}");
        assert!(errors.contains("everything was removed"), "{errors}");
        all_gone(&all);
        assert_eq!(user.left(), Vec::<String>::new());
    }
}

#[test]
fn a_killed_holder_leaves_nothing_and_its_name_is_free() {
    let user = User::of("local");
    let holder = user.up("3 --name net");
    let all = family(holder);
    assert!(all.len() > 3 * 2, "{all:?}");
    signal(holder, "KILL");
    all_gone(&all);
    // What is left of it is cleared by whoever comes next.
    for words in ["status -n net", "status"] {
        let said = user.refused(words, 2);
        assert!(said.contains("is up"), "{said}");
        assert!(said.contains("was killed"), "{said}");
    }
    assert_eq!(user.left(), ["net.ended"]);
    let next = user.up("3 --name net");
    assert_eq!(user.says("ps").lines().count(), 4);
    // The record of the first can be read still.
    let all = family(next);
    assert!(all.len() > 3 * 2, "{all:?}");
    assert!(!user.left().contains(&"net.ended".to_owned()));
    signal(next, "TERM");
    all_gone(&all);
    eventually(|| (user.left() == ["net.ended"]).then_some(()));
    let all = user.run("ps --all");
    assert_eq!(all.stdout, b"no network is up\n");
    let said = String::from_utf8(all.stderr).unwrap();
    assert!(said.starts_with("a signal ended `net` "), "{said}");
    // Whoever wanted it down is told, and it is forgotten.
    let said = user.refused("down", 2);
    assert!(said.contains("a signal ended `net` "), "{said}");
    assert_eq!(user.left(), Vec::<String>::new());
}

/// All that a network writes lies on one disk, with the folder of networks, and there is no room on it.
#[test]
fn a_full_disk_ends_a_network_and_whoever_asks_next_is_told() {
    let user = User::of("local");
    let runtime = user.path("runtime");
    std::fs::create_dir(user.path("disk")).unwrap();
    let up = on_small_disk(&user, "1m", "up 3 --name net -d --json --out disk/record");
    let said = String::from_utf8_lossy(&up.stdout).into_owned();
    let errors = String::from_utf8_lossy(&up.stderr);
    assert!(up.status.success(), "{said}{errors}");
    let up: serde_json::Value = serde_json::from_str(&said).unwrap();
    let holder = up["pid"].as_u64().unwrap() as u32;
    // It is in the network's own view of files, and stays as long as it is open here.
    let inside = format!("/proc/{holder}/root{}", user.path("disk").display());
    let disk = File::open(inside).unwrap();
    let here = format!("/proc/{}/fd/{}", std::process::id(), disk.as_raw_fd());
    std::fs::remove_dir(&runtime).unwrap();
    symlink(format!("{here}/runtime"), &runtime).unwrap();
    assert_eq!(user.says("ps").lines().count(), 4);
    let all = family(holder);
    assert!(all.len() > 3 * 2, "{all:?}");
    let mut filler = File::create(format!("{here}/filler")).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    all_gone(&all);
    eventually(|| (user.left() == ["net.ended"]).then_some(()));
    for words in ["status -n net", "ps", "down"] {
        let said = user.refused(words, 2);
        assert!(said.contains("`net` ended by itself"), "{said}");
        assert!(said.contains("cannot record the run"), "{said}");
        assert!(said.contains("No space left on device"), "{said}");
    }
    assert_eq!(user.left(), Vec::<String>::new());
    let judged = user.run(&format!("report {here}/record"));
    assert_eq!(judged.status.code(), Some(3), "{judged:?}");
}

#[test]
fn a_network_does_not_come_up_on_a_full_disk() {
    let user = User::of("local");
    std::fs::create_dir(user.path("disk")).unwrap();
    let up = on_small_disk(&user, "4k", "up 3 --name net -d --out disk/record");
    let said = String::from_utf8_lossy(&up.stderr).into_owned();
    assert_eq!(up.status.code(), Some(3), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert_eq!(user.left(), Vec::<String>::new());
}

/// Runs a command with a disk of its own at `disk`, of this size.
fn on_small_disk(user: &User, size: &str, words: &str) -> Output {
    let command = user.command(&format!("{words} --engine local"));
    let script =
        format!("mount -t tmpfs -o size={size} none disk; mkdir -m 700 disk/runtime; exec \"$@\"");
    let mut inside = Command::new("unshare");
    inside
        .args(["--user", "--map-root-user", "--mount", "sh", "-ec"])
        .args([&script, "sh"]);
    let mut inside = through(inside, &command);
    // A way to it that leads there from inside, whatever `runtime` means here.
    inside.env("XDG_RUNTIME_DIR", user.path("disk/runtime"));
    inside.output().unwrap()
}

/// A command that another one is to start, whose arguments come last.
fn through(mut outer: Command, inner: &Command) -> Command {
    outer
        .arg(inner.get_program())
        .args(inner.get_args())
        .envs(
            inner
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .current_dir(inner.get_current_dir().unwrap())
        .stdin(Stdio::null());
    outer
}

#[test]
fn a_holder_does_not_end_with_the_session_that_it_came_from() {
    let user = User::of("local");
    let mut shell = Command::new("setsid");
    shell.args(["/bin/sh", "-c", "\"$@\"; kill -HUP -$$", "sh"]);
    let up = user.command("up 2 --name net -d --engine local");
    through(shell, &up).output().unwrap();
    assert_eq!(user.says("ps").lines().count(), 3);
    user.says("down");
}

#[test]
fn a_network_that_does_not_come_up_is_told_and_leaves_nothing() {
    let user = User::of("local");
    let file = user.path("bad.yaml");
    let text = "name: bad\nseed: 1\nphases: { warmup: 4s, settle: 6s }\n\
                nodes: { peers: { count: 2, command: ['-nosuchoption=1'] } }\n";
    std::fs::write(file, text).unwrap();
    let said = user.refused("up bad.yaml -d --engine local", 3);
    assert!(said.contains("never became ready"), "{said}");
    assert_eq!(user.left(), Vec::<String>::new());
}

#[test]
fn a_request_that_makes_no_sense_is_answered_and_the_network_goes_on() {
    let user = User::of("local");
    user.up("2 --name net");
    let socket = user.path("runtime/peerlab/net.sock");
    let ask = |line: &[u8]| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        // It may have answered, and gone, before all of it was written.
        let _ = stream.write_all(line);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    for line in [
        &b"\n"[..],
        b"{}\n",
        b"\xff\xfe\n",
        b"{\"version\":1,\"request\":\"explode\"}\n",
    ] {
        let answer = ask(line);
        assert!(answer.contains("was not understood"), "{answer}");
    }
    let answer = ask(b"{\"version\":99,\"request\":\"status\"}\n");
    assert!(answer.contains("another Peerlab"), "{answer}");
    assert_eq!(ask(b""), "");
    let long = vec![b'x'; 3 << 20];
    let answer = ask(&long);
    assert!(
        answer.is_empty() || answer.contains("longer than"),
        "{answer}"
    );
    assert_eq!(user.says("ps").lines().count(), 3);
    user.says("down");
}

/// Connections that last are as many as it says, and keep nobody else from being answered.
#[test]
fn a_network_is_asked_and_taken_down_while_others_keep_their_connections() {
    let user = User::of("local");
    user.up("2 --name net");
    user.says("wait --until up>=2 --timeout 60s");
    let socket = user.path("runtime/peerlab/net.sock");
    let dial = || {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let dial = "{\"version\":1,\"request\":{\"dial\":{\"node\":\"peers-0\",\"port\":18443}}}\n";
        stream.write_all(dial.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer).unwrap();
        (stream, answer)
    };
    let all: Vec<(UnixStream, String)> = (0..64).map(|_| dial()).collect();
    for (_, answer) in &all {
        assert_eq!(answer, "\"open\"\n");
    }
    assert_eq!(user.says("ps").lines().count(), 3);
    let refused = user.refused("forward peers-0:18443", 3);
    assert!(
        refused.contains("64 connections are open already"),
        "{refused}"
    );
    user.says("down");
}

/// As root only, who can be somebody else.
#[test]
fn another_user_does_not_reach_a_network() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let user = User::of("local");
    user.up("2 --name net");
    let (_folder, peerlab) = programs_for_everybody();
    let other = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&peerlab)
            .args(words)
            .env("XDG_RUNTIME_DIR", user.path("runtime"))
            .stdin(Stdio::null());
        command.output().unwrap()
    };
    for words in [&["ps"][..], &["down", "-n", "net"]] {
        let output = other(words);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
    }
    assert_eq!(user.says("ps").lines().count(), 3);
    user.says("down");
}
