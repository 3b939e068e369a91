//! What somebody waits for: `agreed`, `height>=120`, `peers>=8`, `up>=20`.

use super::network_view::NetworkView;
use crate::topology::written::{BadValue, Value};

/// A state of the network that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// All nodes that run have answered, and have one tip.
    Agreed,
    /// Each node that is up has a tip at least so high.
    Height(u32),
    /// Each node that is up has at least so many peers.
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
        let mut rows = view.rows().iter();
        match self {
            Until::Agreed => view.agreed(),
            Until::Height(least) => {
                view.up_count() > 0
                    && rows.all(|row| {
                        !row.state.is_up()
                            || row.tip.as_ref().is_some_and(|tip| tip.height >= least)
                    })
            }
            Until::Peers(least) => {
                view.up_count() > 0
                    && rows.all(|row| {
                        !row.state.is_up() || row.peers.is_some_and(|it| it.sum() >= least)
                    })
            }
            Until::Up(least) => view.up_count() >= least as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
