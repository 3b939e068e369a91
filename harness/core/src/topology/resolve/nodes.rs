//! Node groups: regions, links, limits; and the names by which nodes are chosen.

use indexmap::{IndexMap, IndexSet};
use peerlab_link::{Loss, PathDelay};

use super::problems::Problems;
use crate::plan::spec::{Image, Probe};
use crate::topology::file::{self, NodeGroup};
use crate::topology::listed::ListOr;
use crate::topology::marked::Path;
use crate::topology::preset;
use crate::topology::resolved::{Access, AccessRates, Group, Places};
use crate::topology::template;
use crate::topology::units::{Count, Number, Rate, Share, Size};
use crate::topology::words::{ProbeWay, RPC_PORT};
use crate::topology::written::{WordOr, Written};

/// Most nodes of an experiment. Addresses come from 10.0.0.0/8, which would hold 16,777,214; but
/// the plan, the fault schedule and a thousand figures per node have to fit into memory as well.
pub const NODES_MAX: u64 = 100_000;
/// Queue of an access link where none is written.
pub const QUEUE_BYTES_DEFAULT: u32 = 256 * 1024;
/// Smallest queue: a few packets of full size.
const QUEUE_BYTES_MIN: u64 = 4_500;
/// Largest queue.
const QUEUE_BYTES_MAX: u64 = 1 << 30;
/// Slowest access link, bits per second: a full packet takes 12 s.
const RATE_BPS_MIN: u64 = 1_000;
/// Least memory for a node, bytes; engines refuse less than 6 MB.
const MEMORY_BYTES_MIN: u64 = 6 << 20;
/// Most cores that a group may ask for each node.
const CPU_MAX: f64 = 1024.0;
/// How far shares may be from adding to one.
const SHARES_TOLERANCE: f64 = 1e-6;
/// The region of everybody when nothing speaks of regions.
pub const REGION_DEFAULT: &str = "everywhere";

/// What `latency` says.
#[derive(Clone, Debug)]
pub enum Latency {
    /// The measured Internet.
    Internet2019,
    /// The same for all pairs; regions are those that the groups name.
    Everywhere(PathDelay),
    /// A map by region.
    Map {
        /// Names.
        regions: Vec<String>,
        /// `paths[from][to]`.
        paths: Vec<Vec<PathDelay>>,
    },
}

/// The regions that there are.
#[derive(Clone, Debug)]
pub struct Regions {
    /// Names, in order.
    pub names: Vec<String>,
    /// `paths[from][to]`.
    pub paths: Vec<Vec<PathDelay>>,
    /// Whether they are those of `internet-2019`.
    pub preset: bool,
}

impl Regions {
    fn index(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }
}

/// Finds the regions, from the latency and, where that is one for all, from the groups.
pub fn resolve_regions(
    problems: &Problems,
    path: &Path,
    groups: &IndexMap<String, NodeGroup>,
    latency: Latency,
) -> Regions {
    let delay = match latency {
        Latency::Internet2019 => {
            return Regions {
                names: preset::REGIONS.map(String::from).to_vec(),
                paths: preset::paths(),
                preset: true,
            };
        }
        Latency::Map { regions, paths } => {
            return Regions {
                names: regions,
                paths,
                preset: false,
            };
        }
        Latency::Everywhere(delay) => delay,
    };
    let mut names: IndexSet<String> = IndexSet::new();
    for (group_name, group) in groups {
        let path = path.key(group_name).key("regions");
        match &group.regions {
            Some(WordOr::Word(word)) if word == preset::INTERNET_2019 => {
                names.extend(preset::REGIONS.map(String::from));
            }
            Some(WordOr::Word(word)) => {
                check_region_name(problems, &path, word);
                names.insert(word.clone());
            }
            Some(WordOr::Long(ListOr::Map(shares))) => {
                for name in shares.keys() {
                    check_region_name(problems, &path.name(name), name);
                    names.insert(name.clone());
                }
            }
            Some(WordOr::Long(ListOr::List(list))) => {
                for (index, name) in list.iter().enumerate() {
                    check_region_name(problems, &path.item(index), name);
                    names.insert(name.clone());
                }
            }
            None => {}
        }
    }
    if names.is_empty() {
        names.insert(REGION_DEFAULT.to_owned());
    }
    let count = names.len();
    Regions {
        names: names.into_iter().collect(),
        paths: vec![vec![delay; count]; count],
        preset: false,
    }
}

/// That a name can stand in `region:NAME`.
pub fn check_region_name(problems: &Problems, path: &Path, name: &str) {
    if !is_name(name) {
        problems.add(
            path,
            format!("`{name}` is not a name for a region"),
            "choices of nodes refer to it as `region:NAME`",
            "begin with a small letter, and go on with small letters, digits and dashes",
        );
    }
}

