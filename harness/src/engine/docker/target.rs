//! Which engine is meant, in the docker command's own order: `DOCKER_HOST`, the context that
//! `DOCKER_CONTEXT` names, the current context, and where nothing is said the engine of this machine.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use hyper::http::Uri;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use peerlab_core::error::{Error, Explain, Result};

/// Where the engine is.
pub const HOST_VARIABLE: &str = "DOCKER_HOST";
/// Which context says so.
pub const CONTEXT_VARIABLE: &str = "DOCKER_CONTEXT";
/// That certificates are to be used, and verified.
const VERIFY_VARIABLE: &str = "DOCKER_TLS_VERIFY";
/// That certificates are to be used; the engine's is taken unseen.
const TLS_VARIABLE: &str = "DOCKER_TLS";
/// The certificates' folder.
const CERTIFICATES_VARIABLE: &str = "DOCKER_CERT_PATH";
/// The folder of the docker command's own settings, which is else in the home folder.
const SETTINGS_VARIABLE: &str = "DOCKER_CONFIG";
/// The context that stands for the variables.
const DEFAULT_CONTEXT: &str = "default";
/// The engine of this machine; where certificates are to be used, another.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
const DEFAULT_TLS: &str = "localhost:2376";
/// Where nothing else is said.
const DEFAULT_PORT: u16 = 2375;
/// What to do about contexts.
const CONTEXT_HINT: &str = "`docker context ls` lists the contexts, `docker context use` takes another; \
                            --engine local and sim need no Docker Engine";

/// An engine, and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub address: Address,
    /// Of a TCP address: that it speaks TLS.
    pub tls: Option<Tls>,
    /// The context that it comes from.
    pub context: String,
    /// What named it, in words; `None` where nothing did.
    pub named_by: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The path of a socket.
    Socket(String),
    /// Host and port.
    Tcp(String),
    Ssh(Ssh),
}

/// As in `ssh://user@host:port/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    pub user: Option<String>,
    pub host: String,
    pub port: Option<u16>,
    /// The engine's socket over there, unless it is the usual one.
    pub socket: Option<String>,
}

/// Files in PEM; those that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Whom to trust; the machine's own authorities where it is missing.
    pub authority: Option<PathBuf>,
    /// Who we are.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Whether the engine's certificate is verified.
    pub verify: bool,
}

/// The docker command's `config.json`, as far as it concerns us.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    current_context: Option<String>,
}

/// A context's `meta.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Context {
    #[serde(default)]
    endpoints: BTreeMap<String, Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "Host")]
    host: Option<String>,
    #[serde(rename = "SkipTLSVerify", default)]
    skips_verification: bool,
}

/// What a context's endpoint is called that is a Docker Engine.
const ENDPOINT: &str = "docker";

impl Target {
    /// Reads variables and files.
    ///
    /// # Errors
    /// When they contradict each other or name what is not there.
    pub fn find() -> Result<Target> {
        find_with(&|name| std::env::var(name).ok())
    }
}

/// See [`Target::find`]; `variable` reads the environment.
///
/// # Errors
/// As there.
pub fn find_with(variable: &dyn Fn(&str) -> Option<String>) -> Result<Target> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let settings = variable(SETTINGS_VARIABLE).map_or_else(
        || Path::new(&variable("HOME").unwrap_or("/".into())).join(".docker"),
        PathBuf::from,
    );
    if let Some(host) = variable(HOST_VARIABLE) {
        let named_by = Some(HOST_VARIABLE.into());
        return of_variables(&variable, &settings, Some(&host), named_by);
    }
    let named = match variable(CONTEXT_VARIABLE) {
        Some(name) => {
            let named_by = format!("{CONTEXT_VARIABLE} (context {name})");
            Some((name, named_by))
        }
        None => current_context(&settings)?,
    };
    match named {
        Some((name, named_by)) if name != DEFAULT_CONTEXT => of_context(&settings, &name, named_by),
        named => of_variables(&variable, &settings, None, named.map(|(_, by)| by)),
    }
}

