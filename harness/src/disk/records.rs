//! Old records: which folders are records of runs or of sets of runs, how old and how large they are, and
//! their removal. A folder is a record only by what is in it (of a run that never started, a plan and events
//! without a line), and is left alone where anything is in it that
//! no run writes, or where somebody still writes to it.

use std::fs::{self, DirEntry, File, Metadata};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use peerlab_core::error::hint::DISK;
use peerlab_core::error::{Explain, Result};
use peerlab_core::event::{RunEvent, What};
use peerlab_core::report::{files, planned_in};
use serde::Deserialize;

use super::capture::{self, is_capture};
use super::event_log::is_written;

/// Longest first line of a record.
const FIRST_LINE_BYTES_MAX: u64 = 64 << 10;
/// What a run writes into its directory beside its events and its plan, and may leave out.
const OF_RUN: [&str; 7] = [
    files::TOPOLOGY,
    files::REPORT_JSON,
    files::JUNIT_XML,
    files::REPORT_HTML,
    files::KEPT_EVENTS,
    files::NETWORK_LOG,
    files::EARLIER_NETWORK_LOG,
];
/// The same of a set of runs.
const OF_SET: [&str; 4] = [
    files::SUMMARY_TXT,
    files::SUMMARY_JSON,
    files::SUMMARY_HTML,
    files::JUNIT_XML,
];
/// How the logs of nodes end.
const LOG: &str = "log";

/// A record.
#[derive(Debug)]
pub struct Record {
    pub path: PathBuf,
    /// When its last event was written.
    pub written: SystemTime,
    pub bytes: u64,
    /// Why it must stay.
    pub stays: Option<String>,
}

/// The records in a folder, the latest first. What is no record is not named.
///
/// # Errors
/// As bad input, when the folder cannot be read.
pub fn records_in(folder: &Path) -> Result<Vec<Record>> {
    let what = || format!("cannot look for records in {}", folder.display());
    let entries = fs::read_dir(folder).or_input(what)?;
    let entries = entries.collect::<std::io::Result<Vec<DirEntry>>>();
    let mut records: Vec<Record> = entries
        .or_input(what)?
        .iter()
        .filter_map(|entry| look_at(&entry.path()))
        .collect();
    records.sort_by(|a, b| (b.written, &b.path).cmp(&(a.written, &a.path)));
    Ok(records)
}

/// Removes a record.
///
/// # Errors
/// When something of it cannot be removed.
pub fn remove_record(record: &Record) -> Result<()> {
    let path = &record.path;
    fs::remove_dir_all(path).or_environment(|| format!("cannot remove {}", path.display()), DISK)
}

/// What a folder is found to be while it is looked through.
struct Looking {
    written: SystemTime,
    bytes: u64,
    stays: Option<String>,
}

/// A record, if the folder is one.
fn look_at(path: &Path) -> Option<Record> {
    let mut looking = Looking {
        written: SystemTime::UNIX_EPOCH,
        bytes: 0,
        stays: None,
    };
    if !folder_itself(path) {
        return None;
    }
    if is_of_run(path) {
        looking.run(path);
    } else if is_of_set(path) {
        looking.set(path);
    } else {
        return None;
    }
    Some(Record {
        path: path.to_owned(),
        written: looking.written,
        bytes: looking.bytes,
        stays: looking.stays,
    })
}

impl Looking {
    fn run(&mut self, dir: &Path) {
        for entry in self.entries(dir) {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            match (&*name, entry.metadata()) {
                (files::LOGS, Ok(it)) if it.is_dir() => self.files(&path, LOG),
                (name, Ok(it)) if it.is_dir() && is_capture(name) => {
                    self.files(&path, capture::ENDING);
                }
                (files::TRIES, Ok(it)) if it.is_dir() => self.runs(&path),
                (files::EVENTS | files::KEPT_EVENTS, Ok(it)) if it.is_file() => {
                    self.events(&path, &it);
                }
                (name, Ok(it)) if it.is_file() && is_named(&OF_RUN, name) => self.bytes += it.len(),
                (files::PLAN, Ok(it)) if it.is_file() => self.bytes += it.len(),
                _ => self.strange(&path),
            }
        }
    }

    fn set(&mut self, dir: &Path) {
        for entry in self.entries(dir) {
            let (path, name) = (entry.path(), entry.file_name());
            match entry.metadata() {
                Ok(it) if it.is_file() && is_named(&OF_SET, &name.to_string_lossy()) => {
                    self.bytes += it.len();
                    self.look_whether_written(&path);
                }
                _ => self.part(&path),
            }
        }
    }

