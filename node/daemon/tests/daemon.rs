//! The daemon as its users meet it: processes on loopback, driven over JSON-RPC and the P2P port.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod lab;

use std::io::{BufReader, Read, Write};
use std::process::Stdio;
use std::time::Duration;

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use serde_json::{Value, json};

use lab::{Node, folder, start};

#[test]
fn a_node_that_comes_later_catches_up_and_follows() {
    let (one_folder, two_folder) = (folder(), folder());
    let mut one = start(&one_folder, &[]);
    one.mine(20);
    let two = start(&two_folder, &[&format!("-connect={}", one.p2p())]);
    assert_eq!(two.reach(20), one.call("getbestblockhash", json!([])));
    // The other way round as well, by a connection that it did not open.
    let mined = two.mine(1);
    assert_eq!(one.reach(21), mined[0]);
    let ledger = |node: &Node| node.call("gettxoutsetinfo", json!(["muhash"]));
    assert_eq!(ledger(&one)["muhash"], ledger(&two)["muhash"]);
    assert_eq!(ledger(&one)["total_amount"], 21.0 * 50.0);
}

#[test]
fn the_longer_branch_wins_when_two_networks_meet() {
    let (one_folder, two_folder) = (folder(), folder());
    let mut one = start(&one_folder, &["-connect=0", "-listen=1"]);
    let two = start(&two_folder, &["-connect=0"]);
    let lost = one.mine(2);
    let won = two.mine(3);
    two.call("addnode", json!([one.p2p().to_string(), "onetry"]));
    assert_eq!(one.reach(3), won[2]);
    let tips = one.call("getchaintips", json!([]));
    let status = |hash: &Value| {
        let tip = tips.as_array().unwrap().iter().find(|t| t["hash"] == *hash);
        tip.map(|t| (t["status"].clone(), t["branchlen"].clone()))
    };
    assert_eq!(status(&won[2]), Some((json!("active"), json!(0))));
    assert_eq!(status(&lost[1]), Some((json!("valid-fork"), json!(2))));
}

#[test]
fn a_node_that_runs_is_asked_by_a_second_process() {
    let node_folder = folder();
    let node = start(&node_folder, &["-connect=0"]);
    node.mine(1);
    let port = format!("-rpcport={}", node.rpc.port());
    let ask = |method: &str| {
        let ask = format!("-ask={method}");
        let mut command = lab::command(&node_folder, &[&ask, &port]);
        command.stdout(Stdio::piped()).output().unwrap()
    };
    let best = ask("getbestblockhash");
    let hash = node.call("getbestblockhash", json!([]));
    assert_eq!(String::from_utf8(best.stdout).unwrap().trim(), hash);
    let refused = ask("nosuchmethod");
    assert!(!refused.status.success());
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .contains("nosuchmethod")
    );
}

/// Spends the coinbase of this block, to everybody again, paying this fee.
fn spend(node: &Node, block: &Value, fee: Amount) -> Transaction {
    let hex = node.call("getblock", json!([block, 0]));
    let block: Block = deserialize_hex(hex.as_str().unwrap()).unwrap();
    let coinbase = &block.txdata[0];
    let witness_script = ScriptBuf::from_hex("51").unwrap();
    Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(coinbase.compute_txid(), 0),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[witness_script.as_bytes()]),
        }],
        output: vec![TxOut {
            value: coinbase.output[0].value - fee,
            script_pubkey: coinbase.output[0].script_pubkey.clone(),
        }],
    }
}

