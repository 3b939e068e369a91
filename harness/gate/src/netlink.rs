//! What a gate asks of rtnetlink: bring a link up with its MTU and queue, give it an address, take
//! its queueing discipline away. One socket, one request at a time.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, bail};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkFlags, LinkMessage,
};
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, SocketType};

/// Index of the loopback interface in every network namespace (`LOOPBACK_IFINDEX`).
pub const LOOPBACK_INDEX: u32 = 1;

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
            rustix::net::AddressFamily::NETLINK,
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
        self.set_link(index, LinkFlags::Up, Vec::new())
            .context("cannot bring the loopback link up")
    }

    /// Sets a link's MTU and transmit queue (packets) and brings it up.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn link_up_with(&self, index: u32, mtu: u32, queue_packets: u32) -> Result<()> {
        let attributes = vec![
            LinkAttribute::Mtu(mtu),
            LinkAttribute::TxQueueLen(queue_packets),
        ];
        self.set_link(index, LinkFlags::Up, attributes)
            .with_context(|| format!("cannot bring the device up with MTU {mtu}"))
    }

    /// Keeps the kernel from giving a link an IPv6 address of its own accord, and with it from
    /// sending router solicitations that nobody wants. A kernel without IPv6 refuses, rightly.
    pub fn silence_ipv6(&self, index: u32) -> Result<()> {
        let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        let family = LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]);
        self.set_link(index, LinkFlags::empty(), vec![family])
            .context("cannot silence IPv6")
    }

    /// Gives a link an address in an on-link network.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn add_address(&self, index: u32, ip: Ipv4Addr, prefix: u8) -> Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = prefix;
        message.header.index = index;
        let ip = IpAddr::from(ip);
        message.attributes = vec![AddressAttribute::Local(ip), AddressAttribute::Address(ip)];
        let request = RouteNetlinkMessage::NewAddress(message);
        self.ask(request, NLM_F_CREATE | NLM_F_EXCL)
            .with_context(|| format!("cannot give the device address {ip}/{prefix}"))
    }

    /// Takes a link's queueing discipline away: packets go straight to the device's own queue.
    /// It saves memory (fq_codel takes tens of kB a link) and a queue that nobody would count.
    pub fn no_queueing(&self, index: u32) -> Result<()> {
        let mut message = TcMessage::with_index(index.cast_signed());
        message.header.parent = TcHandle::ROOT;
        message.attributes = vec![TcAttribute::Kind("noqueue".to_owned())];
        let request = RouteNetlinkMessage::NewQueueDiscipline(message);
        self.ask(request, NLM_F_CREATE | NLM_F_REPLACE)
            .context("cannot set the queueing discipline")
    }

    /// Sets flags and attributes of a link that is there.
    fn set_link(&self, index: u32, flags: LinkFlags, attributes: Vec<LinkAttribute>) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = flags;
        message.header.change_mask = flags;
        message.attributes = attributes;
        self.ask(RouteNetlinkMessage::NewLink(message), 0)
    }

    /// Sends one request and reads its acknowledgement.
    fn ask(&self, request: RouteNetlinkMessage, flags: u16) -> Result<()> {
        let mut message = NetlinkMessage::from(request);
        message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        rustix::net::send(&self.socket, &bytes, SendFlags::empty())?;
        let mut answer = [0; ANSWER_BYTES_MAX];
        let (_, length) = rustix::net::recv(&self.socket, &mut answer, RecvFlags::TRUNC)?;
        acknowledged(
            answer
                .get(..length)
                .context("the kernel's answer is too long")?,
        )
    }
}

/// Reads an acknowledgement: an error message whose code is zero.
fn acknowledged(answer: &[u8]) -> Result<()> {
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer)
        .context("the kernel's netlink answer makes no sense")?;
    match answer.payload {
        NetlinkPayload::Error(error) => match error.code {
            None => Ok(()),
            Some(code) => Err(Errno::from_raw_os_error(code.get().saturating_neg()).into()),
        },
        _ => bail!("the kernel's netlink answer is no acknowledgement"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_told_from_errors_and_nonsense() {
        let answer = |kind: u16, code: i32| {
            let mut bytes = vec![0; 36];
            bytes[..4].copy_from_slice(&36u32.to_ne_bytes());
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes[16..20].copy_from_slice(&code.to_ne_bytes());
            bytes
        };
        const NLMSG_ERROR: u16 = 2;
        const NLMSG_DONE: u16 = 3;
        assert!(acknowledged(&answer(NLMSG_ERROR, 0)).is_ok());
        let error = acknowledged(&answer(NLMSG_ERROR, -1)).unwrap_err();
        assert_eq!(error.downcast_ref::<Errno>(), Some(&Errno::PERM));
        assert!(acknowledged(&answer(NLMSG_DONE, 0)).is_err());
        assert!(acknowledged(&answer(NLMSG_ERROR, 0)[..19]).is_err());
        assert!(acknowledged(&[]).is_err());
    }
}
