//! How files of every package may depend on each other, read off their imports: no circle of files,
//! no loop between folders, no arrow up against the order of layers; and no match on a kind of
//! fault, outside `experiment/`, that a new kind would slip through. Each rule has a test that
//! sees it broken.

#![expect(
    clippy::disallowed_methods,
    reason = "a test of sources reads them; the package itself has no files"
)]

mod environment_errors;
mod rules;
mod source;

use std::path::PathBuf;

use rules::{against, circles, folders};
use source::{Files, Package, read};

/// The type of which every match must name all variants.
const WATCHED: &str = "FaultKind";
/// The folder that may do as it likes with it.
const ITS_FOLDER: &str = "experiment/";

/// Per package: where its root is, and its files and folders, the lowest layer first. What stands in
/// one string is one layer: its members may import each other, but for circles and loops.
const LAYERS: [(&str, &str, &[&str]); 8] = [
    (
        "harness/link",
        "lib.rs",
        &["id", "change", "proto", "framing starter", "model", "lib"],
    ),
    (
        "harness/fabric",
        "lib.rs",
        &[
            "args clock packet promptness gate_link",
            "device",
            "forward",
            "control",
            "lib",
        ],
    ),
    (
        "harness/gate",
        "lib.rs",
        &[
            "ended slowness users",
            "provided",
            "args confine dial digest disk fabric_link hosts netlink signals supervisor talk user_namespace",
            "archive device privileges proc",
            "census usage program",
            "runs",
            "gate",
            "guest",
            "starter",
            "lib",
        ],
    ),
    (
        "harness/core",
        "lib.rs",
        &[
            "error words",
            "experiment",
            "event",
            "ledger",
            "topology",
            "plan",
            "conduct check view",
            "report",
            "lib",
        ],
    ),
    ("harness/sim", "lib.rs", &["simulator", "explore", "lib"]),
    (
        "harness",
        "lib.rs",
        &[
            "probe disk serve ui",
            "engine",
            "metrics network",
            "dashboard web",
            "cli",
            "lib",
        ],
    ),
    (
        "node",
        "lib.rs",
        &[
            "hash_key time",
            "wire",
            "chain",
            "io",
            "mempool",
            "context",
            "peers sync relay",
            "machine",
            "options",
            "lib",
        ],
    ),
    (
        "node/daemon",
        "lib.rs",
        &[
            "clock log memory task store",
            "timer load rpc",
            "hub link",
            "rpc_server",
            "run ask",
            "lib",
        ],
    ),
];

/// What is wrong in a package.
fn wrongs(files: &Files, root: &str, order: &[&str]) -> Vec<String> {
    let package = Package::parse(files, root, WATCHED);
    let arrows = package.arrows();
    let circle = circles(&arrows).into_iter();
    let circle = circle.map(|files| format!("circle of files: {}", files.join(", ")));
    let folder = circles(&folders(&arrows)).into_iter();
    let folder = folder.map(|folders| format!("loop of folders: {}", folders.join(", ")));
    let matches = package.loose_matches(ITS_FOLDER).into_iter();
    let matches = matches.map(|it| format!("a new kind of fault would slip through {it}"));
    let mut found: Vec<String> = circle.chain(folder).chain(matches).collect();
    found.extend(against(order, &arrows));
    found
}

/// The top of the tree.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(package: &str) -> Files {
    read(&root().join(package).join("src"))
}

#[test]
fn every_package_keeps_its_layers() {
    let mut found = Vec::new();
    for (package, root, order) in LAYERS {
        let wrongs = wrongs(&sources(package), root, order);
        found.extend(wrongs.iter().map(|wrong| format!("{package}: {wrong}")));
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// What is wrong with `peerlab-core` when some code is added to some of its files.
fn wrongs_with(additions: &[(&str, &str)]) -> Vec<String> {
    let (package, root, order) = LAYERS[3];
    let mut files = sources(package);
    let before = wrongs(&files, root, order);
    for (file, code) in additions {
        files.get_mut(*file).expect("such a file").push_str(code);
    }
    let mut after = wrongs(&files, root, order);
    after.retain(|wrong| !before.contains(wrong));
    after
}

#[test]
fn an_arrow_up_is_seen_whatever_way_it_is_written() {
    for code in [
        "use crate::report::Report;",
        "use crate::report;\nfn f() -> report::Report { todo!() }",
        "fn f(_: &super::super::report::Report) {}",
        "fn f() { println!(\"{}\", crate::report::Report::SCHEMA) }",
        "pub use crate::report::Report;",
    ] {
        let wrongs = wrongs_with(&[("topology/resolve/mod.rs", code)]);
        let up = "topology/resolve/mod.rs -> report/run_report.rs runs up";
        assert!(wrongs.iter().any(|wrong| wrong == up), "{code}: {wrongs:?}");
    }
    // Within a layer of its own, and in tests, it may.
    let code = "#[cfg(test)]\nmod more { use crate::report::Report; }";
    assert!(wrongs_with(&[("topology/resolve/mod.rs", code)]).is_empty());
}

#[test]
fn a_circle_of_files_is_seen() {
    let wrongs = wrongs_with(&[("ledger/wallet.rs", "use super::Premined;")]);
    assert_eq!(
        wrongs,
        ["circle of files: ledger/premined.rs, ledger/wallet.rs"]
    );
}

#[test]
fn a_loop_of_folders_is_seen_though_no_file_is_in_a_circle() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let files = Files::from([
        file("lib.rs", "mod a; mod b;"),
        file("a/mod.rs", "pub mod one; pub mod two;"),
        file("a/one.rs", "use crate::b::one::B;"),
        file("a/two.rs", "pub struct A;"),
        file("b/mod.rs", "pub mod one; pub mod two;"),
        file("b/one.rs", "pub struct B;"),
        file("b/two.rs", "use crate::a::two::A;"),
    ]);
    assert_eq!(
        wrongs(&files, "lib.rs", &["a b", "lib"]),
        ["loop of folders: a, b"]
    );
}

#[test]
fn a_match_that_a_new_fault_would_slip_through_is_seen() {
    for code in [
        "fn f(k: &FaultKind) -> bool { match k { FaultKind::DoubleSpend => true, _ => false } }",
        "fn f(k: &FaultKind) -> bool { match (k, 1) { (FaultKind::DoubleSpend, 1) => true, other => false } }",
        "fn f(k: &FaultKind) -> bool { matches!(k, FaultKind::DoubleSpend) }",
    ] {
        let wrongs = wrongs_with(&[("plan/summary.rs", code)]);
        assert_eq!(wrongs.len(), 1, "{code}: {wrongs:?}");
        assert!(wrongs_with(&[("experiment/mod.rs", code)]).is_empty());
    }
}

#[test]
fn a_file_in_no_layer_is_seen() {
    let (package, root, order) = LAYERS[3];
    let wrongs = wrongs(&sources(package), root, &order[1..]);
    assert!(
        wrongs.contains(&"error.rs is in no layer".to_owned()),
        "{wrongs:?}"
    );
}
