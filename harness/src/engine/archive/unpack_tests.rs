//! Archives made here, honest and hostile ones, and what becomes of them.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use oci_spec::image::Arch;
use sha2::{Digest as _, Sha256};
use tar::EntryType;

use super::super::for_docker;
use super::*;

/// A layer: entries in order.
type Layer = Vec<(EntryType, String, Vec<u8>, u32)>;

fn file(name: &str, text: &str) -> (EntryType, String, Vec<u8>, u32) {
    (EntryType::Regular, name.into(), text.into(), 0o644)
}

fn entry(kind: EntryType, name: &str, target: &str) -> (EntryType, String, Vec<u8>, u32) {
    (kind, name.into(), target.into(), 0o755)
}

/// A layer's tar. Names are written as they are, though the tar crate would refuse some.
fn tar_of(layer: &Layer) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (kind, name, bytes, mode) in layer {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        let is_file = kind.is_file();
        if !is_file {
            header.as_gnu_mut().unwrap().linkname[..bytes.len()].copy_from_slice(bytes);
        }
        header.set_size(if is_file { bytes.len() as u64 } else { 0 });
        header.set_cksum();
        let body: &[u8] = if is_file { bytes } else { &[] };
        tar.append(&header, body).unwrap();
    }
    tar.into_inner().unwrap()
}

fn config_of(layers: &[Vec<u8>]) -> Vec<u8> {
    let ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("sha256:{:x}", Sha256::digest(layer)))
        .collect();
    serde_json::json!({
        "architecture": Arch::default(), "os": "linux",
        "config": {
            "Entrypoint": ["/program"], "Cmd": ["-x"], "Env": ["A=b"], "WorkingDir": "/w",
            "User": "7"
        },
        "rootfs": { "type": "layers", "diff_ids": ids },
        "history": []
    })
    .to_string()
    .into_bytes()
}

/// How layers are stored.
#[derive(Clone, Copy)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

fn packed(layer: &[u8], packing: Packing) -> Vec<u8> {
    match packing {
        Packing::Plain => layer.to_vec(),
        Packing::Gzip => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(layer).unwrap();
            gzip.finish().unwrap()
        }
        Packing::Zstd => {
            let level = ruzstd::encoding::CompressionLevel::Fastest;
            ruzstd::encoding::compress_to_vec(layer, level)
        }
    }
}

/// Writes an OCI layout into a folder.
fn write_layout(folder: &Path, layers: &[Vec<u8>], packing: Packing) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = format!("{:x}", Sha256::digest(bytes));
        fs::write(blobs.join(&digest), bytes).unwrap();
        serde_json::json!({
            "digest": format!("sha256:{digest}"), "size": bytes.len(),
            "mediaType": "application/vnd.oci.image.layer.v1.tar"
        })
    };
    let config = put(&config_of(layers));
    let layers: Vec<_> = layers.iter().map(|l| put(&packed(l, packing))).collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "config": config, "layers": layers
    });
    let manifest = put(manifest.to_string().as_bytes());
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
}

fn opened(layers: &[Layer], packing: Packing) -> (tempfile::TempDir, Archive) {
    let layers: Vec<Vec<u8>> = layers.iter().map(tar_of).collect();
    opened_tars(&layers, packing)
}

fn opened_tars(layers: &[Vec<u8>], packing: Packing) -> (tempfile::TempDir, Archive) {
    let folder = tempfile::tempdir().unwrap();
    write_layout(folder.path(), layers, packing);
    let archive = Archive::open(folder.path()).unwrap();
    (folder, archive)
}

/// An archive of files, for other tests; it lives as long as the folder.
pub fn archive_of(layers: &[&[(&str, &str)]]) -> (tempfile::TempDir, Archive) {
    let layers: Vec<Layer> = layers
        .iter()
        .map(|layer| layer.iter().map(|(name, text)| file(name, text)).collect())
        .collect();
    opened(&layers, Packing::Plain)
}

