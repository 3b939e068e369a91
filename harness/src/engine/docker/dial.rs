//! Clients of an engine that is neither behind a socket here nor plain HTTP, as the docker command reaches
//! it: by TLS, and by `docker system dial-stdio` at the other end of `ssh`.
//!
//! bollard's own ways are not used: its TLS trusts the machine's authorities beside the one that was
//! named and always verifies, and its ssh opens a connection of its own for each request.

use std::error::Error as StdError;
use std::future::{Ready, ready};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper::Uri;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::target::{Ssh, Tls};
use super::timeouts;
use crate::engine::{LastLines, socket_pair};

/// Requests that may wait for their answers at once, and so connections that are being made: from ten on
/// an ssh server refuses some by default (`MaxStartups`).
const REQUESTS_MAX: usize = 8;
/// How long a program that has closed its stream may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// A client whose connections the connector makes; each serves one request after another.
fn client<C>(connector: C, address: &str) -> Result<Docker, bollard::errors::Error>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let turns = Arc::new(Semaphore::new(REQUESTS_MAX));
    let transport = move |request: BollardRequest| {
        let (client, turns) = (client.clone(), turns.clone());
        async move {
            // It is never closed.
            let _turn = turns.acquire().await;
            let answer = client.request(request).await;
            answer.map_err(bollard::errors::Error::from)
        }
    };
    Docker::connect_with_custom_transport(
        transport,
        Some(address),
        timeouts::answer().as_secs(),
        API_DEFAULT_VERSION,
    )
}

/// A client by TLS to a host and port.
///
/// # Errors
/// When a certificate cannot be read.
pub fn by_tls(authority: &str, tls: &Tls) -> Result<Docker, Box<dyn StdError>> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls_config(tls)?)
        .https_only()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(client(connector, &format!("https://{authority}"))?)
}

fn tls_config(tls: &Tls) -> Result<ClientConfig, Box<dyn StdError>> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone());
    let config = config.with_safe_default_protocol_versions()?;
    let config = if tls.verify {
        config.with_root_certificates(authorities(tls.authority.as_deref())?)
    } else {
        let any = Arc::new(AnyCertificate(provider));
        config.dangerous().with_custom_certificate_verifier(any)
    };
    Ok(match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            let private =
                PrivateKeyDer::from_pem_file(key).map_err(|e| format!("{}: {e}", key.display()))?;
            config.with_client_auth_cert(certificates(certificate)?, private)?
        }
        _ => config.with_no_client_auth(),
    })
}

/// Those of a file, or the machine's own.
fn authorities(file: Option<&Path>) -> Result<RootCertStore, Box<dyn StdError>> {
    let mut authorities = RootCertStore::empty();
    match file {
        Some(file) => {
            for certificate in certificates(file)? {
                authorities.add(certificate)?;
            }
        }
        None => {
            let machine = rustls_native_certs::load_native_certs();
            authorities.add_parsable_certificates(machine.certs);
        }
    }
    Ok(authorities)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    certificates.map_err(|e| format!("{}: {e}", file.display()))
}

/// Takes any certificate of the engine, where that was asked for. Whoever has made one up can sign with
/// it as well, so that signatures prove nothing either.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Reaches an engine through a program at the other end of ssh: a run of ssh for each connection.
#[derive(Clone)]
pub struct SshConnector {
    arguments: Vec<String>,
    /// What the programs wrote that carry the streams.
    words: LastLines,
    programs: TaskTracker,
}

impl SshConnector {
    pub fn new(ssh: &Ssh) -> SshConnector {
        SshConnector {
            arguments: arguments(ssh),
            words: LastLines::default(),
            programs: TaskTracker::new(),
        }
    }

    /// A client over such connections.
    ///
    /// # Errors
    /// As bollard says.
    pub fn client(&self) -> Result<Docker, bollard::errors::Error> {
        client(self.clone(), "http://docker")
    }

    /// What the programs said that carry the streams, once they have ended.
    pub async fn said(&self) -> Vec<String> {
        self.programs.close();
        let _ = timeout(END_TIMEOUT, self.programs.wait()).await;
        self.words.lines()
    }

    /// Runs ssh; its stdin and stdout are one stream.
    fn run(&self) -> io::Result<UnixStream> {
        let (stream, theirs) = socket_pair()?;
        let mut program = Command::new("ssh")
            .args(&self.arguments)
            .stdin(theirs.try_clone()?)
            .stdout(theirs)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // Signals that a terminal sends to the harness' group are not for it: with these streams
            // everything is removed.
            .process_group(0)
            .spawn()
            .map_err(|e| io::Error::new(e.kind(), format!("cannot run ssh: {e}")))?;
        let words = self.words.clone();
        let stderr = program.stderr.take();
        self.programs.spawn(async move {
            if let Some(stderr) = stderr {
                let show = |line: &str| tracing::debug!("ssh: {line}");
                words.follow(stderr, show).await;
            }
            program.wait().await
        });
        Ok(stream)
    }
}

impl tower_service::Service<Uri> for SshConnector {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.run().map(TokioIo::new))
    }
}

/// What ssh is called with. It asks nothing: the terminal is not its.
fn arguments(ssh: &Ssh) -> Vec<String> {
    let connect = format!("ConnectTimeout={}", timeouts::first_answer().as_secs());
    let mut words: Vec<String> = ["-o", "BatchMode=yes", "-o", &connect, "-T"]
        .map(str::to_owned)
        .into();
    if let Some(user) = &ssh.user {
        words.extend(["-l".into(), user.clone()]);
    }
    if let Some(port) = ssh.port {
        words.extend(["-p".into(), port.to_string()]);
    }
    words.extend(["--".into(), ssh.host.clone(), "docker".into()]);
    if let Some(socket) = &ssh.socket {
        // A shell reads it over there.
        let quoted = format!("unix://{socket}").replace('\'', r"'\''");
        words.extend(["--host".into(), format!("'{quoted}'")]);
    }
    words.extend(["system".into(), "dial-stdio".into()]);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_is_called_as_the_docker_command_calls_it() {
        let ssh = Ssh {
            user: Some("me".into()),
            host: "far".into(),
            port: Some(22),
            socket: Some("/it's".into()),
        };
        assert_eq!(
            arguments(&ssh).join(" "),
            r"-o BatchMode=yes -o ConnectTimeout=20 -T -l me -p 22 -- far docker --host 'unix:///it'\''s' system dial-stdio"
        );
        let plain = Ssh {
            user: None,
            port: None,
            socket: None,
            ..ssh
        };
        assert!(
            arguments(&plain)
                .ends_with(&["far", "docker", "system", "dial-stdio"].map(str::to_owned))
        );
    }
}
