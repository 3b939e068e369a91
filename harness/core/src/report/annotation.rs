//! What a job of GitHub Actions is told line by line: annotations, which it shows beside the file and
//! line that they speak of. How a line of output becomes one, and how nothing else does, is GitHub's
//! (`docs.github.com`, "Workflow commands for GitHub Actions"; actions/runner, `ActionCommand.cs`).
//! What the summary of the job says is `markdown`.

use std::borrow::Cow;

use super::sentences::{failure, worse_figure};
use crate::check::{BaselineCheck, Judgement, OneRun, Outcome, Row, RunSet, Status, Verdict};
use crate::error::{Error, Place};
use crate::words;

/// GitHub shows so many of a level for each step of a job; the others are dropped without a word.
const SHOWN_MAX: usize = 10;
/// Longest message, characters: GitHub keeps 4,096 bytes of one, escapes included.
const MESSAGE_CHARS_MAX: usize = 1_000;
/// Runs that an annotation names.
const RUNS_NAMED: usize = 4;

/// How an annotation is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The network, or the input, is at fault.
    Error,
    /// Nothing was proved.
    Warning,
}

/// One annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    pub level: Level,
    pub title: String,
    pub message: String,
    /// What it speaks of, where that is written in a file.
    pub place: Option<Place>,
}

impl Annotation {
    fn new(level: Level, title: impl AsRef<str>, message: String, place: Option<&Place>) -> Self {
        Annotation {
            level,
            title: format!("Peerlab: {}", title.as_ref()),
            message,
            place: place.cloned(),
        }
    }

    /// The line that makes it.
    fn command(&self) -> String {
        let mut properties = Vec::new();
        if let Some(place) = &self.place {
            properties.push(format!("file={}", property(&place.file)));
            properties.push(format!("line={}", place.line));
            properties.push(format!("col={}", place.column));
            if place.width > 0 {
                properties.push(format!("endColumn={}", place.column + place.width));
            }
        }
        properties.push(format!("title={}", property(&self.title)));
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        let cut = cut(&self.message, MESSAGE_CHARS_MAX);
        format!("::{level} {}::{}\n", properties.join(","), data(&cut))
    }
}

/// The lines that make annotations: of each level so many as are shown, and the last of these says
/// how many there are besides.
pub fn annotation_lines(annotations: &[Annotation]) -> String {
    let mut text = String::new();
    for level in [Level::Error, Level::Warning] {
        let of_level: Vec<&Annotation> = annotations.iter().filter(|a| a.level == level).collect();
        let shown = match of_level.len() {
            few if few <= SHOWN_MAX => few,
            _ => SHOWN_MAX - 1,
        };
        let (shown, left) = of_level.split_at(shown);
        for annotation in shown {
            text.push_str(&annotation.command());
        }
        if !left.is_empty() {
            let message = "GitHub shows ten of a step: the summary of the job has all".to_owned();
            let title = format!("{} more", left.len());
            text.push_str(&Annotation::new(level, title, message, None).command());
        }
    }
    text
}

/// What a run failed in, or why it proves nothing. `places` are those of the plan's expectations, as
/// far as they are known.
pub fn of_run(judgement: &Judgement, places: &[Place]) -> Vec<Annotation> {
    let because = &judgement.inconclusive_because;
    match judgement.outcome {
        Outcome::Passed => Vec::new(),
        Outcome::Inconclusive => vec![inconclusive(&judgement.run.name, because.join("\n"))],
        Outcome::Failed => counted_failures(&judgement.verdicts, because)
            .map(|(index, verdict)| {
                let title = format!("{} ({})", verdict.expectation, verdict.bound);
                let message = failure(verdict);
                Annotation::new(Level::Error, title, message, places.get(index))
            })
            .collect(),
    }
}

