//! Layers of an image, unpacked into a folder: nothing of them gets out of it, or beyond the limits, and
//! all of it can be read and removed again.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use peerlab::engine::archive::Archive;
use peerlab::engine::archive::fuzz::{Limits, unpack};
use peerlab_core::conduct::Stop;
use peerlab_fuzz::parts;
use peerlab_fuzz::tar::repaired;
use sha2::{Digest as _, Sha256};

const LIMITS: Limits = Limits {
    bytes: 1 << 20,
    files: 64,
};
/// What lies beside the folder, and is to stay so.
const BESIDE: &str = "beside";

pub fn check(bytes: &[u8]) -> bool {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let archive = temp.path().join("archive");
    let layers: Vec<Vec<u8>> = parts(bytes).into_iter().map(repaired).collect();
    write_archive(&archive, &layers);
    let archive = Archive::open(&archive).expect("it is an archive");
    let root = temp.path().join("root");
    fs::create_dir(&root).expect("room for it");
    fs::write(temp.path().join(BESIDE), BESIDE).expect("room for it");
    let unpacked = unpack(&archive, &root, LIMITS, &Stop::never());
    let mut counted = Counted::default();
    counted.look(&root);
    if unpacked.is_ok() {
        assert!(counted.files <= LIMITS.files, "{} files", counted.files);
        assert!(counted.bytes <= LIMITS.bytes, "{} bytes", counted.bytes);
    }
    let beside = fs::read(temp.path().join(BESIDE)).expect("it is still there");
    assert_eq!(beside, BESIDE.as_bytes());
    assert_eq!(fs::read_dir(temp.path()).expect("a folder").count(), 3);
    temp.close().expect("all of it can be removed");
    unpacked.is_ok() && counted.files > 0
}

/// What is in a folder.
#[derive(Default)]
struct Counted {
    files: u64,
    bytes: u64,
}

impl Counted {
    fn look(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder that can be read") {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("what is there");
            let kind = metadata.file_type();
            assert!(
                kind.is_file() || kind.is_dir() || kind.is_symlink(),
                "{path:?}"
            );
            self.files += 1;
            if kind.is_symlink() {
                continue;
            }
            assert_eq!(metadata.permissions().mode() & 0o7000, 0, "{path:?}");
            if kind.is_dir() {
                self.look(&path);
            } else {
                assert_ne!(metadata.permissions().mode() & 0o400, 0, "{path:?}");
                self.bytes += metadata.len() / metadata.nlink().max(1);
            }
        }
    }
}

/// As `docker save` writes it, into a folder.
fn write_archive(folder: &Path, layers: &[Vec<u8>]) {
    fs::create_dir(folder).expect("room for it");
    let put = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("room for it");
    let names: Vec<String> = (0..layers.len()).map(|n| format!("{n}.tar")).collect();
    let digests = layers
        .iter()
        .map(|layer| format!("sha256:{:x}", Sha256::digest(layer)));
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": digests.collect::<Vec<_>>() }, "history": []
    });
    let manifest = serde_json::json!([{ "Config": "config.json", "Layers": names }]);
    put("config.json", config.to_string().as_bytes());
    put("manifest.json", manifest.to_string().as_bytes());
    for (name, layer) in names.iter().zip(layers) {
        put(name, layer);
    }
}

peerlab_fuzz::target!();
