//! Standard input and output as one byte stream, whatever they are: two pipes, a socket pair, or
//! what a container engine attached.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncWrite};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::pollable::pollable;

#[derive(Debug)]
pub(super) struct Stdio {
    input: AsyncFd<Arc<OwnedFd>>,
    output: AsyncFd<Arc<OwnedFd>>,
}

impl Stdio {
    /// Takes both over; nothing else may use them from now on.
    ///
    /// # Errors
    /// When one of them cannot be waited for, as a plain file cannot.
    pub(super) fn take() -> io::Result<Stdio> {
        Ok(Stdio {
            input: non_blocking(io::stdin().as_fd(), Interest::READABLE)?,
            output: non_blocking(io::stdout().as_fd(), Interest::WRITABLE)?,
        })
    }
}

fn non_blocking(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    let fd = fd.try_clone_to_owned()?;
    fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
    pollable(Arc::new(fd), interest)
}

impl AsyncRead for Stdio {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.input.poll_read_ready(cx))?;
            let read = guard.try_io(|fd| Ok(rustix::io::read(fd, &mut *buffer)?));
            match read {
                Ok(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Stdio {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.output.poll_write_ready(cx))?;
            let written = guard.try_io(|fd| Ok(rustix::io::write(fd, bytes)?));
            match written {
                Ok(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
