//! The page: its sections in the order in which a reader asks. Did it hold? What happened? What
//! did it cost? Where did it run?

use std::cmp::Reverse;
use std::collections::BTreeSet;

use maud::{Markup, html};
use peerlab_link::Nanos;
use peerlab_link::proto::Lateness;

use super::bandwidth_chart::bandwidth_chart;
use super::block_chart::block_chart;
use super::node_chart::node_chart;
use super::parts::{frame, head, hint, section, table, text};
use super::peer_chart::{SCRIPT, peer_chart};
use super::propagation_chart::{curve_class, propagation_chart};
use super::svg::branch_class;
use crate::check::{Branch, Episode, Judgement, Status, Verdict};
use crate::report::sentences::{
    COST_TITLES, block_sums, cost_cells, double_spend_story, drops, earlier_try, for_others,
    partition_story,
};
use crate::words;

/// Most rows of the table of fork episodes.
const EPISODES_SHOWN: usize = 30;

/// Most rows of the table of nodes by bandwidth.
const NODES_SHOWN: usize = 10;

/// What stands where a figure is not known.
const UNKNOWN: &str = "–";

/// The whole file.
pub fn page(j: &Judgement) -> String {
    let body = html! {
        (header(j))
        (notes(j))
        (expectations(j))
        (story(j))
        (over_time(j))
        (peers(j))
        div.two { (spread(j)) (costs(j)) }
        div.two { (busiest(j)) (messages(j)) }
        (episodes(j))
        (place(j))
    };
    let has_graph = !j.charts.peers.nodes.is_empty();
    frame(&j.run.name, j.outcome, &body, has_graph.then_some(SCRIPT))
}

fn header(j: &Judgement) -> Markup {
    let run = &j.run;
    html! {
        (head(&run.name, j.outcome))
        p.facts {
            span { "seed " (run.seed) }
            @if !run.engine.is_empty() { span { "engine " (run.engine) } }
            span { (words::count(u64::from(run.nodes), "node")) }
            span { (words::duration(run.observed_ns)) " observed" }
            span { (j.figures.live_at_end) " live at the end" }
        }
    }
}

fn notes(j: &Judgement) -> Markup {
    html! {
        @if !(j.inconclusive_because.is_empty() && j.earlier_tries.is_empty() && j.warnings.is_empty()) {
            section.note {
                @for reason in &j.inconclusive_because {
                    p { b { "This run proves nothing:" } " " (reason) "." }
                }
                @for earlier in &j.earlier_tries { p { (earlier_try(earlier)) "." } }
                @for warning in &j.warnings { p { (warning) } }
            }
        }
    }
}

fn expectations(j: &Judgement) -> Markup {
    if j.verdicts.is_empty() {
        return Markup::default();
    }
    let row = |v: &Verdict| {
        let (class, word) = match v.status {
            Status::Held => ("held", "held"),
            Status::Failed => ("failed", "failed"),
            Status::NotMeasured => ("not_measured", "not measured"),
        };
        [
            html! { span class={ "status " (class) } { (word) } },
            html! { (v.expectation) small { (v.sentence) } },
            html! { span.measured { (v.measured.as_deref().unwrap_or(UNKNOWN)) } },
            text(&v.bound),
        ]
    };
    section(
        "Expectations",
        table(["", "", "#measured", "#bound"], j.verdicts.iter().map(row)),
    )
}

fn story(j: &Judgement) -> Markup {
    let mut lines: Vec<String> = j.figures.partitions.iter().map(partition_story).collect();
    lines.extend(j.figures.double_spends.iter().map(double_spend_story));
    lines.push(block_sums(j));
    let sentence = |line: &String| {
        let mut chars = line.chars();
        let first = chars.next().into_iter().flat_map(char::to_uppercase);
        first.chain(chars).collect::<String>()
    };
    let items = html! { ul { @for line in &lines { li { (sentence(line)) "." } } } };
    section("What happened", items)
}

fn over_time(j: &Judgement) -> Markup {
    let charts = &j.charts;
    let (drawn, nodes) = (charts.rows.len(), charts.nodes);
    let body = html! {
        (legend(j))
        @if let Some(blocks) = block_chart(charts) {
            h3 { "Blocks, by height" } (blocks)
        }
        @if let Some(rows) = node_chart(charts) {
            h3 {
                "Nodes"
                @if drawn < nodes { " (" (drawn) " of " (nodes) " drawn)" }
                "; a mark is a new tip"
            }
            (rows)
        }
        @if let Some(bandwidth) = bandwidth_chart(charts) {
            h3 { "Sent by all nodes together" } (bandwidth)
        }
    };
    section("The run over time", body)
}

