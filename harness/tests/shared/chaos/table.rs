//! The table of cases: which fault meets which moment of a run, on which engine, and how the command
//! may end then. Data alone: how a fault is done is not said here.

use std::collections::BTreeSet;
use std::fmt;

/// Every call that a run of two nodes makes on its engine, and the how manieth of its kind.
pub const CALLS: [Call; 23] = [
    Call("version", 1),
    Call("info", 1),
    Call("inspect-node", 1),
    Call("inspect-fabric", 1),
    Call("inspect-node", 2),
    Call("events", 1),
    Call("create-fabric", 1),
    Call("attach-fabric", 1),
    Call("start-fabric", 1),
    Call("create-node", 1),
    Call("create-node", 2),
    Call("attach-node", 1),
    Call("attach-node", 2),
    Call("start-node", 1),
    Call("start-node", 2),
    Call("logs", 1),
    Call("logs", 2),
    Call("list", 1),
    Call("remove", 1),
    Call("remove", 2),
    Call("list", 2),
    Call("remove", 3),
    Call("list", 3),
];
/// The first call from which on there is something to remove.
const FIRST_START: usize = 6;
/// The first call that is made when the plan is over.
const FIRST_LATE: usize = 15;
/// The first call of removal.
const FIRST_REMOVAL: usize = 17;
/// A call whose answers come for as long as the run lasts, and which it can do without.
const FOLLOWED: &str = "events";

/// Megabytes of address space: so few that the command is barely loaded, up to what is enough.
const ADDRESS_SPACES: [u32; 8] = [32, 36, 40, 44, 48, 52, 64, 96];
/// Open files.
const OPEN_FILES: [u32; 6] = [8, 12, 16, 24, 32, 48];
/// 512-byte blocks of the largest file that may be written: less than the experiment, the plan, the
/// events, and the reports.
const FILE_BLOCKS: [u32; 4] = [0, 1, 16, 40];
/// Kilobytes of the disk that the record is on: likewise.
const DISK_SIZES: [u32; 4] = [4, 12, 24, 48];

/// Where the nodes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    Docker,
    Local,
    Sim,
}

/// A request to a Docker Engine, by kind and number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call(pub &'static str, pub usize);

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wire {
    /// The connection closes, and nothing was done.
    Close,
    /// It is done, and the connection closes without an answer.
    Lost,
    /// The engine says 500, once.
    Refuse,
    /// The engine says 500 to this and all further ones of its kind.
    RefuseAlways,
    /// It is done; half of the answer comes, and the connection closes.
    Half,
    /// It is done; half of the answer comes, and then nothing.
    Stall,
    /// No answer comes; the engine does it when nobody waits for it any more.
    Late,
    /// The engine is gone, with all its connections, until the harness has ended.
    Outage,
    /// The same, until the guard has given up as well.
    Dead,
    /// No answer comes, and the harness is killed; the engine does it then.
    Killed,
    /// No answer comes, and Ctrl-C does; the engine does it when nobody waits for it any more.
    Interrupted,
}

const WIRES: [Wire; 11] = [
    Wire::Close,
    Wire::Lost,
    Wire::Refuse,
    Wire::RefuseAlways,
    Wire::Half,
    Wire::Stall,
    Wire::Late,
    Wire::Outage,
    Wire::Dead,
    Wire::Killed,
    Wire::Interrupted,
];

/// A part of a run, as the command tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Starting,
    Warmup,
    Faults,
    Settle,
    Collecting,
    Removing,
}

pub const STAGES: [Stage; 6] = [
    Stage::Starting,
    Stage::Warmup,
    Stage::Faults,
    Stage::Settle,
    Stage::Collecting,
    Stage::Removing,
];

impl Stage {
    /// What the command says when it begins.
    pub fn words(self) -> &'static str {
        match self {
            Stage::Starting => "starting 2 nodes",
            Stage::Warmup => "phase warmup",
            Stage::Faults => "phase faults",
            Stage::Settle => "phase settle",
            Stage::Collecting => "asking the nodes",
            Stage::Removing => "removing everything",
        }
    }
}

