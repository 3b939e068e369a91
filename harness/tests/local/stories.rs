//! Experiments that hold, and ways to end them early.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::command::{
    add_run, experiment, held, member, programs_for_everybody, run, wait_for_event, whole_family,
};
use crate::foreign_image::{COMMAND, FOLDER, RUN_CONFIG, VOLUME, saved_image};
use crate::processes::{all_gone, signal};

/// A line of the log that is written once all nodes are started.
const STARTED: &str = "\"started\"";

#[test]
fn a_small_network_lives_through_a_partition_and_a_kill() {
    let folder = experiment(16);
    held(&run(folder.path()).output().unwrap());
    let log = std::fs::read_to_string(folder.path().join("run/events.jsonl")).unwrap();
    assert!(log.contains("\"local\""));
}

#[test]
fn shipped_experiments_give_their_verdicts() {
    crate::shipped::each_gives_its_verdict("local");
}

#[test]
fn a_killed_harness_leaves_nothing() {
    let folder = experiment(60);
    let mut process = run(folder.path()).spawn().unwrap();
    let family = whole_family(&process);
    signal(process.id(), "KILL");
    process.wait().unwrap();
    all_gone(&family);
}

#[test]
fn an_interrupted_harness_removes_everything_and_says_so() {
    for name in ["INT", "TERM"] {
        let folder = experiment(60);
        let process = run(folder.path()).spawn().unwrap();
        wait_for_event(folder.path(), STARTED);
        let family = whole_family(&process);
        signal(process.id(), name);
        let output = process.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("interrupted; everything was removed"),
            "{said}"
        );
        all_gone(&family);
    }
}

#[test]
fn a_killed_fabric_ends_the_run_and_is_named() {
    let folder = experiment(60);
    let process = run(folder.path()).spawn().unwrap();
    wait_for_event(folder.path(), STARTED);
    let family = whole_family(&process);
    signal(member(&family, "peerlab-fabric"), "KILL");
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the fabric ended by itself"), "{said}");
    all_gone(&family);
}

#[test]
fn a_killed_gate_is_a_node_that_is_down_and_the_report_says_so() {
    let folder = experiment(16);
    let process = run(folder.path()).spawn().unwrap();
    wait_for_event(folder.path(), STARTED);
    // After harness, both starters, nursery and fabric come the gates.
    let gate = whole_family(&process)[5];
    signal(gate, "KILL");
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // All nodes were to be up; of a host that is too busy that proves nothing.
    assert!(matches!(output.status.code(), Some(1 | 4)), "{said}");
    assert!(
        said.contains("went down unasked and stayed down: "),
        "{said}"
    );
    let report = std::fs::read_to_string(folder.path().join("run/report.json")).unwrap();
    // The fabric says that it is gone, or the starter how it ended, whoever is first.
    let told = ["its gate ended", "its gate was ended by signal 9"];
    assert!(told.iter().any(|why| report.contains(why)), "{report}");
}

/// Runs with these further arguments, on a host that cannot keep up with the first try.
fn run_on_a_busy_host(folder: &Path, more: &[&str]) -> Output {
    let process = run(folder).args(more).spawn().unwrap();
    wait_for_event(folder, STARTED);
    let fabric = member(&whole_family(&process), "peerlab-fabric");
    // A fabric that gets no CPU half of the time, as on a host with too much to do.
    for _ in 0..10 {
        signal(fabric, "STOP");
        std::thread::sleep(Duration::from_millis(300));
        signal(fabric, "CONT");
        std::thread::sleep(Duration::from_millis(300));
    }
    process.wait_with_output().unwrap()
}

