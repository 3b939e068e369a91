//! How a group's program is started: its words, variables and files, with their templates.

use super::problems::At;
use crate::topology::file::{FileSource, NodeGroup};
use crate::topology::resolved::{Content, LaunchFile, LaunchTemplate, NO_PLACE};
use crate::topology::template::{self, Within};
use crate::topology::words::FileMode;
use crate::topology::written::{Text, WordOr};

/// Permissions of a file for which none are written.
const MODE_DEFAULT: FileMode = FileMode(0o644);

/// Resolves what a group says of its program's start; `at` is the group.
pub fn resolve_launch(at: &At, group: &NodeGroup) -> LaunchTemplate {
    check_list(&at.key("command"), &group.command);
    let entrypoint = group.entrypoint.clone();
    if let Some(words) = &entrypoint {
        check_entrypoint(&at.key("entrypoint"), words);
    }
    let text = |key: &str, text: &str| {
        check_value(&at.key(key), text);
        text.to_owned()
    };
    LaunchTemplate {
        entrypoint,
        command: group.command.clone(),
        env: resolve_env(&at.key("env"), group),
        files: resolve_files(&at.key("files"), group),
        user: group.user.as_ref().map(|Text(user)| text("user", user)),
        workdir: group.workdir.as_deref().map(|it| text("workdir", it)),
        path: at.path.clone(),
    }
}

fn check_entrypoint(at: &At, words: &[String]) {
    check_list(at, words);
    if words.is_empty() {
        at.add(
            "the entrypoint is empty",
            "there is no program in it",
            "write `[PROGRAM, ARGUMENTS..]`, or leave it out: then it is the image's",
        );
    }
}

fn check_list(at: &At, words: &[String]) {
    for (index, word) in words.iter().enumerate() {
        check(&at.item(index), word, Within::Arguments);
    }
}

fn check_value(at: &At, text: &str) {
    check(at, text, Within::Value);
}

fn check(at: &At, text: &str, within: Within) {
    if let Err(bad) = template::check(text, within) {
        let general = || "a template reads `{{ ip }}`".into();
        let what = format!("bad template in `{}`", first_line(text));
        at.add(what, bad.cause, bad.hint.unwrap_or_else(general));
    }
    if text.contains('\0') {
        at.add(
            "there is a NUL byte in it",
            "programs are given none",
            "leave it out",
        );
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn resolve_env(at: &At, group: &NodeGroup) -> Vec<(String, String)> {
    let variables = group.env.iter();
    variables
        .map(|(name, Text(value))| {
            if name.is_empty() || name.contains(['=', '\0']) {
                at.name(name).add(
                    format!("`{name}` is no name of an environment variable"),
                    "it may hold no `=`",
                    "write `env: { NAME: value }`",
                );
            }
            check_value(&at.key(name), value);
            (name.clone(), value.clone())
        })
        .collect()
}

fn resolve_files(at: &At, group: &NodeGroup) -> Vec<LaunchFile> {
    let files = group.files.iter();
    files
        .filter_map(|(place, source)| {
            check_place(&at.name(place), place);
            resolve_file(&at.key(place), place, source)
        })
        .collect()
}

fn check_place(at: &At, place: &str) {
    check_value(at, place);
    // What a template becomes is seen when it is filled in.
    if !place.contains('{') && !LaunchFile::is_place(place) {
        at.add(
            format!("`{place}` is no place for a file"),
            NO_PLACE,
            "write `/etc/program.conf`",
        );
    }
}

fn resolve_file(at: &At, place: &str, source: &WordOr<FileSource>) -> Option<LaunchFile> {
    let source = match source {
        WordOr::Word(text) => FileSource {
            text: Some(text.clone()),
            ..FileSource::default()
        },
        WordOr::Long(source) => source.clone(),
    };
    let template = at.key("template").optional(source.template);
    let content = match (source.text, source.from) {
        (Some(text), None) => {
            if template != Some(false) {
                check_value(&at.key("text"), &text);
            }
            Content::Text(text)
        }
        (None, Some(from)) => {
            let folder = at.file().parent();
            let folder = folder.unwrap_or(std::path::Path::new(""));
            let from = folder.join(from);
            // What is recorded of a network is read from another folder.
            let from = std::path::absolute(&from).unwrap_or(from);
            Content::Copy { from, bytes: None }
        }
        _ => {
            at.add(
                format!("the file `{place}` is either a text or a copy"),
                "exactly one of `text` and `from` says what is in it",
                "write `{ text: \"..\" }` or `{ from: genesis.json }`",
            );
            return None;
        }
    };
    let FileMode(mode) = at.key("mode").optional(source.mode).unwrap_or(MODE_DEFAULT);
    Some(LaunchFile {
        path: at.path.clone(),
        place: place.to_owned(),
        content,
        mode,
        owner: source.owner.map(|Text(owner)| owner),
        template,
    })
}
