//! Nodes and programs of the host that join a network, and nodes that are removed from it.

use peerlab_core::conduct::Command;
use peerlab_core::error::{Error, Result};
use peerlab_link::NodeId;

use super::{Network, asked_with};
use crate::engine::drive::HandRequest;
use crate::network::request::{Did, Guest};

impl Network {
    /// Some nodes more of a group; they have been started once this is answered.
    pub(super) async fn add(&self, group: &str, count: u32) -> Result<Did> {
        let _turn = self.members.lock().await;
        let permit = self.permit().await?;
        // From here to the order nothing is waited for: whoever asks may be gone at any time, and the run
        // must hear of every number that was given.
        let up = self.view().up();
        let joined = {
            let mut roster = self.roster();
            let present: Vec<NodeId> = roster.present().map(|node| node.id).collect();
            roster.grow(group, count, if up.is_empty() { &present } else { &up })?
        };
        let nodes: Vec<NodeId> = joined.iter().map(|it| it.node).collect();
        let command = Command::Join(joined);
        let asked = asked_with(permit, |answer| HandRequest::Do { command, answer });
        let done = asked.await?;
        let what = format!("join of {}", self.names_of(&nodes));
        Ok(self.did(what, done))
    }

    /// A program of this machine is to come in.
    pub(super) async fn connect(&self) -> Result<Guest> {
        let _turn = self.members.lock().await;
        let way = self.asked(|answer| HandRequest::WayIn { answer }).await??;
        let permit = self.permit().await?;
        // As in `add`: nothing is waited for until the order is given.
        let joined = self.roster().invite()?;
        let (node, name, ip) = (joined.node, joined.name.clone(), joined.link.ip);
        let asked = asked_with(permit, |answer| HandRequest::Invite { joined, answer });
        let secret = asked.await??;
        Ok(Guest {
            node,
            name,
            ip,
            gate: way.gate,
            socket: way.socket,
            secret,
        })
    }

    /// Nodes stop and are removed.
    pub(super) async fn remove(&self, nodes: &[String]) -> Result<Did> {
        let _turn = self.members.lock().await;
        let permit = self.permit().await?;
        let nodes = self.nodes(nodes)?;
        {
            let mut roster = self.roster();
            if roster.present().count() == nodes.len() {
                return Err(Error::input("a network cannot be left without a node")
                    .because("these are all that it has")
                    .hint("`peerlab down` ends it"));
            }
            roster.remove(&nodes);
        }
        let what = format!("removal of {}", self.names_of(&nodes));
        let command = Command::Remove(nodes);
        let asked = asked_with(permit, |answer| HandRequest::Do { command, answer });
        let done = asked.await?;
        Ok(self.did(what, done))
    }
}
