//! The end of a node's log, as the record tells it.

use peerlab_link::NodeId;

use crate::engine::Engine;
use peerlab_core::event::Reason;

/// Bytes of a log's end in which the last lines are looked for.
const END_BYTES: usize = 2_000;
/// Last lines that the record tells.
const END_LINES: usize = 3;

/// The last lines of what a node's program wrote, each bounded; none where there is no log.
pub async fn log_end<E: Engine>(engine: &E, node: NodeId) -> Vec<Reason> {
    let log = engine.node_log(node, END_BYTES).await.unwrap_or_default();
    last_lines(&String::from_utf8_lossy(&log.into_bytes()))
}

fn last_lines(text: &str) -> Vec<Reason> {
    let lines = text.lines().rev().filter(|line| !line.trim().is_empty());
    let mut last: Vec<Reason> = lines.take(END_LINES).map(Reason::from).collect();
    last.reverse();
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_those_with_something_in_them() {
        let lines = last_lines("one\n\ntwo\n  \nthree\n\u{1b}[31mfour\n\n");
        let told: Vec<String> = lines.iter().map(Reason::to_string).collect();
        assert_eq!(told, ["two", "three", r"\u{1b}[31mfour"]);
        assert_eq!(last_lines(""), []);
    }
}
