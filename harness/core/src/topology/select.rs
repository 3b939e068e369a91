//! Which nodes are meant, as people write it: `miners`, `peers-3`, `peers 0-9`, `region:europe`,
//! `random 3 of peers`, `random 10% of all`, `rest`. `plan::select` finds the nodes.

use super::units::Amount;
use super::written::{BadValue, Value};

/// A stock of nodes, by names as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stock {
    /// Every node.
    All,
    /// In a partition: every node that no other side has.
    Rest,
    /// A group by its name, or one node by its own: which of the two, the resolver knows.
    Name(String),
    /// The nodes of a group with these indices, both included.
    Range {
        /// The group.
        group: String,
        /// First index.
        first: u32,
        /// Last index.
        last: u32,
    },
    /// The nodes of a region.
    Region(String),
}

/// Nodes of a stock: all, or some drawn by the seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// How many are drawn; `None` takes all.
    pub draw: Option<Amount>,
    /// Out of these.
    pub stock: Stock,
}

impl Value for Term {
    const WHAT: &'static str = "a choice of nodes";
    const FORM: &'static str = "a group (`peers`), a node (`peers-3`), a range of a group, both ends included \
                                (`peers 0-9`), a region (`region:europe`), `all`, some of any of these \
                                (`random 3 of peers`, `random 10% of all`), or a list of such";
    const EXAMPLES: &'static [&'static str] = &[
        "peers",
        "peers-3",
        "peers 0-9",
        "region:europe",
        "random 3 of peers",
        "random 10% of all",
        "all",
        "rest",
    ];

    fn parse(text: &str) -> Result<Term, BadValue> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (draw, words) = match words.as_slice() {
            ["random", amount, "of", stock @ ..] => {
                let amount = Amount::parse(amount).map_err(|bad| BadValue {
                    cause: format!("`{amount}` is not an amount: {}", bad.cause),
                    ..bad
                })?;
                if matches!(amount, Amount::Count(0))
                    || matches!(amount, Amount::Share(share) if share == 0.0)
                {
                    return Err(BadValue::new("it draws no node at all"));
                }
                (Some(amount), stock)
            }
            ["random", ..] => {
                return Err(BadValue::new(
                    "after `random` come an amount, `of`, and of what",
                ));
            }
            stock => (None, stock),
        };
        let stock = match words {
            ["all"] => Stock::All,
            ["rest"] if draw.is_none() => Stock::Rest,
            ["rest"] => return Err(BadValue::new("a part cannot be drawn from `rest`")),
            [word] => match word.split_once(':') {
                Some(("region", region)) if !region.is_empty() => Stock::Region(region.to_owned()),
                Some((kind, _)) => {
                    return Err(BadValue::new(format!(
                        "`{kind}:` is unknown; only `region:` has a colon"
                    )));
                }
                None if word.contains(['[', '*', '.']) => {
                    return Err(BadValue::with_hint(
                        "it is not a name",
                        "for a part of a group write a range, as `peers 0-9`",
                    ));
                }
                None => Stock::Name((*word).to_owned()),
            },
            [group, range] => {
                let Some((first, last)) = range.split_once('-') else {
                    return Err(BadValue::new(format!(
                        "`{range}` is not a range such as `0-9`"
                    )));
                };
                let (first, last) = (u32::parse(first)?, u32::parse(last)?);
                if last < first {
                    return Err(BadValue::new(format!(
                        "the range ends at {last}, before it begins at {first}"
                    )));
                }
                Stock::Range {
                    group: (*group).to_owned(),
                    first,
                    last,
                }
            }
            _ => return Err(BadValue::new("it is not one of the forms")),
        };
        Ok(Term { draw, stock })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for example in Term::EXAMPLES {
            Term::parse(example).unwrap();
        }
        let term = Term::parse("random 10% of region:europe").unwrap();
        assert_eq!(term.draw, Some(Amount::Share(0.1)));
        assert_eq!(term.stock, Stock::Region("europe".into()));
        let range = Stock::Range {
            group: "peers".into(),
            first: 2,
            last: 4,
        };
        assert_eq!(Term::parse("peers 2-4").unwrap().stock, range);
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "peers[0..3]",
            "peers 5-2",
            "random of peers",
            "random 0 of peers",
            "regoin:eu",
            "random 2 of rest",
        ] {
            Term::parse(text).unwrap_err();
        }
    }
}
