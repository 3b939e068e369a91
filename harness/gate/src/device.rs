//! Opens and configures the node's network device in the gate's own network namespace. What
//! passes through it is not the gate's business: its descriptor goes to the fabric.

use std::fs::{File, OpenOptions};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result, anyhow};
use libc::c_ulong;

use crate::netlink::{LOOPBACK_INDEX, Netlink};

/// The device's name in the node: third-party programs know `eth0`.
pub const DEVICE_NAME: &str = "eth0";
/// Where the kernel hands out TUN devices.
const TUN_PATH: &str = "/dev/net/tun";
/// Packets that the device holds for the fabric to read. The fabric reads at once and queues by
/// its own model, so this only has to carry a burst while the fabric waits for a core.
const QUEUE_PACKETS: u32 = 1000;
/// `sizeof(struct virtio_net_hdr)`.
const VNET_HEADER_BYTES: libc::c_int = 10;

/// Opens the device with this address, up, beside a loopback device that is up as well.
///
/// # Errors
/// When the device is missing or not permitted, with what would help.
pub fn open(ip: Ipv4Addr, prefix: u8, mtu: u16) -> Result<OwnedFd> {
    let tun = open_tun()?;
    claim(&tun)?;
    let index = rustix::net::netdevice::name_to_index(&tun_socket()?, DEVICE_NAME)
        .context("cannot find the device just made")?;
    let netlink = Netlink::open()?;
    netlink.link_up(LOOPBACK_INDEX)?;
    // Both are refinements that a kernel may lack; nothing depends on them.
    let _ = netlink.silence_ipv6(index);
    let _ = netlink.no_queueing(index);
    netlink.link_up_with(index, u32::from(mtu), QUEUE_PACKETS)?;
    netlink.add_address(index, ip, prefix)?;
    Ok(tun.into())
}

/// A socket to ask about devices.
fn tun_socket() -> Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .context("cannot open a socket")
}

/// Opens the clone device, with advice where it fails.
fn open_tun() -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(TUN_PATH)
        .map_err(|e| {
            let hint = match e.raw_os_error() {
                Some(libc::ENOENT) => {
                    "give the node this device; on the host, `modprobe tun` makes it"
                }
                Some(libc::ENODEV | libc::ENXIO) => {
                    "the host's kernel has no TUN driver: `modprobe tun`"
                }
                Some(libc::EACCES | libc::EPERM) => {
                    "the node may not use it: give it the device, and on the host \
                     `chmod 0666 /dev/net/tun`"
                }
                _ => "no remedy known",
            };
            anyhow!("cannot open {TUN_PATH}: {e} ({hint})")
        })
}

/// Makes the descriptor a device with offloads and packet headers.
///
/// # Errors
/// When the kernel allows none here.
pub fn claim(tun: &File) -> Result<()> {
    // SAFETY: `ifreq` is plain old data, for which zeros are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(DEVICE_NAME.bytes()) {
        *to = from as libc::c_char;
    }
    // The three flags are bits of a short by their definition in `linux/if_tun.h`.
    request.ifr_ifru.ifru_flags =
        (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which lives across the call.
    let result = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    checked(result).map_err(|e| match e.raw_os_error() {
        Some(libc::EPERM) => {
            anyhow!("may not make a network device: {e} (the node needs the capability NET_ADMIN)")
        }
        _ => anyhow!("cannot make the network device {DEVICE_NAME}: {e}"),
    })?;
    let header_bytes = VNET_HEADER_BYTES;
    // SAFETY: TUNSETVNETHDRSZ reads one int, which lives across the call.
    let result = unsafe {
        libc::ioctl(
            tun.as_raw_fd(),
            libc::TUNSETVNETHDRSZ,
            &raw const header_bytes,
        )
    };
    checked(result).context("cannot set the device's packet header size")?;
    let offloads = c_ulong::from(libc::TUN_F_CSUM | libc::TUN_F_TSO4);
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    let result = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETOFFLOAD, offloads) };
    checked(result).context("cannot set the device's offloads")?;
    // The device is to last as long as its namespace rather than as long as the descriptor: the
    // kernel takes tens of milliseconds to remove each device by itself when the fabric ends, and
    // no time to speak of to remove a thousand namespaces with all that is in them.
    // SAFETY: TUNSETPERSIST takes its argument by value.
    let result = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETPERSIST, 1 as c_ulong) };
    checked(result).context("cannot make the device last")?;
    Ok(())
}

/// The error of a system call that failed.
fn checked(result: libc::c_int) -> std::io::Result<()> {
    if result < 0 {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(())
    }
}
