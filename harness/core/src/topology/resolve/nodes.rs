//! Node groups: what they run, where they are, their links and limits.

use indexmap::IndexMap;
use peerlab_link::{Loss, Nanos};

use super::launch::resolve_launch;
use super::probe::resolve_probe;
use super::problems::At;
use super::regions::{Regions, check_name};
use crate::experiment::Image;
use crate::topology::file::{self, NodeGroup};
use crate::topology::listed::ListOr;
use crate::topology::preset;
use crate::topology::resolved::{Access, AccessRates, Group, Places};
use crate::topology::units::{Rate, Share, Size};
use crate::topology::written::{WordOr, Written};

/// Most nodes of an experiment. Addresses come from 10.0.0.0/8, which would hold 16,777,214; but
/// the plan, the fault schedule and a thousand figures per node have to fit into memory as well.
const NODES_MAX: u64 = 100_000;
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
/// Says that an image is in a file.
const ARCHIVE: &str = "oci:";

/// Resolves the groups.
pub fn resolve_groups(
    at: &At,
    groups: IndexMap<String, NodeGroup>,
    regions: &Regions,
    network_loss: Option<Loss>,
) -> Vec<Group> {
    if groups.is_empty() {
        at.add(
            "there are no nodes",
            "`nodes` is empty",
            "add a group, as `peers: { count: 12 }`",
        );
    }
    let mut total: u64 = 0;
    let mut resolved = Vec::new();
    for (name, group) in groups {
        check_group_name(&at.name(&name), &name);
        let at = at.key(&name);
        let group = resolve_group(&at, name, group, regions, network_loss);
        total = total.saturating_add(u64::from(group.count));
        if total > NODES_MAX {
            at.key("count").add(
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

fn check_group_name(at: &At, name: &str) {
    const TAKEN: [&str; 4] = ["all", "rest", "random", "of"];
    let is_node = |(_, end): (&str, &str)| end.parse::<u32>().is_ok();
    if check_name(at, "group", name, "nodes are named after it, as `peers-17`")
        && (TAKEN.contains(&name) || name.rsplit_once('-').is_some_and(is_node))
    {
        at.add(
            format!("a group cannot be named `{name}`"),
            "in a choice of nodes that means something else",
            "take another name",
        );
    }
}

fn resolve_group(
    at: &At,
    name: String,
    group: NodeGroup,
    regions: &Regions,
    network_loss: Option<Loss>,
) -> Group {
    let launch = resolve_launch(at, &group);
    let count = at.key("count").value(group.count);
    if count == Some(0) {
        at.key("count").add(
            format!("the group `{name}` has no nodes"),
            "its count is 0",
            "write at least 1, or remove the group",
        );
    }
    let loss = at.key("loss").optional(group.loss);
    Group {
        name,
        count: count.unwrap_or(1).max(1),
        image: resolve_image(&at.key("image"), group.image),
        probe: resolve_probe(&at.key("probe"), group.probe),
        ready: resolve_ready(&at.key("ready"), group.ready),
        launch,
        hash_power: at.key("hashpower").optional(group.hashpower).unwrap_or(0.0),
        regions: resolve_places(&at.key("regions"), group.regions, count, regions),
        access: resolve_access(&at.key("access"), group.access, regions),
        cpu_millis: resolve_cpu(&at.key("cpu"), group.cpu),
        memory_bytes: resolve_memory(&at.key("memory"), group.memory),
        loss: loss.or(network_loss).unwrap_or_default(),
    }
}

fn resolve_ready(at: &At, written: Option<Written<Nanos>>) -> Option<Nanos> {
    let ready = at.optional(written)?;
    if ready == Nanos::ZERO {
        at.add(
            "no node is ready at once",
            "from the start of a program until it answers takes some time",
            "write what it may take at most, as `2m`; a time beyond the end of the run sets no bound",
        );
    }
    Some(ready)
}

fn resolve_image(at: &At, image: Option<String>) -> Image {
    let Some(name) = image.filter(|name| name != "peerlab") else {
        return Image::Peerlab;
    };
    if name.starts_with(ARCHIVE) {
        return resolve_archive(at, &name);
    }
    let fine = |c: char| c.is_ascii_alphanumeric() || ".-_/:@".contains(c);
    if name.is_empty() || !name.chars().all(fine) {
        at.add(
            format!("`{name}` is not an image"),
            "that is not how images are named",
            "write `peerlab`, `name:tag` of an image that the engine has, or `oci:PATH`",
        );
    }
    Image::Named(name)
}

/// An image in an archive, whose path counts from the experiment's folder.
fn resolve_archive(at: &At, name: &str) -> Image {
    let written = name.trim_start_matches(ARCHIVE);
    let folder = at.file().parent();
    let place = folder.unwrap_or(std::path::Path::new("")).join(written);
    if written.is_empty() {
        at.add(
            "the image's path is empty",
            "`oci:` is followed by the path of an OCI layout or of what `docker save` writes",
            "write `oci:images/node.tar`",
        );
    }
    // A plan may be replayed from another folder.
    Image::Archive(std::path::absolute(&place).unwrap_or(place))
}

/// Where the nodes of a group are: a region for each, or shares.
fn resolve_places(
    at: &At,
    written: Option<file::Regions>,
    count: Option<u32>,
    regions: &Regions,
) -> Places {
    let of_all = |name: &str, share| (at.clone(), name.to_owned(), Some(share));
    // Each with its place; without a share where that is wrong.
    let shares: Vec<(At, String, Option<f64>)> = match written {
        Some(WordOr::Long(ListOr::List(list))) => return resolve_each(at, &list, count, regions),
        None => return Places::Shares(regions.shares.clone()),
        Some(WordOr::Word(word)) if word == preset::INTERNET_2019 => {
            let measured = preset::REGIONS.into_iter().zip(preset::SHARES);
            measured.map(|(name, share)| of_all(name, share)).collect()
        }
        Some(WordOr::Word(word)) => vec![of_all(&word, 1.0)],
        Some(WordOr::Long(ListOr::Map(map))) => {
            let share = |(name, share): (String, _)| {
                let share = at.key(&name).value(share);
                (at.name(&name), name, share.map(|Share(share)| share))
            };
            map.into_iter().map(share).collect()
        }
    };
    let mut resolved = vec![0.0; regions.names.len()];
    let mut complete = true;
    for (at, name, share) in shares {
        match share.and_then(|share| Some((regions.find(&at, &name)?, share))) {
            Some((region, share)) => resolved[usize::from(region)] = share,
            None => complete = false,
        }
    }
    let sum: f64 = resolved.iter().sum();
    if complete && (sum - 1.0).abs() > SHARES_TOLERANCE {
        at.add(
            "the shares of the regions do not add up",
            format!("together they are {:.4}%, not 100%", sum * 100.0).replace(".0000", ""),
            "let them add to 100% (or to 1)",
        );
    }
    Places::Shares(resolved)
}

/// A list with the region of each node.
fn resolve_each(at: &At, list: &[String], count: Option<u32>, regions: &Regions) -> Places {
    if let Some(count) = count.filter(|count| list.len() != *count as usize) {
        at.add(
            "the list of regions does not fit the group",
            format!("it has {} regions, and the group {count} nodes", list.len()),
            "name one region for each node, or write shares: `{ europe: 60%, japan: 40% }`",
        );
    }
    let region = |(item, name): (usize, &String)| regions.find(&at.item(item), name);
    let regions = list.iter().enumerate().map(region);
    Places::Each(regions.map(Option::unwrap_or_default).collect())
}

fn resolve_access(at: &At, written: Option<WordOr<file::Access>>, regions: &Regions) -> Access {
    let mut access = Access {
        rates: vec![AccessRates::default(); regions.names.len()],
        queue_bytes: QUEUE_BYTES_DEFAULT,
    };
    match written {
        None => {}
        Some(WordOr::Word(word)) if word == preset::INTERNET_2019 => {
            access.rates = preset_rates(at, regions);
        }
        Some(WordOr::Word(word)) => at.add(
            format!("`{word}` is not an access link"),
            "only `internet-2019` is known by name",
            "write `internet-2019`, or rates: `{ up: 10 Mbit/s, down: 50 Mbit/s }`",
        ),
        Some(WordOr::Long(written)) => {
            access.rates.fill(AccessRates {
                up_bps: resolve_rate(&at.key("up"), written.up),
                down_bps: resolve_rate(&at.key("down"), written.down),
            });
            access.queue_bytes = resolve_queue(&at.key("queue"), written.queue);
        }
    }
    access
}

/// The measured rates of all regions.
fn preset_rates(at: &At, regions: &Regions) -> Vec<AccessRates> {
    let measured: IndexMap<_, _> = preset::REGIONS.into_iter().zip(preset::rates()).collect();
    let rates = regions.names.iter().map(|name| measured.get(name.as_str()));
    if rates.clone().any(|rates| rates.is_none()) {
        at.add(
            "`internet-2019` has no rates for these regions",
            format!("it knows {}", preset::REGIONS.join(", ")),
            "name the regions so, or write the rates: `{ up: 10 Mbit/s, down: 50 Mbit/s }`",
        );
    }
    rates
        .map(|rates| rates.copied().unwrap_or_default())
        .collect()
}

fn resolve_queue(at: &At, written: Option<Written<Size>>) -> u32 {
    let Some(Size { bytes }) = at.optional(written) else {
        return QUEUE_BYTES_DEFAULT;
    };
    if !(QUEUE_BYTES_MIN..=QUEUE_BYTES_MAX).contains(&bytes) {
        at.add(
            "a queue of this size does not work",
            "it has to hold a few packets, and at most 1 GiB",
            "write something between `5 kB` and `1 GiB`",
        );
    }
    bytes as u32
}

/// The rate of a link that is not so slow that it is cut.
pub fn resolve_rate(at: &At, written: Option<Written<Rate>>) -> Option<u64> {
    let Rate { bps } = at.optional(written)?;
    if bps < RATE_BPS_MIN {
        at.add(
            "the link is too slow",
            format!("it carries {bps} bit/s; below {RATE_BPS_MIN} it is as good as cut"),
            "raise the rate, or cut the link by a `partition`",
        );
    }
    Some(bps)
}

fn resolve_cpu(at: &At, written: Option<Written<f64>>) -> Option<u32> {
    let cores = at.optional(written)?;
    if !(0.01..=CPU_MAX).contains(&cores) {
        at.add(
            "a node cannot run on so many cores",
            format!("{cores} is not between 0.01 and {CPU_MAX}"),
            "write a part of a core, as `0.5`",
        );
    }
    Some(libm::round(cores * 1000.0) as u32)
}

fn resolve_memory(at: &At, written: Option<Written<Size>>) -> Option<u64> {
    let Size { bytes } = at.optional(written)?;
    if bytes < MEMORY_BYTES_MIN {
        at.add(
            "a node cannot live in so little memory",
            "engines refuse limits below 6 MiB",
            "write at least `16 MB`",
        );
    }
    Some(bytes)
}
