//! Whether a packet is lost on the way.

use crate::change::Loss;
use crate::model::random_stream::{RandomStream, happens};

/// Decides on one packet, by one word of the link's stream. `in_bad_state` is the link's state in
/// the Gilbert-Elliott chain, which is stepped before it is asked.
#[inline]
pub(super) fn is_lost(loss: Loss, in_bad_state: &mut bool, stream: &mut RandomStream) -> bool {
    match loss {
        Loss::None => false,
        Loss::Bernoulli { chance } => happens(chance, stream.word() as u32),
        Loss::GilbertElliott {
            enter,
            leave,
            good,
            bad,
        } => {
            let word = stream.word();
            let change = if *in_bad_state { leave } else { enter };
            if happens(change, (word >> 32) as u32) {
                *in_bad_state = !*in_bad_state;
            }
            let chance = if *in_bad_state { bad } else { good };
            happens(chance, word as u32)
        }
    }
}
