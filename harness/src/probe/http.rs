//! A probe for whoever answers HTTP/1.1: a request, and what of the answer the node says. Each is a
//! connection of its own, since servers close theirs as they like.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONNECTION, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use peerlab_core::experiment::pattern::{compile, last_match};
use peerlab_core::experiment::{HttpProbe, HttpValue};
use regex::Regex;
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use super::polled::{Ask, value};
use super::{Answer, ProbeError, Reach, Said};

/// Longest answer that is read, bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

pub struct Http<R> {
    reach: R,
    port: u16,
    request: Request<Full<Bytes>>,
    status: Option<StatusCode>,
    value: Place,
}

/// Where in an answer the value is.
enum Place {
    Nowhere,
    Json(String),
    Regex(Regex),
}

impl<R: Reach> Http<R> {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// When no such request can be made.
    pub fn new(reach: R, probe: &HttpProbe) -> Result<Http<R>, ProbeError> {
        let status = probe.status.map(StatusCode::from_u16).transpose();
        Ok(Http {
            reach,
            port: probe.port,
            request: request(probe)?,
            status: status.map_err(|e| ProbeError::Malformed(e.to_string()))?,
            value: match &probe.value {
                None => Place::Nowhere,
                Some(HttpValue::Json(pointer)) => Place::Json(pointer.clone()),
                Some(HttpValue::Regex(pattern)) => {
                    Place::Regex(compile(pattern).map_err(ProbeError::Malformed)?)
                }
            },
        })
    }

    async fn get(&self) -> Result<Said, ProbeError> {
        let stream = self.reach.dial(self.port).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let _connection = AbortOnDropHandle::new(tokio::spawn(async move {
            // What ends the connection is told by the request that it fails.
            let _ = connection.await;
        }));
        let response = sender.send_request(self.request.clone()).await?;
        let status = response.status();
        let expected = self.status.map_or(status.is_success(), |it| it == status);
        if !expected {
            return Err(ProbeError::Http(status.to_string()));
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let body = body.collect().await;
        let body = body.map_err(|e| ProbeError::Transport(e.to_string()))?;
        self.value.of(&body.to_bytes())
    }
}

impl Place {
    /// What the node says by an answer with this body.
    fn of(&self, body: &[u8]) -> Result<Said, ProbeError> {
        match self {
            Place::Nowhere => Ok(Said::Nothing),
            Place::Json(pointer) => {
                let answer: Value = serde_json::from_slice(body)
                    .map_err(|e| ProbeError::Malformed(format!("it is no JSON: {e}")))?;
                match answer.pointer(pointer) {
                    None => Err(ProbeError::Malformed(format!("it has no {pointer}"))),
                    Some(Value::Null) => Ok(Said::Nothing),
                    Some(Value::String(text)) => value(text),
                    Some(other) => value(&other.to_string()),
                }
            }
            Place::Regex(pattern) => {
                let text = String::from_utf8_lossy(body);
                let found = last_match(pattern, &text);
                value(found.ok_or_else(|| {
                    ProbeError::Malformed(format!("nothing in it matches {pattern}"))
                })?)
            }
        }
    }
}

fn request(probe: &HttpProbe) -> Result<Request<Full<Bytes>>, ProbeError> {
    let mut request = Request::builder()
        .method(probe.method.as_str())
        .uri(&probe.path)
        .header(CONNECTION, "close");
    for (name, value) in &probe.headers {
        request = request.header(name, value);
    }
    if !has(probe, HOST.as_str()) {
        request = request.header(HOST, format!("localhost:{}", probe.port));
    }
    if let Some(user) = &probe.user {
        let password = probe.password.as_deref().unwrap_or_default();
        let both = BASE64_STANDARD.encode(format!("{user}:{password}"));
        request = request.header(AUTHORIZATION, format!("Basic {both}"));
    }
    let body = probe.body.clone().unwrap_or_default();
    request
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| ProbeError::Malformed(format!("no such request can be made: {e}")))
}

fn has(probe: &HttpProbe, header: &str) -> bool {
    let mut names = probe.headers.iter().map(|(name, _)| name);
    names.any(|name| name.eq_ignore_ascii_case(header))
}

