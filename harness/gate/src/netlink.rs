//! The few rtnetlink messages that a gate needs, encoded by hand: bring a link up with its MTU
//! and queue, give it an address, take its queueing discipline away. Not a netlink library.
//!
//! Layouts: `linux/netlink.h`, `linux/rtnetlink.h`, `linux/if_link.h`, `linux/if_addr.h`.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, bail};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Index of the loopback interface in every network namespace (`LOOPBACK_IFINDEX`).
pub const LOOPBACK_INDEX: u32 = 1;

const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_ACK: u16 = 0x04;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const NLMSG_HEADER_BYTES: usize = 16;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWQDISC: u16 = 36;
const IFLA_MTU: u16 = 4;
const IFLA_TXQLEN: u16 = 13;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const TCA_KIND: u16 = 1;
const TC_H_ROOT: u32 = 0xffff_ffff;
const IFF_UP: u32 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u16 = 10;
const RT_SCOPE_UNIVERSE: u8 = 0;
/// An acknowledgement quotes the request, which is short.
const ANSWER_BYTES_MAX: usize = 4096;

/// A socket for requests about this network namespace.
pub struct Netlink {
    socket: OwnedFd,
}

impl Netlink {
    /// Opens the socket.
    ///
    /// # Errors
    /// When the kernel or a seccomp filter refuses AF_NETLINK.
    pub fn open() -> Result<Netlink> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None, // NETLINK_ROUTE is protocol zero
        )
        .context("cannot open a netlink socket")?;
        Ok(Netlink { socket })
    }

    /// Brings a link up as it is.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn link_up(&self, index: u32) -> Result<()> {
        self.ask(Request::link(index, IFF_UP))
            .context("cannot bring the loopback link up")
    }

    /// Sets a link's MTU and transmit queue (packets) and brings it up.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn link_up_with(&self, index: u32, mtu: u32, queue_packets: u32) -> Result<()> {
        let mut request = Request::link(index, IFF_UP);
        request.attribute(IFLA_MTU, &mtu.to_ne_bytes());
        request.attribute(IFLA_TXQLEN, &queue_packets.to_ne_bytes());
        self.ask(request)
            .with_context(|| format!("cannot bring the device up with MTU {mtu}"))
    }

    /// Gives a link an address in an on-link network.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn add_address(&self, index: u32, ip: Ipv4Addr, prefix: u8) -> Result<()> {
        let mut request = Request::new(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
        request
            .bytes
            .extend([AF_INET, prefix, 0, RT_SCOPE_UNIVERSE]);
        request.bytes.extend(index.to_ne_bytes());
        request.attribute(IFA_LOCAL, &ip.octets());
        request.attribute(IFA_ADDRESS, &ip.octets());
        self.ask(request)
            .with_context(|| format!("cannot give the device address {ip}/{prefix}"))
    }

    /// Keeps the kernel from giving a link an IPv6 address of its own accord, and with it from
    /// sending router solicitations that nobody wants. A kernel without IPv6 refuses, rightly.
    pub fn silence_ipv6(&self, index: u32) -> Result<()> {
        let mut mode = Vec::new();
        push_attribute(
            &mut mode,
            IFLA_INET6_ADDR_GEN_MODE,
            &[IN6_ADDR_GEN_MODE_NONE],
        );
        let mut family = Vec::new();
        push_attribute(&mut family, AF_INET6, &mode);
        let mut request = Request::link(index, 0);
        request.attribute(IFLA_AF_SPEC, &family);
        self.ask(request).context("cannot silence IPv6")
    }

    /// Takes a link's queueing discipline away: packets go straight to the device's own queue.
    /// It saves memory (fq_codel takes tens of kB a link) and a queue that nobody would count.
    pub fn no_queueing(&self, index: u32) -> Result<()> {
        let mut request = Request::new(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE);
        request.bytes.extend([0; 4]); // tcm_family and padding
        request.bytes.extend(index.to_ne_bytes());
        request.bytes.extend(0u32.to_ne_bytes()); // tcm_handle
        request.bytes.extend(TC_H_ROOT.to_ne_bytes()); // tcm_parent
        request.bytes.extend(0u32.to_ne_bytes()); // tcm_info
        request.attribute(TCA_KIND, b"noqueue\0");
        self.ask(request)
            .context("cannot set the queueing discipline")
    }

    /// Sends one request and reads its acknowledgement.
    fn ask(&self, request: Request) -> Result<()> {
        rustix::net::send(&self.socket, &request.finish(), SendFlags::empty())?;
        let mut answer = [0; ANSWER_BYTES_MAX];
        let (bytes, _) = rustix::net::recv(&self.socket, &mut answer, RecvFlags::empty())?;
        acknowledged(&answer[..bytes.min(ANSWER_BYTES_MAX)])
    }
}

