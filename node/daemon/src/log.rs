//! Where the log goes: standard error, one line an event.

use peerlab_node::options::LogLevel;
use tracing_subscriber::EnvFilter;

/// Starts logging. `RUST_LOG` overrides the level.
pub fn start(level: LogLevel) {
    let default = match level {
        LogLevel::Off => return,
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
}