/// Resolves the groups.
pub fn resolve_groups(
    problems: &Problems,
    path: &Path,
    groups: IndexMap<String, NodeGroup>,
    regions: &Regions,
    network_loss: Option<Loss>,
) -> Vec<Group> {
    if groups.is_empty() {
        problems.add(
            path,
            "there are no nodes",
            "`nodes` is empty",
            "add a group, as `peers: { count: 12 }`",
        );
    }
    let mut total: u64 = 0;
    let mut resolved = Vec::new();
    for (name, group) in groups {
        check_group_name(problems, &path.name(&name), &name);
        let path = path.key(&name);
        let group = resolve_group(problems, &path, name, group, regions, network_loss);
        total = total.saturating_add(u64::from(group.count));
        if total > NODES_MAX {
            problems.add(
                &path.key("count"),
                "too many nodes",
                format!("up to here there are {total}; a plan holds at most {NODES_MAX}, in the network 10.0.0.0/8"),
                "lower the counts",
            );
            break;
        }
        resolved.push(group);
    }
    resolved
}

fn check_group_name(problems: &Problems, path: &Path, name: &str) {
    const TAKEN: [&str; 4] = ["all", "rest", "random", "of"];
    if !is_name(name) {
        problems.add(
            path,
            format!("`{name}` is not a name for a group"),
            "nodes are named after it, as `peers-17`",
            "begin with a small letter, and go on with small letters, digits and dashes",
        );
    } else if TAKEN.contains(&name)
        || name
            .rsplit_once('-')
            .is_some_and(|(_, end)| end.parse::<u32>().is_ok())
    {
        problems.add(
            path,
            format!("a group cannot be named `{name}`"),
            "in a choice of nodes that means something else",
            "take another name",
        );
    }
}

/// Longest name of a group or region: names of containers are made of it.
const NAME_CHARS_MAX: usize = 40;

fn is_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.len() <= NAME_CHARS_MAX
        && name.chars().all(fine)
}

fn resolve_group(
    problems: &Problems,
    path: &Path,
    name: String,
    group: NodeGroup,
    regions: &Regions,
    network_loss: Option<Loss>,
) -> Group {
    let count = problems
        .value(&path.key("count"), group.count)
        .map(|Count(count)| count);
    if count == Some(0) {
        problems.add(
            &path.key("count"),
            format!("the group `{name}` has no nodes"),
            "its count is 0",
            "write at least 1, or remove the group",
        );
    }
    for (index, argument) in group.command.iter().enumerate() {
        if let Err(bad) = template::check(argument) {
            let hint = bad
                .hint
                .unwrap_or_else(|| "a template reads `{{ ip }}`".into());
            let path = path.key("command").item(index);
            problems.add(
                &path,
                format!("bad template in `{argument}`"),
                bad.cause,
                hint,
            );
        }
    }
    Group {
        count: count.filter(|count| *count > 0).unwrap_or(1),
        image: image(problems, &path.key("image"), group.image),
        probe: problems
            .optional(&path.key("probe"), group.probe)
            .map_or(Probe::BitcoinRpc { port: RPC_PORT }, |ProbeWay(probe)| {
                probe
            }),
        command: group.command,
        hash_power: problems
            .optional(&path.key("hashpower"), group.hashpower)
            .map_or(0.0, |Number(power)| power),
        regions: places(
            problems,
            &path.key("regions"),
            group.regions,
            count,
            regions,
        ),
        access: access(problems, &path.key("access"), group.access, regions),
        cpu_millis: cpu(problems, &path.key("cpu"), group.cpu),
        memory_bytes: memory(problems, &path.key("memory"), group.memory),
        loss: problems
            .optional(&path.key("loss"), group.loss)
            .or(network_loss)
            .unwrap_or_default(),
        name,
    }
}

/// Says that an image is in a file.
const ARCHIVE: &str = "oci:";

/// An image in an archive, whose path counts from the experiment's folder.
fn archive(problems: &Problems, path: &Path, name: &str) -> Image {
    let written = name.trim_start_matches(ARCHIVE);
    let folder = std::path::Path::new(problems.file()).parent();
    let place = folder.unwrap_or(std::path::Path::new("")).join(written);
    if written.is_empty() {
        problems.add(
            path,
            "the image's path is empty".to_owned(),
            "`oci:` is followed by the path of an OCI layout or of what `docker save` writes",
            "write `oci:images/node.tar`",
        );
    }
    // A plan may be replayed from another folder.
    let place = std::path::absolute(&place).unwrap_or(place);
    Image::Archive(place.display().to_string())
}

