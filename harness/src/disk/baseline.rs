//! Baselines on disk: by a name in the folder `baselines`, or as a file that is named whole.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use peerlab_core::check::Baseline;
use peerlab_core::error::hint::DISK;
use peerlab_core::error::{Error, Explain, Result};

use super::input::read;

/// Where baselines are kept by name.
const FOLDER: &str = "baselines";
/// How their files end.
const ENDING: &str = "json";
/// Longest file, bytes: a thousand runs of all figures take less than one.
const BYTES_MAX: u64 = 64 << 20;

/// The file of a baseline. What has a folder or an ending is a file, all else a name.
pub fn baseline_file(name_or_file: &Path) -> PathBuf {
    let is_name = name_or_file.components().count() == 1 && name_or_file.extension().is_none();
    match is_name {
        true => Path::new(FOLDER).join(name_or_file).with_extension(ENDING),
        false => name_or_file.to_owned(),
    }
}

/// Reads a baseline.
///
/// # Errors
/// As bad input, when it cannot be read, or is none.
pub fn load_baseline(file: &Path) -> Result<Baseline> {
    let text = read(file, BYTES_MAX, "a baseline")
        .map_err(|error| error.hint("`peerlab baseline save` writes one"))?;
    Baseline::parse(&file.display().to_string(), &text)
}

/// Writes a baseline; one that is there only when it is to be replaced.
///
/// # Errors
/// As bad input, when one is there; as an environment error, when it cannot be written.
pub fn save_baseline(baseline: &Baseline, file: &Path, replace: bool) -> Result<()> {
    let name = file.display();
    if !replace && file.exists() {
        return Err(Error::input(format!("there is a baseline in {name}"))
            .hint("add --replace to write another in its place, or name another"));
    }
    let what = || format!("cannot write {name}");
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).or_environment(what, DISK)?;
    // Whole or not at all: the old one is not lost to a full disk.
    let mut new = tempfile::NamedTempFile::new_in(folder).or_environment(what, DISK)?;
    let text = baseline.to_json()?;
    new.write_all(text.as_bytes()).or_environment(what, DISK)?;
    // Temporary files are their user's alone; a baseline belongs to a repository.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let opened = new.as_file().set_permissions(readable);
    opened.or_environment(what, DISK)?;
    new.persist(file).or_environment(what, DISK)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_in_a_folder_and_a_file_is_taken_as_it_is() {
        for (given, file) in [
            ("main", "baselines/main.json"),
            ("main.json", "main.json"),
            ("ci/main", "ci/main"),
            ("./main", "./main"),
            ("/x/main.json", "/x/main.json"),
        ] {
            assert_eq!(baseline_file(Path::new(given)), Path::new(file), "{given}");
        }
    }
}
