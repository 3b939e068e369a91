//! Carries a plan out in virtual time: applies its timetable, runs its errands, and writes the
//! record. It decides nothing and draws nothing from chance; what nodes do is in `shard`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bitcoin::{Address, BlockHash, ScriptBuf};
use peerlab_link::proto::{Action, Lateness, ProcessOp, Timed};
use peerlab_link::{Nanos, NodeId};
use peerlab_node::chain::template::mine;

use super::account;
use super::program::{EPOCH_SECS, Programs};
use super::shard::{Observation, Observed, Shard, Simulated};
use super::worker_pool::WorkerPool;
use peerlab_core::conduct::interrupted;
use peerlab_core::conduct::{Effect, Faults, calendar};
use peerlab_core::conduct::{Observer, Stage, Stop};
use peerlab_core::error::{Explain, Result};
use peerlab_core::event::{HostFacts, RunEvent, Tip, What};
use peerlab_core::ledger::{self, Premined};
use peerlab_core::plan::Plan;
use peerlab_core::plan::spec::Task;

/// Pause between two rows of the traffic counters in a small network.
const COUNT_INTERVAL: Nanos = Nanos::from_secs(1);
/// Rows of traffic counters that a second may have; larger networks are counted more seldom.
const ROWS_PER_SECOND_MAX: u64 = 1_000;
/// Virtual time between two looks at whether the run is to stop.
const BREATH: Nanos = Nanos::from_millis(200);

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
    let premined = Premined::mine(plan.ledger.outputs);
    let programs = Arc::new(Programs::new(plan, premined)?);
    let total = plan.nodes.len();
    observer.stage(Stage::BringUp {
        started: total,
        open: total,
        total,
    });
    let pool = WorkerPool::new(&plan.network, &programs, options.threads)?;
    let mut director = Director {
        plan,
        observer,
        stop: &options.stop,
        programs,
        pool,
        known_blocks: HashSet::new(),
        faults: Faults::default(),
        names: HashMap::new(),
        up: vec![false; total],
        payouts: HashMap::new(),
    };
    let result = director.run();
    let interrupted =
        matches!(&result, Err(error) if error.kind == peerlab_core::error::Kind::Interrupted);
    let now = director.pool.now();
    director.tell(now, What::Ended { interrupted })?;
    result.map(|()| director.pool.simulated())
}

struct Director<'a> {
    plan: &'a Plan,
    observer: &'a dyn Observer,
    stop: &'a Stop,
    programs: Arc<Programs>,
    pool: WorkerPool,
    /// Blocks whose line is written.
    known_blocks: HashSet<String>,
    faults: Faults,
    /// Blocks' hashes as the record writes them.
    names: HashMap<BlockHash, String>,
    /// Whether a node's program answers.
    up: Vec<bool>,
    payouts: HashMap<NodeId, ScriptBuf>,
}

