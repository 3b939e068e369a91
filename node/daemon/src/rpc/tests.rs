//! The methods on a machine without sockets.

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use peerlab_node::chain::Chain;
use peerlab_node::chain::MemoryStore;
use peerlab_node::mempool::Mempool;
use peerlab_node::time::Time;
use peerlab_node::{Config, Machine};
use serde_json::{Value, json};

use super::context::{Context, Reply};
use super::envelope::Call;
use super::error::{Code, RpcError};
use super::methods::{NONCES_PER_CALL, call};
use super::wait::{TipWait, Until};

/// Pays to the witness script `OP_TRUE`, which everybody can spend.
const PAYOUT: &str = "bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85";
const GENESIS: &str = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206";

struct Node {
    machine: Machine,
    now: Time,
    nonce: u64,
    stop: bool,
}

impl Node {
    fn new() -> Node {
        let (chain, _) = Chain::open(Box::new(MemoryStore::default())).unwrap();
        let now = Time::from_unix_secs(1_800_000_000);
        Node {
            machine: Machine::new(Config::default(), chain, Mempool::new(), 1, now),
            now,
            nonce: 0,
            stop: false,
        }
    }

    fn reply(&mut self, method: &str, params: Value) -> Result<Reply, RpcError> {
        let mut context = Context {
            machine: &mut self.machine,
            now: self.now,
            started: Time::from_unix_secs(1_799_999_900),
            nonce: self.nonce,
            size_on_disk: 4_096,
            stop: false,
        };
        let outcome = call(
            &mut context,
            Call {
                method: method.to_owned(),
                params,
            },
        );
        self.stop |= context.stop;
        self.nonce += NONCES_PER_CALL;
        while self.machine.poll_output().is_some() {}
        outcome
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        match self.reply(method, params) {
            Ok(Reply::Done(value)) => value,
            other => panic!("{method}: {other:?}"),
        }
    }

    fn fail(&mut self, method: &str, params: Value) -> (Code, String) {
        let error = self.reply(method, params).unwrap_err();
        (error.code, error.message)
    }

    fn mine(&mut self, count: u64) -> Vec<Value> {
        let hashes = self.call("generatetoaddress", json!([count, PAYOUT]));
        hashes.as_array().unwrap().clone()
    }

    fn block(&mut self, hash: &Value) -> Block {
        let hex = self.call("getblock", json!([hash, 0]));
        deserialize_hex(hex.as_str().unwrap()).unwrap()
    }

    /// Spends a block's coinbase to everybody again.
    fn spend(&mut self, hash: &Value, fee: u64) -> Transaction {
        let coinbase = self.block(hash).txdata.swap_remove(0);
        spend(&coinbase, fee)
    }
}

fn spend(parent: &Transaction, fee: u64) -> Transaction {
    Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(parent.compute_txid(), 0),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[[0x51]]),
        }],
        output: vec![TxOut {
            value: parent.output[0].value - Amount::from_sat(fee),
            script_pubkey: parent.output[0].script_pubkey.clone(),
        }],
    }
}

fn keys(value: &Value) -> Vec<&str> {
    let object = value.as_object().unwrap();
    object.keys().map(String::as_str).collect()
}

#[test]
fn a_fresh_node_stands_at_genesis() {
    let mut node = Node::new();
    assert_eq!(node.call("getblockcount", json!([])), 0);
    assert_eq!(node.call("getbestblockhash", json!([])), GENESIS);
    let info = node.call("getblockchaininfo", json!([]));
    assert_eq!(
        keys(&info),
        [
            "bestblockhash",
            "blocks",
            "chain",
            "chainwork",
            "difficulty",
            "headers",
            "initialblockdownload",
            "mediantime",
            "pruned",
            "size_on_disk",
            "time",
            "verificationprogress",
            "warnings",
        ]
    );
    assert_eq!(info["chain"], "regtest");
    assert_eq!(info["initialblockdownload"], true);
    assert_eq!(info["chainwork"], format!("{:064x}", 2));
    assert_eq!(
        node.call("getchaintips", json!([])),
        json!([{ "height": 0, "hash": GENESIS, "branchlen": 0, "status": "active" }])
    );
    let coins = node.call("gettxoutsetinfo", json!(["muhash"]));
    // The empty set's, as Bitcoin Core computes it.
    assert_eq!(
        coins["muhash"],
        "dd5ad2a105c2d29495f577245c357409002329b9f4d6182c0af3dc2f462555c8"
    );
    assert_eq!(coins["txouts"], 0);
}