/// What the runs of a set failed in, an annotation for each expectation; and which prove nothing.
pub fn of_set(set: &RunSet, places: &[Place]) -> Vec<Annotation> {
    let mut annotations = Vec::new();
    let most = set.runs.iter().map(|run| run.verdicts.len()).max();
    for index in 0..most.unwrap_or(0) {
        let failed_in: Vec<(&OneRun, &Verdict)> = set
            .runs
            .iter()
            .filter(|run| run.outcome == Outcome::Failed)
            .filter_map(|run| {
                let mut failed = counted_failures(&run.verdicts, &run.inconclusive_because);
                let (_, verdict) = failed.find(|(i, _)| *i == index)?;
                Some((run, verdict))
            })
            .collect();
        let Some((first, verdict)) = failed_in.first() else {
            continue;
        };
        let runs: Vec<&OneRun> = failed_in.iter().map(|(run, _)| *run).collect();
        let message = format!(
            "in {} of {}: {}\n{}: {}",
            runs.len(),
            words::count(set.runs.len() as u64, "run"),
            named(&runs),
            first.folder,
            failure(verdict)
        );
        let title = format!("{} ({})", verdict.expectation, verdict.bound);
        annotations.push(Annotation::new(
            Level::Error,
            title,
            message,
            places.get(index),
        ));
    }
    let open: Vec<&OneRun> = set
        .runs
        .iter()
        .filter(|run| run.outcome == Outcome::Inconclusive)
        .collect();
    if let Some(first) = open.first() {
        let reasons = first.inconclusive_because.join("\n");
        let message = format!("{}\n{}: {reasons}", named(&open), first.folder);
        annotations.push(inconclusive(&set.name, message));
    }
    if set.runs.len() < set.planned {
        let made = format!("{} of {} runs were made", set.runs.len(), set.planned);
        annotations.push(inconclusive(&set.name, made));
    }
    annotations
}

/// Figures of two sides that are further apart than was asked for.
pub fn of_comparison(beyond: &[&Row], percent: f64) -> Vec<Annotation> {
    let annotation = |row: &&Row| {
        let message = match row.change() {
            Some(change) => format!("B against A: {:+.1} %", change * 100.0),
            None => "one of the sides does not have it".to_owned(),
        };
        let title = format!("{} further apart than {percent} %", row.key.what);
        Annotation::new(Level::Error, title, message, None)
    };
    beyond.iter().map(annotation).collect()
}

/// Figures that are worse than the baseline's, or why it says nothing for sure.
pub fn of_baseline(check: &BaselineCheck) -> Vec<Annotation> {
    let worse = check.figures.iter().filter(|figure| figure.is_worse);
    let worse = worse.map(|figure| {
        let title = format!("{} is worse than the baseline", figure.what);
        Annotation::new(Level::Error, title, worse_figure(figure), None)
    });
    let because = &check.inconclusive_because;
    let open = (!because.is_empty()).then(|| {
        let name = format!("the check of {}", check.experiment.name);
        inconclusive(&name, because.join("\n"))
    });
    worse.chain(open).collect()
}

/// Something that failed besides runs, as a seed that `explore` found.
pub fn of_failure(title: &str, message: String, place: Option<&Place>) -> Annotation {
    Annotation::new(Level::Error, title, message, place)
}

/// The mistakes that an error tells of.
pub fn of_error(error: &Error) -> Vec<Annotation> {
    let annotation = |report: &crate::error::Report| {
        let mut lines = report.causes.clone();
        lines.extend(report.hint.iter().map(|hint| format!("Hint: {hint}")));
        let (what, place) = (&report.what, report.place.as_ref());
        Annotation::new(Level::Error, what, lines.join("\n"), place)
    };
    error.reports.iter().map(annotation).collect()
}

