//! An archive's image in the form that every Docker Engine loads: older ones know no OCI layout.

use peerlab_core::error::hint::DISK;
use std::io::Read as _;
use std::path::Path;

use super::image::Archive;
use peerlab_core::error::{Explain, Result};

/// Writes the image to a file as `docker save` would, under a name.
///
/// # Errors
/// When it cannot be read or written.
pub fn for_docker(archive: &Archive, name: &str, file: &Path) -> Result<()> {
    let what = || format!("cannot write {} for the engine", archive.path().display());
    let output = std::fs::File::create(file).or_environment(what, DISK)?;
    let mut tar = tar::Builder::new(output);
    let config = format!("{}.json", archive.digest);
    append(&mut tar, &config, &archive.config).or_environment(what, DISK)?;
    let mut names = Vec::new();
    for (index, piece) in archive.layers.iter().enumerate() {
        let name = format!("{index}.tar");
        let (bytes, length) = archive.blobs.open_piece(piece)?;
        tar.append_data(&mut header(length), &name, bytes.take(length))
            .or_environment(what, DISK)?;
        names.push(name);
    }
    let manifest = serde_json::json!([{ "Config": config, "RepoTags": [name], "Layers": names }]);
    append(&mut tar, "manifest.json", manifest.to_string().as_bytes())
        .or_environment(what, DISK)?;
    tar.finish().or_environment(what, DISK)
}

fn append(tar: &mut tar::Builder<std::fs::File>, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    tar.append_data(&mut header(bytes.len() as u64), name, bytes)
}

fn header(length: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(length);
    header.set_mode(0o644);
    header.set_mtime(0);
    header
}
