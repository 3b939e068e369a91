//! Snapshots of networks: a folder with what each node had written, and what is needed to bring the same network
//! up again: `snapshot.json`, the experiment that it was brought up from, and `nodes/NAME.tar.gz` for each node.
//! A folder without a `snapshot.json` is none, which is why that is written last. How the archives come out of
//! nodes and into them is the engine's affair.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use peerlab_core::error::hint::DISK;
use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::event::{Joined, Tip};
use peerlab_core::plan::{Past, Plan};
use peerlab_core::topology::{self, Topology};
use peerlab_link::proto::Archived;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::input::{self, read};
use super::write;

/// Where snapshots are kept by name.
const FOLDER: &str = "snapshots";
const MANIFEST: &str = "snapshot.json";
const EXPERIMENT: &str = "experiment.yaml";
/// The folder of the archives, and how their names end.
const NODES: &str = "nodes";
const ENDING: &str = "tar.gz";
/// The format that this code writes and reads.
const FORMAT: u32 = 1;
/// Longest manifest, bytes: ten thousand nodes take some three millions.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;
/// What to do about a snapshot that cannot be used.
const AGAIN: &str = "copy it anew, whole, or save the network again: `peerlab save NAME`";

/// What is in a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// The version of Peerlab, and with it of our own node.
    peerlab: String,
    /// When it was taken.
    taken: String,
    pub network: SavedNetwork,
    pub nodes: Vec<SavedNode>,
}

/// A group of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedGroup {
    pub name: String,
    /// `None` for our own node.
    pub image: Option<String>,
    /// Of the image, where it is known.
    pub digest: Option<String>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedNode {
    pub name: String,
    /// Its best block, as far as it was known.
    pub tip: Option<Tip>,
    /// Files, folders and links.
    pub entries: u64,
    /// Of all its files.
    pub content_bytes: u64,
    /// Of its archive.
    pub bytes: u64,
    /// Of its archive.
    pub sha256: String,
}

impl SavedNode {
    /// What its archive holds.
    pub fn archived(&self) -> Archived {
        Archived {
            entries: self.entries,
            bytes: self.content_bytes,
        }
    }
}

/// What is known of a network that is saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedNetwork {
    /// What it was called.
    pub name: String,
    /// Where its nodes ran. Any engine of real nodes can go on with it.
    pub engine: String,
    pub seed: u64,
    /// The experiment file; images in archives are named from there.
    pub experiment: String,
    /// Outputs that the chain of its start has: another start would be another chain.
    pub outputs: u32,
    /// What its payments have spent.
    pub past: Past,
    /// The best block of all nodes, where they had one.
    pub tip: Option<Tip>,
    pub groups: Vec<SavedGroup>,
    /// Nodes that are not the experiment's, but joined by hand.
    pub joined: Vec<Joined>,
}

/// The folder of a snapshot: `snapshots/NAME` here; what has a folder is a path.
///
/// # Errors
/// As bad input, when it can be none.
pub fn snapshot_folder(name: &Path, check_name: impl Fn(&str) -> Result<()>) -> Result<PathBuf> {
    let given = name.display().to_string();
    let folder = if given.contains('/') {
        name.to_owned()
    } else {
        check_name(&given)?;
        Path::new(FOLDER).join(name)
    };
    // Whoever reads or writes it may work elsewhere.
    std::path::absolute(&folder).or_input(|| format!("{given:?} is no folder"))
}

