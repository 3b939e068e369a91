//! The asking end: finds a network by its name, or the only one, hands it a request and reads its
//! answers.

use std::io;
use std::time::Duration;

use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::words;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::folder::Folder;
use super::last_word::LastWord;
use super::request::{Description, Envelope, REPLY_BYTES_MAX, Reply, Request, VERSION, check_name};

/// What to do where no network answers.
const NONE_HINT: &str = "bring one up: `peerlab up 20 -d`";
/// What to do where several ended that nobody took down.
const SEVERAL_ENDED_HINT: &str =
    "`peerlab status -n NAME` tells more of one, `peerlab down` removes these notices";
/// What to do where the process that holds a network is not what it should be.
const HOLDER_HINT: &str = "its folder has the log of the process that held it, `network.log`; \
                           `peerlab ps --all` lists the networks that are up";
/// How long a network may take to say who it is.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

/// The answers to a request, in their order.
#[derive(Debug)]
pub struct Answers {
    name: String,
    stream: BufReader<UnixStream>,
}

impl Answers {
    /// Which network it is that answers.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The connection itself, after [`Reply::Open`].
    pub fn into_stream(self) -> BufReader<UnixStream> {
        self.stream
    }

    /// The next answer.
    ///
    /// # Errors
    /// When the network says so, or its process has ended.
    pub async fn next(&mut self) -> Result<Reply> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(REPLY_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut line).await;
        let cannot = || format!("network `{}` gave no answer", self.name);
        read.or_environment(cannot, HOLDER_HINT)?;
        if line.last() != Some(&b'\n') {
            let cause = "the process that holds it has ended, or broke off";
            return Err(Error::environment(cannot(), cause, HOLDER_HINT));
        }
        match serde_json::from_slice(&line).or_environment(cannot, HOLDER_HINT)? {
            Reply::Error(error) => Err(error),
            reply => Ok(reply),
        }
    }
}

/// Hands a request to a network that is meant, or to the only one.
///
/// # Errors
/// When there is none, or several.
pub async fn ask_for_all(name: Option<&str>, request: Request) -> Result<Answers> {
    let folder = Folder::of_user()?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => the_only(&folder).await?,
    };
    send(&folder, &name, request).await
}

/// The same, of which the last answer alone is wanted.
///
/// # Errors
/// As [`ask_for_all`], or as the network says.
pub async fn ask(name: Option<&str>, request: Request) -> Result<Reply> {
    let mut answers = ask_for_all(name, request).await?;
    loop {
        match answers.next().await? {
            Reply::Progress(what) => tracing::info!("{what}"),
            reply => return Ok(reply),
        }
    }
}

/// Who a network is.
///
/// # Errors
/// As [`ask_for_all`].
pub async fn find(name: Option<&str>) -> Result<Description> {
    match ask(name, Request::Describe).await? {
        Reply::Description(description) => Ok(description),
        other => Err(unexpected(&other)),
    }
}

/// That another answer came than the request has.
pub fn unexpected(reply: &Reply) -> Error {
    let what = serde_json::to_string(reply).unwrap_or_default();
    let what: String = what.chars().take(80).collect();
    Error::environment(
        "a network's answer makes no sense",
        format!("it begins {what}"),
        peerlab_core::error::hint::BUG,
    )
}

/// All networks of this user that answer. What dead ones left is removed.
///
/// # Errors
/// When the folder cannot be read.
pub async fn networks() -> Result<Vec<Description>> {
    let folder = Folder::of_user()?;
    let mut found = Vec::new();
    for name in folder.names()? {
        let asked = async {
            let mut answers = send(&folder, &name, Request::Describe).await?;
            answers.next().await
        };
        match timeout(DESCRIBE_TIMEOUT, asked).await {
            Ok(Ok(Reply::Description(description))) => found.push(description),
            Ok(Ok(other)) => return Err(unexpected(&other)),
            Ok(Err(error)) => tracing::debug!("network {name}: {error}"),
            Err(_) => tracing::warn!("network {name} does not answer"),
        }
    }
    Ok(found)
}

/// How the networks ended that nobody took down, a line for each.
///
/// # Errors
/// When the folder cannot be read.
pub fn ended() -> Result<Vec<String>> {
    let words = Folder::of_user()?.last_words()?;
    Ok(in_short(&words).collect())
}

