//! Baselines from elsewhere. One that is admitted is read again as it was written, and runs of its
//! experiment can be held against it, whatever its figures are.
#![cfg_attr(feature = "libfuzzer", no_main)]

use peerlab_core::check::{Baseline, OneRun, hold, judge};
use peerlab_core::plan::compile;
use peerlab_core::report::{TerminalStyle, baseline_check, baseline_check_json, baseline_markdown};
use peerlab_core::topology;

const EXPERIMENT: &str = "
name: pair
phases: { warmup: 2s, settle: 6s }
nodes: { peers: { count: 2, hashpower: 1 } }
ledger: { block_interval: 1s }
expect: [{ nodes_up: { min: 100% } }]
";
/// Runs that are held against it.
const RUNS: usize = 10;

pub fn check(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Ok(baseline) = Baseline::parse("x.json", &text) else {
        return false;
    };
    let written = baseline.to_json().expect("it was read");
    assert_eq!(Baseline::parse("x.json", &written).as_ref(), Ok(&baseline));
    let topology = topology::parse("pair.yaml", EXPERIMENT).expect("a sound experiment");
    let plan = compile(&topology, 1).expect("a sound experiment");
    let mut judgement = judge(&plan, std::iter::empty());
    // Nothing happened in it, but of its experiment it is.
    judgement.inconclusive_because.clear();
    judgement.run.name.clone_from(&baseline.experiment.name);
    judgement.run.engine.clone_from(&baseline.experiment.engine);
    judgement.run.nodes = baseline.experiment.nodes;
    judgement.run.planned_ns = baseline.experiment.length_ns;
    let runs = vec![OneRun::of("run".into(), judgement); RUNS];
    let Ok(check) = hold(&baseline, &runs, 0.01) else {
        return false;
    };
    for figure in &check.figures {
        assert!((0.0..=1.0).contains(&figure.by_chance), "{figure:?}");
    }
    let _ = baseline_check(&check, &TerminalStyle::default());
    let _ = baseline_markdown(&check);
    baseline_check_json(&check).expect("it can be written");
    true
}

peerlab_fuzz::target!();
