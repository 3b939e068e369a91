//! Why nodes are down, or gave no answer: their own words, how their programs ended, and the end of
//! what these wrote.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::record::Record;
use crate::plan::Plan;
use crate::words;

/// Most reasons that one sentence tells.
const REASONS_SHOWN: usize = 3;

/// By the names of nodes, what is known of why they are down or gave no answer.
#[derive(Debug)]
pub struct Reasons(BTreeMap<String, String>);

impl Reasons {
    /// The latest that the record tells of each node.
    pub fn of(plan: &Plan, record: &Record) -> Reasons {
        let mut why = BTreeMap::new();
        for death in &record.deaths {
            if let Some(reason) = &death.reason {
                why.insert(death.node.clone(), reason.to_string());
            }
        }
        for (node, reason) in &record.unanswered {
            why.insert(plan.node_name(*node), reason.to_string());
        }
        for (node, lines) in &record.log_ends {
            let lines: Vec<String> = lines.iter().map(|line| format!("`{line}`")).collect();
            let end = format!("its log ends: {}", lines.join(" "));
            let known = why.entry(plan.node_name(*node)).or_default();
            let gap = if known.is_empty() { "" } else { "; " };
            known.push_str(gap);
            known.push_str(&end);
        }
        Reasons(why)
    }

    /// Names with the reasons, those of one reason together: `a and b (HTTP 401 Unauthorized), c`.
    pub fn named(&self, names: &[String]) -> String {
        let mut groups: BTreeMap<Option<&String>, Vec<String>> = BTreeMap::new();
        for name in names {
            groups
                .entry(self.0.get(name))
                .or_default()
                .push(name.clone());
        }
        let mut groups: Vec<(Option<&String>, Vec<String>)> = groups.into_iter().collect();
        groups.sort_by_key(|(_, names)| Reverse(names.len()));
        let more = groups.split_off(groups.len().min(REASONS_SHOWN));
        let told = groups.iter().map(|(reason, names)| {
            let names = words::names(names);
            reason.map_or_else(|| names.clone(), |reason| format!("{names} ({reason})"))
        });
        let rest: usize = more.iter().map(|(_, names)| names.len()).sum();
        let rest = (rest > 0).then(|| format!("{rest} for other reasons"));
        told.chain(rest).collect::<Vec<String>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_one_reason_are_named_together() {
        let why = |name: &str| (name.to_owned(), format!("because of {}", &name[..1]));
        let names = ["a1", "a2", "b1", "c1", "d1", "e1"].map(str::to_owned);
        let known = names.iter().take(5).map(|name| why(name)).collect();
        let reasons = Reasons(known);
        assert_eq!(reasons.named(&names[5..]), "e1");
        assert_eq!(
            reasons.named(&names[..3]),
            "a1 and a2 (because of a), b1 (because of b)"
        );
        assert_eq!(
            reasons.named(&names),
            "a1 and a2 (because of a), e1, b1 (because of b), 2 for other reasons"
        );
    }
}