    /// A folder of nothing but runs.
    fn runs(&mut self, dir: &Path) {
        for entry in self.entries(dir) {
            self.part(&entry.path());
        }
    }

    fn part(&mut self, path: &Path) {
        if folder_itself(path) && is_of_run(path) {
            self.run(path);
        } else {
            self.strange(path);
        }
    }

    /// A folder of nothing but files that end alike.
    fn files(&mut self, dir: &Path, ending: &str) {
        for entry in self.entries(dir) {
            let path = entry.path();
            match entry.metadata() {
                Ok(it) if it.is_file() && path.extension().is_some_and(|end| end == ending) => {
                    self.bytes += it.len();
                }
                _ => self.strange(&path),
            }
        }
    }

    fn events(&mut self, path: &Path, found: &Metadata) {
        self.bytes += found.len();
        self.written = self
            .written
            .max(found.modified().unwrap_or(SystemTime::now()));
        self.look_whether_written(path);
    }

    fn look_whether_written(&mut self, path: &Path) {
        if is_written(path) {
            self.stays.get_or_insert("its run has not ended".into());
        }
    }

    fn strange(&mut self, path: &Path) {
        let why = format!("{} is nothing that a run writes", path.display());
        self.stays.get_or_insert(why);
    }

    fn entries(&mut self, dir: &Path) -> Vec<DirEntry> {
        let entries = fs::read_dir(dir).and_then(Iterator::collect);
        entries.unwrap_or_else(|error| {
            let why = format!("{} cannot be read: {error}", dir.display());
            self.stays.get_or_insert(why);
            Vec::new()
        })
    }
}

fn is_named(names: &[&str], name: &str) -> bool {
    names.contains(&name)
}

/// A folder, and no link to one.
fn folder_itself(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|it| it.is_dir())
}

/// What every format of a plan has.
#[derive(Deserialize)]
struct PlanHead {
    #[serde(rename = "version")]
    _version: u32,
}

/// Whether a folder is the record of a run: it has a plan, and events of which the first is the start of
/// a run. One that never started has none, and is known by its plan alone.
fn is_of_run(dir: &Path) -> bool {
    let (plan, events) = (dir.join(files::PLAN), dir.join(files::EVENTS));
    let found = |path: &Path| fs::symlink_metadata(path).ok().filter(Metadata::is_file);
    match (found(&plan), found(&events)) {
        (Some(_), Some(found)) if found.len() == 0 => is_plan(&plan),
        (Some(_), Some(_)) => begins_as_a_run(&events),
        _ => false,
    }
}

fn is_plan(path: &Path) -> bool {
    let file = File::open(path).map(BufReader::new);
    file.is_ok_and(|file| serde_json::from_reader::<_, PlanHead>(file).is_ok())
}

fn begins_as_a_run(events: &Path) -> bool {
    let Ok(file) = File::open(events) else {
        return false;
    };
    let mut line = Vec::new();
    let read = BufReader::new(file)
        .take(FIRST_LINE_BYTES_MAX)
        .read_until(b'\n', &mut line);
    let first = read.ok().and_then(|_| serde_json::from_slice(&line).ok());
    matches!(
        first,
        Some(RunEvent {
            what: What::Started(_),
            ..
        })
    )
}

