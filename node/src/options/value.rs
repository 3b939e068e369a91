//! The value of one option, from its text.

use std::fmt::Display;
use std::net::{AddrParseError, IpAddr, SocketAddr};
use std::str::FromStr;

use bitcoin::amount::ParseAmountError;
use bitcoin::{Amount, Denomination};

/// Where an option's values go. An error says why the text is no value of the option.
pub trait Slot {
    /// Takes a value: it replaces the last one, or joins the others of an option that may be
    /// repeated.
    fn put(&mut self, text: &str) -> Result<(), String>;
}

impl<T: FromStr<Err: Display>> Slot for Option<T> {
    fn put(&mut self, text: &str) -> Result<(), String> {
        *self = Some(read(text)?);
        Ok(())
    }
}

impl<T: FromStr<Err: Display>> Slot for Vec<T> {
    fn put(&mut self, text: &str) -> Result<(), String> {
        self.push(read(text)?);
        Ok(())
    }
}

fn read<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// The peers of `-connect`; `Some` of nothing after `-connect=0`.
#[derive(Default)]
pub struct ConnectTo(pub Option<Vec<Address>>);

impl Slot for ConnectTo {
    fn put(&mut self, text: &str) -> Result<(), String> {
        let peers = self.0.get_or_insert_default();
        match text {
            "0" => Ok(()),
            peer => peers.put(peer),
        }
    }
}

/// On or off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Switch(pub bool);

impl FromStr for Switch {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Switch, &'static str> {
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" | "t" | "y" => Ok(Switch(true)),
            "0" | "false" | "no" | "off" | "f" | "n" => Ok(Switch(false)),
            _ => Err("it is neither 1 nor 0"),
        }
    }
}

/// An amount in bitcoins.
#[derive(Clone, Copy)]
pub struct Bitcoins(pub Amount);

impl FromStr for Bitcoins {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Bitcoins, ParseAmountError> {
        Amount::from_str_in(text, Denomination::Bitcoin).map(Bitcoins)
    }
}

/// An IP address with or without a port; IPv6 with a port in brackets. Names are not looked up.
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
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Address, AddrParseError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Address {
                ip: address.ip(),
                port: Some(address.port()),
            });
        }
        let bracketed = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        Ok(Address {
            ip: bracketed.unwrap_or(text).parse()?,
            port: None,
        })
    }
}

/// Reads an IP address with or without a port; IPv6 with a port in brackets.
pub fn parse_address(text: &str, default_port: u16) -> Option<SocketAddr> {
    let address: Address = text.parse().ok()?;
    Some(address.with_default_port(default_port))
}
