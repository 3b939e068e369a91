//! Settings: what an argument list says, with defaults filled in and contradictions refused.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use bitcoin::Amount;

use super::failure::Failure;
use super::table::{self, CommandLine};
use super::value::{Address, Switch};
use crate::chain::CachedChain;
use crate::chain::rules::MAX_BLOCK_WEIGHT;
use crate::mempool::Mempool;
use crate::time::Time;
use crate::{Config, Machine};

/// P2P port of regtest.
pub const P2P_PORT: u16 = 18_444;
/// JSON-RPC port of regtest.
const RPC_PORT: u16 = 18_443;
/// Folder of the network in the data directory, as Bitcoin Core names it.
const NETWORK_FOLDER: &str = "regtest";
/// Bitcoin Core's default of `-minrelaytxfee`.
const RELAY_FEE_MIN: Amount = Amount::from_sat(1_000);

/// What a program is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Run.
    Run(Box<Settings>),
    /// Print this text and end.
    Print(String),
    /// Ask the node that runs with these settings, and end.
    Ask {
        /// A JSON-RPC method that needs no parameters.
        method: String,
        /// How that node runs.
        settings: Box<Settings>,
    },
}

/// How a node runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The machine's configuration.
    pub config: Config,
    /// Least fee for 1,000 virtual bytes.
    pub relay_fee_min: Amount,
    /// Most weight of a block that it mines.
    pub block_weight_max: u64,
    /// Where to accept peers; nothing if not listening.
    pub listen: Vec<SocketAddr>,
    /// Folder of the network: `DATADIR/regtest`.
    pub folder: PathBuf,
    /// Where to answer JSON-RPC.
    pub rpc: Vec<SocketAddr>,
    /// User and password; `None` makes a cookie.
    pub rpc_login: Option<(String, String)>,
    /// Block files to take in at start.
    pub load_blocks: Vec<PathBuf>,
    /// What to log.
    pub log: LogLevel,
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

impl Settings {
    /// The machine with this chain.
    pub fn machine(&self, chain: impl Into<CachedChain>, seed: u64, now: Time) -> Machine {
        let mut mempool = Mempool::new();
        mempool.set_min_relay_fee(self.relay_fee_min.to_sat());
        mempool.set_block_weight_max(self.block_weight_max);
        Machine::new(self.config.clone(), chain, mempool, seed, now)
    }
}

/// Reads an argument list, without the program's name. `home` is for the default data folder.
///
/// # Errors
/// What is wrong, why, and what to do.
pub fn parse(
    arguments: impl IntoIterator<Item = String>,
    home: Option<PathBuf>,
) -> Result<Request, Failure> {
    let mut line = table::read(arguments)?;
    if line.help.is_some_and(|on| on.0) {
        return Ok(Request::Print(table::help()));
    }
    if line.version.is_some_and(|on| on.0) {
        let version = env!("CARGO_PKG_VERSION");
        return Ok(Request::Print(format!("peerlab-node version {version}\n")));
    }
    let ask = line.ask.take();
    let settings = Box::new(resolve(line, home)?);
    Ok(match ask {
        Some(method) => Request::Ask { method, settings },
        None => Request::Run(settings),
    })
}

