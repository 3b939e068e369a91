//! Faults: what each does, and that it lies in its phase.

use peerlab_link::{Nanos, Shape};

use super::known::Known;
use super::nodes::resolve_rate;
use super::problems::{At, seconds};
use super::selection::resolve_selection;
use crate::experiment::{FaultKey, FaultKind, PERIOD_MIN};
use crate::topology::file;
use crate::topology::resolved::{Fault, Phases, Selection};
use crate::topology::suggest::did_you_mean;
use crate::topology::units::Share;
use crate::topology::words::Until;
use crate::topology::written::WordOr;

/// The word in `across:` for the partition that is in force.
const ACROSS_CURRENT: &str = "partition";
/// Least part of a core, in thousandths: a turn of 1 ms, which a timer can still keep.
const SLOW_CPU_MILLIS_MIN: u32 = 10;
/// Shortest fault but a double spend, which is an instant: a program cannot end and start faster.
const LENGTH_MIN: Nanos = PERIOD_MIN;

/// Resolves the faults. The list keeps its length: a fault with mistakes is `None`.
pub fn resolve_faults(at: &At, written: Vec<file::Fault>, known: &Known<'_>) -> Vec<Option<Fault>> {
    let mut faults: Vec<Option<Fault>> = Vec::new();
    let mut double_spends = Vec::new();
    for (index, fault) in written.into_iter().enumerate() {
        if let Some(double_spend) = &fault.double_spend {
            double_spends.push((index, double_spend.across.clone()));
        }
        faults.push(resolve_fault(&at.item(index), fault, known));
    }
    check_names(at, &faults);
    for (index, across) in double_spends {
        let partition = faults[index].as_ref().and_then(|fault| {
            let at = at.item(index).key("double_spend").key("across");
            find_partition(&at, &across, fault.start, &faults)
        });
        match (partition, &mut faults[index]) {
            (Some(partition), Some(fault)) => fault.kind = FaultKind::DoubleSpend { partition },
            (_, fault) => *fault = None,
        }
    }
    faults
}

fn resolve_fault(at: &At, fault: file::Fault, known: &Known<'_>) -> Option<Fault> {
    let is_instant = fault.double_spend.is_some();
    let start = at.key("at").value(fault.at.clone());
    let end = if is_instant {
        let there = [
            ("for", fault.lasts.is_some()),
            ("until", fault.until.is_some()),
        ];
        at.refuse(there, "a double spend happens at one instant", "remove it");
        Some(start)
    } else {
        resolve_end(at, &fault, start, known.phases)
    };
    let is_lost = fault.one_way.is_some() && fault.partition.is_none();
    at.refuse(
        [("one_way", is_lost)],
        "it belongs to a `partition`",
        "remove it",
    );
    let at_end = at.key(if fault.lasts.is_some() {
        "for"
    } else {
        "until"
    });
    let name = fault.name.clone();
    let kind = resolve_kind(at, fault, known);
    let (start, end, kind) = (start?, end?, kind?);
    if let Some(phases) = known.phases {
        check_start(&at.key("at"), start, phases)?;
        check_end(&at_end, start, end, is_instant, phases)?;
    }
    Some(Fault {
        path: at.path.clone(),
        start,
        end,
        name,
        kind,
    })
}

/// When a fault ends that lasts; the inner `None` is never.
fn resolve_end(
    at: &At,
    fault: &file::Fault,
    start: Option<Nanos>,
    phases: Option<Phases>,
) -> Option<Option<Nanos>> {
    if fault.lasts.is_some() && fault.until.is_some() {
        at.name("until").add(
            "a fault has one end",
            "both `for` and `until` are there",
            "keep one of the two",
        );
    }
    if let Some(written) = fault.lasts.clone() {
        let lasts = at.key("for").value(written)?;
        return Some(Some(start?.saturating_add(lasts)));
    }
    let until = match fault.until.clone() {
        None => Until::Settle,
        Some(written) => at.key("until").value(written)?,
    };
    match until {
        Until::Never => Some(None),
        Until::Settle => Some(Some(phases?.settle_start())),
        Until::Time(end) => Some(Some(end)),
    }
}

fn phase_span(phases: Phases) -> String {
    let (first, last) = (seconds(phases.warmup), seconds(phases.settle_start()));
    format!("the phase `faults` lasts from {first} to {last}")
}