#[test]
fn a_transaction_travels_is_mined_elsewhere_and_its_double_spend_refused() {
    let (one_folder, two_folder) = (folder(), folder());
    let mut one = start(&one_folder, &[]);
    let two = start(&two_folder, &[&format!("-connect={}", one.p2p())]);
    let blocks = one.mine(101);
    two.reach(101);
    let tx = spend(&one, &blocks[0], Amount::from_sat(1_000));
    let txid = json!(tx.compute_txid().to_string());
    assert_eq!(
        one.call("sendrawtransaction", json!([serialize_hex(&tx)])),
        txid
    );
    two.until("the transaction arrives", |two| {
        two.call("getrawmempool", json!([])) == json!([txid])
    });
    let rival = spend(&one, &blocks[0], Amount::from_sat(2_000));
    let rival = json!([serialize_hex(&rival)]);
    assert_eq!(
        two.fail("sendrawtransaction", rival.clone()),
        (-26, "txn-mempool-conflict".to_owned())
    );
    let young = spend(&one, &blocks[5], Amount::from_sat(1_000));
    let (code, reason) = one.fail("sendrawtransaction", json!([serialize_hex(&young)]));
    assert_eq!(code, -26);
    assert!(
        reason.starts_with("bad-txns-premature-spend-of-coinbase"),
        "{reason}"
    );

    let mined = two.mine(1);
    assert_eq!(one.reach(102), mined[0]);
    assert_eq!(one.call("getrawmempool", json!([])), json!([]));
    // It came in the compact form, since its transaction was here; the next one will unasked.
    let giver = one.call("getpeerinfo", json!([]))[0].clone();
    assert!(giver["bytesrecv_per_msg"]["cmpctblock"].as_u64() > Some(0));
    assert_eq!(giver["bytesrecv_per_msg"]["block"], Value::Null);
    assert_eq!(giver["bip152_hb_to"], true);
    two.until("the giver hears of it", |two| {
        two.call("getpeerinfo", json!([]))[0]["bip152_hb_from"] == true
    });
    let found = one.call("getrawtransaction", json!([txid, 1, mined[0]]));
    assert_eq!(found["confirmations"], 1);
    assert_eq!(found["hex"], serialize_hex(&tx));
    let output = one.call("gettxout", json!([txid, 0]));
    assert_eq!(output["value"], 49.99999);
    assert_eq!(
        one.fail("sendrawtransaction", rival),
        (-25, "bad-txns-inputs-missingorspent".to_owned())
    );
    assert_eq!(
        one.fail("sendrawtransaction", json!([serialize_hex(&tx)])),
        (-27, "Transaction outputs already in utxo set".to_owned())
    );
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let folder = folder();
    for round in 1..=5_u64 {
        let node = start(&folder, &["-connect=0"]);
        assert_eq!(node.call("getblockcount", json!([])), (round - 1) * 7);
        let hashes = node.mine(7);
        let muhash = node.call("gettxoutsetinfo", json!(["muhash"]))["muhash"].clone();
        node.kill();
        let node = start(&folder, &["-connect=0"]);
        assert_eq!(node.call("getbestblockhash", json!([])), hashes[6]);
        assert_eq!(
            node.call("gettxoutsetinfo", json!(["muhash"]))["muhash"],
            muhash
        );
        node.kill();
    }
}

#[test]
fn it_ends_cleanly_by_signal_and_by_call() {
    let folder = folder();
    let cookie = folder.path().join("regtest/.cookie");
    let node = start(&folder, &["-connect=0"]);
    node.mine(1);
    assert!(cookie.exists());
    node.terminate();
    assert!(node.ended().success());
    assert!(!cookie.exists());

    let node = start(&folder, &["-connect=0"]);
    assert_eq!(node.call("getblockcount", json!([])), 1);
    let answer = node.call("stop", json!([]));
    assert!(answer.as_str().unwrap().contains("stopping"));
    assert!(node.ended().success());
    assert!(!cookie.exists());
}

#[test]
fn callers_who_wait_for_a_block_are_told_when_it_comes_or_when_the_node_ends() {
    let folder = folder();
    let node = start(&folder, &["-connect=0"]);
    node.call("getblockcount", json!([]));
    let login = node.cookie();
    let park = |method: &str, params: Value| {
        let mut stream = lab::connect(node.rpc);
        let body = json!({ "id": 1, "method": method, "params": params }).to_string();
        lab::send(&mut stream, Some(&login), &body, "keep-alive");
        BufReader::new(stream)
    };
    let answer = |mut stream: BufReader<std::net::TcpStream>| {
        let (status, reply) = lab::read_reply(&mut stream);
        assert_eq!(status, 200);
        serde_json::from_str::<Value>(&reply).unwrap()["result"].clone()
    };
    let genesis = node.call("getblockhash", json!([0]));
    let waiting: Vec<_> = (0..50)
        .map(|_| park("waitfornewblock", json!([0, genesis])))
        .collect();
    let in_time = node.call("waitfornewblock", json!([1]));
    assert_eq!(in_time, json!({ "hash": genesis, "height": 0 }));
    let mined = node.mine(1);
    for stream in waiting {
        assert_eq!(answer(stream), json!({ "hash": mined[0], "height": 1 }));
    }
    // A caller who says which tip it knows hears of a later one at once.
    let behind = node.call("waitfornewblock", json!([0, genesis]));
    assert_eq!(behind["hash"], mined[0]);
    // One who hangs up gives its place back.
    for _ in 0..300 {
        drop(park("waitforblockheight", json!([1_000])));
    }
    let last = park("waitforblockheight", json!([1_000]));
    node.call("stop", json!([]));
    assert_eq!(answer(last), json!({ "hash": mined[0], "height": 1 }));
    assert!(node.ended().success());
}

