//! What came of runs in Markdown, for the summary of a CI job. What failed is `sentences`' to say;
//! here it is laid out, in a length that such a page takes.

use super::baseline;
use super::run_set::{
    cells, facts as set_facts, figure_name, interval_story, left_out, tried_again, why,
};
use super::sentences::{
    COST_TITLES, block_sums, cost_cells, double_spend_story, earlier_try, failure, figure_value,
    for_others, partition_story, worse_figure,
};
use crate::check::{BaselineCheck, Comparison, Judgement, OneRun, Outcome, RunSet, Status};
use crate::error::Error;
use crate::words;

/// Longest text, bytes: GitHub refuses the whole summary of a step beyond 1 MiB.
const BYTES_MAX: usize = 512 << 10;
/// Runs and warnings that are told in full.
const SHOWN_MAX: usize = 10;

/// A run. `again` is the command that makes it anew, where there is one.
pub fn run_markdown(judgement: &Judgement, again: Option<&str>) -> String {
    let run = &judgement.run;
    let mut facts = vec![format!("seed {}", run.seed), run.engine.clone()];
    facts.push(words::count(u64::from(run.nodes), "node"));
    facts.push(format!("{} observed", words::duration(run.observed_ns)));
    facts.retain(|fact| !fact.is_empty());
    let mut page = Page::of(judgement.outcome, &run.name, &facts);
    for reason in &judgement.inconclusive_because {
        page.item(&format!("This run proves nothing: {reason}"));
    }
    for earlier in &judgement.earlier_tries {
        page.item(&earlier_try(earlier));
    }
    let rows = judgement.verdicts.iter().map(|it| {
        let held = it.status == Status::Held;
        let measured = it.measured.as_deref().unwrap_or("not measured");
        [sign(held), &it.expectation, measured, &it.bound].map(str::to_owned)
    });
    page.table(["", "expected", "measured", "bound"], rows);
    let failed = judgement
        .verdicts
        .iter()
        .filter(|it| it.status != Status::Held);
    for verdict in failed {
        page.item(&failure(verdict));
    }
    page.heading("What happened");
    for partition in &judgement.figures.partitions {
        page.item(&partition_story(partition));
    }
    for spend in &judgement.figures.double_spends {
        page.item(&double_spend_story(spend));
    }
    page.item(&block_sums(judgement));
    costs(&mut page, judgement);
    page.warnings(judgement.warnings.iter().map(String::as_str));
    page.commands(again.into_iter());
    page.end()
}

fn costs(page: &mut Page, judgement: &Judgement) {
    page.table(COST_TITLES, judgement.costs().map(cost_cells));
    if let Some(waiting) = judgement.figures.fidelity.waiting.first() {
        page.item(&format!("waited: {}", for_others(waiting)));
    }
}

/// A set of runs. `again` is the command that makes one of them by itself.
pub fn run_set_markdown(set: &RunSet, again: &dyn Fn(&OneRun) -> String) -> String {
    let mut page = Page::of(set.outcome, &set.name, &set_facts(set));
    for reason in left_out(set) {
        page.item(&reason);
    }
    let rows = set.expectations.iter().map(|it| {
        let held = format!("{} of {}", it.held, it.of);
        [
            sign(it.held == it.of).to_owned(),
            it.expectation.clone(),
            held,
            it.bound.clone(),
        ]
    });
    page.table(["", "expected", "held in", "bound"], rows);
    let runs = set.unpassed();
    if !runs.is_empty() {
        page.heading("Did not pass");
    }
    for run in runs.iter().take(SHOWN_MAX) {
        page.item(&format!("{}: {}", run.folder, run.outcome.word()));
        for reason in why(run) {
            page.sub_item(&reason);
        }
    }
    let commands: Vec<String> = runs.iter().take(SHOWN_MAX).map(|run| again(run)).collect();
    page.commands(commands.iter().map(String::as_str));
    let more = runs.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        page.item(&format!("and {}", words::count(more as u64, "more run")));
    }
    let mut tries = tried_again(set).peekable();
    if tries.peek().is_some() {
        page.heading("Tried again");
    }
    for (run, earlier) in tries {
        page.item(&format!("{}/{}", run.folder, earlier_try(earlier)));
    }
    let rows = set.figures.iter().map(|figure| {
        let phase = figure.key.phase.clone().unwrap_or_default();
        let [median, interval, range] = cells(figure);
        [figure_name(figure, set), phase, median, interval, range]
    });
    page.folded(
        "Figures",
        ["", "phase", "median", "95 % interval", "range"],
        rows,
        &interval_story(set),
    );
    page.end()
}

