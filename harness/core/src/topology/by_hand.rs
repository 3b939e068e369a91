//! What is asked of a network by hand: its words, nodes and units are those of an experiment file, and
//! are read by the code that reads one.

use serde::{Deserialize, Serialize};

use super::file;
use super::marking;
use super::resolve::{resolve_by_hand, resolve_nodes};
use super::resolved::{Selection, Topology};
use super::written::{WordOr, Written};
use crate::error::{Error, Result};
use crate::experiment::{Down, FaultKind};
use std::sync::Arc;

/// A fault as somebody asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AskedFault {
    /// The network splits.
    Partition {
        /// Each side's choices of nodes.
        sides: Vec<Vec<String>>,
        /// Whether only packets from the first side to the others are lost.
        one_way: bool,
    },
    /// Nodes go down or freeze.
    Down {
        /// In which way.
        how: Down,
        /// Choices of nodes.
        nodes: Vec<String>,
    },
    /// Links get worse.
    Shape {
        /// Choices of nodes.
        nodes: Vec<String>,
        /// As the file has it, and so are the others.
        rate: Option<String>,
        /// On what they send.
        loss: Option<String>,
        /// Added to what they send.
        delay: Option<String>,
        /// Added likewise.
        jitter: Option<String>,
    },
    /// Programs get little processor time.
    Slow {
        /// Choices of nodes.
        nodes: Vec<String>,
        /// The part of one core that they get.
        cpu: String,
    },
}

impl AskedFault {
    /// Its choices of nodes.
    pub fn choices(&self) -> Vec<&String> {
        match self {
            AskedFault::Partition { sides, .. } => sides.iter().flatten().collect(),
            AskedFault::Down { nodes, .. }
            | AskedFault::Shape { nodes, .. }
            | AskedFault::Slow { nodes, .. } => nodes.iter().collect(),
        }
    }

    fn written(&self) -> file::Fault {
        let choice = |nodes: &[String]| WordOr::Long(nodes.to_vec());
        let mut fault = file::Fault::default();
        match self {
            AskedFault::Partition { sides, one_way } => {
                fault.partition = Some(sides.iter().map(|side| choice(side)).collect());
                fault.one_way = one_way.then(|| Written::of(true));
            }
            AskedFault::Down { how, nodes } => {
                *fault.down_mut(*how) = Some(choice(nodes));
            }
            AskedFault::Shape {
                nodes,
                rate,
                loss,
                delay,
                jitter,
            } => {
                fault.shape = Some(file::Shape {
                    nodes: choice(nodes),
                    rate: rate.as_deref().map(Written::read),
                    loss: loss.as_deref().map(Written::read),
                    delay: delay.as_deref().map(Written::read),
                    jitter: jitter.as_deref().map(Written::read),
                });
            }
            AskedFault::Slow { nodes, cpu } => {
                fault.slow = Some(file::Slow {
                    nodes: choice(nodes),
                    cpu: Written::read(cpu),
                });
            }
        }
        fault
    }

    /// What it means in a network.
    ///
    /// # Errors
    /// What is wrong with it; there is no file, and so no place in one.
    pub fn resolve(&self, topology: &Topology) -> Result<FaultKind<Selection>> {
        let document = Arc::new(marking::parse("by hand", "{}")?);
        resolve_by_hand(self.written(), topology, document).map_err(without_places)
    }
}

/// The nodes that somebody chooses.
///
/// # Errors
/// What is wrong with the choice.
pub fn choose(topology: &Topology, nodes: &[String]) -> Result<Selection> {
    let document = Arc::new(marking::parse("by hand", "{}")?);
    let nodes = WordOr::Long(nodes.to_vec());
    resolve_nodes(nodes, topology, document).map_err(without_places)
}

/// The error without places in a file, where there is none that somebody wrote.
pub fn without_places(mut error: Error) -> Error {
    for report in &mut error.reports {
        report.place = None;
    }
    error
}

