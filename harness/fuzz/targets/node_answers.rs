//! What a node that is not ours answers to the harness' questions, as whole HTTP answers, one after the
//! other; what a program prints that is run to ask it; and what a server says first, and a program writes.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::sync::OnceLock;
use std::time::Duration;

use peerlab::probe::{self, Answer, BitcoinRpc, Chain as _, Ledger as _, Probe as _, Reach};
use peerlab_core::experiment::{HttpProbe, HttpValue, Probe};
use peerlab_core::ledger::{Payment, Premined};
use peerlab_fuzz::{parts, scripted};
use peerlab_link::NodeId;
use peerlab_link::proto::{Digested, FileStamp, Ran};
use tokio::io::DuplexStream;

/// Bytes that may wait to be read.
const PIPE_BYTES: usize = 64 << 10;
/// How long a node may say nothing; the time is virtual.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn check(bytes: &[u8]) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(async {
        let answers = parts(bytes).into_iter().map(<[u8]>::to_vec).collect();
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        tokio::spawn(scripted::answer(theirs, answers));
        let asked = tokio::time::timeout(PATIENCE, ask(ours)).await;
        for kind in others() {
            let others = async {
                let mut probe = probe::open(&kind, Made(bytes.to_vec())).await?;
                probe.said().await
            };
            let _ = tokio::time::timeout(PATIENCE, others).await;
        }
        asked == Ok(true)
    })
}

/// Whether the node says what it has.
async fn ask(stream: DuplexStream) -> bool {
    let Ok(mut rpc) = BitcoinRpc::connect(stream).await else {
        return false;
    };
    let said = rpc.said().await;
    if let Ok(said) = &said {
        let _ = rpc.said_after(said, Duration::from_secs(1)).await;
        let _ = rpc.said_after(said, Duration::from_secs(1)).await;
    }
    let _ = rpc.peers().await;
    let _ = rpc.block("00").await;
    let _ = rpc.state().await;
    let _ = rpc.mine(NodeId(1)).await;
    let _ = rpc.submit(payment()).await;
    said.is_ok()
}

fn payment() -> &'static Payment {
    static PAYMENT: OnceLock<Payment> = OnceLock::new();
    PAYMENT.get_or_init(|| Payment::new(&Premined::mine(1), 0, 0).expect("there is one output"))
}

/// Probes of other kinds.
fn others() -> Vec<Probe> {
    let http = |value| {
        Probe::Http(Box::new(HttpProbe {
            port: 1,
            method: "GET".into(),
            path: "/".into(),
            headers: Vec::new(),
            body: None,
            user: None,
            password: None,
            status: None,
            value: Some(value),
        }))
    };
    let pattern = || "(.*)".to_owned();
    vec![
        Probe::Exec {
            command: Vec::new(),
        },
        Probe::Tcp {
            port: 1,
            greeting: true,
        },
        Probe::Log { pattern: pattern() },
        http(HttpValue::Json("/result".into())),
        http(HttpValue::Regex(pattern())),
    ]
}

/// A node of which everything says this.
struct Made(Vec<u8>);

impl Reach for Made {
    type Stream = DuplexStream;

    fn dial(&self, _: u16) -> Answer<'_, DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        tokio::spawn(scripted::answer(theirs, vec![self.0.clone()]));
        Box::pin(async { Ok(ours) })
    }

    fn written(&self) -> Answer<'_, String> {
        let text = String::from_utf8_lossy(&self.0).into_owned();
        Box::pin(async { Ok(text) })
    }

    fn digest<'a>(&'a self, _: &'a str, _: Option<FileStamp>) -> Answer<'a, Digested> {
        Box::pin(async { Ok(Digested::Absent) })
    }

    fn run<'a>(&'a self, _: &'a [String]) -> Answer<'a, Ran> {
        let status = i32::from(self.0.first().is_some_and(|first| *first == b'!'));
        let (output, errors) = (self.0.clone(), self.0.clone());
        Box::pin(async move {
            Ok(Ran {
                status,
                output,
                errors,
            })
        })
    }
}

peerlab_fuzz::target!();
