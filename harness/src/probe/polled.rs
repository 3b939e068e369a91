//! Probes that are asked again and again, since what they ask tells of nothing by itself.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Answer, Probe, ProbeError, Said};

/// Pause between two questions.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Longest text that is taken for a value, bytes.
pub const VALUE_BYTES_MAX: usize = 4 << 10;

/// What can be asked what it says.
pub trait Ask: Send {
    /// Pause between two questions.
    const INTERVAL: Duration = POLL_INTERVAL;

    /// What the node says now.
    fn ask(&mut self) -> Answer<'_, Said>;
}

/// Asks again and again.
pub struct Polled<A>(pub A);

impl<A: Ask> Probe for Polled<A> {
    fn said(&mut self) -> Answer<'_, Said> {
        self.0.ask()
    }

    fn said_after<'a>(&'a mut self, known: &'a Said, timeout: Duration) -> Answer<'a, Said> {
        let deadline = Instant::now() + timeout;
        Box::pin(async move {
            loop {
                sleep(A::INTERVAL).await;
                let said = self.0.ask().await?;
                if said != *known || Instant::now() >= deadline {
                    return Ok(said);
                }
            }
        })
    }
}

/// A text as what the node says, which is no more than a line.
///
/// # Errors
/// When it is longer than that.
pub fn value(text: &str) -> Result<Said, ProbeError> {
    match text.trim() {
        "" => Ok(Said::Nothing),
        long if long.len() > VALUE_BYTES_MAX => Err(ProbeError::Malformed(format!(
            "the value has more than {VALUE_BYTES_MAX} bytes"
        ))),
        value => Ok(Said::Value(value.to_owned())),
    }
}
