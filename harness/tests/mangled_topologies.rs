//! Experiments with random slips of the pen: they are read or refused with a place, and nothing
//! panics on the way to a plan.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use peerlab_core::{plan, topology};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

fn shipped(name: &str) -> String {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies");
    std::fs::read_to_string(top.join(name)).unwrap()
}

/// What a slip puts into the text: pieces of the language itself, so that some slips are deep.
const PIECES: [&str; 40] = [
    "",
    "-",
    ":",
    " ",
    "\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    "'",
    "\"",
    "#",
    "&a ",
    "*a",
    "!x ",
    "|",
    "%",
    "0",
    "-1",
    "9999999999",
    "1e300",
    "nan",
    "s",
    "all",
    "rest",
    "random 3 of ",
    "region:",
    "peers",
    "miners-0",
    "peers 0-9",
    "never",
    "settle",
    "weibull(",
    ")",
    "  ",
    "\t",
    "é",
    "\u{0}",
    "~",
];

fn slip(text: &mut String, at: usize, remove: usize, piece: &str) {
    let chars: Vec<char> = text.chars().collect();
    let at = at % (chars.len() + 1);
    let end = (at + remove).min(chars.len());
    *text =
        chars[..at].iter().collect::<String>() + piece + &chars[end..].iter().collect::<String>();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 600,
        // Beside this file: its program has no folder of its own that the default could find.
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("proptest-regressions"))),
        ..ProptestConfig::default()
    })]
    #[test]
    fn slips_are_read_or_refused_with_a_place(
        file in prop_oneof![Just("quickstart.yaml"), Just("churn-partition.yaml"), Just("p2p-graph.yaml")],
        slips in proptest::collection::vec((any::<usize>(), 0usize..12, 0..PIECES.len()), 1..4),
    ) {
        let mut text = shipped(file);
        for (at, remove, piece) in slips {
            slip(&mut text, at, remove, PIECES[piece]);
        }
        match topology::parse("slip.yaml", &text).and_then(|topology| plan::compile(&topology, 1)) {
            Ok(plan) => prop_assert_eq!(plan.validate(), Ok(())),
            Err(error) => {
                for report in &error.reports {
                    let more = report.what.ends_with("more mistakes in this file");
                    prop_assert!(report.place.is_some() || more, "{}", error.render());
                }
            }
        }
    }
}