fn resolve(line: CommandLine, home: Option<PathBuf>) -> Result<Settings, Failure> {
    if line.regtest == Some(Switch(false)) {
        return Err(Failure::new("-regtest=0 asks for another network")
            .hint("this node speaks regtest only; leave the option out"));
    }
    if line.server == Some(Switch(false)) {
        return Err(Failure::new("-server=0 asks for no JSON-RPC")
            .hint("this node always answers JSON-RPC, on loopback; leave the option out"));
    }
    let listen = listen(&line);
    Ok(Settings {
        config: config(&line, &listen),
        relay_fee_min: line.minrelaytxfee.map_or(RELAY_FEE_MIN, |fee| fee.0),
        block_weight_max: line.blockmaxweight.unwrap_or(MAX_BLOCK_WEIGHT),
        listen,
        rpc: match line.rpcbind.as_slice() {
            [] => vec![SocketAddr::from((
                Ipv4Addr::LOCALHOST,
                line.rpcport.unwrap_or(RPC_PORT),
            ))],
            some => addresses(some, line.rpcport.unwrap_or(RPC_PORT)),
        },
        log: log_level(&line),
        folder: line
            .datadir
            .or_else(|| home.map(|home| home.join(".peerlab-node")))
            .ok_or_else(|| {
                Failure::new("no folder for the data")
                    .cause("neither -datadir nor the variable HOME is given")
                    .hint("add -datadir=DIR")
            })?
            .join(NETWORK_FOLDER),
        rpc_login: rpc_login(line.rpcuser, line.rpcpassword)?,
        load_blocks: line.loadblock,
    })
}

/// As Core: who names peers to connect to, or nothing to bind, wants no strangers.
fn listen(line: &CommandLine) -> Vec<SocketAddr> {
    let port = line.port.unwrap_or(P2P_PORT);
    let listening = line
        .listen
        .as_ref()
        .map_or(line.connect.0.is_none() || !line.bind.is_empty(), |on| on.0);
    match (listening, line.bind.as_slice()) {
        (false, _) => Vec::new(),
        (true, []) => vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))],
        (true, some) => addresses(some, port),
    }
}

/// The machine's part of it.
fn config(line: &CommandLine, listen: &[SocketAddr]) -> Config {
    let mut config = Config {
        listen_port: listen.first().map(SocketAddr::port),
        external_addr: line
            .externalip
            .as_ref()
            .map(|address| address.with_default_port(line.port.unwrap_or(P2P_PORT))),
        connect_only: line.connect.0.is_some(),
        connect: addresses(line.connect.0.as_deref().unwrap_or_default(), P2P_PORT),
        add_nodes: addresses(&line.addnode, P2P_PORT),
        seed_nodes: addresses(&line.seednode, P2P_PORT),
        relay_transactions: line.blocksonly != Some(Switch(true)),
        offer_mempool: line.offermempool != Some(Switch(false)),
        #[cfg(feature = "planted-bugs")]
        planted_bug: line.plantedbug,
        ..Config::default()
    };
    if let Some(connections_max) = line.maxconnections {
        config.connections_max = usize::from(connections_max);
    }
    if let Some(millis) = line.timeout.map(NonZeroU64::get) {
        config.timing.connect_timeout = Duration::from_millis(millis);
    }
    if let Some(secs) = line.peertimeout.map(NonZeroU64::get) {
        config.timing.peer_timeout = Duration::from_secs(secs);
    }
    config
}

fn log_level(line: &CommandLine) -> LogLevel {
    let off = |category: &String| category == "0" || category == "none";
    if line.printtoconsole == Some(Switch(false)) {
        LogLevel::Off
    } else if line.debug.iter().all(off) {
        LogLevel::Info
    } else {
        LogLevel::Debug
    }
}

fn rpc_login(
    user: Option<String>,
    password: Option<String>,
) -> Result<Option<(String, String)>, Failure> {
    let stated = |text: Option<String>| text.filter(|text| !text.is_empty());
    match (stated(user), stated(password)) {
        (Some(_), None) => Err(Failure::new("-rpcuser is given without -rpcpassword")
            .hint("give both, or neither to use the cookie file")),
        (user, password) => Ok(password.map(|password| (user.unwrap_or_default(), password))),
    }
}

