//! Records of runs, read up to the first line that is none, written again, judged, and reported in each way.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::path::Path;
use std::sync::OnceLock;

use peerlab::disk::EventReader;
use peerlab_core::event::RunEvent;
use peerlab_core::plan::{Plan, compile};
use peerlab_core::report::{Report, TerminalStyle, html, junit, terminal};
use peerlab_core::topology;

/// The plan that all records are held against: a partition, a kill, a double spend.
const EXPERIMENT: &str = include_str!("records.yaml");

pub fn check(bytes: &[u8]) -> bool {
    let reader = EventReader::new(Path::new("events.jsonl"), bytes);
    let events: Vec<RunEvent> = reader.map_while(Result::ok).collect();
    let is_record = !events.is_empty();
    for event in &events {
        let line = serde_json::to_string(event).expect("an event can be written");
        let again: RunEvent = serde_json::from_str(&line).expect("what is written can be read");
        assert_eq!(&again, event);
    }
    let report = Report::of(plan(), events.into_iter());
    report.to_json().expect("a report can be written");
    let _ = terminal(&report.judgement, &TerminalStyle::default());
    let _ = junit::xml(&report.judgement).expect("a report can be written");
    let _ = html::page(&report.judgement);
    is_record
}

fn plan() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| {
        let topology = topology::parse("records.yaml", EXPERIMENT).expect("it is an experiment");
        compile(&topology, 1).expect("it has a plan")
    })
}

peerlab_fuzz::target!();
