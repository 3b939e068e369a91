//! A plan told to people: who there is, and what happens when.

use std::fmt::Write;

use peerlab_link::{Nanos, NodeId};

use super::spec::{Fault, Plan, Work};

impl Plan {
    /// The experiment on one screen: nodes, phases, faults, expectations.
    pub fn summary(&self, description: Option<&str>) -> String {
        let mut text = match description {
            Some(description) => format!("{}: {description}\n", self.name),
            None => format!("{}\n", self.name),
        };
        text.push_str(&format!(
            "seed {}, plan {}\n",
            self.seed,
            &self.digest()[..16]
        ));
        // Writing to a String cannot fail.
        let _ = self.write_summary(&mut text);
        text
    }

    /// The summary, and a line for everything that happens, in order of time.
    pub fn timeline(&self) -> String {
        let mut text = self.summary(None);
        let _ = self.write_timeline(&mut text);
        text
    }

    fn write_summary(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\nnodes: {}", self.nodes.len())?;
        for (index, group) in self.groups.iter().enumerate() {
            let members = || {
                self.nodes
                    .iter()
                    .filter(|node| node.group as usize == index)
            };
            let mut notes = Vec::new();
            notes.extend(
                group
                    .image
                    .reference()
                    .map(|image| format!("image {image}")),
            );
            if members().any(|node| node.hash_power > 0.0) {
                notes.push("mining".to_owned());
            }
            let down = members().filter(|node| !node.starts_up).count();
            if down > 0 {
                notes.push(format!("{down} down at the start"));
            }
            let notes = if notes.is_empty() {
                String::new()
            } else {
                format!("  ({})", notes.join(", "))
            };
            writeln!(text, "  {:<14} {:>5}{notes}", group.name, members().count())?;
        }
        let regions = self.regions();
        if regions.len() > 1 {
            let parts: Vec<String> = regions
                .iter()
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            writeln!(text, "  regions: {}", parts.join(", "))?;
        }
        writeln!(text, "\nphases: {} in all", secs(self.end()))?;
        for phase in &self.phases {
            let [start, end] = [phase.start, phase.end].map(secs);
            writeln!(text, "  {:<8} {start:>8} to {end:>8}", phase.name)?;
        }
        writeln!(text, "\nledger: {}", self.ledger_summary())?;
        if !self.faults.is_empty() {
            writeln!(text, "\nfaults:")?;
            let mut faults: Vec<&Fault> = self.faults.iter().collect();
            faults.sort_by_key(|fault| fault.start);
            for fault in faults {
                writeln!(text, "  {:>8}  {}", secs(fault.start), fault.label)?;
            }
        }
        if !self.expect.is_empty() {
            writeln!(text, "\nexpected:")?;
            for expectation in &self.expect {
                writeln!(text, "  {} ({})", expectation.title(), expectation.bound())?;
            }
        }
        Ok(())
    }

    fn regions(&self) -> Vec<(&str, usize)> {
        let mut counts = vec![0; self.network.regions.len()];
        for node in &self.network.nodes {
            counts[node.region as usize] += 1;
        }
        let names = self.network.regions.iter().map(String::as_str);
        names.zip(counts).filter(|(_, count)| *count > 0).collect()
    }

    fn ledger_summary(&self) -> String {
        let count = |is: fn(&Work) -> bool| {
            self.workload
                .iter()
                .filter(|action| is(&action.work))
                .count()
        };
        let blocks = count(|work| matches!(work, Work::Mine { .. }));
        let payments = count(|work| matches!(work, Work::Transaction { .. }));
        let interval = self.ledger.block_interval;
        let every = interval.map_or(String::new(), |interval| {
            format!(" (one in {} on average)", secs(interval))
        });
        format!("{blocks} blocks{every}, {payments} transactions")
    }

    fn write_timeline(&self, text: &mut String) -> std::fmt::Result {
        let mut lines: Vec<(Nanos, String)> = Vec::new();
        let name = |node: &NodeId| self.node_name(*node);
        for phase in &self.phases {
            lines.push((phase.start, format!("phase {}", phase.name)));
        }
        for fault in &self.faults {
            lines.push((fault.start, format!("begins: {}", fault.label)));
            if let Some(end) = fault.end {
                lines.push((end, format!("ends:   {}", fault.label)));
            }
        }
        for outage in &self.outages {
            let until = outage
                .end
                .map_or("for good".to_owned(), |end| format!("until {}", secs(end)));
            let how = outage.how.word();
            let who = name(&outage.node);
            lines.push((outage.start, format!("{who} down {until} ({how})")));
        }
        for action in &self.workload {
            let line = match &action.work {
                Work::Mine { node } => format!("{} mines", name(node)),
                Work::Transaction { node, .. } => format!("payment at {}", name(node)),
                Work::DoubleSpend { sides, .. } => {
                    let first = |side: &Vec<NodeId>| side.first().map_or("nobody".into(), name);
                    let [a, b] = sides.each_ref().map(first);
                    format!("double spend at {a} and {b}")
                }
            };
            lines.push((action.at, line));
        }
        lines.push((self.end(), "end".to_owned()));
        lines.sort_by_key(|(at, _)| *at);
        writeln!(text, "\ntimeline:")?;
        for (at, line) in lines {
            writeln!(text, "  {:>9.3}s  {line}", at.as_secs_f64())?;
        }
        Ok(())
    }
}

/// An instant or a length of time.
fn secs(t: Nanos) -> String {
    format!("{}s", (t.as_secs_f64() * 1000.0).round() / 1000.0)
}
