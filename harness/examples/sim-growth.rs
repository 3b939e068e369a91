//! What simulating a network costs, and how that grows with its nodes: for each size, simulates the
//! same experiment in a process of its own, and prints one row of a Markdown table.
//! `ci/bench-sim` calls it.
//!
//! `sim-growth NODES:BLOCKS[:TRANSACTIONS]...`, with so many blocks on average, and transactions a
//! second.
//!
//! Each node has sixteen connections (eight of its own on average) in a random graph over the
//! regions of `internet-2019`; a block weighs 535 kB on the wire, as in SimBlock's experiments, and
//! spreads as a compact block. The record is written to disk as by `peerlab run`.
//!
//! A event is a packet that comes, or a timer; an item is a message that a node reads, or an entry
//! of one that is a list: what simulators that send each by itself count as events.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use peerlab_core::error::{Explain as _, hint};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use peerlab::disk::{EventLog, EventReader, load_topology};
use peerlab::engine::capacity::peak_memory_bytes;
use peerlab_core::check::judge;
use peerlab_core::conduct::{Observer, Stage};
use peerlab_core::event::RunEvent;
use peerlab_core::plan::compile;
use peerlab_sim::simulator::{Options, simulate};

/// As the `peerlab` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seconds between two blocks on average.
const INTERVAL_SECS: u64 = 10;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [one, size] = args.as_slice()
        && one == "--one"
    {
        return row(size);
    }
    println!(
        "| nodes | blocks | transactions/s | events | seconds | million a second | items, \
         million a second | memory | a node | to 50 % | to 90 % | all agree |"
    );
    println!(
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    );
    for size in args {
        // Memory is a process' own.
        let status = Command::new(std::env::current_exe()?)
            .args(["--one", &size])
            .status()?;
        ensure!(status.success(), "{size} failed");
    }
    Ok(())
}

/// Writes the record down.
struct Recorder(Mutex<EventLog>);

impl Observer for Recorder {
    fn stage(&self, _: Stage) {}

    fn event(&self, event: &RunEvent) -> peerlab_core::error::Result<()> {
        let mut log = self.0.lock().unwrap_or_else(|e| e.into_inner());
        log.write(event)
            .or_environment(|| "cannot record the run".into(), hint::DISK)
    }
}

fn experiment(nodes: u64, blocks: u64, transactions: &str) -> String {
    format!(
        "name: sim-growth\n\
         phases: {{ warmup: {}s, settle: 40s }}\n\
         nodes: {{ peers: {{ count: {nodes}, hashpower: 1, regions: internet-2019, \
         access: internet-2019 }} }}\n\
         network: {{ latency: internet-2019, discovery: {{ graph: random-regular(degree 16) }} }}\n\
         ledger: {{ block_interval: {INTERVAL_SECS}s, filler: 535 kB{transactions} }}\n\
         expect:\n  - converged: {{ within: 15s, of: settle }}\n  - same_ledger: {{ at: end }}\n",
        10 + blocks * INTERVAL_SECS
    )
}

fn row(size: &str) -> Result<()> {
    let mut parts = size.split(':');
    let (Some(nodes), Some(blocks), transactions) = (parts.next(), parts.next(), parts.next())
    else {
        bail!("{size}: NODES:BLOCKS or NODES:BLOCKS:TRANSACTIONS is wanted");
    };
    let rate = transactions.unwrap_or("0");
    let transactions = match transactions {
        Some(rate) => format!(", transactions: {rate}/s"),
        None => String::new(),
    };
    let (nodes, blocks): (u64, u64) = (nodes.parse()?, blocks.parse()?);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("experiment.yaml");
    std::fs::write(&file, experiment(nodes, blocks, &transactions))?;
    let (topology, _) = load_topology(&file)?;
    let plan = compile(&topology, topology.seed)?;
    let record = folder.path().join("events.jsonl");
    let recorder = Recorder(Mutex::new(EventLog::create(&record)?));
    let options = Options {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        stop: peerlab_core::conduct::Stop::never(),
    };
    let began = Instant::now();
    let simulated = simulate(&plan, &recorder, &options)?;
    let seconds = began.elapsed().as_secs_f64();
    let memory = peak_memory_bytes().context("the kernel tells no VmHWM")?;
    drop(recorder);
    let judgement = read(&record, &plan)?;
    let whole = judgement.figures.propagation.first();
    let reached =
        |quantile: fn(&peerlab_core::check::Propagation) -> Option<peerlab_link::Nanos>| {
            whole
                .and_then(quantile)
                .map_or("-".into(), |t| format!("{:.0} ms", t.as_secs_f64() * 1e3))
        };
    println!(
        "| {nodes} | {} | {rate} | {:.2} M | {seconds:.1} | {:.2} | {:.2} | {:.0} MB | {:.1} kB | {} \
         | {} | {:?} |",
        judgement.figures.forks.mined_blocks,
        simulated.events as f64 / 1e6,
        simulated.events as f64 / 1e6 / seconds,
        simulated.items as f64 / 1e6 / seconds,
        memory as f64 / 1e6,
        memory as f64 / 1e3 / nodes as f64,
        reached(|p| p.p50_ns),
        reached(|p| p.p90_ns),
        judgement.outcome,
    );
    Ok(())
}

fn read(record: &Path, plan: &peerlab_core::plan::Plan) -> Result<peerlab_core::check::Judgement> {
    let events: Result<Vec<RunEvent>, _> = EventReader::open(record)?.collect();
    Ok(judge(plan, events?.into_iter()))
}
