//! Answers the conductor's orders in virtual time, and says what happened there. It decides nothing
//! and draws nothing from chance; what nodes do is in `shard`.

use peerlab_core::error::hint;
use std::collections::BTreeMap;
use std::sync::Arc;

use bitcoin::{Address, BlockHash, ScriptBuf, Transaction};
use peerlab_link::proto::{Action, Lateness, NodeCounters, ProcessOp, Seen};
use peerlab_link::{Nanos, NodeId};
use peerlab_node::chain::template::mine;

use super::account;
use super::program::{EPOCH_SECS, Programs};
use super::shard::{self, Observed, Shard, Simulated};
use super::worker_pool::WorkerPool;
use peerlab_core::conduct::{Conductor, Input, Observation, Order, Setup, Venue};
use peerlab_core::conduct::{Observer, Said, Stage, Stop, ended, interrupted};
use peerlab_core::error::{Explain, Result};
use peerlab_core::event::{HostFacts, Tip, What};
use peerlab_core::ledger::{self, AddressForm, Premined};
use peerlab_core::plan::Plan;

/// Pause between two rows of the traffic counters in a small network.
const COUNT_INTERVAL: Nanos = Nanos::from_secs(1);
/// Rows of traffic counters that a second may have; larger networks are counted more seldom.
const ROWS_PER_SECOND_MAX: u64 = 1_000;
/// Why there is no answer, where the conductor takes a program for running that is not.
const NO_ANSWER: &str = "the node does not answer";
/// Virtual time between two looks at whether the run is to stop.
const STOP_POLL_INTERVAL: Nanos = Nanos::from_millis(200);

/// How a plan is simulated. None of it changes what happens.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads at most.
    pub threads: usize,
    /// Ends the run early.
    pub stop: Stop,
}

/// Carries a plan out, and tells the observer of all that happened.
///
/// # Errors
/// Where the plan cannot be simulated, the record cannot be written, or the run is stopped.
pub fn simulate(plan: &Plan, observer: &dyn Observer, options: &Options) -> Result<Simulated> {
    let premined = Arc::new(Premined::mine(plan.ledger.outputs));
    let programs = Arc::new(Programs::new(plan, Arc::clone(&premined))?);
    let total = plan.nodes.len();
    observer.stage(Stage::BringUp {
        started: total,
        open: total,
        total,
    });
    let mut director = Director {
        plan,
        observer,
        stop: &options.stop,
        pool: WorkerPool::new(&plan.network, &programs, options.threads)?,
        conductor: Conductor::new(Setup::of(plan, premined, count_interval(plan))),
        names: BTreeMap::new(),
    };
    let result = director.run();
    director
        .conductor
        .finish(director.pool.now(), ended(&result));
    director.write()?;
    result.map(|()| director.pool.simulated())
}

/// Between two readings of the counters.
fn count_interval(plan: &Plan) -> Nanos {
    let rows = plan.nodes.len() as u64;
    Nanos(COUNT_INTERVAL.0 * rows.div_ceil(ROWS_PER_SECOND_MAX).max(1))
}

struct Director<'a> {
    plan: &'a Plan,
    observer: &'a dyn Observer,
    stop: &'a Stop,
    pool: WorkerPool,
    conductor: Conductor<'a>,
    /// Blocks' hashes as the record writes them.
    names: BTreeMap<BlockHash, String>,
}

