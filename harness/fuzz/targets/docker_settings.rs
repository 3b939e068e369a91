//! The docker command's own files: its `config.json` with the current context and credentials, and that
//! context's `meta.json`; and what `DOCKER_HOST` may hold.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::fs;

use docker_credential::get_credential_from_reader;
use peerlab::engine::docker::fuzz::find_with;
use peerlab_fuzz::parts;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const REGISTRY: &str = "https://index.docker.io/v1/";

pub fn check(bytes: &[u8]) -> bool {
    let parts = parts(bytes);
    let [host, config, meta] = parts[..] else {
        return false;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = folder.path();
    fs::write(settings.join("config.json"), config).expect("room for it");
    let parsed: Value = serde_json::from_slice(config).unwrap_or_default();
    if let Some(context) = parsed["currentContext"].as_str() {
        let id = format!("{:x}", Sha256::digest(context));
        let place = settings.join("contexts/meta").join(id);
        fs::create_dir_all(&place).expect("room for it");
        fs::write(place.join("meta.json"), meta).expect("room for it");
    }
    let host = String::from_utf8_lossy(host).into_owned();
    let mut is_found = false;
    for host in [&host, ""] {
        let found = find_with(&|name| match name {
            "DOCKER_CONFIG" => Some(settings.display().to_string()),
            "DOCKER_HOST" => Some(host.to_owned()),
            _ => None,
        });
        if let Ok(target) = found {
            // What an error calls an engine leads to the same one.
            let address = target.address.to_string();
            let again = find_with(&|name| (name == "DOCKER_HOST").then(|| address.clone()));
            assert_eq!(again.map(|again| again.address), Ok(target.address));
            is_found |= !host.is_empty() || target.named_by.is_some();
        }
    }
    // A helper would be run.
    let helped = |name| !parsed[name].is_null();
    if !helped("credsStore") && !helped("credHelpers") {
        let _ = get_credential_from_reader(config, REGISTRY);
    }
    is_found
}

peerlab_fuzz::target!();
