//! The programs of the simulated nodes: our node's library, told by the same command line that
//! the daemon gets, with the pre-mined chain on a disk that all share.

use peerlab_core::error::hint;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use peerlab_link::{Nanos, NodeId};
use peerlab_node::Machine;
use peerlab_node::chain::CachedChain;
use peerlab_node::chain::block_file::BlockFileReader;
use peerlab_node::options::{self, Request, Settings};
use peerlab_node::time::Time;

use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::experiment::{Image, Probe};
use peerlab_core::ledger::Premined;
use peerlab_core::plan::Plan;
use peerlab_core::plan::chance::Chance;

/// Wall clock at `go` in every simulation, seconds since the Unix epoch: the first of 2026. Later
/// than every block of the pre-mined chain.
pub const EPOCH_SECS: u32 = 1_767_225_600;

/// What the nodes of a plan run, and what they all share.
pub struct Programs {
    nodes: Vec<Program>,
    /// Who has an address.
    pub(super) addresses: BTreeMap<Ipv4Addr, NodeId>,
    /// The chain that every node starts from.
    pub(super) premined: Arc<Premined>,
    /// What every block weighs more on the wire.
    pub(super) filler_bytes: u32,
    /// How many CPUs all programs share, if they do.
    pub(super) cpus: Option<u16>,
    /// What is computed for one message on shared CPUs, if the plan says.
    pub(super) message_work: Option<Nanos>,
    /// What blocks take, of the usual, percent, if the plan says.
    pub(super) block_work_percent: Option<u32>,
}

struct Program {
    settings: Settings,
    ip: Ipv4Addr,
    seed: u64,
}

/// The pre-mined chain, loaded; to be forked for each node that shares what chains have in common.
///
/// # Errors
/// When the chain is none.
pub fn load(premined: &Premined) -> Result<CachedChain> {
    let mut chain = CachedChain::new(&Default::default());
    let blocks = BlockFileReader::new(Cursor::new(&premined.file));
    chain
        .import(EPOCH_SECS, blocks)
        .or_environment(|| "cannot load the pre-mined chain".into(), hint::BUG)?;
    Ok(chain)
}

impl Programs {
    /// Reads every node's command line.
    ///
    /// # Errors
    /// Where a node is not ours, or would not understand its command line.
    pub fn new(plan: &Plan, premined: Arc<Premined>) -> Result<Programs> {
        let nodes = plan.nodes.iter().map(|node| {
            let group = &plan.groups[node.group as usize];
            if group.image != Image::Peerlab {
                return Err(Error::input(format!(
                    "group {} runs an image, and the simulator runs our own node only",
                    group.name
                ))
                .hint("take --engine docker or --engine local for it"));
            }
            if !node.launch.is_usual() {
                return Err(Error::input(format!(
                    "group {} starts its program in its own way, and the simulator starts none",
                    group.name
                ))
                .because("it has an entrypoint, variables, files, a user or a working directory")
                .hint("take --engine docker or --engine local for it"));
            }
            match group.probe {
                Probe::BitcoinRpc { .. } => {}
                Probe::Exec { .. } => {
                    return Err(Error::input(format!(
                        "group {} is asked by a program, and the simulator runs none",
                        group.name
                    ))
                    .hint("take --engine docker or --engine local for it"));
                }
                Probe::Tcp { .. } | Probe::Http(_) | Probe::Log { .. } | Probe::File { .. } => {
                    return Err(Error::input(format!(
                        "group {} is asked by `{}`, which the simulator's nodes do not answer",
                        group.name,
                        group.probe.word()
                    ))
                    .hint("take --engine docker or --engine local for it"));
                }
            }
            let settings = settings(&node.args)
                .map_err(|error| error.because(format!("command line of {}", node.name)))?;
            let seed = Chance::new(plan.seed, &format!("node/{}", node.id)).bits();
            Ok(Program {
                ip: node.ip,
                seed,
                settings,
            })
        });
        Ok(Programs {
            nodes: nodes.collect::<Result<_>>()?,
            addresses: plan.nodes.iter().map(|node| (node.ip, node.id)).collect(),
            premined,
            filler_bytes: plan.ledger.filler_bytes,
            cpus: plan.cpus,
            message_work: plan.message_work,
            block_work_percent: plan.block_work_percent,
        })
    }

    /// Starts a node's program.
    pub fn start(&self, node: NodeId, life: u32, disk: CachedChain, now: Time) -> Machine {
        let program = &self.nodes[node.index()];
        let seed = program
            .seed
            .wrapping_add(u64::from(life).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        program.settings.machine(disk, seed, now)
    }

    /// The machine's time at an instant of the run.
    pub fn time(&self, now: Nanos) -> Time {
        Time(Time::from_unix_secs(EPOCH_SECS).0 + now.0)
    }

    /// The instant of the run at a time of the machine.
    pub fn instant(&self, time: Time) -> Nanos {
        Nanos(time.0.saturating_sub(Time::from_unix_secs(EPOCH_SECS).0))
    }

    /// A node's address.
    pub fn address(&self, node: NodeId) -> Ipv4Addr {
        self.nodes[node.index()].ip
    }
}

fn settings(args: &[String]) -> Result<Settings> {
    match options::parse(args.iter().cloned(), Some(PathBuf::from("/"))) {
        Ok(Request::Run(settings)) => Ok(*settings),
        Ok(Request::Print(_) | Request::Ask { .. }) => {
            Err(Error::input("a node was asked to print, not to run"))
        }
        Err(failure) => Err(Error::input(failure.to_string())),
    }
}
