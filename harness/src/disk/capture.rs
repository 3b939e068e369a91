//! A capture in a run's directory: a folder with a pcapng file for each node, as a capture at that node's
//! own device would be. (In one file the packets between two nodes would stand twice, which Wireshark takes
//! for retransmissions; `mergecap` makes one of several.)

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use peerlab_core::error::hint::DISK;
use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::plan::spec::Node;
use peerlab_core::words;
use peerlab_link::proto::{CapturedPacket, Direction};
use peerlab_link::{NodeId, NodeLink};

use super::pcapng::{Interface, Pcapng};

/// The folder of a capture that was asked for with the run itself; those by hand are numbered.
const CAPTURE: &str = "capture";
/// Packets' bytes of one capture, at most. Of what is beyond, the packets are counted.
pub const CAPTURE_BYTES_MAX: u64 = 1 << 30;
/// Nodes of one capture: each takes an open file, of which a process has often no more than 1,024.
pub const CAPTURED_NODES_MAX: usize = 256;
/// Captures of one network, by hand.
const CAPTURES_MAX: u32 = 1_000;
/// How the name of each file ends.
pub const ENDING: &str = "pcapng";
/// Nodes that are named of those of which packets were left out.
const NAMED_MAX: usize = 5;

/// A node of which packets are captured.
struct Captured {
    name: String,
    ip: Ipv4Addr,
}

/// The folder of a capture, within a run's directory.
enum Place {
    /// That of the run itself.
    OfRun,
    /// The next that is free.
    Next,
}

/// A capture that is to be.
pub struct CaptureFolder {
    run: PathBuf,
    place: Place,
    nodes: BTreeMap<NodeId, Captured>,
}

/// Its files under way.
pub struct CaptureFiles {
    dir: PathBuf,
    nodes: BTreeMap<NodeId, Captured>,
    files: BTreeMap<NodeId, Pcapng<BufWriter<File>>>,
    /// Wall clock at the time zero of the packets.
    unix_nanos: u64,
    packets: u64,
    bytes: u64,
}

/// What a capture came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureSums {
    pub dir: PathBuf,
    pub nodes: usize,
    pub packets: u64,
    /// Of these packets.
    pub bytes: u64,
    /// Packets that are not in it, by node.
    pub left_out: Vec<(String, u64)>,
}

impl CaptureFolder {
    /// The capture of a run, in its directory: of some of its nodes.
    ///
    /// # Errors
    /// As bad input, when they are too many.
    pub fn of_run(run: &Path, nodes: &[Node], captured: &[NodeId]) -> Result<CaptureFolder> {
        CaptureFolder::new(run, Place::OfRun, nodes, captured)
    }

    /// One more capture beside those that are in a run's directory.
    ///
    /// # Errors
    /// As [`CaptureFolder::of_run`].
    pub fn next_in(run: &Path, nodes: &[Node], captured: &[NodeId]) -> Result<CaptureFolder> {
        CaptureFolder::new(run, Place::Next, nodes, captured)
    }

    fn new(run: &Path, place: Place, nodes: &[Node], captured: &[NodeId]) -> Result<CaptureFolder> {
        let of = |id: &NodeId| {
            let node = nodes.get(id.index())?;
            let (name, ip) = (node.name.clone(), node.ip);
            Some((*id, Captured { name, ip }))
        };
        let nodes: BTreeMap<NodeId, Captured> = captured.iter().filter_map(of).collect();
        if nodes.len() > CAPTURED_NODES_MAX {
            let what = format!("{} nodes cannot be captured at once", nodes.len());
            return Err(Error::input(what)
                .because(format!(
                    "each has a file, and there are {CAPTURED_NODES_MAX} at most"
                ))
                .hint("name some of them, as `peers-0`, `peers 0-9` or `random 10 of peers`"));
        }
        let run = run.to_owned();
        Ok(CaptureFolder { run, place, nodes })
    }

