//! The experiment file: what a person wrote, read into types that cannot be wrong. Every mistake
//! is told with its file, line, column, cause and what to do. No chance is drawn here (`plan`
//! does that), and no engine is known.
//!
//! `marked` (places) and `file` (sections) → `resolve` (names, defaults, rules) → [`Topology`].

mod agreement;
pub mod by_hand;
mod distribution;
pub mod expect;
pub mod file;
pub mod listed;
mod load;
mod marked;
mod marking;
pub mod network_values;
mod phrase;
mod preset;
pub mod probe;
mod resolve;
mod resolved;
mod schema;
mod select;
mod suggest;
pub mod template;
pub mod units;
pub mod words;
pub mod written;
mod yaml;

pub use distribution::Distribution;
pub use load::{FILE_VERSION, parse};
pub use marked::{FILE_BYTES_MAX, Path};
pub use network_values::ETHERNET_FRAMING_BYTES;
pub use network_values::Graph;
pub use preset::{INTERNET_2019, is_internet_2019};
pub use resolve::{MTU_DEFAULT, QUEUE_BYTES_DEFAULT, REGION_DEFAULT};
pub use resolved::*;
pub use schema::schema;
pub use units::{Amount, time};
pub use words::RPC_PORT;