#[test]
fn a_run_that_proves_nothing_is_tried_again() {
    let folder = experiment(16);
    let output = run_on_a_busy_host(folder.path(), &["--retry-inconclusive", "1"]);
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    // The second try may meet a host that is busy for other reasons.
    assert!(
        matches!(output.status.code(), Some(0 | 4)),
        "{said}\n{errors}"
    );
    assert!(errors.contains("try 1 of 2 is inconclusive"), "{errors}");
    assert!(said.contains("tries/1 was inconclusive: "), "{said}");
    assert!(!said.contains("try 2 of 2"), "{said}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join("run").join(name));
    let first = read("tries/1/report.json").unwrap();
    assert!(first.contains("\"outcome\": \"inconclusive\""));
    assert!(first.contains("no CPU in"));
    let junit = read("junit.xml").unwrap();
    let named = junit.matches("<flakyError ").count() + junit.matches("<rerunError ").count();
    assert_eq!(named, 1, "{junit}");
}

#[test]
fn a_host_that_cannot_keep_up_proves_nothing() {
    let folder = experiment(16);
    let output = run_on_a_busy_host(folder.path(), &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("no CPU in"), "{said}");
    assert!(said.contains("doctor"), "{said}");
}

#[test]
fn more_nodes_than_fit_are_refused_before_anything_starts() {
    let folder = experiment(16);
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "ulimit -n 80; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_peerlab"));
    add_run(&mut command, folder.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("cannot carry 6 nodes here"), "{said}");
    assert!(said.contains("open files of a process: 80"), "{said}");
    assert!(said.contains("--nofile="), "{said}");
    assert!(!folder.path().join("run").exists());
}

#[test]
fn an_ordinary_user_needs_nothing_but_the_device() {
    if !rustix::process::geteuid().is_root() {
        return; // then all the other tests show it
    }
    // Builds the programs where they are missing.
    let folder = experiment(16);
    held(&run(folder.path()).output().unwrap());

    let (programs, peerlab) = programs_for_everybody();
    let folder = experiment(16);
    std::os::unix::fs::chown(folder.path(), Some(USER), Some(USER)).unwrap();
    // The device as distributions ship it, for this test alone.
    let device = programs.path().join("tun");
    let script = format!(
        "set -e; mknod -m 0666 {device} c 10 200; mount --bind {device} /dev/net/tun; \
         exec setpriv --reuid {USER} --regid {USER} --clear-groups \"$@\"",
        device = device.display()
    );
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "/bin/sh", "-c", &script, "sh"])
        .arg(peerlab);
    command
        .env("PEERLAB_PROGRAMS", programs.path())
        .current_dir("/");
    add_run(&mut command, folder.path());
    held(&command.output().unwrap());
}

/// An account that has none.
const USER: u32 = 54_321;

#[test]
fn a_machine_that_forbids_namespaces_is_told_how_to_allow_them() {
    let folder = experiment(16);
    let mut command = Command::new("unshare");
    let script = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"";
    command
        .args(["--user", "--map-root-user", "/bin/sh", "-c", script, "sh"])
        .arg(env!("CARGO_BIN_EXE_peerlab"));
    add_run(&mut command, folder.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("cannot start nodes on this machine"),
        "{said}"
    );
    assert!(
        said.contains("sudo sysctl user.max_user_namespaces=65536"),
        "{said}"
    );
}

/// `peerlab run` on a machine without a Docker Engine, after `script` took more from it.
fn without_docker(folder: &Path, engine: &str, script: &str) -> Output {
    // The engine's socket is in /run, and this namespace's own /run is empty.
    let script = format!("set -e; mount -t tmpfs none /run; {script}; exec \"$@\"");
    Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "/bin/sh", "-c"])
        .args([&script, "sh"])
        .arg(env!("CARGO_BIN_EXE_peerlab"))
        .args(["run", "--engine", engine, "--out"])
        .arg(folder.join(format!("run-{engine}")))
        .arg(folder.join("small.yaml"))
        .env_remove("DOCKER_HOST")
        .env_remove("DOCKER_CONTEXT")
        .env("DOCKER_CONFIG", folder)
        .output()
        .unwrap()
}

