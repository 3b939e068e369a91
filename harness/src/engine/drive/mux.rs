//! The one byte stream to the fabric, carrying many streams (yamux, as the client).

use std::io;
use std::task::{Context, Poll};

use peerlab_link::framing::frame;
use peerlab_link::proto::{STREAM_MESSAGE_BYTES_MAX, STREAMS_MAX, decode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};

use crate::engine::ByteStream;

/// Requests for a stream that may wait.
const OPEN_QUEUE: usize = 256;

/// One stream within the connection.
pub type MuxStream = Compat<yamux::Stream>;

type Opened = oneshot::Sender<io::Result<MuxStream>>;

/// Opens streams. Clones share the connection; it closes when the last is dropped or
/// [`Mux::close`] is called.
#[derive(Clone, Debug)]
pub struct Mux {
    open: mpsc::Sender<Opened>,
    driver: AbortHandle,
}

impl Mux {
    /// Starts the multiplexer on a stream.
    pub fn start(stream: ByteStream) -> Mux {
        let mut config = yamux::Config::default();
        // Windows grow with what the harness reads; the other end is our own fabric.
        config.set_max_connection_receive_window(None);
        config.set_max_num_streams(STREAMS_MAX);
        let connection = yamux::Connection::new(stream.compat(), config, yamux::Mode::Client);
        let (open, requests) = mpsc::channel(OPEN_QUEUE);
        let driver = tokio::spawn(drive(connection, requests)).abort_handle();
        Mux { open, driver }
    }

    /// A new stream.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn open(&self) -> io::Result<MuxStream> {
        let (opened, answer) = oneshot::channel();
        let ended = || io::Error::new(io::ErrorKind::BrokenPipe, "the fabric has ended");
        self.open.send(opened).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Closes the byte stream now, whoever still holds a stream within it.
    pub fn close(&self) {
        self.driver.abort();
    }
}

/// Moves bytes until the connection ends or nobody can open streams any more.
async fn drive(
    mut connection: yamux::Connection<Compat<ByteStream>>,
    mut requests: mpsc::Receiver<Opened>,
) {
    let mut waiting: Option<Opened> = None;
    std::future::poll_fn(|cx: &mut Context<'_>| {
        loop {
            if waiting.is_none() {
                match requests.poll_recv(cx) {
                    Poll::Ready(Some(request)) => waiting = Some(request),
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            if waiting.is_some()
                && let Poll::Ready(stream) = connection.poll_new_outbound(cx)
            {
                let ended = stream.is_err();
                if let Some(opened) = waiting.take() {
                    // Whoever asked may have given up; the stream is dropped then.
                    let _ = opened.send(stream.map(|s| s.compat()).map_err(io::Error::other));
                }
                if ended {
                    return Poll::Ready(());
                }
                continue;
            }
            match connection.poll_next_inbound(cx) {
                // The fabric opens none; a stream from it is dropped, which resets it.
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!("connection to the fabric: {error}");
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

/// Writes one length-prefixed message.
///
/// # Errors
/// When the stream is broken.
pub async fn write_message<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &T,
) -> io::Result<()> {
    stream.write_all(&frame(message)).await?;
    stream.flush().await
}

/// Reads one length-prefixed message; `None` at the end of the stream.
///
/// # Errors
/// When the stream is broken, or holds something else.
pub async fn read_message<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let length = u32::from_le_bytes(length) as usize;
    if length > STREAM_MESSAGE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("message of {length} bytes is too long"),
        ));
    }
    let mut body = Vec::new();
    let read = stream.take(length as u64).read_to_end(&mut body).await?;
    if read < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let message = decode(&body).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok(Some(message))
}