fn image(problems: &Problems, path: &Path, image: Option<String>) -> Image {
    match image.as_deref() {
        None | Some("peerlab") => Image::Peerlab,
        Some(name) if name.starts_with(ARCHIVE) => archive(problems, path, name),
        Some(name) => {
            let fine = |c: char| {
                c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':' | '@')
            };
            if name.is_empty() || !name.chars().all(fine) {
                problems.add(
                    path,
                    format!("`{name}` is not an image"),
                    "that is not how images are named",
                    "write `peerlab`, `name:tag` of an image that the engine has, or `oci:PATH`",
                );
            }
            Image::Named(name.to_owned())
        }
    }
}

fn places(
    problems: &Problems,
    path: &Path,
    written: Option<file::Regions>,
    count: Option<u32>,
    regions: &Regions,
) -> Places {
    let written = match written {
        Some(WordOr::Long(ListOr::List(list))) => {
            return each(problems, path, &list, count, regions);
        }
        Some(WordOr::Long(ListOr::Map(map))) => Some(WordOr::Long(map)),
        Some(WordOr::Word(word)) => Some(WordOr::Word(word)),
        None => None,
    };
    Places::Shares(shares(problems, path, written, regions))
}

/// A list with the region of each node.
fn each(
    problems: &Problems,
    path: &Path,
    list: &[String],
    count: Option<u32>,
    regions: &Regions,
) -> Places {
    if let Some(count) = count
        && list.len() != count as usize
    {
        problems.add(
            path,
            "the list of regions does not fit the group",
            format!("it has {} regions, and the group {count} nodes", list.len()),
            "name one region for each node, or write shares: `{ europe: 60%, japan: 40% }`",
        );
    }
    let region = |(item, name): (usize, &String)| {
        let index = regions.index(name);
        if index.is_none() {
            let known = regions.names.iter().map(String::as_str);
            problems.unknown(&path.item(item), "region", name, known);
        }
        index
            .and_then(|index| u16::try_from(index).ok())
            .unwrap_or(0)
    };
    Places::Each(list.iter().enumerate().map(region).collect())
}

fn shares(
    problems: &Problems,
    path: &Path,
    written: Option<WordOr<IndexMap<String, Written<Share>>>>,
    regions: &Regions,
) -> Vec<f64> {
    let none = vec![0.0; regions.names.len()];
    let preset_shares = || {
        let mut shares = none.clone();
        for (name, share) in preset::REGIONS.iter().zip(preset::SHARES) {
            match regions.index(name) {
                Some(index) => shares[index] = share,
                None => problems.unknown(
                    path,
                    "region",
                    name,
                    regions.names.iter().map(String::as_str),
                ),
            }
        }
        shares
    };
    match written {
        None if regions.preset => preset_shares(),
        None => vec![1.0 / regions.names.len() as f64; regions.names.len()],
        Some(WordOr::Word(word)) if word == preset::INTERNET_2019 => preset_shares(),
        Some(WordOr::Word(word)) => {
            let mut shares = none;
            match regions.index(&word) {
                Some(index) => shares[index] = 1.0,
                None => problems.unknown(
                    path,
                    "region",
                    &word,
                    regions.names.iter().map(String::as_str),
                ),
            }
            shares
        }
        Some(WordOr::Long(map)) => {
            let mut shares = none;
            let mut complete = true;
            for (name, share) in map {
                match (
                    problems.value(&path.key(&name), share),
                    regions.index(&name),
                ) {
                    (Some(Share(share)), Some(index)) => shares[index] = share,
                    (share, index) => {
                        complete = false;
                        if index.is_none() && share.is_some() {
                            let known = regions.names.iter().map(String::as_str);
                            problems.unknown(&path.name(&name), "region", &name, known);
                        }
                    }
                }
            }
            let sum: f64 = shares.iter().sum();
            if complete && (sum - 1.0).abs() > SHARES_TOLERANCE {
                problems.add(
                    path,
                    "the shares of the regions do not add up",
                    format!("together they are {:.4}%, not 100%", sum * 100.0).replace(".0000", ""),
                    "let them add to 100% (or to 1)",
                );
            }
            shares
        }
    }
}