    /// The nodes, in the order of their numbers.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// Makes the folder, and a file in it for each node; nothing of it is left where that fails.
    ///
    /// # Errors
    /// When they cannot be made, or there are too many captures.
    pub fn begin(self, unix_nanos: u64) -> Result<CaptureFiles> {
        let dir = self.make()?;
        let files = self.files_in(&dir).inspect_err(|_| {
            if let Err(error) = fs::remove_dir_all(&dir) {
                tracing::debug!("{}: {error}", dir.display());
            }
        })?;
        Ok(CaptureFiles {
            dir,
            nodes: self.nodes,
            files,
            unix_nanos,
            packets: 0,
            bytes: 0,
        })
    }

    /// Makes the folder, which is nobody else's then.
    fn make(&self) -> Result<PathBuf> {
        if let Place::OfRun = self.place {
            let dir = self.run.join(CAPTURE);
            fs::create_dir(&dir).or_environment(|| cannot(&dir), DISK)?;
            return Ok(dir);
        }
        for number in 1..=CAPTURES_MAX {
            let dir = self.run.join(format!("{CAPTURE}-{number}"));
            match fs::create_dir(&dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.or_environment(|| cannot(&dir), DISK).map(|()| dir),
            }
        }
        let what = format!("{} holds too many captures", self.run.display());
        Err(Error::input(what)
            .because(format!("there are {CAPTURES_MAX} of them"))
            .hint("move some of them elsewhere"))
    }

    fn files_in(&self, dir: &Path) -> Result<BTreeMap<NodeId, Pcapng<BufWriter<File>>>> {
        let mut files = BTreeMap::new();
        for (node, captured) in &self.nodes {
            let path = dir.join(format!("{}.{ENDING}", captured.name));
            let interface = Interface {
                name: &captured.name,
                ip: captured.ip,
                prefix: NodeLink::NET.1,
            };
            let file = File::create_new(&path).map(BufWriter::new);
            let begun = file.and_then(|file| Pcapng::begin(file, &interface));
            files.insert(*node, begun.or_environment(|| cannot(&path), DISK)?);
        }
        Ok(files)
    }
}

impl CaptureFiles {
    /// Writes a packet. One of another node is passed over.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn take(&mut self, packet: &CapturedPacket) -> Result<()> {
        let Some(file) = self.files.get_mut(&packet.node) else {
            return Ok(());
        };
        let at = self.unix_nanos.saturating_add(packet.t.0);
        let is_outbound = packet.direction == Direction::Sent;
        let written = file.packet(at, is_outbound, &packet.bytes);
        written.or_environment(|| cannot(&self.dir), DISK)?;
        self.packets += 1;
        self.bytes += packet.bytes.len() as u64;
        Ok(())
    }

    /// Ends all files. So many packets of each node, in their order, are not in them.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn finish(self, left_out: &[u64]) -> Result<CaptureSums> {
        let mut sums = CaptureSums {
            nodes: self.files.len(),
            packets: self.packets,
            bytes: self.bytes,
            ..CaptureSums::default()
        };
        let counts = left_out.iter().copied().chain(std::iter::repeat(0));
        for ((node, file), count) in self.files.into_iter().zip(counts) {
            let finished = file.finish(count);
            finished.or_environment(|| cannot(&self.dir), DISK)?;
            if count > 0
                && let Some(captured) = self.nodes.get(&node)
            {
                sums.left_out.push((captured.name.clone(), count));
            }
        }
        sums.dir = self.dir;
        Ok(sums)
    }
}

impl CaptureSums {
    /// In words.
    pub fn text(&self) -> String {
        let mut text = format!(
            "captured {} of {} ({}) in {}",
            words::count(self.packets, "packet"),
            words::count(self.nodes as u64, "node"),
            words::bytes(self.bytes),
            self.dir.display()
        );
        if !self.left_out.is_empty() {
            let of =
                |(name, count): &(String, u64)| format!("{} of {name}", words::thousands(*count));
            let mut named: Vec<String> = self.left_out.iter().take(NAMED_MAX).map(of).collect();
            let more = self.left_out.len().saturating_sub(NAMED_MAX);
            if more > 0 {
                named.push(format!(
                    "some of {}",
                    words::count(more as u64, "other node")
                ));
            }
            text.push_str(&format!(
                "; left out, beyond {} or more than could be written in time: {}",
                words::bytes(CAPTURE_BYTES_MAX),
                named.join(", ")
            ));
        }
        text
    }
}

