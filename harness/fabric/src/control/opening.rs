//! How a further stream of the harness begins: what it is to be, and whether it is.

use futures::{AsyncReadExt, AsyncWriteExt};
use peerlab_link::framing::{Deframer, frame};
use peerlab_link::proto::{StreamAnswer, StreamOpen};
use yamux::Stream;

/// The first message, and what was read after it.
pub(super) async fn read(stream: &mut Stream) -> Option<(StreamOpen, Vec<u8>)> {
    let mut deframer = Deframer::new();
    let mut bytes = [0u8; 256];
    loop {
        let length = stream.read(&mut bytes).await.ok()?;
        if length == 0 {
            return None;
        }
        deframer.push(&bytes[..length]);
        if let Some(open) = deframer.next_message().ok()? {
            return Some((open, deframer.into_rest()));
        }
    }
}

/// Says what the stream is; whether that could be said.
pub(super) async fn answer(stream: &mut Stream, answer: &StreamAnswer) -> bool {
    let sent = stream.write_all(&frame(answer)).await;
    sent.is_ok() && stream.flush().await.is_ok()
}

/// Says why there is nothing.
pub(super) async fn refuse(mut stream: Stream, reason: String) {
    if answer(&mut stream, &StreamAnswer::Refused(reason)).await {
        let _ = stream.close().await;
    }
}
