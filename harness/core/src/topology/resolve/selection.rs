//! Choices of nodes: names in them become indices.

use super::nodes::Names;
use super::problems::Problems;
use crate::topology::marked::Path;
use crate::topology::resolved::{Selection, Stock, Term};
use crate::topology::select;
use crate::topology::suggest::closest;
use crate::topology::units::Amount;
use crate::topology::written::WordOr;

/// Resolves a choice; `rest` stands only in partitions.
pub fn resolve_selection(
    problems: &Problems,
    path: &Path,
    written: WordOr<Vec<String>>,
    names: &Names,
    rest_allowed: bool,
) -> Option<Selection> {
    let words = match written {
        WordOr::Word(word) => vec![(path.clone(), word)],
        WordOr::Long(words) => {
            let item = |(index, word)| (path.item(index), word);
            words.into_iter().enumerate().map(item).collect()
        }
    };
    if words.is_empty() {
        problems.add(
            path,
            "no nodes are chosen",
            "the list is empty",
            "name a group, a node or a region",
        );
        return None;
    }
    // Not all(): every mistake is to be found.
    let terms: Vec<Option<Term>> = words
        .into_iter()
        .map(|(path, word)| {
            let term: select::Term = problems.word(&path, &word)?;
            resolve_term(problems, path, term, names, rest_allowed)
        })
        .collect();
    Some(Selection {
        path: path.clone(),
        terms: terms.into_iter().collect::<Option<_>>()?,
    })
}

fn resolve_term(
    problems: &Problems,
    path: Path,
    term: select::Term,
    names: &Names,
    rest_allowed: bool,
) -> Option<Term> {
    let stock = match term.stock {
        select::Stock::All => Stock::All,
        select::Stock::Rest if rest_allowed => Stock::Rest,
        select::Stock::Rest => {
            problems.add(
                &path,
                "there is no `rest` here",
                "`rest` means the nodes on no other side of a partition",
                "write `all`, or name groups",
            );
            return None;
        }
        select::Stock::Region(region) => match names.region(&region) {
            Some(index) => Stock::Region(index),
            None => {
                problems.unknown(&path, "region", &region, names.regions());
                return None;
            }
        },
        select::Stock::Range { group, first, last } => {
            let Some((start, count)) = names.group(&group) else {
                problems.unknown(&path, "group", &group, names.groups());
                return None;
            };
            if last >= count {
                unknown_node(problems, &path, &format!("{group}-{last}"), &group, count);
                return None;
            }
            Stock::Nodes {
                first: start + first,
                last: start + last,
            }
        }
        select::Stock::Name(name) => resolve_name(problems, &path, &name, names)?,
    };
    check_draw(problems, &path, term.draw, stock, names);
    Some(Term {
        path,
        draw: term.draw,
        stock,
    })
}

/// A group's name, or a node's.
fn resolve_name(problems: &Problems, path: &Path, name: &str, names: &Names) -> Option<Stock> {
    if let Some((first, count)) = names.group(name) {
        return Some(Stock::Nodes {
            first,
            last: first + count - 1,
        });
    }
    if let Some(index) = names.node(name) {
        return Some(Stock::Nodes {
            first: index,
            last: index,
        });
    }
    let node_of = name
        .rsplit_once('-')
        .filter(|(_, number)| number.parse::<u32>().is_ok())
        .and_then(|(group, _)| Some((group, names.group(group)?.1)));
    if let Some((group, count)) = node_of {
        unknown_node(problems, path, name, group, count);
    } else if names.region(name).is_some() {
        problems.add(
            path,
            format!("unknown group `{name}`"),
            "a region of that name exists, but no group",
            format!("write `region:{name}`"),
        );
    } else if let Some(region) =
        closest(name, names.regions()).filter(|_| closest(name, names.groups()).is_none())
    {
        problems.add(
            path,
            format!("unknown group or node `{name}`"),
            "this experiment has no group or node of that name",
            format!("did you mean `region:{region}`?"),
        );
    } else {
        problems.unknown(path, "group or node", name, names.groups());
    }
    None
}

fn unknown_node(problems: &Problems, path: &Path, name: &str, group: &str, count: u32) {
    problems.add(
        path,
        format!("unknown node `{name}`"),
        format!("the group `{group}` has {count} nodes"),
        format!("they are `{group}-0` to `{group}-{}`", count - 1),
    );
}

/// That not more nodes are drawn than there are, as far as the seed has no part in it.
fn check_draw(problems: &Problems, path: &Path, draw: Option<Amount>, stock: Stock, names: &Names) {
    let total = match stock {
        Stock::All => names.count(),
        Stock::Nodes { first, last } => last - first + 1,
        Stock::Region(_) | Stock::Rest => return,
    };
    let Some(draw) = draw else { return };
    let drawn = draw.of(total as usize);
    if drawn > total as usize {
        problems.add(
            path,
            format!("{drawn} nodes cannot be drawn here"),
            format!("there are only {total}"),
            "draw fewer, or name all of them",
        );
    } else if drawn == 0 {
        problems.add(
            path,
            "this draws no node at all",
            format!("rounded to whole nodes, that part of {total} is 0"),
            "write a larger part, or a count",
        );
    }
}
