//! What this sub-protocol keeps of all connections together.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use bitcoin::p2p::ServiceFlags;

use super::addresses::AddressBook;
use super::bans::{BanList, Unwelcome};
use super::dialer::Dialer;
use super::watched::Watched;
use crate::context::{Config, Traffic};
use crate::io::Time;

/// Who one node is connected to.
#[repr(C)]
pub(crate) struct Peers {
    /// The dialer needs nothing before, unless it was in hand. It stands first: it is asked after
    /// every input.
    pub(super) dialer_due: Time,
    pub(crate) dialer: Watched<Dialer>,
    pub(crate) bans: BanList,
    pub(super) unwelcome: Unwelcome,
    pub(crate) addresses: AddressBook,
    /// Addresses that turned out to be this node's.
    pub(super) own_addrs: BTreeSet<SocketAddr>,
    /// Bytes of connections that are gone.
    pub(crate) former: Traffic,
}

impl Peers {
    pub(crate) fn new(config: &Config) -> Peers {
        Peers {
            dialer_due: Time::NEVER,
            dialer: Watched::new(Dialer::new(config)),
            bans: BanList::default(),
            unwelcome: Unwelcome::default(),
            addresses: AddressBook::new(config.addresses_max),
            own_addrs: config.external_addr.into_iter().collect(),
            former: Traffic::default(),
        }
    }

    /// Where in memory that stands which any input asks for.
    pub(crate) fn first_line(&self) -> *const u8 {
        std::ptr::from_ref(&self.dialer_due).cast()
    }

    /// Whether the dialer may have something to do.
    pub(super) fn dialer_is_due(&self, now: Time) -> bool {
        self.dialer.is_touched() || self.dialer_due <= now
    }
}

/// What this node offers, and needs of those to which it connects by itself.
pub(crate) fn services() -> ServiceFlags {
    ServiceFlags::NETWORK | ServiceFlags::WITNESS
}