/// The current context, unless it is the default one, and what names it.
fn current_context(settings: &Path) -> Result<Option<(String, String)>> {
    let file = settings.join("config.json");
    let name = read::<Settings>(&file)?.unwrap_or_default().current_context;
    let name = name.filter(|name| !name.is_empty() && name != DEFAULT_CONTEXT);
    Ok(name.map(|name| {
        let named_by = format!("the current context {name} ({})", file.display());
        (name, named_by)
    }))
}

/// What the variables say without any context.
fn of_variables(
    variable: &dyn Fn(&str) -> Option<String>,
    settings: &Path,
    host: Option<&str>,
    named_by: Option<String>,
) -> Result<Target> {
    let mut wanting_tls = [VERIFY_VARIABLE, TLS_VARIABLE].into_iter();
    let wants_tls = wanting_tls.find(|name| variable(name).is_some());
    let tls = wants_tls.map(|name| {
        let folder = variable(CERTIFICATES_VARIABLE).map(PathBuf::from);
        let folder = folder.as_deref().unwrap_or(settings);
        let tls = Tls::in_folder(folder, name == VERIFY_VARIABLE);
        // Without it nothing could be verified as it was asked: it must be there.
        let authority = tls.verify.then(|| folder.join(AUTHORITY));
        Tls { authority, ..tls }
    });
    let (address, default_by) = match (host, wants_tls) {
        (Some(host), _) => (parse(host, HOST_VARIABLE)?, None),
        (None, Some(name)) => (Address::Tcp(DEFAULT_TLS.into()), Some(name.to_owned())),
        (None, None) => (Address::Socket(DEFAULT_SOCKET.into()), None),
    };
    Ok(Target {
        address,
        tls,
        context: DEFAULT_CONTEXT.into(),
        named_by: named_by.or(default_by),
    })
}

/// What a context says.
fn of_context(settings: &Path, name: &str, named_by: String) -> Result<Target> {
    let cannot = || format!("cannot use the Docker context {name}");
    let id = format!("{:x}", Sha256::digest(name));
    let contexts = settings.join("contexts");
    let file = contexts.join("meta").join(&id).join("meta.json");
    let context = read::<Context>(&file)?.ok_or_else(|| {
        let cause = format!("{named_by} names it, and {} is missing", file.display());
        Error::environment(cannot(), cause, CONTEXT_HINT)
    })?;
    let endpoint = context.endpoints.get(ENDPOINT).ok_or_else(|| {
        let cause = format!("{} has no endpoint {ENDPOINT}", file.display());
        Error::environment(cannot(), cause, CONTEXT_HINT)
    })?;
    let address = match endpoint.host.as_deref().filter(|host| !host.is_empty()) {
        Some(host) => parse(host, &named_by)?,
        None => Address::Socket(DEFAULT_SOCKET.into()),
    };
    let tls = Tls::in_folder(
        &contexts.join("tls").join(id).join(ENDPOINT),
        !endpoint.skips_verification,
    );
    let is_wanted = tls.authority.is_some() || tls.certificate.is_some() || !tls.verify;
    Ok(Target {
        address,
        tls: is_wanted.then_some(tls),
        context: name.to_owned(),
        named_by: Some(named_by),
    })
}

const AUTHORITY: &str = "ca.pem";

impl Tls {
    fn in_folder(folder: &Path, verify: bool) -> Tls {
        let file = |name: &str| Some(folder.join(name)).filter(|file| file.is_file());
        Tls {
            authority: file(AUTHORITY),
            certificate: file("cert.pem"),
            key: file("key.pem"),
            verify,
        }
    }
}

/// A file in JSON; `None` where it is missing.
fn read<T: DeserializeOwned>(file: &Path) -> Result<Option<T>> {
    let what = || format!("cannot read {}", file.display());
    match std::fs::read(file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => {
            let bytes = read.or_environment(what, CONTEXT_HINT)?;
            let parsed = serde_json::from_slice(&bytes);
            parsed.map(Some).or_environment(what, CONTEXT_HINT)
        }
    }
}

