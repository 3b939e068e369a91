//! How fast blocks spread.

use peerlab_link::{Nanos, NodeId};

use super::told::*;
use crate::event::{CompactSums, PeerSums, What};
use crate::plan::spec::Group;

fn within(quantile: u8, below: f64, phase: Option<&str>) -> Expectation {
    Expectation::Propagation {
        quantile,
        below: secs(below),
        phase: phase.map(str::to_owned),
    }
}

/// Ten nodes: a block is with half of them after 400 ms, with all after 900 ms.
fn three_blocks() -> Story {
    let mut s = Story::of(10);
    s.spreads(5.0, 0, "c1", "base");
    s.spreads(10.0, 1, "c2", "c1");
    s.spreads(65.0, 2, "c3", "c2");
    s
}

#[test]
fn quantiles_are_over_all_who_were_live() {
    let s = three_blocks();
    let v = s.verdict(within(50, 0.5, None));
    holds(&v);
    assert_eq!(v.measured.as_deref(), Some("400 ms"));
    fails(&s.verdict(within(90, 0.8, None)), "800 ms");
    holds(&s.verdict(within(99, 0.95, Some("warmup"))));
    fails(&s.verdict(within(99, 0.9, Some("settle"))), "900 ms");
}

#[test]
fn a_phase_without_a_block_fails() {
    let v = three_blocks().verdict(within(90, 2.0, Some("faults")));
    has_nothing_to_measure(&v);
    assert_eq!(
        v.sentence,
        "No block was mined in faults, so none could spread."
    );
    has_nothing_to_measure(&Story::of(3).verdict(within(90, 2.0, None)));
}

#[test]
fn blocks_of_a_partition_are_asked_of_their_own_side_only() {
    let s = fork_and_heal();
    let v = s.verdict(within(99, 0.3, Some("faults")));
    holds(&v);
    let faults = s
        .judge()
        .figures
        .propagation
        .into_iter()
        .find(|p| p.phase.as_deref() == Some("faults"))
        .unwrap();
    assert_eq!((faults.blocks, faults.blocks_in_partition), (5, 5));
    assert_eq!(faults.p99_ns, Some(secs(0.2)));
}

#[test]
fn a_block_that_most_never_get_is_endless() {
    let mut s = Story::of(4);
    s.mines(30.0, 0, "c1", "base");
    s.reaches(30.0, "c1", [1]);
    fails(&s.verdict(within(90, 5.0, None)), "never");
    holds(&s.verdict(within(50, 5.0, None)));
}

#[test]
fn a_node_that_goes_down_first_leaves_the_audience() {
    let mut s = Story::of(4);
    s.mines(30.0, 0, "c1", "base");
    s.reaches(30.0, "c1", [1, 2]);
    s.goes_down(30.05, 3, Some(Down::Kill));
    s.comes_up(40.0, 3, "c1");
    let v = s.verdict(within(99, 1.0, None));
    holds(&v);
    assert_eq!(v.measured.as_deref(), Some("200 ms"));
}

#[test]
fn a_block_from_the_very_end_is_not_judged() {
    let mut s = three_blocks();
    s.mines(89.9, 0, "c4", "c3");
    let whole = s.judge().figures.propagation.remove(0);
    assert_eq!((whole.blocks, whole.never_reached_p90), (4, 0));
    let mut alone = Story::of(4);
    alone.mines(89.9, 0, "c1", "base");
    has_nothing_to_measure(&alone.verdict(within(90, 5.0, None)));
}

#[test]
fn a_block_passed_over_counts_once_its_child_is_there() {
    let mut s = Story::of(3);
    s.mines(30.0, 0, "c1", "base");
    s.takes(30.1, 1, "c1");
    s.mines(30.2, 0, "c2", "c1");
    s.takes(30.3, 2, "c2"); // has c1 below it
    let v = s.verdict(within(99, 0.35, None));
    holds(&v);
    assert_eq!(v.measured.as_deref(), Some("300 ms"), "{v:#?}");
}

#[test]
fn each_group_has_its_median_and_mean_over_what_it_received() {
    let mut s = Story::of(4);
    let late = Group {
        name: "late".into(),
        ..s.plan.groups[0].clone()
    };
    s.plan.groups.push(late);
    s.plan.nodes[2].group = 1;
    s.plan.nodes[3].group = 1;
    // To nodes 1, 2 and 3 after 100, 200 and 300 ms.
    s.spreads(5.0, 0, "c1", "base");
    // To node 1 after 100 ms; 2 was down, and 3 mined it.
    s.goes_down(10.0, 2, Some(Down::Kill));
    s.mines(12.0, 3, "c2", "c1");
    s.reaches(12.0, "c2", [1, 0]);
    s.comes_up(20.0, 2, "c2");
    let delays = s.judge().figures.group_delays;
    let told: Vec<_> = delays
        .iter()
        .map(|d| (d.group.as_str(), d.receipts, d.median_ns, d.mean_ns))
        .collect();
    let ms = |ms: u64| Some(Nanos::from_millis(ms));
    assert_eq!(
        told,
        // Of 100, 100 and 200, and of 200 and 300.
        [
            ("peers", 3, ms(100), Some(Nanos(133_333_333))),
            ("late", 2, ms(200), ms(250)),
        ]
    );
    let nothing = Story::of(2).judge().figures.group_delays;
    assert_eq!(
        (
            nothing[0].receipts,
            nothing[0].median_ns,
            nothing[0].mean_ns
        ),
        (0, None, None)
    );
}

#[test]
fn compact_blocks_are_told_of_each_group() {
    let mut s = three_blocks();
    let none = s.judge();
    assert_eq!(none.figures.compact_blocks, []);
    let sums = |rebuilt, asked, missing, waited| PeerSums {
        compact: Some(CompactSums {
            rebuilt,
            asked,
            missing,
            waited: secs(waited),
        }),
        ..PeerSums::default()
    };
    for (t, node, sums) in [
        // What a node said before is not added to what it says now.
        (89.1, 0, sums(1, 1, 1, 1.0)),
        (89.2, 0, sums(4, 1, 1, 1.0)),
        (89.3, 1, sums(2, 3, 8, 2.0)),
        (89.4, 2, PeerSums::default()),
    ] {
        let node = NodeId(node);
        s.tell(secs(t), What::Peers { node, sums });
    }
    let judged = s.judge();
    let [own] = &judged.figures.compact_blocks[..] else {
        panic!("{:?}", judged.figures.compact_blocks);
    };
    assert_eq!((own.rebuilt, own.asked), (6, 4));
    assert_eq!(own.missing_mean, Some(2.25));
    assert_eq!(own.waited_mean_ns, Some(secs(0.75)));
}
