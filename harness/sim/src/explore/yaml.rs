//! A scenario as an experiment file, for people and for every engine. What is at its default is
//! left out. Reading it back gives the same scenario.

use std::fmt::Write;

use peerlab_link::{Loss, Nanos, NodeId, PathDelay, Shape};

use super::scenario::{Fault, Known, Scenario, region_in};
use peerlab_core::experiment::{
    Disturbance, Down, Expectation, FaultKind, Image, NodeQuantile, Nodes, Probe,
};
use peerlab_core::topology::{
    Access, AccessRates, ETHERNET_FRAMING_BYTES, Group, INTERNET_2019, MTU_DEFAULT, Moment,
    QUEUE_BYTES_DEFAULT, REGION_DEFAULT, RPC_PORT, is_internet_2019, loss_from_percent,
};

/// Runs of nodes from this length on are written as a range.
const RANGE_MIN: usize = 3;
/// Digits after the point with which every chance of 32 bits can be written as a percentage.
const PERCENT_DIGITS_MAX: usize = 12;

/// The file; `head` becomes a comment at its top.
pub fn yaml(scenario: &Scenario, head: &str) -> String {
    let mut text = String::new();
    for line in head.lines() {
        text.push_str(format!("# {line}").trim_end());
        text.push('\n');
    }
    if !head.is_empty() {
        text.push('\n');
    }
    let writer = Writer::new(scenario);
    // Writing to a String cannot fail.
    let _ = writer.write(&mut text);
    text
}

struct Writer<'a> {
    scenario: &'a Scenario,
    names: Vec<String>,
    loss: Loss,
}

