//! The listener: loopback only, few connections, small heads, and no page of somebody else's in a browser
//! of this machine reads it.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::watched::Watched;
use crate::serve::{Connections, own_host};
use peerlab_core::error::{Explain as _, Result};
use peerlab_core::view::NetworkView;

/// Where metrics are.
const PATH: &str = "/metrics";
/// Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Connections at once; others wait. A Prometheus takes one, a person with a browser a few.
const CONNECTIONS_MAX: usize = 16;
/// How long a request's head may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may last, its answer included.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a request's head. It is the least that hyper allows.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Header lines of a request.
const HEADERS_MAX: usize = 64;
/// What to do where the port cannot be had.
const PORT_HINT: &str = "name another port, or 0 for one that is free";

/// What is told of, at the moment.
type Current = Arc<Mutex<Option<Watched>>>;

/// Metrics over HTTP, as long as this lives.
pub struct Endpoint {
    port: u16,
    current: Current,
    /// Until it is closed.
    connections: tokio::sync::Mutex<Option<Connections>>,
}

impl Endpoint {
    /// Listens at 127.0.0.1; where the port is 0, at one that is free.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn listen(port: u16) -> Result<Endpoint> {
        let what = || format!("cannot offer metrics at 127.0.0.1:{port}");
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let listener = TcpListener::bind(address).await;
        let listener = listener.or_environment(what, PORT_HINT)?;
        let port = listener
            .local_addr()
            .or_environment(what, PORT_HINT)?
            .port();
        let current = Current::default();
        let told = current.clone();
        let connections = Connections::take(listener, CONNECTIONS_MAX, move |stream, slot| {
            let current = told.clone();
            async move {
                serve(stream, current).await;
                drop(slot);
            }
        });
        Ok(Endpoint {
            port,
            current,
            connections: tokio::sync::Mutex::new(Some(connections)),
        })
    }

    /// Where the metrics are.
    pub fn url(&self) -> String {
        format!("http://{}:{}{PATH}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// Listens no more, and its connections end.
    pub async fn close(&self) {
        if let Some(connections) = self.connections.lock().await.take() {
            drop(connections.close().await);
        }
    }

    /// From now on metrics are those of this network, as its view tells it.
    pub fn watch(&self, name: &str, view: &Arc<Mutex<NetworkView>>) -> Watched {
        let watched = Watched::new(name, view.clone());
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(watched.clone());
        watched
    }
}

/// Answers the one request of a connection.
async fn serve(stream: TcpStream, current: Current) {
    let service = service_fn(|request| {
        let current = current.clone();
        // Nobody wants the body of a question.
        let (head, _) = Request::<Incoming>::into_parts(request);
        async move { Ok::<_, Infallible>(answer(&head, &current).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIMEOUT, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("metrics: {error}"),
        Err(_) => tracing::debug!("metrics: a connection took too long"),
    }
}

async fn answer(request: &Parts, current: &Current) -> Response<Full<Bytes>> {
    if own_host(&request.uri, &request.headers).is_none() {
        let text = "Metrics are at 127.0.0.1 and at localhost, under no other name.\n";
        return respond(StatusCode::MISDIRECTED_REQUEST, text.into());
    }
    if !matches!(request.method, Method::GET | Method::HEAD) {
        let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, "GET, or HEAD.\n".into());
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    match request.uri.path() {
        PATH => metrics(current).await,
        "/" => respond(StatusCode::OK, format!("Peerlab's metrics are at {PATH}\n")),
        _ => respond(StatusCode::NOT_FOUND, format!("There is {PATH}.\n")),
    }
}

async fn metrics(current: &Current) -> Response<Full<Bytes>> {
    let watched = current
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let Some(watched) = watched else {
        let text = "No network is up yet.\n";
        return respond(StatusCode::SERVICE_UNAVAILABLE, text.into());
    };
    match watched.text().await {
        Ok(text) => respond(StatusCode::OK, text),
        Err(error) => respond(StatusCode::INTERNAL_SERVER_ERROR, error.render()),
    }
}

fn respond(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, TEXT_FORMAT),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use peerlab_core::error::Kind;
    use peerlab_core::plan::stay;
    use peerlab_core::topology;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const EXPERIMENT: &str = "
name: pair
seed: 1
phases: { warmup: 2s, settle: 6s }
nodes: { peers: { count: 2, hashpower: 1 } }
ledger: { block_interval: 1s }
";

    async fn endpoint() -> Endpoint {
        let endpoint = Endpoint::listen(0).await.unwrap();
        let topology = topology::parse("pair.yaml", EXPERIMENT).unwrap();
        let view = NetworkView::new(&stay(&topology, 1).unwrap().plan);
        endpoint.watch("pair", &Arc::new(Mutex::new(view)));
        endpoint
    }

    async fn connect(endpoint: &Endpoint) -> TcpStream {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, endpoint.port));
        TcpStream::connect(address).await.unwrap()
    }

    /// What comes of a request, to the connection's end.
    async fn asked(endpoint: &Endpoint, request: &str) -> String {
        let mut stream = connect(endpoint).await;
        // It may have been refused, and closed, before all of it was written.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn status(endpoint: &Endpoint, request: &str) -> u16 {
        let answer = asked(endpoint, request).await;
        let status = answer.split(' ').nth(1).unwrap_or("0");
        status.parse().unwrap()
    }

    #[tokio::test]
    async fn who_asks_for_metrics_by_our_name_gets_them() {
        let endpoint = endpoint().await;
        for host in ["127.0.0.1", "127.0.0.1:1", "localhost", "LocalHost:9464"] {
            let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let answer = asked(&endpoint, &request).await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            let kind = "content-type: text/plain; version=0.0.4; charset=utf-8";
            assert!(head.contains(kind), "{head}");
            assert!(body.contains("peerlab_node_up{network=\"pair\",node=\"peers-1\"} 0\n"));
        }
        let whole = "GET http://localhost/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        assert_eq!(status(&endpoint, whole).await, 200);
    }

    #[tokio::test]
    async fn whoever_comes_by_another_name_is_refused() {
        let endpoint = endpoint().await;
        for host in [
            "Host: evil.example\r\n",
            "Host: evil.example:9464\r\n",
            "Host: 127.0.0.1.evil.example\r\n",
            "Host: localhost.evil.example\r\n",
            "Host: evil.example@127.0.0.1\r\n",
            "Host: 127.0.0.1\r\nHost: evil.example\r\n",
            "Host: [::1]\r\n",
            "Host:\r\n",
            "",
        ] {
            let request = format!("GET /metrics HTTP/1.1\r\n{host}\r\n");
            assert_eq!(status(&endpoint, &request).await, 421, "{host}");
        }
        let other = "GET http://evil.example/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
        assert_eq!(status(&endpoint, other).await, 421);
    }

    #[tokio::test]
    async fn nothing_else_is_there() {
        let endpoint = endpoint().await;
        for (line, expected) in [
            ("GET /", 200),
            ("HEAD /metrics", 200),
            ("GET /metrics/", 404),
            ("GET /favicon.ico", 404),
            ("POST /metrics", 405),
            ("DELETE /", 405),
        ] {
            let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert_eq!(status(&endpoint, &request).await, expected, "{line}");
        }
    }

    #[tokio::test]
    async fn heads_are_bounded() {
        let endpoint = endpoint().await;
        let long = format!(
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
            "x".repeat(3 * HEAD_BYTES_MAX)
        );
        assert_eq!(status(&endpoint, &long).await, 431);
        let many = format!(
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
            "X: 1\r\n".repeat(HEADERS_MAX + 1)
        );
        assert_eq!(status(&endpoint, &many).await, 431);
    }

    #[tokio::test]
    async fn connections_are_bounded_and_those_that_say_nothing_end() {
        let endpoint = endpoint().await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            silent.push(connect(&endpoint).await);
        }
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let early = timeout(Duration::from_millis(300), asked(&endpoint, request)).await;
        assert!(early.is_err(), "one more was served");
        assert_eq!(status(&endpoint, request).await, 200);
    }

    #[tokio::test]
    async fn before_a_network_and_after_the_endpoint_there_is_nothing() {
        let endpoint = Endpoint::listen(0).await.unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        assert_eq!(status(&endpoint, request).await, 503);
        let taken = Endpoint::listen(endpoint.port).await.err().unwrap();
        assert_eq!(taken.kind, Kind::Environment);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, endpoint.port));
        endpoint.close().await;
        TcpStream::connect(address).await.unwrap_err();
    }
}
