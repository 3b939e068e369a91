//! The page: its sections in the order in which a reader asks. Did it hold? What happened? What
//! did it cost? Where did it run?

use peerlab_link::Nanos;
use peerlab_link::proto::Lateness;

use super::bandwidth_chart::bandwidth_chart;
use super::block_chart::block_chart;
use super::node_chart::node_chart;
use super::propagation_chart::{curve_class, propagation_chart};
use super::svg::{branch_class, escape};
use crate::check::{Branch, Episode, Judgement, Outcome, Status, Verdict};
use crate::report::sentences::{block_sums, double_spend_story, partition_story};
use crate::words;

const STYLE: &str = include_str!("style.css");

/// Most rows of the table of fork episodes.
const EPISODES_SHOWN: usize = 30;

/// Most rows of the table of nodes by bandwidth.
const NODES_SHOWN: usize = 10;

/// The whole file.
pub fn page(j: &Judgement) -> String {
    let sections = [
        notes(j),
        expectations(j),
        story(j),
        over_time(j),
        format!("<div class=\"two\">{}{}</div>", spread(j), costs(j)),
        format!("<div class=\"two\">{}{}</div>", busiest(j), messages(j)),
        episodes(j),
        place(j),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{} {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}{}\n</main>\n</body>\n</html>\n",
        escape(&j.run.name),
        outcome_word(j.outcome).to_lowercase(),
        header(j),
        sections.join("\n")
    )
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "PASSED",
        Outcome::Failed => "FAILED",
        Outcome::Inconclusive => "INCONCLUSIVE",
    }
}

fn section(title: &str, body: &str) -> String {
    format!("<section><h2>{title}</h2>{body}</section>")
}

/// A table; columns whose title begins with `#` hold numbers.
fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let numeric = |i: usize| titles.get(i).is_some_and(|t| t.starts_with('#'));
    let class = |i: usize| if numeric(i) { " class=\"n\"" } else { "" };
    let head: String = titles
        .iter()
        .enumerate()
        .map(|(i, t)| format!("<th{}>{}</th>", class(i), t.trim_start_matches('#')))
        .collect();
    let body: String = rows
        .iter()
        .map(|row| {
            let cells: String = row
                .iter()
                .enumerate()
                .map(|(i, cell)| format!("<td{}>{cell}</td>", class(i)))
                .collect();
            format!("<tr>{cells}</tr>")
        })
        .collect();
    format!("<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
}

fn header(j: &Judgement) -> String {
    let word = outcome_word(j.outcome);
    let run = &j.run;
    let mut facts = vec![
        format!("seed {}", run.seed),
        words::count(u64::from(run.nodes), "node"),
        format!("{} observed", words::duration(run.observed_ns)),
        format!("{} live at the end", j.figures.live_at_end),
    ];
    if !run.engine.is_empty() {
        facts.insert(1, format!("engine {}", run.engine));
    }
    let facts: String = facts
        .iter()
        .map(|f| format!("<span>{}</span>", escape(f)))
        .collect();
    format!(
        "<header><span class=\"pill {}\">{word}</span><h1>{}</h1></header><p class=\"facts\">{facts}</p>",
        word.to_lowercase(),
        escape(&run.name)
    )
}

fn notes(j: &Judgement) -> String {
    let inconclusive_because = j
        .inconclusive_because
        .iter()
        .map(|d| format!("<p><b>This run proves nothing:</b> {}.</p>", escape(d)));
    let warnings = j.warnings.iter().map(|w| format!("<p>{}</p>", escape(w)));
    let notes: String = inconclusive_because.chain(warnings).collect();
    if notes.is_empty() {
        return String::new();
    }
    format!("<section class=\"note\">{notes}</section>")
}

fn expectations(j: &Judgement) -> String {
    if j.verdicts.is_empty() {
        return String::new();
    }
    let row = |v: &Verdict| {
        let (class, word) = match v.status {
            Status::Held => ("held", "held"),
            Status::Failed => ("failed", "failed"),
            Status::NotMeasured => ("not_measured", "not measured"),
        };
        vec![
            format!("<span class=\"status {class}\">{word}</span>"),
            format!(
                "{}<small>{}</small>",
                escape(&v.expectation),
                escape(&v.sentence)
            ),
            format!(
                "<span class=\"measured\">{}</span>",
                escape(v.measured.as_deref().unwrap_or("–"))
            ),
            escape(&v.bound),
        ]
    };
    let rows: Vec<Vec<String>> = j.verdicts.iter().map(row).collect();
    section(
        "Expectations",
        &table(&["", "", "#measured", "#bound"], &rows),
    )
}

