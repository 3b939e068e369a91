//! A node's TUN device, as its gate passed it: a descriptor that reads and writes packets with a
//! virtio header before each.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::packet::VirtioHeader;

/// What the gate must have opened the device with.
const FLAGS_NEEDED: libc::c_int = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;

#[derive(Debug)]
pub(crate) struct Device {
    fd: OwnedFd,
}

impl Device {
    /// Takes a descriptor that came from a gate.
    ///
    /// # Errors
    /// When it is no TUN device, or one with other flags.
    pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Device> {
        // SAFETY: all bytes zero is a valid `ifreq`: it holds integers and pointers only.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        // SAFETY: TUNGETIFF writes one `ifreq` to the address given, which is one.
        let done = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNGETIFF as _, &mut request) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: TUNGETIFF has set the flags member of the union.
        let flags = libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags });
        if flags & FLAGS_NEEDED != FLAGS_NEEDED {
            return Err(io::Error::other("the TUN device has other flags"));
        }
        let mut header_bytes: libc::c_int = 0;
        let address = &mut header_bytes;
        // SAFETY: TUNGETVNETHDRSZ writes one `int` to the address given, which is one.
        let done = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNGETVNETHDRSZ as _, address) };
        if done != 0 || header_bytes as usize != VirtioHeader::BYTES {
            return Err(io::Error::other("the TUN device has another header"));
        }
        fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
        Ok(Device { fd })
    }

    /// Its descriptor, for polling.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Reads one packet (or train).
    ///
    /// # Errors
    /// `EAGAIN` when there is none; another when the device is gone.
    #[inline]
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Result<usize, rustix::io::Errno> {
        rustix::io::read(&self.fd, buffer)
    }

    /// Writes one packet (or train); whether the device took it.
    #[inline]
    pub(crate) fn write(&self, packet: &[u8]) -> bool {
        loop {
            match rustix::io::write(&self.fd, packet) {
                Ok(_) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}