/// Unpacks with nothing in the way.
fn unpack_all(archive: &Archive, root: &Path) -> Result<()> {
    unpack(archive, root, LIMITS, &Stop::never())
}

/// The root that layers unpack to.
fn root_of(layers: &[Layer]) -> tempfile::TempDir {
    let (_folder, archive) = opened(layers, Packing::Plain);
    let root = tempfile::tempdir().unwrap();
    unpack_all(&archive, root.path()).unwrap();
    root
}

/// What is said of a layer, given as its tar, that is not unpacked within these limits.
fn refusal(layer: &[u8], limits: Limits) -> String {
    let (_folder, archive) = opened_tars(&[layer.to_vec()], Packing::Gzip);
    let root = tempfile::tempdir().unwrap();
    let error = unpack(&archive, root.path(), limits, &Stop::never()).unwrap_err();
    let said = error.render();
    assert!(
        said.contains(&archive.path().display().to_string()),
        "{said}"
    );
    assert!(said.contains("Hint: "), "{said}");
    said
}

/// The blocks of one entry, as they are written.
fn raw(kind: EntryType, name: &str, body: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_path(name).unwrap();
    header.set_size(body.len() as u64);
    header.set_cksum();
    let mut blocks = header.as_bytes().to_vec();
    blocks.extend(body);
    blocks.resize(blocks.len().next_multiple_of(512), 0);
    blocks
}

/// An attribute as pax writes it: its length, which counts itself, name and value.
fn attribute(name: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {name}={value}\n");
    let with = |digits: usize| (rest.len() + digits).to_string();
    let length = (1..)
        .map(with)
        .find(|length| length.parse::<usize>().unwrap() == rest.len() + length.len());
    format!("{}{rest}", length.unwrap()).into_bytes()
}

/// A sparse file: these pieces, each at its place, and its whole length.
fn sparse(name: &str, pieces: &[(u64, &[u8])], length: u64) -> Vec<u8> {
    let body: Vec<u8> = pieces
        .iter()
        .flat_map(|(_, bytes)| bytes.to_vec())
        .collect();
    let mut blocks = raw(EntryType::GNUSparse, name, &body);
    let mut header = tar::Header::from_byte_slice(&blocks[..512]).clone();
    let gnu = header.as_gnu_mut().unwrap();
    let octal = |field: &mut [u8], value: u64| {
        let text = format!("{value:0width$o}", width = field.len() - 1);
        field[..text.len()].copy_from_slice(text.as_bytes());
    };
    for (place, (at, bytes)) in gnu.sparse.iter_mut().zip(pieces) {
        octal(&mut place.offset, *at);
        octal(&mut place.numbytes, bytes.len() as u64);
    }
    octal(&mut gnu.realsize, length);
    header.set_cksum();
    blocks[..512].copy_from_slice(header.as_bytes());
    blocks
}

fn text(root: &tempfile::TempDir, name: &str) -> String {
    fs::read_to_string(root.path().join(name)).unwrap()
}

#[test]
fn every_packing_gives_the_same() {
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let long = "some text ".repeat(10_000);
        let (_folder, archive) = opened(&[vec![file("a/b/c", &long)]], packing);
        let root = tempfile::tempdir().unwrap();
        unpack_all(&archive, root.path()).unwrap();
        assert_eq!(text(&root, "a/b/c"), long);
    }
}

#[test]
fn how_the_program_is_run_is_told() {
    let (_folder, archive) = archive_of(&[&[("x", "y")]]);
    assert_eq!(archive.run.entrypoint, ["/program"]);
    assert_eq!(archive.run.cmd, ["-x"]);
    assert_eq!(archive.run.env, ["A=b"]);
    assert_eq!(
        (archive.run.workdir.as_str(), archive.run.user.as_str()),
        ("/w", "7")
    );
}

