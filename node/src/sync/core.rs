//! What this sub-protocol keeps of all connections together, when it has something to do, and how a
//! connection's part in it ends.

use super::compact::{CompactBlocks, CompactTally};
use super::downloads::Downloads;
use crate::context::{Config, Context, Peer};
use crate::io::{PeerId, Time};
use crate::wire::NamedTransaction;

/// Headers and blocks of one node.
#[repr(C)]
pub(crate) struct Sync {
    pub(super) compact: CompactBlocks,
    pub(super) downloads: Downloads,
    /// The one peer that is asked for a long chain of headers.
    pub(super) header_sync: Option<PeerId>,
    /// When the tip is announced, while that is held back. It stands last, beside the first of
    /// [`crate::peers`]: both are asked after every input.
    pub(super) announce_at: Option<Time>,
}

impl Sync {
    pub(crate) fn new(config: &Config) -> Sync {
        Sync {
            header_sync: None,
            announce_at: None,
            downloads: Downloads::new(config.timing.block_timeout),
            compact: CompactBlocks::default(),
        }
    }

    /// Where in memory that stands which any input asks for.
    pub(crate) fn first_line(&self) -> *const u8 {
        std::ptr::from_ref(&self.announce_at).cast()
    }

    /// A transaction was refused by the mempool, or let go; a block may still have it.
    pub(crate) fn remember(&mut self, tx: NamedTransaction) {
        self.compact.extra.add(tx);
    }

    pub(crate) fn compact_tally(&self) -> &CompactTally {
        &self.compact.tally
    }

    /// Everything that is due.
    pub(crate) fn run(&mut self, ctx: &mut Context) {
        self.run_headers(ctx);
        self.run_stalls(ctx);
        self.run_serving(ctx);
        self.run_announcement(ctx);
    }

    /// When a connection needs [`Sync::run`].
    pub(crate) fn peer_deadline(config: &Config, peer: &Peer) -> Time {
        // Never stays never.
        let headers = peer.sync.headers_asked.or_never() + config.timing.headers_timeout;
        let (stall, serve) = (peer.sync.stall_at, peer.sync.serve_at);
        headers.min(stall.or_never()).min(serve.or_never())
    }

    /// When it is needed whatever the connections are.
    pub(crate) fn deadline(&self) -> Time {
        self.announce_at.unwrap_or(Time::NEVER)
    }

    /// The connection takes no more part: what it owes is asked of others.
    pub(crate) fn release(&mut self, ctx: &mut Context, id: PeerId) {
        self.release_compact(id);
        self.release_blocks(ctx, id);
        self.header_sync_ends(ctx, id);
    }
}