#[test]
fn blocks_are_mined_and_shown_in_every_verbosity() {
    let mut node = Node::new();
    let hashes = node.mine(3);
    assert_eq!(node.call("getblockhash", json!([2])), hashes[1]);
    assert_eq!(
        node.fail("getblockhash", json!([4])),
        (Code::InvalidParameter, "Block height out of range".into())
    );
    assert_eq!(
        node.fail("getblockhash", json!([-1])).0,
        Code::InvalidParameter
    );
    let shown = node.call("getblock", json!([hashes[1]]));
    assert_eq!(
        keys(&shown),
        [
            "bits",
            "chainwork",
            "confirmations",
            "difficulty",
            "hash",
            "height",
            "mediantime",
            "merkleroot",
            "nTx",
            "nextblockhash",
            "nonce",
            "previousblockhash",
            "size",
            "strippedsize",
            "time",
            "tx",
            "version",
            "versionHex",
            "weight",
        ]
    );
    let block = node.block(&hashes[1]);
    assert_eq!(shown["height"], 2);
    assert_eq!(shown["confirmations"], 2);
    assert_eq!(shown["size"], block.total_size());
    assert_eq!(shown["weight"], block.weight().to_wu());
    assert_eq!(shown["bits"], "207fffff");
    assert_eq!(shown["versionHex"], "20000000");
    assert_eq!(shown["previousblockhash"], hashes[0]);
    assert_eq!(shown["nextblockhash"], hashes[2]);
    assert_eq!(shown["tx"][0], block.txdata[0].compute_txid().to_string());
    let detailed = node.call("getblock", json!([hashes[1], 2]));
    assert_eq!(detailed["tx"][0]["vout"][0]["value"], 50.0);
    assert_eq!(
        detailed["tx"][0]["vout"][0]["scriptPubKey"]["address"],
        PAYOUT
    );
    assert_eq!(
        detailed["tx"][0]["vout"][1]["scriptPubKey"]["type"],
        "nulldata"
    );
    let header = node.call("getblockheader", json!({"blockhash": hashes[2]}));
    assert_eq!(header["nTx"], 1);
    assert!(header.get("nextblockhash").is_none());
    let hex = node.call("getblockheader", json!([hashes[1], false]));
    assert_eq!(hex, serialize_hex(&block.header));
    let unknown = "00".repeat(32);
    assert_eq!(
        node.fail("getblock", json!([unknown])),
        (Code::InvalidAddressOrKey, "Block not found".into())
    );
}

#[test]
fn two_calls_never_mine_the_same_block() {
    let (mut one, mut two) = (Node::new(), Node::new());
    two.nonce = 1 << 40;
    assert_ne!(one.mine(1), two.mine(1));
}

