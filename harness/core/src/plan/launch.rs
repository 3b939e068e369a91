//! How each node's program is started: a group's templates, filled in for the node.

use std::net::Ipv4Addr;
use std::sync::Arc;

use peerlab_link::NodeId;
use peerlab_link::proto::{NODE_FILES_BYTES_MAX, NodeFile};

use super::arguments::{Subject, base, peer_flags};
use super::chance::Chance;
use super::place::address;
use crate::error::{Error, Report, Result};
use crate::experiment::{Image, Launch};
use crate::topology::template::{self, Directory, Known, Values};
use crate::topology::written::BadValue;
use crate::topology::{Content, LaunchFile, LaunchTemplate, NO_PLACE, Path, Topology};

/// Bytes of the files of all nodes of a plan: each node's are in it, and it is read in one piece.
const PLAN_FILES_BYTES_MAX: usize = 64 << 20;

/// Fills in what nodes are started with.
pub struct Launcher<'a> {
    topology: &'a Topology,
    seed: u64,
    directory: Arc<Directory>,
    /// Of files, so far.
    bytes: usize,
}

impl<'a> Launcher<'a> {
    /// For nodes that know each other.
    pub fn new(
        topology: &'a Topology,
        seed: u64,
        nodes: impl IntoIterator<Item = Known>,
    ) -> Launcher<'a> {
        Launcher {
            topology,
            seed,
            directory: Arc::new(Directory::new(nodes)),
            bytes: 0,
        }
    }

    /// The whole argument list of a node's entrypoint, and how it is started otherwise.
    ///
    /// # Errors
    /// What cannot be filled in, with its place.
    pub fn launch(&mut self, subject: &Subject<'_>, own: &Known) -> Result<(Vec<String>, Launch)> {
        let group = subject.group;
        let peers: Vec<Ipv4Addr> = subject
            .peers
            .known()
            .iter()
            .map(|it| address(*it))
            .collect();
        let seed = seed_of(self.seed, &own.name);
        let directory = self.directory.clone();
        let filling = Filling {
            topology: self.topology,
            template: &group.launch,
            values: Values {
                own,
                count: group.count,
                seed: &seed,
                peers: &peers,
                directory: &directory,
            },
        };
        let own_arguments = filling.list("command", &group.launch.command)?;
        let arguments = match group.image {
            Image::Named(_) | Image::Archive(_) => own_arguments,
            Image::Peerlab => {
                let mut arguments = base(address(subject.node));
                arguments.extend(peer_flags(subject.peers, &peers));
                arguments.extend(subject.most_connections());
                arguments.extend(own_arguments);
                arguments
            }
        };
        let launch = filling.launch()?;
        self.count(&group.launch, &launch)?;
        Ok((arguments, launch))
    }

    /// That a node, and a plan, have no more files than can be carried.
    fn count(&mut self, template: &LaunchTemplate, launch: &Launch) -> Result<()> {
        let bytes: usize = launch.files.iter().map(|file| file.bytes.len()).sum();
        self.bytes += bytes;
        let (what, had, max) = if bytes > NODE_FILES_BYTES_MAX {
            ("a node", bytes, NODE_FILES_BYTES_MAX)
        } else if self.bytes > PLAN_FILES_BYTES_MAX {
            ("all nodes together", self.bytes, PLAN_FILES_BYTES_MAX)
        } else {
            return Ok(());
        };
        let report = Report {
            causes: vec![format!(
                "for {what} they are {had} bytes, and may be {} MiB",
                max >> 20
            )],
            hint: Some("what is large and the same for all belongs into the image".into()),
            ..Report::new("the files are too large")
        };
        Err(self.topology.error_at(&template.path.key("files"), report))
    }
}

/// Drawn for each node by its name, so that one more disturbs no other.
fn seed_of(seed: u64, name: &str) -> String {
    let mut chance = Chance::new(seed, &format!("template/{name}"));
    (0..4).map(|_| format!("{:016x}", chance.bits())).collect()
}