/// The names of snapshots that are kept here.
pub fn snapshot_names() -> Vec<String> {
    let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let whole = entries.filter(|entry| entry.path().join(MANIFEST).is_file());
    let mut names: Vec<String> = whole
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Refuses a folder in which something is.
///
/// # Errors
/// As bad input, when it is there.
pub fn check_free(folder: &Path) -> Result<()> {
    if std::fs::symlink_metadata(folder).is_err() {
        return Ok(());
    }
    Err(
        Error::input(format!("{} is there already", folder.display()))
            .because("a snapshot is never written over")
            .hint("give another name, or remove it first"),
    )
}

/// A snapshot on disk.
#[derive(Clone, Debug)]
pub struct Snapshot {
    dir: PathBuf,
    pub manifest: Manifest,
    /// What its network was brought up from.
    pub text: String,
}

impl Snapshot {
    /// Reads what is in it, but for the archives, of which only the length is looked at.
    ///
    /// # Errors
    /// As bad input, when it is no snapshot, one of another format, or not whole.
    pub fn load(dir: &Path) -> Result<Snapshot> {
        let text = read(&dir.join(MANIFEST), MANIFEST_BYTES_MAX, "a snapshot")
            .map_err(|error| error.hint("`peerlab save NAME` writes one, into snapshots/NAME"))?;
        let manifest = Manifest::parse(dir, &text)?;
        let experiment = dir.join(EXPERIMENT);
        let text = read(
            &experiment,
            topology::FILE_BYTES_MAX as u64,
            "an experiment",
        )
        .map_err(|error| error.hint(AGAIN))?;
        let snapshot = Snapshot {
            dir: dir.to_owned(),
            manifest,
            text,
        };
        for node in &snapshot.manifest.nodes {
            let file = snapshot.file(node);
            let found = file.metadata().map(|it| it.len());
            let found = found.or_input(|| snapshot.broken(node));
            let found = found.map_err(|error| error.hint(AGAIN))?;
            if found != node.bytes {
                return Err(Error::input(snapshot.broken(node))
                    .because(format!("it had {} bytes, and has {found}", node.bytes))
                    .hint(AGAIN));
            }
        }
        Ok(snapshot)
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads all archives, to see whether they are what was written.
    ///
    /// # Errors
    /// As bad input, when one is not.
    pub fn verify(&self) -> Result<()> {
        for node in &self.manifest.nodes {
            let digest = File::open(self.file(node)).and_then(|file| {
                let mut digest = Digesting::new(io::sink());
                io::copy(&mut BufReader::new(file), &mut digest)?;
                Ok(digest.finish().1)
            });
            let digest = digest.or_input(|| self.broken(node))?;
            if digest != node.sha256 {
                return Err(Error::input(self.broken(node))
                    .because("its checksum is another than when it was written")
                    .hint(AGAIN));
            }
        }
        Ok(())
    }

    /// The experiment that it was brought up from.
    ///
    /// # Errors
    /// As bad input, when this Peerlab does not understand it.
    pub fn topology(&self) -> Result<Topology> {
        let mut topology = topology::parse(self.manifest.network.experiment.as_str(), &self.text)?;
        input::fill_in(&mut topology)?;
        Ok(topology)
    }

    /// Makes of a plan the start of the network that was saved: with those that joined it.
    ///
    /// # Errors
    /// As bad input, when it is another's.
    pub fn complete(&self, plan: &mut Plan) -> Result<()> {
        for joined in &self.manifest.network.joined {
            plan.begin_with(joined);
        }
        plan.validate().map_err(|cause| self.of_another(cause))?;
        let saved = self.manifest.nodes.iter().map(|node| &node.name);
        let same = saved.eq(plan.nodes.iter().map(|node| &node.name));
        if same && plan.ledger.outputs == self.manifest.network.outputs {
            return Ok(());
        }
        let cause =
            format!("the nodes or first blocks of its {EXPERIMENT} are not those that were saved");
        Err(self.of_another(cause))
    }

    fn of_another(&self, cause: String) -> Error {
        Error::input(format!("{} is of another network", self.dir.display()))
            .because(cause)
            .hint(format!(
                "leave its files as they were; this is Peerlab {}, and it was written by {}",
                env!("CARGO_PKG_VERSION"),
                self.manifest.peerlab
            ))
    }

    /// The digests of its images, by their names.
    pub fn images(&self) -> BTreeMap<String, String> {
        let groups = self.manifest.network.groups.iter();
        let known = groups.filter_map(|it| Some((it.image.clone()?, it.digest.clone()?)));
        known.collect()
    }

    /// A node's archive.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(&self, node: &SavedNode) -> io::Result<impl Read + Send + use<>> {
        let file = File::open(self.file(node))?;
        Ok(GzDecoder::new(BufReader::new(file)))
    }

    fn file(&self, node: &SavedNode) -> PathBuf {
        archive_file(&self.dir, &node.name)
    }

    fn broken(&self, node: &SavedNode) -> String {
        format!("{} is not whole: {}", self.dir.display(), node.name)
    }
}

impl Manifest {
    fn parse(dir: &Path, text: &str) -> Result<Manifest> {
        // Before the rest, which is likely not to be understood where this differs.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let what = || format!("{} is no snapshot that can be read", dir.display());
        if let Ok(Format { format }) = serde_json::from_str(text)
            && format != FORMAT
        {
            return Err(Error::input(what())
                .because(format!(
                    "it has format {format}, and this Peerlab reads {FORMAT}"
                ))
                .hint("use the Peerlab that wrote it"));
        }
        let manifest: Manifest = serde_json::from_str(text).or_input(what)?;
        for node in &manifest.nodes {
            let is_name = !node.name.contains('/') && !node.name.contains('\0');
            if !is_name {
                return Err(
                    Error::input(what()).because(format!("{:?} is no name of a node", node.name))
                );
            }
        }
        Ok(manifest)
    }
}

fn archive_file(dir: &Path, node: &str) -> PathBuf {
    dir.join(NODES).join(format!("{node}.{ENDING}"))
}

/// A snapshot that is being written: beside its place, to which it is moved when it is whole. What is dropped
/// before is removed.
pub struct SnapshotWriter {
    dir: PathBuf,
    temporary: tempfile::TempDir,
}

impl SnapshotWriter {
    /// Begins one that is to be in this folder.
    ///
    /// # Errors
    /// When it is there already, or cannot be written.
    pub fn begin(dir: &Path) -> Result<SnapshotWriter> {
        check_free(dir)?;
        let what = || format!("cannot write a snapshot into {}", dir.display());
        let parent = dir.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(parent).or_environment(what, DISK)?;
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let temporary = tempfile::Builder::new()
            .prefix(&format!(".{name}-"))
            .tempdir_in(parent)
            .or_environment(what, DISK)?;
        let nodes = temporary.path().join(NODES);
        std::fs::create_dir(nodes).or_environment(what, DISK)?;
        Ok(SnapshotWriter {
            dir: dir.to_owned(),
            temporary,
        })
    }

    /// Begins the archive of a node.
    ///
    /// # Errors
    /// When there can be no file.
    pub fn node(&self, name: &str) -> io::Result<NodeArchive> {
        let file = File::create(archive_file(self.temporary.path(), name))?;
        let digesting = Digesting::new(BufWriter::new(file));
        Ok(NodeArchive(GzEncoder::new(digesting, Compression::fast())))
    }

    /// All nodes are written: now it is one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self, network: SavedNetwork, nodes: Vec<SavedNode>, text: &str) -> Result<()> {
        let what = || format!("cannot write the snapshot {}", self.dir.display());
        let manifest = Manifest {
            format: FORMAT,
            peerlab: env!("CARGO_PKG_VERSION").into(),
            taken: DateTime::<Utc>::from(SystemTime::now())
                .to_rfc3339_opts(SecondsFormat::Secs, true),
            network,
            nodes,
        };
        let folder = self.temporary.path();
        let mut json = serde_json::to_string_pretty(&manifest).or_environment(what, DISK)?;
        json.push('\n');
        write(&folder.join(EXPERIMENT), text)?;
        write(&folder.join(MANIFEST), json)?;
        // Temporary folders are their user's alone.
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder, readable).or_environment(what, DISK)?;
        // Somebody may have made it meanwhile; an empty folder alone would be written over.
        check_free(&self.dir)?;
        std::fs::rename(folder, &self.dir).or_environment(what, DISK)?;
        // There is nothing left to be removed.
        let _ = self.temporary.keep();
        Ok(())
    }
}

