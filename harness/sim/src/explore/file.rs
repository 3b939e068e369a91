//! A scenario as an experiment file, for people and for every engine. What is at its default is
//! left out. Reading it back gives the same scenario.

use indexmap::IndexMap;
use peerlab_link::{Loss, NodeId};

use super::scenario::{Known, Outage, Scenario, regions_of};
use peerlab_core::experiment::{Down, Image, Probe};
use peerlab_core::topology::file::{
    self, Bootstrap, Churn, Discovery, Fault, File, FileSource, Ledger, Network, NodeGroup,
};
use peerlab_core::topology::listed::{BlockAt, ListOr, OutageAt, TransactionAt};
use peerlab_core::topology::network_values::{Framing, Mode};
use peerlab_core::topology::units::{Rate, Size};
use peerlab_core::topology::words::{FileMode, Until};
use peerlab_core::topology::written::{Text, WordOr, Written};
use peerlab_core::topology::{
    Access, Content, ETHERNET_FRAMING_BYTES, FILE_VERSION, Group, INTERNET_2019, LaunchFile,
    MTU_DEFAULT, Phases, QUEUE_BYTES_DEFAULT, REGION_DEFAULT, RPC_PORT, is_internet_2019,
};

/// Runs of nodes from this length on are written as a range.
const RANGE_MIN: usize = 3;