/// That a fault begins in the phase `faults`.
fn check_start(at: &At, start: Nanos, phases: Phases) -> Option<()> {
    let when = match start {
        _ if start < phases.warmup => "before",
        _ if start >= phases.settle_start() => "after",
        _ => return Some(()),
    };
    let hint = if phases.faults == Nanos::ZERO {
        "give the phase a length: `phases: { .., faults: 60s, .. }`"
    } else {
        "times count from the start of the run: move the fault, or change the phases"
    };
    let cause = format!(
        "it begins at {}, and {}",
        seconds(start),
        phase_span(phases)
    );
    at.add(
        format!("the fault begins {when} the phase for faults"),
        cause,
        hint,
    );
    None
}

/// That a fault ends in the phase `faults`, after it began.
fn check_end(
    at: &At,
    start: Nanos,
    end: Option<Nanos>,
    is_instant: bool,
    phases: Phases,
) -> Option<()> {
    let Some(end) = end else { return Some(()) };
    let (begins, ends) = (seconds(start), seconds(end));
    let lasts = end.saturating_sub(start);
    if end > phases.settle_start() {
        at.add(
            "the fault ends after the phase for faults",
            format!("it ends at {ends}, and {}", phase_span(phases)),
            "shorten the fault, lengthen the phase, or write `until: never` for one that does not heal",
        );
    } else if end < start {
        at.add(
            "the fault ends before it begins",
            format!("it begins at {begins} and ends at {ends}"),
            "`until` counts from the start of the run; for a length write `for`",
        );
    } else if !is_instant && lasts < LENGTH_MIN {
        at.add(
            "the fault is too short",
            format!("it lasts {}", seconds(lasts)),
            format!("let it last at least {}", seconds(LENGTH_MIN)),
        );
    } else {
        return Some(());
    }
    None
}

/// Resolves what a fault does, whenever that is.
pub fn resolve_kind(
    at: &At,
    fault: file::Fault,
    known: &Known<'_>,
) -> Option<FaultKind<Selection>> {
    let written = FaultKey::ALL.into_iter().filter(|key| fault.has(*key));
    let written: Vec<FaultKey> = written.collect();
    let [key] = written[..] else {
        refuse_keys(at, &written);
        return None;
    };
    let of_key = at.key(key.word());
    match key {
        FaultKey::Partition => {
            let one_way = at.key("one_way").optional(fault.one_way);
            let one_way = one_way.unwrap_or(false);
            resolve_partition(&of_key, fault.partition?, one_way, known)
        }
        FaultKey::Down(how) => {
            let nodes = fault.down(how).clone()?;
            let nodes = resolve_selection(&of_key, nodes, known, false)?;
            Some(FaultKind::Down { nodes, how })
        }
        FaultKey::Shape => resolve_shape(&of_key, fault.shape?, known),
        FaultKey::Slow => resolve_slow(&of_key, fault.slow?, known),
        // Which partition is found when all faults are known.
        FaultKey::DoubleSpend => Some(FaultKind::DoubleSpend { partition: 0 }),
    }
}

/// A fault that says nothing, or several things.
fn refuse_keys(at: &At, written: &[FaultKey]) {
    let words = |keys: &[FaultKey]| -> Vec<&str> { keys.iter().map(|key| key.word()).collect() };
    let cause = if written.is_empty() {
        "none of the keys that say so is there".to_owned()
    } else {
        format!("{} are there together", words(written).join(" and "))
    };
    let all = words(&FaultKey::ALL);
    let (last, others) = all.split_last().unwrap_or((&"", &[]));
    at.add(
        "it is not clear what this fault does",
        cause,
        format!("write exactly one of {} and {last}", others.join(", ")),
    );
}

fn resolve_partition(
    at: &At,
    sides: Vec<WordOr<Vec<String>>>,
    one_way: bool,
    known: &Known<'_>,
) -> Option<FaultKind<Selection>> {
    if sides.is_empty() {
        at.add(
            "a partition without sides",
            "the list is empty",
            "write the sides, as `[[region:europe], [rest]]`",
        );
        return None;
    }
    let side = |(index, side)| resolve_selection(&at.item(index), side, known, true);
    let sides: Vec<Option<Selection>> = sides.into_iter().enumerate().map(side).collect();
    let sides = sides.into_iter().collect::<Option<_>>()?;
    Some(FaultKind::Partition { sides, one_way })
}

