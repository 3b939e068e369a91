//! What a run's judgement looks like: for a terminal (`terminal`), for other programs
//! (`report.json`, `junit.xml`), for a browser (`html`). Nothing is measured or judged here.

mod comparison;
pub mod html;
pub mod junit;
mod run_report;
#[cfg(test)]
pub(crate) mod samples;
mod sentences;
mod terminal;

pub use comparison::comparison;
pub use run_report::{Report, files};
pub use terminal::{TerminalStyle, terminal};