/// What is due next, in the order in which things of one instant are done.
enum Due<'a> {
    Line(u32, &'a Timed),
    Entry(What),
    Count,
    Errand(&'a Task),
}

impl Director<'_> {
    fn run(&mut self) -> Result<()> {
        self.begin()?;
        let plan = self.plan;
        let mut lines = (0..).zip(&plan.timetable).peekable();
        let mut entries = calendar(plan).into_iter().peekable();
        let mut errands = plan.agenda.iter().peekable();
        let mut counts = CountTimes::of(plan);
        loop {
            let next = [
                lines.peek().map(|(_, line)| line.at),
                entries.peek().map(|(at, _)| *at),
                counts.peek(),
                errands.peek().map(|errand| errand.at),
            ];
            let Some(at) = next
                .into_iter()
                .flatten()
                .min()
                .filter(|at| *at < plan.end())
            else {
                break;
            };
            self.run_until(at)?;
            let due = if next[0] == Some(at) {
                lines.next().map(|(index, line)| Due::Line(index, line))
            } else if next[1] == Some(at) {
                entries.next().map(|(_, what)| Due::Entry(what))
            } else if next[2] == Some(at) {
                counts.advance();
                Some(Due::Count)
            } else {
                errands.next().map(|errand| Due::Errand(&errand.task))
            };
            if let Some(due) = due {
                self.carry_out(at, due)?;
            }
        }
        self.run_until(plan.end())?;
        self.collect()
    }

    fn begin(&mut self) -> Result<()> {
        let started = What::Started {
            engine: super::NAME.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            unix_nanos: u64::from(EPOCH_SECS) * 1_000_000_000,
            bring_up: Nanos::ZERO,
            base: self.programs.premined().tip.clone(),
        };
        self.tell(Nanos::ZERO, started)?;
        // Nothing of this machine belongs into a record that is the same on all machines.
        self.tell(Nanos::ZERO, What::Host(HostFacts::default()))?;
        self.observer.stage(Stage::Running);
        for node in self.plan.nodes.iter().filter(|node| node.starts_up) {
            self.pool
                .shard_of(node.id)
                .control(node.id, ProcessOp::Start);
        }
        Ok(())
    }

    /// Lets the nodes live until an instant, in steps short enough to be stopped.
    fn run_until(&mut self, end: Nanos) -> Result<()> {
        while self.pool.now() < end {
            if self.stop.is_asked() {
                return Err(interrupted());
            }
            let next = self.pool.next_at().unwrap_or(end).max(self.pool.now());
            let step = next.saturating_add(BREATH).min(end);
            self.pool.run_until(step);
            self.write_observations()?;
        }
        Ok(())
    }

    fn carry_out(&mut self, at: Nanos, due: Due<'_>) -> Result<()> {
        match due {
            Due::Line(index, line) => self.line(at, index, line),
            Due::Entry(what) => {
                let phase_begins = matches!(what, What::Phase { .. }) && at > Nanos::ZERO;
                self.tell(at, what)?;
                if phase_begins {
                    self.count(at)?;
                    self.accounts(at, false)?;
                }
                Ok(())
            }
            Due::Count => self.count(at),
            Due::Errand(task) => self.errand(at, task),
        }
    }

    /// One line of the timetable.
    fn line(&mut self, at: Nanos, index: u32, line: &Timed) -> Result<()> {
        self.pool.shards_mut().for_each(Shard::disturb);
        let done = match &line.action {
            // Each shard has a model of its own.
            Action::Link(change) => self
                .pool
                .shards_mut()
                .try_for_each(|shard| shard.apply(change)),
            Action::Process { node, op } => {
                self.pool.shard_of(*node).control(*node, *op);
                Ok(())
            }
        };
        if let Err(error) = done {
            tracing::warn!("line {index} of the timetable could not be carried out: {error}");
            return Ok(());
        }
        match self.faults.applied(self.plan, line) {
            Effect::Down(node, how) => {
                if std::mem::take(&mut self.up[node.index()]) {
                    self.tell(
                        at,
                        What::NodeDown {
                            node,
                            how: Some(how),
                            status: None,
                            reason: None,
                        },
                    )?;
                }
            }
            Effect::Began(fault) => self.tell(at, What::FaultBegan { fault })?,
            Effect::Ended(faults) => {
                for fault in faults {
                    self.tell(at, What::FaultEnded { fault })?;
                }
            }
            Effect::Started(_) | Effect::Nothing => {}
        }
        // A thawed node answers at once.
        self.write_observations()
    }

    fn errand(&mut self, at: Nanos, task: &Task) -> Result<()> {
        match task {
            Task::Mine { node } => self.mine(at, *node)?,
            Task::Transaction {
                node,
                output,
                variant,
            } => self.submit(at, *node, *output, *variant, None)?,
            Task::DoubleSpend {
                fault,
                output,
                sides,
            } => {
                for (variant, side) in (0..).zip(sides) {
                    let up = side.iter().find(|node| self.up[node.index()]);
                    if let Some(node) = up.or(side.first()) {
                        self.submit(at, *node, *output, variant, Some(*fault))?;
                    }
                }
            }
        }
        self.write_observations()
    }

    fn mine(&mut self, at: Nanos, node: NodeId) -> Result<()> {
        let payout = self.payout(node)?;
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
                let submitted = machine.submit_block(now, Arc::new(block));
                submitted.map_err(|error| error.reason().into_owned())
            });
        let reason = match mined {
            Some(Ok(())) => return Ok(()),
            Some(Err(reason)) => reason,
            None => "the node is down".into(),
        };
        self.tell(at, What::MineMissed { node, reason })
    }

    fn payout(&mut self, node: NodeId) -> Result<ScriptBuf> {
        if let Some(script) = self.payouts.get(&node) {
            return Ok(script.clone());
        }
        let address: Address<_> = ledger::payout_address(node)
            .parse()
            .or_environment(|| "cannot mine".into())?;
        let script = address.assume_checked().script_pubkey();
        self.payouts.insert(node, script.clone());
        Ok(script)
    }

    fn submit(
        &mut self,
        at: Nanos,
        node: NodeId,
        output: u32,
        variant: u32,
        double_spend: Option<u32>,
    ) -> Result<()> {
        let Some(tx) = ledger::transaction(self.programs.premined(), output, variant) else {
            tracing::error!("the plan spends output {output}, which the chain does not have");
            return Ok(());
        };
        let txid = tx.compute_txid().to_string();
        let tx = Arc::new(tx);
        let submitted = self
            .pool
            .shard_of(node)
            .command(node, |machine, now, _| machine.submit_transaction(now, tx));
        let refused = match submitted {
            Some(Ok(_)) => None,
            Some(Err(reject)) => Some(reject.reason().to_string()),
            None => Some("the node is down".into()),
        };
        self.tell(
            at,
            What::Transaction {
                node,
                txid,
                double_spend,
                refused,
            },
        )
    }

    fn count(&mut self, at: Nanos) -> Result<()> {
        let nodes = self.pool.counters();
        self.tell(at, What::Traffic { nodes })
    }

    /// The end: last counters, and every live node's account.
    fn collect(&mut self) -> Result<()> {
        let end = self.plan.end();
        let total = self.plan.nodes.len();
        self.observer.stage(Stage::Collecting { done: 0, total });
        self.count(end)?;
        let fidelity = What::Fidelity {
            lateness: Lateness::default(),
            cpu_pressure: None,
        };
        self.tell(end, fidelity)?;
        self.accounts(end, true)
    }

    /// What the nodes that are up tell of themselves.
    fn accounts(&mut self, at: Nanos, with_ledger: bool) -> Result<()> {
        let mut known = account::KnownStates::default();
        for node in &self.plan.nodes {
            let Some(machine) = self.pool.shard_of(node.id).running(node.id) else {
                continue;
            };
            let mut events = vec![account::peers(node.id, machine)];
            if with_ledger {
                events.push(account::ledger(node.id, machine, &mut known));
            }
            for what in events {
                self.tell(at, what)?;
            }
        }
        Ok(())
    }

    fn write_observations(&mut self) -> Result<()> {
        for Observation { key, what } in self.pool.take_observations() {
            let what = match what {
                Observed::Up(node) => {
                    self.up[node.index()] = true;
                    What::NodeUp { node }
                }
                // Each shard tells of a block when its own nodes first have it.
                Observed::Block(facts, _) if !self.known_blocks.insert(facts.hash.clone()) => {
                    continue;
                }
                Observed::Block(facts, miner) => What::Block {
                    tip: Tip {
                        hash: facts.hash,
                        height: facts.height,
                    },
                    prev: facts.prev,
                    miner,
                    size: facts.size,
                    txs: facts.tx.len() as u32,
                    txids: facts.tx.into_iter().skip(1).collect(),
                },
                Observed::Tip(node, hash, height) => {
                    let name = self.names.entry(hash).or_insert_with(|| hash.to_string());
                    let tip = Tip {
                        hash: name.clone(),
                        height,
                    };
                    What::Tip { node, tip }
                }
                Observed::Failed(node, reason) => {
                    self.up[node.index()] = false;
                    What::NodeDown {
                        node,
                        how: None,
                        status: None,
                        reason: Some(reason),
                    }
                }
            };
            self.tell(key.at, what)?;
        }
        Ok(())
    }

    fn tell(&self, t: Nanos, what: What) -> Result<()> {
        self.observer.event(&RunEvent { t, what })
    }
}

/// When counters are written: at regular times. (At phase borders they are written anyway.)
struct CountTimes {
    next: Nanos,
    interval: Nanos,
}

impl CountTimes {
    fn of(plan: &Plan) -> CountTimes {
        let rows = plan.nodes.len() as u64;
        let interval = Nanos(COUNT_INTERVAL.0 * rows.div_ceil(ROWS_PER_SECOND_MAX).max(1));
        CountTimes {
            next: Nanos::ZERO,
            interval,
        }
    }

    fn peek(&self) -> Option<Nanos> {
        Some(self.next)
    }

    fn advance(&mut self) {
        self.next = self.next.saturating_add(self.interval);
    }
}
