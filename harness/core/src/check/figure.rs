//! A run's figures one by one, as several runs are summed up and compared. What each means stands
//! where it is measured.

use peerlab_link::Nanos;
use serde::{Deserialize, Serialize};

use super::bandwidth::Quantiles;
use super::estimate::Estimate;
use super::judgement::{Judgement, PhaseCosts};
use super::propagation::Propagation;

/// What a figure counts, which says how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    #[serde(rename = "ns")]
    Time,
    #[serde(rename = "bytes_per_s")]
    Rate,
    #[serde(rename = "count")]
    Count,
    /// Of one.
    #[serde(rename = "share")]
    Share,
}

/// Which figure it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Key {
    pub what: String,
    /// Of this phase; `None` for the whole run.
    pub phase: Option<String>,
    pub unit: Unit,
    /// Whether two sides may be held against each other by it: figures that follow from few events,
    /// such as the depth of one fork, differ by chance.
    #[serde(skip)]
    pub bounded: bool,
    /// Whether a run in which it does not occur has none of it, as of a kind of message.
    #[serde(skip)]
    pub counted: bool,
    /// Which way it gets worse, where it says how well the network does; `None` of what only
    /// describes it, or speaks of the host.
    #[serde(skip)]
    pub worse: Option<Worse>,
}

/// Which way a figure gets worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Worse {
    Greater,
    Less,
}

/// One figure of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    pub key: Key,
    /// Infinite where it never came to be; `None` where there was nothing to measure.
    pub value: Option<f64>,
}

/// All figures of a run.
pub fn figures(run: &Judgement) -> Vec<Figure> {
    let mut list = List::default();
    list.blocks(run);
    list.agreement(run);
    list.nodes_and_work(run);
    list.group_delays(run);
    let (phases, whole): (Vec<_>, Vec<_>) = run.costs().partition(|(phase, ..)| phase.is_some());
    whole.into_iter().for_each(|costs| list.costs(costs));
    list.bytes_and_drops(run);
    phases.into_iter().for_each(|costs| list.costs(costs));
    list.figures
}

/// The time to a share of the nodes.
fn reach(propagation: &Propagation, percent: u8) -> Option<f64> {
    let measured = match percent {
        50 => propagation.p50_ns,
        90 => propagation.p90_ns,
        _ => propagation.p99_ns,
    };
    let never = propagation.most_never_reached_percent;
    let is_never = never.is_some_and(|least| least <= percent);
    time(measured).or(is_never.then_some(f64::INFINITY))
}

fn time(t: Option<Nanos>) -> Option<f64> {
    t.map(|t| t.0 as f64)
}

#[derive(Default)]
struct List {
    phase: Option<String>,
    figures: Vec<Figure>,
}

impl List {
    fn add(&mut self, what: &str, unit: Unit, bounded: bool, value: Option<f64>) {
        let key = Key {
            what: what.to_owned(),
            phase: self.phase.clone(),
            unit,
            bounded,
            counted: false,
            worse: None,
        };
        self.figures.push(Figure { key, value });
    }

    /// Says of the last figure which way it gets worse.
    fn worse(&mut self, worse: Worse) {
        if let Some(last) = self.figures.last_mut() {
            last.key.worse = Some(worse);
        }
    }

    fn count(&mut self, what: &str, value: Option<u32>) {
        self.add(what, Unit::Count, false, value.map(f64::from));
    }

    fn blocks(&mut self, run: &Judgement) {
        let forks = &run.figures.forks;
        self.count("blocks mined", Some(forks.mined_blocks));
        self.count("blocks not mined", Some(run.figures.mine_missed));
        self.worse(Worse::Greater);
        self.count("stale blocks", Some(forks.stale_blocks));
        self.add(
            "share of stale blocks",
            Unit::Share,
            false,
            forks.stale_rate,
        );
        self.worse(Worse::Greater);
        let deepest = forks.deepest_reorg.as_ref();
        let deepest = deepest.map_or(0, |reorg| reorg.depth);
        self.count("deepest reorganisation", Some(deepest));
        self.worse(Worse::Greater);
        self.count("reorganisations", Some(forks.reorgs));
    }

    fn agreement(&mut self, run: &Judgement) {
        let healed = run
            .figures
            .partitions
            .iter()
            .filter(|p| p.healed_ns.is_some());
        let after = healed.map(|p| time(p.agreed_after_ns).unwrap_or(f64::INFINITY));
        let heals = Estimate::of(after.collect()).map(|heals| heals.median);
        self.add("agreement after a heal", Unit::Time, false, heals);
        self.worse(Worse::Greater);
        let settle = run.figures.settle.as_ref();
        let settle = settle.map(|s| time(s.time_ns).unwrap_or(f64::INFINITY));
        self.add("agreement at settle", Unit::Time, false, settle);
        self.worse(Worse::Greater);
    }