/// Whether a folder of that name in a run's directory is one of a capture.
pub fn is_capture(name: &str) -> bool {
    let Some(number) = name.strip_prefix(CAPTURE) else {
        return false;
    };
    let number = number.strip_prefix('-').map(str::parse::<u32>);
    name == CAPTURE || matches!(number, Some(Ok(1..=CAPTURES_MAX)))
}

fn cannot(path: &Path) -> String {
    format!("cannot write the capture {}", path.display())
}

#[cfg(test)]
mod tests {
    use peerlab_core::plan::{Plan, compile};
    use peerlab_core::topology;
    use peerlab_link::Nanos;

    use super::*;

    const EXPERIMENT: &str = "
name: some
seed: 1
phases: { warmup: 2s, settle: 6s }
nodes: { peers: { count: 300, hashpower: 1 } }
ledger: { block_interval: 1s }
";

    fn plan() -> Plan {
        let topology = topology::parse("some.yaml", EXPERIMENT).unwrap();
        compile(&topology, 1).unwrap()
    }

    fn packet(node: u32) -> CapturedPacket {
        CapturedPacket {
            t: Nanos(5),
            node: NodeId(node),
            direction: Direction::Received,
            bytes: vec![0x45; 40],
        }
    }

    #[test]
    fn each_node_has_its_file_and_what_was_left_out_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let nodes = [NodeId(7), NodeId(3)];
        let folder = CaptureFolder::next_in(dir.path(), &plan().nodes, &nodes).unwrap();
        assert_eq!(folder.nodes(), [NodeId(3), NodeId(7)]);
        let mut files = folder.begin(1_000).unwrap();
        for node in [3, 3, 7, 8] {
            files.take(&packet(node)).unwrap();
        }
        let sums = files.finish(&[0, 1_234]).unwrap();
        assert_eq!((sums.packets, sums.bytes), (3, 120));
        let said = sums
            .text()
            .replace(&dir.path().display().to_string(), "DIR");
        insta::assert_snapshot!(said);
        let bytes = |name: &str| fs::read(sums.dir.join(name)).unwrap().len();
        assert!(bytes("peers-3.pcapng") > bytes("peers-7.pcapng"));
    }

    #[test]
    fn captures_that_begin_together_have_a_folder_each_and_one_that_does_not_begin_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let next = |nodes: &[Node]| CaptureFolder::next_in(dir.path(), nodes, &[NodeId(0)]);
        let mut nodes = plan().nodes;
        let (first, second) = (next(&nodes).unwrap(), next(&nodes).unwrap());
        let began = |folder: CaptureFolder| folder.begin(0).map(|files| files.dir);
        assert_eq!(began(first).unwrap(), dir.path().join("capture-1"));
        assert_eq!(began(second).unwrap(), dir.path().join("capture-2"));
        // No file can have this name.
        nodes[0].name = "x".repeat(300);
        began(next(&nodes).unwrap()).unwrap_err();
        assert!(!dir.path().join("capture-3").exists());
        for name in ["capture", "capture-1", "capture-1000"] {
            assert!(is_capture(name), "{name}");
        }
        for name in ["capture-", "capture-x", "capture-0", "capture1", "captures"] {
            assert!(!is_capture(name), "{name}");
        }
    }

    #[test]
    fn more_nodes_than_files_are_refused_before_anything_is_made() {
        let all: Vec<NodeId> = (0..300).map(NodeId).collect();
        let error = CaptureFolder::next_in(Path::new("nowhere"), &plan().nodes, &all)
            .err()
            .unwrap();
        insta::assert_snapshot!(error.render());
    }
}
