//! Asks a node that runs already, over its JSON-RPC, as a person or a script would (`-ask`). One
//! question, without parameters; the whole answer.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use peerlab_node::options::{Failure, Settings};
use serde_json::{Value, json};

use crate::rpc::auth::COOKIE_FILE;

/// How long the node may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// What the node answers: a text as it is, anything else as JSON.
///
/// # Errors
/// When there is no node, it lets nobody in with this login, or it refuses the method.
pub fn ask(settings: &Settings, method: &str) -> Result<String, Failure> {
    let failed = || Failure::new(format!("cannot ask the node for {method}"));
    let login = match &settings.rpc_login {
        Some((user, password)) => format!("{user}:{password}"),
        None => std::fs::read_to_string(settings.folder.join(COOKIE_FILE))
            .map_err(|error| failed().cause(error).hint("is it running?"))?,
    };
    let to = settings.rpc.first().ok_or_else(failed)?;
    let reply = post(*to, &login, method).map_err(|error| failed().cause(error))?;
    let body = reply.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let envelope: Value = serde_json::from_str(body)
        .map_err(|_| failed().cause(reply.lines().next().unwrap_or_default()))?;
    match (&envelope["error"], &envelope["result"]) {
        (Value::Null, Value::String(text)) => Ok(text.clone()),
        (Value::Null, result) => Ok(result.to_string()),
        (error, _) => Err(failed().cause(&error["message"])),
    }
}

fn post(to: SocketAddr, login: &str, method: &str) -> io::Result<String> {
    let body = json!({ "id": "ask", "method": method, "params": [] }).to_string();
    let mut stream = TcpStream::connect_timeout(&to, ANSWER_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        STANDARD.encode(login),
        body.len(),
    )?;
    let mut reply = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut reply)?;
    Ok(reply)
}
