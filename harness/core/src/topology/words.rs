//! Small vocabularies of the file: ends of faults, ways to leave, probes, moments.

use peerlab_link::Nanos;

use super::phrase::{Phrase, unknown_choice};
use super::units::Count;
use super::written::{BadValue, ToText, Value};
use crate::experiment::{Disturbance, Down, Probe};

/// When a fault ends, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// At a time since the start of the run.
    Time(Nanos),
    /// When the settle phase begins.
    Settle,
    /// Not at all.
    Never,
}

impl Value for Until {
    const WHAT: &'static str = "an end";
    const FORM: &'static str = "a time since the start of the run (`90s`), `settle` or `never`";
    const EXAMPLES: &'static [&'static str] = &["90s", "settle", "never"];

    fn parse(text: &str) -> Result<Until, BadValue> {
        match text {
            "settle" => Ok(Until::Settle),
            "never" => Ok(Until::Never),
            _ if text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                Err(unknown_choice(text, &["settle", "never"]))
            }
            _ => Nanos::parse(text).map(Until::Time),
        }
    }
}

/// How a node leaves, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownWay(pub Down);

impl Value for DownWay {
    const WHAT: &'static str = "a way to leave";
    const FORM: &'static str = "`kill`, `vanish`, `stop`, `freeze` or `replace`";
    const EXAMPLES: &'static [&'static str] = &["kill", "vanish", "stop", "freeze", "replace"];

    fn parse(text: &str) -> Result<DownWay, BadValue> {
        let how = Down::ALL.into_iter().find(|how| how.word() == text);
        how.map(DownWay)
            .ok_or_else(|| unknown_choice(text, Self::EXAMPLES))
    }
}

/// A probe, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeWay(pub Probe);

/// The RPC port of Bitcoin Core's regtest, and of our node.
pub const RPC_PORT: u16 = 18443;

impl Value for ProbeWay {
    const WHAT: &'static str = "a probe";
    const FORM: &'static str =
        "`bitcoin-rpc`, `bitcoin-rpc(port 18443)` or `exec(PROGRAM ARGUMENTS)`";
    const EXAMPLES: &'static [&'static str] = &[
        "bitcoin-rpc",
        "bitcoin-rpc(port 18443)",
        "exec(/bin/cat /data/value)",
    ];

    fn parse(text: &str) -> Result<ProbeWay, BadValue> {
        let phrase = Phrase::parse(text)?;
        match phrase.name {
            "bitcoin-rpc" => {}
            "exec" => return exec(text).map(ProbeWay),
            _ => return Err(phrase.unknown(&["bitcoin-rpc", "exec"])),
        }
        let port = match phrase.parameters(&["port"])?.optional::<Count>("port")? {
            None => RPC_PORT,
            Some(Count(port)) => match u16::try_from(port) {
                Ok(port) if port > 0 => port,
                _ => return Err(BadValue::new("a port lies between 1 and 65535")),
            },
        };
        Ok(ProbeWay(Probe::BitcoinRpc { port }))
    }
}

/// The words in brackets are the command, as they stand there.
fn exec(text: &str) -> Result<Probe, BadValue> {
    let inner = text.split_once('(').map_or("", |(_, rest)| rest);
    let words = inner.strip_suffix(')').unwrap_or(inner).split_whitespace();
    let command: Vec<String> = words.map(str::to_owned).collect();
    if command.is_empty() {
        return Err(BadValue::with_hint(
            "`exec` needs a program",
            "write `exec(/bin/cat /data/value)`",
        ));
    }
    Ok(Probe::Exec { command })
}

/// `heal` or `settle`, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisturbanceWord(pub Disturbance);

impl Value for DisturbanceWord {
    const WHAT: &'static str = "a disturbance";
    const FORM: &'static str = "`heal` or `settle`";
    const EXAMPLES: &'static [&'static str] = &["heal", "settle"];

    fn parse(text: &str) -> Result<DisturbanceWord, BadValue> {
        match text {
            "heal" => Ok(DisturbanceWord(Disturbance::Heal)),
            "settle" => Ok(DisturbanceWord(Disturbance::Settle)),
            _ => Err(unknown_choice(text, Self::EXAMPLES)),
        }
    }
}

/// `end`, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndWord;

impl Value for EndWord {
    const WHAT: &'static str = "a moment";
    const FORM: &'static str = "`end`";
    const EXAMPLES: &'static [&'static str] = &["end"];

    fn parse(text: &str) -> Result<EndWord, BadValue> {
        match text {
            "end" => Ok(EndWord),
            _ => Err(unknown_choice(text, Self::EXAMPLES)),
        }
    }
}

impl ToText for Until {
    fn to_text(&self) -> String {
        match self {
            Until::Time(time) => time.to_text(),
            Until::Settle => "settle".to_owned(),
            Until::Never => "never".to_owned(),
        }
    }
}

impl ToText for DownWay {
    fn to_text(&self) -> String {
        self.0.word().to_owned()
    }
}

impl ToText for ProbeWay {
    fn to_text(&self) -> String {
        match &self.0 {
            Probe::BitcoinRpc { port: RPC_PORT } => "bitcoin-rpc".to_owned(),
            Probe::BitcoinRpc { port } => format!("bitcoin-rpc(port {port})"),
            Probe::Exec { command } => format!("exec({})", command.join(" ")),
        }
    }
}

impl ToText for DisturbanceWord {
    fn to_text(&self) -> String {
        self.0.word().to_owned()
    }
}

impl ToText for EndWord {
    fn to_text(&self) -> String {
        "end".to_owned()
    }
}