#[test]
fn only_who_knows_the_password_is_let_in() {
    let folder = folder();
    let node = start(
        &folder,
        &["-connect=0", "-rpcuser=alice", "-rpcpassword=secret"],
    );
    let body = r#"{"id":1,"method":"uptime"}"#;
    assert!(!folder.path().join("regtest/.cookie").exists());
    for wrong in [None, Some("alice:wrong"), Some("bob:secret"), Some("")] {
        assert_eq!(lab::post(node.rpc, wrong, body).0, 401, "{wrong:?}");
    }
    let (status, _) = lab::post(node.rpc, Some("alice:secret"), body);
    assert!(status == 200 || status == 500, "{status}");
}

#[test]
fn http_is_spoken_as_core_speaks_it() {
    let folder = folder();
    let node = start(&folder, &["-connect=0"]);
    let login = node.cookie();
    node.call("getblockcount", json!([]));
    let mut stream = lab::connect(node.rpc);
    let mut ask = |body: &str| {
        lab::send(&mut stream, Some(&login), body, "keep-alive");
        lab::read_reply(&mut BufReader::new(stream.try_clone().unwrap()))
    };
    // All on one connection.
    let (status, reply) = ask(r#"{"id":5,"method":"getblockcount"}"#);
    assert_eq!(
        (status, reply.as_str()),
        (200, "{\"error\":null,\"id\":5,\"result\":0}\n")
    );
    assert_eq!(ask(r#"{"id":5,"method":"nope"}"#).0, 404);
    assert_eq!(
        ask(r#"{"id":5,"method":"getblockhash","params":[9]}"#).0,
        500
    );
    assert_eq!(ask(r#"{"id":5}"#).0, 400);
    assert_eq!(ask("nonsense").0, 500);
    assert_eq!(
        ask(r#"{"jsonrpc":"2.0","method":"uptime"}"#),
        (204, String::new())
    );
    let (status, reply) = ask(
        r#"[{"jsonrpc":"2.0","id":1,"method":"getblockcount"},{"id":2,"method":"getblock","params":["00"]}]"#,
    );
    assert_eq!(status, 200);
    let replies: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!(replies[0], json!({"jsonrpc":"2.0","id":1,"result":0}));
    assert_eq!(replies[1]["error"]["code"], -8);
    // Too large a body is refused before it is read.
    let mut stream = lab::connect(node.rpc);
    let request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    assert_eq!(lab::read_reply(&mut BufReader::new(stream)).0, 401);
    let (status, _) = lab::post(node.rpc, Some(&login), &" ".repeat(8_200_000));
    assert_eq!(status, 413);
    assert_eq!(node.call("getblockcount", json!([])), 0);
}

#[test]
fn a_block_file_is_taken_in_before_peers_are() {
    let (one_folder, two_folder) = (folder(), folder());
    let one = start(&one_folder, &["-connect=0"]);
    let hashes = one.mine(30);
    let path = two_folder.path().join("blocks.dat");
    let mut file = Vec::new();
    // In an order that is not theirs.
    for hash in hashes.iter().rev() {
        let hex = one.call("getblock", json!([hash, 0]));
        let block: Block = deserialize_hex(hex.as_str().unwrap()).unwrap();
        peerlab_node::chain::block_file::write_block(&mut file, &block).unwrap();
    }
    std::fs::write(&path, file).unwrap();
    let load = format!("-loadblock={}", path.display());
    for _ in 0..2 {
        let mut two = start(&two_folder, &["-listen=1", "-connect=0", &load]);
        two.p2p();
        assert_eq!(two.call("getbestblockhash", json!([])), hashes[29]);
        two.kill();
    }
}

#[test]
fn bytes_that_are_no_messages_end_their_connection_and_nothing_else() {
    let (one_folder, two_folder) = (folder(), folder());
    let mut one = start(&one_folder, &[]);
    let to = one.p2p();
    let two = start(&two_folder, &[&format!("-connect={to}")]);
    one.mine(1);
    two.reach(1);
    let magic = [0xfa, 0xbf, 0xb5, 0xda];
    let frame = |command: &[u8; 12], length: u32, payload: &[u8]| {
        let mut bytes = magic.to_vec();
        bytes.extend_from_slice(command);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(payload);
        bytes
    };
    let noise: Vec<u8> = (0..100_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for attack in [
        noise,
        b"GET / HTTP/1.1\r\n\r\n".repeat(10),
        frame(b"version\0\0\0\0\0", u32::MAX, &[]),
        frame(b"block\0\0\0\0\0\0\0", 5, b"12345"),
        frame(b"\xff\xfe\0\0\0\0\0\0\0\0\0\0", 0, &[]),
        frame(b"ping\0\0\0\0\0\0\0\0", 8, b"wrongsum"),
    ] {
        let mut stream = lab::connect(to);
        // The other end may close before all is written.
        let _ = stream.write_all(&attack);
        let mut answer = Vec::new();
        // Ends by a close or a reset, not by the timeout.
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
    // Half a frame, and silence; another that says nothing at all; both left open.
    let mut half = lab::connect(to);
    half.write_all(&frame(b"version\0\0\0\0\0", 80, b"only half"))
        .unwrap();
    let _silent = lab::connect(to);
    // None of it is anybody else's business.
    let mined = one.mine(1);
    assert_eq!(two.reach(2), mined[0]);
    assert!(one.is_running());
    assert_eq!(two.peers(), 1);
}

#[test]
fn who_is_disconnected_or_banned_stays_away() {
    let (one_folder, two_folder) = (folder(), folder());
    let mut one = start(&one_folder, &[]);
    let two = start(&two_folder, &["-connect=0"]);
    let to = one.p2p().to_string();
    two.call("addnode", json!([to, "onetry"]));
    one.until("a peer", |one| one.peers() == 1);
    let peer = one.call("getpeerinfo", json!([]))[0].clone();
    assert_eq!(peer["inbound"], true);
    assert!(peer["bytesrecv_per_msg"]["version"].as_u64().unwrap() > 24);
    assert!(
        one.call("getnettotals", json!([]))["totalbytesrecv"]
            .as_u64()
            .unwrap()
            > 24
    );
    one.call("disconnectnode", json!([peer["addr"]]));
    one.until("nobody", |one| {
        one.call("getconnectioncount", json!([])) == 0
    });
    one.call("setban", json!(["127.0.0.1", "add"]));
    assert_eq!(
        one.call("listbanned", json!([]))[0]["address"],
        "127.0.0.1/32"
    );
    two.call("addnode", json!([to, "onetry"]));
    two.until("the connection is refused", |two| two.peers() == 0);
    assert_eq!(one.peers(), 0);
    one.call("clearbanned", json!([]));
    two.call("addnode", json!([to, "add"]));
    one.until("a peer again", |one| one.peers() == 1);
    assert_eq!(two.fail("addnode", json!([to, "add"])).0, -23);
}

#[test]
fn what_cannot_start_says_why_and_what_to_do() {
    let folder = folder();
    let node = start(&folder, &["-connect=0"]);
    node.call("getblockcount", json!([]));
    let taken = format!("-rpcport={}", node.rpc.port());
    let other = lab::folder();
    for (folder, option, expected) in [
        (&folder, "-debug", "another node is running there"),
        (&other, taken.as_str(), "cannot answer JSON-RPC on"),
        (&other, "-bogus=1", "unknown option -bogus"),
        (
            &other,
            "-loadblock=/nowhere",
            "cannot read -loadblock=/nowhere",
        ),
    ] {
        let output = lab::command(folder, &[option])
            .stderr(std::process::Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{option}");
        let text = String::from_utf8(output.stderr).unwrap();
        for words in ["Error: ", expected, "\nHint: "] {
            assert!(text.contains(words), "{option}: {text}");
        }
    }
    node.mine(1);
}

#[test]
fn a_node_left_alone_sleeps() {
    let folder = folder();
    let node = start(&folder, &["-connect=0", "-listen=0"]);
    node.call("getblockcount", json!([]));
    // Voluntary context switches are wake-ups. What the calls above left behind settles first.
    let wakeups = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", node.id())).unwrap();
        let line = status.lines().find(|l| l.starts_with("voluntary_ctxt"));
        line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok())
            .unwrap()
    };
    std::thread::sleep(Duration::from_millis(500));
    let before = wakeups();
    std::thread::sleep(Duration::from_secs(2));
    let during = wakeups() - before;
    assert!(during <= 4, "{during} wake-ups in two seconds");
}