fn story(j: &Judgement) -> String {
    let mut lines: Vec<String> = j.figures.partitions.iter().map(partition_story).collect();
    lines.extend(j.figures.double_spends.iter().map(double_spend_story));
    lines.push(block_sums(j));
    let items: String = lines
        .iter()
        .map(|l| {
            let mut chars = l.chars();
            let first: String = chars
                .next()
                .map(|c| c.to_uppercase().to_string())
                .unwrap_or_default();
            format!("<li>{}.</li>", escape(&(first + chars.as_str())))
        })
        .collect();
    section("What happened", &format!("<ul>{items}</ul>"))
}

fn over_time(j: &Judgement) -> String {
    let charts = &j.charts;
    let mut body = legend(j);
    let blocks = block_chart(charts);
    if !blocks.is_empty() {
        body.push_str(&format!("<h3>Blocks, by height</h3>{blocks}"));
    }
    let nodes = node_chart(charts);
    if !nodes.is_empty() {
        let of = match charts.rows.len() < charts.nodes {
            true => format!(" ({} of {} drawn)", charts.rows.len(), charts.nodes),
            false => String::new(),
        };
        body.push_str(&format!("<h3>Nodes{of}; a mark is a new tip</h3>{nodes}"));
    }
    let bandwidth = bandwidth_chart(charts);
    if !bandwidth.is_empty() {
        body.push_str(&format!("<h3>Sent by all nodes together</h3>{bandwidth}"));
    }
    section("The run over time", &body)
}

fn legend(j: &Judgement) -> String {
    let mut losing: Vec<Branch> = j
        .charts
        .blocks
        .iter()
        .map(|b| b.branch)
        .filter(|b| *b != Branch::Final)
        .collect();
    losing.sort_unstable();
    losing.dedup();
    let mut items = vec!["<span><i class=\"final\"></i>on the final chain</span>".to_owned()];
    for branch in losing.iter().take(5) {
        let Branch::Losing(n) = branch else { continue };
        items.push(format!(
            "<span><i class=\"{}\"></i>on losing branch {}</span>",
            branch_class(Some(*branch)),
            n + 1
        ));
    }
    items.push("<span><i class=\"down\"></i>down</span>".to_owned());
    if !j.charts.partitions.is_empty() {
        items.push("<span><i class=\"band\"></i>partition in force</span>".to_owned());
    }
    format!("<p class=\"legend\">{}</p>", items.join(""))
}

fn spread(j: &Judgement) -> String {
    let chart = propagation_chart(&j.figures.propagation);
    if chart.is_empty() {
        return section(
            "How fast blocks spread",
            "<p class=\"hint\">No block spread.</p>",
        );
    }
    let phases = j
        .figures
        .propagation
        .iter()
        .filter(|p| !p.curve_ns.is_empty())
        .filter_map(|p| p.phase.as_deref());
    let items: String = phases
        .enumerate()
        .map(|(i, phase)| {
            format!(
                "<span><i class=\"{}\"></i>{}</span>",
                curve_class(i),
                escape(phase)
            )
        })
        .collect();
    section(
        "How fast blocks spread",
        &format!(
            "<p class=\"legend\">{items}</p>{chart}<p class=\"hint\">Share of receivers that had a block, \
             by the time since it was mined. A block born during a partition is expected on its own side only.</p>"
        ),
    )
}

fn costs(j: &Judgement) -> String {
    let row = |phase: &Option<String>| {
        let p = j.figures.propagation.iter().find(|p| p.phase == *phase);
        let b = j.figures.bandwidth.iter().find(|b| b.phase == *phase);
        let time = |t: Option<Nanos>| t.map_or_else(|| "&ndash;".to_owned(), words::duration);
        let rate = |r: Option<u64>| r.map_or_else(|| "&ndash;".to_owned(), words::rate);
        vec![
            escape(phase.as_deref().unwrap_or("whole run")),
            p.map_or(0, |p| p.blocks).to_string(),
            time(p.and_then(|p| p.p50_ns)),
            time(p.and_then(|p| p.p90_ns)),
            rate(b.map(|b| b.per_node.mean)),
            rate(b.map(|b| b.per_node.p95)),
        ]
    };
    let mut phases: Vec<Option<String>> = j
        .charts
        .phases
        .iter()
        .map(|p| Some(p.label.clone()))
        .collect();
    phases.push(None);
    let rows: Vec<Vec<String>> = phases.iter().map(row).collect();
    let mut body = table(
        &[
            "phase",
            "#blocks",
            "#to 50 %",
            "#to 90 %",
            "#mean per node",
            "#p95",
        ],
        &rows,
    );
    body.push_str("<p class=\"hint\">Bandwidth is sent plus received on the emulated wire, headers counted.</p>");
    section("What it cost", &body)
}

