//! The value of one option, from its text.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;

use bitcoin::{Amount, Denomination};

use super::failure::Failure;

/// Why a text is no value of an option.
pub struct Invalid {
    /// What it should have been.
    expected: &'static str,
    cause: String,
    /// Values to write instead.
    examples: &'static [&'static str],
}

impl Invalid {
    fn value(cause: impl ToString) -> Invalid {
        Invalid {
            expected: "valid value",
            cause: cause.to_string(),
            examples: &[],
        }
    }

    /// The failure of the option of this name, which had this text.
    pub fn of(self, name: &str, text: &str) -> Failure {
        let examples = self.examples.iter();
        let examples: Vec<_> = examples.map(|value| format!("-{name}={value}")).collect();
        Failure::new(format!("-{name}={text} is no {}", self.expected))
            .cause(self.cause)
            .hint(if examples.is_empty() {
                "peerlab-node -help lists all options".to_owned()
            } else {
                format!("write {}", examples.join(" or "))
            })
    }
}

/// What one value of an option is read into.
pub trait Value: Sized {
    /// Reads it.
    fn read(text: &str) -> Result<Self, Invalid>;
}

/// Where an option's values go.
pub trait Slot {
    /// Takes a value: it replaces the last one, or joins the others of an option that may be
    /// repeated.
    fn put(&mut self, text: &str) -> Result<(), Invalid>;
}

impl<T: Value> Slot for Option<T> {
    fn put(&mut self, text: &str) -> Result<(), Invalid> {
        *self = Some(T::read(text)?);
        Ok(())
    }
}

impl<T: Value> Slot for Vec<T> {
    fn put(&mut self, text: &str) -> Result<(), Invalid> {
        self.push(T::read(text)?);
        Ok(())
    }
}

/// The peers of `-connect`; `Some` of nothing after `-connect=0`.
#[derive(Default)]
pub struct ConnectTo(pub Option<Vec<Address>>);

impl Slot for ConnectTo {
    fn put(&mut self, text: &str) -> Result<(), Invalid> {
        let peers = self.0.get_or_insert_default();
        if text == "0" {
            return Ok(());
        }
        peers.put(text)
    }
}

impl Value for bool {
    fn read(text: &str) -> Result<bool, Invalid> {
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" | "t" | "y" => Ok(true),
            "0" | "false" | "no" | "off" | "f" | "n" => Ok(false),
            _ => Err(Invalid::value("it is neither 1 nor 0")),
        }
    }
}

impl Value for u16 {
    fn read(text: &str) -> Result<u16, Invalid> {
        text.parse().map_err(Invalid::value)
    }
}

impl Value for NonZeroU64 {
    fn read(text: &str) -> Result<NonZeroU64, Invalid> {
        text.parse().map_err(Invalid::value)
    }
}

impl Value for String {
    fn read(text: &str) -> Result<String, Invalid> {
        Ok(text.to_owned())
    }
}

impl Value for PathBuf {
    fn read(text: &str) -> Result<PathBuf, Invalid> {
        Ok(PathBuf::from(text))
    }
}

impl Value for Amount {
    fn read(text: &str) -> Result<Amount, Invalid> {
        Amount::from_str_in(text, Denomination::Bitcoin).map_err(|error| Invalid {
            expected: "amount of BTC",
            cause: error.to_string(),
            examples: &["0.00001"],
        })
    }
}

#[cfg(feature = "planted-bugs")]
impl Value for crate::PlantedBug {
    fn read(text: &str) -> Result<crate::PlantedBug, Invalid> {
        text.parse().map_err(Invalid::value)
    }
}

/// An IP address with or without a port; IPv6 with a port in brackets.
pub struct Address {
    ip: IpAddr,
    port: Option<u16>,
}

impl Address {
    /// With this port where none was given.
    pub fn with_default_port(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, self.port.unwrap_or(port))
    }
}

impl FromStr for Address {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Address, Self::Err> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Address {
                ip: address.ip(),
                port: Some(address.port()),
            });
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        Ok(Address {
            ip: bare.parse()?,
            port: None,
        })
    }
}

impl Value for Address {
    fn read(text: &str) -> Result<Address, Invalid> {
        text.parse().map_err(|_| Invalid {
            expected: "address",
            cause: "names are not looked up: an IP address is needed".to_owned(),
            examples: &["10.0.0.1", "10.0.0.1:18444"],
        })
    }
}

/// Reads an IP address with or without a port; IPv6 with a port in brackets.
pub fn parse_address(text: &str, default_port: u16) -> Option<SocketAddr> {
    let address: Address = text.parse().ok()?;
    Some(address.with_default_port(default_port))
}
