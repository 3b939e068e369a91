//! What exploring says: the result, and the comment at the top of a file that it writes.

use super::reduce::Size;
use super::search::{FailingSeed, Found};
use super::shrink::Shrunk;
use peerlab_core::words;

/// Failing seeds that are listed; more would hide the first ones.
const SEEDS_SHOWN_MAX: usize = 12;
/// Column in which lines go on.
const INDENT: &str = "            ";

/// How the exploration was called, for commands that repeat a part of it.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    /// The experiment's name.
    pub name: String,
    /// How the reader calls Peerlab.
    pub command: String,
    /// The experiment file, as it was named.
    pub file: String,
    /// Further options that decide what seeds mean, with a space before each.
    pub options: String,
}

impl Telling {
    /// The command that judges one seed again.
    pub fn again(&self, seed: u64) -> String {
        let Telling {
            command,
            file,
            options,
            ..
        } = self;
        format!("{command} explore {file}{options} --first-seed {seed} --seeds 1")
    }

    /// A failing seed, as it is found.
    pub fn failing(&self, seed: &FailingSeed) -> String {
        format!("seed {} fails: {}", seed.seed, checks(seed).join(", "))
    }
}

/// The checks that fail, each once.
fn checks(seed: &FailingSeed) -> Vec<&str> {
    let mut checks: Vec<&str> = seed.failures.iter().map(|f| f.check.as_str()).collect();
    checks.dedup();
    checks
}

/// The result: how many seeds fail, which, and how to see one again.
pub fn summary(telling: &Telling, found: &Found) -> String {
    let head = match (found.interrupted, found.failing.is_empty()) {
        (true, _) => "INTERRUPTED",
        (false, true) => "PASSED",
        (false, false) => "FAILED",
    };
    let judged = words::count(found.judged, "seed");
    let failing = match found.failing.len() {
        0 => "none fails".to_owned(),
        1 => "1 fails".to_owned(),
        count => format!("{count} fail"),
    };
    let mut text = format!("{head}  {}: {judged} judged, {failing}\n", telling.name);
    for seed in found.failing.iter().take(SEEDS_SHOWN_MAX) {
        let label = format!("seed {}", seed.seed);
        text.push_str(&format!("\n  {label:<10}{}\n", checks(seed).join(", ")));
        if let Some(first) = seed.failures.first() {
            text.push_str(&format!("{INDENT}{}\n", first.sentence));
        }
        text.push_str(&format!("{INDENT}{}\n", telling.again(seed.seed)));
    }
    if let Some(more) = found.failing.len().checked_sub(SEEDS_SHOWN_MAX + 1) {
        text.push_str(&format!("\n  and {} more\n", more + 1));
    }
    text
}

impl Telling {
    /// What shrinking came to; `file` is where it was written.
    pub fn shrunk(&self, seed: u64, shrunk: &Shrunk, file: &str) -> String {
        let cut_short = if shrunk.finished {
            ""
        } else {
            " (not finished)"
        };
        format!(
            "\nshrunk      seed {seed}: {}{cut_short}\nfails       {}: {}\nfile        {file}\nrun it      {} run {file}\n",
            from_to(shrunk),
            shrunk.failure.check,
            shrunk.failure.sentence,
            self.command,
        )
    }

    /// The comment at the top of the shrunk experiment; `name` is how its file is called.
    pub fn head(&self, seed: u64, shrunk: &Shrunk, name: &str) -> String {
        let needs = if shrunk.needs_events {
            "It holds as soon as what happens to the network is left out."
        } else {
            "It fails even when nothing happens to the network."
        };
        let cut_short = if shrunk.finished {
            ""
        } else {
            " Shrinking was cut short: more can perhaps be left out."
        };
        format!(
            "Found by exploring {} (seed {seed}).\nShrunk {}.{cut_short}\n\nFails: {}\n  {}\n{needs}\n\n\
             In containers:    peerlab run {name}\nIn virtual time:  peerlab run {name} --engine sim\n",
            self.file,
            from_to(shrunk),
            shrunk.failure.check,
            shrunk.failure.sentence,
        )
    }
}

/// The comment at the top of a failing seed's whole experiment.
pub fn head(telling: &Telling, seed: &FailingSeed) -> String {
    let mut text = format!(
        "Drawn by exploring {} (seed {}): everything that chance decides is written out.\n\nFails:\n",
        telling.file, seed.seed
    );
    for failure in &seed.failures {
        text.push_str(&format!("  {}: {}\n", failure.check, failure.sentence));
    }
    text
}

fn from_to(shrunk: &Shrunk) -> String {
    let size = |size: &Size| {
        let nodes = words::count(size.nodes as u64, "node");
        let events = words::count(size.events as u64, "event");
        format!("{nodes}, {events}, {}", words::duration(size.length))
    };
    let simulations = words::count(shrunk.simulations as u64, "simulation");
    format!(
        "from ({}) to ({}) by {simulations}",
        size(&shrunk.from),
        size(&shrunk.scenario.size())
    )
}
