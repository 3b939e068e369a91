//! Errors as JSON-RPC reports them: Bitcoin Core's codes, by Bitcoin Core's names.

use serde_json::{Value, json};

/// Error codes of Bitcoin Core (`src/rpc/protocol.h`), those that this node uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    /// The body is JSON, but no request.
    InvalidRequest = -32600,
    /// There is no such method.
    MethodNotFound = -32601,
    /// Parameters that exclude each other.
    InvalidParams = -32602,
    /// Something broke inside the node: nothing the caller could have done better.
    InternalError = -32603,
    /// The body is no JSON.
    ParseError = -32700,
    /// Anything without a code of its own; wrong number of parameters.
    Misc = -1,
    /// A parameter has the wrong JSON type.
    Type = -3,
    /// An address, a block hash or a transaction that is not known.
    InvalidAddressOrKey = -5,
    /// A parameter is out of range or malformed.
    InvalidParameter = -8,
    /// The store failed.
    Database = -20,
    /// Hex that does not decode to what it should be.
    Deserialization = -22,
    /// `addnode add` of a node that was added before.
    NodeAlreadyAdded = -23,
    /// `addnode remove` of a node that was never added.
    NodeNotAdded = -24,
    /// A transaction or block that failed for a general reason.
    Verify = -25,
    /// A transaction that the rules of the mempool refuse.
    VerifyRejected = -26,
    /// A transaction whose outputs are in the chain already.
    VerifyAlready = -27,
    /// The node is still loading.
    InWarmup = -28,
    /// `disconnectnode` of a node that is not connected.
    NodeNotConnected = -29,
    /// Not an IP address or subnet.
    InvalidIpOrSubnet = -30,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// Which kind.
    pub code: Code,
    /// For people, in Bitcoin Core's words where it has some.
    pub message: String,
}

impl RpcError {
    /// An error of this kind.
    pub fn new(code: Code, message: impl Into<String>) -> RpcError {
        RpcError {
            code,
            message: message.into(),
        }
    }

    /// The `error` member of a reply.
    pub fn to_json(&self) -> Value {
        json!({ "code": self.code as i32, "message": self.message })
    }
}

/// What must be there, must have worked, or must hold, or else the caller is answered an error.
pub trait OrFail<T> {
    /// The error is of this kind.
    ///
    /// # Errors
    /// Where it is not so.
    fn or_fail(self, code: Code, message: impl Into<String>) -> Result<T, RpcError>;
}

impl<T> OrFail<T> for Option<T> {
    fn or_fail(self, code: Code, message: impl Into<String>) -> Result<T, RpcError> {
        self.ok_or_else(|| RpcError::new(code, message))
    }
}

impl<T, E> OrFail<T> for Result<T, E> {
    fn or_fail(self, code: Code, message: impl Into<String>) -> Result<T, RpcError> {
        self.ok().or_fail(code, message)
    }
}

impl OrFail<()> for bool {
    fn or_fail(self, code: Code, message: impl Into<String>) -> Result<(), RpcError> {
        self.then_some(()).or_fail(code, message)
    }
}

/// A failure of this kind.
///
/// # Errors
/// Always: that is what it is for.
pub fn fail<T>(code: Code, message: impl Into<String>) -> Result<T, RpcError> {
    Err(RpcError::new(code, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_carries_the_numeric_code() {
        let error = RpcError::new(Code::InWarmup, "Loading block index…");
        assert_eq!(
            error.to_json(),
            json!({ "code": -28, "message": "Loading block index…" })
        );
    }
}
