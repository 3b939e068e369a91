//! A probe for any program: another program is run beside it, in the node's own namespaces and as
//! its user, and what that one prints is what the node says. It is asked again and again.

use super::polled::{Ask, VALUE_BYTES_MAX};
use super::{Answer, ProbeError, Reach, Said};

pub struct Exec<R> {
    reach: R,
    command: Vec<String>,
}

impl<R: Reach> Exec<R> {
    /// Runs nothing yet.
    pub fn new(reach: R, command: Vec<String>) -> Exec<R> {
        Exec { reach, command }
    }

    /// What the program prints, without the space around it. What fails, or prints nothing, has not
    /// answered.
    async fn run(&self) -> Result<Said, ProbeError> {
        let ran = self.reach.run(&self.command).await?;
        if ran.status != 0 {
            let errors = String::from_utf8_lossy(&ran.errors);
            let said = errors.trim().lines().next();
            return Err(ProbeError::Failed {
                status: ran.status,
                said: said.unwrap_or("it says nothing about it").to_owned(),
            });
        }
        let text = String::from_utf8_lossy(&ran.output);
        match text.trim() {
            _ if ran.output.len() > VALUE_BYTES_MAX => Err(ProbeError::Malformed(format!(
                "the program printed more than {VALUE_BYTES_MAX} bytes"
            ))),
            "" => Err(ProbeError::Malformed("the program printed nothing".into())),
            value => Ok(Said::Value(value.to_owned())),
        }
    }
}

impl<R: Reach> Ask for Exec<R> {
    fn ask(&mut self) -> Answer<'_, Said> {
        Box::pin(self.run())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::time::Duration;

    use peerlab_link::proto::{Digested, FileStamp, Ran};
    use tokio::io::DuplexStream;

    use super::*;
    use crate::probe::{Polled, Probe as _};

    /// What comes of the program, run after run.
    struct Runs(Mutex<VecDeque<Ran>>);

    impl Reach for Runs {
        type Stream = DuplexStream;

        fn dial(&self, _port: u16) -> Answer<'_, DuplexStream> {
            unreachable!("nothing is dialled")
        }

        fn run<'a>(&'a self, command: &'a [String]) -> Answer<'a, Ran> {
            assert_eq!(command, ["/bin/tell"]);
            let ran = self.0.lock().unwrap().pop_front();
            Box::pin(async move { ran.ok_or(ProbeError::Transport("down".into())) })
        }

        fn written(&self) -> Answer<'_, String> {
            unreachable!("nothing is read")
        }

        fn digest<'a>(&'a self, _: &'a str, _: Option<FileStamp>) -> Answer<'a, Digested> {
            unreachable!("nothing is read")
        }
    }

    fn probe(runs: impl IntoIterator<Item = Ran>) -> Polled<Exec<Runs>> {
        let runs = Runs(Mutex::new(runs.into_iter().collect()));
        Polled(Exec::new(runs, vec!["/bin/tell".into()]))
    }

    fn printed(text: &str) -> Ran {
        Ran {
            output: text.into(),
            ..Ran::default()
        }
    }

    #[tokio::test]
    async fn it_is_run_again_until_it_prints_something_else() {
        let mut probe = probe(["one\n", "one\n", " one ", "two\n"].map(printed));
        let one = probe.said().await.unwrap();
        assert_eq!(one, Said::Value("one".into()));
        let next = probe.said_after(&one, Duration::from_secs(30)).await;
        assert_eq!(next, Ok(Said::Value("two".into())));
        assert!(probe.said().await.is_err(), "the node is down");
    }

    #[tokio::test]
    async fn what_prints_nothing_or_too_much_has_not_answered() {
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        for text in [" \n", &long] {
            let error = probe([printed(text)]).said().await.unwrap_err();
            assert!(matches!(error, ProbeError::Malformed(_)), "{error}");
        }
    }

    #[tokio::test]
    async fn what_fails_has_not_answered_whatever_it_printed() {
        for (status, errors, told) in [
            (
                3,
                "\nno wallet\nusage: tell\n",
                "failed with exit code 3: no wallet",
            ),
            (1, "", "failed with exit code 1: it says nothing about it"),
            (-9, "", "was ended by signal 9: it says nothing about it"),
        ] {
            let ran = Ran {
                status,
                errors: errors.into(),
                ..printed("7\n")
            };
            let error = probe([ran]).said().await.unwrap_err();
            assert_eq!(error.to_string(), format!("the program {told}"));
        }
    }
}
