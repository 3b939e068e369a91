//! The options of every command, and which function carries each out.

use crate::engine::hint::MACHINE;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::{check, clean, compare, doctor, explore, guard, images, plan, replay, report, run};
use crate::ui::Ui;
use peerlab_core::error::{Explain, Result};
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
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run an experiment and judge it
    Run(run::Args),
    /// Run the plan of an earlier run again
    Replay(replay::Args),
    /// Judge the record of an earlier run again
    Report(report::Args),
    /// Set two runs, or two folders of runs, side by side
    Compare(compare::Args),
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
    /// Print the version
    Version,
    #[command(hide = true)]
    Guard(guard::Args),
}

/// The whole command: reads the arguments, carries them out, shows errors.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new(cli.verbose, cli.no_color);
    carry_out(&cli.command, &ui).unwrap_or_else(|error| {
        ui.error(&error);
        error.kind.into()
    })
}

fn carry_out(command: &Command, ui: &Ui) -> Result<ExitCode> {
    match command {
        Command::Run(args) => wait_for(run::run(args, ui)),
        Command::Replay(args) => wait_for(replay::replay(args, ui)),
        Command::Report(args) => report::report(args, ui),
        Command::Doctor(args) => wait_for(doctor::doctor(args, ui)),
        Command::Explore(args) => wait_for(explore::explore(args, ui)),
        Command::Compare(args) => compare::compare(args, ui),
        Command::Images(args) => wait_for(images::images(args, ui)),
        Command::Clean(args) => wait_for(clean::clean(args, ui)),
        Command::Guard(args) => wait_for(guard::guard(args)),
        Command::Check(args) => check::check(args).map(|text| print(ui, &text)),
        Command::Plan(args) => plan::plan(args).map(|text| print(ui, &text)),
        Command::Schema => Ok(print(ui, &format!("{:#}\n", topology::schema()))),
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

/// Runs a command that waits for things.
fn wait_for(command: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
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
