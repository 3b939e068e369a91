//! The regions that there are, and the delays between them: what `latency` says, and where that is
//! one for all, what the groups name.

use indexmap::{IndexMap, IndexSet};
use peerlab_link::{Nanos, PathDelay};

use super::problems::At;
use crate::topology::file::{LatencyMap, NodeGroup};
use crate::topology::listed::ListOr;
use crate::topology::preset;
use crate::topology::written::{Value, WordOr};

/// The region of everybody when nothing speaks of regions.
pub const REGION_DEFAULT: &str = "everywhere";
/// Longest delay: a round trip of two minutes.
const DELAY_MAX: Nanos = Nanos::from_secs(60);
/// Longest name of a group or region: names of containers are made of it.
const NAME_CHARS_MAX: usize = 40;
/// Most regions: there is a delay for every pair of them, and a missing one is a mistake to report.
const REGIONS_MAX: usize = 250;
/// Why a region needs a name that can be written.
const REGION_NAMES: &str = "choices of nodes refer to it as `region:NAME`";

/// The regions that there are.
#[derive(Clone, Debug)]
pub struct Regions {
    /// Names, in order.
    pub names: Vec<String>,
    /// `paths[from][to]`.
    pub paths: Vec<Vec<PathDelay>>,
    /// The part of a group's nodes in each, where the group does not say.
    pub shares: Vec<f64>,
}

impl Regions {
    fn internet_2019() -> Regions {
        Regions {
            names: preset::REGIONS.map(String::from).to_vec(),
            paths: preset::paths(),
            shares: preset::SHARES.to_vec(),
        }
    }

    fn evenly_used(names: IndexSet<String>, paths: Vec<Vec<PathDelay>>) -> Regions {
        Regions {
            shares: vec![1.0 / names.len() as f64; names.len()],
            names: names.into_iter().collect(),
            paths,
        }
    }

    /// Index of a region.
    pub fn index(&self, name: &str) -> Option<u16> {
        let index = self.names.iter().position(|known| known == name)?;
        u16::try_from(index).ok()
    }

    /// Index of a region, or a mistake and `None`.
    pub fn find(&self, at: &At, name: &str) -> Option<u16> {
        let index = self.index(name);
        if index.is_none() {
            at.unknown("region", name, self.names.iter().map(String::as_str));
        }
        index
    }
}

/// Finds the regions; a mistake in `latency` counts as its default.
pub fn resolve_regions(
    root: &At,
    latency: Option<WordOr<LatencyMap>>,
    groups: &IndexMap<String, NodeGroup>,
) -> Regions {
    let at = root.key("network").key("latency");
    let delay = match latency {
        None => None,
        Some(WordOr::Word(word)) => resolve_delay(&at, &word),
        Some(WordOr::Long(map)) => return resolve_map(&at, map),
    };
    let Some(delay) = delay else {
        return Regions::internet_2019();
    };
    let mut names = named(&root.key("nodes"), groups);
    if names.is_empty() {
        names.insert(REGION_DEFAULT.to_owned());
    }
    if too_many(&root.key("nodes"), names.len()) {
        return Regions::internet_2019();
    }
    let count = names.len();
    Regions::evenly_used(names, vec![vec![delay; count]; count])
}

/// The delay of all paths, or `None` for those of the preset.
fn resolve_delay(at: &At, word: &str) -> Option<PathDelay> {
    if word == preset::INTERNET_2019 {
        return None;
    }
    if word.starts_with(|c: char| c.is_ascii_alphabetic()) {
        let form = PathDelay::FORM;
        at.add(
            format!("`{word}` is not a latency"),
            "only `internet-2019` is known by name",
            format!("write `internet-2019`, {form}, or a map by region"),
        );
        return None;
    }
    let delay = at.word(word).unwrap_or_default();
    check_delay(at, delay);
    Some(delay)
}

/// That a path is a path at all.
pub fn check_delay(at: &At, delay: PathDelay) {
    if delay.base > DELAY_MAX || delay.jitter > DELAY_MAX {
        at.add(
            "the delay is too long",
            "more than a minute one way is no network",
            "write a shorter one, or cut the path by a `partition`",
        );
    }
}

/// Whether there are more regions than can be: a mistake.
fn too_many(at: &At, regions: usize) -> bool {
    let too_many = regions > REGIONS_MAX;
    if too_many {
        at.add(
            format!("there are {regions} regions"),
            format!("every pair of regions has a delay, so there are at most {REGIONS_MAX}"),
            "put nodes with about the same delays into one region",
        );
    }
    too_many
}

