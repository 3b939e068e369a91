//! The tree of blocks over time: the final chain on top, losing branches below it where they
//! left it.

use maud::Markup;

use super::svg::{Drawing, LEFT, TimeAxis, branch_class};
use crate::check::{BlockDot, Branch, Charts};
use crate::words;

/// The middle of the lane of the final chain.
const FIRST_LANE: f64 = 30.0;
/// From one lane to the next.
const LANE: f64 = 34.0;
/// Room below the last lane for the seconds.
const BOTTOM: f64 = 40.0;
/// Most lanes for losing branches; those for whom none is free share the last.
const LOSING_LANES_MAX: usize = 8;
/// A block is drawn as a box with its height where the next in its lane is this far.
const BOX: [f64; 2] = [30.0, 18.0];

/// Draws it; `None` when nothing was mined.
pub fn block_chart(charts: &Charts) -> Option<Markup> {
    if charts.blocks.is_empty() {
        return None;
    }
    let axis = TimeAxis::to(charts.end);
    let lanes = lanes(charts, &axis);
    let last_lane = lanes.iter().copied().max().unwrap_or(0);
    let bottom = FIRST_LANE + last_lane as f64 * LANE + 22.0;
    let mut d = Drawing::new(bottom + BOTTOM - 14.0);
    axis.backdrop(&mut d, charts, [4.0, bottom]);
    let place = |i: usize| {
        [
            axis.x(charts.blocks[i].t),
            FIRST_LANE + lanes[i] as f64 * LANE,
        ]
    };
    for (i, block) in charts.blocks.iter().enumerate() {
        let [x, y] = place(i);
        let [px, py] = block.parent.map_or([LEFT, FIRST_LANE], place);
        // A branch leaves its parent's lane at once, so that it hides nothing of it.
        let bend = (x - px).min(26.0);
        let (middle, end) = (px + bend / 2.0, px + bend);
        let link = format!(
            "M{px:.1} {py:.1} C{middle:.1} {py:.1} {middle:.1} {y:.1} {end:.1} {y:.1} L{x:.1} {y:.1}"
        );
        d.path(&format!("link {}", branch_class(Some(block.branch))), &link);
    }
    d.dot("base", [LEFT, FIRST_LANE], 4.0, "the pre-mined chain");
    d.text("label", [LEFT - 10.0, FIRST_LANE + 4.0], "end", "blocks");
    let boxed = room_for_boxes(charts, &lanes, &axis);
    for (i, block) in charts.blocks.iter().enumerate() {
        draw_block(&mut d, block, place(i), boxed);
    }
    axis.ticks(&mut d, bottom);
    Some(d.finish("The tree of blocks over time, losing branches below the final chain"))
}

fn draw_block(d: &mut Drawing, block: &BlockDot, [x, y]: [f64; 2], boxed: bool) {
    let class = branch_class(Some(block.branch));
    let title = format!(
        "block {} at {}{}, {}, {}: {}",
        block.height,
        words::instant(block.t),
        block
            .miner
            .as_ref()
            .map_or_else(String::new, |m| format!(" by {m}")),
        words::count(u64::from(block.txs), "transaction"),
        words::bytes(block.size),
        block.hash
    );
    if boxed {
        let [w, h] = BOX;
        d.rect(&class, [x - w / 2.0, y - h / 2.0, w, h], 4.0, &title);
        d.text(
            "on-block",
            [x, y + 4.0],
            "middle",
            &block.height.to_string(),
        );
    } else {
        d.dot(&class, [x, y], 4.5, &title);
    }
}

/// Whether boxes would not cover each other.
fn room_for_boxes(charts: &Charts, lanes: &[usize], axis: &TimeAxis) -> bool {
    let mut places: Vec<(usize, f64)> = charts
        .blocks
        .iter()
        .zip(lanes)
        .map(|(b, lane)| (*lane, axis.x(b.t)))
        .collect();
    places.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let close = places
        .windows(2)
        .filter(|w| w[0].0 == w[1].0 && w[1].1 - w[0].1 < BOX[0] + 4.0)
        .count();
    // A pair or two that touch are still legible.
    close * 10 <= places.len()
}

/// Each block's lane: 0 for the final chain; each losing branch takes the first that is free.
fn lanes(charts: &Charts, axis: &TimeAxis) -> Vec<usize> {
    let mut branches: Vec<(u32, f64, f64)> = Vec::new();
    for block in &charts.blocks {
        let Branch::Losing(n) = block.branch else {
            continue;
        };
        let x = axis.x(block.t);
        let from = block.parent.map_or(LEFT, |p| axis.x(charts.blocks[p].t));
        match branches.iter_mut().find(|(number, _, _)| *number == n) {
            Some((_, start, end)) => {
                *start = start.min(x - BOX[0]);
                *end = end.max(x + BOX[0]);
            }
            None => branches.push((n, from.max(x - 2.0 * BOX[0]), x + BOX[0])),
        }
    }
    branches.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut free_from = [f64::NEG_INFINITY; LOSING_LANES_MAX];
    let mut lane_of = std::collections::BTreeMap::new();
    for (number, start, end) in branches {
        let lane = free_from
            .iter()
            .position(|free| *free <= start)
            .unwrap_or(LOSING_LANES_MAX - 1);
        free_from[lane] = free_from[lane].max(end);
        lane_of.insert(number, lane + 1);
    }
    charts
        .blocks
        .iter()
        .map(|b| match b.branch {
            Branch::Final => 0,
            Branch::Losing(n) => lane_of.get(&n).copied().unwrap_or(1),
        })
        .collect()
}
