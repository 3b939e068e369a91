//! The images of our node and of the fabric: built from the Dockerfiles under `images/` and the
//! static programs, under a tag that is the digest of what went in; and those that an experiment
//! brings in archives.

use crate::engine::hint;
use peerlab_core::error::hint::{BUG, DISK};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::errors::Error as DockerError;
use bollard::models::ImageInspect;
use bollard::query_parameters::{BuildImageOptionsBuilder, ImportImageOptionsBuilder};
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use super::{label, timeouts};
use crate::engine::archive::{self, Archive};
use crate::engine::programs::Programs;
use crate::engine::{blocking, or_stop};
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
    pub archives: BTreeMap<PathBuf, String>,
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
    /// When an archive cannot be read, the engine cannot load it, or the run is to stop.
    pub async fn load_archives(
        &mut self,
        docker: &Docker,
        plan: &Plan,
        observer: &dyn Observer,
        stop: &CancellationToken,
    ) -> Result<()> {
        for group in &plan.groups {
            if let Image::Archive(path) = &group.image
                && !self.archives.contains_key(path)
            {
                let reference = load(docker, path, observer, stop).await?;
                self.archives.insert(path.clone(), reference);
            }
        }
        Ok(())
    }
}

/// What the engine says of an image; `None` where it has none of that name.
///
/// # Errors
/// When it does not say.
pub async fn find(docker: &Docker, reference: &str) -> Result<Option<ImageInspect>> {
    match timeouts::in_time(docker.inspect_image(reference)).await {
        Err(DockerError::DockerResponseServerError {
            status_code: 404, ..
        }) => Ok(None),
        inspected => inspected.map(Some).or_environment(
            || format!("cannot ask the engine for image {reference}"),
            hint::DOCKER,
        ),
    }
}

/// Loads an archive's image, unless the engine has it; gives its reference.
async fn load(
    docker: &Docker,
    path: &Path,
    observer: &dyn Observer,
    stop: &CancellationToken,
) -> Result<String> {
    let (file, place) = (path.to_owned(), path.display());
    let archive = blocking(stop, move |_| Archive::open(&file)).await?;
    let reference = format!("{ARCHIVE_REPOSITORY}:{}", &archive.digest[..TAG_DIGITS]);
    if or_stop(stop, find(docker, &reference)).await?.is_some() {
        return Ok(reference);
    }
    observer.stage(Stage::Preparing(format!("loading {place}")));
    let name = reference.clone();
    let packed = blocking(stop, move |stop| archive::for_docker(&archive, &name, stop)).await?;
    let what = || format!("cannot load {place}");
    let loading = async {
        let packed = ReaderStream::new(tokio::fs::File::from_std(packed));
        let options = ImportImageOptionsBuilder::default().build();
        let mut progress = docker.import_image(options, bollard::body_try_stream(packed), None);
        while let Some(step) = progress.next().await {
            step.or_environment(what, hint::DOCKER)?;
        }
        let loaded = docker.inspect_image(&reference).await;
        loaded.or_environment(what, hint::DOCKER)
    };
    or_stop(stop, loading).await?;
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
        if find(docker, &reference).await?.is_some() {
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
    use super::super::fake::Fake;
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

    #[tokio::test]
    async fn an_image_is_missing_only_where_the_engine_says_so() {
        for (status, is_error) in [(404, false), (500, true)] {
            let fake = Fake::start(move |_, _, _| (status, "no such image".into()));
            let found = find(&fake.client(), "x/y:z").await;
            assert_eq!(found.is_err(), is_error, "{status}: {found:?}");
            assert!(found.ok().flatten().is_none());
        }
    }
}
