//! What all nodes together sent, over time.

use maud::Markup;

use super::svg::{Drawing, LEFT, RIGHT, TimeAxis, rate_grid};
use crate::check::Charts;

/// The plot's top and bottom.
const PLOT: [f64; 2] = [12.0, 150.0];
/// Room below for the seconds.
const BOTTOM: f64 = 26.0;

/// Draws it; `None` when no counters were written.
pub fn bandwidth_chart(charts: &Charts) -> Option<Markup> {
    let max = charts
        .rates
        .iter()
        .map(|r| r.sent_bytes_per_s)
        .max()
        .unwrap_or(0);
    if max == 0 {
        return None;
    }
    let max = max as f64 * 1.05;
    let [top, bottom] = PLOT;
    let axis = TimeAxis::to(charts.end);
    let mut d = Drawing::new(bottom + BOTTOM);
    axis.backdrop(&mut d, charts, PLOT);
    rate_grid(&mut d, max, PLOT);
    // Each sample is the mean since the one before: a staircase, not a slope.
    let mut x = LEFT;
    let mut stairs = String::new();
    for sample in &charts.rates {
        let y = bottom - sample.sent_bytes_per_s as f64 / max * (bottom - top);
        let to = axis.x(sample.t);
        stairs.push_str(&format!("L{x:.1} {y:.1} L{to:.1} {y:.1} "));
        x = to;
    }
    d.path(
        "area",
        &format!("M{LEFT:.1} {bottom:.1} {stairs}L{x:.1} {bottom:.1} Z"),
    );
    d.path("curve final", &stairs.replacen('L', "M", 1));
    d.line("axis", [LEFT, bottom, RIGHT, bottom]);
    axis.ticks(&mut d, bottom);
    Some(d.finish("Bytes per second that all nodes together sent, over time"))
}
