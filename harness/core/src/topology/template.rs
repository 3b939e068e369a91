//! `{{ ... }}` in the arguments of a group's command. Checked when the file is read, filled in
//! when the plan is made.

use std::net::Ipv4Addr;

use super::suggest::did_you_mean;
use super::written::BadValue;

/// Path of the pre-mined blocks inside every node.
pub const PREMINED_PATH: &str = "/peerlab/premined.dat";

/// Names that may stand between the braces, `bootstrap` with an index.
const NAMES: [&str; 6] = ["name", "index", "ip", "peer", "premined", "bootstrap"];
/// Most that `bootstrap[..]` may count to; discovery gives a node fewer.
const BOOTSTRAP_INDEX_MAX: usize = 100;

/// What the names stand for, for one node.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The node's name.
    pub name: &'a str,
    /// Its index in the group.
    pub index: u32,
    /// Its address.
    pub ip: Ipv4Addr,
    /// The peers that discovery gives it.
    pub peers: &'a [Ipv4Addr],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Name,
    Index,
    Ip,
    Peer,
    Premined,
    Bootstrap(usize),
}

/// Whether an argument's templates are right.
///
/// # Errors
/// Which one is not, and why.
pub fn check(argument: &str) -> Result<(), BadValue> {
    parts(argument).map(|_| ())
}

/// Fills in arguments. One with `{{ peer }}` is repeated for each peer. A `bootstrap[i]` beyond
/// the peers that there are stands for the last of them, and its argument is left out where there
/// are none; so is an argument whose templates [`check`] refuses.
pub fn fill(arguments: &[String], values: Values<'_>) -> Vec<String> {
    let mut filled = Vec::new();
    for argument in arguments {
        let Ok(parts) = parts(argument) else { continue };
        if parts.contains(&Part::Peer) {
            filled.extend(
                values
                    .peers
                    .iter()
                    .filter_map(|peer| fill_one(&parts, values, *peer)),
            );
        } else {
            filled.extend(fill_one(&parts, values, values.ip));
        }
    }
    filled
}

fn fill_one(parts: &[Part<'_>], values: Values<'_>, peer: Ipv4Addr) -> Option<String> {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text(plain) => text.push_str(plain),
            Part::Name => text.push_str(values.name),
            Part::Index => text.push_str(&values.index.to_string()),
            Part::Ip => text.push_str(&values.ip.to_string()),
            Part::Peer => text.push_str(&peer.to_string()),
            Part::Premined => text.push_str(PREMINED_PATH),
            Part::Bootstrap(index) => {
                let peer = values.peers.get(*index).or(values.peers.last())?;
                text.push_str(&peer.to_string());
            }
        }
    }
    Some(text)
}

fn parts(mut argument: &str) -> Result<Vec<Part<'_>>, BadValue> {
    let mut parts = Vec::new();
    while let Some((before, rest)) = argument.split_once("{{") {
        let Some((inside, after)) = rest.split_once("}}") else {
            return Err(BadValue::new("`{{` without its `}}`"));
        };
        parts.push(Part::Text(before));
        parts.push(part(inside.trim())?);
        argument = after;
    }
    parts.push(Part::Text(argument));
    Ok(parts)
}

fn part(inside: &str) -> Result<Part<'_>, BadValue> {
    match inside {
        "name" => return Ok(Part::Name),
        "index" => return Ok(Part::Index),
        "ip" => return Ok(Part::Ip),
        "peer" => return Ok(Part::Peer),
        "premined" => return Ok(Part::Premined),
        _ => {}
    }
    let index = inside
        .strip_prefix("bootstrap[")
        .and_then(|rest| rest.strip_suffix(']'))
        .map(|index| index.trim().parse::<usize>());
    match index {
        Some(Ok(index)) if index <= BOOTSTRAP_INDEX_MAX => Ok(Part::Bootstrap(index)),
        Some(_) => Err(BadValue::with_hint(
            format!("`{inside}` needs a small whole number in the brackets"),
            "write `{{ bootstrap[0] }}`",
        )),
        None => Err(BadValue::with_hint(
            format!("`{inside}` is unknown here"),
            did_you_mean(inside, NAMES, || {
                "there are `name`, `index`, `ip`, `peer`, `premined` and `bootstrap[0]`".into()
            })
            .replace("`bootstrap`", "`bootstrap[0]`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_filled_in_and_repeated_for_each_peer() {
        let peers = [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 3)];
        let values = Values {
            name: "core-1",
            index: 1,
            ip: Ipv4Addr::new(10, 0, 0, 9),
            peers: &peers,
        };
        let arguments = [
            "-a={{ip}}:{{ index }}",
            "-n={{ peer }}:1",
            "-b={{ bootstrap[0] }}",
            "-c={{ bootstrap[7] }}",
            "x",
        ];
        let filled = fill(&arguments.map(String::from), values);
        let expected = [
            "-a=10.0.0.9:1",
            "-n=10.0.0.2:1",
            "-n=10.0.0.3:1",
            "-b=10.0.0.2",
            "-c=10.0.0.3",
            "x",
        ];
        assert_eq!(filled, expected);
        let lonely = fill(
            &arguments.map(String::from),
            Values {
                peers: &[],
                ..values
            },
        );
        assert_eq!(lonely, ["-a=10.0.0.9:1", "x"]);
    }

    #[test]
    fn wrong_templates_are_refused() {
        assert_eq!(
            check("{{ bootsrap }}").unwrap_err().hint.unwrap(),
            "did you mean `bootstrap[0]`?"
        );
        assert!(check("{{ ip }").is_err());
        assert!(check("{{ bootstrap[x] }}").is_err());
        assert!(check("{ ip }").is_ok());
    }
}
