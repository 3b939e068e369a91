//! Nodes of a program that nobody knows, asked by each kind of probe: those that have one value agree, and
//! those that have each their own do not.

use std::path::PathBuf;
use std::process::{Child, Output};

use peerlab::disk::EventReader;
use peerlab_core::event::{RunEvent, What};
use peerlab_link::{Nanos, NodeId};

use crate::bad_nodes::save_program;
use crate::command::run;

/// Each kind of probe that tells a value, but for those that have tests of their own.
const PROBES: [&str; 5] = [
    "tcp(port 7000 greeting)",
    "log(value (\\w+))",
    "file(/data/value)",
    "{ http: { port: 7001, path: /state, json: /state/0/value } }",
    "{ http: { port: 7001, path: /state, regex: '\"value\":\"(.*)\"', status: 200 } }",
];

/// An image of `any_program.rs`.
struct Image(tempfile::TempDir);

impl Image {
    fn new() -> Image {
        let image = Image(tempfile::tempdir().unwrap());
        save_program("any_program.rs", &image.file());
        image
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("any.tar")
    }

    /// Begins to run nodes of it, of which all else that the file says follows.
    fn begin(&self, group: &str, more: &str) -> (Child, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let image = self.file();
        let text = format!(
            "name: any-program\nseed: 1\nnodes:\n  any: {{ image: 'oci:{}', {group} }}\n\
             network: {{ latency: 5ms }}\n{more}\n",
            image.display()
        );
        std::fs::write(folder.path().join("small.yaml"), text).unwrap();
        (run(folder.path()).spawn().unwrap(), folder)
    }
}

fn said(output: &Output) -> String {
    let said = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    said.concat()
}

/// Runs nodes with these values for each probe, all at once, and gives each probe's exit code.
fn exit_codes(image: &Image, value: &str) -> Vec<(&'static str, Option<i32>, String)> {
    let runs: Vec<_> = PROBES
        .into_iter()
        .map(|probe| {
            let group = format!("count: 3, command: ['{value}', '0'], probe: {probe}");
            let more = "phases: { warmup: 3s, settle: 8s }\n\
                        expect: [{ agree: { within: 4s, hold: 2s } }, { nodes_up: { min: 3 } }]";
            (probe, image.begin(&group, more))
        })
        .collect();
    runs.into_iter()
        .map(|(probe, (run, _folder))| {
            let output = run.wait_with_output().unwrap();
            (probe, output.status.code(), said(&output))
        })
        .collect()
}

#[test]
fn nodes_with_one_value_agree_by_every_probe_and_others_do_not() {
    let image = Image::new();
    for (probe, code, said) in exit_codes(&image, "same") {
        assert!(matches!(code, Some(0 | 4)), "{probe}: {said}");
        assert_eq!(said.matches("\n  ok ").count(), 2, "{probe}: {said}");
    }
    for (probe, code, said) in exit_codes(&image, "v{{ index }}") {
        assert_eq!(code, Some(1), "{probe}: {said}");
        // All are up nevertheless.
        assert_eq!(said.matches("\n  ok ").count(), 1, "{probe}: {said}");
    }
}

#[test]
fn who_is_not_what_the_probe_looks_for_never_becomes_ready() {
    let cases = [
        ("tcp(port 7002)", "refused"),
        (
            "log(height (\\d+))",
            r"no line of its log matches height (\d+) yet",
        ),
        ("file(/data)", "/data: it is not a file"),
        (
            "{ http: { port: 7001, path: /other } }",
            "HTTP 404 Not Found",
        ),
        (
            "{ http: { port: 7001, path: /state, json: /height } }",
            "it has no /height",
        ),
    ];
    let image = Image::new();
    let begun: Vec<_> = cases
        .iter()
        .map(|(probe, _)| {
            let group = format!("count: 2, ready: 4s, command: [x, '0'], probe: {probe}");
            let more = "phases: { warmup: 60s, settle: 60s }\nexpect: [{ nodes_up: { min: 1 } }]";
            image.begin(&group, more)
        })
        .collect();
    for ((run, _folder), (probe, reason)) in begun.into_iter().zip(cases) {
        let output = run.wait_with_output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(3), "{probe}: {said}");
        for words in ["never became ready", reason] {
            assert!(said.contains(words), "{probe}: {words} is not in {said}");
        }
    }
}

/// How long the program takes to be ready in the next test.
const TAKES: Nanos = Nanos::from_millis(2_500);

#[test]
fn a_log_counts_from_the_start_of_a_program_and_goes_on_when_it_was_frozen() {
    let probe = "probe: log(ready with value (.*))";
    let takes = TAKES.0 / 1_000_000;
    let group = format!("count: 2, command: [x, '{takes}'], {probe}");
    let more = "phases: { warmup: 4s, faults: 4s, settle: 6s }\n\
                faults:\n  - { at: 4500ms, for: 2s, kill: any-0 }\n  \
                - { at: 4500ms, for: 2s, freeze: any-1 }\n\
                expect: [{ nodes_up: { min: 2 } }]";
    let (run, folder) = Image::new().begin(&group, more);
    let output = run.wait_with_output().unwrap();
    assert!(
        matches!(output.status.code(), Some(0 | 4)),
        "{}",
        said(&output)
    );
    let back = Nanos::from_millis(6_500);
    let up = |node: u32| {
        let events = EventReader::open(&folder.path().join("run/events.jsonl")).unwrap();
        let of_node = |event: RunEvent| {
            let is_up = matches!(event.what, What::NodeUp { node: it } if it == NodeId(node));
            is_up.then_some(event.t)
        };
        let ups = events.filter_map(|event| of_node(event.unwrap()));
        ups.collect::<Vec<Nanos>>()
    };
    let (killed, frozen) = (up(0), up(1));
    assert_eq!(
        (killed.len(), frozen.len()),
        (2, 2),
        "{killed:?} {frozen:?}"
    );
    assert!(
        killed[0] >= TAKES && frozen[0] >= TAKES,
        "{killed:?} {frozen:?}"
    );
    assert!(killed[1] >= back.saturating_add(TAKES), "{killed:?}");
    assert!(frozen[1] < back.saturating_add(TAKES), "{frozen:?}");
}