#[test]
fn a_transaction_goes_into_the_mempool_and_into_a_block() {
    let mut node = Node::new();
    let blocks = node.mine(101);
    let parent = node.spend(&blocks[0], 1_000);
    let child = spend(&parent, 5_000);
    let (parent_id, child_id) = (
        parent.compute_txid().to_string(),
        child.compute_txid().to_string(),
    );
    let raw = serialize_hex(&parent);
    let tested = node.call("testmempoolaccept", json!([[raw, serialize_hex(&child)]]));
    assert_eq!(tested[0]["allowed"], true);
    assert_eq!(tested[0]["fees"]["base"], 0.00001);
    assert_eq!(tested[1]["reject-reason"], "missing-inputs");
    assert_eq!(node.call("sendrawtransaction", json!([raw])), parent_id);
    // Sent again, it is still there.
    assert_eq!(node.call("sendrawtransaction", json!([raw])), parent_id);
    node.call("sendrawtransaction", json!([serialize_hex(&child)]));
    let info = node.call("getmempoolinfo", json!([]));
    assert_eq!(info["size"], 2);
    assert_eq!(info["total_fee"], 0.00006);
    assert_eq!(info["minrelaytxfee"], 0.00001);
    let pool = node.call("getrawmempool", json!([true]));
    assert_eq!(pool[&parent_id]["descendantcount"], 2);
    assert_eq!(pool[&parent_id]["spentby"], json!([child_id]));
    assert_eq!(pool[&child_id]["depends"], json!([parent_id]));
    assert_eq!(pool[&child_id]["fees"]["ancestor"], 0.00006);
    assert_eq!(
        node.call("getmempoolentry", json!([child_id])),
        pool[&child_id]
    );
    let shown = node.call("getrawtransaction", json!([child_id, 1]));
    assert_eq!(shown["vin"][0]["txid"], parent_id);
    assert!(shown.get("blockhash").is_none());
    let coin = node.call("gettxout", json!([child_id, 0]));
    assert_eq!(coin["confirmations"], 0);
    assert_eq!(
        node.call("gettxout", json!([child_id, 0, false])),
        Value::Null
    );
    assert_eq!(node.call("gettxout", json!([parent_id, 0])), Value::Null);

    let mined = node.mine(1);
    assert_eq!(node.call("getrawmempool", json!([])), json!([]));
    let block = node.block(&mined[0]);
    assert_eq!(block.txdata.len(), 3);
    assert_eq!(
        block.txdata[0].output[0].value,
        Amount::from_sat(5_000_006_000)
    );
    let coin = node.call("gettxout", json!([child_id, 0]));
    assert_eq!(coin["confirmations"], 1);
    assert_eq!(coin["coinbase"], false);
    let set = node.call("gettxoutsetinfo", json!([]));
    assert_eq!(set["transactions"], 102);
    assert_eq!(set["hash_serialized_3"].as_str().map(str::len), Some(64));
    let found = node.call("getrawtransaction", json!([child_id, true, mined[0]]));
    assert_eq!(found["in_active_chain"], true);
}

#[test]
fn transactions_are_refused_with_core_s_codes() {
    let mut node = Node::new();
    let blocks = node.mine(101);
    let coinbase = |node: &mut Node, i: usize| node.block(&blocks[i]).txdata.swap_remove(0);
    let mut other = Node::new();
    other.nonce = 1 << 40;
    let foreign = other.mine(1);
    let foreign = other.spend(&foreign[0], 1_000);
    let (first, sixth) = (coinbase(&mut node, 0), coinbase(&mut node, 5));
    let mut send = |tx: &Transaction| node.fail("sendrawtransaction", json!([serialize_hex(tx)]));
    assert_eq!(
        send(&foreign),
        (Code::Verify, "bad-txns-inputs-missingorspent".into())
    );
    let (code, message) = send(&spend(&sixth, 1_000));
    assert_eq!(code, Code::VerifyRejected);
    assert!(message.starts_with("bad-txns-premature-spend-of-coinbase"));
    let (code, message) = send(&spend(&first, 1));
    assert_eq!(code, Code::VerifyRejected);
    assert!(
        message.starts_with("min relay fee not met, 1 < "),
        "{message}"
    );
    assert_eq!(send(&spend(&first, 10_000_000)).0, Code::Verify);
    let mut burn = spend(&first, 1_000);
    burn.output[0].script_pubkey = ScriptBuf::from_hex("6a").unwrap();
    assert!(send(&burn).1.starts_with("Unspendable output"));
    let mut forged = spend(&first, 1_000);
    forged.input[0].witness = Witness::from_slice(&[[0x52]]);
    let (code, message) = send(&forged);
    assert_eq!(code, Code::VerifyRejected);
    assert!(message.contains("script-verify-flag-failed"), "{message}");
    assert_eq!(
        node.fail("sendrawtransaction", json!(["00"])).0,
        Code::Deserialization
    );
    // A fee that is meant is taken.
    let generous = serialize_hex(&spend(&first, 10_000_000));
    node.call("sendrawtransaction", json!([generous, 0]));
}

