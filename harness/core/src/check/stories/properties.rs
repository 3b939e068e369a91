//! What holds of every story.

use peerlab_link::Nanos;
use proptest::prelude::*;

use super::told::*;

/// A story with a bit of everything, and all expectations.
fn everything() -> Story {
    let mut s = double_spend_story();
    s.outage(62.0, 66.0, 3);
    s.dies(70.0, 1);
    s.mines(72.0, 0, "a3", "a2");
    s.reaches(72.0, "a3", [2, 3]);
    s.expect(converged_of_heal(5.0))
        .expect(converged_of_settle(9.0))
        .expect(Expectation::SameLedger)
        .expect(Expectation::DoubleSpend { confirmed: 1 })
        .expect(Expectation::ReorgDepth {
            min: Some(1),
            max: Some(1),
        })
        .expect(Expectation::NodesUp { min: 3 })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Lines come in the order in which the harness learned of them, not in that of `t`. Any
    /// order that keeps each node's own gives the same judgement.
    #[test]
    fn the_order_of_lines_between_nodes_does_not_matter(keys in prop::collection::vec(any::<u32>(), 2000)) {
        let story = everything();
        let in_order = story.judge();
        let mut lines: Vec<(u32, usize, _)> = story
            .events()
            .into_iter()
            .enumerate()
            .map(|(i, e)| (keys[i % keys.len()], i, e))
            .collect();
        // Shuffle everything, then put each node's own lines back into their order.
        lines.sort_by_key(|(key, _, _)| *key);
        let of_node = |e: &crate::event::RunEvent| match &e.what {
            What::Tip { node, .. } | What::NodeUp { node } | What::NodeDown { node, .. } => Some(node.0),
            _ => None,
        };
        for node in story.nodes() {
            let places: Vec<usize> = (0..lines.len()).filter(|i| of_node(&lines[*i].2) == Some(node)).collect();
            let mut own: Vec<_> = places.iter().map(|i| lines[*i].clone()).collect();
            own.sort_by_key(|(_, i, _)| *i);
            for (place, line) in places.into_iter().zip(own) {
                lines[place] = line;
            }
        }
        let shuffled = judge(&story.plan, lines.into_iter().map(|(_, _, e)| e));
        prop_assert_eq!(in_order.verdicts, shuffled.verdicts);
        prop_assert_eq!(in_order.outcome, shuffled.outcome);
        prop_assert_eq!(in_order.figures, shuffled.figures);
    }

    /// The same story told later gives the same lengths of time.
    #[test]
    fn time_to_agree_does_not_depend_on_when(shift in 0.0f64..5.0, late in 0.1f64..4.0) {
        let mut s = Story::of(4);
        s.partition(30.0, Some(40.0 + shift), &[&[0, 1], &[2, 3]]);
        s.mines(31.0, 0, "a1", "base");
        s.reaches(31.0, "a1", [1]);
        s.mines(32.0, 2, "b1", "base");
        s.mines(33.0, 0, "a2", "a1");
        s.reaches(33.0, "a2", [1]);
        s.takes(40.0 + shift + late, 2, "a2");
        s.takes(40.0 + shift + late, 3, "a2");
        let time = s.judge().figures.partitions[0].agreed_after_ns.unwrap();
        prop_assert!(time.0.abs_diff(secs(late).0) <= 2);
    }

    /// Whatever lines a damaged or forged file holds, judging ends and does not panic.
    #[test]
    fn no_events_make_the_judge_panic(picks in prop::collection::vec((any::<u16>(), any::<u64>(), 0u32..9), 0..300)) {
        let story = everything();
        let lines = story.events();
        let events = picks.into_iter().map(|(pick, t, node)| {
            let mut e = lines[usize::from(pick) % lines.len()].clone();
            e.t = Nanos(t);
            if let What::Tip { node: n, .. } | What::NodeUp { node: n } = &mut e.what {
                n.0 = node;
            }
            e
        });
        let judgement = judge(&story.plan, events);
        prop_assert_eq!(judgement.verdicts.len(), story.plan.expect.len());
    }
}
