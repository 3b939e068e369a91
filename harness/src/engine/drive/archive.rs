//! What nodes have written: out of them, and into those of a network that comes up anew. What an archive holds is
//! the gate's affair, and where it is kept the disk's.

use std::io::{self, Read};
use std::time::Duration;

use peerlab_link::proto::{ARCHIVE_PIECE_BYTES_MAX, ArchivePiece, Archived};
use tokio::time::timeout;

use super::mux::{MuxStream, read_message, write_message};
use crate::disk::NodeArchive;

/// How long nothing may come, or be taken: the other end reads or writes a disk meanwhile.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Writes a node's archive down as it comes.
///
/// # Errors
/// When it does not come whole, or cannot be written.
pub async fn take(mut stream: MuxStream, archive: &mut NodeArchive) -> io::Result<Archived> {
    loop {
        match next(&mut stream).await? {
            ArchivePiece::Bytes(bytes) => archive.write(&bytes)?,
            ArchivePiece::End(end) => return end.map_err(io::Error::other),
        }
    }
}

/// Hands an archive to a node, and waits until it is unpacked.
///
/// # Errors
/// When it cannot be read, or the node does not take it.
pub async fn give(mut stream: MuxStream, archive: impl Read, archived: Archived) -> io::Result<()> {
    let sent = send(&mut stream, archive, archived).await;
    // Who does not take it has told why before.
    match (next(&mut stream).await, sent) {
        (Ok(ArchivePiece::End(Err(reason))), _) => Err(io::Error::other(reason)),
        (_, Err(error)) | (Err(error), Ok(())) => Err(error),
        (Ok(ArchivePiece::End(Ok(_))), Ok(())) => Ok(()),
        (Ok(ArchivePiece::Bytes(_)), Ok(())) => Err(io::ErrorKind::InvalidData.into()),
    }
}

async fn send(
    stream: &mut MuxStream,
    mut archive: impl Read,
    archived: Archived,
) -> io::Result<()> {
    let mut bytes = vec![0; ARCHIVE_PIECE_BYTES_MAX];
    loop {
        let (piece, is_last) = match archive.read(&mut bytes) {
            Ok(0) => (ArchivePiece::End(Ok(archived)), true),
            Ok(length) => (ArchivePiece::Bytes(bytes[..length].to_vec()), false),
            Err(error) => (ArchivePiece::End(Err(error.to_string())), true),
        };
        in_time(write_message(stream, &piece)).await?;
        if is_last {
            return Ok(());
        }
    }
}

async fn next(stream: &mut MuxStream) -> io::Result<ArchivePiece> {
    let piece = in_time(read_message(stream)).await?;
    piece.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the archive broke off"))
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let stalled = || {
        let reason = format!("nothing came of it within {} s", STALL_TIMEOUT.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, reason)
    };
    timeout(STALL_TIMEOUT, work)
        .await
        .unwrap_or_else(|_| Err(stalled()))
}
