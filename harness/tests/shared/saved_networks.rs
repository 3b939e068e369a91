//! Networks that are saved and brought up again: the same stories on every engine of real nodes.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "every test program uses a part of this, and what goes wrong here fails the test"
)]

use std::path::Path;

use crate::networks_of::User;

/// Four nodes in whose network no block comes but by hand; of `peers` this is said besides.
fn four(peers: &str) -> String {
    format!(
        "name: four\nseed: 5\nphases: {{ warmup: 4s, settle: 10s }}\n\
         nodes: {{ peers: {{ count: 4, hashpower: 1{peers} }} }}\nnetwork: {{ latency: 20ms }}\n\
         ledger: {{ block_interval: 100h, transactions: 1/s }}\n"
    )
}

/// The best blocks of four nodes, which must be one.
fn one_tip(user: &User) -> String {
    let tip = |node: u32| user.says(&format!("rpc peers-{node} getbestblockhash"));
    let tips: Vec<String> = (0..4).map(tip).collect();
    assert!(tips.iter().all(|tip| *tip == tips[0]), "{tips:?}");
    tips[0].clone()
}

/// What is known of the network's height.
fn height(user: &User) -> u64 {
    user.tells("status --json")["height"].as_u64().unwrap()
}

/// Waits until all nodes have a block of this height, and one tip.
fn all_at(user: &User, height: u64) {
    user.says(&format!("wait --until height>={height} --timeout 60s"));
    // Until they tell of the block, they agree on the one before.
    user.says("wait --until agreed --timeout 60s");
}

/// Works on the ledger until it has some blocks and payments, and all nodes agree.
fn make_history(user: &User) {
    user.says("wait --until up>=4 --timeout 60s");
    user.says("wait --until peers>=1 --timeout 60s");
    user.says("wait --until agreed --timeout 60s");
    let begun = height(user);
    user.says("mine 3 --by peers-0");
    all_at(user, begun + 3);
    let paid = user.tells("pay 5 --json");
    assert_eq!(paid["transactions"].as_array().unwrap().len(), 5);
    user.says("mine 2 --by peers-1");
    all_at(user, begun + 5);
}

