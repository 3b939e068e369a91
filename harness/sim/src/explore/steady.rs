//! Failures that do not hang on a moment. Real nodes mine and pay some milliseconds after they are
//! told to, and are back later than simulated ones after they were down. A failure that comes only
//! if a block is just before a fault, or in the same instant, would not come again in containers.

use peerlab_link::Nanos;

use super::scenario::Scenario;
use peerlab_core::topology::Moment;

/// How much the order of things may be off. Longer than a request to mine takes on a busy machine,
/// and shorter than what whole seconds keep apart.
const SHIFT: Nanos = Nanos::from_millis(150);

impl Scenario {
    /// The same with all blocks and payments a little earlier, and a little later, than what is
    /// done to the network. The blocks that decide stay.
    pub fn shifted(&self) -> [Scenario; 2] {
        [
            self.with_moments(|at| at.saturating_sub(SHIFT)),
            self.with_moments(|at| at.saturating_add(SHIFT)),
        ]
    }

    fn with_moments(&self, moved: impl Fn(Nanos) -> Nanos) -> Scenario {
        let settle = self.phases.settle_start();
        let mut shifted = self.clone();
        let later = shifted.blocks.iter_mut().chain(&mut shifted.payments);
        for Moment { at, .. } in later.filter(|moment| moment.at < settle) {
            *at = moved(*at);
        }
        shifted.sort();
        shifted
    }
}
