//! How the cost of a run grows with its nodes: for each size, runs the same experiment and prints
//! one row of a Markdown table. `ci/bench-growth` calls it.
//!
//! `growth PEERLAB ENGINE FOLDER SIZE...`
//!
//! CPU and memory are those of the whole machine, so nothing else should run meanwhile: a
//! container's share is not seen otherwise.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use peerlab::disk::judge_run_directory;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use peerlab::disk::EventReader;
use peerlab_core::event::What;
use peerlab_link::Nanos;
use peerlab_link::proto::Lateness;

/// What is run, but for the number of peers.
const EXPERIMENT: &str = "\
name: growth
phases: { warmup: 20s, faults: 40s, settle: 30s }
nodes:
  miners: { count: 4, hashpower: 1, regions: internet-2019 }
  peers:  { count: PEERS, regions: internet-2019 }
network: { latency: internet-2019, discovery: { mode: pure, bootstrap: 2 } }
ledger: { block_interval: 10s, transactions: 1/s }
faults:
  - { at: 30s, for: 20s, partition: [[region:europe], [rest]] }
expect:
  - converged: { within: 30s, of: heal }
";
/// How long a plan of it takes.
const SECONDS: f64 = 90.0;
/// Miners in it.
const MINERS: usize = 4;
/// How often memory is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// The kernel counts CPU time in these, on every common machine.
const TICKS_PER_SECOND: f64 = 100.0;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let peerlab = PathBuf::from(args.next().context("PEERLAB")?);
    let engine = args.next().context("ENGINE")?;
    let folder = PathBuf::from(args.next().context("FOLDER")?);
    println!(
        "| nodes | bring-up | CPU per minute | memory in all | a node's program | packets/s | \
         late | p99 lateness | agreement after heal | verdict |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |");
    for size in args {
        let size: usize = size.parse()?;
        println!("{}", row(&peerlab, &engine, &folder, size)?);
    }
    Ok(())
}

/// Runs one size.
fn row(peerlab: &Path, engine: &str, folder: &Path, size: usize) -> Result<String> {
    ensure!(size > MINERS, "a network of {size} is too small");
    let file = folder.join(format!("growth-{size}.yaml"));
    let peers = (size - MINERS).to_string();
    fs::write(&file, EXPERIMENT.replace("PEERS", &peers))?;
    let run = folder.join(format!("run-{engine}-{size}"));
    let before = (busy_seconds()?, memory_free()?);
    let mut child = Command::new(peerlab)
        .args(["run", "--engine", engine, "--out"])
        .args([&run, &file])
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()?;
    let mut least = before.1;
    let status = loop {
        least = least.min(memory_free()?);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(LOOK_INTERVAL);
    };
    let busy = busy_seconds()? - before.0;
    let code = status.code().context("peerlab was killed")?;
    ensure!(
        matches!(code, 0 | 1 | 4),
        "peerlab ended with exit code {code}"
    );
    describe(size, &run, busy, before.1.saturating_sub(least))
}

/// A row of the table.
fn describe(size: usize, run: &Path, busy: f64, memory: u64) -> Result<String> {
    let judgement = judge_run_directory(run)
        .map_err(|e| anyhow::anyhow!("{}", e.render()))?
        .judgement;
    let told = Told::read(run)?;
    let heal = judgement.figures.partitions.first();
    let agreed = heal.and_then(|story| story.agreed_after_ns);
    Ok(format!(
        "| {size} | {:.2} s | {:.1} s | {:.0} MB | {:.1} MB | {:.0} | {:.2} % | {:.2} ms | {} | {} |",
        told.bring_up.as_secs_f64(),
        busy / SECONDS * 60.0,
        memory as f64 / 1e6,
        told.program_bytes / 1e6,
        told.packets as f64 / SECONDS,
        judgement.figures.fidelity.late_percent(),
        told.p99.as_secs_f64() * 1e3,
        agreed.map_or("never".to_owned(), |t| format!("{:.1} s", t.as_secs_f64())),
        format!("{:?}", judgement.outcome).to_lowercase(),
    ))
}

/// What only the events tell.
#[derive(Default)]
struct Told {
    bring_up: Nanos,
    /// Mean proportional set size of the nodes' programs.
    program_bytes: f64,
    packets: u64,
    /// The median over the run's intervals of the 99th percentile.
    p99: Nanos,
}

impl Told {
    fn read(run: &Path) -> Result<Told> {
        let mut told = Told::default();
        let mut programs = BTreeMap::new();
        let mut lateness: Vec<Lateness> = Vec::new();
        for event in EventReader::open(&run.join("events.jsonl"))? {
            match event?.what {
                What::Started(started) => told.bring_up = started.bring_up,
                What::Usage { node, usage } => {
                    programs.insert(node, usage.memory_bytes.unwrap_or(0));
                }
                What::Fidelity { lateness: l, .. } => lateness.push(l),
                _ => {}
            }
        }
        told.packets = lateness.iter().map(|l| l.packets).sum();
        lateness.sort_by_key(|l| l.p99);
        told.p99 = lateness.get(lateness.len() / 2).map_or(Nanos(0), |l| l.p99);
        told.program_bytes = programs.values().sum::<u64>() as f64 / programs.len().max(1) as f64;
        Ok(told)
    }
}

/// Seconds in which a CPU of this machine was busy, since it started.
fn busy_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u64> = line
        .split_ascii_whitespace()
        .skip(1)
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    // user, nice, system, idle, iowait, irq, softirq, steal: all but idle, iowait and steal.
    let busy = ticks
        .iter()
        .take(7)
        .enumerate()
        .filter(|(i, _)| !matches!(i, 3 | 4));
    Ok(busy.map(|(_, t)| t).sum::<u64>() as f64 / TICKS_PER_SECOND)
}

/// Bytes that programs can still have.
fn memory_free() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"));
    let kilobytes = line.and_then(|l| l.trim().strip_suffix("kB"));
    Ok(kilobytes
        .context("no MemAvailable")?
        .trim()
        .parse::<u64>()?
        * 1024)
}
