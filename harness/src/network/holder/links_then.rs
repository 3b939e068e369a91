//! The connections of all nodes as they were when they were asked for them.

use tokio::time::Instant;

/// See the module.
#[derive(Debug)]
pub struct LinksThen {
    /// When that was.
    pub asked: Instant,
    /// By number, of which the first opened the connection.
    pub pairs: Vec<(u32, u32)>,
}
