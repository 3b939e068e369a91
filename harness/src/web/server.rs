//! Takes connections of this machine alone, as long as the network is there.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use peerlab_core::error::{Explain as _, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::admission::Admission;
use super::routes::answer;
use super::watcher::Watcher;
use crate::serve::Connections;

/// Connections at once; others wait.
const CONNECTIONS_MAX: usize = 32;
/// How long the head of a request may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long pages may take to hear that the network has ended.
const LAST_LOOKS: Duration = Duration::from_secs(2);
/// What to do about a port that is taken.
const PORT_HINT: &str = "`--web` without a number takes a port that is free";

/// A page that can be asked for. Nobody is answered before [`WebServer::serve`].
pub struct WebServer {
    listener: TcpListener,
    admission: Arc<Admission>,
    watcher: Arc<Watcher>,
}

impl WebServer {
    /// Listens at a port of 127.0.0.1; at one that is free where it is 0.
    ///
    /// # Errors
    /// When the port is taken, or the network is not up.
    pub async fn listen(network: &str, port: u16) -> Result<WebServer> {
        let cannot = || format!("cannot listen on 127.0.0.1:{port}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.or_environment(cannot, PORT_HINT)?;
        let address = listener.local_addr().or_environment(cannot, PORT_HINT)?;
        let watcher = Watcher::of(network.to_owned());
        watcher.look().await?;
        Ok(WebServer {
            listener,
            admission: Arc::new(Admission::new(address.port())?),
            watcher: Arc::new(watcher),
        })
    }

    /// Where the page is. Whoever knows it is let in.
    pub fn address(&self) -> String {
        self.admission.address()
    }

    /// Answers until the network has ended, or that is asked for; tells whether it is the network.
    pub async fn serve(self, stop: &CancellationToken) -> bool {
        let WebServer {
            listener,
            admission,
            watcher,
        } = self;
        let watched = watcher.clone();
        let _connections = Connections::take(listener, CONNECTIONS_MAX, move |stream, slot| {
            let (admission, watcher) = (admission.clone(), watcher.clone());
            async move {
                converse(stream, admission, watcher).await;
                drop(slot);
            }
        });
        let ended = async {
            watched.watch().await;
            tokio::time::sleep(LAST_LOOKS).await;
        };
        stop.run_until_cancelled(ended).await.is_some()
    }
}

/// Answers the requests of a connection.
async fn converse(stream: TcpStream, admission: Arc<Admission>, watcher: Arc<Watcher>) {
    let service = service_fn(|request| {
        let (admission, watcher) = (admission.clone(), watcher.clone());
        async move { Ok::<_, Infallible>(answer(request, &admission, &watcher).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("connection: {error}");
    }
}
