//! Judged runs for the tests of this folder: a run that passes, one that fails, one that proves
//! nothing, one that never began, and a large one; and sets of such runs.

use peerlab_link::Nanos;

use crate::check::story::{Story, converged_of_heal, converged_of_settle, secs};
use crate::check::{Baseline, BaselineCheck, EarlierTry, Judgement, OneRun, RunSet, hold, judge};
use crate::experiment::{Down, Expectation, NodeQuantile};

/// Every sample, by name.
pub fn all() -> Vec<(&'static str, Judgement)> {
    vec![
        ("passed", passed()),
        ("failed", failed()),
        ("inconclusive", inconclusive()),
        ("tried-again", tried_again()),
        ("empty", empty()),
        ("large", large()),
    ]
}

/// Twelve nodes, a partition with a double spend across it, a kill.
fn twelve() -> Story {
    let mut s = Story::of(12);
    s.plan.name = "quickstart".into();
    let left: Vec<u32> = (0..6).collect();
    let right: Vec<u32> = (6..12).collect();
    s.spreads(4.0, 1, "c1", "base");
    s.spreads(13.0, 8, "c2", "c1");
    let p = s.partition(25.0, Some(50.0), &[&left, &right]);
    s.plan.faults[p as usize].label = "partition of 6 nodes from 6".into();
    s.double_spend(27.0, &[(0, "tx-left"), (6, "tx-right")]);
    s.mines_with(29.0, 0, "a1", "c2", &["tx-left"]);
    s.reaches(29.0, "a1", 1..6);
    s.mines_with(33.0, 7, "b1", "c2", &["tx-right"]);
    s.reaches(33.0, "b1", [6, 8, 9, 10, 11]);
    s.mines(36.0, 2, "a2", "a1");
    s.reaches(36.0, "a2", [0, 1, 3, 4, 5]);
    s.mines(41.0, 9, "b2", "b1");
    s.reaches(41.0, "b2", [6, 7, 8, 10, 11]);
    s.mines(44.0, 3, "a3", "a2");
    s.reaches(44.0, "a3", [0, 1, 2, 4, 5]);
    s.reaches(50.3, "a3", 6..12);
    s.outage(54.0, 58.0, 4);
    s.spreads(67.0, 5, "d1", "a3");
    s.spreads(76.0, 11, "d2", "d1");
    for n in 0..12 {
        s.bytes_per_s(n, 4_000 + 900 * u64::from(n));
    }
    s
}

pub fn passed() -> Judgement {
    let mut s = twelve();
    for (t, reason) in [
        (15.0, "the node is down"),
        (16.0, "Invalid address (code -5)"),
        (18.0, "the node is down"),
    ] {
        s.misses(t, 2, reason);
    }
    let mut s = expectations(s);
    s.computes(s.nodes(), &[(0.01, 0.001); 90]);
    s.others_compute(0.0, 90.0, 0.04);
    s.judge()
}

fn expectations(story: Story) -> Story {
    story
        .expect(converged_of_heal(10.0))
        .expect(converged_of_settle(10.0))
        .expect(Expectation::SameLedger)
        .expect(Expectation::DoubleSpend { confirmed: 1 })
        .expect(Expectation::ReorgDepth {
            min: Some(1),
            max: Some(6),
        })
        .expect(Expectation::Propagation {
            quantile: 90,
            below: secs(2.0),
            phase: Some("warmup".into()),
        })
        .expect(Expectation::Bandwidth {
            of: NodeQuantile::P95,
            below: 80_000,
            phase: None,
        })
        .expect(Expectation::NodesUp { min: 12 })
}

/// The same with two nodes that stay on the losing branch, and a budget that is too small.
pub fn failed() -> Judgement {
    let mut s = twelve();
    // Whoever was on d2 in the end stays; these two go back to their branch.
    s.takes(51.5, 9, "b2");
    s.takes(51.5, 10, "b2");
    s.takes(80.0, 9, "b2");
    s.takes(80.0, 10, "b2");
    s.dies(82.0, 2);
    s.unanswered(2, "HTTP 401");
    expectations(s)
        .expect(Expectation::Bandwidth {
            of: NodeQuantile::Mean,
            below: 10_000,
            phase: Some("warmup".into()),
        })
        .expect(Expectation::Propagation {
            quantile: 50,
            below: secs(1.0),
            phase: Some("moon".into()),
        })
        .judge()
}

