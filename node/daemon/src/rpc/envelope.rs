//! JSON-RPC requests and replies, apart from what the methods mean: versions 1.0, 1.1 and 2.0,
//! single and in batches, with the HTTP status that Bitcoin Core gives each.
//!
//! Version 1 reports a failure by its HTTP status too (500, 404, 400); version 2 and batches
//! answer 200 whatever happened. A version 2 request without an `id` is a notification, which
//! is carried out and not answered.

use serde_json::{Map, Value, json};

use super::error::{Code, RpcError, fail};

/// Most requests in one batch: each is carried out in turn while peers wait.
pub const BATCH_REQUESTS_MAX: usize = 1_000;

/// Which shape a reply has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 1.0 and 1.1: `result` and `error` both present, one of them null.
    V1,
    /// 2.0: one of them present, and a `jsonrpc` member.
    V2,
}

/// What identifies a request to its sender, even if the rest of it cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Sender {
    /// Echoed in the reply; `None` if the request has no such member.
    pub id: Option<Value>,
    /// Shape of the reply.
    pub version: Version,
}

impl Sender {
    /// Whether no reply is wanted.
    pub fn is_notification(&self) -> bool {
        self.version == Version::V2 && self.id.is_none()
    }

    /// The reply to this request.
    pub fn reply(&self, outcome: Result<Value, RpcError>) -> Value {
        let mut reply = match (self.version, outcome) {
            (Version::V1, Ok(result)) => json!({ "result": result, "error": null }),
            (Version::V1, Err(error)) => json!({ "result": null, "error": error.to_json() }),
            (Version::V2, Ok(result)) => json!({ "jsonrpc": "2.0", "result": result }),
            (Version::V2, Err(error)) => json!({ "jsonrpc": "2.0", "error": error.to_json() }),
        };
        if let Some(id) = &self.id {
            reply["id"] = id.clone();
        }
        reply
    }

    /// HTTP status of a single reply.
    pub fn http_status(&self, outcome: &Result<Value, RpcError>) -> u16 {
        match (self.version, outcome) {
            (Version::V2, _) if self.is_notification() => 204,
            (Version::V2, _) | (_, Ok(_)) => 200,
            (Version::V1, Err(error)) => match error.code {
                Code::InvalidRequest => 400,
                Code::MethodNotFound => 404,
                _ => 500,
            },
        }
    }
}

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Name of the method.
    pub method: String,
    /// Array, object, or null for none.
    pub params: Value,
}

/// One request, as far as it could be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// To whom the reply goes.
    pub sender: Sender,
    /// What is asked, or what is wrong with it.
    pub call: Result<Call, RpcError>,
}

impl Request {
    fn new(id: Option<Value>, version: Version, call: Result<Call, RpcError>) -> Request {
        let sender = Sender { id, version };
        Request { sender, call }
    }
}

/// The body of an HTTP request.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// An object.
    Single(Request),
    /// An array.
    Batch(Vec<Request>),
}

/// Reads the body of an HTTP request. One that is no JSON, neither object nor array, or a batch of
/// too many, is a single request that failed with `ParseError`.
pub fn parse(body: &[u8]) -> Body {
    let unread = |message: &str| {
        let call = fail(Code::ParseError, message);
        Body::Single(Request::new(Some(Value::Null), Version::V1, call))
    };
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Body::Single(request(members)),
        Ok(Value::Array(requests)) if requests.len() > BATCH_REQUESTS_MAX => unread(&format!(
            "A batch holds at most {BATCH_REQUESTS_MAX} requests"
        )),
        Ok(Value::Array(requests)) => Body::Batch(requests.into_iter().map(member).collect()),
        Ok(_) => unread("Top-level object parse error"),
        Err(_) => unread("Parse error"),
    }
}

/// A member of a batch.
fn member(value: Value) -> Request {
    match value {
        Value::Object(members) => request(members),
        _ => {
            let call = Err(invalid("Invalid Request object"));
            Request::new(Some(Value::Null), Version::V1, call)
        }
    }
}

fn request(mut members: Map<String, Value>) -> Request {
    let id = members.remove("id");
    match version(&members) {
        Ok(version) => Request::new(id, version, call(members)),
        Err(error) => Request::new(id, Version::V1, Err(error)),
    }
}

fn version(members: &Map<String, Value>) -> Result<Version, RpcError> {
    match members.get("jsonrpc") {
        None | Some(Value::Null) => Ok(Version::V1),
        Some(Value::String(version)) => match version.as_str() {
            "1.0" | "1.1" => Ok(Version::V1),
            "2.0" => Ok(Version::V2),
            _ => Err(invalid("JSON-RPC version not supported")),
        },
        Some(_) => Err(invalid("jsonrpc field must be a string")),
    }
}

