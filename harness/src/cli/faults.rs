//! Faults by hand: `peerlab partition A / B`, `kill` and the other ways down, `shape`, `slow`; and their
//! ends, `heal` and `start`. What the words mean, the network knows: they are those of experiment files.

use std::process::ExitCode;

use clap_complete::engine::ArgValueCandidates;
use peerlab_core::error::{Error, Result};
use peerlab_core::experiment::Down;
use peerlab_core::topology;
use peerlab_core::topology::by_hand::{AskedFault, choices};
use peerlab_link::Nanos;

use super::complete::node_names;
use super::networks::Which;
use crate::network::Request;
use crate::ui::Ui;

/// What stands between the sides of a partition.
const SIDES: &str = "/";

/// How long a fault lasts.
#[derive(Debug, clap::Args)]
struct Lasting {
    /// How long, as 30s [until it is ended by hand]
    #[arg(long = "for", value_name = "TIME", value_parser = topology::time)]
    lasts: Option<Nanos>,
}

/// Arguments of `partition`.
#[derive(Debug, clap::Args)]
pub struct PartitionArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    lasting: Lasting,
    /// Only packets from the first side to the others are lost
    #[arg(long)]
    one_way: bool,
    /// The sides, with `/` between them: `region:europe / rest`. Nodes that are on no side form one of
    /// their own
    #[arg(required = true, value_name = "NODES", add = ArgValueCandidates::new(node_names))]
    sides: Vec<String>,
}

/// Arguments of the ways down.
#[derive(Debug, clap::Args)]
pub struct DownArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    lasting: Lasting,
    /// Which: a group, a node, a range (`peers 0-9`), `region:NAME`, `random 3 of peers`, `all`
    #[arg(required = true, add = ArgValueCandidates::new(node_names))]
    nodes: Vec<String>,
}

/// Arguments of `shape`.
#[derive(Debug, clap::Args)]
pub struct ShapeArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    lasting: Lasting,
    /// Whose links, and what becomes of them: rate=1Mbit/s, loss=5%, delay=100ms, jitter=10ms
    #[arg(required = true, value_name = "NODES|KEY=VALUE", add = ArgValueCandidates::new(node_names))]
    words: Vec<String>,
}

/// Arguments of `slow`.
#[derive(Debug, clap::Args)]
pub struct SlowArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    lasting: Lasting,
    /// Whose programs, and what they get of a core: cpu=10%
    #[arg(required = true, value_name = "NODES|cpu=SHARE", add = ArgValueCandidates::new(node_names))]
    words: Vec<String>,
}

/// Arguments of `heal`.
#[derive(Debug, clap::Args)]
pub struct HealArgs {
    #[command(flatten)]
    which: Which,
    /// Nodes that are down or frozen come back as well
    #[arg(long)]
    all: bool,
}

/// Arguments of `start`.
#[derive(Debug, clap::Args)]
pub struct StartArgs {
    #[command(flatten)]
    which: Which,
    /// Which, as for `kill`
    #[arg(required = true, add = ArgValueCandidates::new(node_names))]
    nodes: Vec<String>,
}

/// Splits the network.
///
/// # Errors
/// What is wrong with the words, or the network has ended.
pub async fn partition(args: &PartitionArgs, ui: &Ui) -> Result<ExitCode> {
    let fault = AskedFault::Partition {
        sides: sides(&args.sides),
        one_way: args.one_way,
    };
    begin(&args.which, fault, &args.lasting, ui).await
}

/// Takes nodes down, in this way.
///
/// # Errors
/// As [`partition`].
pub async fn down(how: Down, args: &DownArgs, ui: &Ui) -> Result<ExitCode> {
    let nodes = choices(&args.nodes);
    let fault = AskedFault::Down { how, nodes };
    begin(&args.which, fault, &args.lasting, ui).await
}