#[test]
fn blocks_from_elsewhere_are_judged() {
    let (mut one, mut two) = (Node::new(), Node::new());
    two.nonce = 1 << 40;
    let hashes = two.mine(2);
    let [first, second] = [0, 1].map(|i| serialize_hex(&two.block(&hashes[i])));
    assert_eq!(
        one.call("submitblock", json!([second])),
        "prev-blk-not-found"
    );
    assert_eq!(one.call("submitblock", json!([first])), Value::Null);
    assert_eq!(one.call("submitblock", json!([first])), "duplicate");
    let own = one.mine(1);
    // A rival of the tip is stored and not connected.
    assert_eq!(one.call("submitblock", json!([second])), "inconclusive");
    assert_eq!(one.call("getbestblockhash", json!([])), own[0]);
    assert_eq!(
        one.call("getchaintips", json!([])).as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(
        one.fail("submitblock", json!(["00"])).0,
        Code::Deserialization
    );
    let mut greedy = two.block(&hashes[1]);
    greedy.txdata.truncate(0);
    assert_eq!(
        one.fail("submitblock", json!([serialize_hex(&greedy)])).1,
        "Block does not start with a coinbase"
    );
}

#[test]
fn a_block_of_chosen_transactions_is_generated() {
    let mut node = Node::new();
    let blocks = node.mine(101);
    let tx = node.spend(&blocks[0], 1_000);
    let raw = serialize_hex(&tx);
    let made = node.call("generateblock", json!([PAYOUT, [raw], false]));
    assert_eq!(node.call("getblockcount", json!([])), 101);
    assert_eq!(node.call("submitblock", json!([made["hex"]])), Value::Null);
    assert_eq!(node.call("getbestblockhash", json!([])), made["hash"]);
    let rival = serialize_hex(&node.spend(&blocks[0], 2_000));
    let (code, message) = node.fail("generateblock", json!([PAYOUT, [rival]]));
    assert_eq!(code, Code::Verify);
    assert!(
        message.starts_with("TestBlockValidity failed: bad-txns-inputs"),
        "{message}"
    );
    assert_eq!(
        node.fail("generateblock", json!([PAYOUT, ["00".repeat(32)]]))
            .0,
        Code::InvalidAddressOrKey
    );
    assert_eq!(
        node.fail("generatetoaddress", json!([1, "bc1qnonsense"])),
        (Code::InvalidAddressOrKey, "Error: Invalid address".into())
    );
    assert_eq!(
        node.fail("generatetoaddress", json!([1_001, PAYOUT])).0,
        Code::InvalidParameter
    );
}

#[test]
fn waiting_is_left_to_the_server() {
    let mut node = Node::new();
    let tip = node.machine.chain().tip().hash;
    let wait = |until, millis: Option<u64>| {
        Ok(Reply::Wait(TipWait {
            until,
            timeout: millis.map(std::time::Duration::from_millis),
        }))
    };
    assert_eq!(
        node.reply("waitfornewblock", json!([])),
        wait(Until::Other(tip), None)
    );
    assert_eq!(
        node.reply("waitfornewblock", json!([250])),
        wait(Until::Other(tip), Some(250))
    );
    let known = "11".repeat(32);
    assert_eq!(
        node.reply("waitfornewblock", json!([0, known])),
        wait(Until::Other(known.parse().unwrap()), None)
    );
    assert_eq!(
        node.reply("waitforblockheight", json!([7, 1])),
        wait(Until::Height(7), Some(1))
    );
    assert_eq!(
        node.fail("waitfornewblock", json!([-1])),
        (Code::Misc, "Negative timeout".into())
    );
}

#[test]
fn control_methods_answer() {
    let mut node = Node::new();
    assert_eq!(node.call("uptime", json!([])), 100);
    let help = node.call("help", json!([]));
    assert!(help.as_str().unwrap().contains("\n== Control ==\n"));
    let one = node.call("help", json!(["getblock"]));
    assert!(
        one.as_str()
            .unwrap()
            .starts_with("getblock blockhash ( verbosity )\n")
    );
    assert_eq!(
        node.call("help", json!(["no"])),
        "help: unknown command: no\n"
    );
    let (code, usage) = node.fail("getblock", json!([]));
    assert_eq!(code, Code::Misc);
    assert!(usage.starts_with("getblock blockhash"));
    assert_eq!(
        node.fail("nonsense", json!([])),
        (Code::MethodNotFound, "Method not found".into())
    );
    assert!(!node.stop);
    node.call("stop", json!([]));
    assert!(node.stop);
}

#[test]
fn peers_are_added_banned_and_counted() {
    let mut node = Node::new();
    assert_eq!(node.call("getpeerinfo", json!([])), json!([]));
    assert_eq!(node.call("getconnectioncount", json!([])), 0);
    let totals = node.call("getnettotals", json!([]));
    assert_eq!(totals["totalbytessent"], 0);
    let none = json!({ "rebuilt": 0, "asked": 0, "missing": 0, "waitednanos": 0 });
    assert_eq!(totals["compactblocks"], none);
    let info = node.call("getnetworkinfo", json!([]));
    assert_eq!(info["protocolversion"], 70_016);
    assert_eq!(
        info["localservicesnames"]
            .as_array()
            .map(|names| names.contains(&json!("WITNESS"))),
        Some(true)
    );
    node.call("addnode", json!(["10.0.0.1", "add"]));
    assert_eq!(
        node.call("getaddednodeinfo", json!([])),
        json!([{ "addednode": "10.0.0.1:18444", "connected": false, "addresses": [] }])
    );
    for (method, params, code) in [
        (
            "addnode",
            json!(["10.0.0.1", "add"]),
            Code::NodeAlreadyAdded,
        ),
        ("addnode", json!(["10.0.0.2", "remove"]), Code::NodeNotAdded),
        (
            "addnode",
            json!(["10.0.0.2", "frob"]),
            Code::InvalidParameter,
        ),
        (
            "addnode",
            json!(["example.org", "add"]),
            Code::InvalidParameter,
        ),
        ("getaddednodeinfo", json!(["10.0.0.2"]), Code::NodeNotAdded),
        (
            "disconnectnode",
            json!(["10.0.0.1"]),
            Code::NodeNotConnected,
        ),
        ("disconnectnode", json!(["", 7]), Code::NodeNotConnected),
        (
            "disconnectnode",
            json!(["10.0.0.1", 7]),
            Code::InvalidParams,
        ),
        ("disconnectnode", json!([]), Code::InvalidParams),
        (
            "setban",
            json!(["10.0.0.0/40", "add"]),
            Code::InvalidIpOrSubnet,
        ),
        (
            "setban",
            json!(["10.0.0.1", "remove"]),
            Code::InvalidIpOrSubnet,
        ),
        (
            "setban",
            json!(["10.0.0.1", "add", 5, true]),
            Code::InvalidParameter,
        ),
    ] {
        assert_eq!(
            node.fail(method, params.clone()).0,
            code,
            "{method} {params}"
        );
    }
    node.call("addnode", json!(["10.0.0.1", "remove"]));
    node.call("setban", json!(["10.0.0.0/8", "add", 60]));
    assert_eq!(
        node.fail("setban", json!(["10.9.9.9/8", "add"])).0,
        Code::NodeAlreadyAdded
    );
    assert_eq!(
        node.call("listbanned", json!([])),
        json!([{
            "address": "10.0.0.0/8",
            "ban_created": 1_800_000_000,
            "banned_until": 1_800_000_060,
            "ban_duration": 60,
            "time_remaining": 60,
        }])
    );
    node.call("clearbanned", json!([]));
    assert_eq!(node.call("listbanned", json!([])), json!([]));
}

mod hostile {
    use proptest::prelude::*;

    use super::*;
    use crate::rpc::envelope;
    use crate::rpc::methods::METHODS;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-2..300_i64).prop_map(Value::from),
            any::<f64>().prop_map(|number| json!(number)),
            "[0-9a-f]{64}".prop_map(Value::from),
            "[0-9a-f]{0,300}".prop_map(Value::from),
            ".{0,40}".prop_map(Value::from),
            Just(json!(GENESIS)),
            Just(json!(PAYOUT)),
            prop_oneof![
                Just("add"),
                Just("remove"),
                Just("onetry"),
                Just("10.0.0.1/8")
            ]
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop::collection::vec(inner, 0..3).prop_map(Value::from)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_arguments_break_a_method(params in prop::collection::vec(value(), 0..5)) {
            let mut node = Node::new();
            for method in METHODS {
                let _ = node.reply(method.name, Value::Array(params.clone()));
                let named = method.arguments.iter().map(ToString::to_string);
                let named = named.zip(params.iter().cloned()).collect();
                let _ = node.reply(method.name, Value::Object(named));
            }
            prop_assert_eq!(node.call("getblockhash", json!([0])), GENESIS);
        }

        #[test]
        fn no_body_breaks_the_envelope(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = envelope::parse(&body);
        }
    }
}