impl<'a> Writer<'a> {
    fn new(scenario: &'a Scenario) -> Writer<'a> {
        let names = scenario
            .groups
            .iter()
            .flat_map(|group| (0..group.count).map(|index| format!("{}-{index}", group.name)));
        let mut losses = scenario.groups.iter().map(|group| group.loss);
        let first = losses.next().unwrap_or_default();
        Writer {
            scenario,
            names: names.collect(),
            // Of all, or each group's own.
            loss: if losses.all(|loss| loss == first) {
                first
            } else {
                Loss::None
            },
        }
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let scenario = self.scenario;
        let phases = scenario.phases;
        writeln!(text, "name: {}", word(&scenario.name))?;
        writeln!(text, "seed: {}", scenario.seed)?;
        writeln!(
            text,
            "phases: {{ warmup: {}, faults: {}, settle: {} }}",
            time(phases.warmup),
            time(phases.faults),
            time(phases.settle)
        )?;
        writeln!(text, "\nnodes:")?;
        for group in &scenario.groups {
            writeln!(
                text,
                "  {}: {{ {} }}",
                word(&group.name),
                self.group(group).join(", ")
            )?;
        }
        self.network(text)?;
        self.ledger(text)?;
        self.churn(text)?;
        if !scenario.faults.is_empty() {
            writeln!(text, "\nfaults:")?;
            for (index, fault) in scenario.faults.iter().enumerate() {
                writeln!(text, "  - {{ {} }}", self.fault(index, fault).join(", "))?;
            }
        }
        if !scenario.expect.is_empty() {
            writeln!(text, "\nexpect:")?;
            for expectation in &scenario.expect {
                writeln!(text, "  - {}", expected(expectation))?;
            }
        }
        Ok(())
    }

    fn group(&self, group: &Group) -> Vec<String> {
        let mut keys = vec![format!("count: {}", group.count)];
        match &group.image {
            Image::Peerlab => {}
            Image::Named(name) => keys.push(format!("image: {}", quoted(name))),
            Image::Archive(path) => keys.push(format!("image: {}", quoted(&format!("oci:{path}")))),
        }
        let Probe::BitcoinRpc { port } = group.probe;
        if port != RPC_PORT {
            keys.push(format!("probe: bitcoin-rpc(port {port})"));
        }
        if !group.command.is_empty() {
            let arguments: Vec<String> = group.command.iter().map(|a| quoted(a)).collect();
            keys.push(format!("command: [{}]", arguments.join(", ")));
        }
        if self.scenario.regions != [REGION_DEFAULT] {
            let name = |index| {
                let region = region_in(group, index as usize) as usize;
                self.scenario.regions.get(region).map_or("", String::as_str)
            };
            let names: Vec<String> = (0..group.count).map(|index| word(name(index))).collect();
            if names.iter().all(|name| *name == names[0]) {
                keys.push(format!("regions: {}", names[0]));
            } else {
                keys.push(format!("regions: [{}]", names.join(", ")));
            }
        }
        keys.extend(access(&group.access).map(|access| format!("access: {access}")));
        if let Some(millis) = group.cpu_millis {
            keys.push(format!("cpu: {}", f64::from(millis) / 1000.0));
        }
        if let Some(bytes) = group.memory_bytes {
            keys.push(format!("memory: {}", size(bytes)));
        }
        if group.loss != self.loss {
            keys.push(format!("loss: {}", loss(group.loss)));
        }
        keys
    }

    fn network(&self, text: &mut String) -> std::fmt::Result {
        let scenario = self.scenario;
        writeln!(text, "\nnetwork:")?;
        if is_internet_2019(&scenario.regions, &scenario.paths) {
            writeln!(text, "  latency: {INTERNET_2019}")?;
        } else if scenario.regions == [REGION_DEFAULT] {
            writeln!(text, "  latency: {}", delay(scenario.paths[0][0]))?;
        } else {
            writeln!(text, "  latency:")?;
            for (from, row) in scenario.regions.iter().zip(&scenario.paths) {
                let way =
                    |(to, path): (&String, &PathDelay)| format!("{}: {}", word(to), delay(*path));
                let ways: Vec<String> = scenario.regions.iter().zip(row).map(way).collect();
                writeln!(text, "    {}: {{ {} }}", word(from), ways.join(", "))?;
            }
        }
        if self.loss != Loss::None {
            writeln!(text, "  loss: {}", loss(self.loss))?;
        }
        if scenario.mtu != MTU_DEFAULT {
            writeln!(text, "  mtu: {}", scenario.mtu)?;
        }
        if scenario.framing_bytes != ETHERNET_FRAMING_BYTES {
            writeln!(text, "  framing: {} B", scenario.framing_bytes)?;
        }
        writeln!(text, "  discovery:")?;
        match &scenario.known {
            Known::Each(known) => {
                writeln!(text, "    mode: pure")?;
                let knowing: Vec<(usize, &Vec<u32>)> = known
                    .iter()
                    .enumerate()
                    .filter(|(_, known)| !known.is_empty())
                    .collect();
                if knowing.is_empty() {
                    return writeln!(text, "    bootstrap: {{}}");
                }
                writeln!(text, "    bootstrap:")?;
                for (node, known) in knowing {
                    let known: Vec<&str> = known.iter().map(|node| self.name(*node)).collect();
                    writeln!(text, "      {}: [{}]", self.names[node], known.join(", "))?;
                }
            }
            Known::Seeds(seeds) => {
                let seeds: Nodes = seeds.iter().copied().map(NodeId).collect();
                writeln!(text, "    mode: hybrid")?;
                writeln!(text, "    bootstrap: [{}]", self.choice(&seeds).join(", "))?;
            }
            Known::Edges(edges) if edges.is_empty() => writeln!(text, "    edges: []")?,
            Known::Edges(edges) => {
                writeln!(text, "    edges:")?;
                for (from, to) in edges {
                    writeln!(text, "      - [{}, {}]", self.name(*from), self.name(*to))?;
                }
            }
        }
        Ok(())
    }

    fn ledger(&self, text: &mut String) -> std::fmt::Result {
        let lists = [
            ("blocks", "by", &self.scenario.blocks),
            ("transactions", "to", &self.scenario.payments),
        ];
        let filler = self.scenario.filler_bytes;
        if filler == 0 && lists.iter().all(|(_, _, moments)| moments.is_empty()) {
            return Ok(());
        }
        writeln!(text, "\nledger:")?;
        if filler > 0 {
            writeln!(text, "  filler: {}", size(u64::from(filler)))?;
        }
        for (key, who, moments) in lists {
            if moments.is_empty() {
                continue;
            }
            writeln!(text, "  {key}:")?;
            for Moment { at, node } in moments {
                writeln!(
                    text,
                    "    - {{ at: {}, {who}: {} }}",
                    time(*at),
                    self.name(*node)
                )?;
            }
        }
        Ok(())
    }

    fn churn(&self, text: &mut String) -> std::fmt::Result {
        let away = &self.scenario.away;
        if away.is_empty() {
            return Ok(());
        }
        writeln!(text, "\nchurn:")?;
        for how in [
            Down::Kill,
            Down::Vanish,
            Down::Stop,
            Down::Freeze,
            Down::Replace,
        ] {
            let ours = || away.iter().filter(|away| away.how == how);
            let mut nodes: Vec<u32> = ours().map(|away| away.node).collect();
            nodes.dedup();
            if nodes.is_empty() {
                continue;
            }
            writeln!(text, "  - how: {}", how.word())?;
            writeln!(text, "    away:")?;
            for node in nodes {
                let times = ours().filter(|away| away.node == node).map(|away| {
                    let lasts = away.end.saturating_sub(away.start);
                    format!("{{ at: {}, for: {} }}", time(away.start), time(lasts))
                });
                let times: Vec<String> = times.collect();
                writeln!(text, "      {}: [{}]", self.name(node), times.join(", "))?;
            }
        }
        Ok(())
    }

    fn fault(&self, index: usize, fault: &Fault) -> Vec<String> {
        let mut keys = vec![format!("at: {}", time(fault.start))];
        match (&fault.kind, fault.end) {
            (FaultKind::DoubleSpend { .. }, _) => {}
            (_, None) => keys.push("until: never".into()),
            (_, Some(end)) => keys.push(format!("for: {}", time(end.saturating_sub(fault.start)))),
        }
        match &fault.kind {
            FaultKind::Partition { sides, one_way } => {
                let across =
                    |other: &Fault| other.kind == FaultKind::DoubleSpend { partition: index };
                if self.scenario.faults.iter().any(across) {
                    keys.push(format!("name: {}", split_name(index)));
                }
                let side = |side: &Nodes| format!("[{}]", self.choice(side).join(", "));
                let sides: Vec<String> = sides.iter().map(side).collect();
                keys.push(format!("partition: [{}]", sides.join(", ")));
                if *one_way {
                    keys.push("one_way: true".into());
                }
            }
            FaultKind::Down { nodes, how } => {
                keys.push(format!(
                    "{}: [{}]",
                    how.word(),
                    self.choice(nodes).join(", ")
                ));
            }
            FaultKind::Shape { nodes, shape } => {
                let mut inner = vec![format!("nodes: [{}]", self.choice(nodes).join(", "))];
                inner.extend(shaped(shape));
                keys.push(format!("shape: {{ {} }}", inner.join(", ")));
            }
            FaultKind::DoubleSpend { partition } => {
                keys.push(format!(
                    "double_spend: {{ across: {} }}",
                    split_name(*partition)
                ));
            }
        }
        keys
    }

    fn name(&self, node: u32) -> &str {
        self.names.get(node as usize).map_or("", String::as_str)
    }

    /// Nodes as a person would name them: groups, ranges, single ones.
    fn choice(&self, nodes: &[NodeId]) -> Vec<String> {
        if nodes.len() == self.names.len() && nodes.len() > 1 {
            return vec!["all".into()];
        }
        let mut words = Vec::new();
        let mut first = 0u32;
        for group in &self.scenario.groups {
            let last = first + group.count;
            let own: Vec<u32> = nodes
                .iter()
                .map(|node| node.0)
                .filter(|node| (first..last).contains(node))
                .map(|node| node - first)
                .collect();
            if own.len() == group.count as usize && own.len() > 1 {
                words.push(word(&group.name));
            } else {
                for run in own.chunk_by(|a, b| a + 1 == *b) {
                    if run.len() >= RANGE_MIN {
                        words.push(format!("{} {}-{}", group.name, run[0], run[run.len() - 1]));
                    } else {
                        words.extend(run.iter().map(|index| format!("{}-{index}", group.name)));
                    }
                }
            }
            first = last;
        }
        words
    }
}

fn split_name(index: usize) -> String {
    format!("split-{index}")
}

fn shaped(shape: &Shape) -> Vec<String> {
    let mut keys = Vec::new();
    keys.extend(shape.rate_bps.map(|bps| format!("rate: {}", rate(bps))));
    keys.extend(shape.loss.map(|chance| format!("loss: {}", loss(chance))));
    keys.extend(shape.delay.map(|delay| format!("delay: {}", time(delay))));
    keys.extend(
        shape
            .jitter
            .map(|jitter| format!("jitter: {}", time(jitter))),
    );
    keys
}

fn access(access: &Access) -> Option<String> {
    let first = access.rates.first().copied().unwrap_or_default();
    if access.rates.iter().any(|rates| *rates != first) {
        return Some(INTERNET_2019.into());
    }
    let AccessRates { up_bps, down_bps } = first;
    let mut keys = Vec::new();
    keys.extend(up_bps.map(|bps| format!("up: {}", rate(bps))));
    keys.extend(down_bps.map(|bps| format!("down: {}", rate(bps))));
    if access.queue_bytes != QUEUE_BYTES_DEFAULT {
        keys.push(format!("queue: {}", size(u64::from(access.queue_bytes))));
    }
    (!keys.is_empty()).then(|| format!("{{ {} }}", keys.join(", ")))
}

fn expected(expectation: &Expectation) -> String {
    let in_phase = |phase: &Option<String>| {
        phase
            .as_ref()
            .map_or(String::new(), |phase| format!(", phase: {phase}"))
    };
    match expectation {
        Expectation::Converged {
            within,
            of,
            lag,
            hold,
        } => {
            let of = match of {
                Disturbance::Heal => "heal",
                Disturbance::Settle => "settle",
            };
            let lag = if *lag == 1 {
                String::new()
            } else {
                format!(", lag: {lag}")
            };
            format!(
                "converged: {{ within: {}, of: {of}{lag}, hold: {} }}",
                time(*within),
                time(*hold)
            )
        }
        Expectation::SameLedger => "same_ledger: { at: end }".into(),
        Expectation::DoubleSpend { confirmed } => {
            format!("double_spend: {{ confirmed: {confirmed} }}")
        }
        Expectation::ReorgDepth { min, max } => {
            let mut keys = Vec::new();
            keys.extend(min.map(|min| format!("min: {min}")));
            keys.extend(max.map(|max| format!("max: {max}")));
            format!("reorg_depth: {{ {} }}", keys.join(", "))
        }
        Expectation::Propagation {
            quantile,
            below,
            phase,
        } => {
            format!(
                "propagation: {{ p{quantile}: < {}{} }}",
                time(*below),
                in_phase(phase)
            )
        }
        Expectation::Bandwidth { of, below, phase } => {
            let of = match of {
                NodeQuantile::Mean => "mean",
                NodeQuantile::P50 => "p50",
                NodeQuantile::P95 => "p95",
                NodeQuantile::Max => "max",
            };
            format!("bandwidth: {{ {of}: < {below} B/s{} }}", in_phase(phase))
        }
        Expectation::NodesUp { min } => format!("nodes_up: {{ min: {min} }}"),
    }
}

/// A time, exact to the nanosecond.
pub fn time(time: Nanos) -> String {
    const MILLI: u64 = 1_000_000;
    const SECOND: u64 = 1_000_000_000;
    if time.0 > 0 && time.0 < SECOND && time.0.is_multiple_of(MILLI) {
        return format!("{}ms", time.0 / MILLI);
    }
    let (whole, part) = (time.0 / SECOND, time.0 % SECOND);
    if part == 0 {
        return format!("{whole}s");
    }
    format!("{whole}.{}s", format!("{part:09}").trim_end_matches('0'))
}

fn delay(path: PathDelay) -> String {
    if path.jitter == Nanos::ZERO {
        time(path.base)
    } else {
        format!("{} jitter {}", time(path.base), time(path.jitter))
    }
}

fn rate(bps: u64) -> String {
    for (unit, factor) in [("Mbit/s", 1_000_000), ("kbit/s", 1_000)] {
        if bps.is_multiple_of(factor) {
            return format!("{} {unit}", bps / factor);
        }
    }
    format!("{bps} bit/s")
}

fn size(bytes: u64) -> String {
    for (unit, factor) in [
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("KiB", 1 << 10),
        ("kB", 1_000),
    ] {
        if bytes > 0 && bytes.is_multiple_of(factor) {
            return format!("{} {unit}", bytes / factor);
        }
    }
    format!("{bytes} B")
}

fn loss(loss: Loss) -> String {
    match loss {
        Loss::None => "0%".into(),
        Loss::Bernoulli { chance } => percent(chance),
        Loss::GilbertElliott {
            enter,
            leave,
            good,
            bad,
        } => format!(
            "gilbert-elliott(enter {} leave {} good {} bad {})",
            percent(enter),
            percent(leave),
            percent(good),
            percent(bad)
        ),
    }
}

/// The shortest percentage that is read as this chance.
fn percent(chance: u32) -> String {
    let share = f64::from(chance) / f64::from(Loss::ONE) * 100.0;
    for digits in 0..PERCENT_DIGITS_MAX {
        let text = format!("{share:.digits$}");
        if loss_from_percent(&text) == chance {
            return format!("{text}%");
        }
    }
    format!("{share:.PERCENT_DIGITS_MAX$}%")
}

/// A text that YAML could take for something else is put in quotes.
fn word(text: &str) -> String {
    const KEYWORDS: [&str; 8] = ["true", "false", "null", "yes", "no", "on", "off", "nan"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && text.len() > 1
        && !KEYWORDS.contains(&text.to_lowercase().as_str());
    if plain { text.to_owned() } else { quoted(text) }
}

/// JSON's quotes are YAML's as well.
fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}
