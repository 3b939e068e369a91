//! Who is let in: whoever knows the token that stands in the address. A page of somebody else's in the
//! same browser cannot: it does not know the token, and neither its origin nor the name by which it
//! reaches this port is ours.

use hyper::header::{CONTENT_TYPE, HeaderMap, ORIGIN};
use hyper::{Method, Uri};
use peerlab_core::error::{Explain as _, Result};
use subtle::ConstantTimeEq as _;

use crate::serve::{only, own_host};

/// Bytes of the token: nobody guesses it.
const TOKEN_BYTES: usize = 16;
/// What orders are written in. Another site's form cannot send this without asking first.
const JSON: &str = "application/json";

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is reached by another name.
    Host,
    /// Another site asks.
    Origin,
    /// The address does not hold the token.
    Token,
    /// An order is not written as ours are.
    Form,
    /// Neither GET nor POST.
    Method,
}

/// See the module.
pub struct Admission {
    token: String,
    port: u16,
}

impl Admission {
    /// Of a server at a port, with a new token.
    ///
    /// # Errors
    /// When this machine gives no randomness.
    pub fn new(port: u16) -> Result<Admission> {
        Ok(Admission {
            token: random_hex()?,
            port,
        })
    }

    /// Where the page is.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/{}/", self.port, self.token)
    }

    /// What is asked for, behind the token.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn admit<'a>(
        &self,
        method: &Method,
        uri: &'a Uri,
        headers: &HeaderMap,
    ) -> Result<&'a str, Refusal> {
        let host = own_host(uri, headers)
            .filter(|host| host.port_u16() == Some(self.port))
            .ok_or(Refusal::Host)?;
        let is_ours = |origin: &str| origin.strip_prefix("http://") == Some(host.as_str());
        match (headers.contains_key(ORIGIN), only(headers, ORIGIN)) {
            (false, _) if *method != Method::POST => {}
            (true, Some(origin)) if is_ours(origin) => {}
            _ => return Err(Refusal::Origin),
        }
        let path = uri.path().strip_prefix('/').unwrap_or_default();
        let (token, rest) = path.split_once('/').ok_or(Refusal::Token)?;
        if !bool::from(token.as_bytes().ct_eq(self.token.as_bytes())) {
            return Err(Refusal::Token);
        }
        match *method {
            Method::GET => Ok(rest),
            Method::POST if only(headers, CONTENT_TYPE) == Some(JSON) => Ok(rest),
            Method::POST => Err(Refusal::Form),
            _ => Err(Refusal::Method),
        }
    }
}

