//! Whether what an experiment asks of its nodes can be asked through their groups' probes.

use super::problems::Problems;
use crate::experiment::{Ability, FaultKey};
use crate::topology::marked::Path;
use crate::topology::resolved::{Blocks, Fault, Group, Ledger, Transactions};

/// Mining, payments and double spends.
pub fn check_probes(
    problems: &Problems,
    groups: &[Group],
    ledger: &Ledger,
    faults: &[Option<Fault>],
) {
    for miner in groups.iter().filter(|group| group.hash_power > 0.0) {
        let path = Path::root().key("nodes").key(&miner.name).key("hashpower");
        require(
            problems,
            &path,
            Ability::Ledger,
            std::slice::from_ref(miner),
        );
    }
    let path = Path::root().key("ledger");
    if matches!(ledger.blocks, Blocks::Listed(_)) {
        require(problems, &path.key("blocks"), Ability::Ledger, groups);
    }
    if ledger.transactions != Transactions::PerSecond(0.0) {
        require(problems, &path.key("transactions"), Ability::Ledger, groups);
    }
    for fault in faults.iter().flatten() {
        if fault.kind.key() == FaultKey::DoubleSpend {
            require(problems, &fault.path, Ability::Ledger, groups);
        }
    }
}

/// Says so where the probe of one of these groups cannot do it.
pub fn require(problems: &Problems, path: &Path, ability: Ability, groups: &[Group]) {
    let Some(group) = groups.iter().find(|group| group.probe.ability() < ability) else {
        return;
    };
    let needs = match ability {
        Ability::Up => "an answer",
        Ability::Value => "a value",
        Ability::Chain => "a chain that can be read",
        Ability::Ledger => "a ledger that can be worked on",
    };
    problems.add(
        path,
        format!("the nodes of `{}` cannot be asked for this", group.name),
        format!(
            "it needs {needs}, and their probe is `{}`",
            group.probe.word()
        ),
        "give the group a probe that can, or leave this out",
    );
}
