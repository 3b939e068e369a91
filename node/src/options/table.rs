//! All options, and how an argument list is read by them. Bitcoin Core's spellings: `-name=value`,
//! `-name` for `-name=1` and `-noname` for `-name=0`, with one dash or two; also `-name value`.

use std::fmt::Write;
use std::num::NonZeroU64;
use std::path::PathBuf;

use super::failure::Failure;
use super::value::{Address, Bitcoins, ConnectTo, Slot, Switch};

/// How alike (Jaro) an unknown name and an option must be for the option to be meant.
const SIMILARITY_MIN: f64 = 0.7;

/// The end of every hint.
const HELP: &str = "peerlab-node -help lists all options";

/// What an argument list states; what it leaves out has no value.
#[derive(Default)]
pub struct CommandLine {
    pub datadir: Option<PathBuf>,
    pub connect: ConnectTo,
    pub addnode: Vec<Address>,
    pub seednode: Vec<Address>,
    pub maxconnections: Option<u16>,
    pub listen: Option<Switch>,
    pub port: Option<u16>,
    pub bind: Vec<Address>,
    pub externalip: Option<Address>,
    pub peertimeout: Option<NonZeroU64>,
    pub timeout: Option<NonZeroU64>,
    pub blocksonly: Option<Switch>,
    pub minrelaytxfee: Option<Bitcoins>,
    pub blockmaxweight: Option<u64>,
    pub offermempool: Option<Switch>,
    pub rpcport: Option<u16>,
    pub rpcbind: Vec<Address>,
    pub rpcuser: Option<String>,
    pub rpcpassword: Option<String>,
    pub loadblock: Vec<PathBuf>,
    pub debug: Vec<String>,
    pub printtoconsole: Option<Switch>,
    pub regtest: Option<Switch>,
    pub server: Option<Switch>,
    #[cfg(feature = "planted-bugs")]
    pub plantedbug: Option<crate::PlantedBug>,
    pub ask: Option<String>,
    pub version: Option<Switch>,
    pub help: Option<Switch>,
}

/// One option.
struct Opt {
    name: &'static str,
    /// What its value is, for the help.
    value: &'static str,
    /// Its value where none is given; `None` where one must be.
    alone: Option<&'static str>,
    help: &'static str,
    slot: fn(&mut CommandLine) -> &mut dyn Slot,
}

const fn opt(
    name: &'static str,
    value: &'static str,
    help: &'static str,
    slot: fn(&mut CommandLine) -> &mut dyn Slot,
) -> Opt {
    Opt {
        name,
        value,
        alone: None,
        help,
        slot,
    }
}

const fn switch(
    name: &'static str,
    help: &'static str,
    slot: fn(&mut CommandLine) -> &mut dyn Slot,
) -> Opt {
    Opt {
        alone: Some("1"),
        ..opt(name, "BOOL", help, slot)
    }
}

