//! Ctrl-C before the first node is started: while an engine does not answer, and while an image is
//! unpacked. The harness ends at once, and leaves nothing. No container engine is needed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../src/engine/docker/fake.rs"]
mod fake;
#[path = "../gate/tests/shared/processes.rs"]
mod processes;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fake::Fake;
use processes::{all_gone, eventually, family, signal};

/// Bytes of a file that takes a while to unpack.
const SLOW_BYTES: u64 = 1 << 30;

/// Answers everything that comes before the first node, but for paths with `silent` in them.
fn engine_silent_at(silent: &'static str) -> Fake {
    let info = r#"{"NCPU":8,"MemTotal":32000000000,"ServerVersion":"20.10","OperatingSystem":"x","KernelVersion":"y"}"#;
    Fake::start(move |_, path, _| match path {
        _ if path.contains(silent) => (0, String::new()),
        _ if path.ends_with("/version") => (200, r#"{"ApiVersion":"1.41"}"#.into()),
        _ if path.ends_with("/info") => (200, info.into()),
        _ if path.contains("/images/peerlab/archive") => (404, "no such image".into()),
        _ if path.contains("/images/peerlab/") => (200, r#"{"Id":"sha256:aa","Config":{}}"#.into()),
        _ if path.contains("/images/known") => (200, r#"{"Id":"sha256:bb","Config":{}}"#.into()),
        _ => (404, "no such thing".into()),
    })
}

/// Writes an image's archive into a folder: one layer with one file of so many bytes.
fn write_archive(folder: &Path, bytes: u64) {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    fs::create_dir(folder).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_path("file").unwrap();
    header.set_mode(0o644);
    header.set_size(bytes);
    header.set_cksum();
    let mut layer = File::create(folder.join("layer")).unwrap();
    layer.write_all(header.as_bytes()).unwrap();
    layer
        .set_len(512 + bytes.next_multiple_of(512) + 1024)
        .unwrap();
    let config = format!(
        r#"{{"architecture":"{architecture}","os":"linux","config":{{"Cmd":["/file"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:00"]}}}}"#
    );
    fs::write(folder.join("config.json"), config).unwrap();
    let manifest = r#"[{"Config":"config.json","Layers":["layer"]}]"#;
    fs::write(folder.join("manifest.json"), manifest).unwrap();
}

/// A run of an experiment with two nodes of an image; all that it writes is under `folder`.
fn run(folder: &Path, engine: &str, image: &str, docker: &str) -> Child {
    let text = format!(
        "name: small\nseed: 3\nphases: {{ warmup: 4s, settle: 6s }}\nnodes:\n  \
         miners: {{ count: 2, hashpower: 1 }}\n  others: {{ count: 2, image: '{image}' }}\n\
         ledger: {{ block_interval: 1s }}\nexpect:\n  - nodes_up: {{ min: 10% }}\n"
    );
    let file = folder.join("small.yaml");
    fs::write(&file, text).unwrap();
    fs::create_dir_all(folder.join("tmp")).unwrap();
    let _ = fs::remove_dir_all(folder.join("record"));
    Command::new(env!("CARGO_BIN_EXE_peerlab"))
        .args(["run", "--engine", engine, "--out"])
        .arg(folder.join("record"))
        .arg(file)
        .env("DOCKER_HOST", docker)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("TMPDIR", folder.join("tmp"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Everything in a folder and below.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| [vec![entry.path()], files(&entry.path())].concat())
        .collect()
}

/// Sends Ctrl-C: the run ends as one that was interrupted, and nothing of it stays.
fn is_interrupted(folder: &Path, run: Child) {
    let family = family(run.id());
    signal(run.id(), "INT");
    let output = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(
        said.contains("interrupted; everything was removed"),
        "{said}"
    );
    all_gone(&family);
    assert_eq!(files(&folder.join("tmp")), Vec::<PathBuf>::new());
    assert_eq!(
        files(&folder.join("cache/peerlab/images")),
        Vec::<PathBuf>::new()
    );
}

#[test]
fn an_engine_that_does_not_answer_holds_nobody_up() {
    for (engine, image, silent) in [
        ("docker", "known:1", "/version"),
        ("docker", "known:1", "/info"),
        ("docker", "known:1", "/images/peerlab/node"),
        ("docker", "known:1", "/images/known"),
        ("docker", "unknown:1", "/images/create"),
        ("docker", "oci:archive", "/images/peerlab/archive"),
        ("docker", "oci:archive", "/images/load"),
        ("local", "known:1", "/images/known:1/json"),
        ("local", "known:1", "/images/known:1/get"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write_archive(&folder.path().join("archive"), 1);
        let fake = engine_silent_at(silent);
        let run = run(folder.path(), engine, image, &fake.address);
        eventually(|| fake.last_path().contains(silent).then_some(()));
        is_interrupted(folder.path(), run);
    }
}

#[test]
fn unpacking_ends_early_and_what_a_killed_run_left_is_removed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = "unix:///nowhere/docker.sock";
    write_archive(&folder.path().join("slow"), SLOW_BYTES);
    let images = folder.path().join("cache/peerlab/images");
    let begun = || {
        let has_begun = |file: &PathBuf| file.ends_with("root/file");
        eventually(|| files(&images).iter().any(has_begun).then_some(()));
    };
    let slow = || run(folder.path(), "local", "oci:slow", nowhere);
    let interrupted = slow();
    begun();
    is_interrupted(folder.path(), interrupted);

    let mut killed = slow();
    begun();
    signal(killed.id(), "KILL");
    killed.wait().unwrap();
    assert!(!files(&images).is_empty());
    // Another image, which cannot be unpacked: its layer does not have the digest that it should.
    write_archive(&folder.path().join("damaged"), 1);
    let next = run(folder.path(), "local", "oci:damaged", nowhere);
    let output = next.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("cannot unpack the image"), "{said}");
    assert_eq!(files(&images), Vec::<PathBuf>::new());
}
