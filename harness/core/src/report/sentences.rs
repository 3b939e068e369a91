//! What a run came to, in sentences that the terminal and the page share. How they are laid out is not
//! known here.

use peerlab_link::Nanos;

use crate::check::{
    Bandwidth, DoubleSpend, EarlierTry, Figures, Forks, HeldFigure, Judgement, MissedKind,
    PartitionStory, PhaseCosts, Propagation, SpendSide, Unit, Verdict, Waiting, missed_story,
};
use crate::words;

/// What the cells of [`cost_cells`] are.
pub const COST_TITLES: [&str; 8] = [
    "",
    "blocks",
    "to 50 %",
    "to 90 %",
    "to 99 %",
    "mean/node",
    "p95/node",
    "waited",
];

/// What a phase, or the whole run, cost: how long blocks took to reach so many, bytes, and how long nodes
/// waited for a CPU.
pub fn cost_cells((phase, propagation, bandwidth, waiting): PhaseCosts<'_>) -> [String; 8] {
    const UNKNOWN: &str = "-";
    let reach = |figure: fn(&Propagation) -> Option<Nanos>| {
        let reached = propagation.and_then(figure);
        reached.map_or(UNKNOWN.to_owned(), words::duration)
    };
    let rate = |figure: fn(&Bandwidth) -> u64| {
        bandwidth.map_or(UNKNOWN.to_owned(), |b| words::rate(figure(b)))
    };
    [
        phase.unwrap_or("whole run").to_owned(),
        propagation.map_or(0, |p| p.blocks).to_string(),
        reach(|p| p.p50_ns),
        reach(|p| p.p90_ns),
        reach(|p| p.p99_ns),
        rate(|b| b.per_node.mean),
        rate(|b| b.per_node.p95),
        waiting.map_or(UNKNOWN.to_owned(), |w| {
            words::percent(w.waited_percent / 100.0)
        }),
    ]
}

/// One partition, from split to agreement, in a sentence.
pub fn partition_story(p: &PartitionStory) -> String {
    let sides: Vec<String> = p.sides.iter().map(usize::to_string).collect();
    let mut story = format!(
        "partition at {} split {} nodes",
        words::instant(p.from_ns),
        sides.join("|")
    );
    story.push_str(&match p.branches {
        0 => String::new(),
        1 => ": no fork".to_owned(),
        n => format!(
            ": {n} branches, {} deep",
            words::count(u64::from(p.depth), "block")
        ),
    });
    story.push_str(&match (p.healed_ns, p.agreed_after_ns) {
        (None, _) => "; never healed".to_owned(),
        (Some(t), _) if p.branches == 0 => format!("; healed at {}", words::instant(t)),
        (Some(t), None) => format!("; healed at {}, never agreed again", words::instant(t)),
        (Some(t), Some(after)) => format!(
            "; healed at {}, agreed {} later",
            words::instant(t),
            words::duration(after)
        ),
    });
    if p.stale_blocks > 0 {
        story.push_str(&format!(
            "; {}",
            words::count(u64::from(p.stale_blocks), "stale block")
        ));
    }
    story
}

/// Blocks mined and lost, the deepest reorganisation, and what did not happen, with the reasons.
pub fn block_sums(judgement: &Judgement) -> String {
    let figures = &judgement.figures;
    let forks = &figures.forks;
    let mut text = if forks.tells_of_a_chain() {
        chain_sums(forks)
    } else {
        "no node tells of a chain".to_owned()
    };
    let not_taken = u32::try_from(figures.transactions_refused).unwrap_or(u32::MAX);
    for (action, total) in [
        (MissedKind::Block, figures.mine_missed),
        (MissedKind::Transaction, not_taken),
    ] {
        if let Some(missed) = missed_story(&figures.missed, action, total) {
            text.push_str("; ");
            text.push_str(&missed);
        }
    }
    text
}

/// Blocks mined and lost, and the deepest reorganisation.
fn chain_sums(forks: &Forks) -> String {
    let mined = words::count(u64::from(forks.mined_blocks), "block");
    let mut text = format!("{mined} mined");
    if let Some(rate) = forks.stale_rate {
        text.push_str(&format!(
            ", {} stale ({})",
            forks.stale_blocks,
            words::percent(rate)
        ));
    }
    match &forks.deepest_reorg {
        Some(reorg) if reorg.depth > 0 => text.push_str(&format!(
            "; deepest reorganisation {}",
            words::count(u64::from(reorg.depth), "block")
        )),
        _ => text.push_str("; no reorganisation"),
    }
    text
}

