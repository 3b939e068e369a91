//! Faults put in on purpose, to see whether a search for failures finds them. Each breaks one rule
//! at the one place where it stands; a build without the feature `planted-bugs` has none of this.

use std::str::FromStr;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    /// A block that a peer was asked for and did not deliver is never asked of anybody again.
    NoRerequest,
    /// The branch that was adopted first is never left, however much work another has.
    FirstSeenForEver,
    /// After a reorganisation the new tip is not announced: who is connected already does not hear
    /// of it before the next block; only who connects later asks for it.
    NoAnnouncementAfterReorg,
}

impl PlantedBug {
    /// All of them.
    pub const ALL: [PlantedBug; 3] = [
        PlantedBug::NoRerequest,
        PlantedBug::FirstSeenForEver,
        PlantedBug::NoAnnouncementAfterReorg,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            PlantedBug::NoRerequest => "no-rerequest",
            PlantedBug::FirstSeenForEver => "first-seen-for-ever",
            PlantedBug::NoAnnouncementAfterReorg => "no-announcement-after-reorg",
        }
    }
}

impl FromStr for PlantedBug {
    type Err = String;

    fn from_str(name: &str) -> Result<PlantedBug, String> {
        let found = PlantedBug::ALL.into_iter().find(|bug| bug.name() == name);
        found.ok_or_else(|| {
            let names = PlantedBug::ALL.map(PlantedBug::name).join(", ");
            format!("no bug of this name; there are {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_again() {
        for bug in PlantedBug::ALL {
            assert_eq!(bug.name().parse(), Ok(bug));
        }
        assert!(
            "no-bug"
                .parse::<PlantedBug>()
                .unwrap_err()
                .contains("no-rerequest")
        );
    }
}
