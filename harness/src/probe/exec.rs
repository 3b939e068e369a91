//! A probe for any program: another program is run beside it, in the node's own namespaces and as
//! its user, and what that one prints is what the node says. It is asked again and again.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

use super::{Answer, Probe, ProbeError, Reach, Said};

/// Pause between two runs.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Longest output that is taken for a value.
const VALUE_BYTES_MAX: u64 = 4 << 10;

pub struct Exec<R> {
    reach: R,
    command: Vec<String>,
}

impl<R: Reach> Exec<R> {
    /// Runs nothing yet.
    pub fn new(reach: R, command: Vec<String>) -> Exec<R> {
        Exec { reach, command }
    }

    /// What the program prints, without the space around it. What prints nothing has not answered.
    async fn run(&self) -> Result<Said, ProbeError> {
        let output = self.reach.run(&self.command).await?;
        let mut bytes = Vec::new();
        let mut bounded = output.take(VALUE_BYTES_MAX + 1);
        let read = bounded.read_to_end(&mut bytes).await;
        read.map_err(|e| ProbeError::Transport(e.to_string()))?;
        let text = String::from_utf8_lossy(&bytes);
        match text.trim() {
            _ if bytes.len() as u64 > VALUE_BYTES_MAX => Err(ProbeError::Malformed(format!(
                "the program printed more than {VALUE_BYTES_MAX} bytes"
            ))),
            "" => Err(ProbeError::Malformed("the program printed nothing".into())),
            value => Ok(Said::Value(value.to_owned())),
        }
    }
}

impl<R: Reach> Probe for Exec<R> {
    fn said(&mut self) -> Answer<'_, Said> {
        Box::pin(self.run())
    }

    fn said_after<'a>(&'a mut self, known: &'a Said, timeout: Duration) -> Answer<'a, Said> {
        let deadline = Instant::now() + timeout;
        Box::pin(async move {
            loop {
                sleep(POLL_INTERVAL).await;
                let said = self.run().await?;
                if said != *known || Instant::now() >= deadline {
                    return Ok(said);
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use tokio::io::{AsyncWriteExt, DuplexStream};

    use super::*;

    /// What the program prints, run after run.
    struct Prints(Mutex<VecDeque<String>>);

    impl Reach for Prints {
        type Stream = DuplexStream;

        fn dial(&self, _port: u16) -> Answer<'_, DuplexStream> {
            unreachable!("nothing is dialled")
        }

        fn run<'a>(&'a self, command: &'a [String]) -> Answer<'a, DuplexStream> {
            assert_eq!(command, ["/bin/tell"]);
            let printed = self.0.lock().unwrap().pop_front();
            Box::pin(async move {
                let printed = printed.ok_or(ProbeError::Transport("down".into()))?;
                let (mut program, ours) = tokio::io::duplex(1 << 16);
                program.write_all(printed.as_bytes()).await.unwrap();
                Ok(ours)
            })
        }
    }

    fn probe(printed: &[&str]) -> Exec<Prints> {
        let printed = printed.iter().map(|text| (*text).to_owned()).collect();
        Exec::new(Prints(Mutex::new(printed)), vec!["/bin/tell".into()])
    }

    #[tokio::test]
    async fn it_is_run_again_until_it_prints_something_else() {
        let mut probe = probe(&["one\n", "one\n", " one ", "two\n"]);
        let one = probe.said().await.unwrap();
        assert_eq!(one, Said::Value("one".into()));
        let next = probe.said_after(&one, Duration::from_secs(30)).await;
        assert_eq!(next, Ok(Said::Value("two".into())));
        assert!(probe.said().await.is_err(), "the node is down");
    }

    #[tokio::test]
    async fn what_prints_nothing_or_too_much_has_not_answered() {
        let long = "x".repeat(VALUE_BYTES_MAX as usize + 1);
        for printed in [" \n", &long] {
            let error = probe(&[printed]).said().await.unwrap_err();
            assert!(matches!(error, ProbeError::Malformed(_)), "{error}");
        }
    }
}