fn in_short(words: &[(String, LastWord)]) -> impl Iterator<Item = String> {
    words.iter().map(|(name, word)| word.in_short(name))
}

/// Why the network of this name ended, if nobody took it down.
pub fn why_ended(name: &str) -> Option<String> {
    let word = Folder::of_user().ok()?.last_word(name)?;
    Some(word.why())
}

/// Forgets why a network ended that is up no more, which its user has been told; without a name all of them,
/// where none is up.
pub fn forget_ended(name: Option<&str>) {
    let forget = || {
        let folder = Folder::of_user()?;
        match name {
            Some(name) => folder.forget(name),
            None if folder.names()?.is_empty() => {
                let words = folder.last_words()?.into_iter();
                words.for_each(|(name, _)| folder.forget(&name));
            }
            None => {}
        }
        Ok::<(), Error>(())
    };
    if let Err(error) = forget() {
        tracing::debug!("{error}");
    }
}

/// The name of the only network that is up.
async fn the_only(folder: &Folder) -> Result<String> {
    let mut names = Vec::new();
    for name in folder.names()? {
        // One whose holder has died is none.
        match UnixStream::connect(folder.socket(&name)).await {
            Ok(_) => names.push(name),
            Err(error) => clear(folder, &name, &error),
        }
    }
    match names.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(none_is_up(folder)),
        several => Err(Error::input("several networks are up")
            .because(words::names(several))
            .hint("say which: `-n NAME`")),
    }
}

fn none_is_up(folder: &Folder) -> Error {
    let error = Error::input("no network is up");
    match folder.last_words().unwrap_or_default().as_slice() {
        [] => error.because("none of this user's answers").hint(NONE_HINT),
        [(name, word)] => word.explain(name, error),
        several => in_short(several)
            .fold(error, Error::because)
            .hint(SEVERAL_ENDED_HINT),
    }
}

/// Removes what a dead holder left, whose socket nobody listens on. Where there is none at all nothing is
/// touched: the name is held while it is cleared, and somebody may want it now.
fn clear(folder: &Folder, name: &str, error: &io::Error) {
    if error.kind() != io::ErrorKind::ConnectionRefused {
        return;
    }
    if let Err(error) = folder.bury(name) {
        tracing::debug!("{error}");
    }
}

async fn send(folder: &Folder, name: &str, request: Request) -> Result<Answers> {
    check_name(name)?;
    let mut stream = match UnixStream::connect(folder.socket(name)).await {
        Ok(stream) => stream,
        Err(error) if is_gone(&error) => {
            clear(folder, name, &error);
            return Err(unknown(folder, name));
        }
        Err(error) => {
            let what = format!("network `{name}` cannot be reached");
            return Err(Error::environment(what, error, HOLDER_HINT));
        }
    };
    let envelope = Envelope {
        version: VERSION,
        request,
    };
    let cannot = || format!("cannot ask network `{name}`");
    let mut line = serde_json::to_vec(&envelope).or_environment(cannot, HOLDER_HINT)?;
    line.push(b'\n');
    let written = stream.write_all(&line).await;
    written.or_environment(cannot, HOLDER_HINT)?;
    Ok(Answers {
        name: name.to_owned(),
        stream: BufReader::new(stream),
    })
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

fn unknown(folder: &Folder, name: &str) -> Error {
    let error = Error::input(format!("no network `{name}` is up"));
    if let Some(word) = folder.last_word(name) {
        return word.explain(name, error);
    }
    match folder.names().unwrap_or_default().as_slice() {
        [] => error.because("none of this user's answers").hint(NONE_HINT),
        others => error
            .because(format!("there is {}", words::names(others)))
            .hint("names are those of `peerlab ps --all`"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn only_what_a_dead_holder_left_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().join("networks")).unwrap();
        let lock = folder.socket("net").with_extension("lock");
        let asked = async || send(&folder, "net", Request::Describe).await.unwrap_err();
        // Somebody is about to take the name.
        std::fs::write(&lock, "").unwrap();
        asked().await;
        assert!(lock.exists());
        drop(UnixListener::bind(folder.socket("net")).unwrap());
        asked().await;
        assert!(!lock.exists() && folder.names().unwrap().is_empty());
    }
}
