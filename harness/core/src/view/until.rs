//! What somebody waits for: `agreed`, `height>=120`, `peers>=8`, `up>=20`.

use super::network_view::{NetworkView, NodeRow};
use crate::topology::written::{BadValue, Value};

/// A state of the network that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// All nodes that run have answered, and say the same: their tip, or what a program of theirs says.
    Agreed,
    /// Each node that is up and has a chain has a tip at least so high.
    Height(u32),
    /// Each of these has at least so many peers.
    Peers(u32),
    /// At least so many nodes are up.
    Up(u32),
}

impl Value for Until {
    const WHAT: &'static str = "something to wait for";
    const FORM: &'static str = "`agreed`, `height>=120`, `peers>=8` or `up>=20`";
    const EXAMPLES: &'static [&'static str] = &["agreed", "height>=120", "peers>=8", "up>=20"];

    fn parse(text: &str) -> Result<Until, BadValue> {
        if text == "agreed" {
            return Ok(Until::Agreed);
        }
        let Some((what, least)) = text.split_once(">=") else {
            return Err(BadValue::new("it is none of the forms"));
        };
        let least = u32::parse(least.trim())?;
        match what.trim() {
            "height" => Ok(Until::Height(least)),
            "peers" => Ok(Until::Peers(least)),
            "up" => Ok(Until::Up(least)),
            other => Err(BadValue::new(format!("there is no `{other}` to wait for"))),
        }
    }
}

impl Until {
    /// Whether it holds. Of peers the view knows what was counted last; where nothing was, it does not
    /// hold.
    pub fn holds(self, view: &NetworkView) -> bool {
        let each = |holds: fn(&NodeRow, u32) -> bool, least| {
            let mut rows = view.up_with_chain().peekable();
            rows.peek().is_some() && rows.all(|row| holds(row, least))
        };
        match self {
            Until::Agreed => view.agreed(),
            Until::Height(least) => each(
                |row, least| row.tip.as_ref().is_some_and(|tip| tip.height >= least),
                least,
            ),
            Until::Peers(least) => each(
                |row, least| row.peers.is_some_and(|it| it.sum() >= least),
                least,
            ),
            Until::Up(least) => view.up_count() >= least as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use peerlab_link::NodeId;

    use super::super::told::tip;
    use super::*;
    use crate::check::story::{Story, secs};
    use crate::event::{RunEvent, What};

    #[test]
    fn every_form_is_read_and_others_are_refused() {
        assert_eq!(Until::parse("agreed"), Ok(Until::Agreed));
        assert_eq!(Until::parse("height >= 12"), Ok(Until::Height(12)));
        assert_eq!(Until::parse("peers>=0"), Ok(Until::Peers(0)));
        assert_eq!(Until::parse("up>=3"), Ok(Until::Up(3)));
        for text in ["", "agree", "height", "height>12", "tips>=2", "peers>=-1"] {
            Until::parse(text).unwrap_err();
        }
    }

    #[test]
    fn nodes_without_a_chain_agree_by_what_they_say() {
        let mut view = NetworkView::new(&Story::of(2).plan);
        let mut told = |what| {
            let t = secs(1.0);
            view.take(&RunEvent { t, what });
            [Until::Agreed, Until::Height(1), Until::Peers(0)].map(|it| it.holds(&view))
        };
        let says = |node, value: &str| What::Value {
            node: NodeId(node),
            value: value.to_owned(),
        };
        for node in [0, 1].map(NodeId) {
            told(What::NodeUp { node });
        }
        assert_eq!(told(says(0, "red")), [false; 3]);
        assert_eq!(told(says(1, "blue")), [false; 3]);
        assert_eq!(told(says(1, "")), [false; 3]);
        // There is no chain whose height could be waited for.
        assert_eq!(told(says(1, "red")), [true, false, false]);
    }

    #[test]
    fn heights_are_those_of_nodes_with_a_chain() {
        let mut view = NetworkView::new(&Story::of(2).plan);
        for what in [
            What::NodeUp { node: NodeId(0) },
            What::NodeUp { node: NodeId(1) },
            What::Value {
                node: NodeId(0),
                value: "red".into(),
            },
            What::Tip {
                node: NodeId(1),
                tip: tip("aa", 7),
            },
        ] {
            let t = secs(1.0);
            view.take(&RunEvent { t, what });
        }
        assert!(Until::Height(7).holds(&view) && !Until::Height(8).holds(&view));
    }
}
