//! The nodes over time: one row each, coloured by the branch that its tip is on, empty while it
//! is down.

use maud::Markup;

use super::svg::{Drawing, LEFT, RIGHT, TimeAxis, branch_class};
use crate::check::{Branch, Charts, NodeRow};
use crate::words;

/// Room above the rows for the names of phases and partitions.
const TOP: f64 = 40.0;
/// Room below for the seconds.
const BOTTOM: f64 = 26.0;
/// Rows at least this high have their name beside them, and their changes of tip on them.
const NAMED_ROW: f64 = 11.0;
/// From one name to the next at least; lower rows have a name each few.
const NAME_ROOM: f64 = 13.0;

/// Draws them; `None` when there is none.
pub fn node_chart(charts: &Charts) -> Option<Markup> {
    if charts.rows.is_empty() {
        return None;
    }
    let row_height = match charts.rows.len() {
        ..=16 => 20.0,
        17..=40 => 13.0,
        41..=70 => 8.0,
        _ => 6.0,
    };
    let bottom = TOP + row_height * charts.rows.len() as f64;
    let axis = TimeAxis::to(charts.end);
    let mut d = Drawing::new(bottom + BOTTOM);
    axis.backdrop(&mut d, charts, [TOP - 20.0, bottom]);
    for phase in &charts.phases {
        let middle = (axis.x(phase.from) + axis.x(phase.to)) / 2.0;
        d.text("phase", [middle, 12.0], "middle", &phase.label);
    }
    for p in &charts.partitions {
        d.text(
            "band-label",
            [axis.x(p.from) + 5.0, TOP - 7.0],
            "start",
            &p.label,
        );
    }
    for (i, row) in charts.rows.iter().enumerate() {
        let top = TOP + i as f64 * row_height;
        draw_row(&mut d, &axis, row, [top, row_height]);
        let every = (NAME_ROOM / row_height).ceil() as usize;
        if i % every == 0 {
            let middle = top + row_height / 2.0 + 4.0;
            d.text("label", [LEFT - 8.0, middle], "end", &row.name);
        }
    }
    d.line("axis", [LEFT, bottom, RIGHT, bottom]);
    axis.ticks(&mut d, bottom);
    Some(d.finish("Each node over time, coloured by the branch that its tip is on"))
}

fn draw_row(d: &mut Drawing, axis: &TimeAxis, row: &NodeRow, [top, height]: [f64; 2]) {
    let gap = if height >= NAMED_ROW { 4.0 } else { 1.0 };
    let (y, h) = (top + gap / 2.0, height - gap);
    for span in &row.spans {
        let (from, to) = (axis.x(span.from), axis.x(span.to));
        let on = match span.branch {
            None => "up, tip unknown".to_owned(),
            Some(Branch::Final) => "on the final chain".to_owned(),
            Some(Branch::Losing(n)) => format!("on losing branch {}", n + 1),
        };
        let title = format!(
            "{}: {on} from {} to {}",
            row.name,
            words::instant(span.from),
            words::instant(span.to)
        );
        d.rect(
            &branch_class(span.branch),
            [from, y, (to - from).max(0.8), h],
            h.min(6.0) / 3.0,
            &title,
        );
    }
    if height >= NAMED_ROW {
        for t in &row.tips {
            let x = axis.x(*t);
            d.line("tick", [x, y + 1.0, x, y + h - 1.0]);
        }
    }
}
