//! Fork episodes and reorganisations.

use super::told::*;

#[test]
fn the_episode_of_a_partition_is_measured() {
    let j = fork_and_heal().judge();
    let episodes = &j.figures.forks.episodes;
    assert_eq!(episodes.len(), 1, "{episodes:#?}");
    let e = &episodes[0];
    assert_eq!((e.start_ns, e.end_ns), (secs(35.0), Some(secs(50.5))));
    assert_eq!((e.branches, e.depth, e.stale_blocks), (2, 2, 2));
    assert_eq!(e.partition, Some(0));
    assert_eq!(
        (j.figures.forks.mined_blocks, j.figures.forks.stale_blocks),
        (6, 2)
    );
    let told = &j.figures.partitions[0];
    assert_eq!(told.sides, [3, 3]);
    assert_eq!((told.branches, told.depth, told.stale_blocks), (2, 2, 2));
    assert_eq!(told.agreed_after_ns, Some(secs(0.5)));
}

#[test]
fn a_fork_that_never_ends_stays_open() {
    let mut s = Story::of(3);
    s.mines(70.0, 0, "a1", "base");
    s.mines(71.0, 1, "b1", "base");
    let forks = s.judge().figures.forks;
    assert_eq!(forks.episodes.len(), 1);
    assert_eq!(forks.episodes[0].end_ns, None);
    assert_eq!(forks.episodes[0].depth, 1);
}

#[test]
fn no_fork_no_episode() {
    let mut s = Story::of(5);
    s.spreads(5.0, 0, "c1", "base");
    s.spreads(15.0, 1, "c2", "c1");
    let forks = s.judge().figures.forks;
    assert!(forks.episodes.is_empty());
    assert_eq!(forks.stale_rate, Some(0.0));
}

#[test]
fn three_branches_are_counted() {
    let mut s = Story::of(3);
    s.partition(30.0, Some(50.0), &[&[0], &[1], &[2]]);
    s.mines(31.0, 0, "a1", "base");
    s.mines(32.0, 1, "b1", "base");
    s.mines(33.0, 2, "c1", "base");
    s.mines(34.0, 2, "c2", "c1");
    s.reaches(50.0, "c2", [0, 1]);
    let e = s.judge().figures.forks.episodes.remove(0);
    assert_eq!((e.branches, e.depth, e.stale_blocks), (3, 1, 2));
}

#[test]
fn a_reorganisation_is_as_deep_as_what_it_undoes() {
    let depth = |min, max| Expectation::ReorgDepth { min, max };
    let s = fork_and_heal();
    holds(&s.verdict(depth(Some(1), Some(2))));
    let v = s.verdict(depth(None, Some(1)));
    fails(&v, "2");
    assert_eq!(v.nodes, ["peers-3", "peers-4", "peers-5"]);
    assert_eq!(v.at_ns, Some(secs(50.3)));
    fails(&s.verdict(depth(Some(3), None)), "2");
}

/// Node 0 holds `a2`, is down from 30 s to 40 s, and comes back with less; then it takes `b3`, of
/// another branch.
fn comes_back_with(how: Down, tip: &str) -> Story {
    let mut s = Story::of(2);
    s.mines(5.0, 0, "a1", "base");
    s.mines(6.0, 0, "a2", "a1");
    s.mines(7.0, 1, "b1", "base");
    s.mines(8.0, 1, "b2", "b1");
    s.mines(9.0, 1, "b3", "b2");
    s.goes_down(30.0, 0, Some(how));
    s.comes_up(40.0, 0, tip);
    s.takes(41.0, 0, "b3");
    s
}

#[test]
fn what_a_restart_loses_is_no_reorganisation_and_what_the_program_then_does_is() {
    let depth = |s: &Story| {
        let forks = s.judge().figures.forks;
        (forks.deepest_reorg.unwrap().depth, forks.reorgs)
    };
    for how in [Down::Kill, Down::Stop, Down::Vanish, Down::Replace] {
        assert_eq!(depth(&comes_back_with(how, "base")), (0, 0), "{how:?}");
        assert_eq!(depth(&comes_back_with(how, "b3")), (0, 0), "{how:?}");
        // Of the block that it comes back with, it lets go itself.
        assert_eq!(depth(&comes_back_with(how, "a1")), (1, 1), "{how:?}");
    }
    // A frozen program is the same one.
    assert_eq!(depth(&comes_back_with(Down::Freeze, "b3")), (2, 1));
    let killed = comes_back_with(Down::Kill, "a1");
    let at_most = |max| Expectation::ReorgDepth {
        min: None,
        max: Some(max),
    };
    holds(&killed.verdict(at_most(1)));
    fails(&killed.verdict(at_most(0)), "1");
}

#[test]
fn what_a_dead_program_said_last_is_not_held_against_the_next() {
    let mut s = Story::of(2);
    s.mines(5.0, 0, "a1", "base");
    s.goes_down(30.0, 0, Some(Down::Kill));
    // An answer that was under way when it died.
    s.takes(30.1, 0, "a1");
    s.comes_up(40.0, 0, "base");
    assert_eq!(s.judge().figures.forks.reorgs, 0);
}

#[test]
fn without_a_tip_there_is_no_depth() {
    let s = Story::of(2).expect(Expectation::ReorgDepth {
        min: None,
        max: Some(6),
    });
    let no_events = judge(&s.plan, std::iter::empty());
    has_nothing_to_measure(&no_events.verdicts[0]);
}

#[test]
fn stale_blocks_are_held_against_those_mined() {
    let stale = |max| Expectation::StaleRate { max };
    let s = fork_and_heal();
    let held = s.verdict(stale(0.34));
    holds(&held);
    assert_eq!(held.bound, "<= 34 %");
    let failed = s.verdict(stale(0.05));
    fails(&failed, "33.3 %");
    assert_eq!(
        failed.sentence,
        "2 of 6 blocks (33.3 %) are not in the final chain: too many."
    );
    has_nothing_to_measure(&Story::of(3).verdict(stale(0.05)));
    let mut open = Story::of(3);
    open.mines(70.0, 0, "a1", "base");
    open.mines(71.0, 1, "b1", "base");
    has_nothing_to_measure(&open.verdict(stale(1.0)));
}

#[test]
fn a_miner_whose_blocks_do_not_stay_gets_less_than_its_part() {
    let rewards = |within| Expectation::Rewards {
        of: "peers".into(),
        within,
    };
    let s = fork_and_heal();
    let failed = s.verdict(rewards(0.5));
    fails(&failed, "100 %");
    assert_eq!(failed.nodes, ["peers-3"]);
    assert_eq!(
        failed.sentence,
        "peers-3 mined 1 of 6 blocks and has 0 of the 4 in the final chain, 100 % less than its part."
    );
    holds(&s.verdict(rewards(1.0)));
    let mut fair = Story::of(3);
    fair.spreads(5.0, 0, "c1", "base");
    fair.spreads(15.0, 1, "c2", "c1");
    holds(&fair.verdict(rewards(0.0)));
    has_nothing_to_measure(&Story::of(3).verdict(rewards(0.1)));
    let mut open = Story::of(3);
    open.mines(70.0, 0, "a1", "base");
    open.mines(71.0, 1, "b1", "base");
    has_nothing_to_measure(&open.verdict(rewards(1.0)));
}
