//! A further stream of the harness that is a connection into a node's namespace, or the output of a
//! program that is run there, carried as it is.

use peerlab_link::proto::StreamAnswer;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_util::compat::FuturesAsyncReadCompatExt;
use yamux::Stream;

use super::gate_table::Dialed;
use super::opening::{answer, refuse};

/// Bytes read from either side at once.
const COPY_BYTES: usize = 16 << 10;

/// Serves a stream to its end, of which `early` was read already. Whatever goes wrong ends this stream
/// only.
pub(super) async fn serve(mut stream: Stream, dialed: Dialed, early: &[u8]) {
    match connect(dialed) {
        Ok(connection) => {
            if answer(&mut stream, &StreamAnswer::Open).await {
                carry(stream, connection, early).await;
            }
        }
        Err(reason) => refuse(stream, reason).await,
    }
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
