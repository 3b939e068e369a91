//! A probe for any server: it takes a connection, and where it speaks first, its first line is what the
//! node says.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

use super::polled::{Ask, VALUE_BYTES_MAX, value};
use super::{Answer, ProbeError, Reach, Said, bounded};

/// How long a server that speaks first may take to say its line.
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);

pub struct Tcp<R> {
    reach: R,
    port: u16,
    greeting: bool,
}

impl<R: Reach> Tcp<R> {
    /// Connects to nothing yet. With `greeting` the server is to speak first.
    pub fn new(reach: R, port: u16, greeting: bool) -> Tcp<R> {
        Tcp {
            reach,
            port,
            greeting,
        }
    }

    async fn connect(&self) -> Result<Said, ProbeError> {
        let stream = self.reach.dial(self.port).await?;
        if !self.greeting {
            return Ok(Said::Nothing);
        }
        let line = bounded(GREETING_TIMEOUT, first_line(stream)).await?;
        match value(&line)? {
            Said::Nothing => Err(ProbeError::Malformed("the server said nothing".into())),
            said => Ok(said),
        }
    }
}

/// Up to the end of the line, of what is said, or of what may be a value.
async fn first_line(stream: impl AsyncRead + Unpin) -> Result<String, ProbeError> {
    let mut line = Vec::new();
    let mut stream = BufReader::new(stream.take(VALUE_BYTES_MAX as u64));
    stream.read_until(b'\n', &mut line).await?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

impl<R: Reach> Ask for Tcp<R> {
    fn ask(&mut self) -> Answer<'_, Said> {
        Box::pin(self.connect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::scripted::Scripted;

    async fn said(greeting: bool, answer: &'static str) -> Result<Said, ProbeError> {
        Tcp::new(Scripted::answers(answer), 25, greeting)
            .ask()
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_line_of_who_speaks_first_is_the_value() {
        let line = said(true, "220 mx1 ready\r\n250 more\r\n").await;
        assert_eq!(line, Ok(Said::Value("220 mx1 ready".into())));
        // Without a line's end, where the server has nothing more to say.
        assert_eq!(said(true, "hello").await, Ok(Said::Value("hello".into())));
        assert_eq!(said(false, "hello").await, Ok(Said::Nothing));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_speak_has_not_answered() {
        let error = said(true, "").await.unwrap_err();
        assert!(matches!(error, ProbeError::Malformed(_)), "{error}");
        let silent = Scripted::silent();
        let error = Tcp::new(silent, 25, true).ask().await.unwrap_err();
        assert_eq!(error, ProbeError::TimedOut(GREETING_TIMEOUT));
        let up = Tcp::new(Scripted::silent(), 25, false).ask().await;
        assert_eq!(up, Ok(Said::Nothing));
        let down = Tcp::new(Scripted::down(), 25, false).ask().await;
        assert!(matches!(down, Err(ProbeError::Transport(_))), "{down:?}");
    }
}
