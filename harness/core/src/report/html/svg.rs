//! The few drawing words that the charts use, and the axis of time that they share. Colours and
//! strokes are classes of the page's style sheet.

use maud::{Markup, PreEscaped, html};
use peerlab_link::Nanos;

use crate::check::{Branch, Charts};
use crate::words;

/// Width of the charts over time in drawing units; the page scales it.
pub const WIDTH: f64 = 1000.0;
/// Where charts over time begin: room for names on the left.
pub const LEFT: f64 = 96.0;
/// Where they end.
pub const RIGHT: f64 = WIDTH - 12.0;

/// About how many ticks an axis gets.
const TICKS: f64 = 8.0;

/// How many colours losing branches have; further ones begin anew.
const BRANCH_COLORS: u32 = 5;

/// A drawing in the making.
#[derive(Debug)]
pub struct Drawing {
    body: String,
    width: f64,
    height: f64,
}

impl Drawing {
    /// An empty one of the width of the charts over time.
    pub fn new(height: f64) -> Drawing {
        Drawing::sized(WIDTH, height)
    }

    /// An empty one.
    pub fn sized(width: f64, height: f64) -> Drawing {
        Drawing {
            body: String::new(),
            width,
            height,
        }
    }

    fn add(&mut self, shape: Markup) {
        self.body.push_str(&shape.into_string());
    }

    /// A rectangle with rounded corners; `title` shows when a pointer rests on it.
    pub fn rect(&mut self, class: &str, place: [f64; 4], radius: f64, title: &str) {
        let [x, y, w, h] = place.map(tenths);
        self.add(html! {
            rect class=(class) x=(x) y=(y) width=(w) height=(h) rx=(tenths(radius)) { (titled(title)) }
        });
    }

    /// A straight line.
    pub fn line(&mut self, class: &str, ends: [f64; 4]) {
        let [x1, y1, x2, y2] = ends.map(tenths);
        self.add(html! { line class=(class) x1=(x1) y1=(y1) x2=(x2) y2=(y2) {} });
    }

    /// A circle.
    pub fn dot(&mut self, class: &str, place: [f64; 2], radius: f64, title: &str) {
        let [x, y] = place.map(tenths);
        self.add(
            html! { circle class=(class) cx=(x) cy=(y) r=(tenths(radius)) { (titled(title)) } },
        );
    }

    /// A path, in SVG's own language.
    pub fn path(&mut self, class: &str, d: &str) {
        self.add(html! { path class=(class) d=(d) {} });
    }

    /// Text; `anchor` is `start`, `middle` or `end`.
    pub fn text(&mut self, class: &str, place: [f64; 2], anchor: &str, text: &str) {
        let [x, y] = place.map(tenths);
        self.add(html! { text class=(class) x=(x) y=(y) text-anchor=(anchor) { (text) } });
    }

    /// The whole `<svg>`, with what it shows for those who cannot see it.
    pub fn finish(self, what: &str) -> Markup {
        let class = if self.width < WIDTH { "narrow" } else { "wide" };
        let view = format!("0 0 {:.0} {:.0}", self.width, self.height);
        html! {
            svg class=(class) viewBox=(view) role="img" aria-label=(what) { (PreEscaped(self.body)) }
        }
    }
}

fn tenths(length: f64) -> String {
    format!("{length:.1}")
}

fn titled(title: &str) -> Markup {
    html! { @if !title.is_empty() { title { (title) } } }
}

/// The class of a branch's colour.
pub fn branch_class(branch: Option<Branch>) -> String {
    match branch {
        None => "unknown".to_owned(),
        Some(Branch::Final) => "final".to_owned(),
        Some(Branch::Losing(n)) => format!("lose{}", n % BRANCH_COLORS),
    }
}

/// The axis of time that the charts over time share.
#[derive(Clone, Copy, Debug)]
pub struct TimeAxis {
    end: Nanos,
}

impl TimeAxis {
    /// From `go` to `end`.
    pub fn to(end: Nanos) -> TimeAxis {
        TimeAxis {
            end: end.max(Nanos(1)),
        }
    }

    /// Where an instant is drawn.
    pub fn x(&self, t: Nanos) -> f64 {
        let share = t.min(self.end).as_secs_f64() / self.end.as_secs_f64();
        LEFT + share * (RIGHT - LEFT)
    }

    /// Partitions as shaded bands, and the borders of phases, behind a chart from `top` to
    /// `bottom`.
    pub fn backdrop(&self, d: &mut Drawing, charts: &Charts, [top, bottom]: [f64; 2]) {
        for p in &charts.partitions {
            let (from, to) = (self.x(p.from), self.x(p.to));
            let band = [from, top, (to - from).max(1.0), bottom - top];
            d.rect("band", band, 0.0, &p.label);
        }
        for phase in charts.phases.iter().skip(1) {
            let x = self.x(phase.from);
            d.line("border", [x, top, x, bottom]);
        }
    }

    /// Ticks with their seconds under a chart.
    pub fn ticks(&self, d: &mut Drawing, y: f64) {
        for tick in ticks(self.end.as_secs_f64()) {
            let x = self.x(Nanos((tick * 1e9) as u64));
            d.line("axis", [x, y, x, y + 4.0]);
            d.text("label", [x, y + 17.0], "middle", &format!("{tick} s"));
        }
    }
}

/// Round numbers from zero to `max`, about [`TICKS`] of them: steps of 1, 2 or 5 times a power
/// of ten.
pub fn ticks(max: f64) -> Vec<f64> {
    if max.is_nan() || max <= 0.0 {
        return vec![0.0];
    }
    let rough = max / TICKS;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|m| m * power)
        .find(|s| *s >= rough)
        .unwrap_or(10.0 * power);
    let count = (max / step + 1e-9).floor() as u32;
    // Rounded, so that 0.1 + 0.2 is shown as 0.3.
    (0..=count)
        .map(|i| (f64::from(i) * step * 1e6).round() / 1e6)
        .collect()
}

/// Horizontal lines with rates beside them, for an axis from `bottom` (zero) up to `top` (`max`).
pub fn rate_grid(d: &mut Drawing, max: f64, [top, bottom]: [f64; 2]) {
    for tick in ticks(max).into_iter().step_by(2) {
        let y = bottom - tick / max * (bottom - top);
        d.line("grid", [LEFT, y, RIGHT, y]);
        let rate = words::rate(tick as u64);
        d.text("label", [LEFT - 8.0, y + 4.0], "end", &rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(90.0), [0.0, 20.0, 40.0, 60.0, 80.0]);
        assert_eq!(ticks(8.0).len(), 9);
        assert_eq!(ticks(0.0), [0.0]);
        assert_eq!(ticks(f64::NAN), [0.0]);
        for max in [0.003, 0.7, 1.0, 13.0, 4000.0, 1e12] {
            let ticks = ticks(max);
            assert!((4..=10).contains(&ticks.len()), "{max}: {ticks:?}");
        }
    }

    #[test]
    fn nothing_written_becomes_markup() {
        let mut d = Drawing::new(10.0);
        d.text("label", [0.0, 0.0], "start", "</svg><script>");
        d.rect("\"><script>", [0.0; 4], 0.0, "</title><script>");
        let text = d.finish("\"><script>").into_string();
        assert!(!text.contains("<script"), "{text}");
        assert!(text.contains("&quot;&gt;&lt;script&gt;"), "{text}");
    }
}
