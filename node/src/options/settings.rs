//! The command line: Bitcoin Core's names where it has one, resolved into settings that cannot
//! be wrong.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bitcoin::Amount;
use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser};

use super::arguments::to_double_dash;
use super::failure::Failure;

/// P2P port of regtest.
pub const P2P_PORT: u16 = 18_444;
/// JSON-RPC port of regtest.
pub const RPC_PORT: u16 = 18_443;
/// Bitcoin Core's default of `-maxconnections`.
pub const CONNECTIONS_MAX_DEFAULT: u16 = 125;
/// Folder of the network in the data directory, as Bitcoin Core names it.
pub const NETWORK_FOLDER: &str = "regtest";

/// What the daemon is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Run.
    Run(Box<Settings>),
    /// Print this text and end.
    Print(String),
}

/// How the daemon runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Folder of the network: `DATADIR/regtest`.
    pub folder: PathBuf,
    /// Peers to keep a connection to, and no others. `Some` of nothing (`-connect=0`) connects
    /// to none.
    pub connect: Option<Vec<SocketAddr>>,
    /// Peers to keep a connection to, besides others.
    pub add_nodes: Vec<SocketAddr>,
    /// Peers to ask for addresses once.
    pub seed_nodes: Vec<SocketAddr>,
    /// Where to accept peers; nothing if not listening.
    pub listen: Vec<SocketAddr>,
    /// Own address to tell others, instead of what they see.
    pub external: Option<SocketAddr>,
    /// Connections with peers at most.
    pub connections_max: u16,
    /// How long a peer may say nothing; `None` leaves it to the node.
    pub peer_timeout: Option<Duration>,
    /// How long opening a connection may take; `None` leaves it to the node.
    pub connect_timeout: Option<Duration>,
    /// Whether transactions of others are neither asked for nor passed on.
    pub blocks_only: bool,
    /// Least fee for 1,000 virtual bytes.
    pub relay_fee_min: Amount,
    /// Where to answer JSON-RPC.
    pub rpc: Vec<SocketAddr>,
    /// User and password; `None` makes a cookie.
    pub rpc_login: Option<(String, String)>,
    /// Block files to take in at start.
    pub load_blocks: Vec<PathBuf>,
    /// What to log.
    pub log: LogLevel,
    /// A fault put in on purpose.
    #[cfg(feature = "planted-bugs")]
    pub planted_bug: Option<crate::PlantedBug>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing (`-printtoconsole=0`).
    Off,
    /// Tip changes, start and stop, what goes wrong.
    Info,
    /// Peers come and gone, with reasons (`-debug`).
    Debug,
}

/// A full node of the Bitcoin protocol for private networks (regtest rules).
#[derive(Parser, Debug)]
#[command(
    name = "peerlab-node",
    version,
    disable_help_flag = true,
    disable_version_flag = true
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a command line is full of switches"
)]
struct CommandLine {
    /// Folder for all data [default: $HOME/.peerlab-node]
    #[arg(long, value_name = "DIR")]
    datadir: Option<PathBuf>,

    /// Connect to this peer only; may be repeated; 0 connects to none. Implies -listen=0
    #[arg(long, value_name = "IP[:PORT]")]
    connect: Vec<String>,

    /// Connect to this peer besides others and keep the connection; may be repeated
    #[arg(long, value_name = "IP[:PORT]")]
    addnode: Vec<String>,

    /// Ask this peer for addresses and disconnect; may be repeated
    #[arg(long, value_name = "IP[:PORT]")]
    seednode: Vec<String>,

    /// Keep at most this many connections
    #[arg(long, value_name = "N", default_value_t = CONNECTIONS_MAX_DEFAULT)]
    maxconnections: u16,

    /// Accept connections [default: 1 unless -connect]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "1", value_parser = BoolishValueParser::new())]
    listen: Option<bool>,

    /// Port to accept peers on; 0 lets the system choose
    #[arg(long, value_name = "PORT", default_value_t = P2P_PORT)]
    port: u16,

