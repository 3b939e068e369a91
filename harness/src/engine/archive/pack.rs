//! An archive's image in the form that every Docker Engine loads: older ones know no OCI layout.

use crate::engine::hint;
use peerlab_core::error::hint::DISK;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use super::image::Archive;
use super::limits::{Limits, Meter};
use peerlab_core::conduct::{Stop, interrupted};
use peerlab_core::error::{Error, Explain, Result};

/// The layers stay packed, and are as large as the archive.
const LIMITS: Limits = Limits {
    bytes: u64::MAX,
    files: u64::MAX,
};

/// The image in a file without a name, from its beginning, as `docker save` would write it under a
/// name for the image.
///
/// # Errors
/// When it cannot be read or written, or the run is to stop.
pub fn for_docker(archive: &Archive, name: &str, stop: &Stop) -> Result<File> {
    let what = || format!("cannot write {} for the engine", archive.path().display());
    let meter = Meter::new(LIMITS, stop);
    let mut tar = tar::Builder::new(tempfile::tempfile().or_environment(what, DISK)?);
    let config = format!("{}.json", archive.digest);
    append(&mut tar, &config, &archive.config).or_environment(what, DISK)?;
    let mut names = Vec::new();
    for (index, piece) in archive.layers.iter().enumerate() {
        let name = format!("{index}.tar");
        let (bytes, length) = archive.blobs.open_piece(piece)?;
        let mut bytes = meter.reader(bytes.take(length));
        let appended = tar.append_data(&mut header(length), &name, &mut bytes);
        if stop.is_asked() {
            return Err(interrupted());
        }
        appended.or_environment(what, DISK)?;
        if bytes.into_inner().limit() > 0 {
            let cause = format!("the archive ends in the middle of {piece}");
            return Err(Error::environment(what(), cause, hint::ARCHIVE));
        }
        names.push(name);
    }
    let manifest = serde_json::json!([{ "Config": config, "RepoTags": [name], "Layers": names }]);
    append(&mut tar, "manifest.json", manifest.to_string().as_bytes())
        .and_then(|()| tar.into_inner())
        .and_then(|mut file| file.rewind().map(|()| file))
        .or_environment(what, DISK)
}

fn append(tar: &mut tar::Builder<File>, name: &str, bytes: &[u8]) -> io::Result<()> {
    tar.append_data(&mut header(bytes.len() as u64), name, bytes)
}

fn header(length: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(length);
    header.set_mode(0o644);
    header.set_mtime(0);
    header
}
