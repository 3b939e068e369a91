//! What a group of nodes runs, and how it is asked.

use std::path::PathBuf;

use peerlab_link::proto::NodeFile;
use serde::{Deserialize, Serialize};

/// What a node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Image {
    /// Our own node, built from `images/node`.
    Peerlab,
    /// An image that the engine has, by reference.
    Named(String),
    /// An image in an archive: an OCI layout or what `docker save` writes, by its path.
    Archive(#[serde(with = "path_text")] PathBuf),
}

/// Paths in JSON: text, or a list of bytes where they are no text.
mod path_text {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => text.serialize(serializer),
            None => path.as_os_str().as_bytes().serialize(serializer),
        }
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(PathBuf),
        Bytes(Vec<u8>),
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Text(path) => path,
            Written::Bytes(bytes) => OsString::from_vec(bytes).into(),
        })
    }
}

impl Image {
    /// Its name or path; `None` for our own node.
    pub fn reference(&self) -> Option<String> {
        match self {
            Image::Peerlab => None,
            Image::Named(name) => Some(name.clone()),
            Image::Archive(path) => Some(path.display().to_string()),
        }
    }
}

/// How a node's program is started otherwise than its image says, beside its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// In place of the image's entrypoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Environment variables, beside the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(String, String)>,
    /// Files that are there before it starts, and again when the node is emptied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<NodeFile>,
    /// Its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
}

impl Launch {
    /// Whether all is as the image says.
    pub fn is_usual(&self) -> bool {
        *self == Launch::default()
    }
}

/// How a node is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// JSON-RPC as Bitcoin Core answers it, at 127.0.0.1:`port`.
    BitcoinRpc {
        /// TCP port.
        port: u16,
    },
    /// A program that is run beside the node's own, again and again: what it prints is what the
    /// node says.
    Exec {
        /// The program and its arguments.
        command: Vec<String>,
    },
    /// A connection to 127.0.0.1:`port`, again and again.
    Tcp {
        /// TCP port.
        port: u16,
        /// Whether the server speaks first, and its first line is what the node says.
        greeting: bool,
    },
    /// A request to 127.0.0.1, again and again.
    Http(Box<HttpProbe>),
    /// What the node's program writes: the last match of a pattern is what the node says.
    Log {
        /// A regular expression, which [`super::pattern`] compiles.
        pattern: String,
    },
    /// A file of the node: its digest is what the node says.
    File {
        /// From the node's root.
        path: String,
    },
}

/// A request over HTTP/1.1 to 127.0.0.1, and what of the answer the node says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// TCP port.
    pub port: u16,
    pub method: String,
    /// With its query.
    pub path: String,
    /// Names and values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// For basic authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The status of an answer; `None` is any that means success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `None` where the node says nothing by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<HttpValue>,
}

/// Where in an answer's body the value is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpValue {
    /// In JSON, by its pointer (RFC 6901).
    Json(String),
    /// The last match of a regular expression, which [`super::pattern`] compiles.
    Regex(String),
}

/// What can be asked of a node. Each step includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ability {
    /// Whether it is up: it answers at all.
    Up,
    /// What it says: a value, on which nodes can agree. That of a chain is its best block.
    Value,
    /// Its best block, each block, its connections.
    Chain,
    /// To mine, to take a transaction, and its state.
    Ledger,
}

impl Probe {
    /// The most that can be asked through it.
    pub fn ability(&self) -> Ability {
        match self {
            Probe::BitcoinRpc { .. } => Ability::Ledger,
            Probe::Tcp { greeting, .. } => value_if(*greeting),
            Probe::Http(http) => value_if(http.value.is_some()),
            Probe::Exec { .. } | Probe::Log { .. } | Probe::File { .. } => Ability::Value,
        }
    }

    /// What more one of its kind could be asked, written otherwise.
    pub fn could_say(&self) -> Option<&'static str> {
        match self {
            Probe::Tcp {
                greeting: false, ..
            } => Some(
                "where the server speaks first, `tcp(port 25 greeting)` takes its first line for the value",
            ),
            Probe::Http(http) if http.value.is_none() => Some(
                "`json: /a/pointer` or `regex: 'a (pattern)'` says what of the answer is the value",
            ),
            Probe::BitcoinRpc { .. }
            | Probe::Exec { .. }
            | Probe::Tcp { .. }
            | Probe::Http(_)
            | Probe::Log { .. }
            | Probe::File { .. } => None,
        }
    }

    /// Its word in a file.
    pub fn word(&self) -> &'static str {
        match self {
            Probe::BitcoinRpc { .. } => "bitcoin-rpc",
            Probe::Exec { .. } => "exec",
            Probe::Tcp { .. } => "tcp",
            Probe::Http(_) => "http",
            Probe::Log { .. } => "log",
            Probe::File { .. } => "file",
        }
    }
}

fn value_if(says: bool) -> Ability {
    if says { Ability::Value } else { Ability::Up }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn an_archives_path_is_kept_whatever_its_bytes() {
        for (path, text) in [
            (&b"/a/b.tar"[..], r#"{"archive":"/a/b.tar"}"#),
            (b"/\xff", r#"{"archive":[47,255]}"#),
        ] {
            let image = Image::Archive(OsStr::from_bytes(path).into());
            let written = serde_json::to_string(&image).unwrap();
            assert_eq!(written, text);
            assert_eq!(serde_json::from_str::<Image>(&written).unwrap(), image);
        }
    }
}