/// Dropped packets by reason, if there are any.
pub fn drops(figures: &Figures) -> Option<String> {
    let of = |(reason, n): (&String, &u64)| {
        format!("{} {}", reason.replace('_', " "), words::thousands(*n))
    };
    let drops: Vec<String> = figures.drops.iter().map(of).collect();
    (!drops.is_empty()).then(|| drops.join(", "))
}

/// What the times that nodes waited are part of, and how much of them others made.
pub fn for_others(waiting: &Waiting) -> String {
    format!(
        "of the time a CPU was wanted; {:.1} % because of other programs, which used {:.2} of {}",
        waiting.for_others_percent,
        waiting.other_cpus,
        words::count(u64::from(waiting.cpus), "CPU")
    )
}

/// One double spend in a sentence.
pub fn double_spend_story(spend: &DoubleSpend) -> String {
    let Some(first) = spend.sides.first() else {
        return spend.flaw.clone().unwrap_or_default();
    };
    let fate = |side: &SpendSide| match (side.confirmed_height, side.undone) {
        (Some(height), _) => format!("{}'s is final at height {height}", side.node),
        (None, true) => format!("{}'s was mined and undone", side.node),
        (None, false) => format!("{}'s was never mined", side.node),
    };
    let nodes: Vec<String> = spend.sides.iter().map(|s| s.node.clone()).collect();
    let fates: Vec<String> = spend.sides.iter().map(fate).collect();
    let mut story = format!(
        "conflicting transactions given to {} at {}: {}",
        words::names(&nodes),
        words::instant(first.submitted_ns),
        fates.join(", ")
    );
    if let Some(flaw) = &spend.flaw {
        story.push_str(&format!(" ({flaw})"));
    }
    story
}

/// An expectation that failed: what was measured, what it had to be, and what happened.
pub fn failure(verdict: &Verdict) -> String {
    format!(
        "{}: {} ({}). {}",
        verdict.expectation,
        verdict.measured.as_deref().unwrap_or("not measured"),
        verdict.bound,
        verdict.sentence
    )
}

/// An earlier try of a run, and why it was not the last.
pub fn earlier_try(earlier: &EarlierTry) -> String {
    let because = earlier.inconclusive_because.join("; ");
    format!("{} was inconclusive: {because}", earlier.folder)
}

/// How likely something is by chance: what is rare, as one of so many.
pub fn by_chance(chance: f64) -> String {
    match chance {
        0.01.. => words::percent(chance),
        0.0.. if chance > RAREST => format!("1 in {}", words::thousands((1.0 / chance) as u64)),
        _ => "< 1 in 1,000,000".to_owned(),
    }
}

/// Rarer than this, a number says no more.
const RAREST: f64 = 1e-6;

/// A figure that is worse than the baseline's, and how likely that is by chance.
pub fn worse_figure(figure: &HeldFigure) -> String {
    let value = |value| figure_value(value, figure.unit);
    let change = match figure.change() {
        Some(change) => format!(" ({:+.1} %)", change * 100.0),
        None => String::new(),
    };
    format!(
        "{}: the median is {}, where the baseline's is {}{change}. By chance: {}.",
        figure.what,
        value(figure.runs.median),
        value(figure.baseline.median),
        by_chance(figure.by_chance)
    )
}

/// A figure's value; what never came to be is infinite.
pub fn figure_value(value: f64, unit: Unit) -> String {
    match unit {
        _ if value.is_infinite() => "never".to_owned(),
        Unit::Time => words::duration(Nanos(value as u64)),
        Unit::Rate => words::rate(value as u64),
        Unit::Share => words::percent(value),
        Unit::Count if value.fract() == 0.0 => words::thousands(value as u64),
        Unit::Count => format!("{value:.1}"),
    }
}

/// From a value to another; where both read the same, that alone.
pub fn from_to(ends: [f64; 2], unit: Unit) -> String {
    let [from, to] = ends.map(|value| figure_value(value, unit));
    if from == to {
        from
    } else {
        format!("{from} to {to}")
    }
}