    fn nodes_and_work(&mut self, run: &Judgement) {
        let figures = &run.figures;
        self.count("nodes live at the end", Some(figures.live_at_end));
        self.worse(Worse::Less);
        self.count(
            "nodes down unasked",
            u32::try_from(figures.deaths.len()).ok(),
        );
        self.worse(Worse::Greater);
        let mean = figures.connections_mean;
        self.add("connections of a node", Unit::Count, false, mean);
        for (what, number) in [
            ("transactions taken", figures.transactions_accepted),
            ("transactions not taken", figures.transactions_refused),
        ] {
            self.add(what, Unit::Count, false, Some(number as f64));
        }
        self.worse(Worse::Greater);
        let late = figures.fidelity.late_percent() / 100.0;
        let late = figures.fidelity.measured.then_some(late);
        self.add("packets that came late", Unit::Share, false, late);
        let up = run.run.bring_up_ns;
        let up = (up > Nanos::ZERO).then_some(up);
        self.add("all nodes up after", Unit::Time, false, time(up));
    }

    /// Where there are groups to compare.
    fn group_delays(&mut self, run: &Judgement) {
        let delays = &run.figures.group_delays;
        for delay in delays.iter().filter(|_| delays.len() > 1) {
            for (which, value) in [("median", delay.median_ns), ("mean", delay.mean_ns)] {
                let what = format!("blocks reach {}, {which}", delay.group);
                self.add(&what, Unit::Time, false, time(value));
            }
        }
    }

    fn costs(&mut self, (phase, propagation, bandwidth, waiting): PhaseCosts<'_>) {
        self.phase = phase.map(str::to_owned);
        if phase.is_some() {
            self.count("blocks mined", Some(propagation.map_or(0, |p| p.blocks)));
        }
        for percent in [50, 90, 99] {
            let reach = propagation.and_then(|p| reach(p, percent));
            let what = format!("block propagation p{percent}");
            self.add(&what, Unit::Time, percent < 99, reach);
            self.worse(Worse::Greater);
        }
        let [mean, p95] = [|q: Quantiles| q.mean, |q: Quantiles| q.p95]
            .map(|of| bandwidth.map(|bandwidth| of(bandwidth.per_node) as f64));
        self.add("bytes of a node, mean", Unit::Rate, true, mean);
        self.worse(Worse::Greater);
        self.add("bytes of a node, p95", Unit::Rate, false, p95);
        self.worse(Worse::Greater);
        let waited = waiting.map(|w| w.waited_percent / 100.0);
        self.add("waited for a CPU", Unit::Share, false, waited);
    }

    fn bytes_and_drops(&mut self, run: &Judgement) {
        let before = self.figures.len();
        for message in &run.figures.messages {
            let what = format!("share of bytes: {}", message.message);
            self.add(&what, Unit::Share, false, Some(message.share));
        }
        for (reason, packets) in &run.figures.drops {
            let what = format!("packets dropped: {}", reason.replace('_', " "));
            self.add(&what, Unit::Count, false, Some(*packets as f64));
        }
        for figure in &mut self.figures[before..] {
            figure.key.counted = true;
        }
    }
}

/// Which figures some runs have, phase by phase, in the order in which the first that has them tells
/// them. Those that no run has would only take room, unless it must be seen that they are missing.
pub fn keys<'a>(runs: &[&'a [Figure]]) -> Vec<&'a Key> {
    let mut keys: Vec<&Key> = Vec::new();
    for figure in runs.iter().flat_map(|figures| figures.iter()) {
        let shown = figure.value.is_some() || figure.key.bounded;
        if shown && !keys.contains(&&figure.key) {
            keys.push(&figure.key);
        }
    }
    let told = keys.clone();
    keys.sort_by_key(|key| told.iter().position(|other| other.phase == key.phase));
    keys
}

/// A figure's value in a run.
pub fn value(run: &[Figure], key: &Key) -> Option<f64> {
    let found = run.iter().find(|figure| figure.key == *key);
    found.map_or(key.counted.then_some(0.0), |figure| figure.value)
}

/// Those of some runs whose figures say something of the network: where neither the host nor a fault
/// without effect has touched them. All of them where there is no such run.
pub fn telling<T>(runs: &[T], inconclusive_because: impl Fn(&T) -> &[String]) -> Vec<&T> {
    let sound = |run: &&T| inconclusive_because(run).is_empty();
    let sound: Vec<&T> = runs.iter().filter(sound).collect();
    if sound.is_empty() {
        runs.iter().collect()
    } else {
        sound
    }
}
