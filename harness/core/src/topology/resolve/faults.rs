//! Faults: what each does, and that it lies in its phase.

use peerlab_link::{Nanos, Shape};

use super::nodes::{Names, check_rate};
use super::problems::Problems;
use super::selection::resolve_selection;
use crate::experiment::{FaultKey, FaultKind};
use crate::topology::file;
use crate::topology::marked::Path;
use crate::topology::resolved::{Fault, Phases, Selection};
use crate::topology::suggest::closest;
use crate::topology::units::Share;
use crate::topology::words::Until;
use crate::topology::written::WordOr;

/// The word in `across:` for the partition that is in force.
const ACROSS_CURRENT: &str = "partition";
/// Least part of a core, in thousandths: a turn of 1 ms, which a timer can still keep.
const SLOW_CPU_MILLIS_MIN: u32 = 10;
/// Shortest fault but a double spend, which is an instant: a program cannot end and start faster.
const LENGTH_MIN: Nanos = crate::experiment::PERIOD_MIN;

/// Resolves the faults. The list keeps its length: a fault with mistakes is `None`.
pub fn resolve_faults(
    problems: &Problems,
    path: &Path,
    written: Vec<file::Fault>,
    names: &Names,
    phases: Option<Phases>,
) -> Vec<Option<Fault>> {
    let mut faults: Vec<Option<Fault>> = Vec::new();
    let mut double_spends = Vec::new();
    for (index, fault) in written.into_iter().enumerate() {
        let path = path.item(index);
        if let Some(double_spend) = &fault.double_spend {
            double_spends.push((index, double_spend.across.clone()));
        }
        faults.push(resolve_fault(problems, &path, fault, names, phases));
    }
    check_names(problems, &faults);
    for (index, across) in double_spends {
        let partition = faults[index].as_ref().and_then(|fault| {
            let path = fault.path.key("double_spend").key("across");
            find_partition(problems, &path, &across, fault.start, &faults)
        });
        match (partition, &mut faults[index]) {
            (Some(partition), Some(fault)) => fault.kind = FaultKind::DoubleSpend { partition },
            (_, fault) => *fault = None,
        }
    }
    faults
}

fn resolve_fault(
    problems: &Problems,
    path: &Path,
    fault: file::Fault,
    names: &Names,
    phases: Option<Phases>,
) -> Option<Fault> {
    let instant = fault.double_spend.is_some();
    let start = problems.value(&path.key("at"), fault.at.clone());
    let end = resolve_end(problems, path, &fault, start, instant, phases);
    if fault.one_way.is_some() && fault.partition.is_none() {
        problems.add(
            &path.name("one_way"),
            "`one_way` has no meaning here",
            "it belongs to a `partition`",
            "remove it",
        );
    }
    let name = fault.name.clone();
    let kind = resolve_kind(problems, path, fault, names);
    let (start, end, kind) = (start?, end?, kind?);
    if let Some(phases) = phases {
        check_times(problems, path, start, end, instant, phases)?;
    }
    Some(Fault {
        path: path.clone(),
        start,
        end,
        name,
        kind,
    })
}

/// When a fault ends; the inner `None` is never.
fn resolve_end(
    problems: &Problems,
    path: &Path,
    fault: &file::Fault,
    start: Option<Nanos>,
    instant: bool,
    phases: Option<Phases>,
) -> Option<Option<Nanos>> {
    if instant {
        for (key, there) in [
            ("for", fault.lasts.is_some()),
            ("until", fault.until.is_some()),
        ] {
            if there {
                problems.add(
                    &path.name(key),
                    format!("`{key}` has no meaning here"),
                    "a double spend happens at one instant",
                    "remove it",
                );
            }
        }
        return Some(start);
    }
    if fault.lasts.is_some() && fault.until.is_some() {
        problems.add(
            &path.name("until"),
            "a fault has one end",
            "both `for` and `until` are there",
            "keep one of the two",
        );
    }
    if let Some(written) = fault.lasts.clone() {
        let lasts = problems.value(&path.key("for"), written)?;
        return Some(Some(start?.saturating_add(lasts)));
    }
    match fault.until.clone() {
        None => Some(Some(phases?.settle_start())),
        Some(written) => match problems.value(&path.key("until"), written)? {
            Until::Never => Some(None),
            Until::Settle => Some(Some(phases?.settle_start())),
            Until::Time(end) => Some(Some(end)),
        },
    }
}