/// A number that nobody guesses.
///
/// # Errors
/// When this machine gives no randomness.
pub fn random_hex() -> Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    let filled = getrandom::fill(&mut bytes).map_err(|error| error.to_string());
    filled.or_environment(
        || "cannot draw a token".into(),
        "does this machine have /dev/urandom?",
    )?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;

    const PORT: u16 = 4_000;

    fn headers(all: &[(&str, &str)]) -> HeaderMap {
        let parsed = all.iter().map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, value.parse().unwrap())
        });
        let mut map = HeaderMap::new();
        for (name, value) in parsed {
            map.append(name, value);
        }
        map
    }

    fn admission() -> Admission {
        Admission {
            token: "0123456789abcdef".into(),
            ..Admission::new(PORT).unwrap()
        }
    }

    fn get(path: &str, all: &[(&str, &str)]) -> Result<String, Refusal> {
        ask(&Method::GET, path, all)
    }

    fn ask(method: &Method, path: &str, all: &[(&str, &str)]) -> Result<String, Refusal> {
        let uri: Uri = path.parse().unwrap();
        admission()
            .admit(method, &uri, &headers(all))
            .map(str::to_owned)
    }

    const HERE: (&str, &str) = ("host", "127.0.0.1:4000");
    const OURS: (&str, &str) = ("origin", "http://127.0.0.1:4000");
    const AS_JSON: (&str, &str) = ("content-type", "application/json");

    #[test]
    fn whoever_has_the_address_is_let_in() {
        let page = "/0123456789abcdef/";
        assert_eq!(get(page, &[HERE]), Ok(String::new()));
        assert_eq!(get(page, &[("host", "localhost:4000")]), Ok(String::new()));
        assert_eq!(get(page, &[HERE, OURS]), Ok(String::new()));
        let state = get("/0123456789abcdef/state?since=3", &[HERE]);
        assert_eq!(state, Ok("state".into()));
        let order = ask(
            &Method::POST,
            "/0123456789abcdef/do",
            &[HERE, OURS, AS_JSON],
        );
        assert_eq!(order, Ok("do".into()));
        let address = admission().address();
        assert_eq!(address, "http://127.0.0.1:4000/0123456789abcdef/");
    }

    #[test]
    fn a_wrong_token_is_refused() {
        for path in [
            "/",
            "/0123456789abcdef",
            "/0123456789abcdee/",
            "/0123456789abcde/",
            "//",
            "/state",
            "/0123456789ABCDEF/",
            "/x/0123456789abcdef/",
            "/0123456789abcdef0/",
        ] {
            assert_eq!(get(path, &[HERE]), Err(Refusal::Token), "{path}");
        }
        assert_ne!(random_hex(), random_hex());
    }

    #[test]
    fn a_foreign_host_is_refused() {
        let page = "/0123456789abcdef/";
        for host in [
            "evil.example:4000",
            "127.0.0.1",
            "127.0.0.1:4001",
            "localhost.evil.example:4000",
            "localhost:40000",
            "LOCALHOST.:4000",
            "[::1]:4000",
            "",
        ] {
            assert_eq!(get(page, &[("host", host)]), Err(Refusal::Host), "{host}");
        }
        assert_eq!(get(page, &[]), Err(Refusal::Host));
        let two = [HERE, ("host", "evil.example:4000")];
        assert_eq!(get(page, &two), Err(Refusal::Host));
        let whole = "http://evil.example:4000/0123456789abcdef/";
        assert_eq!(get(whole, &[HERE]), Err(Refusal::Host));
    }

    #[test]
    fn a_foreign_origin_is_refused_and_orders_without_one() {
        let path = "/0123456789abcdef/do";
        let with = |all: &[(&str, &str)]| ask(&Method::POST, path, all);
        assert_eq!(with(&[HERE, AS_JSON]), Err(Refusal::Origin));
        for origin in [
            "null",
            "http://evil.example:4000",
            "https://127.0.0.1:4000",
            "http://localhost:4000",
            "http://127.0.0.1",
            "http://127.0.0.1:40000",
            "",
        ] {
            let all = [HERE, AS_JSON, ("origin", origin)];
            assert_eq!(with(&all), Err(Refusal::Origin), "{origin}");
            let page = get("/0123456789abcdef/", &[HERE, ("origin", origin)]);
            assert_eq!(page, Err(Refusal::Origin), "{origin}");
        }
        let two = [HERE, AS_JSON, OURS, ("origin", "http://evil.example")];
        assert_eq!(with(&two), Err(Refusal::Origin));
    }

    #[test]
    fn orders_are_json_and_nothing_else_than_get_and_post_is_known() {
        let path = "/0123456789abcdef/do";
        let form = [HERE, OURS, ("content-type", "text/plain")];
        assert_eq!(ask(&Method::POST, path, &form), Err(Refusal::Form));
        assert_eq!(ask(&Method::POST, path, &[HERE, OURS]), Err(Refusal::Form));
        for method in [Method::PUT, Method::OPTIONS, Method::HEAD, Method::CONNECT] {
            assert_eq!(
                ask(&method, path, &[HERE]),
                Err(Refusal::Method),
                "{method}"
            );
        }
    }
}
