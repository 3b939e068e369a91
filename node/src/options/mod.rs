//! What a node's argument list says: Bitcoin Core's names where it has one, read into settings that
//! cannot be wrong. The daemon and the simulator start nodes by the same lists. Nothing is opened,
//! bound or looked up here.

mod failure;
mod settings;
mod table;
mod value;

pub use failure::Failure;
pub use settings::{LogLevel, P2P_PORT, Request, Settings, parse};
pub use value::parse_address;
