//! Churn rules: either drawn, or with every outage listed.

use indexmap::IndexMap;
use peerlab_link::Nanos;

use super::known::Known;
use super::problems::{At, seconds};
use super::selection::resolve_selection;
use crate::experiment::{Down, PERIOD_MIN};
use crate::topology::file;
use crate::topology::listed::OutageAt;
use crate::topology::resolved::{Churn, NodeOutages, Outages, Renewal};
use crate::topology::units::Share;

/// Resolves the churn rules.
pub fn resolve_churn(at: &At, rules: Vec<file::Churn>, known: &Known<'_>) -> Vec<Churn> {
    let mut resolved = Vec::new();
    for (index, mut rule) in rules.into_iter().enumerate() {
        let at = at.item(index);
        let how = at.key("how").optional(rule.how.take());
        let outages = match rule.outages.take() {
            None => resolve_renewal(&at, rule, known).map(Outages::Drawn),
            Some(outages) => {
                let there = [
                    ("nodes", rule.nodes.is_some()),
                    ("always_on", rule.always_on.is_some()),
                    ("session", rule.session.is_some()),
                    ("offline", rule.offline.is_some()),
                ];
                at.refuse(
                    there,
                    "every outage is listed in `outages`, so that nothing is drawn",
                    "remove it, or remove `outages`",
                );
                let outages = resolve_outages(&at.key("outages"), outages, known);
                Some(Outages::Listed(outages))
            }
        };
        let how = how.unwrap_or(Down::Kill);
        resolved.extend(outages.map(|outages| Churn { how, outages }));
    }
    resolved
}

fn resolve_renewal(at: &At, rule: file::Churn, known: &Known<'_>) -> Option<Renewal> {
    let there = [
        ("nodes", rule.nodes.is_some()),
        ("session", rule.session.is_some()),
        ("offline", rule.offline.is_some()),
    ];
    for (key, _) in there.iter().filter(|(_, there)| !there) {
        at.add(
            format!("`{key}` is missing"),
            "churn is drawn from `nodes`, `session` and `offline`, or listed in `outages`",
            format!("add `{key}:`; `peerlab schema` describes every key"),
        );
    }
    let choice = |nodes| resolve_selection(&at.key("nodes"), nodes, known, false);
    let nodes = rule.nodes.and_then(choice);
    let always_on = at.key("always_on").optional(rule.always_on);
    let session = at.key("session").optional(rule.session);
    let offline = at.key("offline").optional(rule.offline);
    Some(Renewal {
        nodes: nodes?,
        always_on: always_on.map_or(0.0, |Share(share)| share),
        session: session?,
        offline: offline?,
    })
}

fn resolve_outages(
    at: &At,
    outages: IndexMap<String, Vec<OutageAt>>,
    known: &Known<'_>,
) -> Vec<NodeOutages> {
    let mut resolved = Vec::new();
    for (name, outages) in outages {
        let (named, at) = (at.name(&name), at.key(&name));
        let node = known.find_node(&named, &name);
        let outages = outages.into_iter().enumerate();
        let times =
            outages.filter_map(|(index, outage)| resolve_outage(&at.item(index), outage, known));
        let times = times.collect();
        let path = named.path;
        resolved.extend(node.map(|node| NodeOutages { path, node, times }));
    }
    resolved
}

/// Its start and end.
fn resolve_outage(at: &At, outage: OutageAt, known: &Known<'_>) -> Option<(Nanos, Nanos)> {
    let start = at.key("at").value(outage.at);
    let at = at.key("for");
    let lasts = at.value(outage.lasts);
    let (start, lasts) = (start?, lasts?);
    let end = start.saturating_add(lasts);
    if lasts < PERIOD_MIN {
        let lasts = seconds(lasts);
        at.add(
            "the outage is too short",
            format!("it lasts {lasts}, and a program cannot end and start faster"),
            format!("let it last at least {}", seconds(PERIOD_MIN)),
        );
        return None;
    }
    let settle = known.phases?.settle_start();
    if end > settle {
        let (end, settle) = (seconds(end), seconds(settle));
        at.add(
            "the outage ends after churn does",
            format!(
                "it ends at {end}, and everybody is back when the settle phase begins, at {settle}"
            ),
            "shorten it, lengthen the phases before, or write a fault with `until: never`",
        );
        return None;
    }
    Some((start, end))
}
