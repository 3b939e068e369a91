//! Whether what an experiment asks of its nodes can be asked through their groups' probes.

use super::problems::At;
use crate::experiment::{Ability, FaultKey};
use crate::topology::resolved::{Blocks, Fault, Group, Ledger, Transactions};

/// Mining, payments and double spends; `at` is the top of the file.
pub fn check_probes(at: &At, groups: &[Group], ledger: &Ledger, faults: &[Option<Fault>]) {
    for miner in groups.iter().filter(|group| group.hash_power > 0.0) {
        let at = at.key("nodes").key(&miner.name).key("hashpower");
        require(&at, Ability::Ledger, std::slice::from_ref(miner));
    }
    let of_ledger = at.key("ledger");
    if matches!(ledger.blocks, Blocks::Listed(_)) {
        require(&of_ledger.key("blocks"), Ability::Ledger, groups);
    }
    if ledger.transactions != Transactions::PerSecond(0.0) {
        require(&of_ledger.key("transactions"), Ability::Ledger, groups);
    }
    let is_double_spend = |fault: &Fault| fault.kind.key() == FaultKey::DoubleSpend;
    for (index, fault) in faults.iter().enumerate() {
        if fault.as_ref().is_some_and(is_double_spend) {
            require(&at.key("faults").item(index), Ability::Ledger, groups);
        }
    }
}

/// Says so where the probe of one of these groups cannot do it.
pub fn require(at: &At, ability: Ability, groups: &[Group]) {
    let Some(group) = groups.iter().find(|group| group.probe.ability() < ability) else {
        return;
    };
    let needs = match ability {
        Ability::Up => "an answer",
        Ability::Value => "a value",
        Ability::Chain => "a chain that can be read",
        Ability::Ledger => "a ledger that can be worked on",
    };
    let probe = group.probe.word();
    let more = group
        .probe
        .could_say()
        .filter(|_| ability == Ability::Value);
    let cause = match more {
        Some(_) => {
            format!("it needs {needs}, and their probe, `{probe}`, tells only whether they are up")
        }
        None => format!("it needs {needs}, and their probe is `{probe}`"),
    };
    at.add(
        format!("the nodes of `{}` cannot be asked for this", group.name),
        cause,
        more.unwrap_or("give the group a probe that can, or leave this out"),
    );
}
