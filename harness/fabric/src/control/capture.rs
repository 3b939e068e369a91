//! A further stream of the harness that is a capture: carries the packets that the forwarding thread takes,
//! until the harness has enough.

use futures::{AsyncReadExt, AsyncWriteExt};
use peerlab_link::NodeId;
use peerlab_link::framing::frame_into;
use peerlab_link::proto::{CapturedPacket, FromCapture, StreamAnswer};
use yamux::Stream;

use super::gates::Gates;
use super::opening::{answer, refuse};
use crate::forward::{Capture, Command, Taken};

/// Captures at once: each costs the forwarding thread a copy of a packet.
const CAPTURES_MAX: usize = 8;
/// Packets are written together up to this many bytes.
const WRITE_BYTES: usize = 256 << 10;

/// Serves a stream to its end. Whatever goes wrong ends this stream only.
pub(super) async fn serve(mut stream: Stream, gates: &Gates, nodes: Vec<NodeId>, bytes_max: u64) {
    if nodes.iter().any(|node| node.index() >= gates.node_count()) {
        return refuse(stream, "there is no such node".into()).await;
    }
    let Some(_slot) = gates.begin_capture(CAPTURES_MAX) else {
        let reason = format!("{CAPTURES_MAX} captures are under way already");
        return refuse(stream, reason).await;
    };
    let (capture, taken) = Capture::new(&nodes, gates.node_count(), bytes_max);
    gates.ask(Command::Capture(capture));
    if answer(&mut stream, &StreamAnswer::Open).await {
        // A broken connection drops the stream, which resets it for the harness.
        let _ = carry(stream, taken).await;
    }
}

async fn carry(stream: Stream, mut taken: Taken) -> std::io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    let mut bytes = Vec::new();
    let mut byte = [0];
    let mut wanted = true;
    loop {
        let packet = tokio::select! {
            biased;
            // It says nothing, but closes its half.
            _ = reader.read(&mut byte), if wanted => {
                wanted = false;
                taken.close();
                continue;
            }
            packet = taken.next() => packet,
        };
        let Some(packet) = packet else {
            break;
        };
        let held = write_together(packet, &mut taken, &mut bytes);
        writer.write_all(&bytes).await?;
        writer.flush().await?;
        taken.release(held);
    }
    bytes.clear();
    let left_out = taken.left_out();
    frame_into(&FromCapture::End { left_out }, &mut bytes);
    writer.write_all(&bytes).await?;
    writer.close().await
}

/// Frames a packet, and those that wait behind it; how many bytes of packets these are.
fn write_together(first: CapturedPacket, taken: &mut Taken, bytes: &mut Vec<u8>) -> usize {
    bytes.clear();
    let mut held = 0;
    let mut next = Some(first);
    while let Some(packet) = next {
        held += Taken::cost(&packet);
        frame_into(&FromCapture::Packet(packet), bytes);
        next = (bytes.len() < WRITE_BYTES)
            .then(|| taken.try_next())
            .flatten();
    }
    held
}
