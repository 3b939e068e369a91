//! The page of a set of runs: did it hold, in which runs not, and the figures over all of them.

use maud::{Markup, html};

use super::parts::{frame, head, hint, section, table, text};
use crate::check::{OneRun, RunSet, SetFigure};
use crate::report::run_report::files;
use crate::report::run_set::{cells, facts, figure_name, interval_story, left_out, why};
use crate::report::sentences::earlier_try;

/// The whole file.
pub fn set_page(set: &RunSet) -> String {
    let reasons = left_out(set);
    let body = html! {
        (head(&set.name, set.outcome))
        p.facts { @for fact in facts(set) { span { (fact) } } }
        @if !reasons.is_empty() {
            section.note { @for reason in reasons { p { (reason) "." } } }
        }
        (expectations(set))
        (runs(set))
        (figures(set))
    };
    frame(&set.name, set.outcome, &body, None)
}

fn expectations(set: &RunSet) -> Markup {
    let rows = set.expectations.iter().map(|it| {
        let class = if it.held == it.of { "held" } else { "failed" };
        let held = format!("{} of {}", it.held, it.of);
        [
            text(&it.expectation),
            html! { span class={ "status " (class) } { (held) } },
            text(&it.bound),
        ]
    });
    section("Expectations", table(["", "held in", "#bound"], rows))
}

fn runs(set: &RunSet) -> Markup {
    let row = |run: &OneRun| {
        let word = run.outcome.word().to_lowercase();
        let page = format!("{}/{}", run.folder, files::REPORT_HTML);
        [
            html! { a href=(page) { (run.folder) } },
            html! { (run.run.seed) },
            html! { span class={ "status " (word) } { (word) } },
            html! {
                @for reason in why(run) { small { (reason) } }
                @for earlier in &run.earlier_tries { small { (earlier_try(earlier)) } }
            },
        ]
    };
    section(
        "Runs",
        table(["", "#seed", "", ""], set.runs.iter().map(row)),
    )
}

fn figures(set: &RunSet) -> Markup {
    let row = |figure: &SetFigure| {
        let [median, interval, range] = cells(figure).map(text);
        let phase = text(figure.key.phase.as_deref().unwrap_or(""));
        [
            text(figure_name(figure, set)),
            phase,
            median,
            interval,
            range,
        ]
    };
    let titles = ["", "phase", "#median", "#95 % interval", "#range"];
    let body = html! {
        (table(titles, set.figures.iter().map(row)))
        (hint(&interval_story(set)))
    };
    section("Figures", body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn it_names_every_run_and_figure_and_links_to_the_runs() {
        let set = samples::eight_seeds();
        let page = set_page(&set);
        for run in &set.runs {
            let link = format!(r#"<a href="{}/report.html">"#, run.folder);
            assert!(page.contains(&link), "{link}");
        }
        for figure in &set.figures {
            assert!(page.contains(&figure.key.what), "{}", figure.key.what);
        }
        assert_eq!(
            page.matches(r#"class="status failed""#).count() - 1,
            failed(&set)
        );
        assert!(!page.contains("NaN") && !page.contains("inf<"));
    }

    /// Expectations that did not hold in all runs.
    fn failed(set: &RunSet) -> usize {
        set.expectations.iter().filter(|it| it.held < it.of).count()
    }

    #[test]
    fn a_hostile_name_stays_text() {
        let mut set = samples::three_runs();
        set.name = "<script>alert(1)</script>".into();
        set.runs[0].folder = "\"><script>".into();
        assert!(!set_page(&set).contains("<script"));
    }
}
