//! JSON-RPC as Bitcoin Core answers it, by one kept-alive HTTP connection. One call at a time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bitcoin::consensus::encode::serialize_hex;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use peerlab_link::{Nanos, NodeId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::AbortOnDropHandle;

use super::{Answer, Chain, Connection, Ledger, Methods, Probe, ProbeError, Said};
use peerlab_core::conduct::BlockFacts;
use peerlab_core::event::Tip;
use peerlab_core::event::{CompactSums, LedgerState, PeerSums, StateDigest};
use peerlab_core::ledger::{self, AddressForm, Payment};

/// User and password of every node's RPC ([`peerlab_core::plan::RPC_AUTH`], twice), as the header has it.
const AUTHORIZATION_VALUE: &str = "Basic cGVlcmxhYjpwZWVybGFi";
/// Of a block's hash, in hex.
const HASH_DIGITS: usize = 64;
/// Longest answer that is read: a block's ids, or the peers of a well-connected node.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Bitcoin Core's code for a wrong number of parameters (its help text as the message).
const CODE_MISC: i64 = -1;
/// Its code for an address that is none, or another chain's.
const CODE_INVALID_ADDRESS: i64 = -5;
/// Its code for a parameter that it does not know.
const CODE_INVALID_PARAMETER: i64 = -8;
/// The digests of the ledger's state for which a node is asked, until it knows one.
const DIGESTS: [&str; 3] = ["muhash", "hash_serialized_3", "hash_serialized_2"];
/// Longest wait of a node that cannot be told which tip is known.
const BLIND_WAIT: Duration = Duration::from_secs(2);

/// A connection to a node's RPC. Dropping it closes the connection.
#[derive(Debug)]
pub struct BitcoinRpc {
    sender: http1::SendRequest<Full<Bytes>>,
    _connection: AbortOnDropHandle<()>,
    /// Whether `waitfornewblock` takes the known tip (Bitcoin Core 29 and our node do).
    waits_from_tip: bool,
    /// Which addresses `generatetoaddress` takes, as far as is known.
    pays_to: AddressForm,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    result: Value,
    error: Option<RpcFailure>,
}

#[derive(Deserialize)]
struct RpcFailure {
    code: i64,
    message: String,
}

#[derive(Deserialize)]
struct ChainInfo {
    blocks: u32,
    bestblockhash: String,
}

#[derive(Deserialize)]
struct UtxoSet {
    height: u32,
    bestblock: String,
    #[serde(flatten)]
    digest: Option<StateDigest>,
}

#[derive(Deserialize)]
struct Peer {
    /// Its address and port, where it is one of the internet.
    #[serde(default)]
    addr: String,
    inbound: bool,
    #[serde(default)]
    bytessent_per_msg: BTreeMap<String, u64>,
    #[serde(default)]
    bytesrecv_per_msg: BTreeMap<String, u64>,
}

/// Of `getnettotals`, what our own node adds to Bitcoin Core's answer.
#[derive(Deserialize)]
struct Totals {
    compactblocks: Option<CompactTotals>,
}

#[derive(Deserialize)]
struct CompactTotals {
    rebuilt: u64,
    asked: u64,
    missing: u64,
    waitednanos: u64,
}

impl From<CompactTotals> for CompactSums {
    fn from(totals: CompactTotals) -> CompactSums {
        CompactSums {
            rebuilt: totals.rebuilt,
            asked: totals.asked,
            missing: totals.missing,
            waited: Nanos(totals.waitednanos),
        }
    }
}

