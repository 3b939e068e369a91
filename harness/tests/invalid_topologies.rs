//! Every file in `topologies/invalid/` is refused with exactly the text beside it (`NAME.stderr`).
//! After a change of wording, `PEERLAB_BLESS=1 cargo test -p peerlab --test invalid_topologies`
//! writes the texts anew; the difference is then to be read before it is committed.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use peerlab_core::error::{Error, Kind};
use peerlab_core::{plan, topology};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies/invalid")
}

fn files(ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .collect();
    files.sort();
    files
}

/// Its name from the top of the repository.
fn shown_name(path: &Path) -> String {
    format!(
        "topologies/invalid/{}",
        path.file_name().unwrap().to_str().unwrap()
    )
}

/// What `peerlab check` does, with the name that the file has from the top of the repository.
fn refusal(path: &Path) -> Option<Error> {
    let name = shown_name(path);
    let text = std::fs::read_to_string(path).unwrap();
    match topology::parse(&name, &text) {
        Ok(topology) => plan::compile(&topology, topology.seed).err(),
        Err(error) => Some(error),
    }
}

#[test]
fn every_invalid_file_is_refused_with_the_text_beside_it() {
    let bless = std::env::var_os("PEERLAB_BLESS").is_some();
    let mut wrong = Vec::new();
    for path in files("yaml") {
        let Some(error) = refusal(&path) else {
            wrong.push(format!("{}: is accepted", path.display()));
            continue;
        };
        let expected = path.with_extension("stderr");
        if bless {
            std::fs::write(&expected, error.render()).unwrap();
        }
        match std::fs::read_to_string(&expected) {
            Ok(text) if text == error.render() => {}
            Ok(text) => wrong.push(format!(
                "{}\n-- expected --\n{text}-- got --\n{}",
                path.display(),
                error.render()
            )),
            Err(_) => wrong.push(format!(
                "{}: there is no {}",
                path.display(),
                expected.display()
            )),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_refusal_says_what_where_why_and_what_to_do() {
    for path in files("yaml") {
        let error = refusal(&path).unwrap();
        assert_eq!(error.kind, Kind::Input, "{}", path.display());
        for report in &error.reports {
            let place = report
                .place
                .as_ref()
                .unwrap_or_else(|| panic!("no place: {}", path.display()));
            assert!(place.line >= 1 && place.column >= 1);
            assert!(!report.causes.is_empty(), "no cause: {}", path.display());
            assert!(report.hint.is_some(), "no hint: {}", path.display());
        }
    }
}

#[test]
fn the_command_shows_the_text_and_exits_with_2() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let peerlab = || {
        let mut command = Command::cargo_bin("peerlab").unwrap();
        command.current_dir(&top).env_remove("RUST_LOG");
        command
    };
    for path in files("yaml") {
        let expected = std::fs::read_to_string(path.with_extension("stderr")).unwrap();
        let name = shown_name(&path);
        let check = peerlab().args(["check", &name]).assert();
        check.code(2).stdout("").stderr(expected);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = top
        .join("topologies/invalid/wrong-unit.yaml")
        .canonicalize()
        .unwrap();
    let run = peerlab().current_dir(&folder).arg("run").arg(file).assert();
    run.code(2).stdout("");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(
        left, 0,
        "nothing is written for an experiment that does not start"
    );
}

#[test]
fn no_text_is_left_without_its_file() {
    for path in files("stderr") {
        assert!(path.with_extension("yaml").exists(), "{}", path.display());
    }
    assert!(files("yaml").len() >= 20);
}