/// The choices of nodes in the words of a command line: `peers 0-9`, `random 3 of peers` and
/// `region:europe` are one each, as are the parts between commas.
pub fn choices(words: &[String]) -> Vec<String> {
    let parts = words.iter().flat_map(|word| word.split(','));
    let words: Vec<&str> = parts.flat_map(str::split_whitespace).collect();
    let mut found: Vec<String> = Vec::new();
    // Words that the choice under way still needs.
    let mut lacking = 0;
    for word in words {
        let is_range = word
            .split_once('-')
            .is_some_and(|(first, last)| is_number(first) && is_number(last));
        match found.last_mut() {
            Some(choice) if lacking > 0 || is_range => {
                choice.push(' ');
                choice.push_str(word);
                lacking -= usize::from(lacking > 0);
            }
            _ => {
                found.push(word.to_owned());
                if word == "random" {
                    // An amount, `of`, and of what.
                    lacking = 3;
                }
            }
        }
    }
    found
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::parse;

    const FILE: &str = "
name: two-groups
seed: 1
phases: { warmup: 4s, settle: 10s }
nodes:
  peers: { count: 20, hashpower: 1, regions: internet-2019 }
  miners: { count: 2, hashpower: 1, regions: europe }
network: { latency: internet-2019 }
ledger: { block_interval: 2s }
";

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn words_of_a_command_line_are_choices() {
        for (line, expected) in [
            ("peers-3 miners", vec!["peers-3", "miners"]),
            ("peers 0-9 miners-1", vec!["peers 0-9", "miners-1"]),
            (
                "random 3 of peers region:europe",
                vec!["random 3 of peers", "region:europe"],
            ),
            (
                "random 10% of peers 0-9, all",
                vec!["random 10% of peers 0-9", "all"],
            ),
            ("peers-1,peers-2", vec!["peers-1", "peers-2"]),
        ] {
            assert_eq!(choices(&words(line)), expected, "{line}");
        }
        assert_eq!(choices(&["peers 0-9".to_owned()]), ["peers 0-9"]);
    }

    #[test]
    fn a_fault_by_hand_is_read_as_one_in_a_file() {
        let topology = parse("x.yaml", FILE).unwrap();
        let fault = AskedFault::Partition {
            sides: vec![choices(&words("region:europe miners")), vec!["rest".into()]],
            one_way: true,
        };
        let FaultKind::Partition { sides, one_way } = fault.resolve(&topology).unwrap() else {
            panic!();
        };
        assert_eq!((sides.len(), sides[0].terms.len(), one_way), (2, 2, true));
        let shape = AskedFault::Shape {
            nodes: vec!["peers".into()],
            rate: Some("1Mbit/s".into()),
            loss: Some("5%".into()),
            delay: None,
            jitter: None,
        };
        let FaultKind::Shape { shape, .. } = shape.resolve(&topology).unwrap() else {
            panic!();
        };
        assert_eq!(shape.rate_bps, Some(1_000_000));
        assert!(shape.loss.is_some() && shape.delay.is_none());
    }

    #[test]
    fn what_is_wrong_with_it_is_told_without_a_place() {
        let topology = parse("x.yaml", FILE).unwrap();
        let kill = |nodes: &str| AskedFault::Down {
            how: Down::Kill,
            nodes: choices(&words(nodes)),
        };
        let shape = AskedFault::Shape {
            nodes: vec!["peers".into()],
            rate: None,
            loss: Some("lots".into()),
            delay: Some("5".into()),
            jitter: None,
        };
        let slow = AskedFault::Slow {
            nodes: vec!["peers".into()],
            cpu: "100%".into(),
        };
        let told: Vec<String> = [
            kill("peers-20"),
            kill("peer"),
            kill("europe"),
            kill("rest"),
            shape,
            slow,
        ]
        .iter()
        .map(|fault| fault.resolve(&topology).unwrap_err().render())
        .collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
