//! Asking a run to end early, from outside.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};

/// Says whether a run is to end early. Asked again and again while it goes on, from several
/// threads.
#[derive(Clone)]
pub struct Stop(Arc<dyn Fn() -> bool + Send + Sync>);

impl Stop {
    /// Asks `asked` each time; once true, it must stay so.
    pub fn when(asked: impl Fn() -> bool + Send + Sync + 'static) -> Stop {
        Stop(Arc::new(asked))
    }

    /// Never.
    pub fn never() -> Stop {
        Stop::when(|| false)
    }

    /// Whether to end now.
    pub fn is_asked(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stop({})", self.is_asked())
    }
}

/// What ends a run that was asked to stop.
pub fn interrupted() -> Error {
    Error::interrupted("interrupted; everything was removed")
}

/// Whether an interrupt ended a run; `None` where its engine failed, so that it did not come to an
/// end.
pub fn ended(result: &Result<()>) -> Option<bool> {
    match result {
        Ok(()) => Some(false),
        Err(error) if error.kind == Kind::Interrupted => Some(true),
        Err(_) => None,
    }
}