impl BitcoinRpc {
    /// Speaks HTTP over an open stream. Nothing is asked yet.
    ///
    /// # Errors
    /// When the stream is already broken.
    pub async fn connect<S>(stream: S) -> Result<BitcoinRpc, ProbeError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(async move {
            // What ends the connection is told to the caller by the call that it fails.
            let _ = connection.await;
        });
        Ok(BitcoinRpc {
            sender,
            _connection: AbortOnDropHandle::new(connection),
            waits_from_tip: true,
            pays_to: AddressForm::Bech32,
        })
    }

    async fn best_block(&mut self) -> Result<Tip, ProbeError> {
        let info: ChainInfo = self.call("getblockchaininfo", json!([])).await?;
        Ok(Tip {
            hash: info.bestblockhash,
            height: info.blocks,
        })
    }

    /// The best block, as soon as it is another than `known`, or after `timeout`.
    async fn best_block_after(
        &mut self,
        known: &Tip,
        timeout: Duration,
    ) -> Result<Tip, ProbeError> {
        if !self.waits_from_tip {
            // A block that comes between two waits would be missed until the wait is over.
            let tip = self.best_block().await?;
            if tip != *known {
                return Ok(tip);
            }
            let timeout = timeout.min(BLIND_WAIT);
            let params = json!([timeout.as_millis() as u64]);
            return self.call("waitfornewblock", params).await;
        }
        let params = json!([timeout.as_millis() as u64, known.hash]);
        match self.call("waitfornewblock", params).await {
            Err(ProbeError::Refused {
                code: CODE_MISC, ..
            }) => {
                self.waits_from_tip = false;
                self.best_block().await
            }
            other => other,
        }
    }

    /// The hashes of what was mined: one block.
    async fn generate(&mut self, miner: NodeId) -> Result<Vec<String>, ProbeError> {
        let pay = |form| json!([1, ledger::payout_address(miner, form)]);
        let mined = self.call("generatetoaddress", pay(self.pays_to)).await;
        if !is_refused(&mined, CODE_INVALID_ADDRESS) || self.pays_to == AddressForm::Base58 {
            return mined;
        }
        let again = self
            .call("generatetoaddress", pay(AddressForm::Base58))
            .await;
        if is_refused(&again, CODE_INVALID_ADDRESS) {
            return mined;
        }
        self.pays_to = AddressForm::Base58;
        again
    }

    /// The set of unspent outputs, with the first digest that the node knows.
    async fn utxo_set(&mut self) -> Result<UtxoSet, ProbeError> {
        let [first, others @ ..] = DIGESTS;
        let told = self.call("gettxoutsetinfo", json!([first])).await;
        if !is_refused(&told, CODE_INVALID_PARAMETER) {
            return told;
        }
        for digest in others {
            let again = self.call("gettxoutsetinfo", json!([digest])).await;
            if !is_refused(&again, CODE_INVALID_PARAMETER) {
                return again;
            }
        }
        told
    }

    async fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: Value,
    ) -> Result<T, ProbeError> {
        let body = json!({ "jsonrpc": "1.0", "id": "peerlab", "method": method, "params": params });
        let request = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header(HOST, "localhost")
            .header(AUTHORIZATION, AUTHORIZATION_VALUE)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|e| ProbeError::Malformed(e.to_string()))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|e| ProbeError::Transport(e.to_string()))?
            .to_bytes();
        // Errors come with a status of 4xx or 5xx and an envelope; 401 and 503 without one.
        let envelope: Envelope = serde_json::from_slice(&body).map_err(|e| {
            if status.is_success() {
                ProbeError::Malformed(format!("{method}: {e}"))
            } else {
                ProbeError::Http(status.to_string())
            }
        })?;
        if let Some(RpcFailure { code, message }) = envelope.error {
            return Err(ProbeError::Refused { code, message });
        }
        serde_json::from_value(envelope.result)
            .map_err(|e| ProbeError::Malformed(format!("{method}: {e}")))
    }
}

impl Probe for BitcoinRpc {
    fn said(&mut self) -> Answer<'_, Said> {
        Box::pin(async { Ok(Said::Tip(self.best_block().await?)) })
    }

    fn said_after<'a>(&'a mut self, known: &'a Said, timeout: Duration) -> Answer<'a, Said> {
        Box::pin(async move {
            let tip = match known {
                Said::Tip(known) => self.best_block_after(known, timeout).await?,
                Said::Value(_) | Said::Nothing => self.best_block().await?,
            };
            Ok(Said::Tip(tip))
        })
    }

    fn chain(&mut self) -> Option<&mut dyn Chain> {
        Some(self)
    }

    fn ledger(&mut self) -> Option<&mut dyn Ledger> {
        Some(self)
    }

    fn methods(&mut self) -> Option<&mut dyn Methods> {
        Some(self)
    }
}

impl Methods for BitcoinRpc {
    fn ask<'a>(&'a mut self, method: &'a str, params: Value) -> Answer<'a, Value> {
        Box::pin(self.call(method, params))
    }
}