fn access(
    problems: &Problems,
    path: &Path,
    written: Option<WordOr<file::Access>>,
    regions: &Regions,
) -> Access {
    let unlimited = vec![AccessRates::default(); regions.names.len()];
    let all = |rates| Access {
        rates,
        queue_bytes: QUEUE_BYTES_DEFAULT,
    };
    match written {
        None => all(unlimited),
        Some(WordOr::Word(word)) if word == preset::INTERNET_2019 => {
            let known = preset::REGIONS.iter().zip(preset::rates());
            let rates_of = |name: &String| {
                known
                    .clone()
                    .find(|(region, _)| *region == name)
                    .map(|(_, rates)| rates)
            };
            match regions
                .names
                .iter()
                .map(rates_of)
                .collect::<Option<Vec<_>>>()
            {
                Some(rates) => all(rates),
                None => {
                    problems.add(
                        path,
                        "`internet-2019` has no rates for these regions",
                        format!("it knows {}", preset::REGIONS.join(", ")),
                        "name the regions so, or write the rates: `{ up: 10 Mbit/s, down: 50 Mbit/s }`",
                    );
                    all(unlimited)
                }
            }
        }
        Some(WordOr::Word(word)) => {
            problems.add(
                path,
                format!("`{word}` is not an access link"),
                "only `internet-2019` is known by name",
                "write `internet-2019`, or rates: `{ up: 10 Mbit/s, down: 50 Mbit/s }`",
            );
            all(unlimited)
        }
        Some(WordOr::Long(access)) => {
            let rate = |key: &str, written: Option<Written<Rate>>| {
                let path = path.key(key);
                let rate = problems.optional(&path, written)?;
                check_rate(problems, &path, rate.bps);
                Some(rate.bps)
            };
            let rates = AccessRates {
                up_bps: rate("up", access.up),
                down_bps: rate("down", access.down),
            };
            let queue_path = path.key("queue");
            let queue = problems
                .optional(&queue_path, access.queue)
                .map(|size| size.bytes);
            if queue.is_some_and(|bytes| !(QUEUE_BYTES_MIN..=QUEUE_BYTES_MAX).contains(&bytes)) {
                problems.add(
                    &queue_path,
                    "a queue of this size does not work",
                    "it has to hold a few packets, and at most 1 GiB",
                    "write something between `5 kB` and `1 GiB`",
                );
            }
            Access {
                rates: vec![rates; regions.names.len()],
                queue_bytes: queue
                    .and_then(|bytes| u32::try_from(bytes).ok())
                    .unwrap_or(QUEUE_BYTES_DEFAULT),
            }
        }
    }
}

/// That a link is not so slow that it is cut.
pub fn check_rate(problems: &Problems, path: &Path, bps: u64) {
    if bps < RATE_BPS_MIN {
        problems.add(
            path,
            "the link is too slow",
            format!("it carries {bps} bit/s; below {RATE_BPS_MIN} it is as good as cut"),
            "raise the rate, or cut the link by a `partition`",
        );
    }
}

fn cpu(problems: &Problems, path: &Path, cpu: Option<Written<Number>>) -> Option<u32> {
    let Number(cores) = problems.optional(path, cpu)?;
    if !(0.01..=CPU_MAX).contains(&cores) {
        problems.add(
            path,
            "a node cannot run on so many cores",
            format!("{cores} is not between 0.01 and {CPU_MAX}"),
            "write a part of a core, as `0.5`",
        );
    }
    Some(libm::round(cores * 1000.0) as u32)
}

fn memory(problems: &Problems, path: &Path, memory: Option<Written<Size>>) -> Option<u64> {
    let bytes = problems.optional(path, memory)?.bytes;
    if bytes < MEMORY_BYTES_MIN {
        problems.add(
            path,
            "a node cannot live in so little memory",
            "engines refuse limits below 6 MiB",
            "write at least `16 MB`",
        );
    }
    Some(bytes)
}

/// What a name in a choice of nodes means.
pub struct Names {
    groups: Vec<(String, u32, u32)>,
    regions: Vec<String>,
}

impl Names {
    /// Of these groups and regions.
    pub fn new(groups: &[Group], regions: &[String]) -> Names {
        let mut first = 0;
        let mut named = Vec::new();
        for group in groups {
            named.push((group.name.clone(), first, group.count));
            first += group.count;
        }
        Names {
            groups: named,
            regions: regions.to_vec(),
        }
    }

    /// How many nodes there are.
    pub fn count(&self) -> u32 {
        self.groups
            .last()
            .map_or(0, |(_, first, count)| first + count)
    }

    /// First index and count of a group.
    pub fn group(&self, name: &str) -> Option<(u32, u32)> {
        let found = self.groups.iter().find(|(group, ..)| group == name)?;
        Some((found.1, found.2))
    }

    /// Index of a node.
    pub fn node(&self, name: &str) -> Option<u32> {
        let (group, index) = name.rsplit_once('-')?;
        let (first, count) = self.group(group)?;
        let number: u32 = index.parse().ok()?;
        (number < count && number.to_string() == index).then_some(first + number)
    }

    /// Index of a region.
    pub fn region(&self, name: &str) -> Option<u16> {
        self.regions
            .iter()
            .position(|region| region == name)
            .and_then(|index| u16::try_from(index).ok())
    }

    /// Names of the groups.
    pub fn groups(&self) -> impl Iterator<Item = &str> + Clone {
        self.groups.iter().map(|(name, ..)| name.as_str())
    }

    /// Names of the regions.
    pub fn regions(&self) -> impl Iterator<Item = &str> + Clone {
        self.regions.iter().map(String::as_str)
    }
}