fn peers(j: &Judgement) -> Markup {
    let graph = &j.charts.peers;
    let Some(chart) = peer_chart(&j.charts) else {
        return Markup::default();
    };
    let (drawn, nodes) = (graph.nodes.len(), j.charts.nodes);
    let lines = match graph.is_fixed {
        true => "Lines are the connections that the plan gives the nodes.",
        false => {
            "Lines are whom the plan has the nodes know at first: whom they connect to is their own \
                  doing, and not in the record."
        }
    };
    let body = html! {
        (legend(j))
        (chart)
        p.hint {
            (lines) " Those between branches are dashed."
            @if drawn < nodes { " " (drawn) " of " (nodes) " nodes are drawn." }
        }
    };
    section("Nodes and peers", body)
}

/// What a colour of the drawings stands for.
fn key(class: &str, what: &str) -> Markup {
    html! { span { i class=(class) {} (what) } }
}

fn legend(j: &Judgement) -> Markup {
    let losing = j.charts.blocks.iter().filter_map(|b| match b.branch {
        Branch::Losing(n) => Some(n),
        Branch::Final => None,
    });
    let losing: BTreeSet<u32> = losing.collect();
    html! {
        p.legend {
            (key("final", "on the final chain"))
            @for n in losing.into_iter().take(5) {
                (key(&branch_class(Some(Branch::Losing(n))), &format!("on losing branch {}", n + 1)))
            }
            (key("down", "down"))
            @if !j.charts.partitions.is_empty() { (key("band", "partition in force")) }
        }
    }
}

fn spread(j: &Judgement) -> Markup {
    let title = "How fast blocks spread";
    let Some(chart) = propagation_chart(&j.figures.propagation) else {
        return section(title, hint("No block spread."));
    };
    let drawn = j
        .figures
        .propagation
        .iter()
        .filter(|p| !p.curve_ns.is_empty());
    let phases = drawn.filter_map(|p| p.phase.as_deref());
    let body = html! {
        p.legend { @for (i, phase) in phases.enumerate() { (key(curve_class(i), phase)) } }
        (chart)
        (hint("Share of receivers that had a block, by the time since it was mined. A block born during a \
               partition is expected on its own side only."))
    };
    section(title, body)
}

fn costs(j: &Judgement) -> Markup {
    let rows = j.costs().map(|costs| cost_cells(costs).map(text));
    let titles = COST_TITLES.map(|title| match title {
        "" => "phase".to_owned(),
        number => format!("#{number}"),
    });
    let titles = titles.each_ref().map(String::as_str);
    let body = html! {
        (table(titles, rows))
        (hint("Bandwidth is sent plus received on the emulated wire, headers counted."))
        @if let Some(waiting) = j.figures.fidelity.waiting.first() {
            p.hint { "Waited: " (for_others(waiting)) "." }
        }
    };
    section("What it cost", body)
}

fn busiest(j: &Judgement) -> Markup {
    let title = "Busiest nodes";
    let Some(whole) = j.figures.bandwidth.first() else {
        return section(title, hint("No byte counters were written."));
    };
    let mut nodes: Vec<_> = whole.nodes.iter().collect();
    nodes.sort_by_key(|n| (Reverse(n.both()), &n.node));
    let rows = nodes.into_iter().take(NODES_SHOWN).map(|n| {
        let [sent, received] = [n.sent_bytes_per_s, n.received_bytes_per_s].map(words::rate);
        [text(&n.node), text(sent), text(received)]
    });
    section(title, table(["", "#sent", "#received"], rows))
}

fn messages(j: &Judgement) -> Markup {
    let messages = &j.figures.messages;
    let rows = messages.iter().map(|m| {
        let width = format!("width:{:.1}%", m.share * 100.0);
        [
            text(&m.message),
            html! { div style="width:150px" { div.bar style=(width) {} } },
            text(words::percent(m.share)),
            text(words::bytes(m.bytes)),
        ]
    });
    let body = html! {
        @if messages.is_empty() { (hint("No node told its counters.")) }
        @else { (table(["message", "", "#share", "#bytes"], rows)) }
        @if let Some(drops) = drops(&j.figures) { p.hint { "Packets dropped: " (drops) "." } }
    };
    section("What the bytes were", body)
}

