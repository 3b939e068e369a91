//! Methods about the daemon itself.

use serde_json::json;

use super::arguments::Arguments;
use super::context::{Answer, Context, done};
use super::error::{Code, fail};

/// Nanoseconds in a second.
const NANOS_PER_SEC: u64 = 1_000_000_000;

pub(super) fn stop(context: &mut Context<'_>, _: &Arguments) -> Answer {
    context.stop = true;
    done("Peerlab node stopping")
}

pub(super) fn uptime(context: &mut Context<'_>, _: &Arguments) -> Answer {
    done(context.now.0.saturating_sub(context.started.0) / NANOS_PER_SEC)
}

/// Locked memory, as Bitcoin Core's `stats` mode counts it: none, there being no secrets.
pub(super) fn getmemoryinfo(_: &mut Context<'_>, arguments: &Arguments) -> Answer {
    match arguments.text_opt(0)?.unwrap_or("stats") {
        "stats" => done(json!({
            "locked": {
                "used": 0, "free": 0, "total": 0, "locked": 0,
                "chunks_used": 0, "chunks_free": 0,
            }
        })),
        other => fail(Code::InvalidParameter, format!("unknown mode {other}")),
    }
}
