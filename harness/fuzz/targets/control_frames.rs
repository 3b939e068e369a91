//! Control frames, of harness, fabric and starter: cut alike in whatever pieces they come, and written as
//! they were read. A network and its changes go on into the link model.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::fmt::Debug;

use peerlab_link::framing::{Deframer, frame};
use peerlab_link::proto::{
    Action, ArchivePiece, FromCapture, FromFabric, Ran, StreamAnswer, StreamOpen, ToFabric,
};
use peerlab_link::starter::{FromStarter, ToStarter};
use peerlab_link::{Change, LinkModel, Nanos, NodeId, Passage};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Nodes of a network between which packets are sent.
const NODES_MAX: u32 = 4;
const PACKET_BYTES: u32 = 1_000;

pub fn check(bytes: &[u8]) -> bool {
    let Some((&kind, bytes)) = bytes.split_first() else {
        return false;
    };
    match kind {
        b'H' => network(read::<ToFabric>(bytes)),
        b'F' => !read::<FromFabric>(bytes).is_empty(),
        b'O' => !read::<StreamOpen>(bytes).is_empty(),
        b'A' => !read::<StreamAnswer>(bytes).is_empty(),
        b'P' => !read::<FromCapture>(bytes).is_empty(),
        b'C' => !read::<ArchivePiece>(bytes).is_empty(),
        b'R' => !read::<Ran>(bytes).is_empty(),
        b'S' => !read::<ToStarter>(bytes).is_empty(),
        _ => !read::<FromStarter>(bytes).is_empty(),
    }
}

fn read<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Vec<T> {
    let whole = messages::<T>(bytes, bytes.len());
    assert_eq!(whole, messages(bytes, 3), "in pieces");
    for message in &whole {
        let again = messages::<T>(&frame(message), usize::MAX);
        assert_eq!(std::slice::from_ref(message), again, "written and read");
    }
    whole
}

/// The messages of a stream that comes in such pieces, up to what is none.
fn messages<T: DeserializeOwned>(bytes: &[u8], piece: usize) -> Vec<T> {
    let mut deframer = Deframer::new();
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        deframer.push(piece);
        loop {
            match deframer.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return messages,
            }
        }
    }
    messages
}

/// What the harness says of the network, as the fabric carries it out; whether there is one.
fn network(messages: Vec<ToFabric>) -> bool {
    let mut model = None;
    let mut now = Nanos::ZERO;
    for message in messages {
        match (message, &mut model) {
            (ToFabric::Setup { network, .. }, model) => {
                let nodes = (network.nodes.len() as u32).min(NODES_MAX);
                *model = LinkModel::new(&network).ok().map(|model| (model, nodes));
            }
            (ToFabric::Go { schedule, .. }, Some((model, nodes))) => {
                for timed in schedule {
                    now = now.max(timed.at);
                    change(model, *nodes, now, &timed.action);
                }
            }
            (ToFabric::Apply { action, .. }, Some((model, nodes))) => {
                change(model, *nodes, now, &action);
            }
            _ => {}
        }
    }
    model.is_some()
}

fn change(model: &mut LinkModel, nodes: u32, now: Nanos, action: &Action) {
    let change: &Change = match action {
        Action::Link(change) => change,
        Action::Process { .. } => return,
    };
    let pairs = || (0..nodes).flat_map(|a| (0..nodes).map(move |b| (NodeId(a), NodeId(b))));
    let mut sent: Vec<(NodeId, NodeId, Passage)> = Vec::new();
    for (src, dst) in pairs() {
        if let Ok(passage) = model.send(now, src, dst, PACKET_BYTES) {
            assert!(passage.at >= now && passage.left >= now, "{passage:?}");
            sent.push((src, dst, passage));
        }
    }
    let Ok(retiming) = model.apply(now, change) else {
        return;
    };
    for (src, dst, passage) in sent {
        let passage = match retiming.is_empty() {
            true => passage,
            false => model.retime_sent(&retiming, src, dst, passage),
        };
        assert!(passage.at >= now, "{passage:?}");
    }
}

peerlab_fuzz::target!();
