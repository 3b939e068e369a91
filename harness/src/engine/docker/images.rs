//! The images of our node and of the fabric: built from the Dockerfiles under `images/` and the
//! static programs, under a tag that is the digest of what went in; and those that an experiment
//! brings in archives.

use crate::engine::hint;
use peerlab_core::error::hint::{BUG, DISK};
use std::collections::BTreeMap;
use std::path::Path;

use bollard::Docker;
use bollard::query_parameters::{BuildImageOptionsBuilder, ImportImageOptionsBuilder};
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio_util::io::ReaderStream;

use super::label;
use crate::engine::archive::{self, Archive};
use crate::engine::programs::Programs;
use peerlab_core::conduct::{Observer, Stage};
use peerlab_core::error::{Explain, Result};
use peerlab_core::experiment::Image;
use peerlab_core::plan::Plan;

const NODE_DOCKERFILE: &str = include_str!("../../../../images/node/Dockerfile");
const FABRIC_DOCKERFILE: &str = include_str!("../../../../images/fabric/Dockerfile");
/// Repository of the node's image.
pub const NODE_REPOSITORY: &str = "peerlab/node";
/// Repository of the fabric's image.
pub const FABRIC_REPOSITORY: &str = "peerlab/fabric";
/// Repository of images from archives.
const ARCHIVE_REPOSITORY: &str = "peerlab/archive";
/// Hexadecimal digits of a tag.
const TAG_DIGITS: usize = 12;

/// References of the images that a run needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Our node.
    pub node: String,
    /// The fabric, with the gate.
    pub fabric: String,
    /// Images from archives, by the archives' paths.
    pub archives: BTreeMap<String, String>,
}

impl Images {
    /// Makes sure that the engine has both images, of the programs as they are now.
    ///
    /// # Errors
    /// When a program cannot be read, or the engine cannot build.
    pub async fn ensure(
        docker: &Docker,
        programs: &Programs,
        observer: &dyn Observer,
    ) -> Result<Images> {
        let node = Context::new(
            NODE_REPOSITORY,
            NODE_DOCKERFILE,
            &[("peerlab-node", &programs.node)],
        )?;
        let fabric = Context::new(
            FABRIC_REPOSITORY,
            FABRIC_DOCKERFILE,
            &[
                ("peerlab-fabric", &programs.fabric),
                ("gate", &programs.gate),
            ],
        )?;
        Ok(Images {
            node: node.ensure(docker, observer).await?,
            fabric: fabric.ensure(docker, observer).await?,
            archives: BTreeMap::new(),
        })
    }

    /// Makes sure that the engine has the images in archives that a plan needs.
    ///
    /// # Errors
    /// When an archive cannot be read, or the engine cannot load it.
    pub async fn load_archives(
        &mut self,
        docker: &Docker,
        plan: &Plan,
        observer: &dyn Observer,
    ) -> Result<()> {
        for group in &plan.groups {
            if let Image::Archive(path) = &group.image
                && !self.archives.contains_key(path)
            {
                let reference = load(docker, Path::new(path), observer).await?;
                self.archives.insert(path.clone(), reference);
            }
        }
        Ok(())
    }
}

/// Loads an archive's image, unless the engine has it; gives its reference.
async fn load(docker: &Docker, path: &Path, observer: &dyn Observer) -> Result<String> {
    let archive = Archive::open(path)?;
    let reference = format!("{ARCHIVE_REPOSITORY}:{}", &archive.digest[..TAG_DIGITS]);
    if docker.inspect_image(&reference).await.is_ok() {
        return Ok(reference);
    }
    observer.stage(Stage::Preparing(format!("loading {}", path.display())));
    let what = || format!("cannot load {}", path.display());
    let file = tempfile::NamedTempFile::new().or_environment(what, DISK)?;
    archive::for_docker(&archive, &reference, file.path())?;
    let packed = tokio::fs::File::open(file.path())
        .await
        .or_environment(what, hint::DOCKER)?;
    let body = bollard::body_try_stream(ReaderStream::new(packed));
    let options = ImportImageOptionsBuilder::default().build();
    let mut progress = docker.import_image(options, body, None);
    while let Some(step) = progress.next().await {
        step.or_environment(what, hint::DOCKER)?;
    }
    docker
        .inspect_image(&reference)
        .await
        .or_environment(what, hint::DOCKER)?;
    Ok(reference)
}

/// What an image is built from.
struct Context {
    reference: String,
    tar: Vec<u8>,
}

impl Context {
    fn new(repository: &str, dockerfile: &str, programs: &[(&str, &Path)]) -> Result<Context> {
        let mut tar = tar::Builder::new(Vec::new());
        append(&mut tar, "Dockerfile", dockerfile.as_bytes(), 0o644)?;
        for (name, path) in programs {
            let bytes = std::fs::read(path)
                .or_environment(|| format!("cannot read {}", path.display()), DISK)?;
            append(&mut tar, name, &bytes, 0o755)?;
        }
        let tar = tar
            .into_inner()
            .or_environment(|| "cannot make a build context".into(), BUG)?;
        let mut tag = format!("{:x}", Sha256::digest(&tar));
        tag.truncate(TAG_DIGITS);
        Ok(Context {
            reference: format!("{repository}:{tag}"),
            tar,
        })
    }

    /// Builds the image unless the engine has it; gives its reference.
    async fn ensure(self, docker: &Docker, observer: &dyn Observer) -> Result<String> {
        let reference = self.reference;
        if docker.inspect_image(&reference).await.is_ok() {
            return Ok(reference);
        }
        observer.stage(Stage::Preparing(format!("building image {reference}")));
        let options = BuildImageOptionsBuilder::default()
            .dockerfile("Dockerfile")
            .t(&reference)
            .labels(&[(label::IMAGE, "1")].into())
            .rm(true)
            .forcerm(true)
            .build();
        let body = bollard::body_full(self.tar.into());
        let mut progress = docker.build_image(options, None, Some(body));
        while let Some(step) = progress.next().await {
            let step =
                step.or_environment(|| format!("cannot build image {reference}"), hint::DOCKER)?;
            if let Some(text) = step.stream {
                tracing::debug!("{reference}: {}", text.trim_end());
            }
        }
        docker.inspect_image(&reference).await.or_environment(
            || format!("image {reference} was built and is not there"),
            hint::DOCKER,
        )?;
        Ok(reference)
    }
}

/// Adds a file whose header says nothing about this machine or the time.
fn append(tar: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    header.set_mtime(0);
    tar.append_data(&mut header, name, bytes)
        .or_environment(|| "cannot make a build context".into(), BUG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_follows_from_the_content_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&a, "one").unwrap();
        std::fs::write(&b, "one").unwrap();
        let tag = |path: &Path| Context::new("x/y", "FROM scratch", &[("p", path)]);
        let first = tag(&a).unwrap().reference;
        assert_eq!(first, tag(&b).unwrap().reference);
        std::fs::write(&b, "two").unwrap();
        assert_ne!(first, tag(&b).unwrap().reference);
        assert!(first.starts_with("x/y:"), "{first}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Context::new("x/y", "", &[("p", Path::new("/nowhere/p"))]);
        let text = error.err().unwrap().render();
        assert!(text.contains("/nowhere/p"), "{text}");
    }
}
