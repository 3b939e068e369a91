//! Blocks and payments that are asked for by hand.

use std::ops::Range;
use std::sync::PoisonError;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use peerlab_core::conduct::{Command, Done};
use peerlab_core::error::{Error, Result};
use peerlab_core::plan::spec::Work;
use peerlab_core::plan::{Chance, Weighted};
use peerlab_core::topology::units::Frequency;
use peerlab_core::topology::written::Value as _;
use peerlab_core::words;
use peerlab_link::{Nanos, NodeId};
use tokio::time::{Instant, sleep_until};

use super::wait::{LOOK_INTERVAL, held_within};
use super::{NODE_HINT, Network, not_read};
use crate::network::request::{Did, NodeFailure};

/// Blocks or payments of one request: more would not be answered in time.
const WORK_MAX: u32 = 500;
/// Between two payments, whatever the rate: longer than a network stays.
const GAP_SECONDS_MAX: f64 = 1e9;
/// How long a node that has mined a block may take to be seen with it. Another branch, or a fault, may come
/// in between.
const SEE_TIMEOUT: Duration = Duration::from_secs(5);
/// Payments of one request that nodes have not answered yet; further ones wait.
const PAYMENTS_AT_ONCE: usize = 64;

impl Network {
    /// All blocks of a request come from one node: those of several, mined at one instant, would be
    /// branches.
    pub(super) async fn mine(&self, count: u32, by: Option<&str>) -> Result<Did> {
        check_count(count, "blocks")?;
        let node = match by {
            Some(name) => self.node(name)?,
            None => self.miner()?,
        };
        let works = vec![Work::Mine { node }; count as usize];
        let done = self.command(Command::Act(works)).await?;
        if let Some(last) = done.blocks.last() {
            self.see(node, last).await;
        }
        let blocks = words::count(done.blocks.len() as u64, "block");
        let what = format!("{blocks} by {}", self.name_of(node));
        Ok(self.did(what, done))
    }

    /// Waits until the view has a block that a node mined, so that whoever asks next finds it there:
    /// before, the nodes may be said to agree on what was before it.
    async fn see(&self, node: NodeId, block: &str) {
        let seen = || self.view().has_block(node, block);
        let refresh = || std::future::ready(());
        held_within(SEE_TIMEOUT, LOOK_INTERVAL, refresh, seen).await;
    }

    /// A node that is up, drawn by hash power; where nobody has any, any.
    fn miner(&self) -> Result<NodeId> {
        let up = self.up()?;
        let mut roster = self.roster();
        let mut chance = roster.chance();
        let nodes = roster.present().filter(|node| up.contains(&node.id));
        let drawn = Weighted::by_hash_power(nodes).draw(&mut chance);
        let drawn = drawn.or_else(|| Weighted::evenly(up.into_iter()).draw(&mut chance));
        drawn.ok_or_else(nobody_is_up)
    }

    pub(super) async fn pay(&self, count: u32) -> Result<Did> {
        check_count(count, "payments")?;
        let outputs = self.take_outputs(count)?;
        let among = Weighted::evenly(self.up()?.into_iter());
        let mut chance = self.roster().chance();
        let work = |output| Some(payment(among.draw(&mut chance)?, output));
        let works: Vec<Work> = outputs.filter_map(work).collect();
        let done = self.command(Command::Act(works)).await?;
        let what = words::count(done.transactions.len() as u64, "payment");
        Ok(self.did(what, done))
    }

    /// Payments at instants that chance gives, so many a second on average, as those of an experiment; until a
    /// time is over, whoever asked has gone, or nothing is left to be spent.
    pub(super) async fn pay_at(&self, rate: &str, lasts: Option<Nanos>) -> Result<Did> {
        let Frequency { per_second } = Frequency::parse(rate.trim())
            .map_err(|bad| not_read(rate, Frequency::WHAT, Frequency::FORM, bad))?;
        if !per_second.is_finite() || per_second <= 0.0 {
            return Err(Error::input(format!("`{rate}` pays nothing"))
                .because("a payment would never come")
                .hint(format!("write {}", Frequency::FORM)));
        }
        let mut chance = self.roster().chance();
        let begun = Instant::now();
        let end = lasts.map(|lasts| begun + Duration::from(lasts));
        let mut next = begun;
        let mut under_way = FuturesUnordered::new();
        let mut all = Done::default();
        let paid = loop {
            let gap = -chance.open_unit().ln() / per_second;
            next += Duration::from_secs_f64(gap.min(GAP_SECONDS_MAX));
            if end.is_some_and(|end| next >= end) {
                break Ok(());
            }
            loop {
                tokio::select! {
                    () = sleep_until(next), if under_way.len() < PAYMENTS_AT_ONCE => break,
                    Some(done) = under_way.next() => add_up(&mut all, done?),
                }
            }
            match self.one_payment(&mut chance) {
                Ok(work) => under_way.push(self.command(Command::Act(vec![work]))),
                // What was paid until then is told all the same.
                Err(error) => break Err(error),
            }
        };
        while let Some(done) = under_way.next().await {
            add_up(&mut all, done?);
        }
        if let Some(end) = end.filter(|_| paid.is_ok()) {
            sleep_until(end).await;
        }
        let mut did = self.did(words::count(all.transactions.len() as u64, "payment"), all);
        if let Err(error) = paid {
            let reason = error.to_string().into();
            did.failures.push(NodeFailure { node: None, reason });
        }
        Ok(did)
    }

    fn one_payment(&self, chance: &mut Chance) -> Result<Work> {
        let up = self.up()?;
        let output = self.take_outputs(1)?.start;
        Ok(payment(up[chance.below(up.len())], output))
    }

    fn up(&self) -> Result<Vec<NodeId>> {
        let up = self.view().up();
        if up.is_empty() {
            return Err(nobody_is_up());
        }
        Ok(up)
    }

    fn take_outputs(&self, count: u32) -> Result<Range<u32>> {
        let mut left = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        if (left.len() as u32) < count {
            return Err(Error::input(format!("{count} payments cannot be made"))
                .because(format!(
                    "{} are left of the outputs that the chain begins with",
                    left.len()
                ))
                .hint("a network that is brought up anew has all of them"));
        }
        let first = left.start;
        left.start += count;
        Ok(first..left.start)
    }
}

fn nobody_is_up() -> Error {
    Error::environment("no node is up", "none answers", NODE_HINT)
}

fn payment(node: NodeId, output: u32) -> Work {
    Work::Transaction {
        node,
        output,
        variant: 0,
    }
}

/// Adds what came of one payment to what came of others.
fn add_up(all: &mut Done, done: Done) {
    all.transactions.extend(done.transactions);
    all.failures.extend(done.failures);
}

fn check_count(count: u32, what: &str) -> Result<()> {
    if (1..=WORK_MAX).contains(&count) {
        return Ok(());
    }
    Err(
        Error::input(format!("{count} {what} cannot be asked for at once"))
            .because("each request is answered once all of it is done")
            .hint(format!("ask for 1 to {WORK_MAX}")),
    )
}