/// The templates of a group and the values of a node.
struct Filling<'a> {
    topology: &'a Topology,
    template: &'a LaunchTemplate,
    values: Values<'a>,
}

impl Filling<'_> {
    fn launch(&self) -> Result<Launch> {
        let template = self.template;
        let path = &template.path;
        let text = |key: &str, text: &Option<String>| {
            let text = text.as_deref();
            text.map(|text| self.text(&path.key(key), text)).transpose()
        };
        let entrypoint = template.entrypoint.as_deref();
        Ok(Launch {
            entrypoint: entrypoint
                .map(|words| self.list("entrypoint", words))
                .transpose()?,
            env: template
                .env
                .iter()
                .map(|(name, value)| {
                    let value = self.text(&path.key("env").key(name), value)?;
                    Ok((name.clone(), value))
                })
                .collect::<Result<_>>()?,
            files: template
                .files
                .iter()
                .map(|file| self.file(file))
                .collect::<Result<_>>()?,
            user: text("user", &template.user)?,
            workdir: text("workdir", &template.workdir)?,
        })
    }

    fn list(&self, key: &str, words: &[String]) -> Result<Vec<String>> {
        template::fill_arguments(words, &self.values).map_err(|(index, bad)| {
            let path = self.template.path.key(key).item(index);
            self.wrong(&path, &words[index], bad)
        })
    }

    fn text(&self, path: &Path, text: &str) -> Result<String> {
        template::fill(text, &self.values).map_err(|bad| self.wrong(path, text, bad))
    }

    fn file(&self, file: &LaunchFile) -> Result<NodeFile> {
        let bytes = match &file.content {
            Content::Text(text) => text.as_bytes(),
            Content::Copy {
                bytes: Some(bytes), ..
            } => bytes,
            Content::Copy { from, bytes: None } => {
                let report = Report {
                    causes: vec!["it was not read".into()],
                    ..Report::new(format!("there is no {}", from.display()))
                };
                return Err(self.topology.error_at(&file.path, report));
            }
        };
        let text = std::str::from_utf8(bytes).ok();
        let filled = match (text, file.template) {
            (Some(text), None | Some(true)) => {
                let filled = template::fill(text, &self.values);
                filled
                    .map_err(|bad| self.wrong_file(file, bad))?
                    .into_bytes()
            }
            (None, Some(true)) => {
                let bad = BadValue::new("it is no UTF-8");
                return Err(self.wrong_file(file, bad));
            }
            (_, Some(false)) | (None, None) => bytes.to_vec(),
        };
        let path = self.text(&file.path, &file.place)?;
        if !LaunchFile::is_place(&path) {
            let bad = BadValue::new(format!("it becomes `{path}`, and {NO_PLACE}"));
            return Err(self.wrong(&file.path, &file.place, bad));
        }
        Ok(NodeFile {
            path,
            mode: file.mode,
            owner: file.owner.clone(),
            bytes: filled,
        })
    }

    fn wrong_file(&self, file: &LaunchFile, bad: BadValue) -> Error {
        let hint = bad.hint.unwrap_or_default();
        let bad = BadValue::with_hint(
            bad.cause,
            format!("{hint}; or take the file as it is: `template: false`")
                .trim_start_matches("; or ")
                .to_owned(),
        );
        self.wrong(&file.path, &file.place, bad)
    }

    fn wrong(&self, path: &Path, text: &str, bad: BadValue) -> Error {
        let report = Report {
            causes: vec![bad.cause],
            hint: bad.hint,
            ..Report::new(format!(
                "the template in `{text}` cannot be filled in for {}",
                self.values.own.name
            ))
        };
        self.topology.error_at(path, report)
    }
}

/// A node, as templates see it.
pub fn known(
    topology: &Topology,
    group: u32,
    name: &str,
    index: u32,
    node: NodeId,
    region: u16,
) -> Known {
    let region = topology.network.regions.get(usize::from(region));
    Known {
        name: name.to_owned(),
        group: topology.groups[group as usize].name.clone(),
        index,
        ip: address(node),
        region: region.cloned().unwrap_or_default(),
    }
}