/// That a fault lies in the phase `faults`.
fn check_times(
    problems: &Problems,
    path: &Path,
    start: Nanos,
    end: Option<Nanos>,
    instant: bool,
    phases: Phases,
) -> Option<()> {
    let (first, last) = (phases.warmup, phases.settle_start());
    let span = format!(
        "the phase `faults` lasts from {} to {}",
        seconds(first),
        seconds(last)
    );
    if start < first || start >= last {
        let hint = if phases.faults == Nanos::ZERO {
            "give the phase a length: `phases: { .., faults: 60s, .. }`"
        } else {
            "times count from the start of the run: move the fault, or change the phases"
        };
        let when = if start < first { "before" } else { "after" };
        let what = format!("the fault begins {when} the phase for faults");
        problems.add(
            &path.key("at"),
            what,
            format!("it begins at {}, and {span}", seconds(start)),
            hint,
        );
        return None;
    }
    let key = if problems.is_written(&path.key("for")) {
        "for"
    } else {
        "until"
    };
    match end {
        Some(end) if end > last => {
            problems.add(
                &path.key(key),
                "the fault ends after the phase for faults",
                format!("it ends at {}, and {span}", seconds(end)),
                "shorten the fault, lengthen the phase, or write `until: never` for one that does not heal",
            );
            None
        }
        Some(end) if end < start => {
            problems.add(
                &path.key(key),
                "the fault ends before it begins",
                format!(
                    "it begins at {} and ends at {}",
                    seconds(start),
                    seconds(end)
                ),
                "`until` counts from the start of the run; for a length write `for`",
            );
            None
        }
        Some(end) if !instant && end.saturating_sub(start) < LENGTH_MIN => {
            problems.add(
                &path.key(key),
                "the fault is too short",
                format!("it lasts {}", seconds(end.saturating_sub(start))),
                format!("let it last at least {}", seconds(LENGTH_MIN)),
            );
            None
        }
        _ => Some(()),
    }
}

/// A time for people.
pub fn seconds(time: Nanos) -> String {
    format!("{}s", time.as_secs_f64())
}

fn resolve_kind(
    problems: &Problems,
    path: &Path,
    fault: file::Fault,
    names: &Names,
) -> Option<FaultKind<Selection>> {
    let mut written = FaultKey::ALL.into_iter().filter(|key| fault.has(*key));
    let (Some(key), None) = (written.next(), written.next()) else {
        refuse_kinds(problems, path, &fault);
        return None;
    };
    let key_path = path.key(key.word());
    match key {
        FaultKey::Partition => {
            let one_way = problems.optional(&path.key("one_way"), fault.one_way);
            let one_way = one_way.unwrap_or(false);
            resolve_partition(problems, &key_path, fault.partition?, one_way, names)
        }
        FaultKey::Down(how) => {
            let nodes = fault.down(how).clone()?;
            let nodes = resolve_selection(problems, &key_path, nodes, names, false)?;
            Some(FaultKind::Down { nodes, how })
        }
        FaultKey::Shape => resolve_shape(problems, &key_path, fault.shape?, names),
        FaultKey::Slow => resolve_slow(problems, &key_path, fault.slow?, names),
        // Which partition is found when all faults are known.
        FaultKey::DoubleSpend => Some(FaultKind::DoubleSpend { partition: 0 }),
    }
}

/// A fault that says nothing, or several things.
fn refuse_kinds(problems: &Problems, path: &Path, fault: &file::Fault) {
    let words = |keys: &[FaultKey]| -> Vec<&str> { keys.iter().map(|key| key.word()).collect() };
    let written: Vec<FaultKey> = FaultKey::ALL
        .into_iter()
        .filter(|key| fault.has(*key))
        .collect();
    let cause = if written.is_empty() {
        "none of the keys that say so is there".to_owned()
    } else {
        format!("{} are there together", words(&written).join(" and "))
    };
    let all = words(&FaultKey::ALL);
    let (last, others) = all.split_last().unwrap_or((&"", &[]));
    problems.add(
        path,
        "it is not clear what this fault does",
        cause,
        format!("write exactly one of {} and {last}", others.join(", ")),
    );
}

fn resolve_partition(
    problems: &Problems,
    path: &Path,
    sides: Vec<WordOr<Vec<String>>>,
    one_way: bool,
    names: &Names,
) -> Option<FaultKind<Selection>> {
    if sides.is_empty() {
        problems.add(
            path,
            "a partition without sides",
            "the list is empty",
            "write the sides, as `[[region:europe], [rest]]`",
        );
        return None;
    }
    let sides: Vec<_> = sides
        .into_iter()
        .enumerate()
        .map(|(index, side)| resolve_selection(problems, &path.item(index), side, names, true))
        .collect();
    Some(FaultKind::Partition {
        sides: sides.into_iter().collect::<Option<_>>()?,
        one_way,
    })
}

