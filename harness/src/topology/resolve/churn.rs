//! Churn rules.

use super::nodes::Names;
use super::problems::Problems;
use super::selection::resolve_selection;
use crate::plan::spec::Down;
use crate::topology::file;
use crate::topology::marked::Path;
use crate::topology::resolved::Churn;
use crate::topology::units::Share;
use crate::topology::words::DownWay;

/// Resolves the churn rules.
pub fn resolve_churn(
    problems: &Problems,
    path: &Path,
    rules: Vec<file::Churn>,
    names: &Names,
) -> Vec<Churn> {
    let mut resolved = Vec::new();
    for (index, rule) in rules.into_iter().enumerate() {
        let path = path.item(index);
        let nodes = resolve_selection(problems, &path.key("nodes"), rule.nodes, names, false);
        let always_on = problems.optional(&path.key("always_on"), rule.always_on);
        let session = problems.value(&path.key("session"), rule.session);
        let offline = problems.value(&path.key("offline"), rule.offline);
        let how = problems.optional(&path.key("how"), rule.how);
        if let (Some(nodes), Some(session), Some(offline)) = (nodes, session, offline) {
            resolved.push(Churn {
                nodes,
                always_on: always_on.map_or(0.0, |Share(share)| share),
                session,
                offline,
                how: how.map_or(Down::Kill, |DownWay(how)| how),
            });
        }
    }
    resolved
}