    /// Address to accept peers on; may be repeated [default: 0.0.0.0]
    #[arg(long, value_name = "IP[:PORT]")]
    bind: Vec<String>,

    /// Own address to tell peers [default: the one they see]
    #[arg(long, value_name = "IP[:PORT]")]
    externalip: Option<String>,

    /// Seconds that a peer may say nothing, though pinged [default: 15]
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    peertimeout: Option<u64>,

    /// Milliseconds that opening a connection may take [default: 4000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,

    /// Neither ask for transactions nor pass them on
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "1", default_value = "0", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    blocksonly: bool,

    /// Least fee of a transaction to accept and relay, BTC/kvB
    #[arg(long, value_name = "BTC", default_value = "0.00001")]
    minrelaytxfee: String,

    /// Port to answer JSON-RPC on; 0 lets the system choose
    #[arg(long, value_name = "PORT", default_value_t = RPC_PORT)]
    rpcport: u16,

    /// Address to answer JSON-RPC on; may be repeated [default: 127.0.0.1]
    #[arg(long, value_name = "IP[:PORT]")]
    rpcbind: Vec<String>,

    /// User of JSON-RPC
    #[arg(long, value_name = "NAME", default_value = "")]
    rpcuser: String,

    /// Password of JSON-RPC; without one, DATADIR/regtest/.cookie holds user and password
    #[arg(long, value_name = "PASSWORD", default_value = "")]
    rpcpassword: String,

    /// Take blocks in from this file (Bitcoin Core's blk format) at start; may be repeated
    #[arg(long, value_name = "FILE")]
    loadblock: Vec<PathBuf>,

    /// Log peers come and gone, too; a category may be named and is all the same here
    #[arg(long, value_name = "CATEGORY", num_args = 0..=1, default_missing_value = "1")]
    debug: Vec<String>,

    /// Write the log to standard error; 0 writes none
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "1", default_value = "1", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    printtoconsole: bool,

    /// The only network there is; accepted for Bitcoin Core's sake
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "1", default_value = "1", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    regtest: bool,

    /// Answer JSON-RPC; accepted for Bitcoin Core's sake, always on
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "1", default_value = "1", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    server: bool,

    /// Run with this fault, put in on purpose
    #[cfg(feature = "planted-bugs")]
    #[arg(long, value_name = "NAME")]
    plantedbug: Option<crate::PlantedBug>,

    /// Print the version and end
    #[arg(long, action = ArgAction::SetTrue)]
    version: bool,

    /// Print this help and end
    #[arg(long, alias = "?", alias = "h", action = ArgAction::SetTrue)]
    help: bool,
}

/// Reads the command line, without the program's name. `home` is for the default data folder.
///
/// # Errors
/// What is wrong, why, and what to do.
pub fn parse(
    arguments: impl IntoIterator<Item = String>,
    home: Option<PathBuf>,
) -> Result<Request, Failure> {
    let command = CommandLine::command();
    let names: Vec<String> = command
        .get_arguments()
        .filter_map(|argument| argument.get_long().map(str::to_owned))
        .collect();
    let arguments = to_double_dash(arguments, &names);
    let program = std::iter::once("peerlab-node".to_owned());
    let line = command
        .args_override_self(true)
        .try_get_matches_from(program.chain(arguments))
        .and_then(|matches| CommandLine::from_arg_matches(&matches))
        .map_err(|error| usage_failure(&error))?;
    if line.help {
        return Ok(Request::Print(help_text()));
    }
    if line.version {
        return Ok(Request::Print(version_text()));
    }
    resolve(line, home).map(|settings| Request::Run(Box::new(settings)))
}

/// Clap's help, with one dash, as the options are documented.
fn help_text() -> String {
    CommandLine::command()
        .render_help()
        .to_string()
        .replace("    --", "  -")
        .replace("  --", "  -")
}

fn version_text() -> String {
    format!("peerlab-node version {}\n", env!("CARGO_PKG_VERSION"))
}