/// Makes links worse.
///
/// # Errors
/// As [`partition`].
pub async fn shape(args: &ShapeArgs, ui: &Ui) -> Result<ExitCode> {
    let (nodes, [rate, loss, delay, jitter]) =
        keys(&args.words, ["rate", "loss", "delay", "jitter"])?;
    let fault = AskedFault::Shape {
        nodes,
        rate,
        loss,
        delay,
        jitter,
    };
    begin(&args.which, fault, &args.lasting, ui).await
}

/// Leaves programs a part of a core.
///
/// # Errors
/// As [`partition`].
pub async fn slow(args: &SlowArgs, ui: &Ui) -> Result<ExitCode> {
    let (nodes, [cpu]) = keys(&args.words, ["cpu"])?;
    let cpu = cpu.ok_or_else(|| {
        Error::input("it is not said how slow")
            .because("`cpu=` is missing")
            .hint("write what they get of a core, as `cpu=10%`")
    })?;
    let fault = AskedFault::Slow { nodes, cpu };
    begin(&args.which, fault, &args.lasting, ui).await
}

/// Ends faults of links and processor time; with `--all` whatever is in force.
///
/// # Errors
/// When the network has ended.
pub async fn heal(args: &HealArgs, ui: &Ui) -> Result<ExitCode> {
    let request = Request::Heal { all: args.all };
    args.which.have_done(request, ui).await
}

/// Brings nodes back that are down.
///
/// # Errors
/// As [`partition`].
pub async fn start(args: &StartArgs, ui: &Ui) -> Result<ExitCode> {
    let nodes = choices(&args.nodes);
    args.which.have_done(Request::Start { nodes }, ui).await
}

async fn begin(which: &Which, fault: AskedFault, lasting: &Lasting, ui: &Ui) -> Result<ExitCode> {
    let lasts = lasting.lasts;
    which.have_done(Request::Fault { fault, lasts }, ui).await
}

/// The choices of each side.
fn sides(words: &[String]) -> Vec<Vec<String>> {
    let words: Vec<String> = words
        .iter()
        .flat_map(|word| word.split_whitespace().map(str::to_owned))
        .collect();
    words
        .split(|word| word == SIDES)
        .map(choices)
        .filter(|side| !side.is_empty())
        .collect()
}

/// The choices of nodes, and the values of these keys.
fn keys<const N: usize>(
    words: &[String],
    keys: [&str; N],
) -> Result<(Vec<String>, [Option<String>; N])> {
    let mut values = [const { None }; N];
    let mut nodes = Vec::new();
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            nodes.push(word.clone());
            continue;
        };
        let index = keys.iter().position(|known| *known == key);
        let index = index.ok_or_else(|| {
            Error::input(format!("there is no `{key}=` here"))
                .because("it is none of the keys that experiment files have")
                .hint(format!("there are {}", keys.join(", ")))
        })?;
        if values[index].replace(value.to_owned()).is_some() {
            return Err(Error::input(format!("`{key}=` stands there twice"))
                .because("which of the two is meant is not clear")
                .hint("keep one"));
        }
    }
    Ok((choices(&nodes), values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_slash_stands_between_sides() {
        assert_eq!(
            sides(&words("region:europe miners / peers 0-3 / rest")),
            [
                vec!["region:europe", "miners"],
                vec!["peers 0-3"],
                vec!["rest"]
            ]
        );
        assert_eq!(sides(&words("region:europe")), [["region:europe"]]);
        assert_eq!(sides(&["miners / rest".to_owned()]), [["miners"], ["rest"]]);
    }

    #[test]
    fn values_are_told_from_nodes_by_their_sign() {
        let (nodes, [rate, loss]) =
            keys(&words("peers 0-9 rate=1Mbit/s miners"), ["rate", "loss"]).unwrap();
        assert_eq!(nodes, ["peers 0-9", "miners"]);
        assert_eq!((rate.as_deref(), loss), (Some("1Mbit/s"), None));
        let told: Vec<String> = ["peers los=5%", "peers loss=5% loss=6%"]
            .iter()
            .map(|line| keys(&words(line), ["rate", "loss"]).unwrap_err().render())
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