fn addresses(stated: &[Address], default_port: u16) -> Vec<SocketAddr> {
    let stated = stated.iter();
    stated
        .map(|address| address.with_default_port(default_port))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Result<Settings, Failure> {
        let arguments = arguments.iter().map(|a| (*a).to_owned());
        match parse(arguments, Some(PathBuf::from("/home/me")))? {
            Request::Run(settings) => Ok(*settings),
            other => panic!("{other:?}"),
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
        assert!(!settings.config.connect_only);
        assert_eq!(settings.rpc_login, None);
        assert_eq!(settings.config.connections_max, 125);
        assert_eq!(settings.relay_fee_min, Amount::from_sat(1_000));
        assert_eq!(settings.block_weight_max, 4_000_000);
        assert!(settings.config.offer_mempool);
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
            "-blockmaxweight=50000",
            "-offermempool=0",
        ])
        .unwrap();
        assert_eq!(settings.folder, PathBuf::from("/data/regtest"));
        assert_eq!(
            settings.config.add_nodes,
            [
                addr("10.0.0.1:18444"),
                addr("10.0.0.2:5"),
                addr("[fd00::1]:7")
            ]
        );
        assert_eq!(settings.config.seed_nodes, [addr("[fd00::2]:18444")]);
        assert_eq!(settings.listen, [addr("10.0.0.9:1000")]);
        assert_eq!(settings.rpc, [addr("127.0.0.1:2000")]);
        assert_eq!(settings.rpc_login, Some(("u".into(), "p=q".into())));
        assert_eq!(settings.load_blocks.len(), 2);
        assert_eq!(settings.log, LogLevel::Debug);
        assert_eq!(settings.config.timing.peer_timeout, Duration::from_secs(3));
        assert_eq!(settings.config.external_addr, Some(addr("10.0.0.9:1000")));
        assert_eq!(settings.relay_fee_min, Amount::from_sat(1));
        assert_eq!(settings.block_weight_max, 50_000);
        assert!(!settings.config.offer_mempool);
    }

    #[test]
    fn connecting_to_named_peers_only_stops_listening_unless_asked() {
        let settings = run(&["-connect=10.0.0.1"]).unwrap();
        assert!(settings.config.connect_only);
        assert_eq!(settings.config.connect, [addr("10.0.0.1:18444")]);
        assert_eq!(settings.listen, []);
        let both = run(&["-connect=10.0.0.1", "-listen=1", "-connect=10.0.0.2"]).unwrap();
        assert_eq!(both.config.connect.len(), 2);
        assert_eq!(both.listen.len(), 1);
        for none in ["-connect=0", "-noconnect"] {
            let config = run(&[none]).unwrap().config;
            assert!(config.connect_only && config.connect.is_empty());
        }
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
        for (argument, reported) in [
            ("-adnode=1.2.3.4", "unknown option -adnode"),
            ("-frobnicate", "unknown option -frobnicate"),
            ("-port=99999", "-port=99999 is no valid value"),
            ("-listen=maybe", "-listen=maybe is no valid value"),
            (
                "-addnode=example.org",
                "-addnode=example.org is no valid value",
            ),
            ("-minrelaytxfee=x", "-minrelaytxfee=x is no valid value"),
            ("-regtest=0", "-regtest=0 asks for another network"),
            ("-rpcuser=a", "-rpcuser is given without -rpcpassword"),
            ("-peertimeout=0", "-peertimeout=0 is no valid value"),
        ] {
            let failure = run(&[argument]).unwrap_err().to_string();
            assert!(
                failure.starts_with(&format!("Error: {reported}")),
                "{failure}"
            );
            assert!(failure.contains("\nHint: "), "{failure}");
        }
        let typo = run(&["-adnode=1.2.3.4"]).unwrap_err().to_string();
        assert!(typo.contains("did you mean -addnode?"), "{typo}");
    }

    #[cfg(feature = "planted-bugs")]
    #[test]
    fn a_bug_is_planted_by_its_name() {
        use crate::PlantedBug;
        let planted = run(&["-plantedbug=no-rerequest"])
            .unwrap()
            .config
            .planted_bug;
        assert_eq!(planted, Some(PlantedBug::NoRerequest));
        assert_eq!(run(&[]).unwrap().config.planted_bug, None);
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
