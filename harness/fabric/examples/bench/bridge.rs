//! The thing compared with: two namespaces, each with a veth pair to one Linux bridge.

use std::process::Command;

use crate::support::node::Node;

/// A bridge in a namespace of its own, and two nodes on it.
pub(crate) struct Bridge {
    pub(crate) nodes: [Node; 2],
    _bridge: Node,
}

impl Bridge {
    /// Makes it, with the `ip` command.
    pub(crate) fn new() -> Bridge {
        let bridge = Node::bare([10, 1, 0, 254].into());
        bridge.run(|| {
            ip("link add bridge0 type bridge");
            ip("link set bridge0 up");
        });
        let nodes = [1u8, 2].map(|n| {
            let node = Node::bare([10, 1, 0, n].into());
            let thread = node.run(|| rustix::thread::gettid().as_raw_nonzero());
            bridge.run(move || {
                let peer = format!("peer name eth0 netns {thread}");
                ip(&format!("link add port{n} type veth {peer}"));
                ip(&format!("link set port{n} master bridge0 up"));
            });
            node.run(move || {
                ip(&format!("address add 10.1.0.{n}/16 dev eth0"));
                ip("link set eth0 up");
            });
            node
        });
        Bridge {
            nodes,
            _bridge: bridge,
        }
    }
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    let status = status.expect("the ip command (iproute2) is needed");
    assert!(status.success(), "ip {arguments}: {status}");
}