/// An address as `DOCKER_HOST` and contexts write it.
fn parse(text: &str, named_by: &str) -> Result<Address> {
    let wrong = |why: &str| {
        Error::environment(
            format!("cannot use the Docker Engine at {text}"),
            format!("{named_by} names it, and {why}"),
            "write unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST",
        )
    };
    let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
    if scheme == "unix" {
        return Ok(Address::Socket(rest.to_owned()));
    }
    // A host may be left out, which a URI does not allow.
    let rest = match rest.strip_prefix(':') {
        Some(port) => format!("localhost:{port}"),
        None => rest.to_owned(),
    };
    let uri: Uri = format!("{scheme}://{rest}")
        .parse()
        .map_err(|e| wrong(&format!("that is no address: {e}")))?;
    let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else {
        return Err(wrong("that names no host"));
    };
    let path = Some(uri.path().trim_end_matches('/')).filter(|path| !path.is_empty());
    let address = match (scheme, path) {
        ("tcp" | "http", None) => {
            let port = authority.port_u16().unwrap_or(DEFAULT_PORT);
            Ok(Address::Tcp(format!("{host}:{port}")))
        }
        ("tcp" | "http", Some(_)) => Err(wrong("a TCP address has no path")),
        ("ssh", socket) => {
            let user = authority.as_str().rsplit_once('@').map(|(user, _)| user);
            if user.is_some_and(|user| user.contains(':')) {
                return Err(wrong("a password is never given there: use a key"));
            }
            Ok(Address::Ssh(Ssh {
                user: user.map(str::to_owned),
                host: host.trim_matches(['[', ']']).to_owned(),
                port: authority.port_u16(),
                socket: socket.map(str::to_owned),
            }))
        }
        _ => Err(wrong(&format!("{scheme} is not spoken here"))),
    }?;
    // What stood for a host or a user may be none by itself.
    match address.to_string().parse::<Uri>() {
        Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => Ok(address),
        _ => Err(wrong("that is no address")),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Socket(path) => write!(f, "unix://{path}"),
            Address::Tcp(authority) => write!(f, "tcp://{authority}"),
            Address::Ssh(ssh) => {
                write!(f, "ssh://")?;
                if let Some(user) = &ssh.user {
                    write!(f, "{user}@")?;
                }
                match ssh.host.contains(':') {
                    true => write!(f, "[{}]", ssh.host)?,
                    false => write!(f, "{}", ssh.host)?,
                }
                if let Some(port) = ssh.port {
                    write!(f, ":{port}")?;
                }
                write!(f, "{}", ssh.socket.as_deref().unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of settings with a context `far`, which has certificates, and a current one.
    fn settings(current: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: PathBuf, text: &str| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let config = format!("{{\"currentContext\":\"{current}\",\"auths\":{{}}}}");
        write(folder.path().join("config.json"), &config);
        // What `printf far | sha256sum` says.
        let id = "512eea46ceb3921dff4363c7069d89d4964d1d9fccaa0f411851a7aa60a5c868";
        let contexts = folder.path().join("contexts");
        let meta = "{\"Name\":\"far\",\"Metadata\":{},\"Endpoints\":{\"docker\":\
                    {\"Host\":\"tcp://far:2376\",\"SkipTLSVerify\":false}}}";
        write(contexts.join("meta").join(id).join("meta.json"), meta);
        write(contexts.join("tls").join(id).join("docker/ca.pem"), "");
        folder
    }

    fn found(folder: &Path, variables: &[(&str, &str)]) -> Result<Target> {
        let folder = folder.to_str().unwrap().to_owned();
        let with = [&[(SETTINGS_VARIABLE, folder.as_str())], variables].concat();
        find_with(&|name| {
            let value = with.iter().find(|(variable, _)| *variable == name);
            value.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn variables_and_contexts_count_in_the_docker_commands_order() {
        let folder = settings("far");
        let near = (HOST_VARIABLE, "tcp://near:1");
        for (variables, address, named_by) in [
            (
                &[near, (CONTEXT_VARIABLE, "far")][..],
                "tcp://near:1",
                HOST_VARIABLE,
            ),
            (
                &[(HOST_VARIABLE, ""), (CONTEXT_VARIABLE, "far")],
                "tcp://far:2376",
                CONTEXT_VARIABLE,
            ),
            (
                &[(CONTEXT_VARIABLE, "default")],
                "unix:///var/run/docker.sock",
                CONTEXT_VARIABLE,
            ),
            (&[], "tcp://far:2376", "the current context far"),
        ] {
            let target = found(folder.path(), variables).unwrap();
            assert_eq!(target.address.to_string(), address, "{variables:?}");
            let by = target.named_by.unwrap();
            assert!(by.starts_with(named_by), "{variables:?}: {by}");
        }
        for current in ["", "default"] {
            let target = found(settings(current).path(), &[]).unwrap();
            assert_eq!(target.address.to_string(), "unix:///var/run/docker.sock");
            assert_eq!(target.named_by, None);
        }
    }

    #[test]
    fn certificates_are_the_contexts_own_or_those_of_the_variables() {
        let folder = settings("far");
        let of = |variables: &[_]| found(folder.path(), variables).unwrap();
        // A context takes nothing from the variables.
        let context = of(&[
            (VERIFY_VARIABLE, "1"),
            (CERTIFICATES_VARIABLE, "/elsewhere"),
        ]);
        let tls = context.tls.unwrap();
        let authority = tls.authority.unwrap();
        assert!(authority.starts_with(folder.path()) && authority.ends_with("docker/ca.pem"));
        assert!(tls.verify && tls.certificate.is_none());

        let near = (HOST_VARIABLE, "tcp://near:1");
        assert_eq!(of(&[near]).tls, None);
        let verified = of(&[near, (VERIFY_VARIABLE, "1"), (CERTIFICATES_VARIABLE, "/c")]);
        let tls = verified.tls.unwrap();
        assert_eq!(tls.authority, Some("/c/ca.pem".into()));
        assert!(tls.verify);
        let unverified = of(&[near, (TLS_VARIABLE, "1")]).tls.unwrap();
        assert!(!unverified.verify && unverified.authority.is_none());

        let bare = settings("");
        let target = found(bare.path(), &[(VERIFY_VARIABLE, "1")]).unwrap();
        assert_eq!(target.address.to_string(), "tcp://localhost:2376");
        assert_eq!(target.named_by.as_deref(), Some(VERIFY_VARIABLE));
    }

    #[test]
    fn what_is_not_there_is_named_with_who_asked_for_it() {
        let folder = settings("gone");
        for (variables, words) in [
            (
                &[][..],
                &["context gone", "config.json", "docker context ls"][..],
            ),
            (
                &[(CONTEXT_VARIABLE, "lost")],
                &["context lost", CONTEXT_VARIABLE],
            ),
            (
                &[(HOST_VARIABLE, "npipe:////./pipe")],
                &["npipe", HOST_VARIABLE],
            ),
            (&[(HOST_VARIABLE, "tcp://a:1/b")], &["no path"]),
            (&[(HOST_VARIABLE, "ssh://me:secret@a")], &["password"]),
        ] {
            let error = found(folder.path(), variables).unwrap_err();
            assert_eq!(error.kind.exit_code(), 3);
            let text = error.render();
            for word in words {
                assert!(text.contains(word), "{word}: {text}");
            }
        }
        std::fs::write(folder.path().join("config.json"), "{").unwrap();
        let error = found(folder.path(), &[]).unwrap_err().render();
        assert!(error.contains("config.json"), "{error}");
    }

    #[test]
    fn addresses_are_read_as_the_docker_command_reads_them() {
        for (text, meant) in [
            ("unix:///a/b.sock", "unix:///a/b.sock"),
            ("tcp://a", "tcp://a:2375"),
            ("a:1", "tcp://a:1"),
            ("tcp://:7/", "tcp://localhost:7"),
            ("tcp://[::1]:5", "tcp://[::1]:5"),
            ("ssh://a", "ssh://a"),
            ("ssh://me@a:22/run/d.sock", "ssh://me@a:22/run/d.sock"),
        ] {
            assert_eq!(parse(text, "a test").unwrap().to_string(), meant);
        }
        let Address::Ssh(ssh) = parse("ssh://me@[::1]:22/s", "a test").unwrap() else {
            panic!("no ssh");
        };
        assert_eq!(
            (ssh.user.as_deref(), ssh.host.as_str()),
            (Some("me"), "::1")
        );
        assert_eq!((ssh.port, ssh.socket.as_deref()), (Some(22), Some("/s")));
    }
}