/// Two sides beside each other.
pub fn comparison_markdown(comparison: &Comparison, names: [&str; 2], beyond: &[String]) -> String {
    let mut page = Page::default();
    page.text.push_str("## Peerlab: comparison\n\n");
    for (i, letter) in ["A", "B"].into_iter().enumerate() {
        let [passed, failed, inconclusive] = comparison.outcomes[i];
        let runs = words::count(comparison.runs[i] as u64, "run");
        page.item(&format!(
            "{letter} is {}: {runs} on {}, {passed} passed, {failed} failed, {inconclusive} inconclusive",
            names[i], comparison.engines[i],
        ));
    }
    for what in beyond {
        page.item(what);
    }
    let rows = comparison.rows.iter().map(|row| {
        let side = |i: usize| {
            let side = row.sides[i].as_ref();
            side.map_or("none".to_owned(), |it| {
                figure_value(it.median, row.key.unit)
            })
        };
        let change = row.change().filter(|change| change.is_finite());
        let change = change.map_or(String::new(), |change| format!("{:+.1} %", change * 100.0));
        let apart = if row.is_apart() { "apart" } else { "" };
        [
            row.key.what.clone(),
            side(0),
            side(1),
            change,
            apart.to_owned(),
        ]
    });
    page.table(["", "A", "B", "B against A", ""], rows);
    page.end()
}

/// Runs held against a baseline.
pub fn baseline_markdown(check: &BaselineCheck) -> String {
    let title = format!("{} against its baseline", check.experiment.name);
    let mut page = Page::of(check.outcome, &title, &baseline::facts(check));
    for reason in &check.inconclusive_because {
        page.item(reason);
    }
    for figure in check.figures.iter().filter(|figure| figure.is_worse) {
        page.item(&worse_figure(figure));
    }
    let rows = check.figures.iter().map(|figure| {
        let [what, before, after, change, chance] = baseline::cells(figure);
        let word = if figure.is_worse { "WORSE" } else { "ok" };
        [word.to_owned(), what, before, after, change, chance]
    });
    page.table(
        ["", "median", "baseline", "now", "change", "by chance"],
        rows,
    );
    page.item(&baseline::meaning(check));
    page.end()
}

/// Text of a command as it was printed, under what it came to.
pub fn text_markdown(title: &str, text: &str) -> String {
    let mut page = Page::default();
    page.text
        .push_str(&format!("## Peerlab: {}\n\n", escaped(title)));
    page.block(text);
    page.end()
}

/// Why a command failed.
pub fn error_markdown(error: &Error) -> String {
    text_markdown(&error.to_string(), &error.render())
}

fn sign(held: bool) -> &'static str {
    if held { "ok" } else { "FAILED" }
}