impl Chain for BitcoinRpc {
    fn block<'a>(&'a mut self, hash: &'a str) -> Answer<'a, BlockFacts> {
        Box::pin(async move { self.call("getblock", json!([hash, 1])).await })
    }

    fn peers(&mut self) -> Answer<'_, PeerSums> {
        Box::pin(async {
            let peers = self.call("getpeerinfo", json!([])).await?;
            // A program that does not know the method can do without.
            let totals = self.call("getnettotals", json!([])).await;
            let compact = totals.ok().and_then(|totals: Totals| totals.compactblocks);
            Ok(PeerSums {
                compact: compact.map(CompactSums::from),
                ..sum_up(peers)
            })
        })
    }

    fn connections(&mut self) -> Answer<'_, Vec<Connection>> {
        Box::pin(async {
            let peers: Vec<Peer> = self.call("getpeerinfo", json!([])).await?;
            let connection = |peer: Peer| Connection {
                other: peer.addr.parse().ok().map(|it: SocketAddr| it.ip()),
                inbound: peer.inbound,
            };
            Ok(peers.into_iter().map(connection).collect())
        })
    }
}

impl Ledger for BitcoinRpc {
    fn mine(&mut self, miner: NodeId) -> Answer<'_, String> {
        Box::pin(async move {
            let first = self.generate(miner).await?.into_iter().next();
            let first = first.ok_or_else(|| ProbeError::Malformed("no block was mined".into()))?;
            // People are shown it.
            if first.len() != HASH_DIGITS || !first.bytes().all(|it| it.is_ascii_hexdigit()) {
                return Err(ProbeError::Malformed("the block's hash is none".into()));
            }
            Ok(first)
        })
    }

    fn submit<'a>(&'a mut self, payment: &'a Payment) -> Answer<'a, ()> {
        Box::pin(async move {
            let hex = serialize_hex(&payment.transaction);
            let _: Value = self.call("sendrawtransaction", json!([hex])).await?;
            Ok(())
        })
    }

    fn state(&mut self) -> Answer<'_, LedgerState> {
        Box::pin(async {
            let set = self.utxo_set().await?;
            Ok(LedgerState {
                tip: Tip {
                    hash: set.bestblock,
                    height: set.height,
                },
                digest: set.digest,
            })
        })
    }
}

/// Whether the node answered with an error of this code.
fn is_refused<T>(answer: &Result<T, ProbeError>, of: i64) -> bool {
    matches!(answer, Err(ProbeError::Refused { code, .. }) if *code == of)
}

