//! From a topology and a seed to a plan. The same two give the same plan, byte for byte, on every
//! machine.

use peerlab_link::{Nanos, Network, NodeId, NodeLink};

use super::arguments::Subject;
use super::discover::discover;
use super::disturb::disturb;
use super::down::Downtime;
use super::launch::{Launcher, known};
use super::lottery::workload;
use super::place::{Placement, address};
use super::spec::{Group, Ledger, Node, Peers, Phase, Plan};
use crate::error::Result;
use crate::ledger::block_count;
use crate::topology::Topology;

/// Draws everything that chance decides.
///
/// # Errors
/// [`crate::error::Kind::Input`], with its place in the file: choices of nodes that cannot be met,
/// partitions whose sides overlap.
pub fn compile(topology: &Topology, seed: u64) -> Result<Plan> {
    let placement = Placement::new(topology, seed);
    let disturbances = disturb(&placement)?;
    let peers = discover(&placement, &disturbances.churns)?;
    let downtime = Downtime::new(&disturbances.outages);
    let nodes = nodes(&placement, seed, peers, &downtime)?;
    let (workload, outputs) = workload(&placement, &nodes, &disturbances.faults, &downtime);
    Ok(Plan {
        version: Plan::VERSION,
        name: topology.name.clone(),
        seed,
        phases: phases(topology),
        groups: topology.groups.iter().map(group).collect(),
        network: network(&placement),
        nodes,
        ledger: Ledger {
            block_interval: topology.ledger.block_interval(),
            premined_blocks: block_count(outputs),
            outputs,
            filler_bytes: topology.ledger.filler_bytes,
        },
        fault_schedule: disturbances.fault_schedule,
        outages: disturbances.outages,
        workload,
        faults: disturbances.faults,
        expect: topology.expect.clone(),
        cpus: None,
        message_work: None,
        block_work_percent: None,
    })
}

/// The phases that last; one of no length is left out.
fn phases(topology: &Topology) -> Vec<Phase> {
    let lengths = [
        ("warmup", topology.phases.warmup),
        ("faults", topology.phases.faults),
        ("settle", topology.phases.settle),
    ];
    let mut start = Nanos::ZERO;
    let mut phases = Vec::new();
    for (name, length) in lengths {
        let end = start.saturating_add(length);
        if length > Nanos::ZERO {
            phases.push(Phase {
                name: name.to_owned(),
                start,
                end,
            });
        }
        start = end;
    }
    phases
}

fn group(group: &crate::topology::Group) -> Group {
    Group {
        name: group.name.clone(),
        image: group.image.clone(),
        command: group.launch.command.clone(),
        probe: group.probe.clone(),
        ready: group.ready,
        cpu_millis: group.cpu_millis,
        memory_bytes: group.memory_bytes,
    }
}

fn nodes(
    placement: &Placement<'_>,
    seed: u64,
    peers: Vec<Peers>,
    downtime: &Downtime,
) -> Result<Vec<Node>> {
    let mut named_by = vec![0u32; placement.count()];
    for node in peers.iter().flat_map(Peers::known) {
        named_by[node.index()] += 1;
    }
    let known = |id: NodeId| {
        known(
            placement.topology,
            placement.group[id.index()],
            &placement.name(id),
            placement.index_in_group(id) as u32,
            id,
            placement.region[id.index()],
        )
    };
    let all = placement.all();
    let mut launcher = Launcher::new(placement.topology, seed, all.iter().copied().map(known));
    let node = |(id, peers): (NodeId, Peers)| {
        let group_index = placement.group[id.index()];
        let group = &placement.topology.groups[group_index as usize];
        let subject = Subject {
            group,
            node: id,
            peers: &peers,
            named_by: named_by[id.index()],
        };
        let own = known(id);
        let (args, launch) = launcher.launch(&subject, &own)?;
        Ok(Node {
            args,
            launch,
            id,
            group: group_index,
            ip: own.ip,
            hash_power: group.hash_power / f64::from(group.count),
            starts_up: downtime.is_up(id, Nanos::ZERO),
            peers,
            name: own.name,
        })
    };
    all.into_iter().zip(peers).map(node).collect()
}

fn network(placement: &Placement<'_>) -> Network {
    let topology = placement.topology;
    let link = |id: NodeId| {
        let group = &topology.groups[placement.group[id.index()] as usize];
        let region = placement.region[id.index()];
        let rates = group.access.rates[region as usize];
        NodeLink {
            ip: address(id),
            region,
            up_bps: rates.up_bps,
            down_bps: rates.down_bps,
            queue_bytes: group.access.queue_bytes,
            loss: group.loss,
        }
    };
    Network {
        seed: placement.chance("network").bits(),
        mtu: topology.network.mtu,
        framing_bytes: topology.network.framing_bytes,
        nodes: placement.all().into_iter().map(link).collect(),
        regions: topology.network.regions.clone(),
        paths: topology.network.paths.clone(),
    }
}
