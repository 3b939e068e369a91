//! Descriptors that the control thread waits for.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Makes a descriptor one that can be awaited.
///
/// # Errors
/// When it cannot be polled, as a plain file cannot.
pub(super) fn pollable(fd: Arc<OwnedFd>, interest: Interest) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    // SAFETY: an `OwnedFd` is one open descriptor from its making to its drop, and the `Arc` that
    // the `AsyncFd` owns keeps it from being dropped before.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}