#[test]
fn an_engine_is_tried_before_it_is_chosen_and_real_never_means_the_simulator() {
    let folder = experiment(16);
    for (taken, cause) in [
        (
            "echo 0 > /proc/sys/user/max_user_namespaces",
            "cannot make namespaces",
        ),
        ("mount -t tmpfs none /dev/net", "/dev/net/tun"),
    ] {
        let auto = without_docker(folder.path(), "auto", taken);
        let said = String::from_utf8_lossy(&auto.stderr);
        assert_eq!(auto.status.code(), Some(0), "{said}");
        let chosen = "Engine: sim, nothing real runs (no Docker Engine answers at unix://";
        assert!(said.contains(chosen), "{said}");
        assert!(said.contains(cause), "{said}");
        std::fs::remove_dir_all(folder.path().join("run-auto")).unwrap();

        let real = without_docker(folder.path(), "real", taken);
        let said = String::from_utf8_lossy(&real.stderr);
        assert_eq!(real.status.code(), Some(3), "{said}");
        assert!(said.contains("Error: no Docker Engine answers"), "{said}");
        assert!(
            said.contains("Error: cannot start nodes on this machine"),
            "{said}"
        );
        assert!(!folder.path().join("run-real").exists());
    }
    let real = without_docker(folder.path(), "real", "true");
    held(&real);
    let said = String::from_utf8_lossy(&real.stderr);
    assert!(
        said.contains("Engine: local (no Docker Engine answers"),
        "{said}"
    );
}

#[test]
fn programs_start_as_the_experiment_says() {
    crate::launched::programs_start_as_the_experiment_says("local");
}

#[test]
fn somebody_elses_image_runs_beside_our_node() {
    let folder = experiment(16);
    saved_image(&folder.path().join("ledger.tar"), RUN_CONFIG);
    // Its path counts from the experiment's folder.
    let file = folder.path().join("small.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let peers = format!("peers: {{ count: 4, image: 'oci:ledger.tar', command: {COMMAND} }}");
    std::fs::write(&file, text.replace("peers: { count: 4 }", &peers)).unwrap();
    let cache = folder.path().join("cache");
    for _ in 0..2 {
        let output = run(folder.path())
            .env("XDG_CACHE_HOME", &cache)
            .output()
            .unwrap();
        held(&output);
        let record = folder.path().join("record");
        let _ = std::fs::remove_dir_all(&record);
        std::fs::rename(folder.path().join("run"), record).unwrap();
    }
    // Unpacked once, under its digest.
    let unpacked = std::fs::read_dir(cache.join("peerlab/images")).unwrap();
    assert_eq!(unpacked.count(), 1);

    // The same record, and first the same image, then another one under its name.
    for changed in [false, true] {
        let image = folder.path().join("ledger.tar");
        if changed {
            std::fs::write(&image, said_otherwise(&std::fs::read(&image).unwrap())).unwrap();
        }
        let replay = Command::new(env!("CARGO_BIN_EXE_peerlab"))
            .args(["replay", "record", "--engine", "local", "--out", "run"])
            .current_dir(folder.path())
            .env("XDG_CACHE_HOME", &cache)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for_event(folder.path(), STARTED);
        signal(replay.id(), "INT");
        let output = replay.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            said.contains("ledger.tar is another one: it was sha256:"),
            changed,
            "{said}"
        );
        std::fs::remove_dir_all(folder.path().join("run")).unwrap();
    }
}

/// An image whose configuration says the same in another order, and so has another digest.
fn said_otherwise(image: &[u8]) -> Vec<u8> {
    let place = |text: &[u8]| {
        let mut parts = image.windows(text.len());
        parts.rposition(|part| part == text).unwrap()
    };
    let system = b",\"os\":\"linux\"";
    let (architecture, end) = (place(b"\"architecture\":"), place(system));
    let (head, tail) = (&image[..architecture], &image[end + system.len()..]);
    let first = [&system[1..], b","].concat();
    [head, &first, &image[architecture..end], tail].concat()
}

