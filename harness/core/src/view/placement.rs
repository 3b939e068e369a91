//! Where the nodes of a network are drawn: each region is a disc of its nodes, as large as its share of
//! them. Regions of the world that are known lie about as on a map, others in a circle.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Width and height of the drawing.
pub const SIZE: [f64; 2] = [1000.0, 520.0];
/// The middles of regions that are known.
const ON_THE_MAP: [(&str, [f64; 2]); 6] = [
    ("north-america", [220.0, 190.0]),
    ("europe", [515.0, 165.0]),
    ("south-america", [335.0, 415.0]),
    ("asia-pacific", [740.0, 300.0]),
    ("japan", [885.0, 180.0]),
    ("australia", [880.0, 435.0]),
];
/// The radius that a region of all nodes would have: of two that are neighbours, neither reaches into
/// the other.
const RADIUS: f64 = 165.0;
/// Least radius: a node has a size itself.
const RADIUS_MIN: f64 = 16.0;
/// What an only region has: the whole drawing.
const RADIUS_ALONE: f64 = 225.0;
/// Half axes of the ellipse that unknown regions lie on.
const ELLIPSE: [f64; 2] = [330.0, 165.0];
/// The angle that spreads points evenly over a disc.
const GOLDEN_ANGLE: f64 = 2.399_963_229_728_653;

/// A region as it is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disc {
    pub name: String,
    pub middle: [f64; 2],
    pub radius: f64,
}

/// Where everything is drawn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    pub regions: Vec<Disc>,
    /// Each node's place, by number.
    pub nodes: Vec<[f64; 2]>,
}

/// The places of nodes of which each is in the region that is named.
pub fn place<'a>(regions: impl IntoIterator<Item = &'a str>) -> Placement {
    let of_nodes: Vec<&str> = regions.into_iter().collect();
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut names: Vec<&str> = Vec::new();
    for name in &of_nodes {
        let size = sizes.entry(name).or_default();
        if *size == 0 {
            names.push(name);
        }
        *size += 1;
    }
    let middles = middles(&names);
    let disc = |(name, middle): (&&str, [f64; 2])| {
        let size = sizes.get(name).copied().unwrap_or_default();
        let share = size as f64 / of_nodes.len().max(1) as f64;
        let radius = match names.len() {
            1 => RADIUS_ALONE,
            _ => (RADIUS * share.sqrt()).max(RADIUS_MIN),
        };
        Disc {
            name: (*name).to_owned(),
            middle,
            radius,
        }
    };
    let regions: Vec<Disc> = names.iter().zip(middles).map(disc).collect();
    let indices: BTreeMap<&str, usize> = names.iter().copied().zip(0..).collect();
    let mut placed = vec![0; names.len()];
    let node = |name: &&str| {
        let index = *indices.get(name)?;
        let (disc, nth) = (regions.get(index)?, placed.get_mut(index)?);
        let size = sizes.get(name).copied().unwrap_or(1);
        let place = within(disc, *nth, size);
        *nth += 1;
        Some(place)
    };
    let nodes = of_nodes.iter().filter_map(node).collect();
    Placement { regions, nodes }
}

/// The middle of each region.
fn middles(names: &[&str]) -> Vec<[f64; 2]> {
    let [x, y] = [SIZE[0] / 2.0, SIZE[1] / 2.0];
    let known = |name: &&str| {
        let mut all = ON_THE_MAP.iter();
        all.find_map(|(known, middle)| (known == name).then_some(*middle))
    };
    match names {
        [_] => vec![[x, y]],
        _ => match names.iter().map(known).collect() {
            Some(middles) => middles,
            None => (0..names.len())
                .map(|nth| {
                    let angle = nth as f64 / names.len() as f64 * std::f64::consts::TAU;
                    let [a, b] = ELLIPSE;
                    [x - a * libm::cos(angle), y - b * libm::sin(angle)]
                })
                .collect(),
        },
    }
}

/// The place of the nth of so many nodes of a region.
fn within(disc: &Disc, nth: usize, size: usize) -> [f64; 2] {
    let radius = disc.radius * ((nth as f64 + 0.5) / size.max(1) as f64).sqrt();
    // One alone stands in the middle.
    let radius = if size == 1 { 0.0 } else { radius };
    let angle = nth as f64 * GOLDEN_ANGLE;
    let [x, y] = disc.middle;
    [x + radius * libm::cos(angle), y + radius * libm::sin(angle)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance([a, b]: [f64; 2], [c, d]: [f64; 2]) -> f64 {
        ((a - c).powi(2) + (b - d).powi(2)).sqrt()
    }

    /// So many nodes, one in each region in turn.
    fn of(regions: &[&'static str], count: usize) -> Vec<&'static str> {
        regions.iter().copied().cycle().take(count).collect()
    }

    #[test]
    fn no_two_nodes_stand_in_one_place_and_all_are_in_the_drawing() {
        let world = ON_THE_MAP.map(|(name, _)| name);
        for regions in [
            of(&world, 1000),
            of(&["europe"], 1000),
            of(&["a", "b", "c"], 300),
            of(&[""], 1),
            of(&["north-america", "mars"], 2),
        ] {
            let placement = place(regions.iter().copied());
            assert_eq!(placement.nodes.len(), regions.len());
            for (index, node) in placement.nodes.iter().enumerate() {
                assert!((0.0..SIZE[0]).contains(&node[0]), "{node:?}");
                assert!((0.0..SIZE[1]).contains(&node[1]), "{node:?}");
                for other in &placement.nodes[..index] {
                    assert!(distance(*node, *other) > 3.0, "{node:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn regions_of_the_world_do_not_overlap_however_their_nodes_are_spread() {
        let few = ["south-america", "asia-pacific", "japan", "australia"];
        let mut regions = of(&["europe", "north-america"], 160);
        regions.extend(of(&few, 40));
        let discs = place(regions).regions;
        assert_eq!(discs.len(), 6);
        for (index, disc) in discs.iter().enumerate() {
            for other in &discs[..index] {
                let apart = distance(disc.middle, other.middle);
                assert!(apart > disc.radius + other.radius, "{disc:?} {other:?}");
            }
        }
    }

    #[test]
    fn nobody_has_no_place() {
        assert_eq!(place([]), Placement::default());
    }
}