#[rustfmt::skip]
const OPTIONS: &[Opt] = &[
    opt("datadir", "DIR", "Folder for all data [default: $HOME/.peerlab-node]", |line| &mut line.datadir),
    opt("connect", "IP[:PORT]", "Connect to this peer only; may be repeated; 0 connects to none. Implies -listen=0", |line| &mut line.connect),
    opt("addnode", "IP[:PORT]", "Connect to this peer besides others and keep the connection; may be repeated", |line| &mut line.addnode),
    opt("seednode", "IP[:PORT]", "Ask this peer for addresses and disconnect; may be repeated", |line| &mut line.seednode),
    opt("maxconnections", "N", "Keep at most this many connections [default: 125]", |line| &mut line.maxconnections),
    switch("listen", "Accept connections [default: 1 unless -connect]", |line| &mut line.listen),
    opt("port", "PORT", "Port to accept peers on; 0 lets the system choose [default: 18444]", |line| &mut line.port),
    opt("bind", "IP[:PORT]", "Address to accept peers on; may be repeated [default: 0.0.0.0]", |line| &mut line.bind),
    opt("externalip", "IP[:PORT]", "Own address to announce to peers [default: the one they see]", |line| &mut line.externalip),
    opt("peertimeout", "SECS", "Seconds that a peer may say nothing, though pinged [default: 15]", |line| &mut line.peertimeout),
    opt("timeout", "MS", "Milliseconds that opening a connection may take [default: 4000]", |line| &mut line.timeout),
    switch("blocksonly", "Neither ask for transactions nor pass them on [default: 0]", |line| &mut line.blocksonly),
    opt("minrelaytxfee", "BTC", "Least fee of a transaction to accept and relay, BTC/kvB [default: 0.00001]", |line| &mut line.minrelaytxfee),
    opt("blockmaxweight", "N", "Most weight of a block that this node mines [default: 4000000]", |line| &mut line.blockmaxweight),
    switch("offermempool", "Announce to a new peer what is in the mempool, which Bitcoin Core does not [default: 1]", |line| &mut line.offermempool),
    opt("rpcport", "PORT", "Port to answer JSON-RPC on; 0 lets the system choose [default: 18443]", |line| &mut line.rpcport),
    opt("rpcbind", "IP[:PORT]", "Address to answer JSON-RPC on; may be repeated [default: 127.0.0.1]", |line| &mut line.rpcbind),
    opt("rpcuser", "NAME", "User of JSON-RPC", |line| &mut line.rpcuser),
    opt("rpcpassword", "PASSWORD", "Password of JSON-RPC; without one, DATADIR/regtest/.cookie holds user and password", |line| &mut line.rpcpassword),
    opt("loadblock", "FILE", "Take blocks in from this file (Bitcoin Core's blk format) at start; may be repeated", |line| &mut line.loadblock),
    Opt {
        alone: Some("1"),
        ..opt("debug", "CATEGORY", "Log peers come and gone, too; a category may be named and is all the same here", |line| &mut line.debug)
    },
    switch("printtoconsole", "Write the log to standard error [default: 1]", |line| &mut line.printtoconsole),
    switch("regtest", "The only network there is; accepted for Bitcoin Core's sake", |line| &mut line.regtest),
    switch("server", "Answer JSON-RPC; accepted for Bitcoin Core's sake, always on", |line| &mut line.server),
    #[cfg(feature = "planted-bugs")]
    opt("plantedbug", "NAME", "Run with this fault, put in on purpose", |line| &mut line.plantedbug),
    opt("ask", "METHOD", "Ask the node that already runs with these options, print what it answers to this JSON-RPC method, and end", |line| &mut line.ask),
    switch("version", "Print the version and end", |line| &mut line.version),
    switch("help", "Print this help and end", |line| &mut line.help),
];

/// Reads an argument list.
pub fn read(arguments: impl IntoIterator<Item = String>) -> Result<CommandLine, Failure> {
    let mut line = CommandLine::default();
    let mut arguments = arguments.into_iter().peekable();
    while let Some(argument) = arguments.next() {
        let (option, stated) = find(&argument).ok_or_else(|| unknown(&argument))?;
        let value = stated
            .map(str::to_owned)
            .or_else(|| arguments.next_if(|next| !next.starts_with('-')))
            .or_else(|| option.alone.map(str::to_owned))
            .ok_or_else(|| {
                Failure::new(format!("-{} is given without a value", option.name))
                    .hint(format!("write -{}={}; {HELP}", option.name, option.value))
            })?;
        (option.slot)(&mut line).put(&value).map_err(|cause| {
            let Opt {
                name, value: form, ..
            } = option;
            Failure::new(format!("-{name}={value} is no valid value"))
                .cause(cause)
                .hint(format!("write -{name}={form}; {HELP}"))
        })?;
    }
    Ok(line)
}

/// The option that an argument names, and the value that it states.
fn find(argument: &str) -> Option<(&'static Opt, Option<&str>)> {
    let (name, stated) = name_of(argument)?;
    let named = |name: &str| OPTIONS.iter().find(|option| option.name == name);
    match (named(name), name.strip_prefix("no").and_then(named)) {
        (Some(option), _) => Some((option, stated)),
        // Core's double negation: -nolisten=0 is -listen=1.
        (None, Some(negated)) => Some((negated, Some(if stated == Some("0") { "1" } else { "0" }))),
        (None, None) => None,
    }
}