/// A network is saved, goes on, ends, and is brought up again as it was: no node has forgotten a block, and no
/// payment spends an output twice.
pub fn a_network_is_saved_and_brought_up_again(engine: &'static str) {
    let user = User::of(engine);
    std::fs::write(user.path("four.yaml"), four("")).unwrap();
    user.up("four.yaml --name lab");
    make_history(&user);
    let (tip, then) = (one_tip(&user), height(&user));

    // A node that is down stays so, and is saved as the others; one that stands still is not.
    user.says("freeze peers-2");
    let refused = user.refused("save one", 2);
    assert!(refused.contains("it stands still"), "{refused}");
    assert!(!user.path("snapshots").exists());
    user.says("start peers-2");
    user.says("stop peers-3");
    user.says("wait --until up>=3 --timeout 60s");
    let saved = user.tells("save one --json");
    assert_eq!(saved["nodes"], 4, "{saved}");
    assert_eq!(saved["height"], then, "{saved}");
    assert_eq!(user.state_of("peers-3")["down"]["how"], "stop");
    user.says("wait --until up>=3 --timeout 60s");
    let names = |folder: &str| {
        let entries = std::fs::read_dir(user.path(folder)).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries.map(|e| name(e).into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names("snapshots"), ["one"]);
    assert_eq!(
        names("snapshots/one"),
        ["experiment.yaml", "nodes", "snapshot.json"]
    );
    let refused = user.refused("save one", 2);
    assert!(refused.contains("is there already"), "{refused}");
    // What comes after it is none of its affair.
    user.says("mine --by peers-0");
    user.says("down");

    user.up("--from one --name again --out record");
    user.says("wait --until up>=4 --timeout 60s");
    user.says("wait --until agreed --timeout 60s");
    assert_eq!((one_tip(&user), height(&user)), (tip, then));
    let paid = user.tells("pay 20 --json");
    assert_eq!(paid["transactions"].as_array().unwrap().len(), 20, "{paid}");
    assert_eq!(paid["failures"], serde_json::json!([]));
    user.says("mine 2 --by peers-3");
    let now = then + 2;
    all_at(&user, now);
    one_tip(&user);
    // Its own payments go on as well.
    let events = std::fs::read_to_string(user.path("record/events.jsonl")).unwrap();
    let refused = |line: &&str| {
        line.contains("\"event\":\"transaction\"") && !line.contains("\"refused\":null")
    };
    let refused: Vec<&str> = events.lines().filter(refused).collect();
    assert_eq!(refused, Vec::<&str>::new());
    // Once more, with what was added to it, one node among it, and by a path.
    user.says("add peers 1");
    user.says("wait --until up>=5 --timeout 60s");
    all_at(&user, now);
    user.says("save ./elsewhere/two");
    user.says("remove peers-0");
    let refused = user.refused("save three", 2);
    assert!(refused.contains("nodes were removed from it"), "{refused}");
    user.says("down");
    let judged = user.run("report record");
    assert!(matches!(judged.status.code(), Some(0 | 4)), "{judged:?}");
    user.up("--from elsewhere/two --out second");
    user.says("wait --until up>=5 --timeout 60s");
    user.says("wait --until agreed --timeout 60s");
    assert_eq!(height(&user), now);
    one_tip(&user);
    let count = user.says("rpc peers-4 getblockcount");
    assert_eq!(count.trim(), now.to_string());
    let paid = user.tells("pay 20 --json");
    assert_eq!(paid["failures"], serde_json::json!([]));
    user.says("mine --by peers-4");
    let recorded = user.says("record");
    assert!(recorded.contains("count: 5"), "{recorded}");
    user.says("down -n again");
    let judged = user.run("report second");
    assert!(matches!(judged.status.code(), Some(0 | 4)), "{judged:?}");
    assert_eq!(user.left(), Vec::<String>::new());
}

/// A snapshot that is not whole brings nothing up, and neither does none.
pub fn a_snapshot_that_is_not_whole_is_refused(engine: &'static str) {
    let user = User::of(engine);
    std::fs::write(user.path("four.yaml"), four("")).unwrap();
    user.up("four.yaml --name lab");
    make_history(&user);
    user.says("save one");
    user.says("down");
    let up = |what: &str| user.refused(&format!("up {what} -d --engine {engine}"), 2);
    for (what, told) in [
        ("--from none", "peerlab save NAME"),
        ("--from ../none", "cannot read"),
        ("--from bad:name", "is not a name"),
        ("", "FILE|COUNT"),
        ("four.yaml --from one", "cannot be used with"),
        ("--from one --seed 2", "cannot be used with"),
    ] {
        let said = up(what);
        assert!(said.contains(told), "{what}: {said}");
    }
    let archive = user.path("snapshots/one/nodes/peers-2.tar.gz");
    let whole = std::fs::read(&archive).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    for (bytes, told) in [
        (&whole[..whole.len() - 100], "and has "),
        (&changed[..], "its checksum is another"),
    ] {
        std::fs::write(&archive, bytes).unwrap();
        let said = up("--from one");
        assert!(said.contains("is not whole: peers-2"), "{said}");
        assert!(said.contains(told), "{said}");
        assert_eq!(user.left(), Vec::<String>::new());
    }
    std::fs::write(&archive, whole).unwrap();
    user.up("--from one");
    user.says("down");
}

/// The same of somebody else's image, which is written to a path and run with a command.
pub fn a_network_of_a_foreign_image_is_saved(
    engine: &'static str,
    write_image: impl FnOnce(&Path),
    command: &str,
) {
    let user = User::of(engine);
    write_image(&user.path("ledger.tar"));
    let peers = format!(", image: 'oci:ledger.tar', command: {command}");
    std::fs::write(user.path("four.yaml"), four(&peers)).unwrap();
    user.up("four.yaml --name lab");
    make_history(&user);
    let tip = one_tip(&user);
    user.says("save one");
    user.says("down");
    user.up("--from one");
    user.says("wait --until up>=4 --timeout 60s");
    user.says("wait --until agreed --timeout 60s");
    assert_eq!(one_tip(&user), tip);
    user.says("mine");
    user.says("down");
}
