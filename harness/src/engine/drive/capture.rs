//! A capture: the fabric's stream of packets, and a task that writes them down.

use std::time::Duration;

use peerlab_link::NodeId;
use peerlab_link::proto::{FromCapture, StreamAnswer, StreamOpen};
use tokio::io::{AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::mux::{Mux, MuxStream, read_message, write_message};
use crate::disk::{CAPTURE_BYTES_MAX, CaptureFiles, CaptureFolder, CaptureSums};
use crate::engine::hint;
use peerlab_core::error::hint::BUG;
use peerlab_core::error::{Error, Explain as _, Result};

/// How long the fabric may take to begin.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last packets may take to come: as many as wait in the fabric, through a slow engine.
const LAST_PACKETS_TIMEOUT: Duration = Duration::from_secs(60);
/// What went wrong, whatever it was.
const BROKEN: &str = "the capture broke off";

/// The packets of nodes, which are being captured.
#[derive(Debug)]
pub struct CaptureStream(MuxStream);

impl CaptureStream {
    /// Has the fabric capture from now on.
    ///
    /// # Errors
    /// When it does not.
    pub async fn open(mux: &Mux, nodes: Vec<NodeId>) -> Result<CaptureStream> {
        let open = async {
            let mut stream = mux.open().await?;
            let bytes_max = CAPTURE_BYTES_MAX;
            write_message(&mut stream, &StreamOpen::Capture { nodes, bytes_max }).await?;
            match read_message(&mut stream).await? {
                Some(StreamAnswer::Open) => Ok(stream),
                Some(StreamAnswer::Refused(reason)) => Err(std::io::Error::other(reason)),
                None => Err(std::io::ErrorKind::UnexpectedEof.into()),
            }
        };
        let opened = timeout(OPEN_TIMEOUT, open).await;
        let opened = opened.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let stream = opened.or_environment(|| "cannot capture".into(), hint::FABRIC)?;
        Ok(CaptureStream(stream))
    }

    /// Writes its packets down until it is `enough`, and all that were captured by then.
    ///
    /// # Errors
    /// When they cannot be written, or the network ends before.
    pub async fn write(
        self,
        files: CaptureFiles,
        enough: impl Future<Output = ()>,
    ) -> Result<CaptureSums> {
        let (read, mut write) = tokio::io::split(self.0);
        let closing = async {
            enough.await;
            // Where that fails the reading end says so.
            let _ = write.shutdown().await;
            tokio::time::sleep(LAST_PACKETS_TIMEOUT).await;
        };
        tokio::select! {
            written = write_all(BufReader::new(read), files) => written,
            () = closing => {
                let cause = format!("its end did not come within {} s", LAST_PACKETS_TIMEOUT.as_secs());
                Err(Error::environment(BROKEN, cause, hint::FABRIC))
            }
        }
    }
}

async fn write_all(
    mut read: impl AsyncRead + Unpin,
    mut files: CaptureFiles,
) -> Result<CaptureSums> {
    loop {
        let message = read_message(&mut read).await;
        match message.or_environment(|| BROKEN.into(), hint::FABRIC)? {
            Some(FromCapture::Packet(packet)) => files.take(&packet)?,
            Some(FromCapture::End { left_out }) => return files.finish(&left_out),
            None => {
                let cause = "the network ended before it";
                return Err(Error::environment(BROKEN, cause, hint::FABRIC));
            }
        }
    }
}

/// A capture that is written down beside a run.
pub struct Capturing {
    enough: CancellationToken,
    writing: AbortOnDropHandle<Result<CaptureSums>>,
}

impl Capturing {
    /// Begins to write.
    ///
    /// # Errors
    /// When there can be no files.
    pub fn begin(
        stream: CaptureStream,
        folder: CaptureFolder,
        unix_nanos: u64,
    ) -> Result<Capturing> {
        let files = folder.begin(unix_nanos)?;
        let enough = CancellationToken::new();
        let until = enough.clone().cancelled_owned();
        let writing = AbortOnDropHandle::new(tokio::spawn(stream.write(files, until)));
        Ok(Capturing { enough, writing })
    }

    /// Ends it, and says what it came to.
    ///
    /// # Errors
    /// When something could not be written.
    pub async fn end(self) -> Result<CaptureSums> {
        self.enough.cancel();
        let written = self.writing.await;
        written.or_environment(|| BROKEN.into(), BUG)?
    }
}
