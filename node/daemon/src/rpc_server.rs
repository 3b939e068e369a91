//! The HTTP side of JSON-RPC: HTTP/1 with keep-alive, basic authentication, bounded bodies and
//! connections. What a call means is the business of [`crate::rpc::methods`]; here it is only passed
//! on, and its caller parked where it waits for a block.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::hub::Hub;
use crate::rpc::auth::Credentials;
use crate::rpc::context::Reply;
use crate::rpc::envelope::{self, Body, Call};
use crate::rpc::error::{Code, RpcError, fail};
use crate::rpc::wait::TipWait;
use crate::task;

/// Largest body of a request, bytes: a block of four million bytes in hex, and its envelope.
/// Larger than any other request by far.
pub const BODY_BYTES_MAX: usize = 8_100_000;
/// Connections served at once; later ones wait in the kernel's queue. The harness holds two or
/// three a node; the rest is for people and their tools.
pub const CONNECTIONS_MAX: usize = 128;
/// Callers parked at once in one of the `waitfor...` methods. Fewer than connections, so that
/// one that does not wait always finds a place.
pub const WAITERS_MAX: usize = 100;
/// How long a client may take to send its request's head or body, or keep a connection idle.
/// Bitcoin Core's `-rpcservertimeout`.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a wrong password is kept waiting, to slow down guessing.
pub const REFUSAL_DELAY: Duration = Duration::from_millis(250);
/// Rest after a failed accept (as with too many open files), which would else spin.
pub const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// Buffer of one connection, bytes: the head of a request must fit.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// State that all connections share.
struct Shared {
    hub: Rc<Hub>,
    credentials: Credentials,
    waiters: Semaphore,
}

/// Serves until the daemon stops. Must run in a [`tokio::task::LocalSet`].
pub async fn serve(listener: TcpListener, credentials: Credentials, hub: Rc<Hub>) {
    let mut stopping = hub.stopping();
    let shared = Rc::new(Shared {
        hub,
        credentials,
        waiters: Semaphore::new(WAITERS_MAX),
    });
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let accept = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let shared = shared.clone();
                    task::spawn(async move {
                        connection(stream, shared).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!("RPC: cannot accept: {error}");
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    };
    tokio::select! {
        () = accept => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}

async fn connection(stream: TcpStream, shared: Rc<Shared>) {
    // Replies are short; without this they wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let mut stopping = shared.hub.stopping();
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CLIENT_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        _ = stopping.wait_for(|stop| *stop) => {
            // What was asked (among it `stop`) is still answered.
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!("RPC: connection ended: {error}");
    }
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    if request.method() != Method::POST {
        let text = "JSONRPC server handles only POST requests";
        return reply(StatusCode::METHOD_NOT_ALLOWED, Some((ALLOW, "POST")), text);
    }
    let authorization = request.headers().get(AUTHORIZATION);
    if !authorization.is_some_and(|value| shared.credentials.accept(value.as_bytes())) {
        if authorization.is_some() {
            warn!("RPC: incorrect password attempt");
            tokio::time::sleep(REFUSAL_DELAY).await;
        }
        let realm = (WWW_AUTHENTICATE, "Basic realm=\"jsonrpc\"");
        return reply(StatusCode::UNAUTHORIZED, Some(realm), "");
    }
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    let body = match tokio::time::timeout(CLIENT_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            return reply(
                StatusCode::PAYLOAD_TOO_LARGE,
                None,
                "Request body too large",
            );
        }
        Err(_) => return reply(StatusCode::REQUEST_TIMEOUT, None, "Request body too slow"),
    };
    match envelope::parse(&body) {
        Body::Single(request) => single(request, shared).await,
        Body::Batch(requests) => batch(requests, shared).await,
    }
}

async fn single(request: envelope::Request, shared: &Shared) -> Response<Full<Bytes>> {
    let outcome = carry_out(request.call, shared).await;
    let status = request.sender.http_status(&outcome);
    if request.sender.is_notification() {
        return reply(StatusCode::NO_CONTENT, None, "");
    }
    json_reply(status, &request.sender.reply(outcome))
}

async fn batch(requests: Vec<envelope::Request>, shared: &Shared) -> Response<Full<Bytes>> {
    let asked_nothing = requests.is_empty();
    let mut replies = Vec::new();
    for request in requests {
        let outcome = carry_out(request.call, shared).await;
        if !request.sender.is_notification() {
            replies.push(request.sender.reply(outcome));
        }
        // A long batch must not keep the peers waiting.
        tokio::task::yield_now().await;
    }
    if replies.is_empty() && !asked_nothing {
        return reply(StatusCode::NO_CONTENT, None, "");
    }
    json_reply(200, &Value::Array(replies))
}

async fn carry_out(call: Result<Call, RpcError>, shared: &Shared) -> Result<Value, RpcError> {
    match shared.hub.call(call?)? {
        Reply::Done(value) => Ok(value),
        Reply::Wait(wait) => park(wait, shared).await,
    }
}

async fn park(wait: TipWait, shared: &Shared) -> Result<Value, RpcError> {
    // Given back when dropped, also when the client hangs up.
    let Ok(_place) = shared.waiters.try_acquire() else {
        return fail(
            Code::Misc,
            format!("Too many callers wait for a block (limit {WAITERS_MAX})"),
        );
    };
    let mut tip = shared.hub.tip();
    let mut stopping = shared.hub.stopping();
    tokio::select! {
        // An error means that the daemon is gone; the last tip is answered.
        _ = tip.wait_for(|tip| wait.is_over(tip)) => {}
        () = tokio::time::sleep(wait.timeout.unwrap_or(Duration::MAX)) => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
    let tip = shared.hub.tip().borrow().to_json();
    Ok(tip)
}

fn json_reply(status: u16, value: &Value) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = (CONTENT_TYPE, "application/json");
    reply(status, Some(json), format!("{value}\n"))
}

fn reply(
    status: StatusCode,
    header: Option<(HeaderName, &'static str)>,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    let header = header.map(|(name, value)| (name, HeaderValue::from_static(value)));
    reply.headers_mut().extend(header);
    reply
}