/// The file; `head` becomes a comment at its top.
pub fn yaml(scenario: &Scenario, head: &str) -> String {
    Writer::new(scenario).file().to_yaml(head)
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

    fn file(&self) -> File {
        let scenario = self.scenario;
        let Phases {
            warmup,
            faults,
            settle,
        } = scenario.phases;
        let group = |group: &Group| (group.name.clone(), self.group(group));
        let numbered = scenario.faults.iter().enumerate();
        File {
            version: Some(Written::of(FILE_VERSION)),
            name: scenario.name.clone(),
            description: None,
            seed: Some(Written::of(scenario.seed)),
            phases: file::Phases {
                warmup: Written::of(warmup),
                faults: Some(Written::of(faults)),
                settle: Written::of(settle),
            },
            nodes: scenario.groups.iter().map(group).collect(),
            network: self.network(),
            ledger: self.ledger(),
            churn: self.churn(),
            faults: numbered.map(|(index, _)| self.fault(index)).collect(),
            expect: scenario.expect.iter().map(Into::into).collect(),
        }
    }

    fn group(&self, group: &Group) -> NodeGroup {
        let launch = &group.launch;
        NodeGroup {
            count: Written::of(group.count),
            image: match &group.image {
                Image::Peerlab => None,
                Image::Named(name) => Some(name.clone()),
                Image::Archive(path) => Some(format!("oci:{}", path.display())),
            },
            probe: (group.probe != Probe::BitcoinRpc { port: RPC_PORT })
                .then(|| (&group.probe).into()),
            ready: group.ready.map(Written::of),
            command: launch.command.clone(),
            entrypoint: launch.entrypoint.clone(),
            env: launch
                .env
                .iter()
                .map(|(name, value)| (name.clone(), Text(value.clone())))
                .collect(),
            files: launch
                .files
                .iter()
                .map(|it| (it.place.clone(), WordOr::Long(file_source(it))))
                .collect(),
            user: launch.user.clone().map(Text),
            workdir: launch.workdir.clone(),
            regions: (self.scenario.regions != [REGION_DEFAULT]).then(|| self.regions(group)),
            access: access(&group.access),
            cpu: group
                .cpu_millis
                .map(|millis| Written::of(f64::from(millis) / 1000.0)),
            memory: group.memory_bytes.map(|bytes| Written::of(Size { bytes })),
            loss: (group.loss != self.loss).then(|| Written::of(group.loss)),
            ..NodeGroup::default()
        }
    }

    /// One for all, or one for each node.
    fn regions(&self, group: &Group) -> file::Regions {
        let name = |region: &u16| self.scenario.regions[usize::from(*region)].clone();
        let names: Vec<String> = regions_of(group).iter().map(name).collect();
        match names.first() {
            Some(first) if names.iter().all(|name| name == first) => WordOr::Word(first.clone()),
            _ => WordOr::Long(ListOr::List(names)),
        }
    }

    fn network(&self) -> Network {
        let Scenario {
            regions,
            paths,
            mtu,
            framing_bytes,
            ..
        } = self.scenario;
        let latency = if is_internet_2019(regions, paths) {
            WordOr::Word(INTERNET_2019.to_owned())
        } else if *regions == [REGION_DEFAULT] {
            WordOr::Word(Written::of(paths[0][0]).text)
        } else {
            let rows = paths.iter().map(|row| {
                let ways = row.iter().copied().map(Written::of);
                regions.iter().cloned().zip(ways).collect()
            });
            WordOr::Long(regions.iter().cloned().zip(rows).collect())
        };
        Network {
            latency: Some(latency),
            loss: (self.loss != Loss::None).then(|| Written::of(self.loss)),
            mtu: (*mtu != MTU_DEFAULT).then(|| Written::of(u32::from(*mtu))),
            framing: (*framing_bytes != ETHERNET_FRAMING_BYTES)
                .then(|| Written::of(Framing(*framing_bytes))),
            discovery: Some(self.discovery()),
            ..Network::default()
        }
    }

    fn discovery(&self) -> Discovery {
        let name = |node: &u32| self.name(*node);
        let found = |mode, bootstrap: Bootstrap| Discovery {
            mode: Some(Written::of(mode)),
            bootstrap: Some(bootstrap),
            ..Discovery::default()
        };
        match &self.scenario.known {
            Known::Each(known) => {
                let mut each: IndexMap<String, Vec<String>> = IndexMap::new();
                for (node, other) in known {
                    each.entry(name(node)).or_default().push(name(other));
                }
                found(Mode::Pure, WordOr::Long(ListOr::Map(each)))
            }
            Known::Seeds(seeds) => {
                let seeds: Vec<NodeId> = seeds.iter().copied().map(NodeId).collect();
                let seeds = self.choice(&seeds);
                found(Mode::Hybrid, WordOr::Long(ListOr::List(seeds)))
            }
            Known::Edges(edges) => {
                let edge = |(from, to): &(u32, u32)| vec![name(from), name(to)];
                Discovery {
                    edges: Some(edges.iter().map(edge).collect()),
                    ..Discovery::default()
                }
            }
        }
    }

    fn ledger(&self) -> Ledger {
        let Scenario {
            blocks,
            payments,
            filler_bytes,
            ..
        } = self.scenario;
        let block = |block: &peerlab_core::topology::Moment| BlockAt {
            at: Written::of(block.at),
            by: self.name(block.node),
        };
        let payment = |payment: &peerlab_core::topology::Moment| TransactionAt {
            at: Written::of(payment.at),
            to: self.name(payment.node),
        };
        let bytes = u64::from(*filler_bytes);
        Ledger {
            block_interval: None,
            blocks: (!blocks.is_empty()).then(|| blocks.iter().map(block).collect()),
            transactions: (!payments.is_empty())
                .then(|| WordOr::Long(payments.iter().map(payment).collect())),
            filler: (bytes > 0).then(|| Written::of(Size { bytes })),
        }
    }

    /// A rule for each way to leave.
    fn churn(&self) -> Vec<Churn> {
        let rule = |how: Down| {
            let mut outages: IndexMap<String, Vec<OutageAt>> = IndexMap::new();
            let ours = |outages: &&Outage| outages.how == how;
            for one in self.scenario.outages.iter().filter(ours) {
                let at = OutageAt {
                    at: Written::of(one.start),
                    lasts: Written::of(one.end.saturating_sub(one.start)),
                };
                outages.entry(self.name(one.node)).or_default().push(at);
            }
            (!outages.is_empty()).then(|| Churn {
                how: Some(Written::of(how)),
                outages: Some(outages),
                ..Churn::default()
            })
        };
        Down::ALL.into_iter().filter_map(rule).collect()
    }

    fn fault(&self, index: usize) -> Fault {
        let fault = &self.scenario.faults[index];
        let is_instant = fault.kind.across().is_some();
        let mut named = self.scenario.faults.iter();
        let named = named.any(|other| other.kind.across() == Some(index));
        let lasts = fault.end.filter(|_| !is_instant);
        Fault {
            at: Written::of(fault.start),
            lasts: lasts.map(|end| Written::of(end.saturating_sub(fault.start))),
            until: fault.end.is_none().then(|| Written::of(Until::Never)),
            name: named.then(|| split_name(index)),
            ..Fault::of(&fault.kind, |nodes| self.choice(nodes), split_name)
        }
    }

    fn name(&self, node: u32) -> String {
        self.names.get(node as usize).cloned().unwrap_or_default()
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
                words.push(group.name.clone());
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

/// Where a file of a node's comes from.
fn file_source(file: &LaunchFile) -> FileSource {
    let (text, from) = match &file.content {
        Content::Text(text) => (Some(text.clone()), None),
        Content::Copy { from, .. } => (None, Some(from.display().to_string())),
    };
    FileSource {
        text,
        from,
        mode: Some(Written::of(FileMode(file.mode))),
        owner: file.owner.clone().map(Text),
        template: file.template.map(Written::of),
    }
}

/// Rates that differ by region are those of the preset.
fn access(access: &Access) -> Option<WordOr<file::Access>> {
    let first = access.rates.first().copied().unwrap_or_default();
    if access.rates.iter().any(|rates| *rates != first) {
        return Some(WordOr::Word(INTERNET_2019.into()));
    }
    let bytes = u64::from(access.queue_bytes);
    let rate = |bps: Option<u64>| bps.map(|bps| Written::of(Rate { bps }));
    let written = file::Access {
        up: rate(first.up_bps),
        down: rate(first.down_bps),
        queue: (access.queue_bytes != QUEUE_BYTES_DEFAULT).then(|| Written::of(Size { bytes })),
    };
    let says = written.up.is_some() || written.down.is_some() || written.queue.is_some();
    says.then_some(WordOr::Long(written))
}
