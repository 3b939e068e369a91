//! Archives of images, as one file: what they say of themselves, and their layers as streams. What is good
//! is packed for an engine.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::io::{Read as _, Write as _};

use peerlab::engine::archive::{Archive, for_docker};
use peerlab_core::conduct::Stop;
use peerlab_fuzz::tar::repaired;

/// Bytes of a layer that are read: few stand for very many.
const LAYER_BYTES_MAX: u64 = 1 << 20;

pub fn check(bytes: &[u8]) -> bool {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(&repaired(bytes)).expect("room for it");
    let Ok(archive) = Archive::open(file.path()) else {
        return false;
    };
    for index in 0..archive.layer_count() {
        if let Ok(mut layer) = archive.layer(index) {
            let mut bytes = Vec::new();
            // A damaged stream ends with an error.
            let _ = layer.by_ref().take(LAYER_BYTES_MAX).read_to_end(&mut bytes);
            let _ = layer.verify();
        }
    }
    let Ok(packed) = for_docker(&archive, "peerlab/archive:1", &Stop::never()) else {
        return false;
    };
    let mut again = tempfile::NamedTempFile::new().expect("a temporary file");
    std::io::copy(&mut { packed }, &mut again).expect("room for it");
    let again = Archive::open(again.path()).expect("what is packed can be opened");
    assert_eq!(again.digest, archive.digest);
    assert_eq!(again.run, archive.run);
    assert_eq!(again.layer_count(), archive.layer_count());
    true
}

peerlab_fuzz::target!();
