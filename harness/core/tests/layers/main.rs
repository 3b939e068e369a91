//! How the packages' files may depend on each other, read off their imports.

#![expect(clippy::print_stderr, reason = "a failing test names what it found")]

mod rules;
mod source;

use std::path::PathBuf;

use rules::{against, circles, folders};
use source::{Files, Package, read};

const WATCHED: &str = "FaultKind";

#[test]
fn show() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    for folder in [
        "harness/core",
        "harness/sim",
        "harness",
        "harness/link",
        "harness/fabric",
        "harness/gate",
        "node",
        "node/daemon",
    ] {
        let files = read(&root.join(folder).join("src"));
        for main in ["lib.rs", "main.rs"] {
            if !files.contains_key(main) {
                continue;
            }
            let package = Package::parse(&files, main, WATCHED);
            let arrows = package.arrows();
            eprintln!("== {folder} {main}");
            for c in circles(&arrows) {
                eprintln!("circle {c:?}");
            }
            for c in circles(&folders(&arrows)) {
                eprintln!("loop {c:?}");
            }
            for m in package.loose_matches("experiment/") {
                eprintln!("match {m}");
            }
            let mut top =
                std::collections::BTreeMap::<String, std::collections::BTreeSet<String>>::new();
            for (f, ts) in &arrows {
                for t in ts {
                    let a = f.split('/').next().unwrap().to_owned();
                    let b = t.split('/').next().unwrap().to_owned();
                    if a != b {
                        top.entry(a).or_default().insert(b);
                    }
                }
            }
            eprintln!("{top:#?}");
            let _ = against(&[], &arrows);
        }
    }
}