/// Whether a folder is the record of a set: it has the set's summary.
fn is_of_set(dir: &Path) -> bool {
    let summary = fs::read_to_string(dir.join(files::SUMMARY_JSON));
    summary.is_ok_and(|text| planned_in(&text).is_some())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::super::event_log::mark_written;
    use super::*;

    const STARTED: &str = "{\"t\":0,\"event\":\"started\",\"format\":1,\"engine\":\"local\",\
                           \"version\":\"0\",\"unix_nanos\":0,\"bring_up\":0,\
                           \"base\":{\"hash\":\"00\",\"height\":0}}\n";

    /// Makes a record that was written to so long ago.
    fn run(dir: &Path, hours_ago: u64) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join(files::PLAN), "{}").unwrap();
        fs::write(dir.join(files::EVENTS), STARTED).unwrap();
        fs::write(dir.join(files::REPORT_JSON), "12345").unwrap();
        let ago = SystemTime::now() - Duration::from_secs(hours_ago * 3_600);
        let events = File::options().write(true).open(dir.join(files::EVENTS));
        events.unwrap().set_modified(ago).unwrap();
    }

    fn found(folder: &Path) -> Vec<(String, Option<String>)> {
        let of = |record: Record| {
            let name = record.path.strip_prefix(folder).unwrap();
            let stays = record
                .stays
                .map(|why| why.replace(&folder.display().to_string(), "."));
            (name.display().to_string(), stays)
        };
        let records = records_in(folder).unwrap().into_iter();
        records.map(of).collect()
    }

    #[test]
    fn the_event_that_records_are_known_by_is_read() {
        serde_json::from_str::<RunEvent>(STARTED).unwrap();
    }

    #[test]
    fn records_are_known_by_their_files_and_come_latest_first() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        run(&at("old"), 9);
        run(&at("new"), 1);
        run(&at("set/seed-1"), 5);
        run(&at("set/seed-2"), 4);
        fs::write(at("set/summary.json"), "{\"planned\":2}").unwrap();
        run(&at("retried"), 2);
        run(&at("retried/tries/1"), 3);
        fs::create_dir(at("retried/logs")).unwrap();
        fs::write(at("retried/logs/peers-0.log"), "x").unwrap();
        // None of these is a record.
        fs::create_dir(at("empty")).unwrap();
        fs::create_dir(at("plan-only")).unwrap();
        fs::write(at("plan-only/plan.json"), "{}").unwrap();
        run(&at("no-run"), 9);
        fs::write(at("no-run/events.jsonl"), "{\"some\":1}\n").unwrap();
        fs::create_dir(at("other")).unwrap();
        fs::write(at("other/summary.json"), "{}").unwrap();
        fs::write(at("file"), "").unwrap();
        symlink(at("old"), at("link")).unwrap();
        let names = ["new", "retried", "set", "old"].map(|name| (name.to_owned(), None));
        assert_eq!(found(folder.path()), names);
        let records = records_in(folder.path()).unwrap();
        let of_run = (2 + STARTED.len() + 5) as u64;
        let bytes: Vec<u64> = records.iter().map(|it| it.bytes).collect();
        assert_eq!(bytes, [of_run, 2 * of_run + 1, 2 * of_run + 13, of_run]);
        for record in &records {
            remove_record(record).unwrap();
        }
        assert_eq!(found(folder.path()), []);
        assert!(at("no-run").exists() && at("empty").exists());
    }

    #[test]
    fn captures_are_part_of_a_record() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        run(&at("x"), 1);
        for capture in ["capture", "capture-1"] {
            fs::create_dir(at("x").join(capture)).unwrap();
            fs::write(at("x").join(capture).join("peers-0.pcapng"), "123").unwrap();
        }
        assert_eq!(found(folder.path()), [("x".to_owned(), None)]);
        let records = records_in(folder.path()).unwrap();
        assert_eq!(records[0].bytes, (2 + STARTED.len() + 5 + 2 * 3) as u64);
        fs::write(at("x/capture/notes.txt"), "mine").unwrap();
        assert!(found(folder.path())[0].1.is_some());
    }

    #[test]
    fn a_run_that_never_started_is_a_record() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("x")).unwrap();
        fs::write(at("x/plan.json"), "{\"version\":1,\"seed\":2}").unwrap();
        let events = File::create(at("x/events.jsonl")).unwrap();
        assert_eq!(found(folder.path()), [("x".to_owned(), None)]);
        // It may start yet.
        mark_written(&events);
        assert!(found(folder.path())[0].1.is_some());
        drop(events);
        // What is no plan of ours says nothing.
        fs::write(at("x/plan.json"), "{}").unwrap();
        assert_eq!(found(folder.path()), []);
    }

    #[test]
    fn a_record_stays_that_is_written_to_or_has_something_of_others_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let why = |name: &str| {
            run(&at("x"), 1);
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), "mine").unwrap();
            let [(_, why)] = &found(folder.path())[..] else {
                panic!("one record");
            };
            let why = why.clone();
            fs::remove_dir_all(at("x")).unwrap();
            why.unwrap_or_default()
        };
        for name in [
            "x/notes.txt",
            "x/logs/core",
            "x/tries/1",
            "x/images/a.tar",
            "x/capture/notes.txt",
            "x/captures/peers-0.pcapng",
            "x/tries/1/x",
        ] {
            assert!(
                why(name).ends_with("is nothing that a run writes"),
                "{name}"
            );
        }
        run(&at("x"), 1);
        symlink(folder.path(), at("x/logs")).unwrap();
        assert!(found(folder.path())[0].1.is_some(), "a link elsewhere");
        fs::remove_file(at("x/logs")).unwrap();
        assert_eq!(found(folder.path())[0].1, None);
        for name in [files::EVENTS, files::KEPT_EVENTS] {
            let file = File::create(at("x").join(name)).unwrap();
            fs::write(at("x/events.jsonl"), STARTED).unwrap();
            mark_written(&file);
            let why = found(folder.path())[0].1.clone();
            assert_eq!(why.as_deref(), Some("its run has not ended"), "{name}");
        }
        assert_eq!(found(folder.path())[0].1, None);
    }
}
