//! Churn rules: either drawn, or with every outage listed.

use indexmap::IndexMap;
use peerlab_link::Nanos;

use super::faults::seconds;
use super::network::node_of;
use super::nodes::Names;
use super::problems::Problems;
use super::selection::resolve_selection;
use crate::experiment::PERIOD_MIN;
use crate::plan::spec::Down;
use crate::topology::file;
use crate::topology::listed::OutageAt;
use crate::topology::marked::Path;
use crate::topology::resolved::{Churn, NodeOutages, Outages, Phases, Renewal};
use crate::topology::units::Share;
use crate::topology::words::DownWay;

/// Resolves the churn rules.
pub fn resolve_churn(
    problems: &Problems,
    path: &Path,
    rules: Vec<file::Churn>,
    names: &Names,
    phases: Option<Phases>,
) -> Vec<Churn> {
    let mut resolved = Vec::new();
    for (index, mut rule) in rules.into_iter().enumerate() {
        let path = path.item(index);
        let how = problems.optional(&path.key("how"), rule.how.take());
        let how = how.map_or(Down::Kill, |DownWay(how)| how);
        let outages = match rule.outages.take() {
            None => resolve_renewal(problems, &path, rule, names).map(Outages::Drawn),
            Some(outages) => {
                refuse_draws(problems, &path, &rule);
                let path = path.key("outages");
                Some(Outages::Listed(resolve_outages(
                    problems, &path, outages, names, phases,
                )))
            }
        };
        resolved.extend(outages.map(|outages| Churn { how, outages }));
    }
    resolved
}

fn resolve_renewal(
    problems: &Problems,
    path: &Path,
    rule: file::Churn,
    names: &Names,
) -> Option<Renewal> {
    let there = [
        ("nodes", rule.nodes.is_some()),
        ("session", rule.session.is_some()),
        ("offline", rule.offline.is_some()),
    ];
    for (key, _) in there.iter().filter(|(_, there)| !there) {
        problems.add(
            path,
            format!("`{key}` is missing"),
            "churn is drawn from `nodes`, `session` and `offline`, or listed in `outages`",
            format!("add `{key}:`; `peerlab schema` describes every key"),
        );
    }
    let nodes = rule
        .nodes
        .and_then(|nodes| resolve_selection(problems, &path.key("nodes"), nodes, names, false));
    let always_on = problems.optional(&path.key("always_on"), rule.always_on);
    let session = problems.optional(&path.key("session"), rule.session);
    let offline = problems.optional(&path.key("offline"), rule.offline);
    Some(Renewal {
        nodes: nodes?,
        always_on: always_on.map_or(0.0, |Share(share)| share),
        session: session?,
        offline: offline?,
    })
}

/// That nothing is drawn beside a list.
fn refuse_draws(problems: &Problems, path: &Path, rule: &file::Churn) {
    let there = [
        ("nodes", rule.nodes.is_some()),
        ("always_on", rule.always_on.is_some()),
        ("session", rule.session.is_some()),
        ("offline", rule.offline.is_some()),
    ];
    for (key, _) in there.iter().filter(|(_, there)| *there) {
        problems.add(
            &path.name(key),
            format!("`{key}` has no meaning here"),
            "every outage is listed in `outages`, so that nothing is drawn",
            "remove it, or remove `outages`",
        );
    }
}

fn resolve_outages(
    problems: &Problems,
    path: &Path,
    outages: IndexMap<String, Vec<OutageAt>>,
    names: &Names,
    phases: Option<Phases>,
) -> Vec<NodeOutages> {
    let mut resolved = Vec::new();
    for (name, outages) in outages {
        let node = node_of(problems, &path.name(&name), &name, names);
        let own = path.key(&name);
        let times: Vec<Option<(Nanos, Nanos)>> = outages
            .into_iter()
            .enumerate()
            .map(|(index, outage)| resolve_outage(problems, &own.item(index), outage, phases))
            .collect();
        if let Some(node) = node {
            resolved.push(NodeOutages {
                path: path.name(&name),
                node,
                times: times.into_iter().flatten().collect(),
            });
        }
    }
    resolved
}

fn resolve_outage(
    problems: &Problems,
    path: &Path,
    outage: OutageAt,
    phases: Option<Phases>,
) -> Option<(Nanos, Nanos)> {
    let start = problems.value(&path.key("at"), outage.at);
    let lasts = problems.value(&path.key("for"), outage.lasts);
    let (start, lasts) = (start?, lasts?);
    let end = start.saturating_add(lasts);
    if lasts < PERIOD_MIN {
        problems.add(
            &path.key("for"),
            "the outage is too short",
            format!(
                "it lasts {}, and a program cannot end and start faster",
                seconds(lasts)
            ),
            format!("let it last at least {}", seconds(PERIOD_MIN)),
        );
        return None;
    }
    let settle = phases?.settle_start();
    if end > settle {
        problems.add(
            &path.key("for"),
            "the outage ends after churn does",
            format!(
                "it ends at {}, and everybody is back when the settle phase begins, at {}",
                seconds(end),
                seconds(settle)
            ),
            "shorten it, lengthen the phases before, or write a fault with `until: never`",
        );
        return None;
    }
    Some((start, end))
}
