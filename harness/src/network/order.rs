//! What one key of a screen, or one button of a page, asks of a network.

use peerlab_core::error::{Error, Result};
use peerlab_core::experiment::Down;
use peerlab_core::topology::by_hand::AskedFault;
use peerlab_core::view::{NodeRow, NodeState, Snapshot};
use serde::{Deserialize, Serialize};

use super::client::{ask, unexpected};
use super::did_text::did_text;
use super::request::{Reply, Request};

/// See the module. Nodes are named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// One half of the nodes parts from the other.
    Partition,
    /// Links and processor time are as they were.
    Heal,
    Kill(String),
    Freeze(String),
    Start(String),
    /// A block, by this node.
    Mine(String),
}

impl Order {
    /// The same as a request to a network of these nodes.
    ///
    /// # Errors
    /// When a single node is to be split in halves.
    pub fn request(self, nodes: &[NodeRow]) -> Result<Request> {
        let down = |how, node| Request::Fault {
            fault: AskedFault::Down {
                how,
                nodes: vec![node],
            },
            lasts: None,
        };
        Ok(match self {
            Order::Partition => Request::Fault {
                fault: AskedFault::Partition {
                    sides: vec![half(nodes)?, vec!["rest".into()]],
                    one_way: false,
                },
                lasts: None,
            },
            Order::Heal => Request::Heal { all: false },
            Order::Kill(node) => down(Down::Kill, node),
            Order::Freeze(node) => down(Down::Freeze, node),
            Order::Start(node) => Request::Start { nodes: vec![node] },
            Order::Mine(node) => Request::Mine {
                count: 1,
                by: Some(node),
            },
        })
    }
}

/// The first half of the nodes. Those that were removed are nobody's side, and guests come and go.
fn half(nodes: &[NodeRow]) -> Result<Vec<String>> {
    let is_there = |row: &&NodeRow| !matches!(row.state, NodeState::Removed | NodeState::Guest);
    let nodes: Vec<&NodeRow> = nodes.iter().filter(is_there).collect();
    if nodes.len() < 2 {
        return Err(
            Error::input("the network cannot be split in halves").because("it has one node")
        );
    }
    let half = nodes.iter().take(nodes.len() / 2);
    Ok(half.map(|row| row.node.clone()).collect())
}

/// Has an order carried out, and tells what came of it.
pub async fn have_done(network: &str, order: Order, nodes: &[NodeRow]) -> String {
    let asked = async { ask(Some(network), order.request(nodes)?).await };
    match asked.await {
        Ok(Reply::Did(did)) => did_text(&did),
        Ok(other) => unexpected(&other).in_short(),
        Err(error) => error.in_short(),
    }
}

/// A network as it is now.
///
/// # Errors
/// When there is no such network any more.
pub async fn snapshot(network: &str) -> Result<Snapshot> {
    match ask(Some(network), Request::Snapshot).await? {
        Reply::Snapshot(snapshot) => Ok(*snapshot),
        other => Err(unexpected(&other)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn nodes(count: usize) -> Vec<NodeRow> {
        let named = (0..count).map(|number| format!("peers-{number}"));
        let row = |name| NodeRow {
            state: NodeState::Up,
            ..NodeRow::new(name, Ipv4Addr::LOCALHOST, String::new())
        };
        named.map(row).collect()
    }

    fn sides(nodes: &[NodeRow]) -> Vec<Vec<String>> {
        let Ok(Request::Fault { fault, lasts: None }) = Order::Partition.request(nodes) else {
            panic!();
        };
        let AskedFault::Partition { sides, one_way } = fault else {
            panic!();
        };
        assert!(!one_way);
        sides
    }

    #[test]
    fn a_partition_is_of_the_first_half_from_the_rest() {
        let mut nodes = nodes(5);
        assert_eq!(sides(&nodes), [&["peers-0", "peers-1"][..], &["rest"]]);
        nodes[0].state = NodeState::Removed;
        assert_eq!(sides(&nodes), [&["peers-1", "peers-2"][..], &["rest"]]);
        nodes[2].state = NodeState::Guest;
        assert_eq!(sides(&nodes), [&["peers-1"][..], &["rest"]]);
        Order::Partition.request(&nodes[..2]).unwrap_err();
    }

    #[test]
    fn an_order_is_read_from_a_word_or_a_word_and_a_node() {
        let read = |text| serde_json::from_str::<Order>(text).ok();
        assert_eq!(read(r#""heal""#), Some(Order::Heal));
        assert_eq!(
            read(r#"{"kill":"peers-3"}"#),
            Some(Order::Kill("peers-3".into()))
        );
        for text in [
            r#""kill""#,
            r#""down""#,
            r#"{"kill":["a"]}"#,
            r#"{"kill":"a","x":1}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
