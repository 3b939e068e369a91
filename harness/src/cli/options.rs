//! The options of every command, and which function carries each out.

use crate::engine::docker::timeouts;
use crate::engine::hint::MACHINE;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::{
    baseline, capture, check, clean, compare, complete, connect, doctor, down, exec, explore,
    faults, forward, guard, images, job, ledger, logs, members, plan, ps, recorded, replay, report,
    rpc, run, save, shell, status, up, wait, watch,
};
use crate::ui::{Format, Ui};
use peerlab_core::error::{Explain, Result};
use peerlab_core::experiment::Down;
use peerlab_core::topology;

/// Runs peer-to-peer ledger networks of real nodes from one file, breaks them on purpose, and
/// says whether the ledger still converges
#[derive(Debug, Parser)]
#[command(name = "peerlab", version, propagate_version = true)]
pub struct Cli {
    /// Log what is done; twice for details, three times for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// No colour
    #[arg(long, global = true)]
    no_color: bool,
    /// Seconds that a Docker Engine may take to answer; how long removal may take follows from it
    #[arg(long, global = true, value_name = "SECONDS", env = timeouts::VARIABLE)]
    #[arg(default_value_t = timeouts::DEFAULT_SECONDS)]
    #[arg(value_parser = clap::value_parser!(u16).range(i64::from(timeouts::SECONDS_MIN)..))]
    engine_timeout: u16,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run an experiment and judge it
    Run(run::Args),
    /// Bring a network up that stays, to be worked with by hand
    Up(up::Args),
    /// List the nodes of a network that is up, or (--all) the networks
    Ps(ps::Args),
    /// Tell agreement, branches, traffic and faults of a network that is up
    Status(status::Args),
    /// Show a network that is up while it changes, with keys for the common faults
    Watch(watch::Args),
    /// Ask a node of a network that is up
    Rpc(rpc::Args),
    /// Show what the programs of nodes write, in the order of time
    Logs(logs::Args),
    /// Run a program of a node's image beside its own
    Exec(exec::Args),
    /// Open a shell of a node's image beside its program
    Shell(shell::Args),
    /// Let programs of this machine talk to a port in a node
    Forward(forward::Args),
    /// Run a program of this machine in the emulated network (local engine)
    Connect(connect::Args),
    /// Write packets of nodes of a network that is up, for Wireshark
    Capture(capture::Args),
    /// Split a network that is up: partition A / B
    Partition(faults::PartitionArgs),
    /// End partitions, worse links and slow programs
    Heal(faults::HealArgs),
    /// Kill nodes (SIGKILL)
    Kill(faults::DownArgs),
    /// Have nodes stop (SIGTERM)
    Stop(faults::DownArgs),
    /// Have nodes stand still (SIGSTOP)
    Freeze(faults::DownArgs),
    /// Have nodes go silent, then die
    Vanish(faults::DownArgs),
    /// Have nodes die; those that `start` brings back have empty disks
    Replace(faults::DownArgs),
    /// Bring nodes back that are down
    Start(faults::StartArgs),
    /// Make the links of nodes worse: shape peers loss=5% delay=100ms
    Shape(faults::ShapeArgs),
    /// Leave nodes a part of a core: slow peers-3 cpu=10%
    Slow(faults::SlowArgs),
    /// Add nodes to a group of a network that is up
    Add(members::AddArgs),
    /// Have nodes stop, and remove them for good
    Remove(members::RemoveArgs),
    /// Have blocks mined
    Mine(ledger::MineArgs),
    /// Have payments submitted
    Pay(ledger::PayArgs),
    /// Wait until a network agrees, or has so many blocks or peers
    Wait(wait::Args),
    /// Keep what the nodes of a network have written, for `up --from`; they are down meanwhile
    Save(save::Args),
    /// Print what was done to a network by hand, as an experiment file
    Record(recorded::Args),
    /// End a network, and remove all of it but its record
    Down(down::Args),
    /// Run the plan of an earlier run again
    Replay(replay::Args),
    /// Judge the record of an earlier run again
    Report(report::Args),
    /// Set two runs, or two folders of runs, side by side
    Compare(compare::Args),
    /// Store the figures of runs, and hold later runs against them
    Baseline(baseline::Args),
    /// Look for seeds whose faults break an experiment, and shrink what is found
    Explore(explore::Args),
    /// Say whether experiments are right, without starting anything
    Check(check::Args),
    /// Print everything that chance decides in an experiment
    Plan(plan::Args),
    /// Print the JSON Schema of experiment files, for editors
    Schema,
    /// Say what this machine can carry, and what binds
    Doctor(doctor::Args),
    /// Build what runs need, beforehand
    Images(images::Args),
    /// Remove what runs have left that are over
    Clean(clean::Args),
    /// Print what a shell needs to complete command lines
    Completions(complete::Args),
    /// Print the version
    Version,
    #[command(hide = true)]
    Guard(guard::Args),
}