/// A process of a run, or what stands for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    Harness,
    /// The first process of the local engine, and the one in its namespaces.
    OuterStarter,
    Starter,
    Fabric,
    Gate,
    Program,
    /// The stream between harness and fabric: cut, or silent.
    Stream,
    /// The engine.
    Engine,
}

/// What happens in a part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    Kill,
    Stop,
    Interrupt,
    InterruptTwice,
    Terminate,
    HangUp,
    /// No more address space than it has.
    NoMemory,
    /// The disk of the record is full.
    DiskFull,
    /// No file of the record may grow.
    FileSize,
}

/// What a run has from its beginning on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shortage {
    /// Of address space, in MB.
    Memory(u32),
    OpenFiles(u32),
    /// In blocks of 512 bytes.
    FileSize(u32),
    /// In KB.
    Disk(u32),
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    None,
    Call(Call, Wire),
    Stage(Stage, Victim, Blow),
    Short(Shortage),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    pub engine: Engine,
    pub fault: Fault,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine = word(&self.engine);
        match self.fault {
            Fault::None => write!(f, "{engine}/nothing"),
            Fault::Call(Call(kind, number), wire) => {
                write!(f, "{engine}/{kind}-{number}/{}", word(&wire))
            }
            Fault::Stage(stage, victim, blow) => {
                let words = [word(&stage), word(&victim), word(&blow)];
                write!(f, "{engine}/{}", words.join("/"))
            }
            Fault::Short(shortage) => {
                let (what, size) = match shortage {
                    Shortage::Memory(mb) => ("memory", format!("{mb}-MB")),
                    Shortage::OpenFiles(count) => ("open-files", count.to_string()),
                    Shortage::FileSize(blocks) => ("file-size", format!("{}-bytes", blocks * 512)),
                    Shortage::Disk(kb) => ("disk", format!("{kb}-kB")),
                };
                write!(f, "{engine}/{what}/{size}")
            }
        }
    }
}

/// A variant's name, with hyphens.
fn word(variant: &impl fmt::Debug) -> String {
    let mut word = String::new();
    for (index, letter) in format!("{variant:?}").chars().enumerate() {
        if letter.is_uppercase() && index > 0 {
            word.push('-');
        }
        word.extend(letter.to_lowercase());
    }
    word
}

/// All cases.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [Engine::Docker, Engine::Local, Engine::Sim]
        .map(|engine| (engine, Fault::None))
        .into_iter()
        .chain(of_calls())
        .chain(of_stages())
        .chain(of_shortages())
        .map(|(engine, fault)| Case { engine, fault })
        .collect();
    cases.sort_unstable();
    cases.dedup();
    cases
}

fn of_calls() -> impl Iterator<Item = (Engine, Fault)> {
    CALLS.into_iter().flat_map(|call| {
        let faults = WIRES.map(|wire| (Engine::Docker, Fault::Call(call, wire)));
        // The same as from the first one on.
        let again = call.1 > 1 || call.0 == FOLLOWED;
        faults
            .into_iter()
            .filter(move |(_, fault)| !matches!(fault, Fault::Call(_, Wire::RefuseAlways) if again))
    })
}

fn of_stages() -> Vec<(Engine, Fault)> {
    use Blow::*;
    let mut faults = Vec::new();
    let mut add = |engine, stages: &[Stage], victim, blows: &[Blow]| {
        for stage in stages {
            for blow in blows {
                faults.push((engine, Fault::Stage(*stage, victim, *blow)));
            }
        }
    };
    let phases = [Stage::Warmup, Stage::Faults, Stage::Settle];
    let (docker, local) = (Engine::Docker, Engine::Local);
    for engine in [docker, local] {
        let signals = [Kill, Interrupt, InterruptTwice, Terminate, HangUp];
        add(engine, &STAGES, Victim::Harness, &signals);
        add(engine, &phases, Victim::Harness, &[NoMemory, FileSize]);
    }
    add(docker, &STAGES[1..], Victim::Fabric, &[Kill]);
    add(docker, &STAGES[1..], Victim::Gate, &[Kill]);
    add(docker, &STAGES[1..], Victim::Stream, &[Kill]);
    add(docker, &phases, Victim::Stream, &[Stop]);
    add(docker, &phases, Victim::Engine, &[Kill]);
    for victim in [Victim::OuterStarter, Victim::Starter, Victim::Fabric] {
        add(local, &STAGES, victim, &[Kill]);
        add(local, &phases, victim, &[Stop, NoMemory]);
    }
    for victim in [Victim::Gate, Victim::Program] {
        add(local, &STAGES, victim, &[Kill]);
        add(local, &phases, victim, &[Stop, NoMemory]);
    }
    add(local, &STAGES[..5], Victim::Harness, &[DiskFull]);
    faults
}