/// The failures that count, with their numbers: where the host could not keep up, only those that
/// no slow host can cause.
fn counted_failures<'a>(
    verdicts: &'a [Verdict],
    inconclusive_because: &'a [String],
) -> impl Iterator<Item = (usize, &'a Verdict)> {
    let counts = |verdict: &Verdict| {
        verdict.status != Status::Held
            && (inconclusive_because.is_empty() || verdict.regardless_of_host)
    };
    let verdicts = verdicts.iter().enumerate();
    verdicts.filter(move |(_, verdict)| counts(verdict))
}

fn inconclusive(name: &str, message: String) -> Annotation {
    let title = format!("{name} is inconclusive");
    Annotation::new(Level::Warning, title, message, None)
}

fn named(runs: &[&OneRun]) -> String {
    let names: Vec<&str> = runs.iter().map(|run| run.folder.as_str()).collect();
    match names.split_at_checked(RUNS_NAMED) {
        Some((shown, more)) if !more.is_empty() => {
            format!("{} and {} more", shown.join(", "), more.len())
        }
        _ => names.join(", "),
    }
}

fn cut(text: &str, chars_max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}...", &text[..end]).into(),
        None => text.into(),
    }
}

/// The text of a workflow command, in which a line may end.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property's value, in which a colon or comma would end it.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// The same text in which no line is a workflow command: what nodes and files say must not speak to
/// the job. A command begins a line, after spaces (`::`), or stands within one (`##[`).
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains("::") && !text.contains("##[") {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len() + 2);
    // Whoever reads lines may take either for the end of one.
    for line in text.split_inclusive(['\n', '\r']) {
        let said = line.trim_start();
        let (spaces, said) = line.split_at(line.len() - said.len());
        safe.push_str(spaces);
        match said.strip_prefix("::") {
            Some(rest) => {
                safe.push_str(": :");
                safe.push_str(&rest.replace("##[", "## ["));
            }
            None => safe.push_str(&said.replace("##[", "## [")),
        }
    }
    safe.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::compare;
    use crate::report::samples;

    fn place(line: usize) -> Place {
        Place {
            file: "a,b:c%.yaml".into(),
            line,
            column: 5,
            text: String::new(),
            width: 9,
        }
    }

    fn places(of: &Judgement) -> Vec<Place> {
        (0..of.verdicts.len()).map(|i| place(30 + i)).collect()
    }

    #[test]
    fn what_failed_is_annotated_at_its_line_and_what_held_is_not() {
        let run = samples::failed();
        insta::assert_snapshot!(annotation_lines(&of_run(&run, &places(&run))));
        assert!(of_run(&samples::passed(), &[]).is_empty());
    }

    #[test]
    fn a_run_without_a_file_has_annotations_without_a_place() {
        let lines = annotation_lines(&of_run(&samples::failed(), &[]));
        assert!(lines.starts_with("::error title=Peerlab%3A "), "{lines}");
        assert!(!lines.contains("file="), "{lines}");
    }

    #[test]
    fn what_proves_nothing_is_a_warning() {
        let lines = annotation_lines(&of_run(&samples::inconclusive(), &[]));
        assert!(
            lines.starts_with("::warning title=Peerlab%3A quickstart is inconclusive::the host"),
            "{lines}"
        );
        assert_eq!(lines.lines().count(), 1, "{lines}");
    }

    #[test]
    fn of_a_busy_host_only_failures_count_that_it_cannot_cause() {
        let mut run = samples::failed();
        run.inconclusive_because = vec!["the host was busy".into()];
        run.verdicts
            .iter_mut()
            .for_each(|it| it.regardless_of_host = false);
        run.verdicts[2].status = Status::Failed;
        run.verdicts[2].regardless_of_host = true;
        let told = of_run(&run, &places(&run));
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].place, Some(place(32)));
    }

    #[test]
    fn a_set_tells_of_each_expectation_once_and_of_what_is_open() {
        let set = samples::eight_seeds();
        let lines = annotation_lines(&of_set(&set, &places(&samples::failed())));
        insta::assert_snapshot!(lines);
        let three = annotation_lines(&of_set(&samples::three_runs(), &[]));
        assert!(three.contains("3 of 4 runs were made"), "{three}");
    }

    #[test]
    fn what_is_too_far_apart_is_told_figure_by_figure() {
        let compared = compare([&[samples::passed()], &[]]);
        let beyond = compared.beyond(0.05);
        let lines = annotation_lines(&of_comparison(&beyond, 5.0));
        assert_eq!(lines.lines().count(), beyond.len());
        assert!(
            lines.starts_with(
                "::error title=Peerlab%3A block propagation p50 further apart than 5 %25::one of"
            ),
            "{lines}"
        );
    }

    #[test]
    fn a_worse_figure_is_an_error_and_an_open_check_a_warning() {
        let mut check = samples::slower();
        let worse = check.figures.iter().filter(|it| it.is_worse).count();
        assert_eq!(of_baseline(&check).len(), worse);
        check.figures.iter_mut().for_each(|it| it.is_worse = false);
        assert!(of_baseline(&check).is_empty());
        check.inconclusive_because = vec!["too few".into()];
        let lines = annotation_lines(&of_baseline(&check));
        assert!(lines.starts_with("::warning "), "{lines}");
        assert!(lines.ends_with("is inconclusive::too few\n"), "{lines}");
    }

    #[test]
    fn an_error_is_annotated_where_it_is_in_the_file() {
        let mut error = Error::input("unknown key").because("none").hint("write 1");
        error.reports[0].place = Some(place(7));
        assert_eq!(
            annotation_lines(&of_error(&error)),
            "::error file=a%2Cb%3Ac%25.yaml,line=7,col=5,endColumn=14,title=Peerlab%3A unknown \
             key::none%0AHint: write 1\n"
        );
    }

    #[test]
    fn more_than_are_shown_are_counted() {
        let one = of_failure("x", "y".into(), None);
        let ten = annotation_lines(&vec![one.clone(); SHOWN_MAX]);
        assert_eq!(ten.lines().count(), SHOWN_MAX);
        assert!(!ten.contains("more"));
        let lines = annotation_lines(&vec![one; SHOWN_MAX + 5]);
        assert_eq!(lines.lines().count(), SHOWN_MAX);
        assert!(lines.contains("title=Peerlab%3A 6 more::"), "{lines}");
    }

    #[test]
    fn a_message_is_one_line_of_bounded_length_whatever_it_says() {
        let message = format!("100 %\r\n::error::x{}", "é".repeat(9_000));
        let lines = annotation_lines(&[of_failure("t\n::error::x", message, None)]);
        assert_eq!(lines.lines().count(), 1, "{lines}");
        assert!(lines.contains("::100 %25%0D%0A::error::x"), "{lines}");
        assert!(lines.chars().count() < MESSAGE_CHARS_MAX + 100);
    }

    #[test]
    fn what_others_say_is_no_command() {
        for (said, safe) in [
            ("::error::x\n", ": :error::x\n"),
            (
                "a\n \t::set-output name=x::y",
                "a\n \t: :set-output name=x::y",
            ),
            ("a\r::error::x", "a\r: :error::x"),
            ("a\u{b}\n::x::", "a\u{b}\n: :x::"),
            (
                "ok ##[error]x ##[add-path]y",
                "ok ## [error]x ## [add-path]y",
            ),
            ("::##[x]", ": :## [x]"),
            ("peerlab::cli: fine", "peerlab::cli: fine"),
        ] {
            assert_eq!(harmless(said), safe, "{said:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_speaks_to_the_job(text in "[:#\\[ \n\r\ta\u{85}\u{a0}]{0,40}") {
            let safe = harmless(&text);
            for line in safe.split(['\n', '\r']) {
                proptest::prop_assert!(!line.trim_start().starts_with("::"), "{safe:?}");
                proptest::prop_assert!(!line.contains("##["), "{safe:?}");
            }
        }
    }
}