/// Reads an acknowledgement: an error message whose code is zero.
fn acknowledged(answer: &[u8]) -> Result<()> {
    let kind = answer
        .get(4..6)
        .and_then(|b| b.try_into().ok())
        .map(u16::from_ne_bytes);
    let code = answer
        .get(NLMSG_HEADER_BYTES..NLMSG_HEADER_BYTES + 4)
        .and_then(|b| b.try_into().ok())
        .map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => {
            Err(Errno::from_raw_os_error(code.saturating_neg()).into())
        }
        _ => bail!("the kernel's netlink answer makes no sense"),
    }
}

/// A request being built.
struct Request {
    bytes: Vec<u8>,
}

impl Request {
    fn new(kind: u16, flags: u16) -> Request {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend(0u32.to_ne_bytes()); // nlmsg_len, set at the end
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
        bytes.extend(1u32.to_ne_bytes()); // nlmsg_seq
        bytes.extend(0u32.to_ne_bytes()); // nlmsg_pid: the kernel fills it
        Request { bytes }
    }

    /// An RTM_NEWLINK for an existing link that sets these flags.
    fn link(index: u32, flags: u32) -> Request {
        let mut request = Request::new(RTM_NEWLINK, 0);
        request.bytes.extend([0; 4]); // ifi_family, padding, ifi_type
        request.bytes.extend(index.to_ne_bytes());
        request.bytes.extend(flags.to_ne_bytes());
        request.bytes.extend(flags.to_ne_bytes()); // ifi_change: only these
        request
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        push_attribute(&mut self.bytes, kind, value);
    }

    fn finish(mut self) -> Vec<u8> {
        // No request here comes near 4 GiB.
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }
}

/// Appends an attribute, padded to four bytes.
fn push_attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    // No attribute here comes near 64 kB.
    let length = (value.len() + 4) as u16;
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_laid_out_as_the_kernel_reads_it() {
        let mut request = Request::link(5, IFF_UP);
        request.attribute(IFLA_MTU, &1500u32.to_ne_bytes());
        request.attribute(TCA_KIND, b"noqueue\0x");
        let bytes = request.finish();
        assert_eq!(bytes.len(), 16 + 16 + 8 + 16);
        assert_eq!(bytes[..4], (bytes.len() as u32).to_ne_bytes());
        assert_eq!(bytes[20..24], 5u32.to_ne_bytes());
        assert_eq!(bytes[32..34], 8u16.to_ne_bytes());
        // Length without padding, padding with zeros.
        assert_eq!(bytes[40..42], 13u16.to_ne_bytes());
        assert_eq!(bytes[53..], [0; 3]);
    }

    #[test]
    fn acknowledgements_are_told_from_errors_and_nonsense() {
        let answer = |kind: u16, code: i32| {
            let mut bytes = vec![0; 20];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes[16..20].copy_from_slice(&code.to_ne_bytes());
            bytes
        };
        assert!(acknowledged(&answer(NLMSG_ERROR, 0)).is_ok());
        let error = acknowledged(&answer(NLMSG_ERROR, -1)).unwrap_err();
        assert_eq!(error.downcast_ref::<Errno>(), Some(&Errno::PERM));
        assert!(acknowledged(&answer(3, 0)).is_err());
        assert!(acknowledged(&answer(NLMSG_ERROR, 0)[..19]).is_err());
        assert!(acknowledged(&[]).is_err());
    }
}