/// The archive of a node, as it is written.
pub struct NodeArchive(GzEncoder<Digesting<BufWriter<File>>>);

impl NodeArchive {
    /// Writes what comes next.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// All of it was written.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn finish(
        self,
        name: String,
        tip: Option<Tip>,
        archived: Archived,
    ) -> io::Result<SavedNode> {
        let mut digesting = self.0.finish()?;
        digesting.flush()?;
        let (bytes, sha256) = digesting.finish();
        Ok(SavedNode {
            name,
            tip,
            entries: archived.entries,
            content_bytes: archived.bytes,
            bytes,
            sha256,
        })
    }
}

/// Counts what goes through, and takes its digest.
struct Digesting<W> {
    to: W,
    digest: Sha256,
    bytes: u64,
}

impl<W> Digesting<W> {
    fn new(to: W) -> Digesting<W> {
        Digesting {
            to,
            digest: Sha256::new(),
            bytes: 0,
        }
    }

    fn finish(self) -> (u64, String) {
        let digest = self.digest.finalize();
        let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        (self.bytes, hex)
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TEXT: &str =
        "name: x\nseed: 3\nphases: { warmup: 4s, settle: 6s }\nnodes: { a: { count: 2 } }\n";

    fn saved() -> SavedNetwork {
        SavedNetwork {
            name: "lab".into(),
            engine: "local".into(),
            seed: 3,
            experiment: "/elsewhere/x.yaml".into(),
            outputs: 2_000,
            past: Past::default(),
            tip: None,
            groups: Vec::new(),
            joined: Vec::new(),
        }
    }

    /// A snapshot of two nodes.
    fn written(dir: &Path) {
        let writer = SnapshotWriter::begin(dir).unwrap();
        let node = |name: &str| {
            let mut archive = writer.node(name).unwrap();
            archive.write(name.as_bytes()).unwrap();
            let archived = Archived::default();
            archive.finish(name.into(), None, archived).unwrap()
        };
        let nodes = vec![node("a-0"), node("a-1")];
        writer.finish(saved(), nodes, TEXT).unwrap();
    }

    fn refused(dir: &Path) -> String {
        let loaded = Snapshot::load(dir).and_then(|snapshot| snapshot.verify());
        let error = loaded.unwrap_err();
        assert_eq!(error.kind, peerlab_core::error::Kind::Input);
        error.render()
    }

    #[test]
    fn what_was_written_is_read_and_is_of_its_own_network_alone() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("one");
        written(&dir);
        let snapshot = Snapshot::load(&dir).unwrap();
        snapshot.verify().unwrap();
        let mut text = String::new();
        let node = &snapshot.manifest.nodes[1];
        let mut archive = snapshot.open(node).unwrap();
        archive.read_to_string(&mut text).unwrap();
        assert_eq!(text, "a-1");
        let topology = snapshot.topology().unwrap();
        let plan = peerlab_core::plan::stay(&topology, 3).unwrap().plan;
        let complete = |change: fn(&mut Plan)| {
            let mut plan = plan.clone();
            change(&mut plan);
            snapshot.complete(&mut plan).map_err(|error| error.render())
        };
        complete(|_| {}).unwrap();
        let told = complete(|plan| plan.ledger.outputs += 1).unwrap_err();
        assert!(told.contains("another network"), "{told}");
        complete(|plan| plan.nodes[0].name = "b-0".into()).unwrap_err();
        complete(|plan| plan.nodes.swap(0, 1)).unwrap_err();
        // Nothing else is left, and it is not written over.
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
        let told = SnapshotWriter::begin(&dir).err().unwrap().render();
        assert!(told.contains("is there already"), "{told}");
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let archive = |dir: &Path| archive_file(dir, "a-1");
        type Damage = fn(&Path);
        let cases: [(&str, Damage, &str); 5] = [
            ("cut", cut, "and has "),
            ("changed", change, "its checksum is another"),
            (
                "gone",
                |file| fs::remove_file(file).unwrap(),
                "No such file",
            ),
            ("manifest", |file| cut(&beside(file, MANIFEST)), "EOF"),
            (
                "text",
                |file| fs::remove_file(beside(file, EXPERIMENT)).unwrap(),
                "No such file",
            ),
        ];
        for (name, damage, told) in cases {
            let dir = parent.path().join(name);
            written(&dir);
            damage(&archive(&dir));
            let said = refused(&dir);
            assert!(said.contains(told), "{name}: {said}");
        }
    }

