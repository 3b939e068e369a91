//! What a run's judgement looks like: for a terminal (`terminal`), for other programs
//! (`report.json`, `junit.xml`), for a browser (`html`), for a job of CI (`annotation`, `markdown`).
//! Nothing is measured or judged here.

pub mod annotation;
mod baseline;
mod comparison;
pub mod html;
pub mod junit;
mod markdown;
mod run_report;
mod run_set;
#[cfg(test)]
pub(crate) mod samples;
mod screen;
mod sentences;
mod terminal;

pub use baseline::{baseline_check, baseline_check_json};
pub use comparison::comparison;
pub use markdown::{
    baseline_markdown, comparison_markdown, error_markdown, run_markdown, run_set_markdown,
    text_markdown,
};
pub use run_report::{Report, files};
pub use run_set::{planned_in, run_set, run_set_json, why};
pub use screen::TerminalStyle;
pub use terminal::terminal;