fn sum_up(peers: Vec<Peer>) -> PeerSums {
    let mut sums = PeerSums::default();
    for peer in peers {
        if peer.inbound {
            sums.inbound += 1;
        } else {
            sums.outbound += 1;
        }
        for (into, from) in [
            (&mut sums.sent, peer.bytessent_per_msg),
            (&mut sums.received, peer.bytesrecv_per_msg),
        ] {
            for (message, bytes) in from {
                let sum = into.entry(message).or_default();
                *sum = bytes.saturating_add(*sum);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    /// Plays a node: checks that each request holds `wants` and answers it.
    async fn node(mut stream: DuplexStream, script: Vec<(&'static str, u16, String)>) {
        for (wants, status, body) in script {
            let mut request = Vec::new();
            while !String::from_utf8_lossy(&request).contains("\"params\"")
                || !request.ends_with(b"}")
            {
                let mut piece = [0; 4096];
                let read = stream.read(&mut piece).await.unwrap();
                assert_ne!(read, 0, "the probe went away");
                request.extend_from_slice(&piece[..read]);
            }
            let request = String::from_utf8(request).unwrap();
            assert!(request.contains(wants), "{request}");
            assert!(
                request.contains("authorization: Basic cGVlcmxhYjpwZWVybGFi"),
                "{request}"
            );
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    async fn probe(script: Vec<(&'static str, u16, String)>) -> BitcoinRpc {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        tokio::spawn(node(theirs, script));
        BitcoinRpc::connect(ours).await.unwrap()
    }

    fn ok(result: Value) -> String {
        json!({ "result": result, "error": null, "id": "peerlab" }).to_string()
    }

    #[tokio::test]
    async fn several_calls_go_over_one_connection() {
        let mut rpc = probe(vec![
            (
                "getblockchaininfo",
                200,
                ok(json!({ "blocks": 3, "bestblockhash": "cc" })),
            ),
            (
                "[30000,\"cc\"]",
                200,
                ok(json!({ "hash": "dd", "height": 4 })),
            ),
        ])
        .await;
        let tip = rpc.best_block().await.unwrap();
        assert_eq!((tip.hash.as_str(), tip.height), ("cc", 3));
        let next = rpc
            .best_block_after(&tip, Duration::from_secs(30))
            .await
            .unwrap();
        assert_eq!((next.hash.as_str(), next.height), ("dd", 4));
    }

    #[tokio::test]
    async fn a_node_that_waits_without_a_known_tip_is_looked_at_first() {
        let help = json!({ "result": null, "error": { "code": -1, "message": "waitfornewblock ( timeout )" } });
        let mut rpc = probe(vec![
            ("waitfornewblock", 500, help.to_string()),
            (
                "getblockchaininfo",
                200,
                ok(json!({ "blocks": 4, "bestblockhash": "dd" })),
            ),
            (
                "getblockchaininfo",
                200,
                ok(json!({ "blocks": 4, "bestblockhash": "dd" })),
            ),
            ("[1000]", 200, ok(json!({ "hash": "ee", "height": 5 }))),
        ])
        .await;
        let known = Tip {
            hash: "cc".into(),
            height: 3,
        };
        let second = Duration::from_secs(1);
        let tip = rpc.best_block_after(&known, second).await.unwrap();
        assert_eq!(tip.height, 4);
        let tip = rpc.best_block_after(&tip, second).await.unwrap();
        assert_eq!(tip.height, 5);
    }

    #[tokio::test]
    async fn a_refusal_keeps_the_nodes_words() {
        let body = json!({ "result": null, "error": { "code": -26, "message": "txn-mempool-conflict" }, "id": 1 });
        let mut rpc = probe(vec![("sendrawtransaction", 500, body.to_string())]).await;
        let payment = Payment::new(&ledger::Premined::mine(1), 0, 0).unwrap();
        let error = rpc.submit(&payment).await.unwrap_err();
        assert_eq!(error.to_string(), "txn-mempool-conflict (code -26)");
    }

    fn refusal(code: i64, message: &str) -> String {
        json!({ "result": null, "error": { "code": code, "message": message } }).to_string()
    }

    #[tokio::test]
    async fn who_does_not_take_bitcoins_address_is_asked_by_another_and_then_by_that() {
        let hash = "ab".repeat(HASH_DIGITS / 2);
        let mut rpc = probe(vec![
            (
                "bcrt1q",
                500,
                refusal(CODE_INVALID_ADDRESS, "Error: Invalid address"),
            ),
            ("[1,\"m", 200, ok(json!([hash]))),
            ("[1,\"m", 200, ok(json!([hash]))),
        ])
        .await;
        for _ in 0..2 {
            assert_eq!(rpc.mine(NodeId(0)).await.as_ref(), Ok(&hash));
        }
    }

    #[tokio::test]
    async fn who_takes_no_address_or_does_not_mine_says_so_in_its_first_words() {
        let mut rpc = probe(vec![
            (
                "bcrt1q",
                500,
                refusal(CODE_INVALID_ADDRESS, "no such address"),
            ),
            ("[1,\"m", 500, refusal(CODE_INVALID_ADDRESS, "nor this")),
            ("bcrt1q", 500, refusal(-32601, "Method not found")),
        ])
        .await;
        let error = rpc.mine(NodeId(0)).await.unwrap_err();
        assert_eq!(error.to_string(), "no such address (code -5)");
        let error = rpc.mine(NodeId(0)).await.unwrap_err();
        assert_eq!(error.to_string(), "Method not found (code -32601)");
    }

    #[tokio::test]
    async fn the_state_is_told_by_the_first_digest_that_the_node_knows() {
        let set = |digest: &str| ok(json!({ "height": 4, "bestblock": "dd", digest: "ff" }));
        let unknown = |digest: &str| {
            let words = format!("{digest} is not a valid hash_type");
            refusal(CODE_INVALID_PARAMETER, &words)
        };
        let mut rpc = probe(vec![
            ("[\"muhash\"]", 200, set("muhash")),
            ("[\"muhash\"]", 500, unknown("muhash")),
            ("[\"hash_serialized_3\"]", 200, set("hash_serialized_3")),
            ("[\"muhash\"]", 500, unknown("muhash")),
            ("[\"hash_serialized_3\"]", 500, unknown("hash_serialized_3")),
            ("[\"hash_serialized_2\"]", 200, set("hash_serialized_2")),
        ])
        .await;
        for digest in [
            StateDigest::Muhash("ff".into()),
            StateDigest::HashSerialized3("ff".into()),
            StateDigest::HashSerialized2("ff".into()),
        ] {
            let state = rpc.state().await.unwrap();
            assert_eq!((state.tip.height, state.digest), (4, Some(digest)));
        }
    }

    #[tokio::test]
    async fn who_knows_no_digest_says_so_in_its_first_words() {
        let refused = |wants, words| (wants, 500, refusal(CODE_INVALID_PARAMETER, words));
        let mut rpc = probe(vec![
            refused("\"muhash\"", "no muhash"),
            refused("hash_serialized_3", "no third"),
            refused("hash_serialized_2", "no second"),
            ("\"muhash\"", 500, refusal(-28, "Loading block index")),
        ])
        .await;
        let error = rpc.state().await.unwrap_err();
        assert_eq!(error.to_string(), "no muhash (code -8)");
        // Another refusal says nothing of digests.
        let error = rpc.state().await.unwrap_err();
        assert_eq!(error.to_string(), "Loading block index (code -28)");
    }

    #[tokio::test]
    async fn an_answer_that_is_no_json_is_an_error() {
        let mut rpc = probe(vec![
            ("getpeerinfo", 401, String::new()),
            ("getpeerinfo", 200, "hello".into()),
        ])
        .await;
        let error = rpc.peers().await.unwrap_err();
        assert_eq!(error.to_string(), "HTTP 401 Unauthorized");
        let error = rpc.peers().await.unwrap_err();
        let malformed = "answer not understood: getpeerinfo: ";
        assert!(error.to_string().starts_with(malformed), "{error}");
    }

    #[tokio::test]
    async fn bytes_by_message_type_are_summed_over_peers() {
        let peers = json!([
            { "inbound": true, "bytessent_per_msg": { "inv": 10 }, "bytesrecv_per_msg": { "tx": 1 } },
            { "inbound": false, "bytessent_per_msg": { "inv": 5, "ping": 2 } },
        ]);
        let compact = json!({ "rebuilt": 7, "asked": 2, "missing": 9, "waitednanos": 5000 });
        let totals = json!({ "totalbytessent": 17, "compactblocks": compact });
        let mut rpc = probe(vec![
            ("getpeerinfo", 200, ok(peers.clone())),
            ("getnettotals", 200, ok(totals)),
            ("getpeerinfo", 200, ok(peers)),
            ("getnettotals", 200, ok(json!({ "totalbytessent": 17 }))),
        ])
        .await;
        let sums = rpc.peers().await.unwrap();
        let compact = sums.compact.unwrap();
        assert_eq!((compact.rebuilt, compact.asked, compact.missing), (7, 2, 9));
        assert_eq!(compact.waited, Nanos(5_000));
        assert_eq!((sums.inbound, sums.outbound), (1, 1));
        assert_eq!(sums.sent["inv"], 15);
        assert_eq!(sums.received["tx"], 1);
        // Bitcoin Core does not count that.
        assert_eq!(rpc.peers().await.unwrap().compact, None);
    }

    #[tokio::test]
    async fn connections_are_told_each_by_itself() {
        let peers = json!([
            { "addr": "10.0.0.7:18444", "inbound": false },
            { "addr": "somewhere.onion:8333", "inbound": true },
        ]);
        let mut rpc = probe(vec![("getpeerinfo", 200, ok(peers))]).await;
        let connections = rpc.connections().await.unwrap();
        let told = connections.iter().map(|it| (it.other, it.inbound));
        let seven = "10.0.0.7".parse().unwrap();
        assert_eq!(
            told.collect::<Vec<_>>(),
            [(Some(seven), false), (None, true)]
        );
    }
}