#[test]
fn a_tar_and_what_docker_saves_are_read_as_well() {
    let (folder, archive) = opened(&[vec![file("a", "1")], vec![file("b", "2")]], Packing::Gzip);
    let place = tempfile::tempdir().unwrap();
    let as_tar = place.path().join("layout.tar");
    let mut tar = tar::Builder::new(fs::File::create(&as_tar).unwrap());
    tar.append_dir_all(".", folder.path()).unwrap();
    tar.finish().unwrap();
    let saved = place.path().join("saved.tar");
    let mut packed = for_docker(&archive, "name:tag", &Stop::never()).unwrap();
    io::copy(&mut packed, &mut fs::File::create(&saved).unwrap()).unwrap();
    for path in [as_tar, saved] {
        let again = Archive::open(&path).unwrap();
        assert_eq!(again.digest, archive.digest);
        let root = tempfile::tempdir().unwrap();
        unpack_all(&again, root.path()).unwrap();
        assert_eq!(
            (text(&root, "a"), text(&root, "b")),
            ("1".into(), "2".into())
        );
    }
}

#[test]
fn later_layers_replace_and_delete() {
    let root = root_of(&[
        vec![
            file("kept", "1"),
            file("gone", "1"),
            file("folder/old", "1"),
            file("opaque/old", "1"),
            file("becomes-a-folder", "1"),
        ],
        vec![
            file("kept", "2"),
            file("opaque/new", "2"),
            file(".wh.gone", ""),
            file("folder/.wh.old", ""),
            file("opaque/.wh..wh..opq", ""),
            file("becomes-a-folder/x", "2"),
        ],
    ]);
    assert_eq!(text(&root, "kept"), "2");
    assert_eq!(text(&root, "opaque/new"), "2");
    assert_eq!(text(&root, "becomes-a-folder/x"), "2");
    for gone in [
        "gone",
        ".wh.gone",
        "folder/old",
        "opaque/old",
        "opaque/.wh..wh..opq",
    ] {
        assert!(!root.path().join(gone).exists(), "{gone}");
    }
    assert!(root.path().join("folder").is_dir());
}

