//! How fast blocks spread: the share of receivers that had a block, over the time since its
//! birth; one curve a phase.

use maud::Markup;
use peerlab_link::Nanos;

use super::svg::{Drawing, ticks};
use crate::check::Propagation;
use crate::words;

/// Width of the drawing, and where the plot in it begins and ends.
const WIDTH: f64 = 480.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = WIDTH - 22.0;
/// The plot's top and bottom.
const PLOT: [f64; 2] = [12.0, 210.0];
/// Room below for the axis.
const BOTTOM: f64 = 26.0;
/// The slowest receivers beyond this many times the p90 would press the rest together: the axis
/// then ends there, and the curve with it.
const TAIL_TIMES_P90: u64 = 4;

/// Draws it; `None` when no block spread.
pub fn propagation_chart(propagation: &[Propagation]) -> Option<Markup> {
    let curves: Vec<&Propagation> = propagation
        .iter()
        .filter(|p| p.phase.is_some() && !p.curve_ns.is_empty())
        .collect();
    let end = curves.iter().filter_map(|p| drawn_to(p)).max()?;
    let end = end.max(Nanos(1));
    let [top, bottom] = PLOT;
    let mut d = Drawing::sized(WIDTH, bottom + BOTTOM);
    let x = |t: Nanos| LEFT + t.as_secs_f64() / end.as_secs_f64() * (RIGHT - LEFT);
    let y = |percent: f64| bottom - percent / 100.0 * (bottom - top);
    for percent in [0.0, 50.0, 90.0, 99.0] {
        d.line("grid", [LEFT, y(percent), RIGHT, y(percent)]);
        // 99 % would stand on 90 %.
        let lift = if percent > 95.0 { -2.0 } else { 4.0 };
        d.text(
            "label",
            [LEFT - 8.0, y(percent) + lift],
            "end",
            &format!("{percent} %"),
        );
    }
    for tick in ticks(end.as_secs_f64() * 1e3).into_iter().step_by(2) {
        let t = Nanos((tick * 1e6) as u64);
        d.line("axis", [x(t), bottom, x(t), bottom + 4.0]);
        d.text(
            "label",
            [x(t), bottom + 18.0],
            "middle",
            &words::duration(t),
        );
    }
    d.line("axis", [LEFT, bottom, RIGHT, bottom]);
    for (i, p) in curves.iter().enumerate() {
        let mut path = format!("M{LEFT:.1} {:.1} ", y(0.0));
        for (percent, t) in (1..).zip(&p.curve_ns) {
            if *t > end {
                break;
            }
            path.push_str(&format!("L{:.1} {:.1} ", x(*t), y(f64::from(percent))));
        }
        d.path(&format!("curve {}", curve_class(i)), &path);
    }
    Some(d.finish("Share of receivers that had a block, over the time since its birth"))
}

/// The class of the colour of the i-th phase's curve.
pub fn curve_class(i: usize) -> &'static str {
    ["final", "lose0", "lose2", "lose1", "lose3"][i % 5]
}

/// Where the axis must reach for this curve.
fn drawn_to(p: &Propagation) -> Option<Nanos> {
    let slowest = *p.curve_ns.last()?;
    let p90 = *p.curve_ns.get(89).unwrap_or(&slowest);
    Some(slowest.min(Nanos(p90.0.saturating_mul(TAIL_TIMES_P90).max(1))))
}