fn resolve_shape(
    problems: &Problems,
    path: &Path,
    shape: file::Shape,
    names: &Names,
) -> Option<FaultKind<Selection>> {
    let nodes = resolve_selection(problems, &path.key("nodes"), shape.nodes, names, false);
    let rate_path = path.key("rate");
    let rate = problems.optional(&rate_path, shape.rate);
    if let Some(rate) = rate {
        check_rate(problems, &rate_path, rate.bps);
    }
    let resolved = Shape {
        rate_bps: rate.map(|rate| rate.bps),
        loss: problems.optional(&path.key("loss"), shape.loss),
        delay: problems.optional(&path.key("delay"), shape.delay),
        jitter: problems.optional(&path.key("jitter"), shape.jitter),
    };
    if resolved == Shape::default() && problems.none() {
        problems.add(
            path,
            "this shape changes nothing",
            "none of rate, loss, delay and jitter is there",
            "add one, as `loss: 5%`",
        );
    }
    Some(FaultKind::Shape {
        nodes: nodes?,
        shape: resolved,
    })
}

fn resolve_slow(
    problems: &Problems,
    path: &Path,
    slow: file::Slow,
    names: &Names,
) -> Option<FaultKind<Selection>> {
    let nodes = resolve_selection(problems, &path.key("nodes"), slow.nodes, names, false);
    let path = path.key("cpu");
    let Share(cpu) = problems.value(&path, slow.cpu)?;
    let cpu_millis = libm::round(cpu * 1000.0) as u32;
    if cpu_millis >= 1000 {
        problems.add(
            &path,
            "this slows nobody",
            "a whole core is what a program of one thread has anyway",
            "write less, as `cpu: 10%`",
        );
    } else if cpu_millis < SLOW_CPU_MILLIS_MIN {
        problems.add(
            &path,
            "so little processor time cannot be given",
            "it would be less than a millisecond at a time",
            "write at least 1%, or `freeze` the nodes",
        );
    }
    let nodes = nodes?;
    Some(FaultKind::Slow { nodes, cpu_millis })
}

/// That names are unique, and only where something refers to them.
fn check_names(problems: &Problems, faults: &[Option<Fault>]) {
    let mut seen: Vec<&str> = Vec::new();
    for fault in faults.iter().flatten() {
        let Some(name) = fault.name.as_deref() else {
            continue;
        };
        let path = fault.path.key("name");
        if name == ACROSS_CURRENT || seen.contains(&name) {
            let cause = if name == ACROSS_CURRENT {
                "that word means the partition in force"
            } else {
                "another fault has it"
            };
            problems.add(
                &path,
                format!("a fault cannot be named `{name}`"),
                cause,
                "take another name",
            );
        }
        seen.push(name);
    }
}

fn find_partition(
    problems: &Problems,
    path: &Path,
    across: &str,
    at: Nanos,
    faults: &[Option<Fault>],
) -> Option<usize> {
    let partitions = || {
        let numbered = faults.iter().enumerate();
        numbered
            .filter_map(|(index, fault)| Some((index, fault.as_ref()?)))
            .filter(|(_, fault)| fault.kind.sides().is_some())
    };
    let in_force = |fault: &Fault| fault.start <= at && fault.end.is_none_or(|end| at < end);
    if across == ACROSS_CURRENT {
        if let Some((index, _)) = partitions().find(|(_, fault)| in_force(fault)) {
            return Some(index);
        }
        // A partition with mistakes of its own explains enough.
        if faults.iter().all(Option::is_some) {
            problems.add(
                path,
                "there is no partition to spend across",
                format!("at {} none is in force", seconds(at)),
                "let `at` lie between the start and the end of a partition",
            );
        }
        return None;
    }
    let named = partitions().find(|(_, fault)| fault.name.as_deref() == Some(across));
    match named {
        Some((index, fault)) if in_force(fault) => Some(index),
        Some(_) => {
            problems.add(
                path,
                format!("the partition `{across}` is not in force"),
                format!("the double spend happens at {}", seconds(at)),
                "let `at` lie between the start and the end of the partition",
            );
            None
        }
        None => {
            let names = partitions().filter_map(|(_, fault)| fault.name.as_deref());
            let hint = match closest(across, names.chain([ACROSS_CURRENT])) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "write `partition` for the one in force, or give a partition a `name`"
                    .to_owned(),
            };
            problems.add(
                path,
                format!("unknown partition `{across}`"),
                "no partition of this experiment has that name",
                hint,
            );
            None
        }
    }
}
