//! Packets of nodes, written into the record by hand.

use peerlab_core::error::Result;
use peerlab_core::words;
use peerlab_link::Nanos;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::Network;
use crate::disk::CaptureFolder;
use crate::network::request::{Did, Reply};

impl Network {
    /// Writes packets into the record. What came until then stays where whoever asked goes.
    pub(super) async fn capture(
        &self,
        nodes: &[String],
        lasts: Nanos,
        progress: &mpsc::Sender<Reply>,
    ) -> Result<Did> {
        let nodes = self.nodes(nodes)?;
        let folder = CaptureFolder::next_in(&self.dir, self.roster().all(), &nodes)?;
        let _under_way = self.captures.one_more();
        let stream = self.live.dialer.capture(folder.nodes()).await?;
        let files = folder.begin(self.live.unix_nanos)?;
        let what = format!("capturing for {}", words::duration(lasts));
        let _ = progress.send(Reply::Progress(what)).await;
        let enough = async {
            tokio::select! {
                () = sleep(lasts.into()) => {}
                () = self.captures.are_to_end() => {}
            }
        };
        let sums = stream.write(files, enough).await?;
        Ok(Did {
            what: sums.text(),
            ..Did::default()
        })
    }
}