/// Name and value of an argument in any of Core's spellings.
fn name_of(argument: &str) -> Option<(&str, Option<&str>)> {
    let option = argument.strip_prefix('-')?;
    let option = option.strip_prefix('-').unwrap_or(option);
    match option.split_once('=') {
        Some((name, value)) => Some((name, Some(value))),
        None if matches!(option, "?" | "h") => Some(("help", None)),
        None => Some((option, None)),
    }
}

fn unknown(argument: &str) -> Failure {
    let name = name_of(argument).map_or(argument, |(name, _)| name);
    let shown = argument.split('=').next().unwrap_or_default();
    let failure = Failure::new(format!("unknown option {shown}"));
    let similar = OPTIONS
        .iter()
        .map(|option| (strsim::jaro(name, option.name), option.name))
        .filter(|(similarity, _)| *similarity > SIMILARITY_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match similar {
        Some((_, similar)) => failure.hint(format!("did you mean -{similar}? {HELP}")),
        None => failure.hint(HELP),
    }
}

/// What `-help` prints.
pub fn help() -> String {
    let mut text = "A full node of the Bitcoin protocol for private networks (regtest rules)\n\n\
                    Usage: peerlab-node [OPTIONS]\n\nOptions:\n"
        .to_owned();
    for option in OPTIONS {
        let value = match option.alone {
            Some(_) => format!("[={}]", option.value),
            None => format!("={}", option.value),
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "  -{}{value}\n        {}", option.name, option.help);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn core_s_spellings_name_an_option_and_a_value() {
        let found = |argument| find(argument).map(|(option, stated)| (option.name, stated));
        assert_eq!(found("-listen"), Some(("listen", None)));
        assert_eq!(found("--listen=1"), Some(("listen", Some("1"))));
        assert_eq!(found("-datadir=/a=b"), Some(("datadir", Some("/a=b"))));
        assert_eq!(found("-nolisten"), Some(("listen", Some("0"))));
        assert_eq!(found("-nolisten=0"), Some(("listen", Some("1"))));
        for argument in ["-nothing", "/plain", "-", "--"] {
            assert_eq!(found(argument), None, "{argument}");
        }
    }

    #[test]
    fn the_readme_has_every_option_with_its_default_and_no_other() {
        let readme = include_str!("../../README.md");
        let section = readme.split_once("\n## Command line\n");
        let (_, section) = section.unwrap_or_default();
        let (section, _) = section.split_once("\n## ").unwrap_or_default();
        let mut told = BTreeMap::new();
        for row in section.lines().filter(|line| line.starts_with("| `-")) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let quoted = cells[1].split('`').filter_map(|it| it.strip_prefix('-'));
            let names = quoted.filter_map(|it| it.split(['=', '[']).next());
            told.extend(names.map(|name| (name, cells[3])));
        }
        // Planted bugs have a section of their own.
        let options = OPTIONS.iter().filter(|it| it.name != "plantedbug");
        for option in options.clone() {
            let default = option.help.split_once("[default: ");
            let default = default.and_then(|(_, rest)| rest.split([' ', ']']).next());
            let number = default.filter(|it| it.parse::<f64>().is_ok());
            let told = told.get(option.name).copied();
            let is_told = told.is_some_and(|told| told.starts_with(number.unwrap_or_default()));
            assert!(is_told, "-{}: {told:?}", option.name);
        }
        assert_eq!(told.len(), options.count(), "{told:?}");
    }

    #[test]
    fn a_value_may_follow_its_option() {
        let words = ["-listen", "0", "-datadir", "/a", "-blocksonly"].map(str::to_owned);
        let Ok(line) = read(words) else {
            panic!("not read");
        };
        assert_eq!(
            (line.listen, line.blocksonly),
            (Some(Switch(false)), Some(Switch(true)))
        );
        assert_eq!(line.datadir, Some(PathBuf::from("/a")));
        for words in [&["-datadir", "-listen"][..], &["-nolisten", "1"]] {
            assert!(read(words.iter().map(|word| (*word).to_owned())).is_err());
        }
    }
}
