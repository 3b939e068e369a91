//! `peerlab rpc NODE METHOD ARGS..`: what a node answers to one of its methods.

use std::process::ExitCode;

use clap_complete::engine::ArgValueCandidates;
use peerlab_core::error::Result;
use serde_json::Value;

use super::complete::node_names;
use super::networks::{Which, json};
use crate::network::{Reply, Request, unexpected};
use crate::ui::Ui;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// The node, as `peers-3`
    #[arg(add = ArgValueCandidates::new(node_names))]
    node: String,
    /// Its method, as `getblockcount`
    method: String,
    /// Its parameters: JSON, or else a text
    #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
    params: Vec<String>,
}

/// Asks the node. A text is printed as it is, though it cannot drive a terminal; anything else as JSON.
///
/// # Errors
/// When the node is down, or refuses.
pub async fn rpc(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let request = Request::Rpc {
        node: args.node.clone(),
        method: args.method.clone(),
        params: args.params.iter().map(|text| parameter(text)).collect(),
    };
    let text = match args.which.ask(request).await? {
        Reply::Value(Value::String(text)) if !args.which.json => format!("{}\n", ui.of_node(&text)),
        Reply::Value(value) => json(&value)?,
        other => return Err(unexpected(&other)),
    };
    ui.result(&text);
    Ok(ExitCode::SUCCESS)
}

/// What is JSON is that; a hash or an address is none.
fn parameter(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_json_or_texts() {
        assert_eq!(parameter("5"), json!(5));
        assert_eq!(parameter("true"), json!(true));
        assert_eq!(parameter(r#"["a", 1]"#), json!(["a", 1]));
        assert_eq!(parameter("bcrt1qxyz"), json!("bcrt1qxyz"));
        assert_eq!(parameter(r#""5""#), json!("5"));
        // A hash of digits alone, whose number no double holds, is a text in quotes.
        assert_eq!(parameter("0123"), json!("0123"));
    }
}