    /// A file of the snapshot whose archive this is.
    fn beside(archive: &Path, name: &str) -> PathBuf {
        archive.parent().unwrap().with_file_name(name)
    }

    fn cut(file: &Path) {
        let bytes = fs::read(file).unwrap();
        fs::write(file, &bytes[..bytes.len() - 5]).unwrap();
    }

    fn change(file: &Path) {
        let mut bytes = fs::read(file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(file, bytes).unwrap();
    }

    #[test]
    fn another_format_and_a_name_that_leads_elsewhere_are_refused() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("one");
        written(&dir);
        let file = dir.join(MANIFEST);
        let text = fs::read_to_string(&file).unwrap();
        for (from, to, told) in [
            ("\"format\": 1", "\"format\": 2", "it has format 2"),
            ("\"a-1\"", "\"../a-1\"", "is no name of a node"),
            ("\"seed\"", "\"sead\"", "unknown field `sead`"),
        ] {
            fs::write(&file, text.replace(from, to)).unwrap();
            let said = refused(&dir);
            assert!(said.contains(told), "{said}");
        }
        fs::remove_file(file).unwrap();
        let said = refused(&dir);
        assert!(said.contains("`peerlab save NAME`"), "{said}");
    }

    #[test]
    fn what_is_dropped_before_it_is_whole_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let writer = SnapshotWriter::begin(&parent.path().join("one")).unwrap();
        writer.node("a-0").unwrap().write(b"x").unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_name_is_in_a_folder_here_and_a_path_is_taken_as_it_is() {
        let named = |name: &str| {
            snapshot_folder(Path::new(name), |name| match name {
                "bad" => Err(Error::input("bad")),
                _ => Ok(()),
            })
        };
        let here = std::env::current_dir().unwrap();
        assert_eq!(named("one").unwrap(), here.join("snapshots/one"));
        assert_eq!(named("x/one").unwrap(), here.join("x/one"));
        assert_eq!(named("/x/one").unwrap(), Path::new("/x/one"));
        named("bad").unwrap_err();
    }
}
