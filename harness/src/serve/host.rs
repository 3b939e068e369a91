//! Whether a request of HTTP is for this machine. A page of somebody else's in a browser here reaches a
//! port by a name of its own, which it may have pointed to this machine (DNS rebinding).

use hyper::Uri;
use hyper::header::{HOST, HeaderMap, HeaderName};
use hyper::http::uri::Authority;

/// The names that are this machine's wherever one asks, and nobody else's.
const OWN: [&str; 2] = ["127.0.0.1", "localhost"];

/// The host that a request names, where that is this machine, whatever the port (it may be forwarded).
/// One that names nobody, or several, has none.
pub fn own_host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let host: Authority = only(headers, HOST)?.parse().ok()?;
    // A whole address in the place of a path names one too.
    let is_for_us = is_own(&host) && uri.authority().is_none_or(is_own);
    is_for_us.then_some(host)
}

fn is_own(authority: &Authority) -> bool {
    // No browser sends a name with a user in it as the host.
    let is_plain = !authority.as_str().contains('@');
    let host = authority.host();
    is_plain && OWN.iter().any(|own| host.eq_ignore_ascii_case(own))
}

/// A header that is there once.
pub fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.to_str().ok())?
}