fn call(mut members: Map<String, Value>) -> Result<Call, RpcError> {
    let method = match members.remove("method") {
        None | Some(Value::Null) => return Err(invalid("Missing method")),
        Some(Value::String(method)) => method,
        Some(_) => return Err(invalid("Method must be a string")),
    };
    let params = members.remove("params").unwrap_or(Value::Null);
    match params {
        Value::Null | Value::Array(_) | Value::Object(_) => Ok(Call { method, params }),
        _ => Err(invalid("Params must be an array or object")),
    }
}

fn invalid(message: &str) -> RpcError {
    RpcError::new(Code::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(body: &str) -> Request {
        match parse(body.as_bytes()) {
            Body::Single(request) => request,
            Body::Batch(_) => panic!("a batch"),
        }
    }

    #[test]
    fn version_1_replies_have_both_members() {
        let request = single(r#"{"method":"getblockcount","params":[],"id":"x"}"#);
        assert_eq!(request.call.as_ref().unwrap().method, "getblockcount");
        assert_eq!(
            request.sender.reply(Ok(json!(7))),
            json!({"result": 7, "error": null, "id": "x"})
        );
        let missing = RpcError::new(Code::MethodNotFound, "Method not found");
        assert_eq!(request.sender.http_status(&Err(missing.clone())), 404);
        assert_eq!(
            request.sender.reply(Err(missing)),
            json!({"result": null, "error": {"code": -32601, "message": "Method not found"}, "id": "x"})
        );
    }

    #[test]
    fn version_2_replies_have_one_member_and_status_200() {
        let request = single(r#"{"jsonrpc":"2.0","method":"nope","id":1}"#);
        let outcome = fail(Code::MethodNotFound, "Method not found");
        assert_eq!(request.sender.http_status(&outcome), 200);
        assert_eq!(
            request.sender.reply(outcome),
            json!({"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":1})
        );
    }

    #[test]
    fn version_2_without_id_is_a_notification_and_version_1_is_not() {
        let notification = single(r#"{"jsonrpc":"2.0","method":"ping"}"#);
        assert!(notification.sender.is_notification());
        assert_eq!(notification.sender.http_status(&Ok(Value::Null)), 204);
        assert!(!single(r#"{"method":"ping"}"#).sender.is_notification());
        let with_null = single(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#);
        assert!(!with_null.sender.is_notification());
    }

    #[test]
    fn what_is_no_request_is_told_apart() {
        for (body, message) in [
            ("{}", "Missing method"),
            (r#"{"method":5}"#, "Method must be a string"),
            (
                r#"{"method":"a","params":5}"#,
                "Params must be an array or object",
            ),
            (
                r#"{"method":"a","jsonrpc":2}"#,
                "jsonrpc field must be a string",
            ),
            (
                r#"{"method":"a","jsonrpc":"3.0"}"#,
                "JSON-RPC version not supported",
            ),
        ] {
            let error = single(body).call.unwrap_err();
            assert_eq!(
                (error.code, error.message.as_str()),
                (Code::InvalidRequest, message)
            );
        }
        for body in ["", "{", "5", "\"a\"", "nonsense"] {
            let request = single(body);
            assert_eq!(
                request.call.as_ref().unwrap_err().code,
                Code::ParseError,
                "{body}"
            );
            let outcome = request.call.map(|_| Value::Null);
            assert_eq!(request.sender.http_status(&outcome), 500);
            assert_eq!(request.sender.reply(outcome)["id"], Value::Null);
        }
    }

    #[test]
    fn a_batch_keeps_its_order_and_its_broken_members() {
        let Body::Batch(requests) = parse(br#"[{"method":"a","id":1}, 5, {"method":"b","id":2}]"#)
        else {
            panic!("no batch");
        };
        assert_eq!(requests.len(), 3);
        assert_eq!(requests[0].call.as_ref().unwrap().method, "a");
        assert_eq!(
            requests[1].call.as_ref().unwrap_err().message,
            "Invalid Request object"
        );
        assert_eq!(requests[2].sender.id, Some(json!(2)));
    }

    #[test]
    fn nesting_without_end_is_refused_not_followed() {
        let deep = "[".repeat(100_000);
        assert_eq!(single(&deep).call.unwrap_err().code, Code::ParseError);
    }
}