pub fn inconclusive() -> Judgement {
    let mut s = twelve();
    s.late_host(0.08);
    expectations(s).judge()
}

/// The third try, after two that proved nothing.
pub fn tried_again() -> Judgement {
    let earlier = |number: u32| EarlierTry {
        folder: format!("tries/{number}"),
        inconclusive_because: inconclusive().inconclusive_because,
    };
    Judgement {
        earlier_tries: vec![earlier(1), earlier(2)],
        ..passed()
    }
}

/// Seeds 7 to 14, of which one fails and one proves nothing.
pub fn eight_seeds() -> RunSet {
    let run = |seed: u64| {
        let mut judgement = match seed {
            9 => failed(),
            10 => tried_again(),
            12 => inconclusive(),
            _ => passed(),
        };
        judgement.run.seed = seed;
        for propagation in &mut judgement.figures.propagation {
            for time in [&mut propagation.p50_ns, &mut propagation.p90_ns] {
                *time = time.map(|t| Nanos(t.0 + seed * 1_000_000));
            }
        }
        OneRun::of(format!("seed-{seed}"), judgement)
    };
    RunSet::of("quickstart".into(), (7..15).map(run).collect(), 8)
}

/// Ten runs against a baseline of fourteen, whose blocks take longer by a quarter.
pub fn slower() -> BaselineCheck {
    let run = |seed: u64, percent: u64| {
        let mut judgement = passed();
        judgement.run.seed = seed;
        for propagation in &mut judgement.figures.propagation {
            for time in [&mut propagation.p50_ns, &mut propagation.p90_ns] {
                *time = time.map(|t| Nanos((t.0 + seed % 7 * 1_000_000) * percent / 100));
            }
        }
        OneRun::of(format!("seed-{seed}"), judgement)
    };
    let before: Vec<OneRun> = (0..14).map(|seed| run(seed, 100)).collect();
    let after: Vec<OneRun> = (20..30).map(|seed| run(seed, 125)).collect();
    hold(&Baseline::of(&before).unwrap(), &after, 0.01).unwrap()
}

/// Of four that were asked for.
pub fn three_runs() -> RunSet {
    let mut late = passed();
    late.figures.partitions[0].agreed_after_ns = None;
    late.figures.settle = None;
    let runs = [passed(), late, inconclusive()].into_iter().zip(1..);
    let runs = runs.map(|(run, number)| OneRun::of(format!("run-{number}"), run));
    RunSet::of("quickstart".into(), runs.collect(), 4)
}

fn empty() -> Judgement {
    judge(&Story::of(3).plan, std::iter::empty())
}

/// A hundred nodes, many blocks, outages and small forks.
fn large() -> Judgement {
    let mut s = Story::of(100);
    s.plan.name = "churn-partition".into();
    let mut tip = "base".to_owned();
    for i in 0..20u32 {
        let t = 2.0 + 4.2 * f64::from(i);
        let block = format!("c{i}");
        s.mines(t, i * 7 % 100, &block, &tip);
        let near = t + 0.05;
        for n in 0..100 {
            s.takes(near + f64::from(n * n) / 9_000.0, n, &block);
        }
        if i % 4 == 3 {
            let stale = format!("s{i}");
            s.mines(t + 1.5, (i * 13 + 5) % 100, &stale, &block);
        }
        tip = block;
    }
    for n in (3..100).step_by(5) {
        let from = 21.0 + f64::from(n) / 4.0;
        s.goes_down(from, n, Some(Down::Kill));
        s.plan.outages.push(crate::plan::spec::Outage {
            node: peerlab_link::NodeId(n),
            start: secs(from),
            end: Some(secs(from + 9.0)),
            how: Down::Kill,
        });
        s.comes_up(from + 9.3, n, "c6");
    }
    for n in 0..100 {
        s.bytes_per_s(n, 20_000 + 311 * u64::from(n * 37 % 100));
    }
    s.plan.ledger.block_interval = Some(Nanos::from_secs(4));
    s.expect(converged_of_settle(20.0)).judge()
}
