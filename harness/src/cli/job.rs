//! What the job of a CI system is told beside the verdict (`--format github`): annotations on
//! standard output, and a page in the summary of the job. Neither changes what a command comes to.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::ui::{Format, Ui};
use peerlab_core::error::{Error, Place};
use peerlab_core::report::annotation::{Annotation, annotation_lines, of_error};
use peerlab_core::report::error_markdown;

/// Names the file that the summary of a job is appended to.
const SUMMARY_VARIABLE: &str = "GITHUB_STEP_SUMMARY";
/// Names the folder that paths of files in annotations start from.
const WORKSPACE_VARIABLE: &str = "GITHUB_WORKSPACE";

/// Tells the job, where the format asks for it; `tell` then gives annotations and the page.
pub fn tell(ui: &Ui, tell: impl FnOnce() -> (Vec<Annotation>, String)) {
    match ui.format() {
        Format::Text => {}
        Format::Github => {
            let (annotations, page) = tell();
            annotate(ui, annotations);
            if let Some(file) = variable(SUMMARY_VARIABLE)
                && let Err(error) = append(&file, &page)
            {
                let file = file.display();
                ui.note(&format!(
                    "warning: the summary of the job cannot be written to {file}: {error}"
                ));
            }
        }
    }
}

/// Tells the job of an error.
pub fn tell_error(ui: &Ui, error: &Error) {
    tell(ui, || (of_error(error), error_markdown(error)));
}

fn annotate(ui: &Ui, mut annotations: Vec<Annotation>) {
    let workspace = variable(WORKSPACE_VARIABLE);
    for place in annotations.iter_mut().filter_map(|it| it.place.as_mut()) {
        from_workspace(place, workspace.as_deref());
    }
    ui.to_job(&annotation_lines(&annotations));
}

/// A path that a variable holds.
fn variable(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty());
    value.map(PathBuf::from)
}

/// A file is found from the top of the workspace, wherever the command was called.
fn from_workspace(place: &mut Place, workspace: Option<&Path>) {
    let Some(workspace) = workspace else {
        return;
    };
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let file = whole(Path::new(&place.file));
    if let Ok(inside) = file.strip_prefix(whole(workspace)) {
        place.file = inside.display().to_string();
    }
}

fn append(file: &Path, page: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(file)?;
    file.write_all(page.as_bytes())?;
    file.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(file: &Path) -> Place {
        Place {
            file: file.display().to_string(),
            line: 1,
            column: 1,
            text: String::new(),
            width: 1,
        }
    }

    #[test]
    fn a_file_is_named_from_the_workspace_or_as_it_was() {
        let workspace = tempfile::tempdir().unwrap();
        let folder = workspace.path().join("tests");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("x.yaml"), "").unwrap();
        let mut inside = place(&folder.join("../tests/x.yaml"));
        from_workspace(&mut inside, Some(workspace.path()));
        assert_eq!(inside.file, "tests/x.yaml");
        let elsewhere = Path::new("/nowhere/x.yaml");
        for workspace in [None, Some(workspace.path())] {
            let mut outside = place(elsewhere);
            from_workspace(&mut outside, workspace);
            assert_eq!(outside, place(elsewhere));
        }
    }

    #[test]
    fn a_page_is_added_to_what_the_summary_has() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("summary.md");
        for page in ["one\n", "two\n"] {
            append(&file, page).unwrap();
        }
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, "one\n\ntwo\n\n");
        assert!(append(folder.path(), "three").is_err());
    }
}