fn resolve_shape(at: &At, shape: file::Shape, known: &Known<'_>) -> Option<FaultKind<Selection>> {
    let nodes = resolve_selection(&at.key("nodes"), shape.nodes, known, false);
    let shape = Shape {
        rate_bps: resolve_rate(&at.key("rate"), shape.rate),
        loss: at.key("loss").optional(shape.loss),
        delay: at.key("delay").optional(shape.delay),
        jitter: at.key("jitter").optional(shape.jitter),
    };
    if shape == Shape::default() && at.none() {
        at.add(
            "this shape changes nothing",
            "none of rate, loss, delay and jitter is there",
            "add one, as `loss: 5%`",
        );
    }
    let nodes = nodes?;
    Some(FaultKind::Shape { nodes, shape })
}

fn resolve_slow(at: &At, slow: file::Slow, known: &Known<'_>) -> Option<FaultKind<Selection>> {
    let nodes = resolve_selection(&at.key("nodes"), slow.nodes, known, false);
    let at = at.key("cpu");
    let Share(cpu) = at.value(slow.cpu)?;
    let cpu_millis = libm::round(cpu * 1000.0) as u32;
    if cpu_millis >= 1000 {
        at.add(
            "this slows nobody",
            "a whole core is what a program of one thread has anyway",
            "write less, as `cpu: 10%`",
        );
    } else if cpu_millis < SLOW_CPU_MILLIS_MIN {
        at.add(
            "so little processor time cannot be given",
            "it would be less than a millisecond at a time",
            "write at least 1%, or `freeze` the nodes",
        );
    }
    let nodes = nodes?;
    Some(FaultKind::Slow { nodes, cpu_millis })
}

/// That names are unique, and only where something refers to them.
fn check_names(at: &At, faults: &[Option<Fault>]) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, fault) in faults.iter().enumerate() {
        let Some(name) = fault.as_ref().and_then(|fault| fault.name.as_deref()) else {
            continue;
        };
        let cause = match name {
            ACROSS_CURRENT => Some("that word means the partition in force"),
            _ if seen.contains(&name) => Some("another fault has it"),
            _ => None,
        };
        if let Some(cause) = cause {
            let what = format!("a fault cannot be named `{name}`");
            let at = at.item(index).key("name");
            at.add(what, cause, "take another name");
        }
        seen.push(name);
    }
}

/// Index of the partition that a double spend at `time` goes across.
fn find_partition(at: &At, across: &str, time: Nanos, faults: &[Option<Fault>]) -> Option<usize> {
    let numbered = faults.iter().enumerate();
    let partitions: Vec<(usize, &Fault)> = numbered
        .filter_map(|(index, fault)| Some((index, fault.as_ref()?)))
        .filter(|(_, fault)| fault.kind.sides().is_some())
        .collect();
    let in_force = |fault: &Fault| fault.start <= time && fault.end.is_none_or(|end| time < end);
    let is_meant = |fault: &Fault| match across {
        ACROSS_CURRENT => in_force(fault),
        name => fault.name.as_deref() == Some(name),
    };
    let meant = partitions.iter().find(|(_, fault)| is_meant(fault));
    match meant {
        Some((index, fault)) if in_force(fault) => return Some(*index),
        Some(_) => at.add(
            format!("the partition `{across}` is not in force"),
            format!("the double spend happens at {}", seconds(time)),
            "let `at` lie between the start and the end of the partition",
        ),
        // A partition with mistakes of its own explains enough.
        None if across == ACROSS_CURRENT && faults.iter().any(Option::is_none) => {}
        None if across == ACROSS_CURRENT => at.add(
            "there is no partition to spend across",
            format!("at {} none is in force", seconds(time)),
            "let `at` lie between the start and the end of a partition",
        ),
        None => {
            let names = partitions
                .iter()
                .filter_map(|(_, fault)| fault.name.as_deref());
            at.add(
                format!("unknown partition `{across}`"),
                "no partition of this experiment has that name",
                did_you_mean(across, names.chain([ACROSS_CURRENT]), || {
                    "write `partition` for the one in force, or give a partition a `name`".into()
                }),
            );
        }
    }
    None
}
