//! Somebody else's image, made here: one with our node's program, under other names.

use std::path::Path;

/// Arguments that make of its program what our node would be run as.
pub const COMMAND: &str = "[-datadir=/data, -port=18444, -rpcport=18443, -rpcuser=peerlab, \
     -rpcpassword=peerlab, '-externalip={{ ip }}', '-loadblock={{ premined }}', \
     '-addnode={{ peer }}']";

/// What `docker save` would write of an image with one program, ours, as somebody else's.
pub fn saved_image(file: &Path) {
    use sha2::{Digest as _, Sha256};
    let header = |length: u64, mode| {
        let mut header = tar::Header::new_gnu();
        header.set_size(length);
        header.set_mode(mode);
        header
    };
    let node = Path::new(env!("CARGO_BIN_EXE_peerlab")).with_file_name("peerlab-node");
    let program = std::fs::read(node).unwrap();
    let mut layer = tar::Builder::new(Vec::new());
    let mut head = header(program.len() as u64, 0o755);
    layer
        .append_data(&mut head, "bin/ledger", &program[..])
        .unwrap();
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
        "{{\"architecture\":\"{architecture}\",\"os\":\"linux\",\"config\":{{\"Entrypoint\":\
         [\"ledger\"],\"Env\":[\"PATH=/bin\"]}},\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":\
         [\"sha256:{digest}\"]}}}}"
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
