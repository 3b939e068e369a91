//! The images that a plan's groups run, unpacked to folders: from archives, or from a Docker
//! Engine's export. Each is unpacked once and kept by its digest.

use crate::engine::hint;
use peerlab_core::error::hint::DISK;
use std::collections::BTreeMap;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use bollard::Docker;
use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use crate::engine::archive::{self, Archive, RunConfig, Unpacked};
use crate::engine::docker::connect;
use crate::engine::{blocking, or_stop};
use peerlab_core::conduct::{Observer, Stage, Stop};
use peerlab_core::error::{Explain, Result};
use peerlab_core::experiment::Image;
use peerlab_core::plan::Plan;
use peerlab_core::plan::spec::Group;

/// What a digest begins with.
const ALGORITHM: &str = "sha256:";

#[derive(Debug)]
pub struct Images {
    /// Their root folders.
    pub roots: Vec<PathBuf>,
    /// Their digests, by the plan's names.
    pub digests: BTreeMap<String, String>,
    /// Of each group: which of the roots, and how its program is run; `None` for our own node.
    groups: Vec<Option<(u32, RunConfig)>>,
}

impl Images {
    /// Gets all images of a plan ready.
    ///
    /// # Errors
    /// When one cannot be had, or the run is to stop.
    pub async fn unpack(
        plan: &Plan,
        observer: &dyn Observer,
        stop: &CancellationToken,
    ) -> Result<Images> {
        let mut images = Images {
            roots: Vec::new(),
            digests: BTreeMap::new(),
            groups: Vec::new(),
        };
        for group in &plan.groups {
            let unpacked = match &group.image {
                Image::Peerlab => None,
                Image::Archive(path) => {
                    let name = path.display().to_string();
                    Some(from_archive(path, &name, observer, stop).await?)
                }
                Image::Named(name) => Some(from_engine(name, observer, stop).await?),
            };
            let image = unpacked.map(|(digest, unpacked)| {
                let name = group.image.reference().unwrap_or_default();
                images.digests.insert(name, digest);
                images.add(group, unpacked)
            });
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

/// An archive's image, unpacked unless it was before, and its digest; `name` is what people call it.
async fn from_archive(
    path: &Path,
    name: &str,
    observer: &dyn Observer,
    stop: &CancellationToken,
) -> Result<(String, Unpacked)> {
    observer.stage(Stage::Preparing(format!("unpacking {name}")));
    let path = path.to_owned();
    let unpack = move |stop: &Stop| {
        let archive = Archive::open(&path)?;
        let digest = format!("{ALGORITHM}{}", archive.digest);
        archive::unpacked(&archive, stop).map(|unpacked| (digest, unpacked))
    };
    blocking(stop, unpack).await
}

/// An image that a Docker Engine has, exported unless it was before, and its digest.
async fn from_engine(
    name: &str,
    observer: &dyn Observer,
    stop: &CancellationToken,
) -> Result<(String, Unpacked)> {
    let found = async {
        let docker = connect().await.map_err(|error| {
            error.hint(format!(
                "the image {name} comes from a Docker Engine; to do without one, `docker save \
                 {name} -o FILE` where there is one, and write `image: oci:FILE`"
            ))
        })?;
        let image = docker.inspect_image(name).await.or_environment(
            || format!("the Docker Engine does not have the image {name}"),
            hint::IMAGE,
        )?;
        Ok((docker, image.id.unwrap_or_default()))
    };
    let (docker, id) = or_stop(stop, found).await?;
    if let Some(unpacked) = archive::find(id.trim_start_matches(ALGORITHM)) {
        return Ok((id, unpacked));
    }
    observer.stage(Stage::Preparing(format!("exporting image {name}")));
    let file = or_stop(stop, export(&docker, name)).await?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let unpacked = from_archive(Path::new(&path), name, observer, stop).await;
    unpacked
        .map(|(_, unpacked)| (id, unpacked))
        .map_err(|error| error.because(format!("that is the image {name}, as exported")))
}

/// An engine's image as an archive, in a file without a name: nothing is left of it when this process
/// ends, in whatever way.
async fn export(docker: &Docker, name: &str) -> Result<std::fs::File> {
    let what = || format!("cannot export the image {name}");
    let file = tempfile::tempfile().or_environment(what, DISK)?;
    let mut file = tokio::fs::File::from_std(file);
    let mut pieces = docker.export_image(name);
    while let Some(piece) = pieces.next().await {
        let piece = piece.or_environment(what, hint::DOCKER)?;
        file.write_all(&piece).await.or_environment(what, DISK)?;
    }
    file.flush().await.or_environment(what, DISK)?;
    Ok(file.into_std().await)
}
