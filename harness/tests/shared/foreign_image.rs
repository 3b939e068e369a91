//! Somebody else's image, made here: one with our node's program, under other names.

use std::path::Path;

/// Arguments that make of its program what our node would be run as.
pub const COMMAND: &str = "[-datadir=/data, -port=18444, -rpcport=18443, -rpcuser=peerlab, \
     -rpcpassword=peerlab, '-externalip={{ ip }}', '-loadblock={{ premined }}', \
     '-addnode={{ peer }}']";

/// A volume that it declares.
pub const VOLUME: &str = "/srv/ledger";
/// A folder in which it has a file: an empty chain.
pub const FOLDER: &str = "/var/ledger";
/// How the image is run; its check of its own is nothing that a node may do.
pub const RUN_CONFIG: &str = r#"{"Entrypoint":["ledger"],"Env":["PATH=/bin"],
                              "Volumes":{"/srv/ledger":{}},
                              "Healthcheck":{"Test":["CMD","ledger"]}}"#;

/// What `docker save` would write of an image with our program as somebody else's.
pub fn saved_image(file: &Path, run_config: &str) {
    let node = Path::new(env!("CARGO_BIN_EXE_peerlab")).with_file_name("peerlab-node");
    save_image(&std::fs::read(node).unwrap(), file, run_config);
}

/// The same of an image with this one program.
pub fn save_image(program: &[u8], file: &Path, run_config: &str) {
    use sha2::{Digest as _, Sha256};
    let header = |length: u64, mode| {
        let mut header = tar::Header::new_gnu();
        header.set_size(length);
        header.set_mode(mode);
        header
    };
    let mut layer = tar::Builder::new(Vec::new());
    let mut head = header(program.len() as u64, 0o755);
    layer.append_data(&mut head, "bin/ledger", program).unwrap();
    let chain = format!("{}/regtest/chain.redb", FOLDER.trim_start_matches('/'));
    let mut head = header(0, 0o644);
    layer.append_data(&mut head, chain, &[][..]).unwrap();
    let layer = layer.into_inner().unwrap();
    let digest: String = Sha256::digest(&layer)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = format!(
        r#"{{"architecture":"{architecture}","os":"linux","config":{run_config},
            "rootfs":{{"type":"layers","diff_ids":["sha256:{digest}"]}}}}"#
    );
    let manifest = r#"[{"Config":"config.json","RepoTags":null,"Layers":["layer.tar"]}]"#;
    let mut saved = tar::Builder::new(std::fs::File::create(file).unwrap());
    for (name, bytes) in [
        ("layer.tar", &layer[..]),
        ("config.json", config.as_bytes()),
        ("manifest.json", manifest.as_bytes()),
    ] {
        let mut head = header(bytes.len() as u64, 0o644);
        saved.append_data(&mut head, name, bytes).unwrap();
    }
    saved.finish().unwrap();
}
