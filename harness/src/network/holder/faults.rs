//! Faults that begin and end by hand, and nodes that come back.

use peerlab_core::conduct::Command;
use peerlab_core::error::Result;
use peerlab_core::experiment::FaultKind;
use peerlab_core::topology::by_hand::AskedFault;
use peerlab_core::words;
use peerlab_link::{Nanos, NodeId};

use super::Network;
use crate::network::request::Did;

impl Network {
    pub(super) async fn fault(&self, fault: &AskedFault, lasts: Option<Nanos>) -> Result<Did> {
        let kind = self.roster().fault(fault)?;
        let what = self.label(&kind);
        let done = self.command(Command::Fault { kind, lasts }).await?;
        if let Some(lasts) = lasts {
            let mut view = self.view();
            done.faults.iter().for_each(|it| view.lasts(*it, lasts));
        }
        let for_long = lasts.map(|lasts| format!(" for {}", words::duration(lasts)));
        Ok(self.did(format!("{what}{}", for_long.unwrap_or_default()), done))
    }

    fn label(&self, kind: &FaultKind<Vec<NodeId>>) -> String {
        kind.label(|nodes| self.names_of(nodes))
    }

    pub(super) async fn heal(&self, all: bool) -> Result<Did> {
        let done = self.command(Command::Heal { all }).await?;
        let what = match done.faults.len() as u64 {
            0 => "nothing was in force".into(),
            count => format!("{} ended", words::count(count, "fault")),
        };
        Ok(self.did(what, done))
    }

    pub(super) async fn start(&self, nodes: &[String]) -> Result<Did> {
        let nodes = self.nodes(nodes)?;
        let what = self.names_of(&nodes);
        let done = self.command(Command::Start(nodes)).await?;
        Ok(self.did(format!("start of {what}"), done))
    }
}
