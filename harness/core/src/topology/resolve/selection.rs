//! Choices of nodes: names in them become indices.

use super::known::Known;
use super::problems::At;
use crate::topology::resolved::{Selection, Stock, Term};
use crate::topology::select;
use crate::topology::suggest::closest;
use crate::topology::units::Amount;
use crate::topology::written::WordOr;

/// Resolves a choice; `rest` stands only in partitions.
pub fn resolve_selection(
    at: &At,
    written: WordOr<Vec<String>>,
    known: &Known<'_>,
    rest_allowed: bool,
) -> Option<Selection> {
    let words = match written {
        WordOr::Word(word) => vec![(at.clone(), word)],
        WordOr::Long(words) => {
            let item = |(index, word)| (at.item(index), word);
            words.into_iter().enumerate().map(item).collect()
        }
    };
    if words.is_empty() {
        at.add(
            "no nodes are chosen",
            "the list is empty",
            "name a group, a node or a region",
        );
        return None;
    }
    let term =
        |(at, word): (At, String)| resolve_term(at.clone(), at.word(&word)?, known, rest_allowed);
    // Every mistake is to be found before one of them ends it.
    let terms: Vec<Option<Term>> = words.into_iter().map(term).collect();
    Some(Selection {
        path: at.path.clone(),
        terms: terms.into_iter().collect::<Option<_>>()?,
    })
}

fn resolve_term(at: At, term: select::Term, known: &Known<'_>, rest_allowed: bool) -> Option<Term> {
    let stock = match term.stock {
        select::Stock::All => Stock::All,
        select::Stock::Rest if rest_allowed => Stock::Rest,
        select::Stock::Rest => {
            at.add(
                "there is no `rest` here",
                "`rest` means the nodes on no other side of a partition",
                "write `all`, or name groups",
            );
            return None;
        }
        select::Stock::Region(region) => Stock::Region(known.regions.find(&at, &region)?),
        select::Stock::Range { group, first, last } => {
            let Some((start, count)) = known.group(&group) else {
                at.unknown("group", &group, known.group_names());
                return None;
            };
            if last >= count {
                unknown_node(&at, &format!("{group}-{last}"), &group, count);
                return None;
            }
            Stock::Nodes {
                first: start + first,
                last: start + last,
            }
        }
        select::Stock::Name(name) => resolve_name(&at, &name, known)?,
    };
    check_draw(&at, term.draw, stock, known);
    Some(Term {
        path: at.path,
        draw: term.draw,
        stock,
    })
}

/// A group's name, or a node's.
fn resolve_name(at: &At, name: &str, known: &Known<'_>) -> Option<Stock> {
    let node = || Some((known.node(name)?, 1));
    if let Some((first, count)) = known.group(name).or_else(node) {
        let last = first + count - 1;
        return Some(Stock::Nodes { first, last });
    }
    let node_of = name
        .rsplit_once('-')
        .filter(|(_, number)| number.parse::<u32>().is_ok())
        .and_then(|(group, _)| Some((group, known.group(group)?.1)));
    let regions = || known.regions.names.iter().map(String::as_str);
    if let Some((group, count)) = node_of {
        unknown_node(at, name, group, count);
    } else if known.regions.index(name).is_some() {
        at.add(
            format!("unknown group `{name}`"),
            "a region of that name exists, but no group",
            format!("write `region:{name}`"),
        );
    } else if let Some(region) =
        closest(name, regions()).filter(|_| closest(name, known.group_names()).is_none())
    {
        at.add(
            format!("unknown group or node `{name}`"),
            "this experiment has no group or node of that name",
            format!("did you mean `region:{region}`?"),
        );
    } else {
        at.unknown("group or node", name, known.group_names());
    }
    None
}

fn unknown_node(at: &At, name: &str, group: &str, count: u32) {
    at.add(
        format!("unknown node `{name}`"),
        format!("the group `{group}` has {count} nodes"),
        format!("they are `{group}-0` to `{group}-{}`", count - 1),
    );
}

/// That not more nodes are drawn than there are, as far as the seed has no part in it.
fn check_draw(at: &At, draw: Option<Amount>, stock: Stock, known: &Known<'_>) {
    let total = match stock {
        Stock::All => known.count(),
        Stock::Nodes { first, last } => last - first + 1,
        Stock::Region(_) | Stock::Rest => return,
    };
    let Some(draw) = draw else { return };
    let drawn = draw.of(total as usize);
    if drawn > total as usize {
        at.add(
            format!("{drawn} nodes cannot be drawn here"),
            format!("there are only {total}"),
            "draw fewer, or name all of them",
        );
    } else if drawn == 0 {
        at.add(
            "this draws no node at all",
            format!("rounded to whole nodes, that part of {total} is 0"),
            "write a larger part, or a count",
        );
    }
}