fn busiest(j: &Judgement) -> String {
    let Some(whole) = j.figures.bandwidth.first() else {
        return section(
            "Busiest nodes",
            "<p class=\"hint\">No byte counters were written.</p>",
        );
    };
    let mut nodes: Vec<_> = whole.nodes.iter().collect();
    nodes.sort_by_key(|n| (std::cmp::Reverse(n.both()), &n.node));
    let rows: Vec<Vec<String>> = nodes
        .iter()
        .take(NODES_SHOWN)
        .map(|n| {
            vec![
                escape(&n.node),
                words::rate(n.sent_bytes_per_s),
                words::rate(n.received_bytes_per_s),
            ]
        })
        .collect();
    section("Busiest nodes", &table(&["", "#sent", "#received"], &rows))
}

fn messages(j: &Judgement) -> String {
    let rows: Vec<Vec<String>> = j
        .figures
        .messages
        .iter()
        .map(|m| {
            let bar = format!(
                "<div style=\"width:150px\"><div class=\"bar\" style=\"width:{:.1}%\"></div></div>",
                m.share * 100.0
            );
            vec![
                escape(&m.message),
                bar,
                words::percent(m.share),
                words::bytes(m.bytes),
            ]
        })
        .collect();
    let mut body = match rows.is_empty() {
        true => "<p class=\"hint\">No node told its counters.</p>".to_owned(),
        false => table(&["message", "", "#share", "#bytes"], &rows),
    };
    let drops: Vec<String> = j
        .figures
        .drops
        .iter()
        .map(|(reason, n)| {
            format!(
                "{} {}",
                escape(&reason.replace('_', " ")),
                words::thousands(*n)
            )
        })
        .collect();
    if !drops.is_empty() {
        body.push_str(&format!(
            "<p class=\"hint\">Packets dropped: {}.</p>",
            drops.join(", ")
        ));
    }
    section("What the bytes were", &body)
}

fn episodes(j: &Judgement) -> String {
    let all = &j.figures.forks.episodes;
    if all.is_empty() {
        return String::new();
    }
    let row = |e: &Episode| {
        let lasted = e.end_ns.map_or_else(
            || "until the end".to_owned(),
            |end| words::duration(end.saturating_sub(e.start_ns)),
        );
        let cause = e.partition.map_or("&ndash;", |_| "partition");
        vec![
            words::instant(e.start_ns),
            cause.to_owned(),
            lasted,
            e.branches.to_string(),
            e.depth.to_string(),
            e.stale_blocks.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().take(EPISODES_SHOWN).map(row).collect();
    let mut body = table(
        &[
            "from",
            "during",
            "#lasted",
            "#branches",
            "#depth",
            "#stale blocks",
        ],
        &rows,
    );
    if all.len() > EPISODES_SHOWN {
        body.push_str(&format!(
            "<p class=\"hint\">And {} more in report.json.</p>",
            all.len() - EPISODES_SHOWN
        ));
    }
    section("Fork episodes", &body)
}

fn place(j: &Judgement) -> String {
    let run = &j.run;
    let fidelity = &j.figures.fidelity;
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |what: &str, value: String| {
        if !value.is_empty() {
            rows.push(vec![what.to_owned(), escape(&value)]);
        }
    };
    row("Experiment", format!("{}, seed {}", run.name, run.seed));
    row("Peerlab", run.peerlab_version.clone());
    row(
        "Engine",
        format!("{} {}", run.engine, run.host.engine_version)
            .trim()
            .to_owned(),
    );
    row(
        "System",
        format!("{} {}", run.host.os, run.host.kernel)
            .trim()
            .to_owned(),
    );
    if run.host.cpus > 0 {
        let memory = words::bytes(run.host.memory_bytes);
        row(
            "Machine",
            format!(
                "{}, {memory}",
                words::count(u64::from(run.host.cpus), "CPU")
            ),
        );
    }
    if run.bring_up_ns > Nanos::ZERO {
        row("All nodes ready after", words::duration(run.bring_up_ns));
    }
    row(
        "Host kept up",
        match fidelity.measured {
            false => "not measured".to_owned(),
            true => format!(
                "{} delivered, {:.1} % of them more than {} late",
                words::count(fidelity.packets, "packet"),
                fidelity.late_percent(),
                words::duration(Lateness::LATE)
            ),
        },
    );
    if let Some(pressure) = fidelity.cpu_pressure_percent {
        row("Waiting for a CPU", format!("{pressure:.0} % of the time"));
    }
    let body = format!(
        "{}<p class=\"hint\">The same again: <code>peerlab replay RUN_DIRECTORY</code>. The plan beside this file holds \
         everything that chance decided.</p>",
        table(&["", ""], &rows)
    );
    section("Where it ran", &body)
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
                "http:", "https:", "<script", "@import", "url(", "<img", "<link ",
            ] {
                assert!(!text.contains(outside), "{name} contains {outside}");
            }
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
        assert!(!text.contains("<script") && !text.contains("<b onclick"));
    }
}
