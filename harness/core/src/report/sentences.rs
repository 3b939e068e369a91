//! What a run came to, in sentences that the terminal and the page share. How they are laid out is not
//! known here.

use crate::check::{DoubleSpend, Figures, Judgement, PartitionStory, SpendSide};
use crate::words;

/// One partition, from split to agreement, in a sentence.
pub fn partition_story(p: &PartitionStory) -> String {
    let sides: Vec<String> = p.sides.iter().map(usize::to_string).collect();
    let mut story = format!(
        "partition at {} split {} nodes: ",
        words::instant(p.from_ns),
        sides.join("|")
    );
    story.push_str(&match p.branches {
        ..=1 => "no fork".to_owned(),
        n => format!(
            "{n} branches, {} deep",
            words::count(u64::from(p.depth), "block")
        ),
    });
    story.push_str(&match (p.healed_ns, p.agreed_after_ns) {
        (None, _) => "; never healed".to_owned(),
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

/// Blocks mined and lost, and the deepest reorganisation.
pub fn block_sums(judgement: &Judgement) -> String {
    let figures = &judgement.figures;
    let forks = &figures.forks;
    let mut text = format!(
        "{} mined",
        words::count(u64::from(forks.mined_blocks), "block")
    );
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
    if figures.mine_missed > 0 {
        text.push_str(&format!(
            "; {} missed, the winner being down",
            words::count(u64::from(figures.mine_missed), "block")
        ));
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
