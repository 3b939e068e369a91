//! The nodes as they know each other by the plan, in their regions, coloured by the branch that their
//! tips are on: at the end of the run, and by the page's script at the instant that a slider says.

use maud::{Markup, html};
use peerlab_link::Nanos;

use super::svg::branch_class;
use crate::check::{Charts, GraphNode};
use crate::view::{Disc, SIZE, place};
use crate::words;

/// What a node's colour is while it is down.
const DOWN: &str = "down";
/// What moves the slider; it stands in the page as it is.
pub const SCRIPT: &str = include_str!("peer_chart.js");
/// Steps of the slider.
const STEPS: u64 = 1_000;
/// Room around a region's nodes, and for its name above them.
const MARGIN: f64 = 14.0;
const NAME_MARGIN: f64 = 20.0;

/// Draws it; `None` where there is nothing to draw.
pub fn peer_chart(charts: &Charts) -> Option<Markup> {
    let graph = &charts.peers;
    if graph.nodes.is_empty() {
        return None;
    }
    let placement = place(graph.nodes.iter().map(|node| node.region.as_str()));
    let radius = match graph.nodes.len() {
        ..=60 => "8",
        61..=300 => "5.5",
        _ => "3.5",
    };
    let at = |index: usize| placement.nodes.get(index).copied().unwrap_or_default();
    let view = format!("0 0 {:.0} {:.0}", SIZE[0], SIZE[1]);
    let millis = charts.end.0 / 1_000_000;
    let partitions = charts.partitions.iter();
    let partitions = partitions.map(|it| format!("{} {}", millis_of(it.from), millis_of(it.to)));
    let partitions = partitions.collect::<Vec<_>>().join(" ");
    Some(html! {
        p.slider {
            input #peer-time type="range" min="0" max=(millis) value=(millis)
                step=((millis / STEPS).max(1)) data-partitions=(partitions)
                aria-label="The instant of the run that is shown";
            output #peer-time-shown for="peer-time" { (words::instant(charts.end)) }
        }
        svg #peers.wide viewBox=(view) role="img" aria-label="Nodes by region, coloured by the branch that each one's tip is on" {
            @for disc in &placement.regions { (region(disc)) }
            @for (from, to) in &graph.links { (link((*from, at(*from)), (*to, at(*to)))) }
            @for (index, node) in graph.nodes.iter().enumerate() { (dot(node, at(index), radius, charts.end)) }
        }
    })
}

fn millis_of(t: Nanos) -> u64 {
    t.0 / 1_000_000
}

fn tenths(length: f64) -> String {
    format!("{length:.1}")
}

fn region(disc: &Disc) -> Markup {
    let [x, y] = disc.middle;
    html! {
        circle.region cx=(tenths(x)) cy=(tenths(y)) r=(tenths(disc.radius + MARGIN)) {}
        text.region-name x=(tenths(x)) y=(tenths(y - disc.radius - NAME_MARGIN)) text-anchor="middle" { (disc.name) }
    }
}

fn link((from, [x1, y1]): (usize, [f64; 2]), (to, [x2, y2]): (usize, [f64; 2])) -> Markup {
    html! {
        line.peer data-ends={ (from) " " (to) }
            x1=(tenths(x1)) y1=(tenths(y1)) x2=(tenths(x2)) y2=(tenths(y2)) {}
    }
}

/// Its data say from when until when it is which colour; beside that it is down.
fn dot(node: &GraphNode, [x, y]: [f64; 2], radius: &str, end: Nanos) -> Markup {
    let spans = node.spans.iter();
    let spans = spans.map(|span| {
        let class = branch_class(span.branch);
        format!("{} {} {class}", millis_of(span.from), millis_of(span.to))
    });
    let spans = spans.collect::<Vec<_>>().join(" ");
    let last = node.spans.last().filter(|span| span.to >= end);
    let class = last.map_or_else(|| DOWN.to_owned(), |span| branch_class(span.branch));
    let title = format!("{} ({})", node.name, node.region);
    html! {
        circle class={ "node " (class) } cx=(tenths(x)) cy=(tenths(y)) r=(radius) data-spans=(spans) {
            title { (title) }
        }
    }
}
