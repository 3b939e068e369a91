//! A node for the tests of probes, which answers as it was told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use peerlab_link::proto::{Digested, FileStamp, Ran};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::{Answer, ProbeError, Reach};

/// Bytes that may wait to be read.
const PIPE_BYTES: usize = 4 << 20;

/// Answers as it was told to; what it was not told of is down.
#[derive(Default)]
pub struct Scripted {
    answer: Option<Vec<u8>>,
    waits: bool,
    silent: bool,
    heard: Arc<Mutex<Vec<u8>>>,
    written: Mutex<VecDeque<String>>,
    digests: Mutex<VecDeque<Digested>>,
    stamps: Arc<Mutex<Vec<Option<FileStamp>>>>,
}

impl Scripted {
    /// A server that says this to everybody, and ends the connection.
    pub fn answers(text: &str) -> Scripted {
        Scripted {
            answer: Some(text.into()),
            ..Scripted::default()
        }
    }

    /// One that says this when it has heard something.
    pub fn replies(text: &str) -> Scripted {
        Scripted {
            waits: true,
            ..Scripted::answers(text)
        }
    }

    /// A server that takes connections and says nothing.
    pub fn silent() -> Scripted {
        Scripted {
            silent: true,
            ..Scripted::answers("")
        }
    }

    /// Nothing answers.
    pub fn down() -> Scripted {
        Scripted::default()
    }

    /// A program the end of whose log is this, one after the other.
    pub fn writes(logs: &[&str]) -> Scripted {
        let written = logs.iter().map(|log| (*log).to_owned()).collect();
        Scripted {
            written: Mutex::new(written),
            ..Scripted::default()
        }
    }

    /// A node whose gate answers this, one after the other.
    pub fn digests(digests: impl IntoIterator<Item = Digested>) -> Scripted {
        Scripted {
            digests: Mutex::new(digests.into_iter().collect()),
            ..Scripted::default()
        }
    }

    /// What a server has heard.
    pub fn heard(&self) -> Arc<Mutex<Vec<u8>>> {
        Arc::clone(&self.heard)
    }

    /// With which stamps digests were asked for.
    pub fn stamps(&self) -> Arc<Mutex<Vec<Option<FileStamp>>>> {
        Arc::clone(&self.stamps)
    }
}

fn down() -> ProbeError {
    ProbeError::Transport("down".into())
}

impl Reach for Scripted {
    type Stream = DuplexStream;

    fn dial(&self, _port: u16) -> Answer<'_, DuplexStream> {
        Box::pin(async {
            let answer = self.answer.clone().ok_or_else(down)?;
            let (ours, mut theirs) = tokio::io::duplex(PIPE_BYTES);
            let (waits, silent, heard) = (self.waits, self.silent, self.heard());
            tokio::spawn(async move {
                if silent {
                    std::future::pending::<()>().await;
                }
                let mut piece = [0; 4096];
                if waits {
                    let read = theirs.read(&mut piece).await?;
                    heard.lock().unwrap().extend_from_slice(&piece[..read]);
                }
                theirs.write_all(&answer).await?;
                theirs.shutdown().await
            });
            Ok(ours)
        })
    }

    fn run<'a>(&'a self, _command: &'a [String]) -> Answer<'a, Ran> {
        Box::pin(async { Err(down()) })
    }

    fn written(&self) -> Answer<'_, String> {
        let log = self.written.lock().unwrap().pop_front();
        Box::pin(async move { log.ok_or_else(down) })
    }

    fn digest<'a>(&'a self, _path: &'a str, unless: Option<FileStamp>) -> Answer<'a, Digested> {
        self.stamps.lock().unwrap().push(unless);
        let digested = self.digests.lock().unwrap().pop_front();
        Box::pin(async move { digested.ok_or_else(down) })
    }
}
