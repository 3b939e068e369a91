//! The ways in which a node leaves the network, by a fault or by churn.

use peerlab_link::Nanos;
use serde::{Deserialize, Serialize};

/// Shortest time up or down that a plan holds. A program cannot start and stop faster, and
/// heavy-tailed distributions draw many very short times.
pub const PERIOD_MIN: Nanos = Nanos::from_millis(500);

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

    /// Whether the program lives on meanwhile, so that the same incarnation comes back.
    pub fn spares_program(self) -> bool {
        match self {
            Down::Freeze => true,
            Down::Kill | Down::Vanish | Down::Stop | Down::Replace => false,
        }
    }
}