fn episodes(j: &Judgement) -> Markup {
    let all = &j.figures.forks.episodes;
    if all.is_empty() {
        return Markup::default();
    }
    let row = |e: &Episode| {
        let lasted = |end: Nanos| words::duration(end.saturating_sub(e.start_ns));
        [
            text(words::instant(e.start_ns)),
            text(e.partition.map_or(UNKNOWN, |_| "partition")),
            text(e.end_ns.map_or_else(|| "until the end".to_owned(), lasted)),
            html! { (e.branches) },
            html! { (e.depth) },
            html! { (e.stale_blocks) },
        ]
    };
    let titles = [
        "from",
        "during",
        "#lasted",
        "#branches",
        "#depth",
        "#stale blocks",
    ];
    let more = all.len().saturating_sub(EPISODES_SHOWN);
    let body = html! {
        (table(titles, all.iter().take(EPISODES_SHOWN).map(row)))
        @if more > 0 { p.hint { "And " (more) " more in report.json." } }
    };
    section("Fork episodes", body)
}

fn place(j: &Judgement) -> Markup {
    let (run, host, fidelity) = (&j.run, &j.run.host, &j.figures.fidelity);
    let kept_up = match fidelity.measured {
        false => "not measured".to_owned(),
        true => format!(
            "{} delivered, {:.1} % of them more than {} late",
            words::count(fidelity.packets, "packet"),
            fidelity.late_percent(),
            words::duration(Lateness::LATE)
        ),
    };
    let machine = (host.cpus > 0).then(|| {
        let cpus = words::count(u64::from(host.cpus), "CPU");
        format!("{cpus}, {}", words::bytes(host.memory_bytes))
    });
    let came_up = (run.bring_up_ns > Nanos::ZERO).then(|| words::duration(run.bring_up_ns));
    let pressure = fidelity.cpu_pressure_percent;
    let facts = [
        (
            "Experiment",
            Some(format!("{}, seed {}", run.name, run.seed)),
        ),
        ("Peerlab", Some(run.peerlab_version.clone())),
        (
            "Engine",
            Some(format!("{} {}", run.engine, host.engine_version)),
        ),
        ("System", Some(format!("{} {}", host.os, host.kernel))),
        ("Machine", machine),
        ("All nodes ready after", came_up),
        ("Host kept up", Some(kept_up)),
        (
            "Waiting for a CPU",
            pressure.map(|percent| format!("{percent:.0} % of the time")),
        ),
    ];
    let rows = facts.iter().filter_map(|(what, value)| {
        let value = value.as_ref()?.trim();
        (!value.is_empty()).then(|| [text(what), text(value)])
    });
    let body = html! {
        (table(["", ""], rows))
        p.hint {
            "The same again: " code { "peerlab replay RUN_DIRECTORY" }
            ". The plan beside this file holds everything that chance decided."
        }
    };
    section("Where it ran", body)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "writes samples where it is asked to"
)]
mod tests {
    use super::*;
    use crate::report::samples;

    /// Writes the samples to a folder to look at: `PEERLAB_SAMPLES=DIR cargo test samples`.
    #[test]
    fn samples_are_whole_pages_that_need_nothing_else() {
        for (name, judgement) in samples::all() {
            let text = page(&judgement);
            for outside in [
                "http:", "https:", "@import", "url(", "<img", "<link ", "src=",
            ] {
                assert!(!text.contains(outside), "{name} contains {outside}");
            }
            // The page's own alone, which its policy names.
            assert_eq!(text.matches("<script").count(), 1, "{name}");
            assert!(text.contains("script-src 'sha256-"), "{name}");
            for tag in [
                "section", "svg", "table", "div", "tr", "td", "ul", "li", "p", "span", "small",
            ] {
                let opened = text.matches(&format!("<{tag}>")).count()
                    + text.matches(&format!("<{tag} ")).count();
                assert_eq!(
                    opened,
                    text.matches(&format!("</{tag}>")).count(),
                    "{name}: {tag}"
                );
            }
            assert!(!text.contains("NaN") && !text.contains("inf"), "{name}");
            if let Ok(dir) = std::env::var("PEERLAB_SAMPLES") {
                std::fs::write(format!("{dir}/{name}.html"), text).unwrap();
            }
        }
    }

    #[test]
    fn a_hostile_name_stays_text() {
        let mut judgement = samples::failed();
        judgement.run.name = "<script>alert(1)</script>".into();
        judgement
            .warnings
            .push("</section><b onclick=\"x\">".into());
        let text = page(&judgement);
        assert_eq!(text.matches("<script").count(), 1);
        assert!(!text.contains("<script>alert") && !text.contains("<b onclick"));
    }
}