fn of_shortages() -> impl Iterator<Item = (Engine, Fault)> {
    let memory = ADDRESS_SPACES.map(Shortage::Memory);
    let files = OPEN_FILES.map(Shortage::OpenFiles);
    let sizes = FILE_BLOCKS.map(Shortage::FileSize);
    let disks = DISK_SIZES.map(Shortage::Disk);
    let everywhere = memory.into_iter().chain(files).chain(sizes);
    let everywhere = everywhere.flat_map(|shortage| {
        [Engine::Docker, Engine::Local, Engine::Sim].map(|engine| (engine, shortage))
    });
    let on_disk = disks
        .into_iter()
        .flat_map(|shortage| [Engine::Local, Engine::Sim].map(|engine| (engine, shortage)));
    everywhere
        .chain(on_disk)
        .map(|(engine, shortage)| (engine, Fault::Short(shortage)))
}

/// Exit codes, as README.md has them.
const HELD: i32 = 0;
const FAILED: i32 = 1;
const ENVIRONMENT: i32 = 3;
const INCONCLUSIVE: i32 = 4;
const INTERRUPTED: i32 = 130;

/// The ends of a run that was judged and of which every node counts as little as here.
const JUDGED: &[i32] = &[HELD, INCONCLUSIVE];

impl Case {
    /// Whether the harness itself is killed, and has no exit code then.
    pub fn kills_harness(&self) -> bool {
        matches!(
            self.fault,
            Fault::Call(_, Wire::Killed) | Fault::Stage(_, Victim::Harness, Blow::Kill)
        )
    }

    /// Exit codes that tell what happened.
    pub fn codes(&self) -> Vec<i32> {
        let any = [JUDGED, &[FAILED, ENVIRONMENT]].concat();
        match self.fault {
            Fault::None => JUDGED.to_vec(),
            Fault::Call(call, wire) => codes_of_call(call, wire),
            Fault::Stage(stage, Victim::Harness, blow) => {
                let told = match blow {
                    Blow::Kill => None,
                    Blow::NoMemory | Blow::DiskFull | Blow::FileSize => Some(ENVIRONMENT),
                    _ => Some(INTERRUPTED),
                };
                // All may have been collected, or the run over, when it happens, and there may be all
                // the memory that it needs: then the run is judged.
                let may_be_judged =
                    matches!(stage, Stage::Collecting | Stage::Removing) || blow == Blow::NoMemory;
                let judged = if may_be_judged { JUDGED } else { &[] };
                judged.iter().copied().chain(told).collect()
            }
            Fault::Stage(Stage::Warmup | Stage::Faults | Stage::Settle, victim, Blow::Kill) => {
                match victim {
                    Victim::Gate | Victim::Program => any,
                    _ => vec![ENVIRONMENT],
                }
            }
            Fault::Stage(..) => any,
            Fault::Short(Shortage::FileSize(_) | Shortage::Disk(_)) => vec![ENVIRONMENT],
            Fault::Short(_) => [JUDGED, &[ENVIRONMENT]].concat(),
        }
    }

    /// Whether the end must name the command that removes what may be left.
    pub fn names_clean(&self) -> bool {
        match self.fault {
            Fault::Call(call, Wire::Outage | Wire::Dead) => place(call) >= FIRST_START,
            Fault::Call(call, Wire::RefuseAlways) => place(call) >= FIRST_REMOVAL,
            Fault::Stage(_, Victim::Engine, _) => true,
            _ => false,
        }
    }

