//! Measured networks, by name. `internet-2019`: the six regions of Bitcoin's nodes in 2019, after
//! the simulator SimBlock (`NetworkConfiguration.java`, Apache-2.0). Its delays agree with
//! round-trip times measured elsewhere, so one way is half.

use peerlab_link::{Nanos, PathDelay};

use super::resolved::AccessRates;

/// The preset's name in latency, regions and access.
pub const INTERNET_2019: &str = "internet-2019";

/// Its regions, in the order of the tables below.
pub const REGIONS: [&str; 6] = [
    "north-america",
    "europe",
    "south-america",
    "asia-pacific",
    "japan",
    "australia",
];

/// Part of the nodes in each region. They add to 1.
pub const SHARES: [f64; 6] = [0.3316, 0.4998, 0.0090, 0.1177, 0.0224, 0.0195];

/// Round trips between regions, milliseconds.
const ROUND_TRIP_MS: [[u64; 6]; 6] = [
    [32, 124, 184, 198, 151, 189],
    [124, 11, 227, 237, 252, 294],
    [184, 227, 88, 325, 301, 322],
    [198, 237, 325, 85, 58, 198],
    [151, 252, 301, 58, 12, 126],
    [189, 294, 322, 198, 126, 16],
];

/// Access rates, kbit/s: towards the network and from it.
const ACCESS_KBPS: [(u64, u64); 6] = [
    (19_200, 52_000),
    (20_700, 40_000),
    (5_800, 18_000),
    (15_700, 22_800),
    (10_200, 22_800),
    (11_300, 29_900),
];

/// Whether regions and the delays between them are those of this preset.
pub fn is_internet_2019(regions: &[String], delays: &[Vec<PathDelay>]) -> bool {
    regions == REGIONS && delays == paths()
}

/// One-way delays, without jitter.
pub fn paths() -> Vec<Vec<PathDelay>> {
    let delay = |round_trip_ms: &u64| PathDelay {
        base: Nanos(round_trip_ms * 1_000_000 / 2),
        jitter: Nanos::ZERO,
    };
    ROUND_TRIP_MS
        .iter()
        .map(|row| row.iter().map(delay).collect())
        .collect()
}

/// Access rates by region.
pub fn rates() -> Vec<AccessRates> {
    let rates = |&(up, down): &(u64, u64)| AccessRates {
        up_bps: Some(up * 1000),
        down_bps: Some(down * 1000),
    };
    ACCESS_KBPS.iter().map(rates).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_consistent() {
        assert!((SHARES.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        for (from, row) in ROUND_TRIP_MS.iter().enumerate() {
            for (to, delay) in row.iter().enumerate() {
                assert_eq!(*delay, ROUND_TRIP_MS[to][from]);
            }
        }
        assert_eq!(paths()[1][4].base, Nanos::from_millis(126));
    }
}
