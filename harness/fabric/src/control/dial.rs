//! A further stream of the harness: a connection into a node's namespace, or the output of a
//! program that is run there, carried as it is.

use futures::{AsyncReadExt, AsyncWriteExt};
use peerlab_link::framing::{Deframer, frame};
use peerlab_link::proto::{StreamAnswer, StreamOpen, ToGate};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_util::compat::FuturesAsyncReadCompatExt;
use yamux::Stream;

use super::gate_table::{Dialed, GateTable};

/// Bytes read from either side at once.
const COPY_BYTES: usize = 16 << 10;

/// Serves a stream to its end. Whatever goes wrong ends this stream only.
pub(super) async fn serve(mut stream: Stream, gates: &GateTable) {
    let Some((open, early)) = opening(&mut stream).await else {
        return;
    };
    let dialed = match open {
        StreamOpen::Dial { node, port } => gates.dial(node, |id| ToGate::Dial { id, port }).await,
        StreamOpen::Run { node, command } => {
            gates.dial(node, |id| ToGate::Run { id, command }).await
        }
    };
    match connect(dialed) {
        Ok(connection) => {
            if answer(&mut stream, &StreamAnswer::Open).await {
                carry(stream, connection, &early).await;
            }
        }
        Err(reason) => {
            if answer(&mut stream, &StreamAnswer::Refused(reason)).await {
                let _ = stream.close().await;
            }
        }
    }
}

/// The first message, and what was read after it.
async fn opening(stream: &mut Stream) -> Option<(StreamOpen, Vec<u8>)> {
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

async fn answer(stream: &mut Stream, answer: &StreamAnswer) -> bool {
    let sent = stream.write_all(&frame(answer)).await;
    sent.is_ok() && stream.flush().await.is_ok()
}

/// Makes a connection of the socket that the gate passed, of whatever family.
fn connect(dialed: Dialed) -> Result<TcpStream, String> {
    let socket = std::net::TcpStream::from(dialed?);
    let ready = socket.set_nonblocking(true);
    let connection = ready.and_then(|()| TcpStream::from_std(socket));
    let connection = connection.map_err(|e| format!("the gate passed no connection: {e}"))?;
    // Requests are small and waited for. Where it is refused they are slower.
    let _ = connection.set_nodelay(true);
    Ok(connection)
}

/// Copies both ways until both sides have ended; each side's own window holds the other back.
async fn carry(stream: Stream, mut connection: TcpStream, early: &[u8]) {
    if connection.write_all(early).await.is_err() {
        return;
    }
    let mut stream = stream.compat();
    let copy = tokio::io::copy_bidirectional_with_sizes(
        &mut stream,
        &mut connection,
        COPY_BYTES,
        COPY_BYTES,
    );
    // A broken connection drops the stream, which resets it for the harness.
    let _ = copy.await;
}
