//! An image in an archive: its configuration, and its layers as streams of tar, each checked
//! against the digest that the configuration states.

use crate::engine::hint;
use std::io::{self, BufReader, Read};
use std::path::Path;

use oci_spec::image::{Arch, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, Os};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::blobs::Blobs;
use peerlab_core::error::{Error, Explain, Result};

/// Indexes within indexes.
const INDEX_DEPTH_MAX: usize = 4;

#[derive(Debug)]
pub struct Archive {
    pub(super) blobs: Blobs,
    /// Of the configuration, SHA-256 in hex: what an engine calls the image's id.
    pub digest: String,
    /// The configuration's bytes.
    pub(super) config: Vec<u8>,
    /// Names of the layers' pieces, the lowest first.
    pub(super) layers: Vec<String>,
    /// Digests of the layers as tar, in hex.
    diff_ids: Vec<String>,
    /// How its program is run.
    pub run: RunConfig,
}

/// How an image wants its program to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunConfig {
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// The arguments that follow where none are given.
    pub cmd: Vec<String>,
    /// Environment, `NAME=value` each.
    pub env: Vec<String>,
    /// Working directory; empty for `/`.
    pub workdir: String,
    /// User; empty for root.
    pub user: String,
}

/// `manifest.json` of `docker save`.
#[derive(Deserialize)]
struct Saved {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

impl Archive {
    /// Reads what an archive says of its image.
    ///
    /// # Errors
    /// When it is no archive of an image for this machine, or its parts contradict each other.
    pub fn open(path: &Path) -> Result<Archive> {
        let blobs = Blobs::open(path)?;
        let (config_name, layers) = if blobs.has("index.json") {
            of_layout(&blobs)?
        } else {
            of_saved(&blobs)?
        };
        let config = blobs.document(&config_name)?;
        let digest = format!("{:x}", Sha256::digest(&config));
        if let Some(stated) = config_name.strip_prefix("blobs/sha256/")
            && stated != digest
        {
            return Err(wrong(&blobs, "the configuration does not have its digest"));
        }
        let parsed: ImageConfiguration = parse(&blobs, &config)?;
        let (its, ours) = (parsed.architecture(), Arch::default());
        if *its != ours {
            let why = format!("it is for {its}, and this machine is {ours}");
            return Err(wrong(&blobs, &why));
        }
        let diff_ids: Vec<String> = parsed
            .rootfs()
            .diff_ids()
            .iter()
            .map(|id| id.trim_start_matches("sha256:").to_owned())
            .collect();
        if diff_ids.len() != layers.len() {
            return Err(wrong(&blobs, "it has other layers than its configuration"));
        }
        Ok(Archive {
            run: run_config(&parsed),
            blobs,
            digest,
            config,
            layers,
            diff_ids,
        })
    }

    /// How many layers it has.
    pub fn layer_count(&self) -> usize {
        self.layers.len()
    }

    /// A layer, the lowest is 0, as a stream of tar.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn layer(&self, index: usize) -> Result<Checked> {
        let name = &self.layers[index];
        let (piece, _) = self.blobs.open_piece(name)?;
        let what = || format!("cannot read layer {name}");
        Ok(Checked {
            inner: decompressed(piece).or_environment(what, hint::ARCHIVE)?,
            hasher: Sha256::new(),
            stated: self.diff_ids[index].clone(),
        })
    }

    /// What an error calls it.
    pub fn path(&self) -> &Path {
        self.blobs.path()
    }
}

/// A layer that is being read.
pub struct Checked {
    inner: Box<dyn Read>,
    hasher: Sha256,
    stated: String,
}

impl Read for Checked {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }
}

impl Checked {
    /// Compares the digest of all that was read with the one that was stated.
    ///
    /// # Errors
    /// When they differ.
    pub fn verify(self) -> io::Result<()> {
        if format!("{:x}", self.hasher.finalize()) == self.stated {
            Ok(())
        } else {
            Err(io::Error::other("a layer does not have its digest"))
        }
    }
}

/// Configuration and layers of an OCI layout.
fn of_layout(blobs: &Blobs) -> Result<(String, Vec<String>)> {
    let mut index: ImageIndex = parse(blobs, &blobs.document("index.json")?)?;
    for _ in 0..INDEX_DEPTH_MAX {
        let Some(chosen) = choose(index.manifests()) else {
            return Err(wrong(blobs, "it holds no image for this machine"));
        };
        let bytes = blobs.document(&piece_of(chosen))?;
        match parse::<ImageManifest>(blobs, &bytes) {
            Ok(manifest) => {
                let layers = manifest.layers().iter().map(piece_of).collect();
                return Ok((piece_of(manifest.config()), layers));
            }
            Err(_) => index = parse(blobs, &bytes)?,
        }
    }
    Err(wrong(blobs, "its indexes have no end"))
}

/// The first that is for this machine, or says nothing of any.
fn choose(manifests: &[Descriptor]) -> Option<&Descriptor> {
    manifests.iter().find(|manifest| {
        manifest.platform().as_ref().is_none_or(|platform| {
            *platform.architecture() == Arch::default() && *platform.os() == Os::Linux
        })
    })
}

fn piece_of(descriptor: &Descriptor) -> String {
    let digest = descriptor.digest().to_string();
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

/// Configuration and layers of what `docker save` wrote.
fn of_saved(blobs: &Blobs) -> Result<(String, Vec<String>)> {
    if !blobs.has("manifest.json") {
        return Err(wrong(blobs, "it has neither index.json nor manifest.json"));
    }
    let saved: Vec<Saved> = parse(blobs, &blobs.document("manifest.json")?)?;
    let mut saved = saved.into_iter();
    match (saved.next(), saved.next()) {
        (Some(only), None) => Ok((only.config, only.layers)),
        _ => Err(wrong(blobs, "it does not hold exactly one image")),
    }
}

fn parse<T: for<'a> Deserialize<'a>>(blobs: &Blobs, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).or_environment(
        || format!("{} is no archive of an image", blobs.path().display()),
        hint::ARCHIVE,
    )
}

fn wrong(blobs: &Blobs, why: &str) -> Error {
    let what = format!("cannot use the image in {}", blobs.path().display());
    Error::environment(what, why, hint::ARCHIVE)
}

fn run_config(parsed: &ImageConfiguration) -> RunConfig {
    let Some(config) = parsed.config() else {
        return RunConfig::default();
    };
    RunConfig {
        entrypoint: config.entrypoint().clone().unwrap_or_default(),
        cmd: config.cmd().clone().unwrap_or_default(),
        env: config.env().clone().unwrap_or_default(),
        workdir: config.working_dir().clone().unwrap_or_default(),
        user: config.user().clone().unwrap_or_default(),
    }
}

/// Undoes gzip or zstd, whichever the first bytes tell of.
fn decompressed(piece: Box<dyn Read>) -> io::Result<Box<dyn Read>> {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    let mut piece = BufReader::new(piece);
    let mut start = Vec::new();
    (&mut piece).take(4).read_to_end(&mut start)?;
    let is_gzip = start.starts_with(&GZIP);
    let is_zstd = start.starts_with(&ZSTD);
    let whole = io::Cursor::new(start).chain(piece);
    Ok(if is_gzip {
        Box::new(flate2::read::MultiGzDecoder::new(whole))
    } else if is_zstd {
        Box::new(ruzstd::decoding::StreamingDecoder::new(whole).map_err(io::Error::other)?)
    } else {
        Box::new(whole)
    })
}
