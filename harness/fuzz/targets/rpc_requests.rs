//! Bodies of requests to a node's RPC, one after the other: read, carried out on a node without sockets,
//! and answered.
#![cfg_attr(feature = "libfuzzer", no_main)]

use peerlab_daemon::fuzz::{Body, Call, Context, NONCES_PER_CALL, Reply, Request, call, parse};
use peerlab_fuzz::{ledger, parts};
use peerlab_node::mempool::Mempool;
use peerlab_node::{Config, Machine};
use serde_json::Value;

/// Calls that are carried out, and blocks that one of them mines: more only take longer.
const CALLS_MAX: usize = 16;
const BLOCKS_MAX: u64 = 2;

pub fn check(bytes: &[u8]) -> bool {
    let now = ledger::now();
    let mut machine = Machine::new(Config::default(), ledger::begun(), Mempool::new(), 1, now);
    let requests = parts(bytes).into_iter().flat_map(|body| match parse(body) {
        Body::Single(request) => vec![request],
        Body::Batch(requests) => requests,
    });
    let mut is_answered = false;
    for (nonce, request) in (0..)
        .step_by(NONCES_PER_CALL as usize)
        .zip(requests.take(CALLS_MAX))
    {
        let Request {
            sender,
            call: asked,
        } = request;
        let mut context = Context {
            machine: &mut machine,
            now,
            started: now,
            nonce,
            size_on_disk: 4_096,
            stop: false,
        };
        let outcome = asked.and_then(|asked| call(&mut context, bounded(asked)));
        while machine.poll_output().is_some() {}
        let outcome = outcome.map(|reply| match reply {
            Reply::Done(value) => value,
            Reply::Wait(_) => Value::Null,
        });
        is_answered |= outcome.is_ok();
        assert!((200..600).contains(&sender.http_status(&outcome)));
        let text = sender.reply(outcome).to_string();
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
    }
    is_answered
}

/// The call; one that mines mines little.
fn bounded(mut asked: Call) -> Call {
    let count = match &mut asked.params {
        Value::Array(list) => list.first_mut(),
        named => named.get_mut("nblocks"),
    };
    if let Some(count) = count.filter(|_| asked.method == "generatetoaddress")
        && count.as_u64().is_some_and(|count| count > BLOCKS_MAX)
    {
        *count = BLOCKS_MAX.into();
    }
    asked
}

peerlab_fuzz::target!();
