//! Probes that have more to say than a phrase holds, as written in the file: what each key means, its
//! values and its default; and a resolved probe written back.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::{Port, RPC_PORT};
use super::written::{WordOr, Written};
use crate::experiment::{HttpProbe, HttpValue, Probe};

/// How nodes are asked: a phrase, or a map.
pub type WrittenProbe = WordOr<ProbeMap>;

/// A probe by its kind.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a probe as a map: `http`")]
pub struct ProbeMap {
    /// A request over HTTP/1.1 to a port of each node, about twice a second.
    pub http: Http,
}

/// A request, and what of its answer the node says.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of `http`")]
pub struct Http {
    /// TCP port, at 127.0.0.1 or the node's address.
    pub port: Written<Port>,
    /// The path, with its query. Default: `/`.
    pub path: Option<String>,
    /// Default: `GET`, or `POST` with a `body`.
    pub method: Option<String>,
    /// What is sent. Default: nothing.
    pub body: Option<String>,
    /// Headers, as `{ Content-Type: application/json }`. Default: none but those that there must be.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
    /// For basic authentication, with `password`. Like all of the file they are kept in the record.
    /// Default: none.
    pub user: Option<String>,
    /// Default: none, or the empty one with `user`.
    pub password: Option<String>,
    /// The status that an answer is to have; with another the node has not answered. Default: any that
    /// means success.
    pub status: Option<Written<u32>>,
    /// What the node says is this value of the answer, which is JSON: a pointer, as `/result/0/height`.
    /// Default: the node says nothing, it is only up.
    pub json: Option<String>,
    /// In its place: what the node says is the last match of this regular expression in the answer, or of
    /// its first group. Default: none.
    pub regex: Option<String>,
}

impl From<&Probe> for WrittenProbe {
    fn from(probe: &Probe) -> WrittenProbe {
        WordOr::Word(match probe {
            Probe::BitcoinRpc { port: RPC_PORT } => "bitcoin-rpc".to_owned(),
            Probe::BitcoinRpc { port } => format!("bitcoin-rpc(port {port})"),
            Probe::Exec { command } => format!("exec({})", command.join(" ")),
            Probe::Tcp {
                port,
                greeting: true,
            } => format!("tcp(port {port} greeting)"),
            Probe::Tcp {
                port,
                greeting: false,
            } => format!("tcp(port {port})"),
            Probe::Log { pattern } => format!("log({pattern})"),
            Probe::File { path } => format!("file({path})"),
            Probe::Http(http) => {
                let http = Http::from(&**http);
                return WordOr::Long(ProbeMap { http });
            }
        })
    }
}

impl From<&HttpProbe> for Http {
    fn from(probe: &HttpProbe) -> Http {
        let (json, regex) = match probe.value.clone() {
            Some(HttpValue::Json(pointer)) => (Some(pointer), None),
            Some(HttpValue::Regex(pattern)) => (None, Some(pattern)),
            None => (None, None),
        };
        Http {
            port: Written::of(Port(probe.port)),
            path: Some(probe.path.clone()),
            method: Some(probe.method.clone()),
            body: probe.body.clone(),
            headers: probe.headers.iter().cloned().collect(),
            user: probe.user.clone(),
            password: probe.password.clone(),
            status: probe.status.map(|status| Written::of(u32::from(status))),
            json,
            regex,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology;

    #[test]
    fn what_is_written_back_is_read_as_it_was() {
        let http = |value| HttpProbe {
            port: 8080,
            method: "PUT".into(),
            path: "/a?b=c".into(),
            headers: vec![("Accept".into(), "text/plain".into())],
            body: Some("{ 'x': \"y\" }".into()),
            user: Some("u".into()),
            password: None,
            status: Some(404),
            value,
        };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let tcp = |greeting| Probe::Tcp { port: 25, greeting };
        for probe in [
            Probe::BitcoinRpc { port: RPC_PORT },
            Probe::BitcoinRpc { port: 8332 },
            Probe::Exec {
                command: words(&["/bin/tell", "it"]),
            },
            tcp(false),
            tcp(true),
            Probe::Log {
                pattern: r#"a "b" \((\d+)\) #c"#.into(),
            },
            Probe::File {
                path: "/data/f g.bin".into(),
            },
            Probe::Http(Box::new(http(None))),
            Probe::Http(Box::new(http(Some(HttpValue::Json("/a/0".into()))))),
            Probe::Http(Box::new(http(Some(HttpValue::Regex("(b+)".into()))))),
        ] {
            let written = serde_json::to_string(&WrittenProbe::from(&probe)).unwrap();
            let text = format!(
                "name: x\nphases: {{ warmup: 4s, settle: 9s }}\n\
                 nodes: {{ a: {{ count: 2, probe: {written} }} }}\n"
            );
            let read =
                topology::parse("x.yaml", &text).unwrap_or_else(|e| panic!("{written}: {e}"));
            assert_eq!(read.groups[0].probe, probe, "{written}");
        }
    }
}
