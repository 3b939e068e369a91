//! How the process that holds a network goes on without the terminal that it came from: it is this
//! program once more, in a session of its own, with its words in a file. The one that started it waits
//! until the network is up or has failed; until then the two are bound together, since whoever breaks
//! off while it starts does not want it.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use peerlab_core::error::hint::{BUG, DISK};
use peerlab_core::error::{Error, Explain, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::log;
use super::request::{Description, REPLY_BYTES_MAX, Reply};

/// Starts a process that holds a network, as these arguments say, and waits until the network is up.
/// `stop` breaks it off, and everything is removed then.
///
/// # Errors
/// Why it did not come up.
pub async fn detach(
    arguments: Vec<OsString>,
    dir: &Path,
    stop: &CancellationToken,
) -> Result<Description> {
    let cannot = || "cannot start the process that is to hold the network".to_owned();
    let file = log::open(dir)?;
    let errors = file.try_clone().or_environment(cannot, DISK)?;
    let (mut process, told) = start(arguments, file.into(), errors.into(), stop).await?;
    match told {
        Some(Reply::Description(description)) => Ok(description),
        Some(Reply::Error(error)) => {
            // It says so once everything is removed, and ends then.
            let _ = process.wait();
            Err(error)
        }
        _ => {
            let status = process
                .wait()
                .map_or_else(|e| e.to_string(), |it| it.to_string());
            Err(Error::environment(
                "the process that was to hold the network ended",
                status,
                format!("its last words are in {}", log::path(dir).display()),
            ))
        }
    }
}

/// Starts a process that carries a run out in the place of this one, on the same screen, and may hold its
/// network afterwards. Waits until it has told the verdict, and gives the exit code. `stop` interrupts
/// the run.
///
/// # Errors
/// When it does not start, or ends without an exit code.
pub async fn have_run(arguments: Vec<OsString>, stop: &CancellationToken) -> Result<u8> {
    let cannot = || "cannot hear of the process that carries the run out".to_owned();
    let (out, errors) = (Stdio::inherit(), Stdio::inherit());
    let (mut process, told) = start(arguments, out, errors, stop).await?;
    if let Some(Reply::Kept { exit_code }) = told {
        return Ok(exit_code);
    }
    let status = process.wait().or_environment(cannot, BUG)?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.ok_or_else(|| {
        let what = "the process that carried the run out ended";
        Error::environment(
            what,
            status.to_string(),
            "its nodes have ended with it; `peerlab clean` removes what else is left",
        )
    })
}

/// Starts this program once more, and waits for the one line that it says.
async fn start(
    arguments: Vec<OsString>,
    out: Stdio,
    errors: Stdio,
    stop: &CancellationToken,
) -> Result<(Child, Option<Reply>)> {
    let cannot = || "cannot start the process that is to hold the network".to_owned();
    let (ours, theirs) = StdStream::pair().or_environment(cannot, BUG)?;
    let program = std::env::current_exe().or_environment(cannot, BUG)?;
    let process = Command::new(program)
        .args(arguments)
        // Both ways: it tells what comes of it, and hears whether it is still wanted.
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(out)
        .stderr(errors)
        .spawn()
        .or_environment(cannot, BUG)?;
    ours.set_nonblocking(true).or_environment(cannot, BUG)?;
    let stream = UnixStream::from_std(ours).or_environment(cannot, BUG)?;
    Ok((process, hear(stream, stop.clone()).await))
}

/// The one line that it says. Once `stop` is asked for, it is told that nobody wants it any more.
async fn hear(stream: UnixStream, stop: CancellationToken) -> Option<Reply> {
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    let mut read = BufReader::new(read).take(REPLY_BYTES_MAX);
    let reading = read.read_until(b'\n', &mut line);
    tokio::pin!(reading);
    let heard = tokio::select! {
        heard = &mut reading => heard,
        () = stop.cancelled() => {
            // What it hears is the end of the stream.
            let _ = write.shutdown().await;
            reading.await
        }
    };
    heard.ok()?;
    serde_json::from_slice(&line).ok()
}

/// The end of the process that holds a network.
pub struct Held {
    write: OwnedWriteHalf,
    listening: AbortOnDropHandle<()>,
}

impl Held {
    /// Goes into a session of its own. Until the network is up, `stop` is cancelled when whoever
    /// started this process does not want it any more.
    ///
    /// # Errors
    /// When this process was not started by [`detach`].
    pub fn begin(stop: &CancellationToken) -> Result<Held> {
        let cannot = || "this process cannot hold a network".to_owned();
        rustix::process::setsid().or_environment(cannot, BUG)?;
        let stream = rustix::stdio::stdin().as_fd().try_clone_to_owned();
        let stream = StdStream::from(stream.or_environment(cannot, BUG)?);
        stream.set_nonblocking(true).or_environment(cannot, BUG)?;
        let stream = UnixStream::from_std(stream).or_environment(cannot, BUG)?;
        Ok(Held::by(stream, stop.clone()))
    }

    /// Bound to whoever is at the other end of a stream.
    fn by(stream: UnixStream, stop: CancellationToken) -> Held {
        let (mut read, write) = stream.into_split();
        let listening = tokio::spawn(async move {
            // Nothing is ever said: this is the end of the stream.
            let _ = read.read(&mut [0]).await;
            stop.cancel();
        });
        Held {
            write,
            listening: AbortOnDropHandle::new(listening),
        }
    }

    /// Tells whoever started this process what came of it. From then on the two have nothing to do
    /// with each other.
    ///
    /// # Errors
    /// When the standard input cannot be given up.
    pub async fn tell(self, reply: &Reply) -> Result<()> {
        self.say(reply).await;
        let nothing = File::open("/dev/null");
        let cannot = || "cannot give the standard input up".to_owned();
        let nothing = nothing.or_environment(cannot, BUG)?;
        rustix::stdio::dup2_stdin(&nothing).or_environment(cannot, BUG)
    }

    async fn say(mut self, reply: &Reply) {
        // Whoever reads the line may end at once, which then means nothing any more.
        self.listening.abort();
        let _ = self.listening.await;
        let mut line = serde_json::to_vec(reply).unwrap_or_default();
        line.push(b'\n');
        if let Err(error) = self.write.write_all(&line).await {
            tracing::warn!("nobody hears what came of it: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Often enough that one which goes on listening while it tells is caught.
    const TIMES: usize = 2_000;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_network_outlives_whoever_heard_that_it_is_up() {
        for _ in 0..TIMES {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let stop = CancellationToken::new();
            let heard = tokio::spawn(hear(ours, CancellationToken::new()));
            let reply = Reply::Progress("up".into());
            Held::by(theirs, stop.clone()).say(&reply).await;
            heard.await.unwrap().unwrap();
            assert!(!stop.is_cancelled());
        }
    }

    #[tokio::test]
    async fn a_network_that_nobody_waits_for_is_not_wanted() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let stop = CancellationToken::new();
        let _held = Held::by(theirs, stop.clone());
        drop(ours);
        stop.cancelled().await;
    }
}