fn resolve_map(at: &At, map: LatencyMap) -> Regions {
    let mut names: IndexSet<String> = IndexSet::new();
    for (from, row) in &map {
        let at_row = at.key(from);
        let ways = row.keys().map(|to| (at_row.name(to), to));
        for (at, name) in std::iter::once((at.name(from), from)).chain(ways) {
            check_name(&at, "region", name, REGION_NAMES);
            names.insert(name.clone());
        }
    }
    if names.is_empty() {
        at.add(
            "there are no regions",
            "the map of latencies is empty",
            "write `latency: 50ms` for the same everywhere",
        );
    }
    if too_many(at, names.len()) {
        return Regions::internet_2019();
    }
    let mut delays: Vec<Vec<Option<PathDelay>>> = vec![vec![None; names.len()]; names.len()];
    for (from, row) in map {
        for (to, written) in row {
            let at = at.key(&from).key(&to);
            let delay = at.value(written).unwrap_or_default();
            check_delay(&at, delay);
            if let (Some(from), Some(to)) = (names.get_index_of(&from), names.get_index_of(&to)) {
                delays[from][to] = Some(delay);
            }
        }
    }
    let path = &|from: usize, to: usize| delays[from][to].or(delays[to][from]);
    for from in 0..names.len() {
        for to in (from..names.len()).filter(|to| path(from, *to).is_none()) {
            let (from, to) = (&names[from], &names[to]);
            at.add(
                format!("the latency between `{from}` and `{to}` is missing"),
                "every pair of regions needs one, each region with itself as well",
                format!("add `{from}: {{ {to}: 50ms }}`"),
            );
        }
    }
    let row = |from| (0..names.len()).map(move |to| path(from, to).unwrap_or_default());
    let paths = (0..names.len()).map(|from| row(from).collect()).collect();
    Regions::evenly_used(names, paths)
}

/// The regions that the groups name.
fn named(at: &At, groups: &IndexMap<String, NodeGroup>) -> IndexSet<String> {
    let mut names = IndexSet::new();
    for (group_name, group) in groups {
        let at = at.key(group_name).key("regions");
        let mut insert = |at: &At, name: &String| {
            check_name(at, "region", name, REGION_NAMES);
            names.insert(name.clone());
        };
        match &group.regions {
            Some(WordOr::Word(word)) if word == preset::INTERNET_2019 => {
                names.extend(preset::REGIONS.map(String::from));
            }
            Some(WordOr::Word(word)) => insert(&at, word),
            Some(WordOr::Long(ListOr::Map(shares))) => {
                shares.keys().for_each(|name| insert(&at.name(name), name));
            }
            Some(WordOr::Long(ListOr::List(list))) => {
                let items = list.iter().enumerate();
                items.for_each(|(index, name)| insert(&at.item(index), name));
            }
            None => {}
        }
    }
    names
}

/// That a name can stand in choices of nodes. Whether it can.
pub fn check_name(at: &At, kind: &str, name: &str, cause: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.len() <= NAME_CHARS_MAX
        && name.chars().all(fine);
    if !is_name {
        at.add(
            format!("`{name}` is not a name for a {kind}"),
            cause,
            "begin with a small letter, and go on with small letters, digits and dashes",
        );
    }
    is_name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{self, Places};

    /// The parts of a group's nodes in each region, with this latency.
    fn shares(latency: &str) -> Vec<f64> {
        let text = format!(
            "name: x\nphases: {{ warmup: 1s, settle: 6s }}\nnodes: {{ a: {{ count: 6 }} }}\n\
             network: {{ latency: {latency} }}\n"
        );
        let topology = topology::parse("x.yaml", &text).unwrap();
        match &topology.groups[0].regions {
            Places::Shares(shares) => shares.clone(),
            Places::Each(each) => panic!("{each:?}"),
        }
    }

    #[test]
    fn the_measured_shares_come_with_the_presets_name_and_not_with_its_delays() {
        assert_eq!(shares(preset::INTERNET_2019), preset::SHARES);
        let row = |(from, paths): (&str, Vec<PathDelay>)| {
            let way = |(to, path): (&str, PathDelay)| format!("{to}: {}us", path.base.0 / 1000);
            let ways: Vec<String> = preset::REGIONS.into_iter().zip(paths).map(way).collect();
            format!("{from}: {{ {} }}", ways.join(", "))
        };
        let rows = preset::REGIONS.into_iter().zip(preset::paths()).map(row);
        let map = format!("{{ {} }}", rows.collect::<Vec<String>>().join(", "));
        assert_eq!(shares(&map), [1.0 / 6.0; 6]);
    }
}
