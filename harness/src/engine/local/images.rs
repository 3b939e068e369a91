//! The images that a plan's groups run, unpacked to folders: from archives, or from a Docker
//! Engine's export. Each is unpacked once and kept by its digest.

use crate::engine::hint;
use peerlab_core::error::hint::{BUG, DISK};
use std::path::{Path, PathBuf};

use bollard::Docker;
use futures::StreamExt;
use tokio::io::AsyncWriteExt;

use crate::engine::archive::{self, Archive, RunConfig, Unpacked};
use crate::engine::docker::connect;
use peerlab_core::conduct::{Observer, Stage};
use peerlab_core::error::{Explain, Result};
use peerlab_core::experiment::Image;
use peerlab_core::plan::Plan;
use peerlab_core::plan::spec::Group;

#[derive(Debug)]
pub struct Images {
    /// Their root folders.
    pub roots: Vec<PathBuf>,
    /// Of each group: which of the roots, and how its program is run; `None` for our own node.
    groups: Vec<Option<(u32, RunConfig)>>,
}

impl Images {
    /// Gets all images of a plan ready.
    ///
    /// # Errors
    /// When one cannot be had.
    pub async fn unpack(plan: &Plan, observer: &dyn Observer) -> Result<Images> {
        let mut images = Images {
            roots: Vec::new(),
            groups: Vec::new(),
        };
        for group in &plan.groups {
            let unpacked = match &group.image {
                Image::Peerlab => None,
                Image::Archive(path) => Some(from_archive(Path::new(path), observer).await?),
                Image::Named(name) => Some(from_engine(name, observer).await?),
            };
            let image = unpacked.map(|unpacked| images.add(group, unpacked));
            images.groups.push(image);
        }
        Ok(images)
    }

    fn add(&mut self, group: &Group, unpacked: Unpacked) -> (u32, RunConfig) {
        let run = unpacked.run;
        if !matches!(run.user.split(':').next(), Some("" | "0" | "root")) {
            tracing::warn!(
                "group {}: its image wants the user {}; the local engine knows one user only",
                group.name,
                run.user
            );
        }
        let known = self.roots.iter().position(|root| *root == unpacked.root);
        let index = known.unwrap_or_else(|| {
            self.roots.push(unpacked.root);
            self.roots.len() - 1
        });
        (index as u32, run)
    }

    /// Which root a group's nodes have, and how their program is run; `None` for our own node.
    pub fn of_group(&self, group: u32) -> Option<(u32, &RunConfig)> {
        let (index, run) = self.groups.get(group as usize)?.as_ref()?;
        Some((*index, run))
    }
}

async fn from_archive(path: &Path, observer: &dyn Observer) -> Result<Unpacked> {
    observer.stage(Stage::Preparing(format!("unpacking {}", path.display())));
    let path = path.to_owned();
    let unpack = move || archive::unpacked(&Archive::open(&path)?);
    tokio::task::spawn_blocking(unpack)
        .await
        .or_environment(|| "cannot unpack an image".into(), BUG)?
}

/// An image that a Docker Engine has, exported unless it was before.
async fn from_engine(name: &str, observer: &dyn Observer) -> Result<Unpacked> {
    let docker = connect().await.map_err(|error| {
        error.hint(format!(
            "the image {name} comes from a Docker Engine; to do without one, `docker save {name} \
             -o FILE` where there is one, and write `image: oci:FILE`"
        ))
    })?;
    let image = docker.inspect_image(name).await.or_environment(
        || format!("the Docker Engine does not have the image {name}"),
        hint::IMAGE,
    )?;
    let id = image.id.unwrap_or_default();
    if let Some(unpacked) = archive::find(id.trim_start_matches("sha256:")) {
        return Ok(unpacked);
    }
    observer.stage(Stage::Preparing(format!("exporting image {name}")));
    let file = tempfile::NamedTempFile::new()
        .or_environment(|| format!("cannot keep the image {name}"), DISK)?;
    export(&docker, name, file.path()).await?;
    from_archive(file.path(), observer).await
}

async fn export(docker: &Docker, name: &str, place: &Path) -> Result<()> {
    let what = || format!("cannot export the image {name}");
    let mut file = tokio::fs::File::create(place)
        .await
        .or_environment(what, DISK)?;
    let mut pieces = docker.export_image(name);
    while let Some(piece) = pieces.next().await {
        let piece = piece.or_environment(what, hint::DOCKER)?;
        file.write_all(&piece).await.or_environment(what, DISK)?;
    }
    file.flush().await.or_environment(what, DISK)
}