impl Director<'_> {
    fn run(&mut self) -> Result<()> {
        self.begin()?;
        let plan = self.plan;
        let in_time = plan
            .fault_schedule
            .iter()
            .take_while(|line| line.at < plan.end());
        let mut lines = (0..).zip(in_time).peekable();
        while !self.conductor.is_over() {
            let due = self.conductor.deadline();
            // Of one instant, the fault schedule comes first.
            if let Some((tag, line)) = lines.next_if(|(_, line)| line.at <= due) {
                self.run_until(line.at)?;
                self.apply(tag, &line.action)?;
            } else {
                self.run_until(due)?;
                self.conductor.handle(due, Input::Timer);
            }
            self.answer_orders()?;
            if let Some((_, error)) = self.conductor.never_ready() {
                return Err(error);
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        self.conductor.begin(Venue {
            engine: super::NAME,
            unix_nanos: u64::from(EPOCH_SECS) * 1_000_000_000,
            bring_up: Nanos::ZERO,
            // Nothing of this machine belongs into a record that is the same on all machines.
            host: HostFacts::default(),
        });
        self.observer.stage(Stage::Running);
        for node in self.plan.nodes.iter().filter(|node| node.starts_up) {
            // It has no reason not to start.
            let _ = self
                .pool
                .shard_of(node.id)
                .control(node.id, ProcessOp::Start);
        }
        self.answer_orders()
    }

    /// Lets the nodes run until an instant, in steps short enough to be stopped.
    fn run_until(&mut self, end: Nanos) -> Result<()> {
        while self.pool.now() < end {
            if self.stop.is_asked() {
                return Err(interrupted());
            }
            let next = self.pool.next_at().unwrap_or(end).max(self.pool.now());
            let step = next.saturating_add(STOP_POLL_INTERVAL).min(end);
            self.pool.run_until(step);
            self.report_observations()?;
        }
        Ok(())
    }

    /// Carries out an action of the fault schedule, or one that was ordered.
    fn apply(&mut self, tag: u32, action: &Action) -> Result<()> {
        self.pool.shards_mut().for_each(Shard::disturb);
        let result = match action {
            Action::Link(change) => self.pool.apply(change).map(|()| {
                let cut = self.pool.counters().iter().map(NodeCounters::cut).sum();
                Seen::Linked { cut }
            }),
            Action::Process { node, op } => self.pool.shard_of(*node).control(*node, *op),
        };
        let applied = Input::Applied { tag, result };
        self.conductor.handle(self.pool.now(), applied);
        // A thawed node answers at once.
        self.report_observations()
    }

    fn answer_orders(&mut self) -> Result<()> {
        while let Some(order) = self.conductor.poll_order() {
            match order {
                // Nodes are not asked here: they say what happens.
                Order::Follow { .. } | Order::Leave { .. } | Order::MeasureUsage { .. } => {}
                Order::Apply { tag, action } => self.apply(tag, &action)?,
                Order::Count => self.count(),
                // By hand alone, and no simulated network stays.
                Order::Join(_) | Order::Remove { .. } => {}
                Order::Mine { node } => self.mine(node)?,
                Order::Submit {
                    node,
                    payment,
                    double_spend,
                } => {
                    let transaction = Arc::new(payment.transaction.clone());
                    let result = self.submit(node, transaction);
                    self.observed(Observation::Submitted {
                        node,
                        txid: payment.id.clone(),
                        double_spend,
                        result,
                    });
                }
                // Every block is told of before the first tip on it: there is no more to know.
                Order::AskBlocks { node, hash, .. } => self.observed(Observation::Blocks {
                    node,
                    wanted: hash,
                    blocks: Vec::new(),
                }),
                Order::AskAccounts { nodes, ledger } => self.accounts(&nodes, ledger)?,
            }
            self.report_observations()?;
        }
        self.write()
    }

    fn mine(&mut self, node: NodeId) -> Result<()> {
        let payout = payout(node)?;
        let mined = self
            .pool
            .shard_of(node)
            .command(node, |machine, now, mined| {
                *mined += 1;
                // No two nodes mine the same block: each has an address of its own.
                let template = machine.mempool().template(machine.chain(), payout, *mined);
                let mut block = template.assemble(machine.chain(), now.unix_secs());
                if !mine(&mut block) {
                    return Err("no nonce was found".to_owned());
                }
                let hash = block.block_hash().to_string();
                let submitted = machine.submit_block(now, Arc::new(block));
                submitted
                    .map(|()| hash)
                    .map_err(|error| error.reason().into_owned())
            });
        // The block itself, before it is said that there is one.
        self.report_observations()?;
        let result = mined.unwrap_or_else(|| Err(NO_ANSWER.into()));
        self.observed(Observation::Mined { node, result });
        Ok(())
    }

    /// Why the node does not take it, if it does not.
    fn submit(&mut self, node: NodeId, transaction: Arc<Transaction>) -> Result<(), String> {
        let submitted = self.pool.shard_of(node).command(node, |machine, now, _| {
            machine.submit_transaction(now, transaction)
        });
        match submitted {
            Some(Ok(_)) => Ok(()),
            Some(Err(reject)) => Err(reject.reason().to_string()),
            None => Err(NO_ANSWER.into()),
        }
    }

    fn count(&mut self) {
        let nodes = self.pool.counters();
        self.observed(Observation::Counters { nodes });
        // There is no host that could be too slow; once is enough to say so.
        if self.conductor.accounted().is_some() {
            self.observed(Observation::Recorded(What::Fidelity {
                lateness: Lateness::default(),
                cpu_pressure: None,
                host_cpu: None,
            }));
        }
    }

    /// What nodes tell of themselves.
    fn accounts(&mut self, nodes: &[NodeId], with_ledger: bool) -> Result<()> {
        if let Some((done, total)) = self.conductor.accounted() {
            self.observer.stage(Stage::Collecting { done, total });
        }
        let mut known = account::KnownStates::default();
        for &node in nodes {
            if let Some(machine) = self.pool.running(node) {
                let sums = account::peers(machine);
                let state = with_ledger.then(|| account::ledger(machine, &mut known));
                self.observed(Observation::Recorded(What::Peers { node, sums }));
                if let Some(state) = state {
                    self.observed(Observation::Recorded(What::Ledger { node, state }));
                }
            } else if with_ledger {
                let reason = NO_ANSWER.into();
                self.observed(Observation::Recorded(What::Unanswered { node, reason }));
            }
            self.observed(Observation::Accounted);
            self.write()?;
        }
        Ok(())
    }

    /// Something is seen now.
    fn observed(&mut self, observation: Observation) {
        let now = self.pool.now();
        self.conductor.handle(now, Input::Observed(observation));
    }

    /// Says what nodes did since the last call.
    fn report_observations(&mut self) -> Result<()> {
        for shard::Observation { key, what } in self.pool.take_observations() {
            // Nothing is left of former incarnations: what they did was reported before they ended.
            let observation = match what {
                Observed::Up(node) => Observation::Up {
                    node,
                    incarnation: self.conductor.incarnation(node),
                },
                // Each shard tells of a block when its own nodes first have it.
                Observed::Block(facts, miner) => Observation::Block {
                    facts: *facts,
                    miner,
                },
                Observed::Tip(node, hash, height) => {
                    let name = self.names.entry(hash).or_insert_with(|| hash.to_string());
                    let hash = name.clone();
                    Observation::Said {
                        node,
                        incarnation: self.conductor.incarnation(node),
                        said: Said::Tip(Tip { hash, height }),
                    }
                }
                Observed::Failed(node, reason) => {
                    let lost = Input::Lost { node, reason };
                    self.conductor.handle(key.at, lost);
                    continue;
                }
            };
            self.conductor.handle(key.at, Input::Observed(observation));
        }
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        while let Some(event) = self.conductor.poll_event() {
            self.observer.event(&event)?;
        }
        Ok(())
    }
}

/// To whom a node's blocks pay.
fn payout(node: NodeId) -> Result<ScriptBuf> {
    let address: Address<_> = ledger::payout_address(node, AddressForm::Bech32)
        .parse()
        .or_environment(|| "cannot mine".into(), hint::BUG)?;
    Ok(address.assume_checked().script_pubkey())
}
