//! What is answered to those who are let in, and to those who are not.

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use peerlab_core::report::html::live_page;

use super::admission::{Admission, Refusal, random_hex};
use super::watcher::Watcher;
use crate::network::{Order, have_done};

/// Longest order.
const ORDER_BYTES_MAX: usize = 4 << 10;
/// What every answer has: nothing is kept, nothing is shown in another site's frame, nobody is told the
/// address, and no answer is taken for something that it is not.
const HEADERS: [(&str, &str); 5] = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];
/// What the page may do: run its own script, and ask this server.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Answers a request.
pub async fn answer(
    request: Request<Incoming>,
    admission: &Admission,
    watcher: &Watcher,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let asked = match admission.admit(&head.method, &head.uri, &head.headers) {
        Ok(asked) => asked,
        Err(refusal) => return refused(refusal),
    };
    match (&head.method, asked) {
        (&Method::GET, "") => page(watcher),
        (&Method::GET, "state") => state(watcher, head.uri.query()),
        (&Method::GET, "graph") => graph(watcher).await,
        (&Method::POST, "do") => order(watcher, body).await,
        _ => text(StatusCode::NOT_FOUND, "there is no such page"),
    }
}

fn page(watcher: &Watcher) -> Response<Full<Bytes>> {
    let Ok(nonce) = random_hex() else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "no randomness");
    };
    let page = live_page(watcher.network(), &nonce);
    let policy = format!("{POLICY}; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'");
    let mut answer = with(
        StatusCode::OK,
        "text/html; charset=utf-8",
        page.into_bytes(),
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        let name = HeaderName::from_static("content-security-policy");
        answer.headers_mut().insert(name, policy);
    }
    answer
}

fn state(watcher: &Watcher, query: Option<&str>) -> Response<Full<Bytes>> {
    let since = query.and_then(|query| query.strip_prefix("since=")?.parse().ok());
    json(watcher.state(since.unwrap_or_default()))
}

async fn graph(watcher: &Watcher) -> Response<Full<Bytes>> {
    match watcher.graph().await {
        Ok(graph) => json(graph),
        Err(error) => {
            tracing::debug!("{error}");
            // No error to a browser, which would write it down: the page hears of the end by itself.
            json(Ok(br#"{"regions":[],"nodes":[],"links":[]}"#.to_vec()))
        }
    }
}

/// Has an order carried out; what came of it is seen by whoever asks afterwards.
async fn order(watcher: &Watcher, body: Incoming) -> Response<Full<Bytes>> {
    let Ok(body) = Limited::new(body, ORDER_BYTES_MAX).collect().await else {
        return text(
            StatusCode::BAD_REQUEST,
            "the order did not come whole, or is too long",
        );
    };
    let Ok(order) = serde_json::from_slice::<Order>(&body.to_bytes()) else {
        return text(StatusCode::BAD_REQUEST, "the order was not understood");
    };
    let nodes = watcher.nodes();
    let said = have_done(watcher.network(), order, &nodes).await;
    if let Err(error) = watcher.look().await {
        tracing::debug!("{error}");
    }
    json(serde_json::to_vec(&serde_json::json!({ "said": said })))
}

fn json(body: serde_json::Result<Vec<u8>>) -> Response<Full<Bytes>> {
    match body {
        Ok(body) => with(StatusCode::OK, "application/json", body),
        Err(error) => {
            tracing::warn!("{error}");
            text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the answer cannot be written",
            )
        }
    }
}

fn refused(refusal: Refusal) -> Response<Full<Bytes>> {
    tracing::debug!("refused: {refusal:?}");
    let (status, why) = match refusal {
        Refusal::Host => (StatusCode::FORBIDDEN, "reached by a name that is not ours"),
        Refusal::Origin => (StatusCode::FORBIDDEN, "asked by another site"),
        Refusal::Token => (
            StatusCode::FORBIDDEN,
            "the address is not the one that `peerlab watch --web` printed",
        ),
        Refusal::Form => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "orders are JSON"),
        Refusal::Method => (StatusCode::METHOD_NOT_ALLOWED, "GET and POST are known"),
    };
    text(status, why)
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let body = format!("{text}\n").into_bytes();
    with(status, "text/plain; charset=utf-8", body)
}

fn with(status: StatusCode, what: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = HEADERS.into_iter().chain([("content-type", what)]);
    for (name, value) in headers {
        let name = HeaderName::from_static(name);
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    answer
}
