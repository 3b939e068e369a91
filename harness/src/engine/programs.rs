//! The three programs that run beside and in the nodes: where their binaries come from.
//!
//! In this order: the folder that `PEERLAB_PROGRAMS` names; a build by cargo where the harness'
//! own source tree is there (whether anything is stale is cargo's affair); the folder of the
//! harness' own executable.

use crate::engine::{LastLines, hint};
use peerlab_core::error::hint::BUG;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use peerlab_core::conduct::{Observer, Stage};
use peerlab_core::error::{Error, Explain, Result};

/// Names the folder that holds the programs.
pub const PROGRAMS_VARIABLE: &str = "PEERLAB_PROGRAMS";
/// The source tree that the harness was compiled from, relative to its manifest.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const NODE: &str = "peerlab-node";
/// The package that builds [`NODE`].
const NODE_PACKAGE: &str = "peerlab-daemon";
const FABRIC: &str = "peerlab-fabric";
const GATE: &str = "peerlab-gate";

/// Paths of the programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The node's daemon.
    pub node: PathBuf,
    /// The switch between the nodes.
    pub fabric: PathBuf,
    /// PID 1 of every node.
    pub gate: PathBuf,
}

impl Programs {
    /// Finds the programs, or builds them.
    ///
    /// # Errors
    /// When there is no such folder, the build fails, or there is nowhere to take them from.
    pub async fn find(observer: &dyn Observer) -> Result<Programs> {
        if let Some(folder) = std::env::var_os(PROGRAMS_VARIABLE) {
            let folder = PathBuf::from(folder);
            return Programs::in_folder(&folder).ok_or_else(|| {
                Error::environment(
                    format!("cannot find {NODE}, {FABRIC} and {GATE}"),
                    format!(
                        "{PROGRAMS_VARIABLE} names {}, which does not hold them",
                        folder.display()
                    ),
                    "correct it, or leave it out: they are then built, or looked for beside peerlab",
                )
            });
        }
        let workspace = Path::new(WORKSPACE);
        if workspace.join("Cargo.toml").is_file()
            && let Some(programs) = build(workspace, observer).await?
        {
            return Ok(programs);
        }
        let beside = std::env::current_exe().ok();
        beside
            .as_deref()
            .and_then(Path::parent)
            .and_then(Programs::in_folder)
            .ok_or_else(|| {
                Error::environment(
                    format!("cannot find {NODE}, {FABRIC} and {GATE}"),
                    "they are not beside the peerlab executable, and the sources to build them from \
                     are not where they were",
                    format!("put them there, or name their folder in {PROGRAMS_VARIABLE}"),
                )
            })
    }

    /// The processor that they are for, as Linux names it, where that is known.
    pub fn architecture(&self) -> Option<&'static str> {
        // The head of an ELF file up to its field `e_machine`.
        let mut head = [0; 20];
        let mut file = std::fs::File::open(&self.gate).ok()?;
        std::io::Read::read_exact(&mut file, &mut head).ok()?;
        match (&head[..4], u16::from_le_bytes([head[18], head[19]])) {
            (b"\x7fELF", 62) => Some("x86_64"),
            (b"\x7fELF", 183) => Some("aarch64"),
            _ => None,
        }
    }

    fn in_folder(folder: &Path) -> Option<Programs> {
        let file = |name| Some(folder.join(name)).filter(|path| path.is_file());
        Some(Programs {
            node: file(NODE)?,
            fabric: file(FABRIC)?,
            gate: file(GATE)?,
        })
    }
}

/// One line of cargo's machine-readable output, as far as it concerns us.
#[derive(Deserialize)]
struct CargoMessage {
    target: Option<CargoTarget>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct CargoTarget {
    name: String,
}

/// Builds the programs in the harness' own profile. `None` where there is no cargo.
async fn build(workspace: &Path, observer: &dyn Observer) -> Result<Option<Programs>> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(workspace)
        .args(["build", "--message-format=json-render-diagnostics"])
        .args(["-p", NODE_PACKAGE, "-p", FABRIC, "-p", GATE])
        .args((!cfg!(debug_assertions)).then_some("--release"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    observer.stage(Stage::Preparing("building the programs".into()));
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).or_environment(|| "cannot run cargo".into(), hint::PROGRAMS),
    };
    let (Some(mut stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Error::environment(
            "cannot read cargo's output",
            "it has none",
            BUG,
        ));
    };
    let mut messages = String::new();
    let said = LastLines::default();
    let progress = said.follow(stderr, |line| {
        let text = line.trim();
        if text.starts_with("Compiling") || text.starts_with("Blocking") {
            observer.stage(Stage::Preparing(text.to_owned()));
        }
    });
    let (read, ()) = tokio::join!(stdout.read_to_string(&mut messages), progress);
    read.or_environment(|| "cannot read cargo's output".into(), hint::PROGRAMS)?;
    let status = child
        .wait()
        .await
        .or_environment(|| "cannot wait for cargo".into(), hint::PROGRAMS)?;
    if !status.success() {
        return Err(Error::environment(
            "cannot build the programs",
            format!("cargo says:\n{}", said.lines().join("\n")),
            hint::PROGRAMS,
        ));
    }
    let mut built: BTreeMap<String, PathBuf> = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<CargoMessage>(line).ok())
        .filter_map(|message| Some((message.target?.name, message.executable?)))
        .collect();
    let mut take = |name: &str| {
        built.remove(name).ok_or_else(|| {
            Error::environment(
                "cannot build the programs",
                format!("cargo built no {name}"),
                hint::PROGRAMS,
            )
        })
    };
    Ok(Some(Programs {
        node: take(NODE)?,
        fabric: take(FABRIC)?,
        gate: take(GATE)?,
    }))
}
