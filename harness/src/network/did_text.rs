//! What was done to a network, in words.

use peerlab_core::words;

use super::request::Did;

/// Failures that are listed; of more the count is told.
const FAILURES_SHOWN: usize = 10;

/// What was done, in words.
pub fn did_text(did: &Did) -> String {
    let mut text = format!("{}\n", did.what);
    if let [only] = did.blocks.as_slice() {
        text.push_str(&format!("  {only}\n"));
    }
    for failure in did.failures.iter().take(FAILURES_SHOWN) {
        let of = failure.node.as_ref().map(|node| format!("at {node} "));
        let of = of.unwrap_or_default();
        text.push_str(&format!("  {of}it had no effect: {}\n", failure.reason));
    }
    let more = did.failures.len().saturating_sub(FAILURES_SHOWN) as u64;
    if more > 0 {
        text.push_str(&format!("  and {} more\n", words::thousands(more)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::request::NodeFailure;
    use super::*;

    #[test]
    fn what_had_no_effect_is_told_with_its_node_and_reason() {
        let failure = |node: Option<&str>, reason: &str| NodeFailure {
            node: node.map(str::to_owned),
            reason: reason.into(),
        };
        let mut did = Did {
            what: "kill of peers-3, peers-4".into(),
            failures: vec![
                failure(Some("peers-3"), "no such process"),
                failure(None, "no answer before the run ended"),
            ],
            ..Did::default()
        };
        let some = did_text(&did);
        did.failures = vec![failure(Some("peers-3"), "gone"); 12];
        let many = did_text(&did);
        let one_block = did_text(&Did {
            what: "1 block by peers-3".into(),
            blocks: vec!["00ab".into()],
            ..Did::default()
        });
        insta::assert_snapshot!(format!("{some}---\n{many}---\n{one_block}"));
    }
}
