//! What is asked of single nodes: their methods, programs beside their own, and ways into them.

use std::time::Duration;

use peerlab_core::error::{Error, Result};
use peerlab_core::words;
use peerlab_link::proto::{RAN_BYTES_MAX, Terminal};
use rustix::io::Errno;
use serde_json::Value;

use super::{NODE_HINT, Network};
use crate::engine::drive::MuxStream;
use crate::network::request::RanText;
use crate::probe::{ProbeError, bounded};

/// How long a method of a node may take.
const RPC_TIMEOUT: Duration = Duration::from_secs(60);
/// Shells that images have, the best first.
const SHELLS: [&str; 2] = ["bash", "sh"];
/// What to do about a program that does not run in a node, and a port that takes no connection.
const EXEC_HINT: &str = "a program may take 10 s, and is one of the node's image: our own has no other than \
                         `peerlab-node` (`peerlab rpc` asks that)";
const DIAL_HINT: &str = "which ports does its program listen on, at 127.0.0.1? RPC's is 18443";

impl Network {
    pub(super) async fn rpc(&self, node: &str, method: &str, params: Vec<Value>) -> Result<Value> {
        let id = self.node(node)?;
        let asked = async {
            let mut probe = self.live.dialer.probe(id).await?;
            let methods = probe.methods().ok_or(ProbeError::Unable("a method"))?;
            methods.ask(method, Value::Array(params)).await
        };
        let what = || format!("{node} does not answer `{method}`");
        bounded(RPC_TIMEOUT, asked).await.map_err(|error| {
            let cause = error.to_string();
            match error {
                ProbeError::Refused { .. } => {
                    Error::failed(format!("{node} refuses `{method}`")).because(cause)
                }
                ProbeError::Unable(_) => Error::input(what())
                    .because("its group's probe is no RPC")
                    .hint("give the group `probe: bitcoin-rpc` where its program answers that"),
                ProbeError::Transport(_)
                | ProbeError::Http(_)
                | ProbeError::Failed { .. }
                | ProbeError::Malformed(_)
                | ProbeError::Unmatched(_)
                | ProbeError::Unreadable { .. }
                | ProbeError::TimedOut(_) => Error::environment(what(), cause, NODE_HINT),
            }
        })
    }

    pub(super) async fn exec(&self, node: &str, command: &[String]) -> Result<RanText> {
        let id = self.node(node)?;
        let ran = self.live.dialer.run(id, command).await.map_err(|error| {
            let what = format!("the program does not run in {node}");
            Error::environment(what, error.to_string(), EXEC_HINT)
        })?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(RanText {
            status: ran.status,
            output: text(&ran.output),
            errors: text(&ran.errors),
            cut: ran.output.len().max(ran.errors.len()) >= RAN_BYTES_MAX,
        })
    }

    /// A connection to a port in a node.
    ///
    /// # Errors
    /// When nothing listens there.
    pub async fn dial(&self, node: &str, port: u16) -> Result<MuxStream> {
        let id = self.node(node)?;
        self.live.dialer.dial(id, port).await.map_err(|error| {
            let what = format!("{node} takes no connection at port {port}");
            Error::environment(what, error.to_string(), DIAL_HINT)
        })
    }

    /// A shell in a node.
    ///
    /// # Errors
    /// As bad input, when its image has none; when the node is down, or does not answer.
    pub async fn shell(&self, node: &str, terminal: Option<Terminal>) -> Result<MuxStream> {
        let id = self.node(node)?;
        if !self.view().up().contains(&id) {
            let what = format!("there is no shell in {node} now");
            return Err(Error::environment(what, "it is not up", NODE_HINT));
        }
        let mut refused = String::new();
        for shell in SHELLS {
            match self.live.dialer.talk(id, &[shell], terminal.clone()).await {
                Ok(stream) => return Ok(stream),
                Err(error) if is_absent(&error) => refused = error.to_string(),
                Err(error) => {
                    let what = format!("no shell opens in {node}");
                    return Err(Error::environment(what, error.to_string(), NODE_HINT));
                }
            }
        }
        let looked_for = words::names(&SHELLS.map(str::to_owned));
        Err(Error::input(format!("{node} has no shell"))
            .because(format!(
                "its image was looked through for {looked_for}: {refused}"
            ))
            .hint(format!(
                "`peerlab rpc {node} METHOD` asks its program; our own image holds nothing but that"
            )))
    }
}

/// Whether a node's gate has not found a program: the fabric passes on the words of its error.
fn is_absent(error: &ProbeError) -> bool {
    matches!(error, ProbeError::Transport(why) if *why == Errno::NOENT.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_absent_only_where_the_gate_says_so() {
        let refused = |errno: Errno| ProbeError::Transport(errno.to_string());
        assert!(is_absent(&refused(Errno::NOENT)));
        // Four shells are open; the node has ended; nobody answers.
        assert!(!is_absent(&refused(Errno::AGAIN)));
        assert!(!is_absent(&refused(Errno::CONNREFUSED)));
        assert!(!is_absent(&ProbeError::TimedOut(Duration::from_secs(10))));
    }
}