impl<R: Reach> Ask for Http<R> {
    fn ask(&mut self) -> Answer<'_, Said> {
        Box::pin(self.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::scripted::Scripted;

    fn probe(value: Option<HttpValue>) -> HttpProbe {
        HttpProbe {
            port: 8080,
            method: "POST".into(),
            path: "/status?full=1".into(),
            headers: vec![("X-Kind".into(), "a b".into())],
            body: Some("{}".into()),
            user: Some("peer".into()),
            password: Some("lab".into()),
            status: None,
            value,
        }
    }

    async fn said(probe: &HttpProbe, answer: &str) -> Result<Said, ProbeError> {
        let reach = Scripted::replies(answer);
        Http::new(reach, probe).unwrap().ask().await
    }

    fn answer(status: u16, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}")
    }

    #[tokio::test]
    async fn the_request_is_what_the_file_says() {
        let reach = Scripted::replies(&answer(200, ""));
        let heard = reach.heard();
        let mut http = Http::new(reach, &probe(None)).unwrap();
        assert_eq!(http.ask().await, Ok(Said::Nothing));
        let heard = heard.lock().unwrap();
        let heard = String::from_utf8_lossy(&heard);
        assert!(
            heard.starts_with("POST /status?full=1 HTTP/1.1\r\n"),
            "{heard}"
        );
        for line in [
            "x-kind: a b\r\n",
            "host: localhost:8080\r\n",
            "authorization: Basic cGVlcjpsYWI=\r\n",
            "content-length: 2\r\n",
        ] {
            assert!(heard.contains(line), "{line} is not in {heard}");
        }
        assert!(heard.ends_with("\r\n\r\n{}"), "{heard}");
    }

    #[tokio::test]
    async fn the_value_is_where_the_file_says() {
        let json = |pointer: &str| probe(Some(HttpValue::Json(pointer.into())));
        let regex = |pattern: &str| probe(Some(HttpValue::Regex(pattern.into())));
        let body = answer(200, r#"{"a":[{"b":7},"x"],"leader":null}"#);
        let value = |text: &str| Ok(Said::Value(text.into()));
        assert_eq!(said(&json("/a/0/b"), &body).await, value("7"));
        assert_eq!(said(&json("/a/1"), &body).await, value("x"));
        assert_eq!(said(&json("/a/0"), &body).await, value(r#"{"b":7}"#));
        assert_eq!(said(&json("/leader"), &body).await, Ok(Said::Nothing));
        assert_eq!(said(&regex(r#""b":(\d+)"#), &body).await, value("7"));
        for (probe, told) in [
            (json("/b"), "answer not understood: it has no /b"),
            (
                regex("c+"),
                "answer not understood: nothing in it matches c+",
            ),
        ] {
            let error = said(&probe, &body).await.unwrap_err();
            assert_eq!(error.to_string(), told);
        }
        let error = said(&json("/a"), &answer(200, "hello")).await.unwrap_err();
        assert!(matches!(error, ProbeError::Malformed(_)), "{error}");
    }

    #[tokio::test]
    async fn another_status_is_no_answer() {
        let any = probe(None);
        assert_eq!(said(&any, &answer(204, "")).await, Ok(Said::Nothing));
        let error = said(&any, &answer(503, "")).await.unwrap_err();
        assert_eq!(error.to_string(), "HTTP 503 Service Unavailable");
        let wanted = HttpProbe {
            status: Some(503),
            ..any
        };
        assert_eq!(said(&wanted, &answer(503, "")).await, Ok(Said::Nothing));
        assert!(said(&wanted, &answer(200, "")).await.is_err());
    }

    #[tokio::test]
    async fn an_answer_without_end_is_not_read_to_it() {
        let endless = format!("HTTP/1.1 200 X\r\n\r\n{}", "x".repeat(ANSWER_BYTES_MAX + 1));
        let error = said(&probe(None), &endless).await.unwrap_err();
        assert!(matches!(error, ProbeError::Transport(_)), "{error}");
    }
}
