//! What nodes send: reads of their devices, into the fabric's switch and through the link model, whose
//! links change meanwhile. Every packet is delivered to whom it is for, or dropped and counted.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::net::Ipv4Addr;

use arbitrary::{Result, Unstructured};
use peerlab_fabric::fuzz::Story;
use peerlab_link::proto::decode;
use peerlab_link::{Loss, Nanos, Network, NodeLink, PathDelay};

const NODES: u32 = 3;
/// Little, so that it is used up now and then.
const HELD_BYTES_MAX: usize = 256 << 10;
/// Bytes that stand before a packet in a read, and the packet's own that are put right.
const VIRTIO_BYTES: usize = 10;
const IPV4_BYTES: usize = 20;
/// Longest read.
const READ_BYTES_MAX: usize = 65_545;

pub fn check(bytes: &[u8]) -> bool {
    story(&mut Unstructured::new(bytes)).is_ok_and(|delivered| delivered > 0)
}

/// Gives how many packets were delivered.
fn story(draw: &mut Unstructured<'_>) -> Result<usize> {
    let Some(mut story) = Story::begin(&network(draw)?, HELD_BYTES_MAX) else {
        return Ok(0);
    };
    while !draw.is_empty() {
        match draw.arbitrary::<u8>()? % 8 {
            0 => story.send(draw.int_in_range(0..=NODES - 1)?, piece(draw)?),
            1..=4 => send_near(&mut story, draw)?,
            5 => story.wait_until(
                story
                    .now()
                    .saturating_add(Nanos(draw.arbitrary::<u32>()?.into())),
            ),
            6 => story.wait_until(story.now().saturating_add(Nanos(draw.arbitrary()?))),
            _ => {
                if let Ok(change) = decode(piece(draw)?) {
                    // What cannot be is refused.
                    let _ = story.try_change(&change);
                }
            }
        }
    }
    story.wait_until(Nanos(u64::MAX));
    story.assert_conserved();
    let written = story.written();
    for (_, node, read) in written {
        let packet = &read[VIRTIO_BYTES..];
        assert_eq!(packet[16..20], address(node.0).octets(), "for another");
        assert!((0..NODES).any(|node| packet[12..16] == address(node).octets()));
    }
    Ok(written.len())
}

/// Bytes with their length before them.
fn piece<'a>(draw: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    let length = usize::from(draw.arbitrary::<u16>()?).min(draw.len());
    draw.bytes(length)
}

/// A read whose packet has a version and addresses that lead somewhere.
fn send_near(story: &mut Story, draw: &mut Unstructured<'_>) -> Result<()> {
    let (from, to) = (
        draw.int_in_range(0..=NODES - 1)?,
        draw.int_in_range(0..=NODES - 1)?,
    );
    let mut read = piece(draw)?.to_vec();
    read.truncate(READ_BYTES_MAX);
    if read.len() >= VIRTIO_BYTES + IPV4_BYTES {
        let packet = &mut read[VIRTIO_BYTES..];
        packet[0] = 0x40 | packet[0] & 0x0f;
        packet[12..16].copy_from_slice(&address(from).octets());
        packet[16..20].copy_from_slice(&address(to).octets());
    }
    story.send(from, &read);
    Ok(())
}

fn address(node: u32) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, node as u8 + 1)
}

fn network(draw: &mut Unstructured<'_>) -> Result<Network> {
    let mut nodes = Vec::new();
    for node in 0..NODES {
        nodes.push(NodeLink {
            ip: address(node),
            region: 0,
            up_bps: draw.arbitrary::<Option<u32>>()?.map(u64::from),
            down_bps: draw.arbitrary::<Option<u32>>()?.map(u64::from),
            queue_bytes: draw.arbitrary::<u16>()?.into(),
            loss: match draw.arbitrary::<u8>()? % 4 {
                0 => Loss::Bernoulli {
                    chance: draw.arbitrary()?,
                },
                _ => Loss::None,
            },
        });
    }
    Ok(Network {
        seed: 3,
        mtu: 1_500,
        framing_bytes: 38,
        nodes,
        regions: vec!["here".into()],
        paths: vec![vec![PathDelay {
            base: Nanos(draw.arbitrary::<u32>()?.into()),
            jitter: Nanos(draw.arbitrary::<u16>()?.into()),
        }]],
    })
}

peerlab_fuzz::target!();