#[test]
fn links_and_modes() {
    let mut program = file("bin/program", "run");
    program.3 = 0o4755;
    let root = root_of(&[
        vec![
            program,
            entry(EntryType::Link, "bin/second", "bin/program"),
            entry(EntryType::Symlink, "lib", "usr/lib"),
            entry(EntryType::Directory, "usr/lib", ""),
            entry(EntryType::Char, "dev/null", ""),
        ],
        vec![file("lib/through", "the link")],
    ]);
    let mode = fs::metadata(root.path().join("bin/program"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o755);
    assert_eq!(text(&root, "bin/second"), "run");
    assert_eq!(text(&root, "usr/lib/through"), "the link");
    assert!(!root.path().join("dev/null").exists());
}

#[test]
fn nothing_is_ever_written_outside() {
    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().to_str().unwrap();
    fs::write(outside.path().join("precious"), "mine").unwrap();
    let depth = "../".repeat(12);
    let up = format!("{depth}{}", path.trim_start_matches('/'));
    for layers in [
        vec![vec![file(&format!("{up}/evil"), "x")]],
        vec![vec![file(&format!("{path}/evil"), "x")]],
        vec![vec![
            entry(EntryType::Symlink, "out", path),
            file("out/evil", "x"),
        ]],
        vec![
            vec![entry(EntryType::Symlink, "out", &up)],
            vec![file("out/evil", "x"), file("out/.wh.precious", "")],
        ],
        vec![vec![
            entry(EntryType::Symlink, "precious", &format!("{path}/precious")),
            file("precious", "overwritten"),
        ]],
        vec![vec![file(".wh...", ""), file("a/.wh.", "")]],
    ] {
        let (_folder, archive) = opened(&layers, Packing::Plain);
        let root = tempfile::tempdir().unwrap();
        // Whether it is refused or bent into the root does not matter.
        let _ = unpack_all(&archive, root.path());
        assert!(!outside.path().join("evil").exists(), "{layers:?}");
        assert_eq!(text(&outside, "precious"), "mine", "{layers:?}");
    }
    // A hard link to a file outside would give it away.
    let secret = format!("{path}/precious");
    let layer = vec![entry(EntryType::Link, "stolen", &secret)];
    let (_folder, archive) = opened(&[layer], Packing::Plain);
    let root = tempfile::tempdir().unwrap();
    assert!(unpack_all(&archive, root.path()).is_err());
    assert!(!root.path().join("stolen").exists());
}

#[test]
fn a_description_without_end_is_refused_before_it_fills_the_memory() {
    let long = vec![b'a'; 64 << 20];
    let attributes = attribute("comment", &"a".repeat(2 << 20));
    let mut map = sparse("holes", &[], 0);
    let mut header = tar::Header::from_byte_slice(&map[..512]).clone();
    header.as_gnu_mut().unwrap().isextended[0] = 1;
    header.set_cksum();
    map[..512].copy_from_slice(header.as_bytes());
    let mut more = [b'0'; 512];
    more[504] = 1;
    map.extend(more.repeat(4_096));
    for layer in [
        raw(EntryType::GNULongName, "././@LongLink", &long),
        raw(EntryType::GNULongLink, "././@LongLink", &long),
        raw(EntryType::XHeader, "x", &attributes),
        map,
    ] {
        let said = refusal(&layer, LIMITS);
        assert!(said.contains("are too long"), "{said}");
    }
}

#[test]
fn long_names_and_attributes_are_read() {
    let name = format!("{}/{}", "a".repeat(200), "b".repeat(200));
    let gnu = raw(EntryType::GNULongName, "././@LongLink", name.as_bytes());
    let pax = raw(EntryType::XHeader, "x", &attribute("path", &name));
    for description in [gnu, pax] {
        let layer = [description, raw(EntryType::Regular, "short", b"here")].concat();
        let (_folder, archive) = opened_tars(&[layer], Packing::Plain);
        let root = tempfile::tempdir().unwrap();
        unpack_all(&archive, root.path()).unwrap();
        assert_eq!(text(&root, &name), "here");
    }
}

#[test]
fn an_image_that_is_too_large_is_refused() {
    let layer = tar_of(&vec![file("a/b/c", &"x".repeat(3_000)), file("d", "y")]);
    let length = layer.len() as u64;
    let refused = |bytes, files| refusal(&layer, Limits { bytes, files });
    for said in [refused(length / 2, 100), refused(length, 3)] {
        assert!(
            said.contains("it unpacks to") || said.contains("it holds"),
            "{said}"
        );
        assert!(said.contains("take a smaller one"), "{said}");
    }
    // Folders that no entry tells of count as well: two files and two folders.
    let (_folder, archive) = opened_tars(&[layer], Packing::Plain);
    let root = tempfile::tempdir().unwrap();
    let limits = Limits {
        bytes: length,
        files: 4,
    };
    unpack(&archive, root.path(), limits, &Stop::never()).unwrap();
    // A hole takes no bytes of the layer.
    let hole = sparse("hole", &[(1 << 32, b"end")], (1 << 32) + 3);
    let limits = Limits {
        bytes: 1 << 20,
        files: 10,
    };
    let said = refusal(&hole, limits);
    assert!(said.contains("its entry hole"), "{said}");
    assert!(said.contains("it unpacks to too many bytes"), "{said}");
}

#[test]
fn a_sparse_file_has_its_holes_and_one_that_cannot_be_read_is_refused() {
    let layer = sparse("file", &[(0, &[b'x'; 512]), (2_048, b"end")], 2_051);
    let (_folder, archive) = opened_tars(&[layer], Packing::Plain);
    let root = tempfile::tempdir().unwrap();
    unpack_all(&archive, root.path()).unwrap();
    let bytes = fs::read(root.path().join("file")).unwrap();
    assert_eq!(bytes.len(), 2_051);
    assert!(bytes[..512].iter().all(|byte| *byte == b'x'));
    assert!(bytes[512..2_048].iter().all(|byte| *byte == 0));
    assert_eq!(bytes[2_048..], *b"end");

    let map = raw(EntryType::XHeader, "x", &attribute("GNU.sparse.major", "1"));
    let layer = [map, raw(EntryType::Regular, "file", b"1\n0\n5\nhello")].concat();
    let said = refusal(&layer, LIMITS);
    assert!(said.contains("its entry file"), "{said}");
    assert!(said.contains("sparse file in a form"), "{said}");
}

#[test]
fn what_cannot_be_unpacked_is_named() {
    for (layer, cause) in [
        (
            vec![entry(EntryType::Link, "x", "none")],
            "is no file in the image",
        ),
        (
            vec![entry(EntryType::Link, "x", "/")],
            "is no file in the image",
        ),
        (
            vec![file("x", "1"), entry(EntryType::Link, "x", "x")],
            "is no file in the image",
        ),
        (
            vec![
                entry(EntryType::Directory, "d", ""),
                entry(EntryType::Link, "x", "d"),
            ],
            "is no file",
        ),
        (
            vec![entry(EntryType::new(b'M'), "x", "")],
            "of a kind that images do not hold",
        ),
    ] {
        let said = refusal(&tar_of(&layer), LIMITS);
        assert!(said.contains("its entry x"), "{said}");
        assert!(said.contains(cause), "{said}");
    }
    let said = refusal(&raw(EntryType::Link, "evil\u{1b}[31m", b""), LIMITS);
    assert!(!said.contains('\u{1b}'), "{said}");
}

#[test]
fn folders_are_not_nested_without_end_whatever_way_they_are_reached() {
    let mut layer = Layer::new();
    let mut above = String::new();
    for link in 'a'..='g' {
        let deeper = format!("{above}{}", "x/".repeat(40));
        layer.push(entry(EntryType::Directory, &deeper, ""));
        layer.push(entry(EntryType::Symlink, &link.to_string(), &deeper));
        above = format!("{link}/");
    }
    let said = refusal(&tar_of(&layer), LIMITS);
    assert!(said.contains("nested too deeply"), "{said}");
}

#[test]
fn a_changed_layer_or_configuration_is_found_out() {
    let (folder, archive) = archive_of(&[&[("a", "1")]]);
    let layer = folder.path().join(&archive.layers[0]);
    let mut bytes = fs::read(&layer).unwrap();
    bytes[600] ^= 1;
    fs::write(&layer, &bytes).unwrap();
    let root = tempfile::tempdir().unwrap();
    let error = unpack_all(&archive, root.path()).unwrap_err().render();
    assert!(error.contains("does not have its digest"), "{error}");

    let config = folder.path().join("blobs/sha256").join(&archive.digest);
    fs::write(&config, config_of(&[])).unwrap();
    let error = Archive::open(folder.path()).unwrap_err().render();
    assert!(error.contains("does not have its digest"), "{error}");
}

#[test]
fn an_image_for_another_machine_is_refused() {
    let (folder, archive) = archive_of(&[&[("a", "1")]]);
    let config = String::from_utf8(archive.config.clone()).unwrap();
    let other = config.replace(&Arch::default().to_string(), "riscv64");
    let saved = serde_json::json!([{ "Config": "c.json", "Layers": ["l.tar"] }]);
    let place = folder.path().join("saved");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("c.json"), other).unwrap();
    fs::write(place.join("manifest.json"), saved.to_string()).unwrap();
    let error = Archive::open(&place).unwrap_err().render();
    assert!(error.contains("it is for riscv64"), "{error}");
}