#[test]
fn a_node_is_replaced_wherever_its_image_keeps_its_data() {
    let folder = experiment(16);
    saved_image(&folder.path().join("ledger.tar"), RUN_CONFIG);
    let file = folder.path().join("small.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    for data in [FOLDER, VOLUME, "/tmp"] {
        let command = COMMAND.replace("/data", data);
        let peers = format!("peers: {{ count: 4, image: 'oci:ledger.tar', command: {command} }}");
        let text = text.replace("peers: { count: 4 }", &peers);
        std::fs::write(&file, text.replace("kill: peers-3", "replace: peers-3")).unwrap();
        let cache = folder.path().join("cache");
        let mut run = run(folder.path());
        held(&run.env("XDG_CACHE_HOME", &cache).output().unwrap());
        let record = folder.path().join("run");
        let report = std::fs::read_to_string(record.join("report.json")).unwrap();
        assert!(!report.contains("had no effect"), "{data}: {report}");
        let log = std::fs::read_to_string(record.join("events.jsonl")).unwrap();
        let emptied = log.lines().find(|line| line.contains("emptied")).unwrap();
        assert!(!emptied.contains(r#""entries":0}"#), "{data}: {emptied}");
        std::fs::remove_dir_all(record).unwrap();
    }
}

#[test]
fn an_image_that_says_nothing_to_run_is_the_files_mistake() {
    let folder = experiment(16);
    saved_image(&folder.path().join("ledger.tar"), "{}");
    let file = folder.path().join("small.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let peers = "peers: { count: 4, image: 'oci:ledger.tar' }";
    std::fs::write(&file, text.replace("peers: { count: 4 }", peers)).unwrap();
    let mut command = run(folder.path());
    let output = command.env("XDG_CACHE_HOME", folder.path()).output();
    let output = output.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(
        errors.contains("Error: group peers has no program to run\nCaused by: the image oci:")
            && errors.contains("ledger.tar has neither an entrypoint nor a command\nHint: "),
        "{errors}"
    );
    let log = std::fs::read_to_string(folder.path().join("run/events.jsonl")).unwrap();
    assert!(!log.contains(STARTED), "{log}");
}

#[test]
fn folders_whose_names_are_no_text_serve_as_well_as_others() {
    let outside = experiment(16);
    let folder = outside.path().join(OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&folder).unwrap();
    saved_image(&folder.join(OsStr::from_bytes(b"ledger.tar")), RUN_CONFIG);
    let text = std::fs::read_to_string(outside.path().join("small.yaml")).unwrap();
    let peers = format!("peers: {{ count: 4, image: 'oci:ledger.tar', command: {COMMAND} }}");
    let file = folder.join("small.yaml");
    std::fs::write(&file, text.replace("peers: { count: 4 }", &peers)).unwrap();
    let (programs, _) = programs_for_everybody();
    let inside = folder.join("programs");
    std::fs::create_dir(&inside).unwrap();
    for name in ["peerlab-node", "peerlab-fabric", "peerlab-gate"] {
        std::fs::copy(programs.path().join(name), inside.join(name)).unwrap();
    }
    let peerlab = |arguments: &[&OsStr]| {
        let output = Command::new(env!("CARGO_BIN_EXE_peerlab"))
            .args(arguments)
            .env("XDG_CACHE_HOME", folder.join("cache"))
            .env("PEERLAB_PROGRAMS", &inside)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(0 | 4)), "{errors}");
        output
    };
    let (check, local) = (OsStr::new("check"), OsStr::new("--engine=local"));
    peerlab(&[check, file.as_os_str()]);
    let [record, again] = ["record", "again"].map(|name| folder.join(name).into_os_string());
    let (run, replay, out) = (OsStr::new("run"), OsStr::new("replay"), OsStr::new("--out"));
    held(&peerlab(&[run, local, out, &record, file.as_os_str()]));
    let plan = std::fs::read(folder.join("record/plan.json")).unwrap();
    let plan: serde_json::Value = serde_json::from_slice(&plan).unwrap();
    // The archive's path, byte by byte.
    assert!(plan["groups"][1]["image"]["archive"].is_array(), "{plan}");
    held(&peerlab(&[replay, local, out, &again, &record]));
    held(&peerlab(&[OsStr::new("report"), &record]));
    peerlab(&[OsStr::new("compare"), &record, &again]);
}

#[test]
fn an_image_that_is_not_there_is_told_with_what_to_do() {
    let folder = experiment(16);
    let file = folder.path().join("small.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    for (image, said) in [
        ("oci:none.tar", "cannot read the image archive"),
        ("somebody/else:1", "somebody/else:1"),
    ] {
        let peers = format!("peers: {{ count: 4, image: '{image}' }}");
        std::fs::write(&file, text.replace("peers: { count: 4 }", &peers)).unwrap();
        let mut command = run(folder.path());
        command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{errors}");
        assert!(errors.contains(said), "{errors}");
        let hint = match image {
            "oci:none.tar" => "into the folder `images` of the record",
            _ => "image: oci:FILE",
        };
        assert!(errors.contains(hint), "{errors}");
        std::fs::remove_dir_all(folder.path().join("run")).unwrap();
    }
}