fn resolve(line: CommandLine, home: Option<PathBuf>) -> Result<Settings, Failure> {
    if !line.regtest {
        return Err(Failure::new("-regtest=0 asks for another network")
            .hint("this node speaks regtest only; leave the option out"));
    }
    if !line.server {
        return Err(Failure::new("-server=0 asks for no JSON-RPC")
            .hint("this node always answers JSON-RPC, on loopback; leave the option out"));
    }
    let datadir = line
        .datadir
        .or_else(|| home.map(|home| home.join(".peerlab-node")))
        .ok_or_else(|| {
            Failure::new("no folder for the data")
                .cause("neither -datadir nor the variable HOME is given")
                .hint("add -datadir=DIR")
        })?;
    let p2p = |option: &'static str, texts: &[String]| addresses(option, texts, P2P_PORT);
    let connect = match line.connect.as_slice() {
        [] => None,
        [none] if none == "0" => Some(Vec::new()),
        some => Some(p2p("connect", some)?),
    };
    // As Core: who names peers to connect to, or nothing to bind, wants no strangers.
    let listening = line
        .listen
        .unwrap_or(connect.is_none() || !line.bind.is_empty());
    let listen = match (listening, line.bind.as_slice()) {
        (false, _) => Vec::new(),
        (true, []) => vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, line.port))],
        (true, some) => addresses("bind", some, line.port)?,
    };
    let rpc = match line.rpcbind.as_slice() {
        [] => vec![SocketAddr::from((Ipv4Addr::LOCALHOST, line.rpcport))],
        some => addresses("rpcbind", some, line.rpcport)?,
    };
    let rpc_login =
        (!line.rpcpassword.is_empty()).then_some((line.rpcuser.clone(), line.rpcpassword));
    if rpc_login.is_none() && !line.rpcuser.is_empty() {
        return Err(Failure::new("-rpcuser is given without -rpcpassword")
            .hint("give both, or neither to use the cookie file"));
    }
    let relay_fee_min = Amount::from_str_in(&line.minrelaytxfee, bitcoin::Denomination::Bitcoin)
        .map_err(|error| {
            Failure::new(format!(
                "-minrelaytxfee={} is no amount",
                line.minrelaytxfee
            ))
            .cause(error)
            .hint("write BTC for 1,000 virtual bytes, as -minrelaytxfee=0.00001")
        })?;
    Ok(Settings {
        folder: datadir.join(NETWORK_FOLDER),
        connect,
        add_nodes: p2p("addnode", &line.addnode)?,
        seed_nodes: p2p("seednode", &line.seednode)?,
        external: addresses("externalip", line.externalip.as_slice(), line.port)?.pop(),
        listen,
        connections_max: line.maxconnections,
        peer_timeout: line.peertimeout.map(Duration::from_secs),
        connect_timeout: line.timeout.map(Duration::from_millis),
        blocks_only: line.blocksonly,
        relay_fee_min,
        rpc,
        rpc_login,
        load_blocks: line.loadblock,
        log: match (line.printtoconsole, line.debug.as_slice()) {
            (false, _) => LogLevel::Off,
            (true, []) => LogLevel::Info,
            (true, some) if some.iter().all(|c| c == "0" || c == "none") => LogLevel::Info,
            (true, _) => LogLevel::Debug,
        },
        #[cfg(feature = "planted-bugs")]
        planted_bug: line.plantedbug,
    })
}

fn addresses(
    option: &'static str,
    texts: &[String],
    default_port: u16,
) -> Result<Vec<SocketAddr>, Failure> {
    texts
        .iter()
        .map(|text| {
            parse_address(text, default_port).ok_or_else(|| {
                Failure::new(format!("-{option}={text} is no address"))
                    .cause("names are not looked up: an IP address is needed")
                    .hint(format!(
                        "write -{option}=10.0.0.1 or -{option}=10.0.0.1:{default_port}"
                    ))
            })
        })
        .collect()
}

