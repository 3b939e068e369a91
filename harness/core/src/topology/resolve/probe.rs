//! How a group's nodes are asked.

use indexmap::IndexMap;

use super::problems::At;
use crate::experiment::{HttpProbe, HttpValue, Probe};
use crate::topology::probe::{Http, WrittenProbe};
use crate::topology::words::{Port, RPC_PORT, pattern};
use crate::topology::written::{WordOr, Written};

/// Statuses that end an answer, by RFC 9110.
const STATUSES: std::ops::RangeInclusive<u16> = 200..=599;

/// Resolves a probe; that of Bitcoin Core where none is written, or a wrong one.
pub fn resolve_probe(at: &At, written: Option<WrittenProbe>) -> Probe {
    let probe = match written {
        None => None,
        Some(WordOr::Word(text)) => at.word(&text),
        Some(WordOr::Long(map)) => resolve_http(&at.key("http"), map.http),
    };
    probe.unwrap_or(Probe::BitcoinRpc { port: RPC_PORT })
}

fn resolve_http(at: &At, http: Http) -> Option<Probe> {
    let port = at.key("port").value(http.port);
    let path = http.path.unwrap_or_else(|| "/".into());
    check_path(&at.key("path"), &path);
    let method = http.method.unwrap_or_else(|| {
        let method = http.body.as_ref().map_or("GET", |_| "POST");
        method.into()
    });
    check_method(&at.key("method"), &method);
    check_headers(&at.key("headers"), &http.headers);
    if http.user.is_none() && http.password.is_some() {
        at.key("password").add(
            "a password without a user",
            "basic authentication needs both",
            "add `user:`, or put what the server wants into `headers`",
        );
    }
    let status = resolve_status(&at.key("status"), http.status);
    let value = resolve_value(at, http.json, http.regex);
    let Port(port) = port?;
    Some(Probe::Http(Box::new(HttpProbe {
        port,
        method,
        path,
        headers: http.headers.into_iter().collect(),
        body: http.body,
        user: http.user,
        password: http.password,
        status,
        value,
    })))
}

fn check_path(at: &At, path: &str) {
    if !path.starts_with('/') || !path.bytes().all(|it| it.is_ascii_graphic() && it != b'#') {
        at.add(
            format!("`{path}` is not the path of a request"),
            "it begins with `/`, and has neither spaces nor `#` nor letters beyond ASCII in it",
            "write others as %20 and the like, as in `/get?key=a%20b`",
        );
    }
}

fn check_method(at: &At, method: &str) {
    if method.is_empty() || !method.bytes().all(|it| it.is_ascii_uppercase()) {
        at.add(
            format!("`{method}` is not a method"),
            "methods of HTTP are words of capital letters",
            "write `GET`, `POST` or another that the server knows",
        );
    }
}

fn check_headers(at: &At, headers: &IndexMap<String, String>) {
    for (name, value) in headers {
        let of_name = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it);
        if name.is_empty() || !name.bytes().all(of_name) {
            at.name(name).add(
                format!("`{name}` is not the name of a header"),
                "such a name has letters, digits and dashes in it",
                "write it as in `{ Content-Type: application/json }`",
            );
        }
        if !value.bytes().all(|it| it.is_ascii_graphic() || it == b' ') {
            at.key(name).add(
                "this is not the value of a header",
                "it is one line of ASCII characters",
                "write it as in `{ Content-Type: application/json }`",
            );
        }
    }
}

fn resolve_status(at: &At, written: Option<Written<u32>>) -> Option<u16> {
    let status = at.optional(written)?;
    let known = u16::try_from(status).ok();
    let known = known.filter(|status| STATUSES.contains(status));
    if known.is_none() {
        at.add(
            format!("no answer has the status {status}"),
            "those of HTTP lie between 200 and 599",
            "write the one that the node gives when it is well, as `200`",
        );
    }
    known
}

fn resolve_value(at: &At, json: Option<String>, regex: Option<String>) -> Option<HttpValue> {
    match (json, regex) {
        (None, None) => None,
        (Some(pointer), Some(_)) => {
            at.key("regex").add(
                "two ways to read the value",
                "`json` and `regex` both say what of the answer is the value",
                "keep one of them",
            );
            Some(HttpValue::Json(pointer))
        }
        (Some(pointer), None) => {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                at.key("json").add(
                    format!("`{pointer}` is not a pointer into JSON"),
                    "it does not begin with `/`",
                    format!("write `/{}`", pointer.replace('.', "/")),
                );
            }
            Some(HttpValue::Json(pointer))
        }
        (None, Some(text)) => {
            if let Err(bad) = pattern(&text) {
                let hint = bad.hint.unwrap_or_default();
                at.key("regex")
                    .add("this is not a pattern", bad.cause, hint);
            }
            Some(HttpValue::Regex(text))
        }
    }
}
