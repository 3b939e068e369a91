//! The ways in which a node leaves the network, by a fault or by churn.

use serde::{Deserialize, Serialize};

/// How a node goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Down {
    /// The process dies, its sockets close.
    Kill,
    /// Its link goes silent first, then it dies: peers must time out.
    Vanish,
    /// A polite stop.
    Stop,
    /// The processes stand still; the kernel still answers for them.
    Freeze,
    /// It dies, and a new node with an empty disk comes in its place.
    Replace,
}

impl Down {
    /// All of them.
    pub const ALL: [Down; Down::Replace as usize + 1] = [
        Down::Kill,
        Down::Vanish,
        Down::Stop,
        Down::Freeze,
        Down::Replace,
    ];

    /// As experiment files name it.
    pub fn word(self) -> &'static str {
        match self {
            Down::Kill => "kill",
            Down::Vanish => "vanish",
            Down::Stop => "stop",
            Down::Freeze => "freeze",
            Down::Replace => "replace",
        }
    }
}