/// An IP address with or without a port; IPv6 with a port in brackets.
pub fn parse_address(text: &str, default_port: u16) -> Option<SocketAddr> {
    if let Ok(address) = SocketAddr::from_str(text) {
        return Some(address);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let ip = IpAddr::from_str(bare).ok()?;
    Some(SocketAddr::new(ip, default_port))
}

/// Clap's complaint in this project's form.
fn usage_failure(error: &clap::Error) -> Failure {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let single_dash = |text: String| match text.strip_prefix("--") {
        Some(name) => format!("-{name}"),
        None => text,
    };
    let argument = context(ContextKind::InvalidArg)
        .map(|text| {
            let name = text.split([' ', '=', '[']).next().unwrap_or_default();
            single_dash(name.to_owned())
        })
        .unwrap_or_default();
    let failure = match error.kind() {
        ErrorKind::UnknownArgument => Failure::new(format!("unknown option {argument}")),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => Failure::new(format!(
            "{argument}={} is no valid value",
            context(ContextKind::InvalidValue).unwrap_or_default()
        )),
        _ => Failure::new("the command line cannot be read"),
    };
    let failure = match std::error::Error::source(error) {
        Some(cause) => failure.cause(cause),
        None => failure,
    };
    match context(ContextKind::SuggestedArg) {
        Some(similar) => failure.hint(format!(
            "did you mean {}? peerlab-node -help lists all options",
            single_dash(similar)
        )),
        None => failure.hint("peerlab-node -help lists all options"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Result<Settings, Failure> {
        let arguments = arguments.iter().map(|a| (*a).to_owned());
        match parse(arguments, Some(PathBuf::from("/home/me")))? {
            Request::Run(settings) => Ok(*settings),
            Request::Print(text) => panic!("{text}"),
        }
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn defaults_are_regtest_s() {
        let settings = run(&[]).unwrap();
        assert_eq!(
            settings.folder,
            PathBuf::from("/home/me/.peerlab-node/regtest")
        );
        assert_eq!(settings.listen, [addr("0.0.0.0:18444")]);
        assert_eq!(settings.rpc, [addr("127.0.0.1:18443")]);
        assert_eq!(settings.connect, None);
        assert_eq!(settings.rpc_login, None);
        assert_eq!(settings.connections_max, 125);
        assert_eq!(settings.relay_fee_min, Amount::from_sat(1_000));
        assert_eq!(settings.log, LogLevel::Info);
    }

    #[test]
    fn core_s_spellings_are_read() {
        let settings = run(&[
            "-regtest",
            "-server=1",
            "-datadir=/data",
            "-addnode=10.0.0.1",
            "-addnode=10.0.0.2:5",
            "-addnode",
            "[fd00::1]:7",
            "-seednode=fd00::2",
            "-maxconnections=9",
            "-port=1000",
            "-bind=10.0.0.9",
            "-externalip=10.0.0.9",
            "-rpcport=2000",
            "-rpcuser=u",
            "-rpcpassword=p=q",
            "-loadblock=/a.dat",
            "-loadblock=/b.dat",
            "-debug=net",
            "-printtoconsole",
            "-peertimeout=3",
            "-minrelaytxfee=0.00000001",
        ])
        .unwrap();
        assert_eq!(settings.folder, PathBuf::from("/data/regtest"));
        assert_eq!(
            settings.add_nodes,
            [
                addr("10.0.0.1:18444"),
                addr("10.0.0.2:5"),
                addr("[fd00::1]:7")
            ]
        );
        assert_eq!(settings.seed_nodes, [addr("[fd00::2]:18444")]);
        assert_eq!(settings.listen, [addr("10.0.0.9:1000")]);
        assert_eq!(settings.rpc, [addr("127.0.0.1:2000")]);
        assert_eq!(settings.rpc_login, Some(("u".into(), "p=q".into())));
        assert_eq!(settings.load_blocks.len(), 2);
        assert_eq!(settings.log, LogLevel::Debug);
        assert_eq!(settings.peer_timeout, Some(Duration::from_secs(3)));
        assert_eq!(settings.external, Some(addr("10.0.0.9:1000")));
        assert_eq!(settings.relay_fee_min, Amount::from_sat(1));
    }

    #[test]
    fn connecting_to_named_peers_only_stops_listening_unless_asked() {
        let settings = run(&["-connect=10.0.0.1"]).unwrap();
        assert_eq!(settings.connect, Some(vec![addr("10.0.0.1:18444")]));
        assert_eq!(settings.listen, []);
        let both = run(&["-connect=10.0.0.1", "-listen=1", "-connect=10.0.0.2"]).unwrap();
        assert_eq!(both.connect.map(|c| c.len()), Some(2));
        assert_eq!(both.listen.len(), 1);
        assert_eq!(run(&["-connect=0"]).unwrap().connect, Some(vec![]));
        assert_eq!(run(&["-noconnect"]).unwrap().connect, Some(vec![]));
        assert_eq!(run(&["-nolisten"]).unwrap().listen, []);
        assert_eq!(run(&["-listen=0", "-listen"]).unwrap().listen.len(), 1);
    }

    #[test]
    fn the_log_can_be_turned_off() {
        assert_eq!(
            run(&["-printtoconsole=0", "-debug"]).unwrap().log,
            LogLevel::Off
        );
        assert_eq!(run(&["-noprinttoconsole"]).unwrap().log, LogLevel::Off);
        assert_eq!(run(&["-nodebug"]).unwrap().log, LogLevel::Info);
        assert_eq!(run(&["-debug"]).unwrap().log, LogLevel::Debug);
    }

    #[test]
    fn what_is_wrong_is_told_with_a_hint() {
        for (argument, told) in [
            ("-adnode=1.2.3.4", "unknown option -adnode"),
            ("-frobnicate", "unknown option -frobnicate"),
            ("-port=99999", "-port=99999 is no valid value"),
            ("-listen=maybe", "-listen=maybe is no valid value"),
            ("-addnode=example.org", "-addnode=example.org is no address"),
            ("-minrelaytxfee=x", "-minrelaytxfee=x is no amount"),
            ("-regtest=0", "-regtest=0 asks for another network"),
            ("-rpcuser=a", "-rpcuser is given without -rpcpassword"),
            ("-peertimeout=0", "-peertimeout=0 is no valid value"),
        ] {
            let failure = run(&[argument]).unwrap_err().to_string();
            assert!(failure.starts_with(&format!("Error: {told}")), "{failure}");
            assert!(failure.contains("\nHint: "), "{failure}");
        }
        let typo = run(&["-adnode=1.2.3.4"]).unwrap_err().to_string();
        assert!(typo.contains("did you mean -addnode?"), "{typo}");
    }

    #[cfg(feature = "planted-bugs")]
    #[test]
    fn a_bug_is_planted_by_its_name() {
        use crate::PlantedBug;
        let planted = run(&["-plantedbug=no-rerequest"]).unwrap().planted_bug;
        assert_eq!(planted, Some(PlantedBug::NoRerequest));
        assert_eq!(run(&[]).unwrap().planted_bug, None);
        let failure = run(&["-plantedbug=mine"]).unwrap_err().to_string();
        assert!(failure.contains("-plantedbug=mine"), "{failure}");
        assert!(failure.contains("first-seen-for-ever"), "{failure}");
    }

    #[cfg(not(feature = "planted-bugs"))]
    #[test]
    fn no_bug_can_be_planted_in_a_node_that_is_to_be_believed() {
        let failure = run(&["-plantedbug=no-rerequest"]).unwrap_err().to_string();
        assert!(failure.contains("unknown option -plantedbug"), "{failure}");
    }

    #[test]
    fn help_and_version_are_told_in_core_s_spelling() {
        let Ok(Request::Print(help)) = parse(["-help".to_owned()], None) else {
            panic!("no help");
        };
        assert!(help.contains(" -datadir"), "{help}");
        assert!(!help.contains("--datadir"), "{help}");
        let Ok(Request::Print(version)) = parse(["-version".to_owned()], None) else {
            panic!("no version");
        };
        assert!(version.starts_with("peerlab-node version "));
    }
}