/// A page in the making.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn of(outcome: Outcome, name: &str, facts: &[String]) -> Page {
        let mut page = Page::default();
        let (word, name) = (outcome.word(), escaped(name));
        page.text
            .push_str(&format!("## Peerlab: {word} {name}\n\n"));
        let facts = escaped(&facts.join(", "));
        page.text.push_str(&format!("{facts}\n\n"));
        page
    }

    fn heading(&mut self, text: &str) {
        self.text.push_str(&format!("\n### {text}\n\n"));
    }

    fn item(&mut self, text: &str) {
        self.text.push_str(&format!("- {}\n", escaped(text)));
    }

    fn sub_item(&mut self, text: &str) {
        self.text.push_str(&format!("  - {}\n", escaped(text)));
    }

    fn table<const N: usize>(
        &mut self,
        titles: [&str; N],
        rows: impl Iterator<Item = [String; N]>,
    ) {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return;
        }
        self.text.push('\n');
        self.row(titles);
        self.row(["---"; N]);
        for row in rows {
            self.row(row.each_ref().map(|cell| escaped(cell)));
        }
        self.text.push('\n');
    }

    fn row<const N: usize>(&mut self, cells: [impl AsRef<str>; N]) {
        for cell in &cells {
            self.text.push_str(&format!("| {} ", cell.as_ref()));
        }
        self.text.push_str("|\n");
    }

    /// A table that is shown when it is asked for, and what it means.
    fn folded<const N: usize>(
        &mut self,
        title: &str,
        titles: [&str; N],
        rows: impl Iterator<Item = [String; N]>,
        meaning: &str,
    ) {
        self.text
            .push_str(&format!("\n<details><summary>{title}</summary>\n"));
        self.table(titles, rows);
        let meaning = escaped(meaning);
        self.text.push_str(&format!("{meaning}\n\n</details>\n"));
    }

    fn warnings<'a>(&mut self, warnings: impl ExactSizeIterator<Item = &'a str>) {
        let all = warnings.len();
        if all > 0 {
            self.heading("Warnings");
        }
        for warning in warnings.take(SHOWN_MAX) {
            self.item(warning);
        }
        if all > SHOWN_MAX {
            self.item(&format!("and {} more", all - SHOWN_MAX));
        }
    }

    /// Commands, to be copied.
    fn commands<'a>(&mut self, commands: impl Iterator<Item = &'a str>) {
        let commands: Vec<&str> = commands.collect();
        if !commands.is_empty() {
            self.block(&commands.join("\n"));
        }
    }

    /// Text as it stands. Indented, for no text within can end that.
    fn block(&mut self, text: &str) {
        self.text.push_str("\n<!-- -->\n\n");
        for line in text.lines() {
            let line: String = line.chars().map(visible).collect();
            self.text.push_str(&format!("    {line}\n"));
        }
        self.text.push('\n');
    }

    fn end(mut self) -> String {
        if self.text.len() > BYTES_MAX {
            let mut end = BYTES_MAX;
            while !self.text.is_char_boundary(end) {
                end -= 1;
            }
            self.text.truncate(end);
            self.text
                .push_str("\n\nThe rest is left out: the record of the run has it.\n");
        }
        self.text
    }
}

/// A character, or a blank for what has no look of its own.
fn visible(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// Text of others in one line that is no markup: what nodes say may look like a link or an image.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars().map(visible) {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '$' | '!' => {
                safe.push('\\');
                safe.push(c);
            }
            _ => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::compare;
    use crate::report::samples;

    #[test]
    fn a_failed_run() {
        let text = run_markdown(&samples::failed(), Some("peerlab replay runs/x"));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_set_of_runs() {
        let again = |run: &OneRun| format!("peerlab run quickstart.yaml --seed {}", run.run.seed);
        insta::assert_snapshot!(run_set_markdown(&samples::eight_seeds(), &again));
    }

    #[test]
    fn two_sides() {
        let sides = [samples::passed(), samples::failed()];
        let compared = compare([&sides[..1], &sides[1..]]);
        let beyond = ["further apart than 5 %: x".to_owned()];
        insta::assert_snapshot!(comparison_markdown(
            &compared,
            ["runs/a_b", "runs/c"],
            &beyond
        ));
    }

    #[test]
    fn a_check_against_a_baseline() {
        insta::assert_snapshot!(baseline_markdown(&samples::slower()));
    }

    #[test]
    fn what_others_say_is_no_markup() {
        let mut run = samples::inconclusive();
        run.inconclusive_because = vec!["<img src=x> ![x](http://x) a|b `c`\n# d *e*".into()];
        let text = run_markdown(&run, None);
        assert!(
            text.contains(
                r"proves nothing: &lt;img src=x&gt; \!\[x\](http://x) a\|b \`c\` \# d \*e\*"
            ),
            "{text}"
        );
    }

    #[test]
    fn printed_text_cannot_leave_its_block() {
        let text = text_markdown("x", "a\n```\n</pre><b>\n\n\u{1b}[31m");
        assert!(
            text.ends_with("    a\n    ```\n    </pre><b>\n    \n     [31m\n\n"),
            "{text}"
        );
    }

    #[test]
    fn every_row_of_a_table_has_the_same_cells() {
        let text = run_markdown(&samples::failed(), None);
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert!(rows.len() > 10);
        for row in rows {
            assert!(matches!(row.matches('|').count(), 5 | 9), "{row}");
        }
    }

    #[test]
    fn a_page_has_a_greatest_length() {
        let text = text_markdown("x", &"é\n".repeat(BYTES_MAX));
        assert!(text.len() < BYTES_MAX + 100);
        assert!(text.ends_with("has it.\n"));
    }
}