    /// Whether it is over only when timeouts of half a minute and more are: too long for the tenth.
    fn waits_long(&self) -> bool {
        use Victim::{Fabric, OuterStarter, Starter, Stream};
        matches!(
            self.fault,
            Fault::Stage(_, Stream | Starter | OuterStarter | Fabric, Blow::Stop)
        )
    }

    /// What of the table it stands for.
    fn covers(&self) -> BTreeSet<String> {
        let engine = word(&self.engine);
        let with = |words: &[String]| {
            let mut words: BTreeSet<String> = words.iter().cloned().collect();
            words.insert(engine.clone());
            words
        };
        match self.fault {
            Fault::None => with(&[format!("{engine} undisturbed")]),
            Fault::Call(call, wire) => with(&[format!("{call:?}"), word(&wire)]),
            Fault::Stage(stage, victim, blow) => with(&[
                format!("{engine} {}", word(&stage)),
                format!("{engine} {}", word(&victim)),
                word(&blow),
            ]),
            Fault::Short(shortage) => {
                let kind = format!("{shortage:?}");
                with(&[kind.split('(').next().unwrap_or_default().to_owned()])
            }
        }
    }
}

/// Where a call stands in a run.
fn place(call: Call) -> usize {
    let place = CALLS.iter().position(|other| *other == call);
    place.unwrap_or(CALLS.len())
}

fn codes_of_call(call: Call, wire: Wire) -> Vec<i32> {
    let place = place(call);
    match wire {
        Wire::Killed => Vec::new(),
        Wire::Interrupted if place >= FIRST_REMOVAL => JUDGED.to_vec(),
        Wire::Interrupted => vec![INTERRUPTED],
        Wire::Outage | Wire::Dead => vec![ENVIRONMENT],
        Wire::RefuseAlways if place >= FIRST_REMOVAL => vec![ENVIRONMENT],
        _ if place >= FIRST_LATE || call.0 == FOLLOWED => JUDGED.to_vec(),
        _ => vec![ENVIRONMENT],
    }
}

/// A tenth of the cases, and as many more as it takes to have everything once that a case can stand for:
/// the same ones each time.
pub fn tenth(cases: &[Case]) -> BTreeSet<Case> {
    let short: Vec<&Case> = cases.iter().filter(|case| !case.waits_long()).collect();
    let mut missing: BTreeSet<String> = short.iter().flat_map(|case| case.covers()).collect();
    let mut chosen = BTreeSet::new();
    while !missing.is_empty() {
        let gain = |case: &&&Case| case.covers().intersection(&missing).count();
        // Of equals the first.
        let Some(best) = short.iter().rev().max_by_key(gain) else {
            break;
        };
        chosen.insert(**best);
        for covered in best.covers() {
            missing.remove(&covered);
        }
    }
    let wanted = cases.len().div_ceil(10);
    let rest: Vec<&&Case> = short
        .iter()
        .filter(|case| !chosen.contains(**case))
        .collect();
    let more = wanted.saturating_sub(chosen.len());
    for index in 0..more {
        chosen.insert(**rest[index * rest.len() / more]);
    }
    chosen
}

/// What the table promises: at least two hundred cases, of which every tenth has all kinds.
pub fn check() -> Result<(), String> {
    let cases = cases();
    let names: BTreeSet<String> = cases.iter().map(Case::to_string).collect();
    let tenth = tenth(&cases);
    let covered: BTreeSet<String> = tenth.iter().flat_map(Case::covers).collect();
    let all: BTreeSet<String> = cases.iter().flat_map(Case::covers).collect();
    let lacks: Vec<&String> = all.difference(&covered).collect();
    match () {
        () if names.len() != cases.len() => Err("two cases have one name".into()),
        () if cases.len() < 200 => Err(format!("only {} cases", cases.len())),
        () if tenth.len() * 10 < cases.len() => Err(format!("only {} chosen", tenth.len())),
        () if !lacks.is_empty() => Err(format!("no case chosen has {lacks:?}")),
        () => Ok(()),
    }
}
