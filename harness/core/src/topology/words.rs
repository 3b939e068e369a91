//! Small vocabularies of the file: ends of faults, ways to leave, probes, moments.

use peerlab_link::Nanos;

use super::phrase::{Phrase, one_of, unknown_choice};
use super::written::{BadValue, ToText, Value};
use crate::experiment::pattern::compile;
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

impl ToText for Until {
    fn to_text(&self) -> String {
        match self {
            Until::Time(time) => time.to_text(),
            Until::Settle => "settle".to_owned(),
            Until::Never => "never".to_owned(),
        }
    }
}

impl Value for Down {
    const WHAT: &'static str = "a way to leave";
    const FORM: &'static str = "`kill`, `vanish`, `stop`, `freeze` or `replace`";
    const EXAMPLES: &'static [&'static str] = &["kill", "vanish", "stop", "freeze", "replace"];

    fn parse(text: &str) -> Result<Down, BadValue> {
        one_of(text, Self::EXAMPLES, Down::ALL)
    }
}

impl ToText for Down {
    fn to_text(&self) -> String {
        self.word().to_owned()
    }
}

/// Permissions of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileMode(pub u16);

impl Value for FileMode {
    const WHAT: &'static str = "permissions";
    const FORM: &'static str = "four octal digits in quotes, as `\"0600\"`";
    const EXAMPLES: &'static [&'static str] = &["0644", "0600", "0755"];

    fn parse(text: &str) -> Result<FileMode, BadValue> {
        const DIGITS: usize = 4;
        let read = u16::from_str_radix(text, 8).ok();
        // Without its zero in front YAML would have read a decimal number.
        match read.filter(|_| text.len() == DIGITS && text.bytes().all(|it| it.is_ascii_digit())) {
            Some(mode) => Ok(FileMode(mode)),
            None => Err(BadValue::new("it is not four octal digits")),
        }
    }
}

impl ToText for FileMode {
    fn to_text(&self) -> String {
        format!("{:04o}", self.0)
    }
}

/// The RPC port of Bitcoin Core's regtest, and of our node.
pub const RPC_PORT: u16 = 18443;

impl Value for Probe {
    const WHAT: &'static str = "a probe";
    const FORM: &'static str = "`bitcoin-rpc`, `bitcoin-rpc(port 18443)`, `exec(PROGRAM ARGUMENTS)`, `tcp(port 2380)`, \
                                `log(PATTERN)`, `file(/PATH)`, or a map: `{ http: { port: 8080 } }`";
    const EXAMPLES: &'static [&'static str] = &[
        "bitcoin-rpc",
        "bitcoin-rpc(port 18443)",
        "exec(/bin/cat /data/value)",
        "tcp(port 2380)",
        "tcp(port 25 greeting)",
        "log(height (\\d+))",
        "file(/data/f.bin)",
    ];

    fn parse(text: &str) -> Result<Probe, BadValue> {
        let phrase = Phrase::parse(text)?;
        match phrase.name {
            "bitcoin-rpc" => {
                let port = phrase.parameters(&["port"])?.optional("port")?;
                let Port(port) = port.unwrap_or(Port(RPC_PORT));
                Ok(Probe::BitcoinRpc { port })
            }
            "exec" => exec(inside(text)),
            "tcp" => {
                let parameters = phrase.parameters(&["port", "greeting"])?;
                let Port(port) = parameters.required("port")?;
                let greeting = parameters.flag("greeting")?;
                Ok(Probe::Tcp { port, greeting })
            }
            "log" => log(inside(text)),
            "file" => file(inside(text)),
            "http" => Err(BadValue::with_hint(
                "a request has more to say than a phrase holds",
                "write a map: `probe: { http: { port: 8080, path: /status, json: /height } }`",
            )),
            _ => Err(phrase.unknown(&["bitcoin-rpc", "exec", "tcp", "log", "file", "http"])),
        }
    }
}

/// A port's number, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u16);

impl Value for Port {
    const WHAT: &'static str = "a port";
    const FORM: &'static str = "a number between 1 and 65535";
    const EXAMPLES: &'static [&'static str] = &["8080"];
    const TYPES: &'static [&'static str] = &["integer"];

    fn parse(text: &str) -> Result<Port, BadValue> {
        let port = text.parse().ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| BadValue::new("it is no number between 1 and 65535"))?;
        Ok(Port(port))
    }
}

impl ToText for Port {
    fn to_text(&self) -> String {
        self.0.to_string()
    }
}

/// What stands in a phrase's brackets, as it stands there.
fn inside(text: &str) -> &str {
    let inner = text.split_once('(').map_or("", |(_, rest)| rest);
    inner.strip_suffix(')').unwrap_or(inner).trim()
}

/// A regular expression.
pub fn pattern(text: &str) -> Result<String, BadValue> {
    if text.is_empty() {
        let hint = "write one, as `listening on port (\\d+)`";
        return Err(BadValue::with_hint("the pattern is empty", hint));
    }
    match compile(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(cause) => Err(BadValue::with_hint(
            format!("`{text}` is no regular expression: {cause}"),
            "brackets and the like that stand for themselves have a `\\` before them; \
             https://docs.rs/regex/#syntax has all of it",
        )),
    }
}

fn log(text: &str) -> Result<Probe, BadValue> {
    let pattern = pattern(text)?;
    Ok(Probe::Log { pattern })
}

/// A file from the node's root on.
fn file(text: &str) -> Result<Probe, BadValue> {
    let plain = |name: &str| !matches!(name, "" | "." | "..");
    let names = text.strip_prefix('/').map(|names| names.split('/'));
    if !names.is_some_and(|mut names| names.all(plain)) {
        return Err(BadValue::with_hint(
            format!("`{text}` is not the path of a file"),
            "write all of its path, from `/` on and without `..`, as `file(/data/f.bin)`",
        ));
    }
    let path = text.to_owned();
    Ok(Probe::File { path })
}

/// The words are the command.
fn exec(text: &str) -> Result<Probe, BadValue> {
    let command: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if command.is_empty() {
        return Err(BadValue::with_hint(
            "`exec` needs a program",
            "write `exec(/bin/cat /data/value)`",
        ));
    }
    Ok(Probe::Exec { command })
}

impl Value for Disturbance {
    const WHAT: &'static str = "a disturbance";
    const FORM: &'static str = "`heal` or `settle`";
    const EXAMPLES: &'static [&'static str] = &["heal", "settle"];

    fn parse(text: &str) -> Result<Disturbance, BadValue> {
        one_of(
            text,
            Self::EXAMPLES,
            [Disturbance::Heal, Disturbance::Settle],
        )
    }
}

impl ToText for Disturbance {
    fn to_text(&self) -> String {
        self.word().to_owned()
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
        one_of(text, Self::EXAMPLES, [EndWord])
    }
}

impl ToText for EndWord {
    fn to_text(&self) -> String {
        "end".to_owned()
    }
}