impl Command {
    /// Whom its verdict is printed for.
    fn format(&self) -> Format {
        match self {
            Command::Run(args) => args.format(),
            Command::Replay(args) => args.format(),
            Command::Compare(args) => args.format,
            Command::Baseline(args) => args.format(),
            Command::Explore(args) => args.format,
            Command::Up(_)
            | Command::Ps(_)
            | Command::Status(_)
            | Command::Watch(_)
            | Command::Rpc(_)
            | Command::Logs(_)
            | Command::Exec(_)
            | Command::Forward(_)
            | Command::Shell(_)
            | Command::Connect(_)
            | Command::Capture(_)
            | Command::Partition(_)
            | Command::Heal(_)
            | Command::Kill(_)
            | Command::Stop(_)
            | Command::Freeze(_)
            | Command::Vanish(_)
            | Command::Replace(_)
            | Command::Start(_)
            | Command::Shape(_)
            | Command::Slow(_)
            | Command::Add(_)
            | Command::Remove(_)
            | Command::Mine(_)
            | Command::Pay(_)
            | Command::Wait(_)
            | Command::Save(_)
            | Command::Record(_)
            | Command::Down(_)
            | Command::Report(_)
            | Command::Check(_)
            | Command::Plan(_)
            | Command::Schema
            | Command::Doctor(_)
            | Command::Images(_)
            | Command::Clean(_)
            | Command::Completions(_)
            | Command::Version
            | Command::Guard(_) => Format::Text,
        }
    }
}

/// The whole command: reads the arguments, carries them out, shows errors.
pub fn main() -> ExitCode {
    complete::answer_shell::<Cli>();
    let cli = Cli::parse();
    timeouts::set(cli.engine_timeout);
    let ui = Ui::new(cli.verbose, cli.no_color, cli.command.format());
    carry_out(&cli.command, &ui).unwrap_or_else(|error| {
        ui.error(&error);
        job::tell_error(&ui, &error);
        error.kind.into()
    })
}

fn carry_out(command: &Command, ui: &Ui) -> Result<ExitCode> {
    match command {
        Command::Run(args) => wait_for(run::run(args, ui)),
        Command::Up(args) => wait_for(up::up(args, ui)),
        Command::Ps(args) => wait_for(ps::ps(args, ui)),
        Command::Status(args) => wait_for(status::status(args, ui)),
        Command::Watch(args) => wait_for(watch::watch(args, ui)),
        Command::Rpc(args) => wait_for(rpc::rpc(args, ui)),
        Command::Logs(args) => wait_for(logs::logs(args, ui)),
        Command::Exec(args) => wait_for(exec::exec(args, ui)),
        Command::Connect(args) => wait_for(connect::connect(args, ui)),
        Command::Shell(args) => wait_for(shell::shell(args, ui)),
        Command::Forward(args) => wait_for(forward::forward(args, ui)),
        Command::Capture(args) => wait_for(capture::capture(args, ui)),
        Command::Partition(args) => wait_for(faults::partition(args, ui)),
        Command::Heal(args) => wait_for(faults::heal(args, ui)),
        Command::Kill(args) => wait_for(faults::down(Down::Kill, args, ui)),
        Command::Stop(args) => wait_for(faults::down(Down::Stop, args, ui)),
        Command::Freeze(args) => wait_for(faults::down(Down::Freeze, args, ui)),
        Command::Vanish(args) => wait_for(faults::down(Down::Vanish, args, ui)),
        Command::Replace(args) => wait_for(faults::down(Down::Replace, args, ui)),
        Command::Start(args) => wait_for(faults::start(args, ui)),
        Command::Shape(args) => wait_for(faults::shape(args, ui)),
        Command::Slow(args) => wait_for(faults::slow(args, ui)),
        Command::Add(args) => wait_for(members::add(args, ui)),
        Command::Remove(args) => wait_for(members::remove(args, ui)),
        Command::Mine(args) => wait_for(ledger::mine(args, ui)),
        Command::Pay(args) => wait_for(ledger::pay(args, ui)),
        Command::Wait(args) => wait_for(wait::wait(args, ui)),
        Command::Save(args) => wait_for(save::save(args, ui)),
        Command::Record(args) => wait_for(recorded::recorded(args, ui)),
        Command::Down(args) => wait_for(down::down(args, ui)),
        Command::Replay(args) => wait_for(replay::replay(args, ui)),
        Command::Report(args) => report::report(args, ui),
        Command::Doctor(args) => wait_for(doctor::doctor(args, ui)),
        Command::Explore(args) => wait_for(explore::explore(args, ui)),
        Command::Compare(args) => compare::compare(args, ui),
        Command::Baseline(args) => baseline::baseline(args, ui),
        Command::Images(args) => wait_for(images::images(args, ui)),
        Command::Clean(args) => wait_for(clean::clean(args, ui)),
        Command::Guard(args) => wait_for(guard::guard(args)),
        Command::Check(args) => check::check(args).map(|text| print(ui, &text)),
        Command::Plan(args) => plan::plan(args).map(|text| print(ui, &text)),
        Command::Schema => Ok(print(ui, &format!("{:#}\n", topology::schema()))),
        Command::Completions(args) => complete::completions(args, ui),
        Command::Version => Ok(print(
            ui,
            concat!("peerlab ", env!("CARGO_PKG_VERSION"), "\n"),
        )),
    }
}

fn print(ui: &Ui, text: &str) -> ExitCode {
    ui.result(text);
    ExitCode::SUCCESS
}

/// Threads of the runtime, beside the one that carries the command out. The harness waits for engine and
/// nodes most of the time: bringing 1,000 local nodes up and watching them takes 0.6 s of a core in 12 s.
/// A second worker made all of that 6 % dearer, since the two wake each other (median of four runs of
/// each in turn, two cores).
const WORKERS: usize = 1;

/// Runs a command that waits for things.
fn wait_for(command: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .or_environment(|| "cannot start".into(), MACHINE)?;
    let result = runtime.block_on(command);
    // A thread that waits for stdin or a name server must not hold the process back.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_options_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
