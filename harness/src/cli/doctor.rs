//! `peerlab doctor [FILE]`: what this machine can carry with each engine, what binds first, and
//! how to raise it.

use std::path::PathBuf;
use std::process::ExitCode;

use super::place;
use super::plan::Experiment;
use crate::engine::capacity::{Capacity, Limit, Load};
use crate::engine::docker::Target;
use crate::ui::Ui;
use peerlab_core::error::{Error, Kind, Result};
use peerlab_core::words;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ask about this experiment: its number of nodes, blocks and transactions
    file: Option<PathBuf>,
}

/// Tells what each engine can carry. The answer is no (exit code 3) where no engine works, or
/// none can carry the experiment.
///
/// # Errors
/// When the experiment is wrong.
pub async fn doctor(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let plan = match &args.file {
        None => None,
        Some(file) => Some(Experiment::read(file)?.draw(None)?.plan),
    };
    let load = plan.as_deref().map_or_else(Load::default, Load::of);
    let nodes = plan.map(|plan| plan.nodes.len());
    let docker = match Target::find() {
        Ok(target) => place::docker(&target, load)
            .await
            .map(|(_, capacity)| capacity),
        Err(error) => Err(error),
    };
    let local = match place::local(load) {
        Ok((_, capacity)) => place::try_local(ui).await.map(|()| capacity),
        Err(error) => Err(error),
    };
    let answers = [
        answer("local engine", local, nodes),
        answer("docker engine", docker, nodes),
    ];
    let texts: Vec<&str> = answers.iter().map(|(text, _)| text.as_str()).collect();
    ui.result(&texts.join("\n"));
    Ok(if answers.iter().any(|(_, fits)| *fits) {
        ExitCode::SUCCESS
    } else {
        Kind::Environment.into()
    })
}

/// What is said of an engine, and whether it can do what is asked; `nodes` are the experiment's, if
/// there is one.
fn answer(name: &str, capacity: Result<Capacity>, nodes: Option<usize>) -> (String, bool) {
    match capacity {
        Ok(capacity) => {
            let fits = capacity.admit(nodes.unwrap_or(1)).is_ok();
            (table(name, &capacity, nodes), fits)
        }
        Err(error) => (
            format!("{name}: cannot be used\n{}", indented(&error)),
            false,
        ),
    }
}

fn indented(error: &Error) -> String {
    let lines = error.render();
    let lines: Vec<String> = lines.lines().map(|line| format!("  {line}")).collect();
    format!("{}\n", lines.join("\n"))
}

/// An engine's limits, the lowest first.
fn table(name: &str, capacity: &Capacity, wanted: Option<usize>) -> String {
    let mut limits: Vec<&Limit> = capacity.limits.iter().collect();
    limits.sort_by_key(|limit| limit.nodes);
    let mut text = format!("{name}: {}\n", headline(capacity, wanted));
    for note in &capacity.notes {
        text.push_str(&format!("  ({note})\n"));
    }
    text.push_str(&format!(
        "  {:<38} {:>10}  {:>14}   to raise it\n",
        "limit", "now", "carries"
    ));
    for limit in limits {
        let about = if limit.estimate { "about " } else { "" };
        text.push_str(&format!(
            "  {:<38} {:>10}  {:>14}   {}\n",
            limit.what,
            limit.now,
            format!("{about}{}", words::thousands(limit.nodes)),
            limit.raise
        ));
    }
    text
}

/// The answer in a sentence.
fn headline(capacity: &Capacity, wanted: Option<usize>) -> String {
    let Some(least) = capacity.binds() else {
        return "nothing is known of its limits".to_owned();
    };
    let about = if least.estimate { "about " } else { "" };
    let carries = format!(
        "carries {about}{} ({} binds first)",
        words::count(least.nodes, "node"),
        least.what
    );
    let Some(nodes) = wanted else {
        return carries;
    };
    let fits = if nodes as u64 <= least.nodes {
        "will fit"
    } else if capacity.admit(nodes).is_ok() {
        "can be started, but it may not keep up"
    } else {
        "cannot fit"
    };
    let nodes = words::count(nodes as u64, "node");
    format!("{nodes} {fits}; it {carries}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::capacity::{self, Machine};

    fn told(machine: &Machine, nodes: Option<usize>) -> (String, bool) {
        let capacity = capacity::local(machine, Load::default());
        answer("local engine", Ok(capacity), nodes)
    }

    fn machine() -> Machine {
        Machine {
            cpus: 2,
            memory_free: Some(16 << 30),
            open_files: Some(4_096),
            ..Machine::default()
        }
    }

    #[test]
    fn limits_are_told_with_the_lowest_first() {
        insta::assert_snapshot!(told(&machine(), None).0);
    }

    #[test]
    fn what_can_begin_but_may_be_slow_is_told_from_what_cannot() {
        let (text, fits) = told(&machine(), Some(1_000));
        assert!(
            text.contains("may not keep up") || text.contains("will fit"),
            "{text}"
        );
        assert!(fits);
        let (text, fits) = told(&machine(), Some(2_000));
        assert!(text.contains("2,000 nodes cannot fit"), "{text}");
        assert!(!fits);
    }

    #[test]
    fn an_engine_that_cannot_be_used_is_told_with_its_reason() {
        let error = Error::environment("no Docker Engine answers", "a test", "start one");
        let (text, fits) = answer("docker engine", Err(error), None);
        assert_eq!(
            text,
            "docker engine: cannot be used\n  Error: no Docker Engine answers\n  Caused by: a test\n  Hint: start one\n"
        );
        assert!(!fits);
    }
}
